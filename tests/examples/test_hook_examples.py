"""The programs in examples/: what they send for the announcements of a run, received by servers of our own."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import importlib.util
import io
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from edgequake.edge.base.config_file import read_config
from edgequake.edge.detection.announcer import EventNotice
from edgequake.edge.formats.miniseed import encode
from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.operation.announcements import OpenAlarms
from edgequake.edge.results.catalog import CatalogRow

ONSET_NS = 1_582_315_130_250_000_000  # 2020-02-21T19:58:50.25
RATE_HZ = 100.0


def announcements() -> list[dict[str, Any]]:
    """Return what a run tells of an event, at its onset and when it is final."""
    alarms = OpenAlarms()
    row = CatalogRow("-", ONSET_NS, 12.5, "AM_R0E05_20200221T195850.250", "", "AM_R0E05", ("EHZ", "EHN"),
                     ONSET_NS + 42 * 10**9, 0.91, 0.5, "segments/one.mseed", 6000, 512, 0.2)  # fmt: skip
    begun = EventNotice("onset", 0, "AM_R0E05", ("EHZ",), ONSET_NS + 10**9, 0.4, None, 0.8)
    return [json.loads(json.dumps(one.fields)) for one in (alarms.begin(begun), alarms.end(row))]


@pytest.fixture
def example(root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleType]:
    """Return a function that runs an example with arguments on each announcement, and returns its module."""

    def run(name: str, *arguments: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, root / "examples" / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        for event in announcements():
            monkeypatch.setenv("EDGEQUAKE_PHASE", event["phase"])
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(event).encode() + b"\n")))
            module.main()
        return module

    return run


@pytest.fixture
def server() -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """Return the address of a server of HTTP, and the headers and bodies that it gets."""
    received: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((dict(self.headers), body))
            self.send_response(500 if body == b"refuse" else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}", received
        http.shutdown()


def test_ntfy_gets_an_alarm_and_its_end(
    example: Callable[..., ModuleType], server: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, received = server
    monkeypatch.setenv("NTFY_TOKEN", "tk_secret")
    example("on_event_ntfy", "--server", address, "--topic", "my-shake")
    onset, final = (json.loads(body) for _, body in received)
    assert (onset["topic"], onset["title"], onset["priority"]) == ("my-shake", "Quake at AM_R0E05", 5)
    assert onset["message"] == "Began 19:58:51 UTC, 2020-02-21; probability 0.80 so far"
    assert final["message"] == "Onset 19:58:50 UTC, 2020-02-21 ± 0.2 s; lasted 42 s, probability 0.91"
    assert final["priority"] == 2 and received[0][0]["Authorization"] == "Bearer tk_secret"


def test_a_webhook_gets_the_announcements_signed(
    example: Callable[..., ModuleType], server: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, received = server
    monkeypatch.setenv("WEBHOOK_SECRET", "s3cret")
    example("on_event_webhook", f"{address}/api/webhook/quake")
    assert [json.loads(body) for _, body in received] == announcements()
    for headers, body in received:
        assert headers["X-Edgequake-Signature"] == hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    assert [headers["X-Edgequake-Phase"] for headers, _ in received] == ["onset", "final"]


@pytest.mark.parametrize(
    ("name", "options"), [("on_event_webhook", []), ("on_event_ntfy", ["--topic", "x", "--server"])]
)
def test_a_server_that_is_not_there_is_one_line(name: str, options: list[str], root: Path) -> None:
    command = [sys.executable, "-S", str(root / "examples" / f"{name}.py"), *options, "http://127.0.0.1:9/"]
    done = subprocess.run(command, input=json.dumps(announcements()[0]), capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "refused" in done.stderr


@pytest.mark.parametrize(
    ("name", "options", "missing"),
    [("on_event_mqtt", ["--host", "127.0.0.1"], "paho"), ("on_event_picture", [], "edgequake")],
)
def test_a_python_without_the_packages_is_one_line(name: str, options: list[str], missing: str, root: Path) -> None:
    command = [sys.executable, "-S", "-E", str(root / "examples" / f"{name}.py"), *options]
    done = subprocess.run(command, input=json.dumps(announcements()[0]), capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and f" has no {missing}" in done.stderr


def test_what_is_no_event_is_one_line(root: Path) -> None:
    command = [sys.executable, "-S", str(root / "examples" / "on_event_ntfy.py"), "--topic", "x"]
    done = subprocess.run(command, input="hello", capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and done.stderr.startswith("ntfy: ")


@pytest.fixture
def broker() -> Iterator[int]:
    """Return the port of an MQTT broker."""
    pytest.importorskip("amqtt", reason="no MQTT broker: pip install amqtt")
    from amqtt.broker import Broker

    port: queue.Queue[int] = queue.Queue()
    loop = asyncio.new_event_loop()
    stopping = asyncio.Event()

    async def serve() -> None:
        config = {"listeners": {"default": {"type": "tcp", "bind": "127.0.0.1:0"}}, "plugins": {
            "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}}  # fmt: skip
        one = Broker(config)
        await one.start()
        (listening,) = one._servers.values()
        port.put(listening.instance.sockets[0].getsockname()[1])
        await stopping.wait()
        await one.shutdown()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    yield port.get(timeout=30)
    loop.call_soon_threadsafe(stopping.set)
    thread.join(30)


def test_home_assistant_finds_the_station_and_sees_the_quake(example: Callable[..., ModuleType], broker: int) -> None:
    pytest.importorskip("paho.mqtt", reason="examples/on_event_mqtt.py needs paho-mqtt")
    from paho.mqtt.client import Client, MQTTMessage
    from paho.mqtt.enums import CallbackAPIVersion

    received: queue.Queue[tuple[str, str]] = queue.Queue()
    subscribed = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_subscribe = lambda *_: subscribed.set()

    def on_message(_: Client, __: object, message: MQTTMessage) -> None:
        received.put((message.topic, message.payload.decode()))

    client.on_message = on_message
    client.connect("127.0.0.1", broker)
    client.loop_start()
    client.subscribe([("homeassistant/#", 1), ("edgequake/#", 1)])
    assert subscribed.wait(30)
    example("on_event_mqtt", "--host", "127.0.0.1", "--port", str(broker))
    got = [received.get(timeout=30) for _ in range(10)]
    client.disconnect()
    client.loop_stop()
    assert [payload for topic, payload in got if topic == "edgequake/AM_R0E05/quake"] == ["ON", "OFF"]
    events = [json.loads(payload) for topic, payload in got if topic == "edgequake/AM_R0E05/event"]
    assert events == announcements()
    configs = {topic: json.loads(payload) for topic, payload in got if topic.endswith("/config")}
    assert sorted(configs) == [
        "homeassistant/binary_sensor/edgequake_AM_R0E05/quake/config",
        "homeassistant/sensor/edgequake_AM_R0E05/last/config",
    ]
    # What Home Assistant requires: a state topic that exists, and an identity that makes both one device.
    for config in configs.values():
        assert config["state_topic"] in {topic for topic, _ in got} and config["unique_id"].startswith("edgequake_")
        assert config["device"]["identifiers"] == ["edgequake_AM_R0E05"]


def test_a_picture_of_the_event_is_drawn(
    example: Callable[..., ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    loud = np.where(np.arange(6000) > 3000, 2000.0, 20.0)
    samples = (rng.normal(0, 1, 6000) * loud).astype(np.int32)
    (tmp_path / "segments").mkdir()
    start_ns = ONSET_NS - 30 * 10**9
    (tmp_path / "segments" / "one.mseed").write_bytes(
        encode([Trace("FDSN:AM_R0E05_00_E_H_Z", start_ns, RATE_HZ, samples)])
    )
    monkeypatch.setenv("EDGEQUAKE_OUT", str(tmp_path))
    example("on_event_picture")
    pixels = imread(tmp_path / "pictures" / "AM_R0E05_20200221T195850.250.png")
    waveform = pixels[30 : len(pixels) // 3, 150:-150, :3]  # above the spectrogram, within the axes
    dark = (waveform.max(axis=2) < 0.35).sum(axis=0)  # of each column
    half = len(dark) // 2  # where the noise becomes a hundred times as loud
    assert pixels.shape[1] > 900 and dark[half:].sum() > 2 * dark[:half].sum()


def test_several_programs_get_the_same_event(root: Path, tmp_path: Path) -> None:
    command = [str(root / "examples" / "on_event_several.sh"), f"cat > {tmp_path}/a", "exit 3", f"cat > {tmp_path}/b"]
    assert subprocess.run(command, input=b'{"x": "a b\\\\n"}\n').returncode == 1
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == b'{"x": "a b\\\\n"}\n'


def test_programs_beside_it_need_no_path(root: Path, server: tuple[str, list[Any]]) -> None:
    address, received = server
    command = [str(root / "examples" / "on_event_several.sh"), f"on_event_webhook.py {address}"]
    assert subprocess.run(command, input=b"{}\n").returncode == 0 and [body for _, body in received] == [b"{}\n"]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="no reader of TOML")
def test_the_configuration_for_a_shake_is_one(root: Path) -> None:
    import argparse

    from edgequake.edge.run_options import RunOptions

    parser = argparse.ArgumentParser()
    options = RunOptions(parser)
    path = root / "examples" / "shake.conf"
    values = options.merged(vars(parser.parse_args(["--config", str(path)])))
    assert set(read_config(path, options.names)) == {"inputs", "station", "out", "archive-bytes", "on-event"}
    assert (values["resume"], values["stall_after_s"], values["archive_bytes"]) == (True, 60.0, 2_000_000_000)
    program = values["on_event"].split()[0].removeprefix("/opt/edgequake/")
    assert (root / program).is_file()

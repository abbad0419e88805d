"""`edgequake run seedlink://...`: all records of a SeedLink server reach the runner, whatever fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgequake import cli, seedlink
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.formats.miniseed import index_file
from edgequake.edge.results.catalog import CatalogRow, read_catalog
from edgequake.edge.results.summary import Summary
from edgequake.edge.runner import RunConfig, run
from edgequake.seedlink import SeedLinkAddress, parse_seedlink, run_seedlink
from edgequake.synthetic import synthetic_dataset

from .seedlink_server import SeedLinkServer

PACKET_BYTES = 520


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of three channels and two and a half hours, with one strong moonquake."""
    quake = synthetic_dataset.synthetic_record(
        np.random.default_rng(11), 9000.0, (4000.0,), ratios=(25.0,), noise_counts=0.5
    )
    return synthetic_dataset.write_miniseed(quake, tmp_path_factory.mktemp("record") / "quake.mseed")


@pytest.fixture(scope="module")
def from_file(record: Path, tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return run(RunConfig((str(record),), tmp_path_factory.mktemp("file") / "out"))


@pytest.fixture(scope="module")
def records(record: Path) -> list[bytes]:
    """Return its records in the order in which they would arrive, shorter ones padded to 512 bytes."""
    data = record.read_bytes()
    return [data[h.offset : h.offset + h.size_bytes] for h in index_file(record).headers]


def events_of(rows: list[CatalogRow] | tuple[CatalogRow, ...]) -> list[tuple[int, int, float, int]]:
    return [(row.onset_ns, row.stop_ns, round(row.peak_probability, 4), row.n_samples) for row in rows]


# --- addresses -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seedlink://rtserve:18001/IU_ANMO", ("rtserve", 18001, (("IU", "ANMO", "???.D"),))),
        ("seedlink://10.0.0.7/am_r0e05_00_EH?", ("10.0.0.7", 18000, (("AM", "R0E05", "00EH?.D"),))),
        ("seedlink://h/GE_WLF__BHZ,IU_A?MO_10_BH?",
         ("h", 18000, (("GE", "WLF", "BHZ.D"), ("IU", "A?MO", "10BH?.D")))),
    ],
)  # fmt: skip
def test_an_address_is_read(text: str, expected: tuple[object, ...]) -> None:
    assert parse_seedlink(text) == SeedLinkAddress(*expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("seedlink:///IU_ANMO", "the host must be a name or an IPv4 address"),
        ("seedlink://[::1]/IU_ANMO", "the host must be a name or an IPv4 address"),
        ("seedlink://h:x/IU_ANMO", "Port could not be cast"),
        ("seedlink://h", "'' is not a station"),
        ("seedlink://h/ANMO", "'ANMO' is not a station"),
        ("seedlink://h/IU_ANMO_00", "'IU_ANMO_00' is not a station"),
        ("seedlink://h/IU_ANMO,,IU_HRV", "'' is not a station"),
        ("seedlink://h/IU_ANMO\rEND", "is not a station"),
    ],
)
def test_a_malformed_address_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_seedlink(text)
    assert reason in str(refused.value) and "expected seedlink://HOST[:PORT]/NET_STA" in str(refused.value)


def test_one_address_at_a_time(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["run", "seedlink://a/IU_ANMO", "seedlink://b/IU_ANMO", "--out", str(tmp_path / "out")]
    assert cli.main(arguments) == 1
    assert "one SeedLink address at a time" in capsys.readouterr().err


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have obspy's client, which looks twice a second whether it may reconnect, look twenty times a second."""
    from obspy.clients.seedlink.client import seedlinkconnection

    clock = SimpleNamespace(time=time.time, sleep=lambda wait_s: time.sleep(wait_s / 10))
    monkeypatch.setattr(seedlinkconnection, "time", clock)


# --- runs ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_records_of_a_server_give_the_events_of_the_file(
    records: list[bytes], from_file: Summary, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with SeedLinkServer({"XX_LUN": records}).served() as server:
        arguments = ["run", f"seedlink://{server.address}/XX_LUN_00_MH?", "--out", str(tmp_path / "out"), "--json",
                     "--idle-stop", "2"]  # fmt: skip
        assert cli.main(arguments) == 0
    summary = json.loads(capfd.readouterr().out)
    assert server.asked == ["HELLO", "STATION LUN XX", "SELECT 00MH?.D", "DATA", "END"]
    assert summary["samples_in"] == from_file.samples_in and summary["inputs"] == ["-"]
    assert events_of(read_catalog(tmp_path / "out" / "catalog.csv")) == events_of(
        [*read_catalog(_catalog_of(from_file, tmp_path))]
    )


def _catalog_of(summary: Summary, folder: Path) -> Path:
    from edgequake.edge.results.catalog import HEADER, catalog_text

    (folder / "expected.csv").write_bytes(HEADER + catalog_text(summary.events).encode())
    return folder / "expected.csv"


@pytest.mark.slow
@pytest.mark.usefixtures("short_waits")
def test_no_record_is_lost_when_connections_break(
    records: list[bytes], from_file: Summary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut before any packet, within packets and between two: each time it continues where it was."""
    said: list[str] = []
    cuts = [0, 3 * PACKET_BYTES + 7, 40 * PACKET_BYTES, 100, 60 * PACKET_BYTES + 519]
    with SeedLinkServer({"XX_LUN": records}, cuts).served() as server:
        arguments = [f"seedlink://{server.address}/XX_LUN", "--out", str(tmp_path / "out"), "--checkpoint-every", "0.1"]
        with stopped_after(from_file.samples_in, tmp_path / "out", monkeypatch):
            assert run_seedlink(arguments, said.append, reconnect_s=0.1) == 0
    assert [line for line in server.asked if line.startswith("DATA")] == [
        "DATA", "DATA", "DATA 0x3", "DATA 0x2b", "DATA 0x2b", "DATA 0x67"
    ]  # fmt: skip
    rows = read_catalog(tmp_path / "out" / "catalog.csv")
    assert events_of(rows) == events_of(read_catalog(_catalog_of(from_file, tmp_path)))
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["samples_in"] == from_file.samples_in and summary["unreadable_bytes"] == 0
    assert any("the server closed the connection" in line for line in said)


@contextmanager
def stopped_after(n_samples: int, out: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Send SIGTERM to the runner of `run_seedlink` once it has received so many samples, or after a minute."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(*arguments, **options))
        return started[-1]

    def stop() -> None:
        until_s = time.monotonic() + 60
        while time.monotonic() < until_s and _samples_in(out) < n_samples and not is_over.wait(0.05):
            pass
        for runner in started:
            runner.send_signal(signal.SIGTERM)  # no effect if it has ended

    is_over, thread = threading.Event(), threading.Thread(target=stop)
    monkeypatch.setattr(seedlink, "subprocess", SimpleNamespace(Popen=start, PIPE=subprocess.PIPE))
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@pytest.mark.slow
def test_only_the_requested_stations_and_channels_are_received(records: list[bytes], tmp_path: Path) -> None:
    other = [record[:8] + b"SOL  " + record[13:] for record in records]
    with SeedLinkServer({"XX_LUN": records[:60], "XX_SOL": other[:60], "XX_MAR": records}).served() as server:
        address = f"seedlink://{server.address}/XX_LUN_00_MHZ,XX_SOL"
        assert run_seedlink([address, "--out", str(tmp_path / "out"), "--idle-stop", "2"], lambda line: None) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["stations"] == ["XX_LUN", "XX_SOL"]
    n_z = sum(record[15:18] == b"MHZ" for record in records[:60])
    assert 0 < n_z < 30 and summary["bytes_in"] == 512 * (n_z + 60)


@pytest.mark.parametrize("wrong", ["no server", "no station", "no SeedLink"])
def test_a_fault_is_reported_once_and_the_client_retries(wrong: str, records: list[bytes], tmp_path: Path) -> None:
    said: list[str] = []
    before = set(threading.enumerate())
    greeting = b"HTTP/1.1 400 Bad Request\r\n" if wrong == "no SeedLink" else SeedLinkServer({}).greeting
    held = {} if wrong == "no station" else {"XX_LUN": records}
    with SeedLinkServer(held, greeting=greeting).served() as server:
        address = "127.0.0.1:1" if wrong == "no server" else server.address
        arguments = [f"seedlink://{address}/XX_LUN", "--out", str(tmp_path / "out"), "--idle-stop", "1"]
        assert run_seedlink(arguments, said.append, reconnect_s=0.1) == 1  # the runner received no sample
    reason = {
        "no server": "127.0.0.1:1: cannot connect to SeedLink server: [Errno 111] Connection refused; trying again",
        "no station": "negotiation with remote SeedLink failed: 'no stations accepted'",
        "no SeedLink": "correct response to HELLO",
    }[wrong]
    assert sum(reason in line for line in said) == 1, said
    assert wrong == "no server" or server.asked.count("HELLO") > 1
    for client in {thread for thread in threading.enumerate() if thread.name == "seedlink"} - before:
        client.join(60.0)  # its last attempt
        assert not client.is_alive()


@pytest.mark.long
def test_a_request_to_stop_reaches_the_runner(records: list[bytes], from_file: Summary, tmp_path: Path) -> None:
    """Ctrl-C goes to the whole group of the terminal; the runner must receive it once, and end regularly."""
    out = tmp_path / "out"
    with SeedLinkServer({"XX_LUN": records}).served() as server:
        command = [sys.executable, "-m", "edgequake.cli", "run", f"seedlink://{server.address}/XX_LUN", "--out",
                   str(out), "--checkpoint-every", "0.2"]  # fmt: skip
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 0)):
            begun_s = time.time()
            with subprocess.Popen(command + ["--resume"] * (number != signal.SIGINT), stderr=subprocess.PIPE,
                                  stdout=subprocess.DEVNULL, start_new_session=True) as process:  # fmt: skip
                waited_s = time.monotonic() + 60
                while time.monotonic() < waited_s and not (
                    _newer(out / "checkpoint.edgequake", begun_s) and _samples_in(out) == from_file.samples_in
                ):
                    time.sleep(0.05)
                os.killpg(process.pid, number)
                _, err = process.communicate(timeout=30)
            assert process.returncode == code, err
            assert b"Traceback" not in err
            server.records["XX_LUN"] = []  # what has been sent is not sent again
    summary = json.loads((out / "summary.json").read_text())
    assert summary["resumed"] == 1 and len(read_catalog(out / "catalog.csv")) == 1


def _samples_in(out: Path) -> int:
    return int(json.loads((out / "status.json").read_text())["samples_in"]) if (out / "status.json").exists() else 0


def _newer(path: Path, time_s: float) -> bool:
    return path.exists() and path.stat().st_mtime > time_s


def test_a_runner_that_refuses_its_options_ends_the_client_too(
    records: list[bytes], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with SeedLinkServer({"XX_LUN": records}).served() as server:
        arguments = [f"seedlink://{server.address}/XX_LUN", "--out", str(tmp_path / "out"), "--model", "venus"]
        assert run_seedlink(arguments, lambda line: None) == 1
    assert "venus" in capfd.readouterr().err


def test_the_address_may_be_in_a_configuration_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The runner is then told to read its standard input, and finds the other options in the file."""
    config = tmp_path / "run.conf"
    config.write_text(json.dumps({"inputs": ["seedlink://host/XX_LUN"], "out": "kept", "model": "moon"}))
    called: list[list[str]] = []
    monkeypatch.setattr("edgequake.seedlink.run_seedlink", lambda words, log: called.append(list(words)) or 0)
    monkeypatch.setattr("edgequake.edge.__main__.main", lambda words, program: called.append(list(words)) or 0)
    words = ["run", "--config", str(config)]
    assert cli.main(words) == cli.main([*words, "day.mseed"]) == 0
    assert called == [["--config", str(config), "seedlink://host/XX_LUN"], [*words, "day.mseed"]]

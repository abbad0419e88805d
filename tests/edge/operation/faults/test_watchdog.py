"""A run that hangs is started again and ends as after a kill; systemd gets its signs of life."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from edgequake.edge.__main__ import main
from edgequake.edge.base import control
from edgequake.edge.base.control import FILE_INTERVAL_S, Control, Heart
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.operation.watchdog import supervise

HERE = Path(__file__).parent
HANGING = (sys.executable, str(HERE / "hanging_runner.py"))
RUNNER = (sys.executable, "-m", "edgequake.edge")
LIMIT_S = 1.5
PATIENCE_S = 120.0  # of a test, not of the program

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def results(out: Path) -> dict[str, bytes]:
    """Return the catalogue and the segments of a run."""
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in [out / "catalog.csv", *segments(out)]}


def segments(out: Path) -> list[Path]:
    return sorted((out / "segments").glob("*.mseed"))


@pytest.fixture(scope="module")
def uninterrupted(quake_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("uninterrupted") / "out"
    assert main(["run", str(quake_file), "--out", str(out), "--checkpoint-every", "0"]) == 0
    assert len(segments(out)) == 1
    return results(out)


def watched(record: Path, out: Path) -> list[str]:
    """Return the arguments of a run with a supervisor."""
    return ["run", str(record), "--out", str(out), "--checkpoint-every", "0", "--watchdog", f"{LIMIT_S:g}"]


def finished(command: list[str], **environment: str) -> str:
    """Run a command that must succeed; return what it has printed to stderr."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_S, env={**os.environ, **environment}, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("how", ["graph", "stopped", "crash"])
def test_a_run_that_hangs_in_the_graph_or_crashes_is_started_again(
    how: str, quake_file: Path, uninterrupted: dict[str, bytes], tmp_path: Path
) -> None:
    out, marker = tmp_path / "out", tmp_path / "hung"
    said = finished([*HANGING, how, str(marker), *watched(quake_file, out)])
    assert marker.exists() and results(out) == uninterrupted
    (first, *_) = re.findall("edgequake-edge: the runner (.*)\n", said)
    if how == "crash":
        assert first == "was ended by signal 9: in 0.1 s it is started again with --resume"
    else:
        assert re.fullmatch(r"gave no sign of life for \d+ s and was killed: in 0.1 s it is .* with --resume", first)
    assert not (out / "heartbeat").exists()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler to make a disk that hangs")
def test_a_run_that_hangs_in_a_write_is_started_again(
    quake_file: Path, uninterrupted: dict[str, bytes], tmp_path: Path
) -> None:
    out, marker, library = tmp_path / "out", tmp_path / "hung", tmp_path / "hanging_disk.so"
    source = HERE / "hanging_disk.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    said = finished([*RUNNER, *watched(quake_file, out)], LD_PRELOAD=str(library), HANG_MARKER=str(marker), HANG_AT="9")
    assert marker.exists() and "gave no sign of life" in said and results(out) == uninterrupted


@pytest.mark.slow
def test_a_command_that_never_returns_is_no_hang(
    quake_file: Path, uninterrupted: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    hook = ["--on-event", "sleep 1000", "--on-event-timeout", f"{2 * LIMIT_S:g}"]
    said = finished([*RUNNER, *watched(quake_file, out), *hook])
    assert "the --on-event command" in said and "sign of life" not in said and results(out) == uninterrupted


class Systemd:
    """The socket that a service notifies."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.messages: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.settimeout(PATIENCE_S)

    def wait_for(self, is_there: Callable[[list[str]], bool]) -> list[str]:
        """Receive until the messages meet a condition; return them."""
        while not is_there(self.messages):
            self.messages += self._socket.recv(4096).decode().split("\n")
        return self.messages


@contextmanager
def service(systemd: Systemd, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a live run as a service whose watchdog has a fifth of a second."""
    environment = {**os.environ, "NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "200000"}
    command = [*RUNNER, "run", "-", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "is_supervised"), [("path", False), ("abstract", True)])
def test_systemd_is_told_of_start_life_and_end(kind: str, is_supervised: bool, tmp_path: Path) -> None:
    address = str(tmp_path / "notify") if kind == "path" else f"@edgequake-test-{os.getpid()}-{is_supervised}"
    systemd = Systemd(address)
    with service(systemd, "--out", str(tmp_path / "out"), *(["--watchdog", "2"] if is_supervised else [])) as process:
        systemd.wait_for(lambda messages: messages.count("WATCHDOG=1") >= 3)
        process.terminate()
        systemd.wait_for(lambda messages: "STOPPING=1" in messages)
        assert process.wait(PATIENCE_S) == 0
    assert systemd.messages[0] == "READY=1" and systemd.messages.count("READY=1") == 1
    assert set(systemd.messages) == {"READY=1", "WATCHDOG=1", "STOPPING=1"}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for a process in /proc")
def test_a_runner_ends_with_its_supervisor(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with service(Systemd(str(tmp_path / "notify")), "--out", str(out), "--watchdog", "60") as process:
        out.mkdir()
        assert until((out / "heartbeat").exists) and until((out / "heartbeat").read_text)
        pid = int((out / "heartbeat").read_text())
        assert pid != process.pid and is_running(pid)
        process.kill()
        assert until(lambda: not is_running(pid))


def until(condition: Callable[[], object]) -> bool:
    """Wait for a condition; return whether it has come true."""
    stop_s = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < stop_s:
        time.sleep(0.02)
    return bool(condition())


def is_running(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_signs_of_life_are_few_and_the_file_fewer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "heartbeat"
    monkeypatch.setattr(control.time, "monotonic", clock)
    reading, writing = os.pipe()
    heart = Heart(path, limit_s=2.0, pipe=writing, environment={})
    written = []
    for i in range(100 * 30):  # thirty seconds
        clock.now_s = 1000.0 + i / 100
        heart.beat()
        if path.exists():
            written.append(path.stat().st_mtime_ns)
    assert len(os.read(reading, 4096)) == 60  # four in the time after which somebody acts
    assert path.read_text() == f"{os.getpid()}\n" and len(set(written)) == -(-29 // int(FILE_INTERVAL_S))
    heart.close()
    assert not path.exists()
    os.close(reading)
    os.close(writing)


def test_a_disk_that_is_full_is_no_hang(tmp_path: Path) -> None:
    heart = Heart(tmp_path / "no" / "such" / "folder" / "heartbeat", environment={})
    heart._next_file_s = 0.0
    heart.beat()
    heart.close()


@pytest.mark.parametrize("limit_s", [0.0, -1.0, 0.5, float("nan")])
def test_a_limit_that_is_too_short_is_refused(limit_s: float, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--watchdog .*: expected at least 1 second"):
        supervise(lambda heart, is_again: 0, tmp_path / "heartbeat", limit_s, Control())


def test_an_error_is_passed_on_and_not_repeated(tmp_path: Path) -> None:
    command = [*RUNNER, "run", str(tmp_path / "none.mseed"), "--out", str(tmp_path / "out"), "--watchdog", "60"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "none.mseed is no file or folder" in done.stderr


@pytest.mark.slow
def test_a_runner_that_hangs_is_not_started_again_when_it_is_to_stop(quake_file: Path, tmp_path: Path) -> None:
    command = [*HANGING, "stopped", str(tmp_path / "hung"), *watched(quake_file, tmp_path / "out")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert until((tmp_path / "hung").exists)
        process.terminate()
        _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + signal.SIGKILL and "started again" not in said

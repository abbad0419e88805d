"""Commands run as subprocesses in a folder of their own, and the hashes of their output."""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 300.0
SETTINGS = ("EDGEQUAKE_", "TF_", "CUDA_", "KERAS_", "OMP_")  # settings of the caller that a golden command must not see
CLI = "import sys; from edgequake.cli import main; sys.exit(main())"

# Warnings are text and are hashed separately from the figures, so that a new wording does not hide a new figure.
WORDS = {"warnings"}
# Fields that differ from run to run, or depend on the machine rather than the program.
VOLATILE = {
    "age_s",  # since status.json was written
    "cpu_s",
    "date_saved",
    "edgequake_version",  # each release raises it
    "edgequake",  # ... in lists of versions
    "dead",  # whether its process has ended
    "heard_at",  # the machine's clock when samples last arrived
    "host",
    "learning_rate",  # depends on the elapsed time, and differs in its last digit
    "measured_at",
    "peak_memory_bytes",
    "process",  # that wrote status.json
    "provenance",  # machine, versions and time of a measurement
    "runtime",  # tflite-runtime or ai-edge-litert, whichever is installed
    "seconds",  # that training took
    "silent_s",  # since samples last arrived
    "versions",  # of the installed packages
    "wall_s",
    "written_at",
}
DIGITS = 10  # of floating-point figures in JSON; further digits depend on the processor


class Workplace:
    """A folder in which commands run, and the hashes of their output.

    Commands run in the folder and get relative paths, so that their output contains no path of a machine.
    """

    def __init__(self, folder: Path, group: str) -> None:
        self.folder, self.group = folder, group
        self.found: dict[str, str] = {}
        folder.mkdir(parents=True, exist_ok=True)

    # --- commands ----------------------------------------------------------------------------------------------------

    def edge(self, *words: str, data: bytes | None = None, expect: int = 0) -> bytes:
        """Run `edgequake-edge` and return what it prints."""
        return self._finish(["-m", "edgequake.edge", *words], data, expect)[0]

    def desktop(self, *words: str, expect: int = 0) -> bytes:
        """Run `edgequake` and return what it prints."""
        return self._finish(["-c", CLI, *words], None, expect)[0]

    def refused(self, program: str, *words: str) -> tuple[int, str]:
        """Run a command that is expected to fail; return its exit code and its message."""
        start = ["-m", "edgequake.edge"] if program == "edge" else ["-c", CLI]
        process = self.begin([*start, *words])
        _, said = process.communicate(timeout=TIMEOUT_S)
        return process.returncode, said.decode()

    def begin(self, arguments: Sequence[str], *, with_stdin: bool = False) -> subprocess.Popen[bytes]:
        """Start Python in the folder."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
        environment |= {"PYTHONWARNINGS": "ignore", "TF_CPP_MIN_LOG_LEVEL": "3", "TZ": "UTC", "MPLBACKEND": "agg"}
        environment |= {"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb", "LC_ALL": "C.UTF-8"}
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.PIPE if with_stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def live(self, out: str, n_samples: int, feed: Callable[[], None], *words: str) -> None:
        """Run on a live input that `feed` provides until so many samples have been received; then send SIGTERM.

        It waits for conditions, never for a time, so that the result is the same on a busy machine.
        """
        process = self.begin(["-m", "edgequake.edge", "run", *words, "--out", out, "--checkpoint-every", "0.1"])
        try:
            feed()
            wait_until(lambda: self.n_received(out) >= n_samples, process, f"{n_samples} samples in {out}")
        finally:
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=TIMEOUT_S)
        _require(process.returncode == 0, f"a live run of {self.group} ended with {process.returncode}: {said!r}")

    def n_received(self, out: str) -> int:
        """Return the number of samples that a live run reports as received."""
        try:
            return int(json.loads((self.folder / out / "status.json").read_bytes())["samples_in"])
        except FileNotFoundError:
            return 0

    def _finish(self, arguments: Sequence[str], data: bytes | None, expect: int) -> tuple[bytes, bytes]:
        process = self.begin(arguments, with_stdin=data is not None)
        printed, said = process.communicate(data, timeout=TIMEOUT_S)
        words = " ".join(arguments[2:])
        _require(process.returncode == expect, f"{words}: exit code {process.returncode}, not {expect}: {said!r}")
        return printed, said

    # --- hashes ------------------------------------------------------------------------------------------------------

    def add(self, name: str, data: bytes | str) -> None:
        """Hash bytes or a text."""
        full_name = f"{self.group}/{name}"
        _require(full_name not in self.found, f"{full_name} is hashed twice")
        self.found[full_name] = hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()

    def add_json(self, name: str, value: Any, volatile: Iterable[str] = ()) -> None:
        """Hash a JSON value without its volatile fields."""
        self.add(name, json.dumps(settled(value, {*VOLATILE, *volatile}), sort_keys=True))

    def add_file(self, name: str, path: str, hide: str | None = None) -> None:
        """Hash a file of the folder; `hide`: text in it that differs from run to run."""
        data = (self.folder / path).read_bytes()
        self.add(name, data.replace(hide.encode(), b"*") if hide else data)

    def add_tree(self, name: str, folder: str) -> None:
        """Hash each file below a folder; an empty folder is an error, because it would prove nothing."""
        top = self.folder / folder
        paths = sorted(path for path in top.rglob("*") if path.is_file())
        _require(bool(paths), f"{self.group}: there is nothing in {folder}")
        for path in paths:
            self.add(f"{name}/{path.relative_to(top).as_posix()}", path.read_bytes())

    def add_run(self, name: str, out: str, n_events: int = 1, hide: str | None = None) -> None:
        """Hash the output of a run: catalogue, segments, figures and texts of its summary.

        A run with fewer than `n_events` is an error: a broken detector would find nothing either.
        `hide` is a text that differs from run to run, for example the number of a free port.
        """
        catalog = (self.folder / out / "catalog.csv").read_text(encoding="utf-8")
        _require(len(catalog.splitlines()) > n_events, f"{self.group}/{name}: fewer than {n_events} event(s)")
        self.add_file(f"{name}/catalog.csv", f"{out}/catalog.csv", hide)
        if n_events:
            self.add_tree(f"{name}/segments", f"{out}/segments")
        text = (self.folder / out / "summary.json").read_text(encoding="utf-8")
        summary = json.loads(text.replace(hide, "*") if hide else text)
        self.add_json(f"{name}/summary.json", summary, WORDS)
        self.add_json(f"{name}/warnings", summary["warnings"])

    def add_status(self, name: str, out: str) -> None:
        """Hash the output of `status --json`."""
        status = json.loads(self.edge("status", out, "--json"))
        self.add_json(f"{name}/status", status, WORDS)


def settled(value: Any, volatile: set[str]) -> Any:
    """Return a JSON value without volatile fields and with rounded floating-point numbers."""
    if isinstance(value, dict):
        return {key: settled(inner, volatile) for key, inner in value.items() if key not in volatile}
    if isinstance(value, list):
        return [settled(inner, volatile) for inner in value]
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.{DIGITS}g}")
    return value


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes], what: str) -> None:
    """Wait until a condition holds, as long as a process runs."""
    until_s = time.monotonic() + TIMEOUT_S
    while not condition():
        _require(process.poll() is None, f"waited for {what}, but the run ended with {process.returncode}")
        _require(time.monotonic() < until_s, f"waited {TIMEOUT_S:.0f} s for {what}")
        time.sleep(0.02)


def _require(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise RuntimeError(otherwise)


# --- datagrams -------------------------------------------------------------------------------------------------------

MOST_WAITING_BYTES = 50_000  # in a socket's buffer, which holds about 200 kB


def free_port() -> int:
    """Return the number of a free UDP port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def send(port: int, datagrams: Iterable[bytes]) -> None:
    """Send datagrams to a port of this machine once a process listens on it, no faster than they are received.

    The fill of the buffer is read from Linux's /proc, so that none is lost however slow the receiver is.
    """
    until_s = time.monotonic() + TIMEOUT_S
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outlet:
        for i, data in enumerate(datagrams):
            while i % 20 == 0 and not 0 <= waiting_bytes(port) < MOST_WAITING_BYTES:
                _require(time.monotonic() < until_s, f"no process receives on port {port}")
                time.sleep(0.005)
            outlet.sendto(data, ("127.0.0.1", port))


def waiting_bytes(port: int) -> int:
    """Return the number of bytes in the buffer of the socket at a port; -1 if no process listens."""
    for line in Path("/proc/net/udp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port:
            return int(fields[4].partition(":")[2], 16)
    return -1

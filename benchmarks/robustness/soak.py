"""Memory of a live run over a long stream: a lander operates for months."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import numpy as np

from edgequake.edge.base.errors import GateError
from edgequake.edge.formats.miniseed import index_file
from edgequake.edge.results.catalog import read_catalog
from edgequake.results.progress import Progress, silent
from edgequake.results.robustness import Soak
from edgequake.synthetic.synthetic_dataset import SyntheticRecord, synthetic_record, write_miniseed

_DAY_NS = 86_400_000_000_000
_START_NS = 1_893_456_000_000_000_000  # 2030-01-01
_LONGEST_END_S = 120.0


def soak(n_days: int, seed: int, progress: Progress = silent, options: tuple[str, ...] = ()) -> Soak:
    """Feed `n_days` synthesised lunar days, one after the other, to one live run, and measure its memory.

    The run is a process of its own, fed through a pipe as on a lander; its memory is measured after each day.
    `options` are further options of the command.

    Raises
    ------
    GateError
        The run ends early or with an error, or does not end.
    """
    with tempfile.TemporaryDirectory(prefix="edgequake-soak-") as name:
        out = Path(name) / "out"
        command = [sys.executable, "-m", "edgequake.edge", "run", "-", "--out", str(out), "--checkpoint-every", "5"]
        sizes: list[int] = []
        for size_bytes in _sizes_after_each_day([*command, *options], n_days, seed, Path(name) / "stderr"):
            sizes.append(size_bytes)
            progress(len(sizes) / n_days, "days")
        n_events = len(read_catalog(out / "catalog.csv"))
    return Soak(n_days, tuple(sizes), max(sizes[1:], default=sizes[0]) - sizes[0], n_events)


def _sizes_after_each_day(command: list[str], n_days: int, seed: int, log: Path) -> Iterator[int]:
    """Yield the resident memory of a run after each day of samples."""
    day = 0
    try:
        with (
            log.open("wb") as stderr,
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=stderr) as process,
        ):
            stdin = cast(IO[bytes], process.stdin)
            try:
                for day in range(n_days):
                    stdin.write(_multiplexed(_day(seed, day)))
                    stdin.flush()
                    _wait_until_idle(process.pid)
                    yield resident_bytes(process.pid)
                stdin.close()
                process.wait(timeout=_LONGEST_END_S)
            finally:
                process.kill()  # without effect if it has ended
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise GateError(f"the run failed on day {day + 1}: {problem}; its last output: {_tail(log)}") from problem
    if process.returncode != 0:
        raise GateError(f"the run ended with exit code {process.returncode}: {_tail(log)}")


def _day(seed: int, day: int) -> SyntheticRecord:
    """Return the day of that number: one of ten synthesised days, with two moonquakes each."""
    rng = np.random.default_rng([seed, day % 10])
    start_ns = _START_NS + day * _DAY_NS
    return synthetic_record(rng, 86_400.0, (10_000.0, 52_000.0), start_ns=start_ns, ratios=(25.0, 8.0))


def _tail(log: Path) -> str:
    return log.read_text(errors="replace").strip()[-500:]


def _multiplexed(record: SyntheticRecord) -> bytes:
    """Return a record's miniSEED as it arrives on board: the records of all channels in the order of their times."""
    with tempfile.TemporaryDirectory(prefix="edgequake-soak-") as name:
        path = write_miniseed(record, Path(name) / "day.mseed")
        data = path.read_bytes()
        headers = index_file(path).headers
    return b"".join(data[header.offset : header.offset + header.size_bytes] for header in headers)


def _wait_until_idle(pid: int) -> None:
    """Wait until a process has used no CPU time for half a second."""
    before = -1
    while (now := cpu_ticks(pid)) != before:
        before = now
        time.sleep(0.5)


def cpu_ticks(pid: int) -> int:
    """Return the CPU time that a process has used, in clock ticks (`os.sysconf("SC_CLK_TCK")` a second)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def resident_bytes(pid: int | str = "self") -> int:
    """Return the resident memory of a process, by default of this one; 0 where the system does not provide it."""
    statm = Path(f"/proc/{pid}/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0

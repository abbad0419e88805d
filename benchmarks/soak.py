"""Memory over a long stream: a lander runs for months."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgequake.edge.catalog import read_catalog
from edgequake.edge.miniseed import index_file
from edgequake.synthetic import SyntheticRecord, synthetic_record, write_miniseed

Progress = Callable[[float, str], None]  # takes the share done and what is being done


@dataclass(frozen=True)
class Soak:
    """Memory over a long synthetic stream."""

    n_days: int
    resident_bytes: tuple[int, ...]  # after each day
    growth_bytes: int  # from the end of day 1 to the largest later value
    n_events: int


def resident_bytes() -> int:
    """Return the resident memory of this process now; 0 where the system does not tell."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


def soak(n_days: int, seed: int, progress: Progress | None = None, options: tuple[str, ...] = ()) -> Soak:
    """Feed `n_days` synthesised lunar days, one after the other, to one live run, and watch its memory.

    The run is a process of its own, fed through a pipe as a lander would: its memory is measured after each day.
    `options` are further ones of the command.
    """
    day_ns = 86_400_000_000_000
    sizes: list[int] = []
    with tempfile.TemporaryDirectory(prefix="edgequake-soak-") as name:
        out = Path(name) / "out"
        command = [sys.executable, "-m", "edgequake.edge", "run", "-", "--out", str(out), "--checkpoint-every", "5"]
        command += options
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
            assert process.stdin is not None
            for day in range(n_days):
                rng = np.random.default_rng([seed, day % 10])
                record = synthetic_record(
                    rng, 86_400.0, (10_000.0, 52_000.0), start_ns=1_893_456_000_000_000_000 + day * day_ns,
                    ratios=(25.0, 8.0),
                )  # fmt: skip
                process.stdin.write(_multiplexed(record))
                process.stdin.flush()
                _wait_until_idle(process.pid)
                sizes.append(resident_of(process.pid))
                if progress is not None:
                    progress((day + 1) / n_days, "days")
            process.stdin.close()
            process.wait(timeout=120)
        n_events = len(read_catalog(out / "catalog.csv"))
    return Soak(n_days, tuple(sizes), max(sizes[1:], default=sizes[0]) - sizes[0], n_events)


def _multiplexed(record: SyntheticRecord) -> bytes:
    """Return a record's miniSEED as it would arrive: its channels' records in the order of their times."""
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


def resident_of(pid: int) -> int:
    """Return the resident memory of a process, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

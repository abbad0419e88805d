"""What the runner must survive: power loss at any instant, damaged input, months of running.

Each function does one kind of harm and returns what came of it; the test suite calls them with small numbers, the
benchmark with large ones.
"""

from __future__ import annotations

import io
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgequake.benchmarks.kills import Kills, contents, kill_and_resume
from edgequake.benchmarks.soak import Soak, resident_bytes, soak
from edgequake.edge.errors import EdgequakeError
from edgequake.edge.runner import RunConfig, run

__all__ = ["Kills", "Mutations", "Soak", "contents", "kill_and_resume", "mutated", "run_mutations", "soak"]

Progress = Callable[[float, str], None]  # takes the share done and what is being done


@dataclass(frozen=True)
class Mutations:
    """Runs over damaged copies of a record."""

    n_inputs: int
    n_done: int  # came to their end with a summary
    n_refused: int  # with one line
    n_events_kept: int  # of the runs that came to their end, those that still found the record's strongest event
    failures: tuple[str, ...]  # crashes, hangs, too much memory: seed and what happened
    longest_s: float
    growth_bytes: int  # of this process's memory over all runs

    @property
    def passed(self) -> bool:
        """Whether none failed."""
        return not self.failures


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a copy of a record file with one to a dozen flipped bits, cuts, splices, repeats or bursts of noise."""
    damaged = bytearray(data)
    for _ in range(int(rng.integers(1, 13))):
        size = max(1, len(damaged))
        at = int(rng.integers(size))
        length = int(min(size - at, 2 ** rng.uniform(0, 13)))
        kind = int(rng.integers(7))
        if kind <= 1:  # flipped bits, also where they hurt most: in a header
            at = at // 512 * 512 + int(rng.integers(64)) if kind else at
            damaged[min(at, len(damaged) - 1)] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            del damaged[at : at + length]
        elif kind == 3:
            damaged[at : at + length] = rng.bytes(length)
        elif kind == 4:
            damaged[at:at] = rng.bytes(length)
        elif kind == 5:
            source = int(rng.integers(size))
            damaged[at:at] = damaged[source : source + length]
        else:
            damaged[at : at + length] = bytes(length)
        if not damaged:
            damaged = bytearray(b"\0")
    return bytes(damaged[: len(data) * 2])


def run_mutations(
    record: Path, n_inputs: int, seed: int, longest_s: float = 20.0, progress: Progress | None = None
) -> Mutations:
    """Run `n_inputs` damaged copies of a record, half as files and half as a stream on standard input.

    All in this process, so that what one leaves behind hurts the next; an alarm ends one that hangs.
    """
    data = record.read_bytes()
    n_done = n_refused = n_kept = 0
    failures: list[str] = []
    slowest_s, growth_from = 0.0, 0
    with tempfile.TemporaryDirectory(prefix="edgequake-faults-") as name:
        folder = Path(name)
        for i in range(n_inputs):
            rng = np.random.default_rng([seed, i])
            begun_s = time.monotonic()
            try:
                n_events = _run_damaged(mutated(data, rng), folder / f"{i}", as_stream=bool(i % 2), longest_s=longest_s)
                n_done += 1
                n_kept += n_events > 0
            except EdgequakeError as problem:
                n_refused += 1
                if "\n" in str(problem):
                    failures.append(f"{i}: more than a line: {problem}")
            except Exception as problem:  # what the runner must never let out
                failures.append(f"{i}: {type(problem).__name__}: {problem}")
            slowest_s = max(slowest_s, time.monotonic() - begun_s)
            if i == min(50, n_inputs // 2):
                growth_from = resident_bytes()
            if progress is not None:
                progress((i + 1) / n_inputs, "damaged inputs")
    growth = resident_bytes() - growth_from
    return Mutations(n_inputs, n_done, n_refused, n_kept, tuple(failures), slowest_s, growth)


def _run_damaged(data: bytes, folder: Path, as_stream: bool, longest_s: float) -> int:
    """Run one damaged record and return the number of events."""
    folder.mkdir()
    path = folder / "xx.lun.mseed"
    path.write_bytes(data)
    inputs = ("-",) if as_stream else (str(path),)
    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(data)) if as_stream else before
    signal.signal(signal.SIGALRM, _too_long)
    signal.setitimer(signal.ITIMER_REAL, longest_s)
    try:
        return len(run(RunConfig(inputs, folder / "out", checkpoint_s=1e9)).events)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        sys.stdin = before
        shutil.rmtree(folder)


def _too_long(number: int, frame: object) -> None:
    raise TimeoutError("the run hangs")

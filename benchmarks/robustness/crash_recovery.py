"""Power loss and damaged input: runs that are killed at random instants, and runs over damaged copies of a record.

Each function does one kind of damage and returns the consequences. The tests call them with small numbers, the
benchmarks with large ones.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgequake.benchmarks.robustness.extreme_headers import with_extreme_headers
from edgequake.benchmarks.robustness.soak import resident_bytes
from edgequake.edge.archive.day_records import RECORD_BYTES
from edgequake.edge.base.errors import EdgequakeError
from edgequake.edge.base.layout import JOURNAL, OUTBOX
from edgequake.edge.downlink.journal import read_journal
from edgequake.edge.runner import RunConfig, run
from edgequake.results.progress import Progress, silent
from edgequake.results.robustness import Kills, Mutations

_LONGEST_RUN_S = 300.0
_SERVICES = {"archive_bytes": 10_000_000, "summary_channel": True, "budget_bytes": 100_000}


def kill_and_resume(
    inputs: tuple[str, ...],
    folder: Path,
    n_kills: int,
    seed: int,
    options: tuple[str, ...] = (),
    progress: Progress = silent,
) -> Kills:
    """Run `inputs` in processes that are killed at random instants, `n_kills` in all; each resumes the one before.

    The instants are uniform over the duration of an undisturbed process. If a run completes before all kills are spent,
    another run begins in a new folder. A checkpoint is written after every batch.

    Parameters
    ----------
    inputs : files or folders.
    folder : a new one for the results.
    options : further options of the command.

    Raises
    ------
    EdgequakeError
        A process ends with an error by itself, or hangs.
    """
    rng = np.random.default_rng(seed)
    command = [sys.executable, "-m", "edgequake.edge", "run", *inputs, *options, "--checkpoint-every", "0", "--resume"]
    begun_s = time.monotonic()
    _completes([*command, "--out", str(folder / "alone")], None)
    undisturbed_s = time.monotonic() - begun_s
    expected = contents(folder / "alone")
    n_done = n_processes = n_resumed = lost_rows = partial_files = handed_twice = n_runs = 0
    sent_twice = days_over_budget = 0
    identical = True
    while n_done < n_kills:
        out = folder / f"killed-{n_runs}"
        n_runs += 1
        rows: set[str] = set()
        radio = _Radio(out, folder / f"taken-{n_runs}")
        while True:
            n_processes += 1
            kill_after_s = float(rng.uniform(0.0, undisturbed_s)) if n_done < n_kills else None
            n_resumed += (out / "checkpoint.edgequake").exists()
            if _completes([*command, "--out", str(out)], kill_after_s):
                break
            n_done += 1
            rows |= _rows(out)
            partial_files += _partial_files(out, expected)
            radio.take(rng)
            progress(n_done / n_kills, "kills")
        lost_rows += len(rows - _rows(out))
        handed_twice += radio.put_back()
        sent_twice += records_sent_twice(out)
        days_over_budget += _days_over_budget(out, options)
        identical = identical and contents(out) == expected
    return Kills(
        n_done, n_processes, n_resumed, lost_rows, partial_files, handed_twice, sent_twice, days_over_budget, identical
    )


def contents(out: Path) -> dict[str, str]:
    """Return the SHA-256 of all results of a run except its summary and its status, by name."""
    folders = ("segments", "archive", "continuous", "outbox")
    files = [path for name in folders for path in sorted((out / name).rglob("*")) if path.is_file()]
    files += [path for path in (out / "catalog.csv", out / "downlink.log") if path.exists()]
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _completes(command: list[str], kill_after_s: float | None) -> bool:
    """Run a command, kill it after a while, and return whether it completed before."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            _, stderr = process.communicate(timeout=_LONGEST_RUN_S if kill_after_s is None else kill_after_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            if kill_after_s is None:
                raise EdgequakeError(f"the run had not ended after {_LONGEST_RUN_S:.0f} s") from None
            return False
    if process.returncode != 0:
        raise EdgequakeError(f"the run ended with exit code {process.returncode}: {stderr.decode().strip()[-500:]}")
    return True


def _rows(out: Path) -> set[str]:
    catalog = out / "catalog.csv"
    lines = catalog.read_text().splitlines()[1:] if catalog.exists() else []
    return {line.rpartition(",")[0] for line in lines}  # the last column, `sent`, may change


def _partial_files(out: Path, expected: dict[str, str]) -> int:
    """Return how many files have the name of a complete file, and other contents than the undisturbed run's."""
    names = [f"{folder}/{path.name}" for folder in ("segments", "outbox") for path in (out / folder).glob("[!.]*")]
    return sum(hashlib.sha256((out / name).read_bytes()).hexdigest() != expected.get(name) for name in names)


def records_sent_twice(out: Path) -> int:
    """Return how many records of the outbox were in it before; no two of a synthesised record are equal."""
    marked = {f"{done.number:08d}" for done in read_journal(out / JOURNAL) if any(part.again for part in done.sent)}
    files = [path.read_bytes() for path in sorted((out / OUTBOX).glob("*.mseed")) if path.stem not in marked]
    records = [data[i : i + RECORD_BYTES] for data in files for i in range(0, len(data), RECORD_BYTES)]
    return len(records) - len(set(records))


def _days_over_budget(out: Path, options: tuple[str, ...]) -> int:
    """Return how many UTC days exceed the budget, by the sizes of the files that the radio would have taken."""
    if "--budget" not in options:
        return 0
    budget_bytes = int(options[options.index("--budget") + 1])
    by_day: dict[int, int] = {}
    for done in read_journal(out / JOURNAL):
        size_bytes = sum((out / OUTBOX / file.name).stat().st_size for file in done.files)
        by_day[done.day] = by_day.get(done.day, 0) + size_bytes
    return sum(size_bytes > budget_bytes for size_bytes in by_day.values())


class _Radio:
    """Takes files out of an outbox from time to time, as a radio does, while the runner is dead."""

    def __init__(self, out: Path, taken: Path) -> None:
        self._outbox, self._taken = out / "outbox", taken

    def take(self, rng: np.random.Generator) -> None:
        """Take the first few files."""
        names = sorted(path.name for path in self._outbox.glob("[!.]*"))
        self._taken.mkdir(parents=True, exist_ok=True)
        for name in names[: int(rng.integers(0, 4))]:
            target = self._taken / name
            (self._outbox / name).replace(target if not target.exists() else self._taken / f"again-{name}")

    def put_back(self) -> int:
        """Put all files back, and return how many had appeared a second time."""
        n_again = 0
        for path in sorted(self._taken.glob("*")) if self._taken.exists() else ():
            back = self._outbox / path.name
            n_again += back.exists() or path.name.startswith("again-")
            path.replace(back)
        return n_again


def run_mutations(
    record: Path, n_inputs: int, seed: int, longest_s: float = 20.0, progress: Progress = silent
) -> Mutations:
    """Run `n_inputs` damaged copies of a record, half as files and half as a stream on standard input.

    Every third one is whole but for extreme values in headers, and is run with archive, SSAM channels and downlink.

    All run in this process, so that anything one leaves behind affects the next; an alarm ends one that hangs.
    """
    data = record.read_bytes()
    n_done = n_refused = n_kept = 0
    failures: list[str] = []
    slowest_s, bytes_before = 0.0, 0
    with tempfile.TemporaryDirectory(prefix="edgequake-faults-") as name:
        folder = Path(name)
        for i in range(n_inputs):
            rng = np.random.default_rng([seed, i])
            begun_s = time.monotonic()
            try:
                is_extreme = i % 3 == 2
                damaged = with_extreme_headers(data, rng) if is_extreme else mutated(data, rng)
                n_events = _run_damaged(
                    damaged, folder / f"{i}", bool(i % 2), longest_s, _SERVICES if is_extreme else {}
                )
                n_done += 1
                n_kept += n_events > 0
            except EdgequakeError as problem:
                n_refused += 1
                if "\n" in str(problem):
                    failures.append(f"{i}: more than a line: {problem}")
            except Exception as problem:  # the runner must never raise this
                failures.append(f"{i}: {type(problem).__name__}: {problem}")
            slowest_s = max(slowest_s, time.monotonic() - begun_s)
            if i == min(50, n_inputs // 2):
                bytes_before = resident_bytes()
            progress((i + 1) / n_inputs, "damaged inputs")
    growth = resident_bytes() - bytes_before
    return Mutations(n_inputs, n_done, n_refused, n_kept, tuple(failures), slowest_s, growth)


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a copy of a record file with one to a dozen flipped bits, cuts, splices, repeats or bursts of noise."""
    damaged = bytearray(data)
    for _ in range(int(rng.integers(1, 13))):
        size = max(1, len(damaged))
        at = int(rng.integers(size))
        length = int(min(size - at, 2 ** rng.uniform(0, 13)))
        kind = int(rng.integers(7))
        if kind <= 1:  # a flipped bit; of the second kind in a header, where it does most damage
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


def _run_damaged(data: bytes, folder: Path, as_stream: bool, longest_s: float, services: dict[str, Any]) -> int:
    """Run one damaged record and return the number of events; `services`: further options of the run."""
    folder.mkdir()
    path = folder / "xx.lun.mseed"
    path.write_bytes(data)
    inputs = ("-",) if as_stream else (str(path),)
    stdin = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(data)) if as_stream else stdin
    signal.signal(signal.SIGALRM, _too_long)
    signal.setitimer(signal.ITIMER_REAL, longest_s)
    try:
        return len(run(RunConfig(inputs, folder / "out", checkpoint_s=1e9, **services)).events)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        sys.stdin = stdin
        shutil.rmtree(folder)


def _too_long(number: int, frame: object) -> None:
    raise TimeoutError("the run hangs")

"""Live runs whose system calls fail, one after the other: what they lose, and whether they say so.

`failing_calls.c` is compiled and loaded into the process of the run. Each run gets the same records on standard input;
after it another process resumes in the same folder, with a later day and nothing failing.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgequake.benchmarks.robustness.crash_recovery import records_sent_twice
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.base.layout import CATALOG, JOURNAL, OUTBOX, SEGMENTS
from edgequake.edge.downlink.journal import read_journal
from edgequake.edge.formats.miniseed import index_file
from edgequake.edge.results.catalog import read_catalog
from edgequake.results.progress import Progress, silent
from edgequake.results.robustness import FailingCalls
from edgequake.synthetic.synthetic_dataset import synthetic_record, write_miniseed

SOURCE = Path(__file__).with_name("failing_calls.c")
# The budget carries the whole event at the end, so that the outbox of a run that catches up is comparable.
OPTIONS = (
    "--archive-bytes", "300000", "--summary-channel", "--budget", "400000", "--pass-every", "600",
)  # fmt: skip
_LONGEST_RUN_S = 120.0
_BEGUN = "XX_LUN: model moon"  # said when the first samples are processed
FOR_EVER = 1 << 40


@dataclass(frozen=True)
class CallFault:
    """How calls fail."""

    name: str
    error: int
    n_calls: int  # from the first one on
    reads: bool = False  # opening a file for reading fails too
    is_short: bool = False  # a write does half of its work


FAULTS = (
    CallFault("full, once", errno.ENOSPC, 1),
    CallFault("full, for 4 calls", errno.ENOSPC, 4),
    CallFault("full, from there on", errno.ENOSPC, FOR_EVER),
    CallFault("no quota, for 4 calls", errno.EDQUOT, 4),
    CallFault("read-only, for 4 calls", errno.EROFS, 4),
    CallFault("read-only, from there on", errno.EROFS, FOR_EVER),
    CallFault("i/o error, once", errno.EIO, 1, reads=True),
    CallFault("i/o error, for 4 calls", errno.EIO, 4, reads=True),
    CallFault("no descriptors, once", errno.EMFILE, 1, reads=True),
    CallFault("no descriptors, for 4 calls", errno.ENFILE, 4, reads=True),
    CallFault("short write, once", errno.ENOSPC, 1, is_short=True),
    CallFault("short writes, for 4 calls", errno.ENOSPC, 4, is_short=True),
)


def compile_shim(folder: Path, source: Path = SOURCE) -> Path:
    """Return a library to be loaded with LD_PRELOAD, by default the one that has calls fail, compiled in `folder`.

    Raises
    ------
    ConfigError
        There is no C compiler, or no LD_PRELOAD on this system.
    """
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        raise ConfigError("failing or recorded system calls need Linux and a C compiler, cc")
    library = folder / f"{source.stem}.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl", "-lpthread"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ConfigError(f"{source.name} cannot be compiled: {done.stderr.strip()[:200]}")
    return library


def live_record(folder: Path, start_day: int, seed: int) -> bytes:
    """Return two and a half hours of three channels with a strong quake, record by record in the order of time."""
    made = synthetic_record(np.random.default_rng(seed), 9000.0, (4000.0,), ratios=(25.0,), noise_counts=0.5)
    path = write_miniseed(made, folder / f"{start_day}.mseed")
    data = path.read_bytes()
    records = [data[one.offset : one.offset + one.size_bytes] for one in index_file(path).headers]
    return b"".join(_on_day(record, start_day) for record in records)


def _on_day(record: bytes, n_days: int) -> bytes:
    """Move a miniSEED 2 record by days within the year."""
    day = int.from_bytes(record[22:24], "big") + n_days
    return record[:22] + day.to_bytes(2, "big") + record[24:]


class CallFaultTest:
    """Runs with failing calls, compared with an undisturbed one."""

    def __init__(self, folder: Path) -> None:
        """Prepare in `folder`, which is to be empty; raises as `compile_shim`."""
        self._folder = folder
        self._library = compile_shim(folder)
        self._data, self._later = live_record(folder, 0, 11), live_record(folder, 1, 11)
        self._alone = folder / "alone"
        counts = folder / "count"
        code, said = self._run(self._alone, self._data, FAIL_COUNT=str(counts), FAIL_READS="1")
        if code != 0 or len(_rows(self._alone)) != 1:
            raise DataError(f"the undisturbed run failed: {said[-300:]}")
        self.n_calls = int(counts.read_text())  # of the undisturbed run
        self._n_done = 0

    def run(self, fault: CallFault, at: int) -> tuple[str, ...]:
        """Have calls fail from number `at` on; return what was wrong then."""
        out = self._folder / f"out-{self._n_done}"
        self._n_done += 1
        code, said = self._run(
            out,
            self._data,
            FAIL_AT=str(at),
            FAIL_FOR=str(fault.n_calls),
            FAIL_ERRNO=str(fault.error),
            FAIL_READS=str(int(fault.reads)),
            FAIL_SHORT=str(int(fault.is_short)),
        )
        wrong = _ended_wrong(code, said)
        if code != 0 and fault.n_calls == 1 and _BEGUN in said:
            wrong.append(f"a single failing call has ended a run that had begun: {said[-300:]}")
        kept = _rows(out)
        if code == 0 and (kept != _rows(self._alone) or _segments(out) != _segments(self._alone)):
            wrong.append("catalogue or segments differ from those of the undisturbed run")
        code, said = self._run(out, self._later)
        wrong += [f"resumed: {text}" for text in _ended_wrong(code, said)] or ([] if code == 0 else [said[-200:]])
        rows = _rows(out)
        if not kept <= rows:
            wrong.append(f"{len(kept - rows)} acknowledged event(s) lost")
        if not any("20300102" in row for row in rows):
            wrong.append("the event of the next day was not found")
        wrong += _delivered_wrong(out)
        shutil.rmtree(out)
        return tuple(f"{fault.name}, call {at}: {text}" for text in wrong)

    def _run(self, out: Path, data: bytes, **failing: str) -> tuple[int, str]:
        """Run a process on records; return its exit code and what it said."""
        command = [sys.executable, "-m", "edgequake.edge", "run", "-", "--out", str(out), "--resume"]
        environment = {"LD_PRELOAD": str(self._library), "FAIL_ROOT": str(out), **failing} if failing else {}
        done = subprocess.run(
            [*command, "--spool-bytes", "0", *OPTIONS],
            input=data,
            capture_output=True,
            timeout=_LONGEST_RUN_S,
            env={**os.environ, **environment},
            check=False,
        )
        return done.returncode, done.stderr.decode()


def run_failing_calls(folder: Path, n_runs: int, seed: int, progress: Progress = silent) -> FailingCalls:
    """Have calls fail in `n_runs` runs: each fault of `FAULTS` in turn, at a random call.

    Raises
    ------
    ConfigError
        As `compile_shim`.
    """
    test, rng = CallFaultTest(folder), np.random.default_rng(seed)
    failures: list[str] = []
    for i in range(n_runs):
        failures += test.run(FAULTS[i % len(FAULTS)], int(rng.integers(1, test.n_calls + 1)))
        progress((i + 1) / n_runs, "failing calls")
    return FailingCalls(n_runs, test.n_calls, tuple(failures))


def _ended_wrong(code: int, said: str) -> list[str]:
    """Return what is wrong with how a process ended: not with exit code 0, or 1 and one line."""
    n_errors = said.count("edgequake-edge: error: ")
    wrong = [] if code in (0, 1) else [f"exit code {code}: {said[-300:]}"]
    wrong += [f"a traceback: {said[-300:]}"] if "Traceback" in said or "a defect of" in said else []
    last = said.rstrip().rpartition("\n")[2]
    if (code == 1) != (n_errors == 1) or (code == 1 and not last.startswith("edgequake-edge: error: ")):
        wrong.append(f"exit code {code} with {n_errors} error line(s): {said[-300:]}")
    return wrong


def _delivered_wrong(out: Path) -> list[str]:
    """Return what is wrong with the outbox: every file of the journal is there as it says, no record twice."""
    wrong = []
    numbers = [done.number for done in read_journal(out / JOURNAL)]
    if len(numbers) != len(set(numbers)):
        wrong.append(f"a pass is in the journal twice: {numbers}")
    for done in read_journal(out / JOURNAL):
        for file in done.files:
            path = out / OUTBOX / file.name
            if not path.exists() or path.stat().st_size != file.size_bytes:
                wrong.append(f"{file.name} of the journal is not in the outbox, or of another size")
    if n := records_sent_twice(out):
        wrong.append(f"{n} record(s) sent twice")
    return wrong


def _rows(out: Path) -> set[str]:
    path = out / CATALOG
    return {f"{row.evid} {row.onset_ns} {row.priority:.4f}" for row in read_catalog(path)} if path.exists() else set()


def _segments(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / SEGMENTS).glob("[!.]*")}

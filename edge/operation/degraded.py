"""What a live run does when something fails: it goes on in memory while the disk cannot be written, and a fault that
nobody has foreseen costs one batch, which is kept in DIR/set-aside.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edgequake.edge.base.atomic_files import Backoff, may_pass, write_bytes_atomically
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.durations import duration
from edgequake.edge.base.errors import DataError, EdgequakeError
from edgequake.edge.base.layout import SET_ASIDE
from edgequake.edge.base.own_folder import OwnFolder
from edgequake.edge.formats.miniseed import encode
from edgequake.edge.formats.waveforms import format_time
from edgequake.edge.inputs.source import Batch, Source

STATUS_TASK = "status"
_LAST_TRIES = 2  # of each task at the end of a run: a failure of a moment loses nothing


@dataclass(frozen=True)
class _Failure:
    """Why a task has failed."""

    reason: str  # in the system's words
    message: str | None  # with which a run ends that cannot do it even then; None: of a task that others try again


class Degraded:
    """Does the tasks of a run that write; live, one that fails is tried again later, and detection goes on.

    A condition lasts from the first failure until everything that failed has been done. It is reported on stderr at its
    begin, for each further reason, and at its end; `text` describes it for `status`.
    """

    def __init__(
        self,
        is_live: bool,
        diagnostics: Diagnostics,
        log: Callable[[str], None],
        now_s: Callable[[], float] = time.monotonic,
        own: OwnFolder | None = None,
    ) -> None:
        """Report to `diagnostics` and `log`.

        now_s : returns the machine's monotonic time.
        own : the run's folder, which is held again before each task of a live run where another one is in its place.
        """
        self._own = own
        self.is_live, self._diagnostics, self._log, self._now_s = is_live, diagnostics, log, now_s
        self._backoffs: dict[str, Backoff] = {}  # by task
        self._failing: dict[str, _Failure] = {}  # by task
        self._reasons: set[str] = set()  # that have been said
        self._since_ns = 0
        self._begun_s = 0.0
        self.is_ending = False  # no task will be tried again later: each is tried now

    @property
    def text(self) -> str | None:
        """What cannot be written at present, since when and why, beside the status, in which it is read; or None."""
        failing = {task: failure.reason for task, failure in self._failing.items() if task != STATUS_TASK}
        if not failing:
            return None
        reasons = "; ".join(dict.fromkeys(failing.values()))
        return f"cannot write {', '.join(sorted(failing))} since {format_time(self._since_ns)[:19]}Z: {reasons}"

    def attempt(self, task: str, action: Callable[[], object]) -> bool:
        """Do a task; return whether it was done. Where it has failed, it is not tried again before the pause is over.

        Raises
        ------
        Exception
            As the task, in a run over files.
        """
        if not self.is_live:
            action()
            return True
        backoff = self._backoffs.setdefault(task, Backoff(self._now_s))
        if backoff.is_pausing and not self.is_ending:
            return False
        for n_left in range(_LAST_TRIES if self.is_ending else 1, 0, -1):
            try:
                self._hold_again()
                action()
            except Exception as problem:  # a defect, too, must not end the run before its events are written
                if n_left > 1:
                    continue
                backoff.failed()
                message = str(problem) if isinstance(problem, DataError) else f"{task}: {_reason(problem)}"
                self._begin(task, _Failure(_reason(problem), message))
                return False
            break
        backoff.succeeded()
        self._end(task)
        return True

    def _hold_again(self) -> None:
        """Raise what `OwnFolder.hold_again` raises."""
        if self._own is not None and self._own.hold_again():
            self._diagnostics.count("time(s) the folder of the run, or its lock, was removed or replaced")
            self._log(
                "the folder of the run, or its lock, was removed or replaced; the run goes on in what is there now"
            )

    @property
    def problem(self) -> str | None:
        """Why the first of the tasks has failed that are still to be done; None: all of them are done."""
        return next((failure.message for failure in self._failing.values() if failure.message is not None), None)

    def is_due(self, task: str) -> bool:
        """Whether a task that has failed is to be tried again."""
        return task in self._failing and not self._backoffs[task].is_pausing

    def note(self, task: str, problem: Exception | None) -> None:
        """Note that a task has failed, or has been done; of one that others try again."""
        if not self.is_live:
            return
        failure = self._failing.get(task)
        is_tried_here = failure is not None and failure.message is not None
        if problem is not None and not is_tried_here:
            self._begin(task, _Failure(_reason(problem), None))
        elif problem is None and not is_tried_here:
            self._end(task)

    def _begin(self, task: str, failure: _Failure) -> None:
        """Enter a task that has failed; say so where nothing had, or for another reason."""
        if not self._failing:
            self._since_ns, self._begun_s, self._reasons = time.time_ns(), self._now_s(), set()
            self._diagnostics.count("time(s) the run could not write to its folder, and went on in memory")
        self._failing[task] = failure
        reason = failure.reason
        if reason not in self._reasons:
            self._reasons.add(reason)
            self._log(f"degraded: {task} cannot be written: {reason}; detection goes on in memory, it is tried again")

    def _end(self, task: str) -> None:
        """Strike a task that has been done; say so where everything has."""
        if self._failing.pop(task, None) is not None and not self._failing:
            after_s = self._now_s() - self._begun_s
            self._log(f"no longer degraded: everything that waited is written, after {duration(after_s)}")


def _reason(problem: Exception) -> str:
    """Return why a task failed in the system's words, so that one condition has one reason whatever the file."""
    cause = problem if isinstance(problem, OSError) else problem.__cause__
    if isinstance(cause, OSError) and cause.errno is not None:
        return os.strerror(cause.errno)
    return str(problem) if isinstance(problem, DataError) else f"{type(problem).__name__}: {problem}"


MOST_FILES, MOST_FILE_BYTES = 10, 1_000_000  # of input that is set aside: enough to find the fault on the ground
_MOST_IN_A_ROW = 10  # faults of the source with no batch in between: then nothing can be read from it
_MOST_SAID = 100  # different faults; further ones are only counted


class Incidents:
    """Says, counts and keeps what has failed, so that nothing but a fault of the whole run ends a live run."""

    def __init__(self, out: Path, is_live: bool, diagnostics: Diagnostics, log: Callable[[str], None]) -> None:
        """Keep in DIR/set-aside what cannot be processed; a run over files ends at the first incident instead."""
        self._folder, self._is_live = out / SET_ASIDE, is_live
        self._diagnostics, self._log = diagnostics, log
        self._said: set[str] = set()

    def batches(self, source: Source) -> Iterator[Batch | None]:
        """Yield the batches of a source, which begins again where it was when it fails.

        Raises
        ------
        Exception
            As the source, in a run over files, or when it fails again and again without yielding anything.
        """
        n_in_a_row = 0
        while True:
            try:
                for batch in source.batches():
                    n_in_a_row = 0 if batch is not None else n_in_a_row
                    yield batch
                return
            except Exception as problem:
                n_in_a_row += 1
                if n_in_a_row > _MOST_IN_A_ROW or not self.may_go_on(problem):
                    raise
                self.note("input", problem)

    def flush(self, source: Source) -> Iterator[Batch]:
        """Yield what a source holds at the end; where it fails, the rest is left out.

        Raises
        ------
        Exception
            As the source, in a run over files.
        """
        try:
            yield from source.flush()
        except Exception as problem:
            if not self.may_go_on(problem):
                raise
            self.note("the end of the input", problem)

    def may_go_on(self, problem: Exception) -> bool:
        """Whether the run can do without what has failed: not where the error says that it is unusable for good."""
        return self._is_live and (not isinstance(problem, EdgequakeError) or may_pass(problem))

    def note(self, what: str, problem: Exception, batch: Batch | None = None) -> None:
        """Count a fault, say it once, and keep the input that has caused it; `what`: what has been left out."""
        message = " ".join(str(problem).split())[:200]
        text = f"{what} left out: {type(problem).__name__}: {message}"
        self._diagnostics.count(text)
        if text not in self._said and len(self._said) < _MOST_SAID:
            self._said.add(text)
            self._log(f"{text}; the run goes on")
            if batch is not None:
                self._keep(batch)

    def _keep(self, batch: Batch) -> None:
        """Keep the traces of a batch as miniSEED. Whatever fails here fails silently: it is beside the point."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            names = (self._folder / f"{i:03d}.mseed" for i in range(1, MOST_FILES + 1))
            path = next((path for path in names if not path.exists()), None)
            data = encode(batch.traces)
            if path is not None and len(data) <= MOST_FILE_BYTES:
                write_bytes_atomically(path, data)
        except Exception as problem:
            self._diagnostics.count(f"batch(es) could not be set aside: {type(problem).__name__}")

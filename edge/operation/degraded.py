"""What a live run cannot write at present: said once, tried again after a pause, and said when it is over."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from edgequake.edge.base.backoff import Backoff
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.waveforms import format_time

STATUS_TASK = "status"
_LAST_TRIES = 2  # of each task at the end of a run: a failure of a moment loses nothing


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
    ) -> None:
        """Report to `diagnostics` and `log`; `now_s` returns the machine's monotonic time."""
        self.is_live, self._diagnostics, self._log, self._now_s = is_live, diagnostics, log, now_s
        self._backoffs: dict[str, Backoff] = {}  # by task
        self._failing: dict[str, str] = {}  # by task: why
        self._reasons: set[str] = set()  # that have been said
        self._since_ns = 0
        self._begun_s = 0.0
        self._problems: dict[str, str] = {}  # by task that is tried here
        self.is_ending = False  # no task will be tried again later: each is tried now

    @property
    def text(self) -> str | None:
        """What cannot be written at present, since when and why, beside the status, in which it is read; or None."""
        failing = {task: reason for task, reason in self._failing.items() if task != STATUS_TASK}
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
                action()
            except Exception as problem:  # a defect, too, must not end the run before its events are written
                if n_left > 1:
                    continue
                backoff.failed()
                self._problems[task] = str(problem) if isinstance(problem, DataError) else f"{task}: {_reason(problem)}"
                self.note(task, problem)
                return False
            break
        backoff.succeeded()
        self._problems.pop(task, None)
        self.note(task, None)
        return True

    @property
    def problem(self) -> str | None:
        """Why the first of the tasks has failed that are still to be done; None: all of them are done."""
        return next(iter(self._problems.values()), None)

    def is_due(self, task: str) -> bool:
        """Whether a task that has failed is to be tried again."""
        return task in self._failing and not self._backoffs[task].is_pausing

    def note(self, task: str, problem: Exception | None) -> None:
        """Note that a task has failed, or has been done; of one that others try again."""
        if not self.is_live:
            return
        if problem is None:
            if self._failing.pop(task, None) is not None and not self._failing:
                self._end()
            return
        reason = _reason(problem)
        if not self._failing:
            self._since_ns, self._begun_s, self._reasons = time.time_ns(), self._now_s(), set()
            self._diagnostics.count("time(s) the run could not write to its folder, and went on in memory")
        self._failing[task] = reason
        if reason not in self._reasons:
            self._reasons.add(reason)
            self._log(f"degraded: {task} cannot be written: {reason}; detection goes on in memory, it is tried again")

    def _end(self) -> None:
        self._log(f"no longer degraded: everything that waited is written, after {self._now_s() - self._begun_s:.0f} s")


def _reason(problem: Exception) -> str:
    """Return why a task failed in the system's words, so that one condition has one reason whatever the file."""
    cause = problem if isinstance(problem, OSError) else problem.__cause__
    if isinstance(cause, OSError) and cause.errno is not None:
        return os.strerror(cause.errno)
    return str(problem) if isinstance(problem, DataError) else f"{type(problem).__name__}: {problem}"

"""The reviews of a run: what reviewers have said of each event, what it comes to, and how it is taken back.

    store = ReviewStore.beside(run)              # RUN-reviews, beside the run folder
    store.review(ACCEPT, [evid], "ann")          # or REJECT; CLASS, ONSET and NOTE with a value
    store.undo("ann")                            # takes her last action back, bulk ones as a whole
    store.refresh()                              # what other processes have added
    store.of(evid).verdict

The state of an event is what its actions come to, in the order of the log: the last verdict, class, onset and note
count. A class or an onset given to an event without a verdict accepts it. An event that the run has not found is added
with `add`, and then reviewed as any other.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.formats.waveforms import format_time
from edgequake.serve.reviews.added_event import AddedEvent
from edgequake.serve.reviews.review_log import (
    ACCEPT,
    ADD,
    CLASS,
    NOTE,
    ONSET,
    REJECT,
    UNDO,
    ReviewAction,
    append_action,
    read_actions,
)

LOG, RUN_NAME = "reviews.jsonl", "run.json"
SUFFIX = "-reviews"  # of the folder beside a run folder


@dataclass(frozen=True)
class Review:
    """What the actions on an event come to.

    Attributes
    ----------
    verdict : `ACCEPT`, `REJECT`, or None where nobody has said.
    mq_type : class that a reviewer has given; None: the model's stands.
    onset_ns : onset that a reviewer has moved it to; None: the model's stands.
    note : the last note, blank without one.
    reviewer, time_ns : of the last action; blank and 0 without one.
    judge : who gave the verdict, the class or the onset last: whose label it is.
    added : the event, where the run has not found it and a reviewer has added it.
    """

    verdict: str | None = None
    mq_type: str | None = None
    onset_ns: int | None = None
    note: str = ""
    reviewer: str = ""
    time_ns: int = 0
    judge: str = ""
    added: AddedEvent | None = None

    def after(self, action: ReviewAction) -> Review:
        """Return the review after one more action."""
        last = replace(self, reviewer=action.reviewer, time_ns=action.time_ns)
        if action.action == NOTE:
            return replace(last, note=action.value)
        last = replace(last, judge=action.reviewer)
        if action.action in (ACCEPT, REJECT):
            return replace(last, verdict=action.action)
        if action.action == ADD:
            added = action.added
            note = added.note or last.note
            return replace(last, verdict=ACCEPT, mq_type=added.mq_type or last.mq_type, note=note, added=added)
        last = replace(last, verdict=last.verdict or ACCEPT)
        if action.action == CLASS:
            return replace(last, mq_type=action.value)
        return replace(last, onset_ns=action.onset_ns)


_NONE = Review()


class ReviewStore:
    """The folder of reviews of one run; several processes may read and write it at once, and several threads."""

    n_damaged: int  # lines that could not be read
    _offset: int  # in the log, of what has been read
    _reviews: dict[str, Review]
    _by_event: dict[str, list[ReviewAction]]  # that stand
    _standing: dict[str, list[ReviewAction]]  # by reviewer

    def __init__(self, folder: Path, run: Path) -> None:
        """Open, or make, a folder of reviews of the events in a run folder.

        Raises
        ------
        ConfigError
            The folder lies in the run folder, where only the runner writes, or has the reviews of another run.
        DataError
            The folder cannot be made or read.
        """
        self.folder, self.run = folder, run
        if folder.resolve().is_relative_to(run.resolve()):
            raise ConfigError(f"reviews in {folder} would lie in the run folder; choose a folder beside {run}")
        self._log = folder / LOG
        self._lock = threading.RLock()
        self._claim()
        self._clear()
        self.refresh()

    @classmethod
    def beside(cls, run: Path) -> ReviewStore:
        """Open the reviews in ``RUN-reviews``, beside the run folder."""
        return cls(folder_beside(run), run)

    @classmethod
    def of_folder(cls, folder: Path) -> ReviewStore:
        """Open a folder of reviews that is there; it names its run.

        Raises
        ------
        DataError
            It is no folder of reviews.
        """
        return cls(folder, run_of(folder))

    def review(self, action: str, events: Sequence[str], reviewer: str, value: str = "") -> ReviewAction:
        """Do an action on events, durably, as one: it is undone as a whole.

        action : `ACCEPT`, `REJECT`, `CLASS`, `ONSET` or `NOTE`.
        value : the class, the onset as ISO 8601 UTC text, or the note.

        Raises
        ------
        ConfigError
            No such action, too many events, texts that are too long, or an onset that is no time.
        DataError
            It cannot be written.
        """
        if action in (ADD, UNDO):
            raise ConfigError("an event is added with add(), an action is taken back with undo()")
        return self._append(ReviewAction(action, tuple(dict.fromkeys(events)), reviewer.strip(), value.strip()))

    def add(self, event: AddedEvent, reviewer: str) -> ReviewAction:
        """Add an event that the run has not found, as accepted; otherwise as `review`."""
        return self._append(ReviewAction(ADD, (event.evid,), reviewer.strip(), event.text()))

    def move_onset(self, event: str, onset_ns: int, reviewer: str) -> ReviewAction:
        """Move the onset of an event; otherwise as `review`."""
        return self.review(ONSET, [event], reviewer, format_time(onset_ns) + "Z")

    def undo(self, reviewer: str) -> ReviewAction | None:
        """Take back the last action of a reviewer that stands; return it, None where there is none.

        Raises
        ------
        DataError
            It cannot be written.
        """
        with self._lock:
            self.refresh()
            standing = self._standing.get(reviewer.strip())
            if not standing:
                return None
            last = standing[-1]
            self._append(ReviewAction(UNDO, (), reviewer.strip(), last.key))
            return last

    def refresh(self) -> bool:
        """Read what has been added since; return whether there was anything.

        Raises
        ------
        DataError
            The log cannot be read.
        """
        with self._lock:
            begun = self._offset
            try:
                if self._log.stat().st_size < self._offset:  # put back from a backup
                    self._clear()
            except FileNotFoundError:
                self._clear()
                return begun > 0
            for stop, action in read_actions(self._log, self._offset):
                self._offset = stop
                if action is None:
                    self.n_damaged += 1
                else:
                    self._take(action)
            return self._offset != begun

    def of(self, event: str) -> Review:
        """Return what the reviews of an event come to; of none: a `Review` without a verdict."""
        with self._lock:
            return self._reviews.get(event, _NONE)

    def all(self) -> Mapping[str, Review]:
        """Return the reviews of all events that have any, by name."""
        with self._lock:
            return dict(self._reviews)

    def added(self) -> list[Review]:
        """Return the reviews of events that reviewers have added, by onset."""
        with self._lock:
            found = [review for review in self._reviews.values() if review.added is not None]
        return sorted(found, key=lambda one: (one.added.onset_ns, one.added.station_id) if one.added else (0, ""))

    def history(self, event: str) -> tuple[ReviewAction, ...]:
        """Return the actions on an event that stand, oldest first."""
        with self._lock:
            return tuple(self._by_event.get(event, ()))

    def counts(self, among: Iterable[str] | None = None) -> dict[str, int]:
        """Return how many events are accepted and rejected, of those given or of all."""
        with self._lock:
            names = self._reviews if among is None else among
            verdicts = [self._reviews.get(name, _NONE).verdict for name in names]
        return {verdict: verdicts.count(verdict) for verdict in (ACCEPT, REJECT)}

    def _append(self, action: ReviewAction) -> ReviewAction:
        with self._lock:
            append_action(self._log, action)
            self.refresh()
        return action

    def _clear(self) -> None:
        self._offset = 0
        self.n_damaged = 0
        self._reviews, self._by_event, self._standing = {}, {}, {}

    def _take(self, action: ReviewAction) -> None:
        standing = self._standing.setdefault(action.reviewer, [])
        if action.action != UNDO:
            standing.append(action)
            for event in action.events:
                self._by_event.setdefault(event, []).append(action)
                self._reviews[event] = self._reviews.get(event, _NONE).after(action)
            return
        undone = next((one for one in reversed(standing) if one.key == action.value), None)
        if undone is None:  # a second undo of two at once
            return
        standing.remove(undone)
        for event in undone.events:
            self._by_event[event].remove(undone)
            self._sum_up(event)

    def _sum_up(self, event: str) -> None:
        actions, review = self._by_event[event], _NONE
        for action in actions:
            review = review.after(action)
        if actions:
            self._reviews[event] = review
        else:
            del self._by_event[event], self._reviews[event]

    def _claim(self) -> None:
        """Make the folder and note whose events it reviews."""
        path = self.folder / RUN_NAME
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise DataError(f"cannot make {self.folder}: {problem.strerror or problem}") from problem
        if not path.exists():
            relative = os.path.relpath(self.run.resolve(), self.folder.resolve())
            write_bytes_atomically(path, json.dumps({"run": relative}).encode() + b"\n")
        elif run_of(self.folder).resolve() != self.run.resolve():
            raise ConfigError(f"{self.folder} has the reviews of {run_of(self.folder)}, not of {self.run}")


def folder_beside(run: Path) -> Path:
    """Return where the reviews of a run are by default."""
    whole = run.resolve()
    return whole.with_name(whole.name + SUFFIX)


def run_of(folder: Path) -> Path:
    """Return the run folder whose events a folder of reviews is about; it is named relative to the folder.

    Raises
    ------
    DataError
        It is no folder of reviews.
    """
    path = folder / RUN_NAME
    try:
        named = json.loads(path.read_text(encoding="utf-8"))["run"]
        return Path(os.path.normpath(folder.resolve() / str(named)))
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise DataError(f"{folder} is no folder of reviews: {path} cannot be read: {problem}") from problem

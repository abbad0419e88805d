"""The log of reviews: a line of JSON for each action of a reviewer, appended and synced, by any number of processes.

A line is whole before `append_action` returns. What a power loss leaves of a line is ended by the next one and counts
as damaged; no line is ever changed or removed, so that who said what and when can always be told.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgequake.edge.base.atomic_files import LONGEST_LINE_BYTES, append, lines_from, remedy_for
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.base.inert_text import one_line
from edgequake.edge.formats.waveforms import format_time, parse_time
from edgequake.scan.storage.file_lock import locked
from edgequake.serve.reviews.added_event import AddedEvent

ACCEPT, REJECT, CLASS, ONSET, NOTE, ADD, UNDO = "accept", "reject", "class", "onset", "note", "add", "undo"
ACTIONS = (ACCEPT, REJECT, CLASS, ONSET, NOTE, ADD, UNDO)
MOST_EVENTS = 10_000  # of one action, as of a bulk selection: its line stays far below the longest that is read
LONGEST_REVIEWER, LONGEST_CLASS, LONGEST_NOTE, LONGEST_NAME = 64, 64, 4000, 256  # letters
LONGEST_ADDED = 6 * LONGEST_NOTE + 1024  # of an added event as JSON, which may write six letters for one


@dataclass(frozen=True)
class ReviewAction:
    """What one reviewer has done at one time.

    Attributes
    ----------
    action : one of `ACTIONS`.
    events : names of the events (evid of the catalogue); of an undo, none.
    reviewer : who, as they call themselves.
    value : the class, the note, the onset as UTC text, an `AddedEvent` as text, or the `key` of the action that an undo
        takes back; else blank.
    time_ns : when, ns since 1970 UTC.
    key : of this action.
    """

    action: str
    events: tuple[str, ...]
    reviewer: str
    value: str = ""
    time_ns: int = field(default_factory=time.time_ns)
    key: str = field(default_factory=lambda: secrets.token_hex(8))

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise ConfigError(f"review '{one_line(self.action)[:40]}': expected one of {', '.join(ACTIONS)}")
        if not self.reviewer.strip() or len(self.reviewer) > LONGEST_REVIEWER:
            raise ConfigError(f"a review needs the name of its reviewer, of at most {LONGEST_REVIEWER} letters")
        if (self.action == UNDO) != (not self.events) or len(self.events) > MOST_EVENTS:
            raise ConfigError(f"a review is of 1 to {MOST_EVENTS} events, got {len(self.events)}")
        if any(not name or len(name) > LONGEST_NAME for name in self.events):
            raise ConfigError(f"the name of an event has 1 to {LONGEST_NAME} letters")
        longest = {CLASS: LONGEST_CLASS, NOTE: LONGEST_NOTE, ADD: LONGEST_ADDED}.get(self.action, LONGEST_REVIEWER)
        if len(self.value) > longest:
            raise ConfigError(
                f"the {self.action} of a review has {len(self.value)} letters; at most {longest} are kept"
            )
        if self.action == ONSET:
            _ = self.onset_ns
        if self.action == ADD and self.events != (self.added.evid,):
            raise ConfigError("an event that is added has the name of its station and onset")

    @property
    def onset_ns(self) -> int:
        """The onset that an `ONSET` has moved its event to, ns since 1970 UTC.

        Raises
        ------
        ConfigError
            The value is no time.
        """
        try:
            return parse_time(self.value)
        except DataError as problem:
            raise ConfigError(f"onset '{one_line(self.value)}': {problem}") from problem

    @property
    def added(self) -> AddedEvent:
        """The event that an `ADD` has added.

        Raises
        ------
        ConfigError
            The value is none.
        """
        return AddedEvent.parse(self.value)

    def line(self) -> bytes:
        """Return the line of the log; texts as they were typed, ASCII."""
        fields = {
            "utc": format_time(self.time_ns) + "Z",
            "reviewer": self.reviewer,
            "action": self.action,
            "events": list(self.events),
            "value": self.value,
            "key": self.key,
        }
        return json.dumps(fields, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> ReviewAction | None:
        """Read a line; None where it is damaged or of no action known here."""
        try:
            fields: Any = json.loads(line)
            texts = [fields[name] for name in ("action", "reviewer", "value", "key", "utc")]
            if not all(isinstance(text, str) for text in (*texts, *fields["events"])):
                return None
            action, reviewer, value, key, utc = texts
            return cls(action, tuple(fields["events"]), reviewer, value, parse_time(utc), key)
        except (ValueError, KeyError, TypeError, ConfigError, DataError, RecursionError):
            return None


def append_action(log: Path, action: ReviewAction) -> None:
    """Append an action durably; other writers wait.

    Raises
    ------
    DataError
        It cannot be written; the log is as before.
    """
    try:
        with locked(log.with_suffix(".lock")):
            append(log, (b"" if _ends_a_line(log) else b"\n") + action.line(), durable=True)
    except OSError as problem:
        raise DataError(f"cannot write {log}: {problem.strerror or problem}; {remedy_for(problem)}") from problem


def read_actions(log: Path, offset: int = 0) -> Iterator[tuple[int, ReviewAction | None]]:
    """Yield the whole lines of a log from an offset on, each with where it stops; None for a damaged one.

    Raises
    ------
    DataError
        The log cannot be read.
    """
    for at_byte, line in lines_from(log, offset):
        if line[-1:] != b"\n" and len(line) < LONGEST_LINE_BYTES:
            return  # still being written, or torn: the next writer ends it
        yield at_byte + len(line), ReviewAction.parse(line)


def _ends_a_line(log: Path) -> bool:
    try:
        with log.open("rb") as file:
            if file.seek(0, 2) == 0:
                return True
            file.seek(-1, 2)
            return file.read(1) == b"\n"
    except FileNotFoundError:
        return True

"""The journal of the downlink, and the account that is kept from it.

The journal has one line per pass, appended and synced before the files of the pass appear. Journal and catalogue are
everything that the downlink remembers: after a power loss at any instant nothing is sent twice and the budget holds.
The account adds the passes up: how much of each segment has been sent, and how much of each day's budget is spent.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from edgequake.edge.base.errors import DataError
from edgequake.edge.base.layout import SEGMENTS


@dataclass(frozen=True)
class OutboxFile:
    """One file of the outbox."""

    name: str
    size_bytes: int
    sha256: str

    @classmethod
    def of(cls, name: str, data: bytes) -> OutboxFile:
        """Describe a file that will contain `data`."""
        return cls(name, len(data), hashlib.sha256(data).hexdigest())


@dataclass(frozen=True)
class SentRange:
    """Units [first, stop) of a source. Unit 0 of a segment is its event report, the others its records as sent."""

    source: str  # segments/..., continuous/..., requests/...
    first: int
    stop: int
    again: bool = False  # the same samples may have been sent before, from another source


@dataclass(frozen=True)
class Pass:
    """One pass; its fields are those of the journal's JSON."""

    number: int
    clock_ns: int  # mission time
    day: int  # UTC day whose budget is charged, days since 1970
    files: tuple[OutboxFile, ...]
    sent: tuple[SentRange, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size_bytes for file in self.files)

    def line(self) -> bytes:
        """Return the journal's line."""
        return json.dumps(asdict(self), separators=(",", ":")).encode() + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> Pass:
        """Read a line of the journal.

        Raises
        ------
        ValueError
            It is not such a line.
        """
        try:
            values = json.loads(line)
            files = tuple(OutboxFile(**file) for file in values.pop("files"))
            sent = tuple(SentRange(**part) for part in values.pop("sent"))
            return cls(files=files, sent=sent, **values)
        except (KeyError, TypeError, AttributeError) as problem:
            raise ValueError(str(problem)) from problem


def read_journal(path: Path, on_damage: Callable[[], None] | None = None) -> Iterator[Pass]:
    """Yield the passes of a journal; an incomplete last line, left by a power loss, is ignored.

    Any other line that cannot be read, from a flash memory that loses bits, is left out and `on_damage` is called.

    Raises
    ------
    DataError
        The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for line in file:
                try:
                    yield Pass.parse(line)
                except ValueError:
                    if on_damage is not None and line.endswith(b"\n"):
                        on_damage()
    except FileNotFoundError:
        return
    except OSError as problem:
        raise DataError(f"the journal {path} cannot be read: {problem.strerror or problem}") from problem


def cut_incomplete_line(path: Path) -> None:
    """Cut off a last line that a power loss has left incomplete: its pass has not been delivered.

    A line is incomplete without its line end, and also where it cannot be read: the disk may have kept the end alone.

    Raises
    ------
    OSError
        The file cannot be read or cut.
    """
    if not path.exists():
        return
    last = b""
    stop = 0
    with path.open("rb+") as file:
        for last in file:
            stop += len(last)
        if stop and not (last.endswith(b"\n") and _is_pass(last)):
            file.truncate(stop - len(last))
            os.fsync(file.fileno())


def _is_pass(line: bytes) -> bool:
    try:
        Pass.parse(line)
    except ValueError:
        return False
    return True


_MOST_DAYS = 4000  # whose spending is remembered


class DownlinkAccount:
    """Adds up the passes of the journal, in order."""

    def __init__(self, accrued_bytes: Callable[[int, int], int]) -> None:
        """`accrued_bytes(time_ns, day)` returns the part of a day's budget that is available at a time."""
        self._accrued_bytes = accrued_bytes
        self._n_sent: dict[str, int] = {}  # units, by segment
        self._spent_bytes: dict[int, int] = {}  # by UTC day
        self.last_number = 0  # of the newest pass
        self.last_ns: int | None = None  # mission time of the newest pass
        self.last_day: int | None = None
        self.total_bytes = 0
        self.n_damaged = 0  # lines that cannot be read
        self.doubtful_until_ns: int | None = None  # what was detected up to here may have been sent by a lost pass
        self._follows_damage = False

    def n_sent(self, segment: str) -> int:
        """Return how many units of a segment have been sent."""
        return self._n_sent.get(segment, 0)

    def spent_bytes(self, day: int) -> int:
        """Return how many bytes are charged to a UTC day."""
        return self._spent_bytes.get(day, 0)

    def add(self, done: Pass) -> None:
        """Add a pass."""
        spent_bytes = self.spent_bytes(done.day) + done.size_bytes
        if self._follows_damage:  # everything allowed until then may have been spent
            self._follows_damage = False
            self.doubtful_until_ns = done.clock_ns
            spent_bytes = max(spent_bytes, self._accrued_bytes(done.clock_ns, done.day))
        self._spent_bytes[done.day] = spent_bytes
        if len(self._spent_bytes) > _MOST_DAYS:
            del self._spent_bytes[next(iter(self._spent_bytes))]
        self.total_bytes += done.size_bytes
        self.last_number, self.last_ns, self.last_day = done.number, done.clock_ns, done.day
        self._n_sent.update((part.source, part.stop) for part in done.sent if part.source.startswith(f"{SEGMENTS}/"))

    def add_damaged(self) -> None:
        """Count a line of the journal that cannot be read."""
        self.n_damaged += 1
        self._follows_damage = True

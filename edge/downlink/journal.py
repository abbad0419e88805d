"""What has been handed over to the radio: one line a pass, appended and synced before the files appear.

The journal and the catalogue are all that the downlink remembers, so that whatever a power loss takes, nothing is sent
twice and the budget still holds.

What the journal says, in sum: how much of each segment has gone, and how much of each day's budget.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from edgequake.edge.archive.day_files import sync
from edgequake.edge.base.errors import DataError
from edgequake.edge.base.layout import SEGMENTS


@dataclass(frozen=True)
class HandedFile:
    """One file of the outbox."""

    name: str
    size_bytes: int
    sha256: str

    @classmethod
    def of(cls, name: str, data: bytes) -> HandedFile:
        """Describe a file that is to hold `data`."""
        return cls(name, len(data), hashlib.sha256(data).hexdigest())


@dataclass(frozen=True)
class Sent:
    """Units [first, stop) of a source: of a segment its notice and then its records in their order of sending."""

    source: str  # segments/..., continuous/..., requests/...
    first: int
    stop: int
    again: bool = False  # its samples may have been handed over before, from another source


@dataclass(frozen=True)
class Pass:
    """One hand-over."""

    number: int
    clock_ns: int  # mission time
    day: int  # UTC day whose budget it counts against, days since 1970
    files: tuple[HandedFile, ...]
    sent: tuple[Sent, ...]

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
            It is none.
        """
        try:
            values = json.loads(line)
            files = tuple(HandedFile(**file) for file in values.pop("files"))
            sent = tuple(Sent(**part) for part in values.pop("sent"))
            return cls(files=files, sent=sent, **values)
        except (KeyError, TypeError, AttributeError) as problem:
            raise ValueError(str(problem)) from problem


def read_journal(path: Path, damaged: Callable[[int], None] | None = None) -> Iterator[Pass]:
    """Yield the passes of a journal; a last line that a power loss has torn is not there.

    Another line that cannot be read, on a flash that forgets, is left out and its number told to `damaged`.

    Raises
    ------
    DataError
        The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield Pass.parse(line)
                except ValueError:
                    if damaged is not None and line.endswith(b"\n"):
                        damaged(number)
    except FileNotFoundError:
        return
    except OSError as problem:
        raise DataError(f"the journal {path} cannot be read: {problem.strerror or problem}") from problem


def append_pass(path: Path, done: Pass) -> None:
    """Append a pass and make it durable.

    Raises
    ------
    OSError
        It cannot be written; nothing of it is left.
    """
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        size_bytes = os.lseek(descriptor, 0, os.SEEK_END)
        try:
            view = memoryview(done.line())
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
            if is_new:
                sync(path.parent)
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, size_bytes)
            raise
    finally:
        os.close(descriptor)


def cut_torn_line(path: Path) -> None:
    """Cut off a last line that a power loss has torn: its pass has not been handed over.

    Torn is what has no line's end, and also what has one and cannot be read: the disk may have kept the end alone.

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
    """Takes down the passes one after the other."""

    def __init__(self, accrued_bytes: Callable[[int, int], int]) -> None:
        """`accrued_bytes` returns the part of a day's budget that is there at a time; from time and day."""
        self._accrued_bytes = accrued_bytes
        self._n_sent: dict[str, int] = {}  # units, by segment
        self._spent_bytes: dict[int, int] = {}  # by UTC day
        self.number = 0  # of the newest pass
        self.last_ns: int | None = None  # mission time of the newest pass
        self.last_day: int | None = None
        self.handed_bytes = 0
        self.n_damaged = 0  # passes that the journal no longer tells of
        self.doubtful_until_ns: int | None = None  # what was found up to here may be among what they held
        self._is_behind_damage = False

    def n_sent(self, segment: str) -> int:
        """Return how many units of a segment have been handed over."""
        return self._n_sent.get(segment, 0)

    def spent_bytes(self, day: int) -> int:
        """Return how many bytes count against a UTC day."""
        return self._spent_bytes.get(day, 0)

    def at_least(self, number: int) -> None:
        """Files of the outbox have a number: no later pass may have the same."""
        self.number = max(self.number, number)

    def remember(self, done: Pass) -> None:
        """Take down a pass."""
        spent_bytes = self.spent_bytes(done.day) + done.size_bytes
        if self._is_behind_damage:  # all that was allowed may have been spent
            self._is_behind_damage = False
            self.doubtful_until_ns = done.clock_ns
            spent_bytes = max(spent_bytes, self._accrued_bytes(done.clock_ns, done.day))
        self._spent_bytes[done.day] = spent_bytes
        if len(self._spent_bytes) > _MOST_DAYS:
            del self._spent_bytes[next(iter(self._spent_bytes))]
        self.handed_bytes += done.size_bytes
        self.number, self.last_ns, self.last_day = done.number, done.clock_ns, done.day
        self._n_sent.update((part.source, part.stop) for part in done.sent if part.source.startswith(f"{SEGMENTS}/"))

    def damaged(self, line: int) -> None:
        """A line of the journal cannot be read."""
        self.n_damaged += 1
        self._is_behind_damage = True

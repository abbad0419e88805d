"""The journal of the downlink, and the account that is kept from it.

The journal has one line per pass, appended and synced before the files of the pass appear. Journal and catalogue are
everything that the downlink remembers: after a power loss at any instant nothing is sent twice and the budget holds.
The account adds the passes up: how much of each segment has been sent, and how much of each day's budget is spent.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from edgequake.edge.archive.day_records import RECORD_BYTES
from edgequake.edge.base.atomic_files import lines_from
from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.layout import SEGMENTS
from edgequake.edge.results.catalog import CatalogRow


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
    complete: bool = False  # nothing of the source is left to be sent; edgequake 0.1 did not record it


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
        fields = asdict(self)
        fields["sent"] = [
            {name: value for name, value in part.items() if name != "complete" or value} for part in fields["sent"]
        ]
        return json.dumps(fields, separators=(",", ":")).encode() + b"\n"

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


def read_journal(path: Path, on_damage: Callable[[], None] | None = None, from_byte: int = 0) -> Iterator[Pass]:
    """Yield the passes of a journal from a line on; an incomplete last line, left by a power loss, is ignored.

    Any other line that cannot be read, from a flash memory that loses bits, is left out and `on_damage` is called.

    Raises
    ------
    DataError
        The file cannot be read.
    """
    for _, line in lines_from(path, from_byte):
        try:
            done = Pass.parse(line)
        except ValueError:
            if on_damage is not None and line.endswith(b"\n"):
                on_damage()
        else:
            yield done


def cut_incomplete_line(path: Path, from_byte: int = 0) -> None:
    """Cut off a last line that a power loss has left incomplete: its pass has not been delivered.

    from_byte : where a line begins; what precedes it is not read.

    A line is incomplete without its line end, and also where it cannot be read: the disk may have kept the end alone.

    Raises
    ------
    OSError
        The file cannot be read or cut.
    """
    if not path.exists():
        return
    last = b""
    stop = from_byte
    with path.open("rb+") as file:
        file.seek(from_byte)
        for last in file:
            stop += len(last)
        if last and not (last.endswith(b"\n") and _is_pass(last)):
            file.truncate(stop - len(last))
            os.fsync(file.fileno())


def _is_pass(line: bytes) -> bool:
    try:
        Pass.parse(line)
    except ValueError:
        return False
    return True


def sent_segments(path: Path, rows: Iterable[CatalogRow]) -> set[str]:
    """Return which segments of a catalogue have been sent in full, according to a journal.

    Raises
    ------
    DataError
        The journal cannot be read.
    """
    n_sent: dict[str, int] = {}
    complete: set[str] = set()
    for part in (part for done in read_journal(path) for part in done.sent):
        n_sent[part.source] = max(part.stop, n_sent.get(part.source, 0))
        if part.complete:
            complete.add(part.source)
    # edgequake 0.1 did not record it: all its records are of RECORD_BYTES, and one unit is the event report.
    whole = {row.segment for row in rows if (n_sent.get(row.segment, 0) - 1) * RECORD_BYTES >= row.size_bytes}
    return complete | whole


_MOST_DAYS = 64  # whose spending is remembered


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

    def forget_all_but(self, segments: Collection[str]) -> None:
        """Forget how much has been sent of other segments: they are not offered again."""
        self._n_sent = {name: n for name, n in self._n_sent.items() if name in segments}

    def state(self) -> State:
        return {
            **{name: getattr(self, name) for name in _FIELDS},
            "n_sent": self._n_sent,
            "spent_bytes": [[day, n_bytes] for day, n_bytes in self._spent_bytes.items()],
        }

    def restore(self, state: State) -> None:
        for name in _FIELDS:
            setattr(self, name, state[name])
        self._n_sent = dict(state["n_sent"])
        self._spent_bytes = dict(state["spent_bytes"])


_FIELDS = (
    "last_number", "last_ns", "last_day", "total_bytes", "n_damaged", "doubtful_until_ns", "_follows_damage",
)  # fmt: skip

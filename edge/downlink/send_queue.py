"""What is sent of an event, piece by trace: a line that says it was found, then its records, the onset's first.

The unit is the miniSEED record of 512 bytes. The records that overlap [onset - lead, onset + window) count in full,
where the window is as long as the trigger's pre-roll and the lead a sixth of it. A record of the coda that begins t
after the window counts `CODA_WEIGHT` * window / (window + t); one before the lead, of the pre-roll, `PRE_ROLL_WEIGHT`,
which is less than the longest coda comes to. So the beginnings of all events go before the coda of any, but where one's
priority is eight times another's. Records of equal weight go in the order of their times. In a segment of several
events a record counts for the one that makes most of it.

What waits for the downlink: segments, spans that the ground has asked for, and the summary channel.

Offers the summary channel's records to the downlink: what the budget leaves over goes to them, newest days only.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgequake.edge.archive.day_files import RECORD_BYTES
from edgequake.edge.archive.sds import DAY_NS, day_of_name
from edgequake.edge.base.errors import DataError
from edgequake.edge.base.layout import CONTINUOUS
from edgequake.edge.downlink.journal import Sent
from edgequake.edge.formats.miniseed import RecordHeader, index_file
from edgequake.edge.results.catalog import CatalogRow

if TYPE_CHECKING:
    from edgequake.edge.archive.ssam import SsamChannel

CODA_WEIGHT = 1 / 8
PRE_ROLL_WEIGHT = 1 / 512
LEAD_SHARE = 1 / 6


@dataclass(frozen=True, slots=True)
class SendRecord:
    """A record to be sent: where it lies in its file and how much it counts."""

    weight: float  # 1 at the onset
    offset: int
    size_bytes: int


def units_of_segment(path: Path, onsets_ns: Sequence[int], window_ns: int) -> list[SendRecord]:
    """Return a segment's records in the order in which they are sent.

    Raises
    ------
    DataError
        The segment cannot be read.
    """
    weighed = [(record_weight(header, onsets_ns, window_ns), header) for header in index_file(path).headers]
    weighed.sort(key=lambda one: (-one[0], one[1].start_ns, one[1].source_id, one[1].offset))
    return [SendRecord(weight, header.offset, header.size_bytes) for weight, header in weighed]


def units_by_time(path: Path) -> list[SendRecord]:
    """Return the records of a file in the order of their times.

    Raises
    ------
    DataError
        The file cannot be read.
    """
    return [SendRecord(1.0, header.offset, header.size_bytes) for header in index_file(path).headers]


def units_from(path: Path, start_byte: int) -> list[SendRecord]:
    """Return the records of a file from a byte on, as they lie there.

    Raises
    ------
    DataError
        The file cannot be read.
    """
    headers = sorted(index_file(path, start_byte).headers, key=lambda header: header.offset)
    return [SendRecord(1.0, header.offset, header.size_bytes) for header in headers]


def record_weight(header: RecordHeader, onsets_ns: Iterable[int], window_ns: int) -> float:
    """Return how much a record counts, 0 to 1."""
    return max(_weight(header.start_ns, header.stop_ns, onset_ns, window_ns) for onset_ns in onsets_ns)


def notice_of(rows: Iterable[CatalogRow]) -> bytes:
    """Return what the ground is told of a segment's events before it gets their samples, a line each.

    evid (station and onset), duration in s, peak probability, onset uncertainty in s, class, priority, and the bytes of
    the segment that waits.
    """
    # All of it as the catalogue has it: a resumed run, which reads rows from there, must say the same.
    return "".join(
        f"{row.evid},{_duration_s(row)},{row.peak_probability:.4f},"
        f"{'' if row.onset_uncertainty_s is None else f'{row.onset_uncertainty_s:.3f}'},{row.mq_type},"
        f"{row.priority:.4f},{row.size_bytes}\n"
        for row in rows
    ).encode()


def _duration_s(row: CatalogRow) -> int:
    return round((round(row.stop_ns / 1000) - round(row.onset_ns / 1000)) / 1_000_000)


def _weight(start_ns: int, stop_ns: int, onset_ns: int, window_ns: int) -> float:
    first_ns, last_ns = onset_ns - round(LEAD_SHARE * window_ns), onset_ns + window_ns
    if start_ns >= last_ns:
        return CODA_WEIGHT * window_ns / (window_ns + start_ns - last_ns)
    return 1.0 if stop_ns > first_ns else PRE_ROLL_WEIGHT


class SendLevel(enum.IntEnum):
    """What goes before what, whatever the priorities."""

    SUMMARY = 0  # what the budget has left over
    RECORD = 1
    NOTICE = 2  # a line for each event; all events are told of before the samples of any
    REQUEST = 3


@dataclass
class SendItem:
    """A source of records of which something is still to be sent, the oldest first where nothing else counts."""

    source: str  # below the run's folder
    path: Path
    level: SendLevel
    ready_ns: int  # mission time from which on it can be sent
    n_sent: int = 0  # units; of the summary channel bytes
    _units: list[SendRecord] | None = field(default=None, repr=False)
    _n_units: int | None = None  # known from when they were first read

    @property
    def key(self) -> tuple[int, float, int, str]:
        """Sorts what is to be sent first to the front."""
        return (-self.next_level, -self.next_rank, self.ready_ns, self.source)

    @property
    def next_level(self) -> SendLevel:
        """Level of the next unit."""
        return self.level

    @property
    def next_rank(self) -> float:
        """Rank of the next unit within its level."""
        return 0.0

    @property
    def is_done(self) -> bool:
        """Whether all has been sent."""
        return self.n_sent >= self.n_units

    @property
    def n_units(self) -> int:
        """How many records it has, whether they are at hand or not.

        Raises
        ------
        DataError
            The file cannot be read.
        """
        if self._n_units is None:
            self._n_units = len(self.units)
        return self._n_units

    @property
    def units(self) -> list[SendRecord]:
        """Its records in the order of sending; read from the file when they are first needed.

        Raises
        ------
        DataError
            The file cannot be read.
        """
        if self._units is None:
            self._units = self._read()
        return self._units

    def next_bytes(self) -> bytes | None:
        """Return the next unit; None where there is none after all."""
        return self._record(self.units[self.n_sent])

    def took(self) -> None:
        """The next unit is on its way."""
        self.n_sent += 1

    def forget_units(self) -> None:
        """Free what can be read again: of many sources only a few are being sent at a time."""
        self._units = None

    @property
    def bytes_left(self) -> int:
        """About how much is still to be sent."""
        return sum(unit.size_bytes for unit in self.units[self.n_sent :])

    def _read(self) -> list[SendRecord]:
        return units_by_time(self.path)

    def _record(self, unit: SendRecord) -> bytes:
        with self.path.open("rb") as file:
            file.seek(unit.offset)
            return file.read(unit.size_bytes)


@dataclass
class SegmentItem(SendItem):
    """A segment: unit 0 is its notice, the others are its records."""

    rows: Sequence[CatalogRow] = ()
    window_ns: int = 0
    _next_weight: float | None = None  # of the next record, from when the list of records was last at hand

    @property
    def priority(self) -> float:
        """Of its best event."""
        return max(row.priority for row in self.rows)

    @property
    def next_level(self) -> SendLevel:
        """Level of the next unit."""
        return SendLevel.NOTICE if self.n_sent == 0 else SendLevel.RECORD

    @property
    def next_rank(self) -> float:
        """Priority times the weight of the next record."""
        return self.priority * (1.0 if self.n_sent <= 1 else self._weight())

    @property
    def is_done(self) -> bool:
        """Whether all has been sent."""
        return self.n_sent > 1 and self.n_sent > self.n_units

    def next_bytes(self) -> bytes:
        """Return the next unit."""
        return notice_of(self.rows) if self.n_sent == 0 else self._record(self.units[self.n_sent - 1])

    def forget_units(self) -> None:
        """Free what can be read again."""
        if self._units is not None:
            self._next_weight = self._weight()
            self._units = None

    @property
    def bytes_left(self) -> int:
        """About how much is still to be sent."""
        return max(0, self.rows[0].size_bytes - max(0, self.n_sent - 1) * RECORD_BYTES)

    @property
    def records_left(self) -> int:
        """About how many records are still to be sent; those of version 3 are shorter and more."""
        return -(-self.bytes_left // RECORD_BYTES)

    def _weight(self) -> float:
        if self._units is None and self._next_weight is not None:
            return self._next_weight
        return self.units[self.n_sent - 1].weight if 0 < self.n_sent <= len(self.units) else 1.0

    def _read(self) -> list[SendRecord]:
        return units_of_segment(self.path, [round(row.onset_ns / 1000) * 1000 for row in self.rows], self.window_ns)


@dataclass
class SsamItem(SendItem):
    """Records of one file of the summary channel, bytes [n_sent, stop_byte)."""

    stop_byte: int = 0

    @property
    def is_done(self) -> bool:
        """Whether all that is there has been sent."""
        return self.n_sent >= self.stop_byte  # told without a look into the file, of which there are many

    def next_bytes(self) -> bytes | None:
        """Return the next record; None where what is left is no whole one: a write that a power loss has torn.

        Raises
        ------
        DataError
            The file cannot be read.
        """
        try:
            unit = self._next()
        except DataError:
            if self.bytes_left < RECORD_BYTES:
                return None
            raise
        return None if unit is None else self._record(unit)

    def took(self) -> None:
        """The next record is on its way."""
        unit = self._next()
        assert unit is not None  # `next_bytes` has returned it
        self.n_sent = unit.offset + unit.size_bytes

    @property
    def bytes_left(self) -> int:
        """What is still to be sent."""
        return max(0, self.stop_byte - self.n_sent)

    def _next(self) -> SendRecord | None:
        return next((unit for unit in self.units if unit.offset >= self.n_sent), None)

    def _read(self) -> list[SendRecord]:
        return units_from(self.path, self.n_sent)


RECENT_DAYS = 10  # what is older is sent on request only


class SsamQueue:
    """Knows how much of each file of the summary channel has been sent."""

    def __init__(self, out: Path, continuous: SsamChannel | None) -> None:
        self._out, self._continuous = out, continuous
        self._taken_bytes: dict[str, int] = {}  # by name below the summary channel's folder

    def owns(self, source: str) -> bool:
        """Whether a source is one of its files."""
        return source.startswith(f"{CONTINUOUS}/")

    def waiting(self, now_ns: int) -> Iterator[SsamItem]:
        """Yield the files with records that have not been sent.

        Raises
        ------
        DataError
            The disk fails.
        """
        if self._continuous is None:
            return
        today = now_ns // DAY_NS
        found = self._continuous.new_records(self._taken_bytes)
        recent = [(day_of_name(records.file), records) for records in found]
        recent = [(day, records) for day, records in recent if today - RECENT_DAYS <= day <= today]
        if recent:
            self._continuous.sync()  # what the ground has had must not get lost and be counted anew
        for day, records in recent:
            source = f"{CONTINUOUS}/{records.file}"
            yield SsamItem(
                source,
                self._out / source,
                SendLevel.SUMMARY,
                day * DAY_NS,
                records.start_byte,
                stop_byte=records.stop_byte,
            )

    def took(self, part: Sent) -> None:
        """Bytes of a file are on their way."""
        name = part.source.removeprefix(f"{CONTINUOUS}/")
        self._taken_bytes[name] = part.stop
        oldest = day_of_name(name) - 2 * RECENT_DAYS
        for other in [other for other in self._taken_bytes if day_of_name(other) < oldest]:
            del self._taken_bytes[other]

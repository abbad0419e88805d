"""The send queue: segments, requested spans and SSAM channels, record by record in the order of their value.

The unit is the miniSEED record of 512 bytes. Of a segment the event report goes first, one line per event; then its
records, by weight. Records that overlap [onset - lead, onset + window) have weight 1, where the window is as long as
the trigger's pre-roll and the lead a sixth of it. A record of the coda that begins a time t after the window has weight
`CODA_WEIGHT` * window / (window + t); one of the pre-roll before the lead has `PRE_ROLL_WEIGHT`, less than the longest
coda comes to. So the onsets of all events go before the coda of any, unless one priority is eight times another.
Records of equal weight go in the order of their times. In a segment of several events the largest weight counts.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgequake.edge.archive.day_records import RECORD_BYTES
from edgequake.edge.archive.sds import DAY_NS, day_of_name
from edgequake.edge.base.atomic_files import read_at
from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.errors import DataError
from edgequake.edge.base.inert_text import csv_line
from edgequake.edge.base.layout import CONTINUOUS
from edgequake.edge.downlink.journal import SentRange
from edgequake.edge.formats.miniseed import index_file
from edgequake.edge.formats.record_scanner import RecordHeader
from edgequake.edge.results.catalog import CatalogRow
from edgequake.edge.results.ledger import LedgerEntry

if TYPE_CHECKING:
    from edgequake.edge.archive.ssam import SsamWriter

CODA_WEIGHT = 1 / 8
PRE_ROLL_WEIGHT = 1 / 512
LEAD_SHARE = 1 / 6
RECENT_DAYS = 10  # older SSAM records are sent on request only


@dataclass(frozen=True, slots=True)
class SendRecord:
    """A record to be sent: its place in its file, and its weight."""

    weight: float  # 1 at the onset
    offset: int
    size_bytes: int


def segment_records(path: Path, onsets_ns: Sequence[int], window_ns: int) -> list[SendRecord]:
    """Return a segment's records in the order in which they are sent.

    Raises
    ------
    DataError
        The segment cannot be read.
    """
    weighted = [(record_weight(header, onsets_ns, window_ns), header) for header in index_file(path).headers]
    weighted.sort(key=lambda pair: (-pair[0], pair[1].start_ns, pair[1].source_id, pair[1].offset))
    return [SendRecord(weight, header.offset, header.size_bytes) for weight, header in weighted]


def record_weight(header: RecordHeader, onsets_ns: Iterable[int], window_ns: int) -> float:
    """Return the weight of a record, 0 to 1."""
    return max(_weight(header.start_ns, header.stop_ns, onset_ns, window_ns) for onset_ns in onsets_ns)


def _weight(start_ns: int, stop_ns: int, onset_ns: int, window_ns: int) -> float:
    first_ns, last_ns = onset_ns - round(LEAD_SHARE * window_ns), onset_ns + window_ns
    if start_ns >= last_ns:
        return CODA_WEIGHT * window_ns / (window_ns + start_ns - last_ns)
    return 1.0 if stop_ns > first_ns else PRE_ROLL_WEIGHT


def event_report(rows: Iterable[CatalogRow]) -> bytes:
    """Return what the ground receives of a segment's events before their samples, a line each.

    evid (station and onset), duration in s, peak probability, onset uncertainty in s, class, priority, and the size of
    the segment in bytes.
    """
    # Rounded as in the catalogue: a resumed run, which reads rows from there, must report the same.
    return "".join(csv_line(_report_cells(row)) for row in rows).encode()


def _report_cells(row: CatalogRow) -> tuple[str, ...]:
    return (
        row.evid,
        str(_duration_s(row)),
        f"{row.peak_probability:.4f}",
        "" if row.onset_uncertainty_s is None else f"{row.onset_uncertainty_s:.3f}",
        row.mq_type,
        f"{row.priority:.4f}",
        str(row.size_bytes),
    )


def _duration_s(row: CatalogRow) -> int:
    return round((round(row.stop_ns / 1000) - round(row.onset_ns / 1000)) / 1_000_000)


class SendLevel(enum.IntEnum):
    """Precedence, whatever the priorities; higher first."""

    SSAM = 0  # gets what the budget leaves over
    RECORD = 1
    EVENT_REPORT = 2  # all events are reported before the samples of any
    REQUEST = 3


@dataclass
class SendItem:
    """A file of which records are still to be sent, in the order of their times unless a subclass says otherwise."""

    source: str  # relative to the run folder
    path: Path
    level: SendLevel
    ready_ns: int  # mission time from which on it can be sent
    n_sent: int = 0  # units; of an SSAM channel bytes
    _records: list[SendRecord] | None = field(default=None, repr=False)
    _n_records: int | None = None  # known once the records have been read

    @property
    def key(self) -> tuple[int, float, int, str]:
        """Sort key: what is to be sent first has the smallest."""
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
        """Whether everything has been sent."""
        return self.n_sent >= self.n_records

    @property
    def n_records(self) -> int:
        """Number of records, whether they are in memory or not.

        Raises
        ------
        DataError
            The file cannot be read.
        """
        if self._n_records is None:
            self._n_records = len(self.records)
        return self._n_records

    @property
    def records(self) -> list[SendRecord]:
        """The records in the order of sending, read from the file when they are first needed.

        Raises
        ------
        DataError
            The file cannot be read.
        """
        if self._records is None:
            self._records = self._read()
        return self._records

    def next_bytes(self) -> bytes | None:
        """Return the next unit; None where there is none after all."""
        return self._bytes_of(self.records[self.n_sent])

    def mark_sent(self) -> None:
        """Count the next unit as sent."""
        self.n_sent += 1

    def forget_records(self) -> None:
        """Free what can be read again: of many sources only a few are being sent at a time."""
        self._records = None

    def _read(self) -> list[SendRecord]:
        return [SendRecord(1.0, header.offset, header.size_bytes) for header in index_file(self.path).headers]

    def _bytes_of(self, record: SendRecord) -> bytes:
        return read_at(self.path, record.offset, record.size_bytes)


@dataclass
class SegmentItem(SendItem):
    """A segment: unit 0 is its event report, the others are its records."""

    rows: Sequence[CatalogRow] = ()
    window_ns: int = 0
    entry: LedgerEntry | None = None
    _next_weight: float | None = None  # of the next record, from when the records were last in memory

    @property
    def priority(self) -> float:
        """Priority of its best event."""
        return max(row.priority for row in self.rows)

    @property
    def next_level(self) -> SendLevel:
        """Level of the next unit."""
        return SendLevel.EVENT_REPORT if self.n_sent == 0 else SendLevel.RECORD

    @property
    def next_rank(self) -> float:
        """Priority times the weight of the next record."""
        return self.priority * (1.0 if self.n_sent <= 1 else self._weight())

    @property
    def is_done(self) -> bool:
        """Whether everything has been sent."""
        return self.n_sent > 1 and self.n_sent > self.n_records

    def next_bytes(self) -> bytes:
        """Return the next unit."""
        return event_report(self.rows) if self.n_sent == 0 else self._bytes_of(self.records[self.n_sent - 1])

    def forget_records(self) -> None:
        """Free what can be read again."""
        if self._records is not None:
            self._next_weight = self._weight()
            self._records = None

    @property
    def bytes_left(self) -> int:
        """About how many bytes are still to be sent."""
        return max(0, self.rows[0].size_bytes - max(0, self.n_sent - 1) * RECORD_BYTES)

    @property
    def records_left(self) -> int:
        """About how many records are still to be sent; those of version 3 are shorter and more."""
        return -(-self.bytes_left // RECORD_BYTES)

    def _weight(self) -> float:
        if self._records is None and self._next_weight is not None:
            return self._next_weight
        return self.records[self.n_sent - 1].weight if 0 < self.n_sent <= len(self.records) else 1.0

    def _read(self) -> list[SendRecord]:
        return segment_records(self.path, [round(row.onset_ns / 1000) * 1000 for row in self.rows], self.window_ns)


@dataclass
class SsamItem(SendItem):
    """Records of one file of an SSAM channel, bytes [n_sent, stop_byte), as they lie there."""

    stop_byte: int = 0

    @property
    def is_done(self) -> bool:
        """Whether everything in the file has been sent; known without reading the files, which are many."""
        return self.n_sent >= self.stop_byte

    def next_bytes(self) -> bytes | None:
        """Return the next record; None where a power loss has left an incomplete one.

        Raises
        ------
        DataError
            The file cannot be read.
        """
        try:
            record = self._next()
        except DataError:
            if self.stop_byte - self.n_sent < RECORD_BYTES:
                return None
            raise
        return None if record is None else self._bytes_of(record)

    def mark_sent(self) -> None:
        """Count the next record as sent."""
        record = self._next()
        assert record is not None  # `next_bytes` has returned it
        self.n_sent = record.offset + record.size_bytes

    def _next(self) -> SendRecord | None:
        return next((record for record in self.records if record.offset >= self.n_sent), None)

    def _read(self) -> list[SendRecord]:
        headers = sorted(index_file(self.path, self.n_sent).headers, key=lambda header: header.offset)
        return [SendRecord(1.0, header.offset, header.size_bytes) for header in headers]


class SsamQueue:
    """Offers the records of the last `RECENT_DAYS` of the SSAM channels; knows how much of each file has been sent."""

    def __init__(self, out: Path, ssam: SsamWriter | None) -> None:
        self._out, self._ssam = out, ssam
        self._sent_bytes: dict[str, int] = {}  # by file name in the folder of the SSAM channels

    def owns(self, source: str) -> bool:
        """Whether a source is one of its files."""
        return source.startswith(f"{CONTINUOUS}/")

    def items(self, now_ns: int) -> Iterator[SsamItem]:
        """Yield the files with records that have not been sent.

        Raises
        ------
        DataError
            The disk fails.
        """
        if self._ssam is None:
            return
        today = now_ns // DAY_NS
        new = [(day_of_name(records[0]), *records) for records in self._ssam.new_records(self._sent_bytes)]
        recent = [records for records in new if today - RECENT_DAYS <= records[0] <= today]
        if recent:
            self._ssam.sync()  # what is sent must not get lost here, or later records would be counted wrong
            if self._ssam.problem is not None:
                return
        for day, name, start_byte, stop_byte in recent:
            source = f"{CONTINUOUS}/{name}"
            path = self._out / source
            yield SsamItem(source, path, SendLevel.SSAM, day * DAY_NS, start_byte, stop_byte=stop_byte)

    def state(self) -> State:
        return {"sent_bytes": self._sent_bytes}

    def restore(self, state: State) -> None:
        self._sent_bytes = dict(state["sent_bytes"])

    def mark_sent(self, part: SentRange) -> None:
        """Count bytes of a file as sent."""
        name = part.source.removeprefix(f"{CONTINUOUS}/")
        self._sent_bytes[name] = part.stop
        oldest = day_of_name(name) - 2 * RECENT_DAYS
        for other in [other for other in self._sent_bytes if day_of_name(other) < oldest]:
            del self._sent_bytes[other]

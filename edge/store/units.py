"""What is sent of an event, piece by piece: a line that says it was found, then its records, the onset's first.

The unit is the miniSEED record of 512 bytes. The records that overlap [onset - lead, onset + window) count in full,
where the window is as long as the trigger's pre-roll and the lead a sixth of it. A record of the coda that begins t
after the window counts `CODA_WEIGHT` * window / (window + t); one before the lead, of the pre-roll, `PRE_ROLL_WEIGHT`,
which is less than the longest coda comes to. So the beginnings of all events go before the coda of any, but where one's
priority is eight times another's. Records of equal weight go in the order of their times. In a segment of several
events a record counts for the one that makes most of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgequake.edge.catalog import CatalogRow
from edgequake.edge.miniseed import RecordHeader, index_file

CODA_WEIGHT = 1 / 8
PRE_ROLL_WEIGHT = 1 / 512
LEAD_SHARE = 1 / 6


@dataclass(frozen=True, slots=True)
class Unit:
    """A record to be sent: where it lies in its file and how much it counts."""

    weight: float  # 1 at the onset
    offset: int
    size_bytes: int


def units_of_segment(path: Path, onsets_ns: Sequence[int], window_ns: int) -> list[Unit]:
    """Return a segment's records in the order in which they are sent.

    Raises
    ------
    DataError
        The segment cannot be read.
    """
    weighed = [(record_weight(header, onsets_ns, window_ns), header) for header in index_file(path).headers]
    weighed.sort(key=lambda one: (-one[0], one[1].start_ns, one[1].source_id, one[1].offset))
    return [Unit(weight, header.offset, header.size_bytes) for weight, header in weighed]


def units_by_time(path: Path) -> list[Unit]:
    """Return the records of a file in the order of their times.

    Raises
    ------
    DataError
        The file cannot be read.
    """
    return [Unit(1.0, header.offset, header.size_bytes) for header in index_file(path).headers]


def units_from(path: Path, start_byte: int) -> list[Unit]:
    """Return the records of a file from a byte on, as they lie there.

    Raises
    ------
    DataError
        The file cannot be read.
    """
    headers = sorted(index_file(path, start_byte).headers, key=lambda header: header.offset)
    return [Unit(1.0, header.offset, header.size_bytes) for header in headers]


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

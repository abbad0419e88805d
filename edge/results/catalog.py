"""The event catalogue: one row per event, and the ledger of what a run has kept so far.

`catalog.csv` begins with the columns of the NASA Space Apps packet; ours follow.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.waveforms import format_time, parse_time

TIME_COLUMN = "time_abs(%Y-%m-%dT%H:%M:%S.%f)"


@dataclass(frozen=True, slots=True)
class CatalogRow:
    """One event.

    Attributes
    ----------
    filename : the input file that contains the onset, without its extension; "-" for a stream.
    onset_ns, stop_ns : [onset, stop) of the event, ns since 1970.
    time_rel_s : onset in seconds after that file's first sample.
    evid : NET_STA_ and the onset time; the same event gets the same name in every run.
    mq_type : event class, blank where the model gives none.
    channels : codes of the channels in the segment.
    segment : file under the run folder with the event's samples; overlapping events share one.
    n_samples, size_bytes : of that segment, all channels.
    priority : downlink priority, higher first (edge/results/priority.py).
    sent : whether the whole segment has been delivered to the radio (edge/downlink/downlink.py).
    onset_uncertainty_s : about two thirds of all onsets lie within this of the true onset; None where unknown.
    """

    filename: str
    onset_ns: int
    time_rel_s: float
    evid: str
    mq_type: str
    station_id: str
    channels: tuple[str, ...]
    stop_ns: int
    peak_probability: float
    priority: float
    segment: str
    n_samples: int
    size_bytes: int
    sent: bool
    onset_uncertainty_s: float | None = None


# Column of catalog.csv: the field of CatalogRow, how its value is written, how the text is read.
_COLUMNS: dict[str, tuple[str, Callable[[Any], str], Callable[[str], Any]]] = {
    "filename": ("filename", str, str),
    TIME_COLUMN: ("onset_ns", format_time, parse_time),
    "time_rel(sec)": ("time_rel_s", "{:.6f}".format, float),
    "evid": ("evid", str, str),
    "mq_type": ("mq_type", str, str),
    "station_id": ("station_id", str, str),
    "channels": ("channels", " ".join, lambda text: tuple(text.split())),
    "stop_abs": ("stop_ns", format_time, parse_time),
    "onset_uncertainty_s": (
        "onset_uncertainty_s",
        lambda value: "" if value is None else f"{value:.3f}",
        lambda text: float(text) if text else None,
    ),
    "peak_probability": ("peak_probability", "{:.4f}".format, float),
    "priority": ("priority", "{:.4f}".format, float),
    "segment": ("segment", str, str),
    "n_samples": ("n_samples", str, int),
    "size_bytes": ("size_bytes", str, int),
    "sent": ("sent", lambda value: str(int(value)), lambda text: text == "1"),
}
COLUMNS = tuple(_COLUMNS)


def event_id(station_id: str, onset_ns: int) -> str:
    """Return the name of an event, for example ``XA_S12_19710413T125512.300``."""
    clock = format_time(onset_ns // 1_000_000 * 1_000_000)[:-3]
    # miniSEED 3 allows any character in a station code; the name is also a file name and must not leave its folder.
    station = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "-" for c in station_id)
    return f"{station}_{clock.replace('-', '').replace(':', '')}"


def write_catalog(path: Path, rows: Iterable[CatalogRow], make_room: Callable[[int], bool] | None = None) -> None:
    """Replace catalog.csv; `make_room` as in `write_bytes_atomically`.

    Raises
    ------
    DataError
        The file cannot be written.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([text(getattr(row, field)) for field, text, _ in _COLUMNS.values()] for row in rows)
    # A file name need not be UTF-8; bytes that are not are written as \\udcXX.
    write_bytes_atomically(path, buffer.getvalue().encode("utf-8", "backslashreplace"), make_room)


def read_catalog(path: Path) -> list[CatalogRow]:
    """Read a catalog.csv that `write_catalog` wrote.

    Raises
    ------
    DataError
        The file cannot be read or is not such a catalogue.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise DataError(f"{path} is no edgequake catalogue: expected the columns {', '.join(COLUMNS)}")
            return [
                CatalogRow(**{field: value(cells[column]) for column, (field, _, value) in _COLUMNS.items()})
                for cells in reader
            ]
    except (OSError, ValueError, TypeError, AttributeError) as problem:  # the last two: a row that is cut short
        raise DataError(f"{path} cannot be read as a catalogue: {problem}") from problem


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of event waveforms."""

    file: str  # under the run folder
    station_id: str
    start_ns: int
    stop_ns: int
    n_samples: int  # all channels
    size_bytes: int


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """A segment that is complete on disk, and the rows of its events."""

    segment: Segment
    rows: tuple[CatalogRow, ...]
    is_new: bool  # not in the catalogue of an earlier process


class Ledger:
    """Rows and segments of a run, including those that an earlier process of the same run has catalogued.

    A row reaches the catalogue on disk only after its segment is complete. A resumed run detects the latest catalogued
    events again, because its checkpoint is older than they are; until then they are *pending*. Their rows and segments
    are final: they are neither rewritten nor removed.
    """

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self._rows: dict[str, list[CatalogRow]] = {}  # by segment
        self._names: set[str] = set()  # in small letters
        self._evids: set[str] = set()
        self._pending: set[str] = set()  # segments
        self._new: list[LedgerEntry] = []
        self.is_changed = False  # a `sent` mark is not in the catalogue on disk yet
        self.make_room: Callable[[int], bool] | None = None  # called when the disk is full

    def segment_name(self, stem: str) -> str:
        """Assign a segment's file name; the same run always assigns the same names.

        Where a clock was set back an event may begin when an earlier one did: the second gets a number.
        """
        names = chain([f"segments/{stem}.mseed"], (f"segments/{stem}_{i}.mseed" for i in count(2)))
        # Stations that differ in their case alone are one file on file systems that do not tell case apart.
        name = next(name for name in names if name.lower() not in self._names)
        self._names.add(name.lower())
        return name

    def assign_evid(self, evid: str) -> str:
        """Return an event's identifier, with a number where an earlier event has it."""
        candidates = chain([evid], (f"{evid}_{i}" for i in count(2)))
        free = next(candidate for candidate in candidates if candidate not in self._evids)
        self._evids.add(free)
        return free

    def pending_rows(self, name: str) -> list[CatalogRow] | None:
        """Return the rows of a pending segment; None for any other."""
        return self._rows[name] if name in self._pending else None

    def add(self, segment: Segment, rows: list[CatalogRow]) -> None:
        """Record a segment that is complete on disk."""
        self.segments.append(segment)
        self._new.append(LedgerEntry(segment, tuple(rows), is_new=segment.file not in self._pending))
        self._pending.discard(segment.file)
        self._rows[segment.file] = rows

    def take_new(self) -> list[LedgerEntry]:
        """Return what was added since the last call."""
        new, self._new = self._new, []
        return new

    def mark_sent(self, name: str) -> None:
        """Mark a segment as delivered in full."""
        if not all(row.sent for row in self._rows[name]):
            self._rows[name] = [dataclasses.replace(row, sent=True) for row in self._rows[name]]
            self.is_changed = True

    def entries(self, with_pending: bool) -> list[LedgerEntry]:
        """Return the segments recorded so far, and on request the pending ones."""
        recorded = [LedgerEntry(segment, tuple(self._rows[segment.file]), is_new=False) for segment in self.segments]
        return [*recorded, *map(self._pending_entry, sorted(self._pending))] if with_pending else recorded

    def finalize(self) -> None:
        """Record the segments that are still pending at the end of a run: their stream does not come again."""
        for name in sorted(self._pending):
            self.add(self._pending_entry(name).segment, self._rows[name])

    def _pending_entry(self, name: str) -> LedgerEntry:
        rows = self._rows[name]
        start_ns, stop_ns = min(row.onset_ns for row in rows), max(row.stop_ns for row in rows)
        segment = Segment(name, rows[0].station_id, start_ns, stop_ns, rows[0].n_samples, rows[0].size_bytes)
        return LedgerEntry(segment, tuple(rows), is_new=False)

    def rows(self) -> list[CatalogRow]:
        """Return the rows in the order of the catalogue."""
        rows = [row for rows in self._rows.values() for row in rows]
        # To the microsecond, as in the catalogue: rows that were read back from it must sort the same way.
        return sorted(rows, key=lambda row: (round(row.onset_ns / 1000), row.station_id, row.filename, row.segment))

    def write(self, path: Path) -> None:
        """Write the catalogue.

        Raises
        ------
        DataError
            The file cannot be written.
        """
        write_catalog(path, self.rows(), self.make_room)
        self.is_changed = False

    def state(self) -> State:
        segments = [list(dataclasses.astuple(segment)) for segment in self.segments]  # the rows are in the catalogue
        written = {segment.file.lower() for segment in self.segments}
        return {"segments": segments, "names": sorted(self._names - written)}

    def restore(self, state: State | None, catalog: Path) -> None:
        """Continue from what `state` returned (None: from nothing) and from the catalogue on disk.

        Raises
        ------
        DataError
            The catalogue cannot be read.
        """
        for row in read_catalog(catalog) if catalog.exists() else ():
            self._rows.setdefault(row.segment, []).append(row)
            self._evids.add(row.evid)
        if state is not None:
            self.segments = [Segment(*values) for values in state["segments"]]
            names = [*(segment.file for segment in self.segments), *state["names"]]
            self._names = {name.lower() for name in names}
        self._pending = set(self._rows) - {segment.file for segment in self.segments}

"""The catalogue: one row per event, first the columns of the NASA Space Apps packet, then ours.

What a run has kept so far: the catalogue's rows, the segments, and the names given out.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.waveforms import format_time, parse_time

TIME_COLUMN = "time_abs(%Y-%m-%dT%H:%M:%S.%f)"
COLUMNS = (
    "filename",
    TIME_COLUMN,
    "time_rel(sec)",
    "evid",
    "mq_type",
    "station_id",
    "channels",
    "stop_abs",
    "onset_uncertainty_s",
    "peak_probability",
    "priority",
    "segment",
    "n_samples",
    "size_bytes",
    "sent",
)


@dataclass(frozen=True, slots=True)
class CatalogRow:
    """One event.

    Attributes
    ----------
    filename : the input file that holds the onset, without its extension; "-" for a stream.
    onset_ns, stop_ns : [onset, stop) of the event, ns since 1970.
    time_rel_s : onset in seconds after that file's first sample.
    evid : NET_STA_ and the onset's time; the same event gets the same name in every run.
    mq_type : event class, blank where none is told.
    channels : codes of the channels in the segment.
    segment : file under the run's folder that holds the kept samples; events that overlap share one.
    n_samples, size_bytes : of that segment, all channels.
    priority : rank for the downlink, higher first (edge/results/priority.py).
    sent : whether all of the segment has been handed over to the radio (edge/downlink/downlink.py).
    onset_uncertainty_s : about two thirds of all onsets lie within this of the truth; None where it is not told.
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


def event_id(station_id: str, onset_ns: int) -> str:
    """Return the name of an event, for example ``XA_S12_19710413T125512.300``."""
    clock = format_time(onset_ns // 1_000_000 * 1_000_000)[:-3]
    # miniSEED 3 allows any character in a station's code; the name is also a file's, so it must not leave its folder.
    station = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "-" for c in station_id)
    return f"{station}_{clock.replace('-', '').replace(':', '')}"


def write_catalog(path: Path, rows: Iterable[CatalogRow], make_room: Callable[[int], bool] | None = None) -> None:
    """Write catalog.csv whole; `make_room` as in `write_bytes_atomically`.

    Raises
    ------
    DataError
        It cannot be written.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_cells(row) for row in rows)
    # A file's name need not be UTF-8; bytes that are not are written as \\udcXX.
    write_bytes_atomically(path, buffer.getvalue().encode("utf-8", "backslashreplace"), make_room)


def read_catalog(path: Path) -> list[CatalogRow]:
    """Read a catalog.csv that `write_catalog` wrote.

    Raises
    ------
    DataError
        Not such a file.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise DataError(f"{path} is no edgequake catalogue: expected the columns {', '.join(COLUMNS)}")
            return [_row(cells) for cells in reader]
    except (OSError, UnicodeDecodeError, ValueError) as problem:
        raise DataError(f"{path} cannot be read as a catalogue: {problem}") from problem


def _cells(row: CatalogRow) -> tuple[str, ...]:
    return (
        row.filename,
        format_time(row.onset_ns),
        f"{row.time_rel_s:.6f}",
        row.evid,
        row.mq_type,
        row.station_id,
        " ".join(row.channels),
        format_time(row.stop_ns),
        "" if row.onset_uncertainty_s is None else f"{row.onset_uncertainty_s:.3f}",
        f"{row.peak_probability:.4f}",
        f"{row.priority:.4f}",
        row.segment,
        str(row.n_samples),
        str(row.size_bytes),
        str(int(row.sent)),
    )


def _row(cells: dict[str, str]) -> CatalogRow:
    return CatalogRow(
        filename=cells["filename"],
        onset_ns=parse_time(cells[TIME_COLUMN]),
        time_rel_s=float(cells["time_rel(sec)"]),
        evid=cells["evid"],
        mq_type=cells["mq_type"],
        station_id=cells["station_id"],
        channels=tuple(cells["channels"].split()),
        stop_ns=parse_time(cells["stop_abs"]),
        peak_probability=float(cells["peak_probability"]),
        priority=float(cells["priority"]),
        segment=cells["segment"],
        n_samples=int(cells["n_samples"]),
        size_bytes=int(cells["size_bytes"]),
        sent=cells["sent"] == "1",
        onset_uncertainty_s=float(cells["onset_uncertainty_s"]) if cells["onset_uncertainty_s"] else None,
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Segment:
    """One kept file."""

    file: str  # under the run's folder
    station_id: str
    start_ns: int
    stop_ns: int
    n_samples: int  # all channels
    size_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A segment that is complete on disk, and its events."""

    segment: Segment
    rows: tuple[CatalogRow, ...]
    is_new: bool  # no earlier process has acknowledged it


class Ledger:
    """Rows and segments, and what an earlier process of the same run had told the world already.

    An event is *acknowledged* once its row is in the catalogue on disk, which is after its segment is complete there. A
    resumed run comes upon such events again, as its checkpoint is older than they are. What was acknowledged stands:
    neither its row nor its segment is written anew, or taken away.
    """

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self._rows: dict[str, list[CatalogRow]] = {}  # by segment
        self._names: set[str] = set()
        self._acknowledged: set[str] = set()  # segments in the catalogue on disk that this process has not met yet
        self._fresh: list[Found] = []
        self.is_changed = False  # what was sent is not in the catalogue on disk yet
        self.make_room: Callable[[int], bool] | None = None  # asked for space when the disk is full

    def name(self, stem: str) -> str:
        """Give out a segment's name, always the same in the same run.

        Two versions of the same hours, each a stream of its own, may find the same event: the second gets a number.
        """
        names = chain([f"segments/{stem}.mseed"], (f"segments/{stem}_{i}.mseed" for i in count(2)))
        name = next(name for name in names if name not in self._names)
        self._names.add(name)
        return name

    def acknowledged(self, name: str) -> list[CatalogRow] | None:
        """Rows of a segment that an earlier process acknowledged; None for a new one."""
        return self._rows[name] if name in self._acknowledged else None

    def add(self, segment: Segment, rows: list[CatalogRow]) -> None:
        """Take down a segment that is complete on disk."""
        self.segments.append(segment)
        self._fresh.append(Found(segment, tuple(rows), is_new=segment.file not in self._acknowledged))
        self._acknowledged.discard(segment.file)
        self._rows[segment.file] = rows

    def take_fresh(self) -> list[Found]:
        """Return what was added since the last call."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def mark_sent(self, name: str) -> None:
        """All of a segment has been handed over to the radio."""
        if not all(row.sent for row in self._rows[name]):
            self._rows[name] = [dataclasses.replace(row, sent=True) for row in self._rows[name]]
            self.is_changed = True

    def found(self, with_unmet: bool) -> list[Found]:
        """Return the segments known so far, and those that an earlier process acknowledged and this has not met yet."""
        met = [Found(segment, tuple(self._rows[segment.file]), is_new=False) for segment in self.segments]
        return [*met, *map(self._unmet, sorted(self._acknowledged))] if with_unmet else met

    def settle(self) -> None:
        """The run is over: acknowledged segments that it has not met again count all the same; their stream is gone."""
        for name in sorted(self._acknowledged):
            self.add(self._unmet(name).segment, self._rows[name])

    def _unmet(self, name: str) -> Found:
        rows = self._rows[name]
        start_ns, stop_ns = min(row.onset_ns for row in rows), max(row.stop_ns for row in rows)
        segment = Segment(name, rows[0].station_id, start_ns, stop_ns, rows[0].n_samples, rows[0].size_bytes)
        return Found(segment, tuple(rows), is_new=False)

    def rows(self) -> list[CatalogRow]:
        """Return the rows in the catalogue's order."""
        rows = [row for rows in self._rows.values() for row in rows]
        # To the microsecond, as the catalogue has it: rows read back from it must sort as they did.
        return sorted(rows, key=lambda row: (round(row.onset_ns / 1000), row.station_id, row.filename, row.segment))

    def write(self, path: Path) -> None:
        """Write the catalogue.

        Raises
        ------
        DataError
            It cannot be written.
        """
        write_catalog(path, self.rows(), self.make_room)
        self.is_changed = False

    def state(self) -> State:
        """Return what `restore` goes on from; the rows are in the catalogue."""
        segments = [list(dataclasses.astuple(segment)) for segment in self.segments]
        return {"segments": segments, "names": sorted(self._names - {segment.file for segment in self.segments})}

    def restore(self, state: State | None, catalog: Path) -> None:
        """Go on from what `state` returned, or from nothing, and from the catalogue on disk.

        Raises
        ------
        DataError
            The catalogue cannot be read.
        """
        for row in read_catalog(catalog) if catalog.exists() else ():
            self._rows.setdefault(row.segment, []).append(row)
        if state is not None:
            self.segments = [Segment(*values) for values in state["segments"]]
            self._names = {segment.file for segment in self.segments} | set(state["names"])
        self._acknowledged = set(self._rows) - {segment.file for segment in self.segments}

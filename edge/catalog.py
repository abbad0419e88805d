"""The catalogue: one row per event, first the columns of the NASA Space Apps packet, then ours."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from edgequake.edge.atomic import write_bytes_atomically
from edgequake.edge.errors import DataError
from edgequake.edge.piece import format_time, parse_time

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
    priority : rank for the downlink, higher first (edge/store/priority.py).
    sent : whether all of the segment has been handed over to the radio (edge/store/downlink.py).
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

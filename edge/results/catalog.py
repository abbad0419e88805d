"""The event catalogue: one row per event, as text and back.

`catalog.csv` begins with the columns of the NASA Space Apps packet; ours follow. A row never changes; which segments
have been sent is in the downlink's journal.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from edgequake.edge.base.errors import DataError
from edgequake.edge.base.inert_text import csv_line, text_of
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
    onset_uncertainty_s: float | None = None


Row = TypeVar("Row", bound=CatalogRow)

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
}
COLUMNS = tuple(_COLUMNS)
# Catalogues of edgequake 0.1 had a last column that told whether the segment had been sent.
OLD_COLUMNS = (*COLUMNS, "sent")
HEADER = (",".join(COLUMNS) + "\n").encode()


def catalog_text(rows: Iterable[CatalogRow]) -> str:
    """Return rows as lines of catalog.csv, without the header; each is one line, whatever the names in it."""
    return "".join(csv_line(text(getattr(row, field)) for field, text, _ in _COLUMNS.values()) for row in rows)


def parse_row(line: str, columns: tuple[str, ...] = COLUMNS) -> CatalogRow:
    """Read a line of catalog.csv.

    Raises
    ------
    ValueError
        It is not such a row.
    """
    try:
        (cells,) = csv.reader([line], strict=True)
        by_column = dict(zip(columns, cells, strict=True))
        return CatalogRow(
            **{field: value(text_of(by_column[column])) for column, (field, _, value) in _COLUMNS.items()}
        )
    except (ValueError, csv.Error, DataError) as problem:
        raise ValueError(f"no row of {len(columns)} cells: '{line.strip()[:80]}' ({problem})") from problem


def columns_of(header: str) -> tuple[str, ...] | None:
    """Return the columns that a first line of catalog.csv names; None where it is of no catalogue known here."""
    found = tuple(header.rstrip("\r\n").split(","))
    return found if found in (COLUMNS, OLD_COLUMNS) else None


def read_catalog(path: Path) -> list[CatalogRow]:
    """Read a catalog.csv; return its rows in the order of their onsets.

    Raises
    ------
    DataError
        The file cannot be read or is not such a catalogue.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            columns = columns_of(file.readline())
            if columns is None:
                raise DataError(f"{path} is no edgequake catalogue: expected the columns {', '.join(COLUMNS)}")
            rows = [parse_row(line, columns) for line in file]
    except (OSError, ValueError) as problem:
        raise DataError(f"{path} cannot be read as a catalogue: {problem}; is it cut off?") from problem
    return in_catalog_order(rows)


def in_catalog_order(rows: Iterable[Row]) -> list[Row]:
    """Return rows in the order of their onsets; those of one onset, of different stations, always in the same order."""
    return sorted(rows, key=lambda row: (row.onset_ns, row.station_id, row.filename, row.segment))


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of event waveforms."""

    file: str  # under the run folder
    station_id: str
    start_ns: int
    stop_ns: int
    n_samples: int  # all channels
    size_bytes: int
    found_by: str = ""  # the installed model that found its events; blank: the one that the run's options name

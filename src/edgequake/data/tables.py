"""What a labelled record is, and the two CSV tables of a data folder that describe such records.

`records.csv` has one row per file and channel, `catalog.csv` one row per arrival and file.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgequake.edge.base.errors import DataError
from edgequake.edge.base.inert_text import csv_line, text_of
from edgequake.edge.formats.waveforms import parse_time

BODIES = ("moon", "mars", "earth")
UNREVIEWED = "unreviewed"  # event type of a detection of which nobody has said yet what it is: neither quake nor noise
# All columns, as they are written. Readers need only those that `edgequake.data.dataset` names.
RECORD_COLUMNS = tuple(
    "split,body,group,file,station,channel,sampling_rate_hz,start,duration_s,n_samples,units,source,note".split(",")
)
CATALOG_COLUMNS = tuple(
    "split,body,group,file,event,event_type,time_abs,time_rel_s,precision_s,primary,label_source".split(",")
)


@dataclass(frozen=True)
class Arrival:
    """One catalogued arrival at one station."""

    time_ns: int
    precision_s: float  # half-width of the label's uncertainty
    primary: bool  # only primary arrivals must be detected; a detection of another one is not a false alarm
    event: str
    event_type: str
    group: str  # the same physical event, at whichever stations it was recorded
    label_source: str = ""  # who picked it, and what is known of it: magnitude, distance, signal-to-noise ratio


@dataclass(frozen=True)
class LabelledRecord:
    """One file of one station, its channels taken together."""

    file: Path
    body: str  # "moon", "mars" or "earth"
    split: str  # "train", "val" or "test"
    group: str
    station_id: str  # as in the table, or NET_STA
    channels: tuple[str, ...]  # the seismometer's channels; other channels of the file are not to be used
    start_ns: int  # first sample of any channel
    stop_ns: int  # one sampling interval after the last sample of any channel; gaps are not subtracted
    sampling_rate_hz: float
    arrivals: tuple[Arrival, ...]  # in time order
    note: str


def parse_time_ns(text: str, where: str) -> int:
    """Return a UTC time in a table as nanoseconds since 1970.

    Raises
    ------
    DataError
        Not an ISO 8601 time; `where` names the cell in the message.
    """
    try:
        return parse_time(text)
    except DataError as problem:
        raise DataError(f"{where}: {problem}") from problem


def parse_number(text: str, where: str) -> float:
    """Return the number in a table's cell.

    Raises
    ------
    DataError
        Not a number; `where` names the cell in the message.
    """
    try:
        return float(text)
    except ValueError as problem:
        raise DataError(f"{where}: expected a number, got '{text}'") from problem


def read_table(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """Read a CSV table; its header and every row must have these columns.

    Raises
    ------
    DataError
        The file is missing or not readable as text, or lacks a column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            header = reader.fieldnames or []
            rows = [{name: _text_of(value) for name, value in row.items()} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise DataError(f"table {path} cannot be read: {reason}") from problem
    missing = [column for column in columns if column not in header]
    if missing:
        raise DataError(f"table {path} has no column '{missing[0]}': it has {', '.join(header) or 'no header'}")
    for line, row in enumerate(rows, start=2):
        if any(row[column] is None for column in columns):
            raise DataError(f"table {path}, row {line}: expected {len(header)} fields, got fewer; is it cut off?")
    return rows


def table_bytes(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Return a CSV table with a header and lines that end in a newline, as it is written to a file."""
    table = [columns, *([_written(row.get(column)) for column in columns] for row in rows)]
    return "".join(map(csv_line, table)).encode()


def _written(value: Any) -> str:
    return "" if value is None else str(value)


def _text_of(value: Any) -> Any:
    """Return a cell's text; the cells beyond the header are a list, and those that a short row lacks are None."""
    return text_of(value) if isinstance(value, str) else value

"""Labelled records and their arrivals, and the CSV tables that describe them."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.waveforms import parse_time

BODIES = ("moon", "mars", "earth")


@dataclass(frozen=True)
class Arrival:
    """One catalogued arrival at one station."""

    time_ns: int
    precision_s: float  # how far the label may be trusted
    primary: bool  # secondary arrivals are known but not asked for: they only excuse a detection
    event: str
    event_type: str
    group: str  # the same physical event, wherever it was recorded


@dataclass(frozen=True)
class LabelledRecord:
    """One file of one station, its channels joined."""

    file: Path
    body: str  # "moon", "mars" or "earth"
    split: str  # "train", "val" or "test"
    group: str
    station_id: str  # as the table names it, or NET_STA
    channels: tuple[str, ...]  # the seismometer's channels; a file may hold others, which are not to be used
    start_ns: int  # first sample of any channel
    stop_ns: int  # one sample after the last of any channel, gaps not subtracted
    sampling_rate_hz: float
    arrivals: tuple[Arrival, ...]  # in time order
    note: str


def parse_time_ns(text: str, where: str) -> int:
    """Return the nanoseconds since 1970 of a table's UTC time.

    Raises
    ------
    DataError
        The text is no such time; `where` says which cell it came from.
    """
    try:
        return parse_time(text)
    except DataError as problem:
        raise DataError(f"{where}: {problem}") from problem


def parse_number(text: str, where: str) -> float:
    """Return the number that a table's cell holds.

    Raises
    ------
    DataError
        The text is no number.
    """
    try:
        return float(text)
    except ValueError as problem:
        raise DataError(f"{where}: expected a number, got '{text}'") from problem


def read_table(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """Read a CSV table and check that it has these columns in its header and in every row.

    Raises
    ------
    DataError
        The file is missing or not readable as text, or a column is missing.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            header = reader.fieldnames or []
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise DataError(f"table {path} cannot be read: {problem}") from problem
    missing = [column for column in columns if column not in header]
    if missing:
        raise DataError(f"table {path} has no column '{missing[0]}': it has {', '.join(header) or 'no header'}")
    for line, row in enumerate(rows, start=2):
        if any(row[column] is None for column in columns):
            raise DataError(f"table {path}, row {line}: expected {len(header)} fields, got fewer; is it cut off?")
    return rows

"""Read the CSV records of the NASA Space Apps packet: absolute time, seconds, velocity."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import TextIO, TypeAlias

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.source_ids import source_id_of
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns, parse_time

Float = npt.NDArray[np.float64]
_Row: TypeAlias = tuple[int, list[str]]  # number of the line, and its cells

_ROWS_AT_ONCE = 8192
_LONGEST_LINE = 1 << 10  # characters; what is longer is damage, and comes in pieces: it must not fill the memory
_MOST_QUOTED = 200  # characters of a damaged cell or header
_EXPECTED = "expected the columns time_abs, time_rel(sec), velocity"
_RELATIVE = re.compile(r"time.*rel|rel.*time|time.*\(\s*s(ec|econds)?\s*\)")
_VELOCITY = re.compile(r"velocity\s*(\(.*\))?")
_MOST_SHOWN = 10  # columns, of a header that is refused
_SAME_RATE = 1e-9  # relative: what double precision makes of a rate in a day's seconds
_GAP = 0.5  # sampling intervals by which a time may differ from that of an evenly sampled row


@dataclass(frozen=True)
class _Columns:
    """Positions of the columns that are read; the seconds may be missing."""

    n_columns: int
    absolute: int
    seconds: int | None
    sample: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class _Sampling:
    """Sampling of a file, from all of its rows."""

    start_ns: int
    stop_ns: int
    rate_hz: float
    first_s: float  # in the column of seconds, at the first row
    rounding_s: float  # one unit of the last decimal of the seconds


def read_packet_csv(path: Path) -> Iterator[Trace]:
    """Yield the samples of a packet CSV, float64, as traces without gaps.

    The header names the columns, in any order: absolute time, seconds (from midnight in some files, so only differences
    are used; where they are missing, those of the absolute times) and the sample; further columns are ignored. The
    names differ between bodies. Network, station, location and channel come from the file name
    (``xa.s12.00.mhz.1970-01-19HR00_evid00002.csv``), the sampling rate from the whole span of the seconds, because they
    may be rounded.

    Raises
    ------
    DataError
        Not a packet CSV, or a row that is not a sample.
    """
    source_id, sampling = _source_id(path), _sampling(path)
    run = _Run(sampling)
    for table in _tables(path):
        for start_ns, samples in run.parts(table):
            yield Trace(source_id, start_ns, sampling.rate_hz, samples, path.name, sampling.start_ns)


def packet_span(path: Path) -> tuple[str, int, int, float]:
    """Return source identifier, start and stop (ns since 1970) and sampling rate; raises as `read_packet_csv`."""
    source_id, sampling = _source_id(path), _sampling(path)
    return source_id, sampling.start_ns, sampling.stop_ns, sampling.rate_hz


def _source_id(path: Path) -> str:
    codes = [code.upper() for code in path.name.split(".")]
    if len(codes) < 5:
        raise DataError(
            f"{path.name}: expected a name that begins with network, station, location and channel, as "
            f"xa.s12.00.mhz.1970-01-19HR00_evid00002.csv"
        )
    network, station, location, channel = codes[:4]
    if len(channel) != 3:
        raise DataError(f"{path.name}: channel code {channel!a}: expected three letters such as MHZ")
    return source_id_of(network, station, location.replace("--", ""), channel)


def _sampling(path: Path) -> _Sampling:
    try:
        stat = path.stat()
    except OSError as problem:
        raise DataError(f"{path} cannot be read as a packet CSV: {problem.strerror or problem}") from problem
    return _sampling_of(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=16)
def _sampling_of(path: Path, size_bytes: int, modified_ns: int) -> _Sampling:
    """Return the sampling of a file; it is read once for its span and once for its samples."""
    start_ns, decimals = _first_row(path)
    seconds = np.concatenate([table[:, 0] for table in _tables(path)])  # 5 MB for a day
    rounding_s = 10.0**-decimals
    rate_hz = _rate_hz(seconds, rounding_s, path)
    last_s = float(np.max(seconds))
    stop_ns = start_ns + round((last_s - float(seconds[0])) * NS_PER_S) + duration_ns(1, rate_hz)
    return _Sampling(start_ns, stop_ns, rate_hz, float(seconds[0]), rounding_s)


def _rate_hz(seconds: Float, rounding_s: float, path: Path) -> float:
    """Return the sampling rate, from the span of all rows without the gaps between them.

    Single intervals are no measure of it: seconds with two decimals alternate between 0.15 and 0.16 at 6.625 Hz.
    """
    intervals = np.diff(seconds)
    interval_s = float(np.median(intervals)) if len(intervals) else 0.0
    for _ in range(3):  # the mean without gaps settles at once; the median of rounded intervals may be far off
        is_even = np.abs(intervals - interval_s) <= _GAP * interval_s + rounding_s
        interval_s = float(np.mean(intervals[is_even])) if is_even.any() else 0.0
    if interval_s <= 0.0:
        raise DataError(f"{path}: the time column does not rise; expected evenly sampled rows")
    longest = max(np.split(seconds, np.flatnonzero(~is_even) + 1), key=len)
    position = np.arange(len(longest), dtype=np.float64) - (len(longest) - 1) / 2
    rate_hz = float(np.dot(position, position) / np.dot(position, longest))  # of the line that fits them best
    # The fewest decimals that rounded times leave open: a rate of 6.625 is meant, not 6.62500123. Times rounded to q
    # have a standard deviation of q / sqrt(12), the slope of n of them one of q / n**1.5; three of these are allowed.
    error = max(3.0 * rounding_s * rate_hz * len(longest) ** -1.5, _SAME_RATE)
    candidates = (round(rate_hz, n_decimals) for n_decimals in range(10))
    return next((rate for rate in candidates if rate > 0 and abs(rate / rate_hz - 1.0) <= error), rate_hz)


class _Run:
    """Times the rows of a file: evenly from the first row of a run on, so that rounded times do not tear it."""

    def __init__(self, sampling: _Sampling) -> None:
        self._sampling = sampling
        self._interval_s = 1.0 / sampling.rate_hz
        self._origin_s: float | None = None  # of the present run
        self._n_samples = 0
        self._last_s = 0.0

    def parts(self, table: Float) -> Iterator[tuple[int, Float]]:
        """Yield start time and samples of the evenly sampled parts of a batch of rows."""
        seconds, samples = table[:, 0], table[:, 1]
        slack_s = _GAP * self._interval_s + self._sampling.rounding_s
        cuts = np.flatnonzero(np.abs(np.diff(seconds) - self._interval_s) > slack_s) + 1
        for times, values in zip(np.split(seconds, cuts), np.split(samples, cuts), strict=True):
            yield self._start_ns(float(times[0]), slack_s), values
            self._n_samples += len(values)
            self._last_s = float(times[-1])

    def _start_ns(self, time_s: float, slack_s: float) -> int:
        expected_s = None if self._origin_s is None else self._origin_s + self._n_samples * self._interval_s
        follows = expected_s is not None and abs(time_s - self._last_s - self._interval_s) <= slack_s
        if self._origin_s is None or not follows or abs(time_s - (expected_s or 0.0)) > slack_s:
            self._origin_s, self._n_samples = time_s, 0
        since_ns = round((self._origin_s - self._sampling.first_s) * NS_PER_S)
        return self._sampling.start_ns + since_ns + duration_ns(self._n_samples, self._sampling.rate_hz)


def _first_row(path: Path) -> tuple[int, int]:
    """Return the time of the first sample, and the decimals of the seconds in the first rows."""
    try:
        with _opened(path) as file:
            columns, rows = _header(file, path)
            batch = _batch(rows)
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise DataError(f"{path} cannot be read as a packet CSV: {problem}") from problem
    if not batch:
        raise DataError(f"{path} holds no sample; expected rows of time and velocity")
    line, first = batch[0]
    try:
        start_ns = parse_time(first[columns.absolute])
    except (DataError, IndexError) as problem:
        raise DataError(f"{path}, row {line}: {problem}") from problem
    timed = columns.absolute if columns.seconds is None else columns.seconds
    return start_ns, max((_n_decimals(row[timed]) for _, row in batch if len(row) > timed), default=0)


def _n_decimals(text: str) -> int:
    mantissa, _, exponent = text.strip().lower().removesuffix("z").partition("e")
    try:
        return min(18, max(0, len(mantissa.partition(".")[2]) - int(exponent or 0)))
    except ValueError:
        return 0


def _tables(path: Path) -> Iterator[Float]:
    """Yield seconds and samples of a file, shape (n_rows, 2), a batch at a time."""
    try:
        with _opened(path) as file:
            columns, rows = _header(file, path)
            while batch := _batch(rows):
                yield _table(batch, columns, path)
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise DataError(f"{path} cannot be read as a packet CSV: {problem}") from problem


def _opened(path: Path) -> TextIO:
    return path.open(newline="", encoding="utf-8-sig")


def _header(file: TextIO, path: Path) -> tuple[_Columns, Iterator[_Row]]:
    """Return the columns that a file's first line names, and its other lines that are not empty, with their numbers."""
    reader = csv.reader(iter(partial(file.readline, _LONGEST_LINE), ""))
    rows = ((reader.line_num, row) for row in reader if any(cell.strip() for cell in row))
    _, header = next(rows, (0, []))
    names = tuple(name.strip().lower() for name in header)
    got = ", ".join(header[:_MOST_SHOWN])[:_MOST_QUOTED] or "nothing"
    if len(names) == 1 and any(separator in names[0] for separator in ";\t"):
        raise DataError(f"{path}: its columns are separated by semicolons or tabs; expected commas and decimal points")
    if any(_is_number(name) for name in names):
        raise DataError(f"{path}: its first line is data, not the names of the columns; {_EXPECTED}, got {got}")
    timed = [i for i, name in enumerate(names) if "time" in name]
    seconds = next((i for i in timed if _RELATIVE.search(names[i])), None)
    absolute = next((i for i in timed if not _RELATIVE.search(names[i])), None)
    others = [i for i, name in enumerate(names) if name and i not in timed]
    samples = [i for i in others if _VELOCITY.fullmatch(names[i])] or others
    if absolute is None or len(samples) != 1:
        raise DataError(f"{path}: {_EXPECTED}, got {got}")
    return _Columns(len(names), absolute, seconds, samples[0], names), rows


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _batch(rows: Iterator[_Row]) -> list[_Row]:
    return list(islice(rows, _ROWS_AT_ONCE))


def _table(batch: list[_Row], columns: _Columns, path: Path) -> Float:
    """Return the seconds and samples of rows, shape (n_rows, 2)."""
    for line, row in batch:
        if len(row) != columns.n_columns:
            raise DataError(
                f"{path}, row {line}: {len(row)} cells, expected {columns.n_columns} as in the first line; "
                f"write numbers with decimal points"
            )
    seconds = (
        _absolute(batch, columns, path) if columns.seconds is None else _column(batch, columns.seconds, columns, path)
    )
    if not np.isfinite(seconds).all():
        raise DataError(f"{path}, rows {batch[0][0]} to {batch[-1][0]}: the time column holds NaN or infinity")
    return np.stack([seconds, _column(batch, columns.sample, columns, path)], axis=1)


def _column(batch: list[_Row], i: int, columns: _Columns, path: Path) -> Float:
    missing = "nan" if i == columns.sample else ""  # pandas writes a missing sample as an empty cell
    try:
        return np.array([row[i] or missing for _, row in batch], np.float64)
    except ValueError:
        line, text = next((line, row[i]) for line, row in batch if not _is_number(row[i] or missing))
        raise DataError(
            f"{path}, row {line}: expected a number in the column {columns.names[i]}, got {text[:_MOST_QUOTED]!a}"
        ) from None


def _absolute(batch: list[_Row], columns: _Columns, path: Path) -> Float:
    """Return the seconds since 1970 of the absolute times."""
    times_s = np.empty(len(batch), np.float64)
    for i, (line, row) in enumerate(batch):
        try:
            times_s[i] = parse_time(row[columns.absolute]) / NS_PER_S
        except DataError as problem:
            raise DataError(f"{path}, row {line}: {problem}") from problem
    return times_s

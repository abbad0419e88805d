"""Read the CSV records of the NASA Space Apps packet: absolute time, seconds, velocity."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, parse_time, source_id_of

Float = npt.NDArray[np.float64]

_ROWS_AT_ONCE = 8192


def read_packet_csv(path: Path) -> Iterator[Trace]:
    """Yield the samples of a packet CSV, float64, as traces without gaps.

    The first column is the absolute time, the second seconds (from midnight in some files, so only differences are
    used), the third the sample; the column names differ between bodies. Network, station, location and channel come
    from the file name (``xa.s12.00.mhz.1970-01-19HR00_evid00002.csv``), the sampling rate from the time column.

    Raises
    ------
    DataError
        Not a packet CSV, or a row that is not a sample.
    """
    source_id = _source_id(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield from _traces(csv.reader(file), path, source_id)
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise DataError(f"{path} cannot be read as a packet CSV: {problem}") from problem


def packet_span(path: Path) -> tuple[str, int, int, float]:
    """Return source identifier, start and stop (ns since 1970) and sampling rate; raises as `read_packet_csv`."""
    start_ns = stop_ns = None
    rate_hz = 0.0
    for trace in read_packet_csv(path):
        start_ns = trace.start_ns if start_ns is None else start_ns
        stop_ns, rate_hz = trace.stop_ns, trace.sampling_rate_hz
    assert start_ns is not None and stop_ns is not None  # a file without samples was refused
    return _source_id(path), start_ns, stop_ns, rate_hz


def _source_id(path: Path) -> str:
    codes = path.name.split(".")
    if len(codes) < 5:
        raise DataError(
            f"{path.name}: expected a name that begins with network, station, location and channel, as "
            f"xa.s12.00.mhz.1970-01-19HR00_evid00002.csv"
        )
    return source_id_of(*codes[:4])


def _traces(reader: Iterator[list[str]], path: Path, source_id: str) -> Iterator[Trace]:
    header = next(reader, [])
    if len(header) != 3 or not header[0].startswith("time"):
        raise DataError(
            f"{path}: expected the columns time_abs, time_rel(sec), velocity, got {', '.join(header) or 'nothing'}"
        )
    rate_hz = file_start_ns = first_rel_s = None
    line = 2
    while rows := list(islice(reader, _ROWS_AT_ONCE)):
        try:
            table = np.array([(row[1], row[2]) for row in rows], np.float64)
            if file_start_ns is None:
                file_start_ns, first_rel_s = parse_time(rows[0][0]), table[0, 0]
            if not np.isfinite(table[:, 0]).all():
                raise ValueError("the time column holds NaN or infinity")
        except (ValueError, IndexError, DataError) as problem:
            raise DataError(
                f"{path}, rows {line} to {line + len(rows) - 1}: expected three numbers a row: {problem}"
            ) from problem
        if rate_hz is None:
            rate_hz = _rate_hz(table[:, 0], path)
        yield from _cut(table, path, source_id, rate_hz, file_start_ns, float(first_rel_s or 0.0))
        line += len(rows)
    if file_start_ns is None:
        raise DataError(f"{path} holds no sample; expected rows of time and velocity")


def _rate_hz(rel_s: Float, path: Path) -> float:
    intervals = np.diff(rel_s)
    if len(intervals) == 0 or not np.median(intervals) > 0:
        raise DataError(f"{path}: the time column does not rise; expected evenly sampled rows")
    return round(1.0 / float(np.median(intervals)), 4)


def _cut(
    table: Float, path: Path, source_id: str, rate_hz: float, file_start_ns: int, first_rel_s: float
) -> Iterator[Trace]:
    """Split one batch of rows where the time step differs from the sampling interval by more than half of it."""
    rel_s, samples = table[:, 0], table[:, 1]
    cuts = np.flatnonzero(np.abs(np.diff(rel_s) * rate_hz - 1.0) > 0.5) + 1
    for times, values in zip(np.split(rel_s, cuts), np.split(samples, cuts), strict=True):
        start_ns = file_start_ns + round((float(times[0]) - first_rel_s) * NS_PER_S)
        yield Trace(source_id, start_ns, rate_hz, values, path.name, file_start_ns)

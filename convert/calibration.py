"""Rows of features from real records: to calibrate the quantizer with, and to compare the graphs on."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from edgequake.data import dataset
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.features.front_end import Rows, station_rows
from edgequake.edge.formats.miniseed import index_file, read_indexed
from edgequake.edge.formats.space_apps_csv import read_packet_csv
from edgequake.edge.formats.waveforms import Trace, channel_of, station_of
from edgequake.edge.manifest.front_end_config import FrontEndConfig, decimation_factor

FloatArray = npt.NDArray[np.float32]
T = TypeVar("T")
# Rows of continuous networks are counted in steps where one step takes many of them (raw samples, strides).
MAX_ROWS = 30_000  # two thirds calibrate (two lunar days of 9.7 s frames), one third compares
MAX_FILES = 48  # taken evenly from a data folder
SEQUENCE_ROWS = 512  # length of the parts that are taken from a continuous network's rows
VERIFIED_ROWS = 2_000  # least number of rows that graphs are compared on
MOST_VERIFIED_ROWS = 10_000  # a lunar day of 9.7 s frames; takes 0.3 s a graph
VERIFIED_WINDOWS = 16  # ... and of windows, each of which gives one probability only


@dataclass(frozen=True)
class Stepping:
    """How a network meets its rows."""

    mode: str  # "continuous" or "windowed"
    n_features: int
    window_rows: int | None  # in windowed mode
    rows_per_step: int = 1


@dataclass(frozen=True)
class Sequences:
    """Consecutive rows of real sequences; both arrays have shape (n_sequences, n_rows, n_features)."""

    calibration: FloatArray
    verification: FloatArray  # not calibrated with, where there is more than one sequence
    source: str  # where the rows came from, for the manifest
    parts: tuple[tuple[int, int], ...]  # sequence of the source, and first row in it, of each part calibrated with
    part_rows: int  # rows in a part


def from_file(path: Path, stepping: Stepping) -> Sequences:
    """Read `calibration.npz`, whose array `rows` has shape (n_sequences, n_rows, n_features).

    Raises
    ------
    ConfigError
        The file is damaged, holds something else, or too few rows for one sequence.
    """
    try:
        with np.load(path) as arrays:
            rows = np.asarray(arrays["rows"], np.float32)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as problem:
        raise ConfigError(
            f"calibration file {path} cannot be read: expected an .npz with the array 'rows' ({problem}); "
            "train again or give --calibration DIR"
        ) from problem
    if rows.ndim != 3 or rows.shape[2] != stepping.n_features or not np.isfinite(rows).all():
        raise ConfigError(
            f"calibration file {path}: expected finite rows of shape (n_sequences, n_rows, {stepping.n_features}), "
            f"got {rows.shape}; it belongs to another network, train again or give --calibration DIR"
        )
    return _divide((sequence for sequence in rows), stepping, str(path.name))


def from_records(
    folder: Path, body: str, channels: tuple[str, ...], front_end: FrontEndConfig, rate_hz: float, stepping: Stepping
) -> Sequences:
    """Stream records through the device's front end.

    Parameters
    ----------
    folder : a data folder with records.csv (its train split is used) or the packet's layout, or any folder of
        miniSEED files.

    Raises
    ------
    ConfigError, DataError
        No such folder, no record in it that suits, or too few rows.
    """
    if not folder.is_dir():
        raise ConfigError(f"calibration folder {folder} does not exist; give a folder of records to --calibration")
    sequences: list[FloatArray] = []
    for path, patterns in _thin(_record_files(folder, body, channels), MAX_FILES):
        for traces in _stations(path, patterns):
            suitable = (trace for trace in traces if _suits(trace, front_end, rate_hz))
            sequences += _uninterrupted(station_rows(front_end, rate_hz, suitable))
    if not sequences:
        raise ConfigError(
            f"calibration folder {folder} holds no record with channels like {', '.join(channels)} at {rate_hz:g} Hz "
            "or a rate that the model decimates to it; give a folder of such records to --calibration"
        )
    return _divide(sequences, stepping, folder.name)


def synthetic(stepping: Stepping) -> Sequences:
    """Return seeded noise: enough to compare uncalibrated graphs with Keras on, when there are no records."""
    rows = np.random.default_rng(0).normal(size=(4, max(stepping.window_rows or 0, VERIFIED_ROWS), stepping.n_features))
    return _divide(rows.astype(np.float32), stepping, "seeded noise")


def _record_files(folder: Path, body: str, channels: tuple[str, ...]) -> list[tuple[Path, tuple[str, ...]]]:
    """Return the files to read and the patterns of the channels to use of each."""
    if (folder / "records.csv").is_file() or any(folder.rglob("*.csv")):
        return [(record.file, record.channels) for record in dataset.load(folder, body, "train")]
    return [(path, channels) for path in sorted(folder.rglob("*")) if _is_miniseed(path)]


def _is_miniseed(path: Path) -> bool:
    try:
        return path.is_file() and bool(index_file(path).headers)
    except DataError:
        return False


def _stations(path: Path, patterns: tuple[str, ...]) -> Iterator[Iterator[Trace]]:
    """Yield the pieces of each station in a file, of the seismometer's channels only."""
    if path.suffix.lower() == ".csv":
        yield read_packet_csv(path)
        return
    index = index_file(path)
    headers = [h for h in index.headers if any(fnmatchcase(channel_of(h.source_id), p) for p in patterns)]
    for station in sorted({station_of(header.source_id) for header in headers}):
        yield read_indexed(index, [header for header in headers if station_of(header.source_id) == station])


def _suits(trace: Trace, front_end: FrontEndConfig, rate_hz: float) -> bool:
    try:
        return decimation_factor(front_end, rate_hz, trace.sampling_rate_hz) > 0
    except DataError:
        return False


def _uninterrupted(made: Rows) -> list[FloatArray]:
    """Return rows of shape (n_rows, n_features), cut where the front end started anew."""
    parts = np.split(made.rows, np.flatnonzero(made.restart))
    return [part.reshape(-1, part.shape[-1]) for part in parts if len(part)]


def _divide(sequences: Iterable[FloatArray], stepping: Stepping, source: str) -> Sequences:
    """Cut sequences to even lengths, thin them out, and set every third one apart for the comparison.

    For a continuous network the records are joined first and the parts afterwards: it meets one record after another
    in flight too, and its state must be seen to run on.
    """
    joined = list(sequences)
    if stepping.mode == "continuous" and joined:
        joined = [np.concatenate(joined)]
    n_rows = stepping.window_rows or _part_rows(stepping, sum(map(len, joined)))
    cut = [(i, start) for i, rows in enumerate(joined) for start in range(0, len(rows) - n_rows + 1, n_rows)]
    if not cut:
        raise ConfigError(
            f"the calibration rows from {source} are too few: expected at least {n_rows} consecutive rows; "
            "give --calibration a folder with longer records"
        )
    cut = _thin(cut, max(3, MAX_ROWS * (1 if stepping.window_rows else stepping.rows_per_step) // n_rows))
    parts = tuple(part for index, part in enumerate(cut) if index % 3 != 2)
    calibration, verification = (
        np.stack([joined[i][start : start + n_rows] for i, start in chosen]) for chosen in (parts, cut[2::3] or cut)
    )
    if stepping.mode == "continuous":
        calibration, verification = (part.reshape(1, -1, part.shape[2]) for part in (calibration, verification))
    return Sequences(calibration, _comparable(verification, stepping), source, parts, n_rows)


def _part_rows(stepping: Stepping, n_available: int) -> int:
    """Return the length of a part of a continuous network's rows, in whole steps."""
    n_steps = min(SEQUENCE_ROWS, max(1, n_available // 3 // stepping.rows_per_step))
    return n_steps * stepping.rows_per_step


def _comparable(sequences: FloatArray, stepping: Stepping) -> FloatArray:
    """Return one sequence long enough to show drift, or windows enough; short material is repeated."""
    _, n_rows, n_features = sequences.shape
    if stepping.mode == "windowed":
        n_windows = max(VERIFIED_WINDOWS, -(-VERIFIED_ROWS // n_rows))
        return np.resize(sequences, (n_windows, n_rows, n_features))
    least, most = (limit * stepping.rows_per_step for limit in (VERIFIED_ROWS, MOST_VERIFIED_ROWS))
    return np.resize(sequences, (1, min(max(n_rows, least), most), n_features))


def _thin(items: list[T], limit: int) -> list[T]:
    """Return at most `limit` items, evenly spaced."""
    if len(items) <= limit:
        return items
    return [items[index] for index in np.linspace(0, len(items) - 1, limit).astype(int)]

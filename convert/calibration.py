"""Feature rows from records, to calibrate the quantizer with and to compare the graphs on."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from edgequake.data import dataset
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.features.front_end import Rows, station_rows
from edgequake.edge.features.window_scaling import scaled
from edgequake.edge.formats.miniseed import index_file, read_indexed
from edgequake.edge.formats.source_ids import channel_of, station_of
from edgequake.edge.formats.space_apps_csv import read_packet_csv
from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.manifest.tables import FrontEndConfig, takes_rate

FloatArray = npt.NDArray[np.float32]
T = TypeVar("T")
# The rows of continuous networks are counted in steps where a step takes many of them (raw samples, strides).
MAX_ROWS = 30_000  # two thirds calibrate (two lunar days of 9.7 s frames), one third compares
MAX_FILES = 48  # taken at even intervals from a data folder
SEQUENCE_ROWS = 512  # length of the parts into which a continuous network's rows are cut
MAX_WINDOWS = 6_000  # likewise; only windows of fewer than five rows are so many, and each takes a step more
MIN_VERIFIED_ROWS = 2_000  # that graphs are compared on
MAX_VERIFIED_ROWS = 10_000  # a lunar day of 9.7 s frames; takes 0.3 s per graph
MIN_VERIFIED_WINDOWS = 16  # each window gives only one probability


@dataclass(frozen=True)
class InputLayout:
    """How a network takes its rows."""

    mode: str  # "continuous" or "windowed"
    n_features: int
    window_rows: int | None  # in windowed mode
    rows_per_step: int = 1


@dataclass(frozen=True)
class CalibrationRows:
    """Consecutive feature rows; both arrays have shape (n_sequences, n_rows, n_features)."""

    calibration: FloatArray
    verification: FloatArray  # not used in calibration, where there is more than one sequence
    source: str  # where the rows came from, for the manifest
    parts: tuple[tuple[int, int], ...]  # (sequence of the source, first row in it) of each part used in calibration
    part_rows: int  # rows in a part
    is_real: bool = True  # False: noise, on which no graph is calibrated


def from_file(path: Path, layout: InputLayout) -> CalibrationRows:
    """Read `calibration.npz`, whose array `rows` has shape (n_sequences, n_rows, n_features).

    Raises
    ------
    ConfigError
        The file is damaged, does not hold such rows, or holds too few for one sequence.
    """
    try:
        with np.load(path) as arrays:
            rows = np.asarray(arrays["rows"], np.float32)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as problem:
        raise ConfigError(
            f"calibration file {path} cannot be read: expected an .npz with the array 'rows' ({problem}); "
            "train again or give --calibration DIR"
        ) from problem
    if rows.ndim == 3 and rows.shape[2] == layout.n_features + 1 and np.isin(rows[..., -1], (0, 1)).all():
        raise ConfigError(
            f"calibration file {path}: its rows have {rows.shape[2]} features and the network takes "
            f"{layout.n_features}; the last one is the gap flag: make the rows again with front_end.gap_flag = false"
        )
    if rows.ndim != 3 or rows.shape[2] != layout.n_features or not np.isfinite(rows).all():
        raise ConfigError(
            f"calibration file {path}: expected finite rows of shape (n_sequences, n_rows, {layout.n_features}), "
            f"got {rows.shape}; it belongs to another network, train again or give --calibration DIR"
        )
    return _divide(rows, layout, path.name)


def from_records(
    folder: Path, body: str, channels: tuple[str, ...], front_end: FrontEndConfig, rate_hz: float, layout: InputLayout
) -> CalibrationRows:
    """Process records with the device's front end.

    Parameters
    ----------
    folder : a data folder with records.csv (its train split is used) or the packet's layout, or any folder of
        miniSEED files.

    Raises
    ------
    ConfigError, DataError
        The folder does not exist, or holds no suitable record, or too few rows.
    """
    if front_end.kind == "rows":
        raise ConfigError(
            f"calibration folder {folder}: the network takes rows, which no record gives; give a file of rows to "
            "--calibration, an .npz with the array 'rows' of shape (n_sequences, n_rows, n_features)"
        )
    if not folder.is_dir():
        raise ConfigError(f"calibration folder {folder} does not exist; give a folder of records to --calibration")
    sequences: list[FloatArray] = []
    for path, patterns in _thin(_record_files(folder, body, channels), MAX_FILES):
        for traces in _stations(path, patterns):
            suitable = (trace for trace in traces if takes_rate(front_end, rate_hz, trace.sampling_rate_hz))
            sequences += _contiguous(station_rows(front_end, rate_hz, suitable))
    if not sequences:
        raise ConfigError(
            f"calibration folder {folder} holds no record with channels like {', '.join(channels)} at a rate "
            f"that the model takes ({rate_hz:g} Hz or a higher one); give a folder of such records to --calibration"
        )
    rows = _divide(sequences, layout, folder.name)
    if not front_end.per_window:
        return rows
    calibration, verification = (scaled(front_end, part) for part in (rows.calibration, rows.verification))
    return replace(rows, calibration=calibration, verification=verification)


def synthetic(layout: InputLayout) -> CalibrationRows:
    """Return seeded noise, on which uncalibrated graphs are compared with Keras when there are no records."""
    rows = np.random.default_rng(0).normal(size=(4, max(layout.window_rows or 0, MIN_VERIFIED_ROWS), layout.n_features))
    return replace(_divide(rows.astype(np.float32), layout, "seeded noise"), is_real=False)


def _record_files(folder: Path, body: str, channels: tuple[str, ...]) -> list[tuple[Path, tuple[str, ...]]]:
    """Return the files to read, each with the patterns of the channels to use."""
    if (folder / "records.csv").is_file() or any(folder.rglob("*.csv")):
        return [(record.file, record.channels) for record in dataset.load(folder, body, "train")]
    return [(path, channels) for path in sorted(folder.rglob("*")) if _is_miniseed(path)]


def _is_miniseed(path: Path) -> bool:
    try:
        return path.is_file() and bool(index_file(path).headers)
    except DataError:
        return False


def _stations(path: Path, patterns: tuple[str, ...]) -> Iterator[Iterator[Trace]]:
    """Yield the traces of each station in a file, of the seismometer's channels only."""
    if path.suffix.lower() == ".csv":
        yield read_packet_csv(path)
        return
    index = index_file(path)
    headers = [h for h in index.headers if any(fnmatchcase(channel_of(h.source_id), p) for p in patterns)]
    for station in sorted({station_of(header.source_id) for header in headers}):
        yield read_indexed(index, [header for header in headers if station_of(header.source_id) == station])


def _contiguous(made: Rows) -> list[FloatArray]:
    """Return arrays of shape (n_rows, n_features), split where the front end was reset."""
    parts = np.split(made.rows, np.flatnonzero(made.restart))
    return [part.reshape(-1, part.shape[-1]) for part in parts if len(part)]


def _divide(sequences: Iterable[FloatArray], layout: InputLayout, source: str) -> CalibrationRows:
    """Cut sequences into parts of equal length, thin them out, and reserve every third part for the comparison.

    For a continuous network the records are concatenated before they are cut, and the parts again afterwards: in flight
    it also processes one record after another, and its state must be observed over a long run.
    """
    joined = list(sequences)
    if layout.mode == "continuous" and joined:
        joined = [np.concatenate(joined)]
    n_rows = layout.window_rows or _part_rows(layout, sum(map(len, joined)))
    cut = [(i, start) for i, rows in enumerate(joined) for start in range(0, len(rows) - n_rows + 1, n_rows)]
    if not cut:
        raise ConfigError(
            f"the calibration rows from {source} are too few: expected at least {n_rows} consecutive rows; "
            "give --calibration a folder with longer records"
        )
    most = MAX_ROWS * (1 if layout.window_rows else layout.rows_per_step) // n_rows
    cut = _thin(cut, max(3, min(most, MAX_WINDOWS)))
    parts = tuple(part for index, part in enumerate(cut) if index % 3 != 2)
    calibration, verification = (
        np.stack([joined[i][start : start + n_rows] for i, start in chosen]) for chosen in (parts, cut[2::3] or cut)
    )
    if layout.mode == "continuous":
        calibration, verification = (part.reshape(1, -1, part.shape[2]) for part in (calibration, verification))
    return CalibrationRows(calibration, _comparable(verification, layout), source, parts, n_rows)


def _part_rows(layout: InputLayout, n_available: int) -> int:
    """Return the length in rows of a continuous network's parts, a whole number of steps."""
    n_steps = min(SEQUENCE_ROWS, max(1, n_available // 3 // layout.rows_per_step))
    return n_steps * layout.rows_per_step


def _comparable(sequences: FloatArray, layout: InputLayout) -> FloatArray:
    """Return one sequence long enough to show drift, or enough windows; short material is repeated."""
    _, n_rows, n_features = sequences.shape
    if layout.mode == "windowed":
        n_windows = max(MIN_VERIFIED_WINDOWS, -(-MIN_VERIFIED_ROWS // n_rows))
        return np.resize(sequences, (n_windows, n_rows, n_features))
    least, most = (limit * layout.rows_per_step for limit in (MIN_VERIFIED_ROWS, MAX_VERIFIED_ROWS))
    return np.resize(sequences, (1, min(max(n_rows, least), most), n_features))


def _thin(items: list[T], limit: int) -> list[T]:
    """Return at most `limit` items, evenly spaced."""
    if len(items) <= limit:
        return items
    return [items[index] for index in np.linspace(0, len(items) - 1, limit).astype(int)]

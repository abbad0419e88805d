"""The rows that the device will compute, for a notebook: windows of rows with their labels, times and split.

A network that is trained on them sees in flight exactly what it has seen in training: `edgequake convert` takes the
same description. docs/notebook-to-device.md goes through it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.convert.foreign_model import read_description
from edgequake.data import dataset
from edgequake.data.partial_manifest import manifest_of
from edgequake.data.tables import parse_time_ns, read_table
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.detection.detector import RowClock
from edgequake.edge.features.front_end import Rows, station_rows
from edgequake.edge.features.window_scaling import scaled
from edgequake.edge.formats.source_ids import source_id_of
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.inputs.files import plan_inputs
from edgequake.edge.inputs.model_choice import matches
from edgequake.edge.manifest import schema
from edgequake.edge.manifest.manifest import Manifest
from edgequake.edge.manifest.tables import FrontEndConfig
from edgequake.results.tables.table import Table

CONTINUOUS_ROWS = 512  # of a window for a network without windows: the length on which graphs are calibrated, too
TRAIN_SHARE, VAL_SHARE = 0.7, 0.15  # of the windows of records that have no split of their own; the rest is "test"
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class DeviceRows:
    """Windows of rows; every array has one item per window.

    Attributes
    ----------
    rows : float32, shape (n_windows, n_rows, n_features), as the network takes them.
    labels : int8, shape (n_windows,): 1 where an arrival lies in the window, 0 where no event is in any of its rows,
        -1 where neither is so (it begins within an event), or where nothing is known of arrivals.
    row_labels : int8, shape (n_windows, n_rows): 1 from an arrival on for `event_s`, else 0; -1: nothing is known.
    onsets : float32, shape (n_windows,): where the first arrival lies in the window, 0 (its start) to 1 (its stop); NaN
        without.
    start_ns, stop_ns : int64, shape (n_windows,): nanoseconds since 1970 UTC.
    split : str, shape (n_windows,): "train", "val", "test", or "" for windows that lie across two of them.
    source : str, shape (n_windows,): file or station.
    """

    rows: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int8]
    row_labels: npt.NDArray[np.int8]
    onsets: npt.NDArray[np.float32]
    start_ns: npt.NDArray[np.int64]
    stop_ns: npt.NDArray[np.int64]
    split: npt.NDArray[np.str_]
    source: npt.NDArray[np.str_]

    def of(self, split: str) -> DeviceRows:
        """Return the windows of one split whose label is known."""
        chosen = (self.split == split) & (self.labels >= 0)
        return DeviceRows(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def save(self, path: Path) -> None:
        """Write the arrays by name to an .npz file, which `edgequake convert --calibration` takes, too."""
        np.savez_compressed(path, **{field.name: getattr(self, field.name) for field in fields(self)})

    def table(self, title: str) -> str:
        """Return how many windows there are, by split and label, as text."""
        lines = []
        for name in (*SPLITS, ""):
            labels = self.labels[self.split == name]
            counts = [int(np.sum(labels == value)) for value in (1, 0, -1)]
            if name or len(labels):
                lines.append((name or "across two", str(len(labels)), *map(str, counts)))
        head = f"{title}: windows of {self.rows.shape[1]} rows of {self.rows.shape[2]} features"
        return Table(head, ("split", "windows", "with an arrival", "quiet", "left open"), tuple(lines)).text()


@dataclass(frozen=True)
class WindowPlan:
    """How rows are cut into windows and labelled."""

    manifest: Manifest
    n_rows: int
    hop_rows: int
    event_s: float

    def columns(self) -> str:
        """Return in words what the features of a row are."""
        config = self.manifest.front_end
        n_components = len(config.components)
        of_each = f" ({config.n_channel_features} of each of {n_components} components)" if n_components else ""
        values = f"{config.n_features - int(config.gap_flag)}{of_each}"
        if not config.gap_flag:
            return f"features of a row: {values}; no gap flag"
        return f"features of a row: {values}, and the gap flag; front_end.gap_flag = false leaves it out"

    def missing(self, made: DeviceRows) -> dict[str, int]:
        """Return in how many windows each component is 0 throughout: no channel matches it there, or a dead one."""
        n = self.manifest.front_end.n_channel_features
        parts = [made.rows[..., i * n : (i + 1) * n] for i in range(len(self.manifest.front_end.components))]
        counts = [int(np.all(part == 0, axis=(1, 2)).sum()) for part in parts]
        return {name: count for name, count in zip(self.manifest.front_end.components, counts, strict=True) if count}


def plan_windows(
    description: Path | str | None,
    changes: dict[str, Any] | None = None,
    n_rows: int | None = None,
    hop_rows: int | None = None,
    event_s: float | None = None,
) -> WindowPlan:
    """Return how records become windows.

    Parameters
    ----------
    description, changes : as for `edgequake convert` (`foreign_model.read_description`).
    n_rows, hop_rows : rows of a window and from one to the next; by default those of the description, or 512 and 512
        in continuous mode.
    event_s : how long after an arrival rows are labelled; by default the trigger's `merge_s`.

    Raises
    ------
    ConfigError
        The description is incomplete, or of rows from elsewhere.
    """
    given = {"network.window_rows": n_rows, "network.window_hop_rows": hop_rows}
    more = {name: value for name, value in given.items() if value is not None}
    partial = read_description(Path(description) if description else None, {**(changes or {}), **more}, None)
    where = str(description or "the description")
    if partial["front_end"]["kind"] == "rows":
        raise ConfigError(f"{where}: the network takes rows from elsewhere, which no record gives")
    network = partial["network"]
    front_end = schema.build(FrontEndConfig, partial["front_end"], f"{where}: front_end", ConfigError)
    unknown = {"mode": network["mode"], "rows_per_step": 1, "n_features": front_end.n_features, "outputs": ["event"]}
    windows = {name: network.get(name) for name in ("window_rows", "window_hop_rows")}
    manifest = manifest_of({**partial, "network": {**unknown, **windows}}, where)
    length = n_rows or network.get("window_rows") or CONTINUOUS_ROWS
    hop = hop_rows or network.get("window_hop_rows") or length
    return WindowPlan(manifest, length, hop, manifest.trigger.merge_s if event_s is None else event_s)


def rows(
    stream: Any,
    description: Path | str,
    arrivals: Iterable[Any] | None = None,
    *,
    n_rows: int | None = None,
    hop_rows: int | None = None,
    event_s: float | None = None,
) -> DeviceRows:
    """Return the device's rows of a stream of samples.

    Parameters
    ----------
    stream : an obspy `Stream`, traces of `edgequake.edge`, or the path of a miniSEED file or a folder of them.
    description : TOML file that describes the rows, as for `edgequake convert --describe`.
    arrivals : times of first motions: text (ISO 8601 UTC), `UTCDateTime` of obspy, or nanoseconds since 1970 (int); an
        empty list says that there are none, None that nothing is known.
    n_rows, hop_rows, event_s : see `plan_windows`.

    Raises
    ------
    ConfigError, DataError
        An incomplete description; samples at a rate that it does not take; not a single window.
    """
    plan = plan_windows(description, None, n_rows, hop_rows, event_s)
    times_ns = None if arrivals is None else sorted(_time_ns(arrival) for arrival in arrivals)
    if isinstance(stream, (str, Path)):
        return _unlabelled(Path(stream), plan, times_ns)
    stations: dict[str, list[Trace]] = {}
    for trace in (_as_trace(item) for item in stream):
        if matches(trace.source_id, plan.manifest.channels):
            stations.setdefault(trace.station_id, []).append(trace)
    parts = []
    for station_id, traces in sorted(stations.items()):
        traces.sort(key=lambda trace: trace.start_ns)
        parts += list(_windows(plan, _rows_of(plan, traces), times_ns, "", station_id))
    return _by_time(_joined(parts, plan, "the stream"))


def rows_of_folder(
    folder: Path, plan: WindowPlan, arrivals_csv: Path | None = None, split: str | None = None
) -> tuple[DeviceRows, list[str]]:
    """Return the device's rows of a folder of records, and a line for each record that is left out.

    Parameters
    ----------
    folder : with records.csv or in the packet's layout, whose labels and split are used; otherwise miniSEED files.
    arrivals_csv : for a folder without labels: a table with a column `time`, ISO 8601 UTC.
    split : only the records of this split.

    Raises
    ------
    ConfigError, DataError
        As `rows`.
    """
    if not folder.exists():
        raise DataError(f"{folder} is no file or folder; give a folder of records")
    if arrivals_csv is not None or not folder.is_dir() or not dataset.is_labelled(folder):
        times_ns = None
        if arrivals_csv is not None:
            table = read_table(arrivals_csv, ["time"])
            times_ns = sorted(parse_time_ns(row["time"], f"{arrivals_csv}, row {i}") for i, row in enumerate(table, 2))
        made = _unlabelled(folder, plan, times_ns)
        return (made if split is None else made.of(split)), []
    parts, left_out = [], []
    for record in dataset.load(folder, plan.manifest.body, split):
        patterns = plan.manifest.front_end.components or record.channels
        try:
            for traces in _streams(record.file, plan.manifest, patterns):
                times_ns = [arrival.time_ns for arrival in record.arrivals]
                parts += list(_windows(plan, _rows_of(plan, traces), times_ns, record.split, record.file.name))
        except DataError as problem:
            left_out.append(f"left out: {problem}")
    return _joined(parts, plan, str(folder)), left_out


def _unlabelled(path: Path, plan: WindowPlan, arrivals_ns: list[int] | None) -> DeviceRows:
    parts: list[DeviceRows] = []
    for traces in _streams(path, plan.manifest, None):
        made = _rows_of(plan, traces)
        parts += list(_windows(plan, made, arrivals_ns, "", path.name))
    return _by_time(_joined(parts, plan, str(path)))


def _streams(path: Path, manifest: Manifest, patterns: Sequence[str] | None) -> Iterator[Iterator[Trace]]:
    """Yield the traces of each station, as the runner reads them."""
    try:
        plan = plan_inputs((str(path),), manifest, None if patterns is None else tuple(patterns))
    except DataError as problem:  # it goes on with what other models would take, which is no help here
        reason = str(problem).partition(";")[0].replace("this model takes", "the description takes")
        reason = reason.replace(f", the channels of model {manifest.name}", "")
        where = "the description names channels, front_end.components and sampling_rate_hz"
        raise DataError(f"{reason}; {where}") from problem
    for stream in plan.streams:
        yield stream.traces(Diagnostics())


def _rows_of(plan: WindowPlan, traces: Iterable[Trace]) -> Rows:
    return station_rows(plan.manifest.front_end, plan.manifest.sampling_rate_hz, traces)


def _windows(
    plan: WindowPlan, made: Rows, arrivals_ns: Sequence[int] | None, split: str, source: str
) -> Iterator[DeviceRows]:
    """Yield the windows of each part of a record between restarts."""
    config, manifest = plan.manifest.front_end, plan.manifest
    clock, per_block = RowClock(config, manifest.sampling_rate_hz), config.rows_per_block
    cuts = [*(int(i) for i in np.flatnonzero(made.restart)), len(made.block)]
    for first_block, stop_block in pairwise(cuts):
        flat = made.rows[first_block:stop_block].reshape(-1, made.rows.shape[2])
        starts = np.arange(0, len(flat) - plan.n_rows + 1, plan.hop_rows)
        if not len(starts):
            continue
        block = int(made.block[first_block])
        stop_ns = np.array([clock.stop_ns(made.t0_ns, block + i // per_block, i % per_block) for i in range(len(flat))])
        start_ns = stop_ns - clock.rows_ns(1)
        index = starts[:, np.newaxis] + np.arange(plan.n_rows)
        valid = np.repeat(made.valid[first_block:stop_block], per_block)[index].any(axis=1)
        row_labels = _row_labels(start_ns, stop_ns, arrivals_ns, plan.event_s)[index]
        labels, onsets = _labels(start_ns[index[:, 0]], stop_ns[index[:, -1]], arrivals_ns, row_labels)
        n = len(index)
        part = DeviceRows(
            scaled(config, flat[index]), labels, row_labels, onsets, start_ns[index[:, 0]], stop_ns[index[:, -1]],
            np.array([split] * n), np.array([source] * n),
        )  # fmt: skip
        yield DeviceRows(*(getattr(part, field.name)[valid] for field in fields(part)))


def _row_labels(
    start_ns: npt.NDArray[np.int64], stop_ns: npt.NDArray[np.int64], arrivals_ns: Sequence[int] | None, event_s: float
) -> npt.NDArray[np.int8]:
    if arrivals_ns is None:
        return np.full(len(start_ns), -1, np.int8)
    found = np.zeros(len(start_ns), np.int8)
    for arrival_ns in arrivals_ns:
        found[(stop_ns > arrival_ns) & (start_ns < arrival_ns + max(1, round(event_s * NS_PER_S)))] = 1
    return found


def _labels(
    start_ns: npt.NDArray[np.int64],
    stop_ns: npt.NDArray[np.int64],
    arrivals_ns: Sequence[int] | None,
    row_labels: npt.NDArray[np.int8],
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Return label and place of the first arrival of each window."""
    onsets = np.full(len(start_ns), np.nan, np.float32)
    for arrival_ns in sorted(arrivals_ns or (), reverse=True):
        inside = (start_ns <= arrival_ns) & (arrival_ns < stop_ns)
        onsets[inside] = ((arrival_ns - start_ns) / (stop_ns - start_ns))[inside]
    labels = np.where(np.isnan(onsets), np.where(row_labels.any(axis=1), -1, 0), 1)
    return labels.astype(np.int8), onsets


def _joined(parts: Sequence[DeviceRows], plan: WindowPlan, where: str) -> DeviceRows:
    if not any(len(part.rows) for part in parts):
        raise DataError(
            f"{where} holds no window of {plan.n_rows} rows without a long gap; give longer records or fewer rows"
        )
    return DeviceRows(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(parts[0])))


def _by_time(made: DeviceRows) -> DeviceRows:
    """Return windows with a split by recorded time: no window overlaps one of another split."""
    in_order = np.sort(made.start_ns)
    edges = [in_order[0], *(in_order[int(share * len(in_order))] for share in _UNTIL), made.stop_ns.max()]
    split = np.full(len(made.rows), "", "<U5")
    for name, (start, stop) in zip(SPLITS, pairwise(edges), strict=True):
        split[(made.start_ns >= start) & (made.stop_ns <= stop)] = name
    values = {field.name: getattr(made, field.name) for field in fields(made)}
    return DeviceRows(**{**values, "split": split})


_UNTIL = (TRAIN_SHARE, TRAIN_SHARE + VAL_SHARE)


def _as_trace(item: Any) -> Trace:
    """Return a trace of this package or of obspy as one of this package; samples that obspy has masked become NaN."""
    if isinstance(item, Trace):
        return item
    try:
        stats, samples = item.stats, item.data
        source_id = source_id_of(stats.network, stats.station, stats.location, stats.channel)
        start_ns, rate_hz = int(stats.starttime.ns), float(stats.sampling_rate)
    except AttributeError as problem:
        raise DataError(f"a stream of {type(item).__name__}: expected an obspy Stream or traces") from problem
    if isinstance(samples, np.ma.MaskedArray):
        samples = np.where(samples.mask, np.nan, samples.data)
    return Trace(source_id, start_ns, rate_hz, np.asarray(samples))


def _time_ns(arrival: Any) -> int:
    if isinstance(arrival, str):
        return parse_time_ns(arrival, "arrivals")
    return int(getattr(arrival, "ns", arrival))

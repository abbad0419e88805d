"""Published pickers trained on earthquakes, through SeisBench (the optional extra `peers`).

Their cost is measured always: parameters, and wall time per second of signal through SeisBench's own `annotate`, with
three components at the model's rate and one thread; untrained weights serve as well for that. Their accuracy is
measured on Earth records, if SeisBench's local cache holds the weights: nothing is downloaded here. To fetch weights,
call ``seisbench.models.PhaseNet.from_pretrained("original")`` once.

An onset is the peak of the P probability while it is at or above `P_THRESHOLD`; segments are kept around the times at
which the probability of any phase, or of a detection, is that high. Records are passed on unchanged: a single channel
leaves the other two components blank. Records shorter than two of the model's windows are padded with zeros on both
sides.

References
----------
Woollam et al. (2022), doi:10.1785/0220210324 (SeisBench); Zhu & Beroza (2018), doi:10.1093/gji/ggy423 (PhaseNet);
Mousavi et al. (2020), doi:10.1038/s41467-020-17591-w (EQTransformer).
"""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgequake.benchmarks.detectors.detectors import NamedDetector
from edgequake.benchmarks.detectors.sta_lta import kept_around
from edgequake.benchmarks.detectors.station_arrays import contiguous_runs
from edgequake.benchmarks.scoring.characteristic_function import CharacteristicFunction
from edgequake.benchmarks.scoring.scoring import Detections, Interval
from edgequake.data.tables import LabelledRecord
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.results.accuracy import PeerResult

CLASSES = {"phasenet": "PhaseNet", "eqtransformer": "EQTransformer"}  # name on the command line -> class in SeisBench
DEFAULT_WEIGHTS = "original"
P_THRESHOLD = 0.3  # SeisBench's default for picks
NOT_PHASES = ("N",)  # noise
COST_SIGNAL_S = 600.0
COST_RUNS = 5


@dataclass(frozen=True)
class SeisBenchPicker:
    """A picker of SeisBench as a detector."""

    name: str
    weights: str
    model: Any = field(repr=False, compare=False)  # a seisbench.models.WaveformModel
    threshold: float = P_THRESHOLD

    def __call__(self, record: LabelledRecord, start_ns: int) -> Detections:
        """Pick from `start_ns` to the record's stop.

        Raises
        ------
        DataError
            The file cannot be read.
        """
        curves = self.model.annotate(_stream(record, start_ns, 2 * self.model.in_samples / self.model.sampling_rate))
        onsets: list[int] = []
        kept: list[Interval] = []
        times, values = [np.zeros(0, np.int64)], [np.zeros(0)]
        for trace in curves:
            phase = trace.stats.channel.rpartition("_")[2]
            if phase in NOT_PHASES:
                continue
            times_ns = _times_ns(trace)
            for first, last in _spans(trace.data, self.threshold):
                kept.append(kept_around(record.body, int(times_ns[first]), int(times_ns[last])))
                if phase == "P":
                    onsets.append(int(times_ns[first + int(np.nanargmax(trace.data[first : last + 1]))]))
            if phase == "P":
                times.append(times_ns)
                values.append(np.asarray(trace.data, np.float64))
        inside = sorted(onset for onset in onsets if start_ns <= onset < record.stop_ns)
        characteristic = CharacteristicFunction(np.concatenate(times), np.concatenate(values), self.threshold)
        return Detections(tuple(inside), tuple(kept), characteristic=characteristic)


def seisbench_detectors(asked: Sequence[str], body: str) -> tuple[tuple[PeerResult, ...], list[NamedDetector]]:
    """Return the cost of each picker, and those pickers that can be scored on records of this body.

    Parameters
    ----------
    asked : phasenet or eqtransformer, each alone or as NAME:WEIGHTS.

    Raises
    ------
    ConfigError
        No such picker, or SeisBench is not installed.
    """
    costs, detectors = [], []
    for text in asked:
        name, _, weights = text.partition(":")
        of_class = _class_of(name)
        weights = weights or DEFAULT_WEIGHTS
        cached = bool(of_class.list_versions(weights, remote=False))
        model = of_class.from_pretrained(weights) if cached else of_class()
        title = CLASSES[name]
        if not cached:
            note = f"no weights '{weights}' in SeisBench's cache and none are downloaded: by cost only, untrained"
        elif body != "earth":
            note = "trained on earthquakes: by accuracy on Earth records only"
        else:
            note = ""
            detectors.append(NamedDetector(f"{title}, {weights}", SeisBenchPicker(title, weights, model)))
        costs.append(_cost(title, weights if cached else None, model, note))
    return tuple(costs), detectors


def _class_of(name: str) -> Any:
    if name not in CLASSES:
        raise ConfigError(f"no picker '{name}': expected {' or '.join(CLASSES)}, each alone or as NAME:WEIGHTS")
    try:
        models = importlib.import_module("seisbench.models")
    except ImportError as problem:
        raise ConfigError(
            f"picker '{name}' needs SeisBench, which cannot be imported ({problem}); pip install 'edgequake[peers]'"
        ) from problem
    return getattr(models, CLASSES[name])


def _cost(title: str, weights: str | None, model: Any, note: str) -> PeerResult:
    """Time `annotate` over noise, after a warm-up run."""
    torch = importlib.import_module("torch")
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        stream = _noise(model.sampling_rate)
        wall_s = []
        for _ in range(1 + COST_RUNS):
            started = time.perf_counter()
            model.annotate(stream.copy())
            wall_s.append(time.perf_counter() - started)
    finally:
        torch.set_num_threads(n_threads)
    return PeerResult(
        name=title,
        weights=weights,
        parameters=sum(int(numbers.numel()) for numbers in model.parameters()),
        us_per_signal_s=1e6 * statistics.median(wall_s[1:]) / COST_SIGNAL_S,
        signal_s=COST_SIGNAL_S,
        n_runs=COST_RUNS,
        n_threads=1,
        versions={name: str(importlib.import_module(name).__version__) for name in ("seisbench", "torch")},
        note=note,
    )


def _noise(rate_hz: float) -> Any:
    """Return an obspy stream of three components."""
    rng = np.random.default_rng(0)
    n_samples = round(COST_SIGNAL_S * rate_hz)
    return _as_stream([(f"HH{component}", 0, rng.normal(0.0, 100.0, n_samples)) for component in "ZNE"], rate_hz)


def _stream(record: LabelledRecord, start_ns: int, least_s: float) -> Any:
    """Return a record from `start_ns` on as an obspy stream without offsets, at least `least_s` long."""
    from obspy import UTCDateTime

    runs = [(channel, at_ns, samples - np.mean(samples)) for channel, at_ns, samples in contiguous_runs(record)]
    stream = _as_stream(runs, record.sampling_rate_hz)
    missing_ns = max(0, round(least_s * NS_PER_S) - (record.stop_ns - start_ns))
    stream.trim(UTCDateTime(ns=start_ns))
    if missing_ns:
        first, last = UTCDateTime(ns=start_ns - missing_ns // 2), UTCDateTime(ns=record.stop_ns + missing_ns // 2)
        stream.merge(fill_value=0.0)
        stream.trim(first, last, pad=True, fill_value=0.0)
    return stream


def _as_stream(traces: Sequence[tuple[str, int, Any]], rate_hz: float) -> Any:
    from obspy import Stream, Trace, UTCDateTime

    return Stream(
        [
            Trace(
                np.asarray(samples, np.float32),
                {"network": "XX", "station": "EQ", "channel": channel, "sampling_rate": rate_hz,
                 "starttime": UTCDateTime(ns=start_ns)},
            )
            for channel, start_ns, samples in traces
        ]
    )  # fmt: skip


def _times_ns(trace: Any) -> Any:
    offsets_ns = np.rint(np.arange(len(trace.data)) * (NS_PER_S / trace.stats.sampling_rate)).astype(np.int64)
    return int(trace.stats.starttime.ns) + offsets_ns


def _spans(probability: Any, threshold: float) -> list[tuple[int, int]]:
    """Return the first and last index of each run at or above the threshold."""
    up = np.concatenate([[False], np.nan_to_num(probability) >= threshold, [False]])
    edges = np.flatnonzero(up[1:] != up[:-1])
    return [(int(first), int(stop) - 1) for first, stop in zip(edges[::2], edges[1::2], strict=True)]

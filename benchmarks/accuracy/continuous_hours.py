"""`bench accuracy --continuous`: a model, STA/LTA and PhaseNet on continuous hours, on the same axes.

`edgequake.benchmarks.scoring.strata` says what is measured, `edgequake.benchmarks.scoring.continuous` how. The model's
onsets and segments are those of a run (`edgequake.benchmarks.detectors.replay`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from edgequake.benchmarks.accuracy.arrival_facts import RANGES, facts, range_names, range_of
from edgequake.benchmarks.detectors.baselines import TUNED_RECURSIVE, TUNED_STA_LTA
from edgequake.benchmarks.detectors.cached_rows import CachedTracer, RowCache
from edgequake.benchmarks.detectors.phasenet import HOP, RATE_HZ, WINDOW, PhaseNet, PhaseNetDetector
from edgequake.benchmarks.detectors.replay import DecisionTracer, replay
from edgequake.benchmarks.detectors.sta_lta import PowerDetector, RecursiveStaLta, StaLta, prepare, trigger
from edgequake.benchmarks.scoring.continuous import (
    ArrivalOutcome,
    HoursMeasured,
    MeasuredStratum,
    StratumOutcome,
    SweptDetector,
    measure,
    select,
)
from edgequake.benchmarks.scoring.scoring import Detections
from edgequake.benchmarks.scoring.strata import LARGE, PICKED
from edgequake.data.dataset import data_hash
from edgequake.data.selection import Fold
from edgequake.data.tables import LabelledRecord
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.detection.network import import_runtime
from edgequake.results.continuous import (
    BinFigures,
    ContinuousReport,
    CostOfPicker,
    OnsetQuartiles,
    StratumLine,
    StratumPoint,
    SweptResult,
)
from edgequake.results.progress import Progress, part_of, silent
from edgequake.results.provenance import identify, provenance

NS_PER_HOUR = 3.6e12
MODEL_THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
PICKER_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
RATIOS = (3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 14.0, 20.0, 28.0)
PICKER_NORMAL = 0.3  # SeisBench's default
# What people run: obspy's tutorials and rsudp's defaults use windows and bands like these. All are silent for the long
# window: of records that begin 30 s before P, 1/30 s can find nothing.
ORDINARY = {
    "recursive STA/LTA 1/30 s, 1-9.9 Hz": RecursiveStaLta(1.0, 30.0, on=4.0, off=1.5, band_hz=(1.0, 9.9)),
    "recursive STA/LTA 0.5/10 s, 1-9.9 Hz": RecursiveStaLta(0.5, 10.0, on=3.5, off=1.5, band_hz=(1.0, 9.9)),
    "classic STA/LTA 0.5/10 s, 1-9.9 Hz": StaLta(0.5, 10.0, on=4.0, off=1.5, band_hz=(1.0, 9.9)),
}
COST_SIGNAL_S = 600.0
COST_RUNS = 5


@dataclasses.dataclass(frozen=True)
class Contender:
    """A detector, its thresholds and the one that its details belong to."""

    name: str
    settings: str
    normal: float
    detector: SweptDetector


def bench_continuous(
    model: str | None,
    data: Path,
    split: str | None = None,
    variant: str | None = None,
    seeds: int = 5,
    *,
    body: str = "earth",
    fold: Fold | None = None,
    baselines: bool = True,
    phasenet: Path | None = None,
    rows: Path | None = None,
    progress: Progress = silent,
) -> ContinuousReport:
    """Measure a model, STA/LTA and PhaseNet on continuous hours.

    Parameters
    ----------
    model : shipped name or path of a manifest; None measures the others alone, on records of `body`.
    seeds : random starts of each record, at least one.
    fold : of a cross-validation; its held-out records of train and val are used instead of a split.
    phasenet : file of PhaseNet's weights, see `edgequake.benchmarks.detectors.phasenet`; Earth only.
    rows : folder that keeps the model's rows of features for the next measurement; None: they are computed anew.

    Raises
    ------
    ConfigError
        No seed, or nothing to measure.
    DataError, ManifestError, ModelError
        Unusable records, weights or model.
    """
    if seeds < 1:
        raise ConfigError("a measure on continuous hours needs at least one random start; give --seeds 1 or more")
    identity, of_model = identify(model, variant) if model else (None, body)
    contenders = [_model(model, variant, rows)] if model else []
    contenders += _baselines(of_model) if baselines else []
    cost = None
    if phasenet:
        network = PhaseNet.load(phasenet)
        import_runtime()  # before TensorFlow, see its docstring
        cost = picker_cost(network, phasenet)
        picker = PhaseNetDetector(network, PICKER_THRESHOLDS)
        contenders.append(Contender("PhaseNet", repr(picker), PICKER_NORMAL, picker))
    if not contenders:
        raise ConfigError("nothing to measure: name a model, or leave the baselines in")
    with tempfile.TemporaryDirectory(prefix="edgequake-hours-") as folder:
        strata = select(data, of_model, Path(folder), split, fold)
        results, first = [], None
        for i, one in enumerate(contenders):
            step = part_of(progress, i / len(contenders), (i + 1) / len(contenders), one.name)
            measured = measure(one.detector, strata, range(seeds), step)
            first = first or measured
            results.append(_result(one, measured))
        sha256 = data_hash({record.file: record for one in strata for record in one.records}.values())
    return ContinuousReport(
        body=of_model,
        split=f"fold {fold.index}/{fold.count}" if fold else split or "val",
        seeds=tuple(range(seeds)),
        data_sha256=sha256,
        model=identity,
        provenance=provenance(),
        strata=tuple(_line(one) for one in strata),
        results=tuple(results),
        cost=cost,
    )


def picker_cost(network: PhaseNet, path: Path) -> CostOfPicker:
    """Take the processor time of the forward pass over noise, after a warm-up, on one thread."""
    import tensorflow as tf

    with contextlib.suppress(RuntimeError):  # TensorFlow runs already; processor time adds up over its threads
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    n_windows = round(COST_SIGNAL_S * RATE_HZ / HOP)
    windows = np.random.default_rng(0).normal(size=(n_windows, WINDOW, 3)).astype(np.float32)
    cpu_s = []
    for _ in range(1 + COST_RUNS):
        started = time.process_time()
        network.probabilities(windows)
        cpu_s.append(time.process_time() - started)
    return CostOfPicker(
        name="PhaseNet",
        parameters=network.parameters,
        size_bytes=path.stat().st_size,
        macs_per_signal_s=network.macs_per_window * RATE_HZ / HOP,
        cpu_us_per_signal_s=1e6 * statistics.median(cpu_s[1:]) / COST_SIGNAL_S,
        note="Windows of 30 s that overlap by half, TensorFlow, float32, without resampling. Trained on records like "
        "the analysts' picks, so its recall there is in-sample.",
    )


def _model(model: str, variant: str | None, rows: Path | None) -> Contender:
    tracer = CachedTracer(model, variant, RowCache(rows)) if rows else DecisionTracer(model, variant)
    config = tracer.manifest.trigger
    thresholds = sorted({*MODEL_THRESHOLDS, *config.onset_thresholds.values()})

    def detector(record: LabelledRecord, start_ns: int) -> dict[float, Detections]:
        found = tracer(record, start_ns)
        return {threshold: replay(found, config, threshold) for threshold in thresholds}

    title = f"{tracer.manifest.name} {variant or tracer.manifest.default_variant}"
    return Contender(title, f"thresholds {config.onset_thresholds}", config.onset_thresholds["normal"], detector)


def _baselines(body: str) -> list[Contender]:
    tuned: dict[str, PowerDetector] = {
        "STA/LTA, tuned on val": TUNED_STA_LTA[body],
        "recursive STA/LTA, tuned on val": TUNED_RECURSIVE[body],
    }
    chosen = {**(ORDINARY if body == "earth" else {}), **tuned}
    return [Contender(name, repr(one), one.on, _swept(one)) for name, one in chosen.items()]


def _swept(detector: PowerDetector) -> SweptDetector:
    def at_all(record: LabelledRecord, start_ns: int) -> Mapping[float, Detections]:
        curve = detector.curve(prepare(record, start_ns, detector.band_hz, detector.despiked))
        ons = sorted({*RATIOS, detector.on})
        return {on: trigger(curve, on, min(detector.off, on)) for on in ons}

    return at_all


def _line(one: MeasuredStratum) -> StratumLine:
    return StratumLine(
        name=one.stratum.name,
        kind=one.stratum.kind,
        part=one.part,
        asked=one.asked,
        n_records=len(one.records),
        hours=sum(record.stop_ns - record.start_ns for record in one.records) / NS_PER_HOUR,
        n_arrivals=sum(one.stratum.counts(arrival) for record in one.records for arrival in record.arrivals),
    )


def _result(contender: Contender, measured: HoursMeasured) -> SweptResult:
    at_normal = measured.outcomes.get(contender.normal, {})
    strata = {name: outcome for name, outcome in at_normal.items() if name != LARGE}
    picked = at_normal.get(PICKED)
    return SweptResult(
        name=contender.name,
        settings=contender.settings,
        normal=contender.normal,
        points={
            f"{threshold:g}": {name: _point(outcome) for name, outcome in by_name.items()}
            for threshold, by_name in measured.outcomes.items()
        },
        bins=_bins(strata),
        onsets=onset_quartiles(picked.arrivals if picked else ()),
        unread={name: len(texts) for name, texts in measured.unread.items()},
    )


def _point(outcome: StratumOutcome) -> StratumPoint:
    total, n = outcome.total, len(outcome.passes)
    return StratumPoint(
        n_uncatalogued=total.n_uncatalogued / n,
        events_per_day=total.events_per_day,
        kept=total.share_kept,
        n_found=total.n_found / n,
        found=total.share_found,
    )


def _bins(outcomes: Mapping[str, StratumOutcome]) -> dict[str, dict[str, BinFigures]]:
    """Return the arrivals of all strata of quakes by range; an arrival that is in two strata counts once."""
    seen: dict[tuple[Path, int], tuple[ArrivalOutcome, list[bool]]] = {}
    for name, outcome in outcomes.items():
        if name.startswith("swarm"):
            continue
        of_stratum: dict[tuple[Path, int], tuple[ArrivalOutcome, list[bool]]] = {}
        for one in outcome.arrivals:
            key = (one.record.file, one.row.arrival.time_ns)
            of_stratum.setdefault(key, (one, []))[1].append(one.found)
        seen.update(of_stratum)
    bins = {quantity: {name: [0.0, 0.0] for name in range_names(quantity)} for quantity in RANGES}
    for one, hits in seen.values():
        for quantity, value in _facts(one.record, one.row.arrival.time_ns).items():
            figures = bins[quantity][range_of(quantity, value)]
            figures[0] += 1
            figures[1] += statistics.fmean(hits)
    return {
        quantity: {name: BinFigures(*figures) for name, figures in named.items() if figures[0]}
        for quantity, named in bins.items()
    }


@cache
def _facts(record: LabelledRecord, time_ns: int) -> dict[str, float]:
    arrival = next(arrival for arrival in record.arrivals if arrival.time_ns == time_ns)
    return facts(record, arrival)


def onset_quartiles(arrivals: Sequence[ArrivalOutcome]) -> OnsetQuartiles:
    """Return the quartiles of the onset errors over all passes."""
    errors_s = [one.row.onset_error_s for one in arrivals if one.row.onset_error_s is not None]
    if not errors_s:
        return OnsetQuartiles(0, None, None, None, None)
    lower, median, upper = (float(value) for value in np.quantile(errors_s, (0.25, 0.5, 0.75)))
    return OnsetQuartiles(len(errors_s), lower, median, upper, float(np.median(np.abs(errors_s))))

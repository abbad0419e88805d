"""Accuracy on continuous records: models and baselines, from the same random starts, by the same scorer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgequake.benchmarks.accuracy.evaluation import evaluate, evaluate_in_detail
from edgequake.benchmarks.detectors.detectors import NamedDetector, NamedModel, baseline_detectors, model_detectors
from edgequake.benchmarks.detectors.seisbench_pickers import seisbench_detectors
from edgequake.benchmarks.scoring.windows import WINDOW_S
from edgequake.data.dataset import data_hash
from edgequake.data.selection import Fold, Selection
from edgequake.data.tables import LabelledRecord
from edgequake.edge.base.errors import ConfigError
from edgequake.results.accuracy import AccuracyReport, CurvePoint, DetectorResult, ScoreSummary
from edgequake.results.progress import Progress, part_of, silent
from edgequake.results.provenance import provenance

MAX_WINDOW_S = 86_400.0  # a longer window is a mistake: no record holds two


def bench_accuracy(
    model: str | None,
    data: Path,
    split: str | None = None,
    variant: str | None = None,
    seeds: int = 5,
    *,
    fold: Fold | None = None,
    body: str | None = None,
    sensitivity: str = "normal",
    baselines: bool = True,
    curves: bool = False,
    also: Sequence[str] = (),
    peers: Sequence[str] = (),
    window_s: float | None = None,
    progress: Progress = silent,
) -> AccuracyReport:
    """Score models and baselines on one split of a data folder, or on the records that a fold holds out.

    Parameters
    ----------
    model : shipped name or path of a manifest; None scores the others alone.
    data : folder in either layout that `edgequake.data.dataset.load` reads.
    split : by default val, or all of a packet, which has no splits.
    seeds : random starts; 0 begins every record at its own start, where the file layout gives away the arrival.
    fold : of a cross-validation over train and val; its held-out records are scored instead of a split.
    body : by default the model's.
    curves : also sweep the thresholds of the models and of the tuned baselines.
    also : further models on the same records, as NAME or MANIFEST, alone or with :VARIANT.
    peers : SeisBench's models, as `edgequake.benchmarks.detectors.seisbench_pickers` names them.
    window_s : length of the windows in seconds; by default the body's of `edgequake.benchmarks.scoring.windows`.
    progress : called with the share done and the name of the detector.

    Raises
    ------
    ConfigError
        Neither a model nor a body, a model for another body, or a picker while SeisBench is not installed.
    DataError, ManifestError, ModelError
        Unusable records, or an unusable model.
    """
    named = NamedModel.find(model, variant) if model else None
    if body is None and named is None:
        raise ConfigError("no body to score: name a model or a body (moon, mars or earth)")
    chosen = body or (named.body if named else "")
    further = [NamedModel.parse(text) for text in also]
    for one in (*([named] if named else []), *further):
        one.require_body(chosen)
    if window_s is not None and not 1 <= window_s <= MAX_WINDOW_S:
        raise ConfigError(f"windows must be 1 to {MAX_WINDOW_S:g} s long, got {window_s:g} s")
    picker_costs, pickers = seisbench_detectors(peers, chosen)
    models = model_detectors(named, further, sensitivity, curves)
    detectors = [*models, *(baseline_detectors(chosen, curves) if baselines else []), *pickers]
    if not detectors:
        raise ConfigError("nothing to score: name a model, or leave the baselines in")
    selection = Selection(split, fold)
    records = selection.records(data, chosen)
    results, sweeps = _score(detectors, records, range(seeds), window_s or WINDOW_S[chosen], progress)
    first = results[0].summary.scores[0]
    return AccuracyReport(
        body=chosen,
        split=selection.describe(data),
        seeds=tuple(range(seeds)),
        n_records=first.n_records,
        n_arrivals=first.n_arrivals,
        n_groups=first.n_groups,
        n_fixed=first.n_fixed,
        data_sha256=data_hash(records),
        model=named.identity if named else None,
        also={one.name: of.identity for one, of in zip(models[bool(named) :], further, strict=True)},
        provenance=provenance(),
        results=results,
        curves=sweeps,
        peers=picker_costs,
    )


def _score(
    detectors: Sequence[NamedDetector],
    records: Sequence[LabelledRecord],
    seeds: Sequence[int],
    window_s: float,
    progress: Progress,
) -> tuple[tuple[DetectorResult, ...], dict[str, tuple[CurvePoint, ...]]]:
    """Score one detector after another, each also at the thresholds of its sweep."""
    n_steps, n_done = sum(1 + len(one.sweep) for one in detectors), 0
    results, curves = [], {}
    for one in detectors:
        n_before, n_done = n_done, n_done + 1 + len(one.sweep)
        steps = [part_of(progress, i / n_steps, (i + 1) / n_steps, one.name) for i in range(n_before, n_done)]
        summary, breakdown = evaluate_in_detail(one.detector, records, seeds, window_s, steps[0])
        # Detectors are dataclasses: their settings are the arguments they were made with.
        results.append(DetectorResult(one.name, repr(one.detector), summary, breakdown))
        points = [
            _point(threshold, evaluate(detector, records, seeds, step))
            for (threshold, detector), step in zip(one.sweep.items(), steps[1:], strict=True)
        ]
        if points:
            curves[one.name] = tuple(points)
        one.clear_cache()
    return tuple(results), curves


def _point(threshold: float, summary: ScoreSummary) -> CurvePoint:
    means = {name: spread.mean for name, spread in summary.spreads.items()}
    return CurvePoint(
        threshold=threshold,
        recall=means["recall"],
        captured=means["n_captured"] / summary.scores[0].n_arrivals,
        kept=means["kept"],
        kept_long=means.get("kept_long"),
        f1=means["f1"],
        false_per_quiet_day=means["false_per_quiet_day"],
    )

"""Accuracy on continuous records: a model and the baselines, on the same random starts, by the same scorer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgequake.benchmarks.baselines import CLOCKS, NASA_NOTEBOOK, TUNED_STA_LTA, Detector, StaLta
from edgequake.benchmarks.pooling import Summary, pool, summarise
from edgequake.benchmarks.provenance import ModelIdentity, Provenance, identify, provenance
from edgequake.benchmarks.scoring import RecordScore, score_record
from edgequake.benchmarks.starts import random_start_ns
from edgequake.benchmarks.tables import accuracy_table
from edgequake.dataset import Record, data_hash, load
from edgequake.edge.errors import ConfigError
from edgequake.folds import Fold, split_fold

Progress = Callable[[float, str], None]  # takes the share done, 0..1, and what is being done

MODEL_THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
STA_LTA_THRESHOLDS = (1.5, 1.6, 1.8, 2.0, 2.2, 2.5, 3.0, 3.5, 4.0, 5.0, 7.0, 10.0)


@dataclass(frozen=True)
class DetectorResult:
    """One detector on the records."""

    name: str
    settings: str
    summary: Summary


@dataclass(frozen=True)
class CurvePoint:
    """Recall against kept at one threshold, means over the seeds."""

    threshold: float
    recall: float
    captured: float  # share of the arrivals
    kept: float
    kept_long: float | None  # None without records of at least 10 h
    f1: float
    false_per_quiet_day: float


@dataclass(frozen=True)
class AccuracyReport:
    """A model and the baselines side by side, and where the figures came from."""

    body: str
    split: str  # "val", or "fold 0/3"
    seeds: tuple[int, ...]  # none: every record from its own start
    n_records: int
    n_arrivals: int
    n_groups: int
    n_fixed: int  # arrivals in records whose start could not be moved
    data_sha256: str
    model: ModelIdentity | None
    provenance: Provenance
    results: tuple[DetectorResult, ...]
    curves: dict[str, tuple[CurvePoint, ...]]  # detector -> recall against kept

    def table(self) -> str:
        """Return the report as text for people."""
        return accuracy_table(self)

    def to_json(self) -> dict[str, Any]:
        """Return the report as values that JSON can hold."""
        return {"benchmark": "accuracy", **dataclasses.asdict(self)}


def bench_accuracy(
    model: str | None,
    data: Path,
    split: str = "val",
    variant: str | None = None,
    seeds: int = 5,
    *,
    fold: Fold | None = None,
    body: str | None = None,
    sensitivity: str = "normal",
    baselines: bool = True,
    curves: bool = False,
    progress: Progress | None = None,
) -> AccuracyReport:
    """Score a model and the baselines on one split of a data folder, or on what a fold holds out.

    Parameters
    ----------
    model : shipped name or path of a manifest; None scores the baselines alone.
    data : folder in either layout that `edgequake.dataset.load` reads.
    seeds : random starts; 0 begins every record at its own start, where the files' layout gives away the answer.
    fold : of a cross-validation over train and val; its held-out records are scored instead of a split.
    body : by default the model's.
    curves : also sweep the thresholds of the model and of the tuned STA/LTA.
    progress : called with the share done and what is being done.

    Raises
    ------
    ConfigError
        Neither a model nor a body, or a model of another body.
    DataError, ManifestError, ModelError
        Records or a model that cannot be used.
    """
    identity, of_model = identify(model, variant) if model else (None, None)
    if body is None and of_model is None:
        raise ConfigError("nothing says whose records to score: name a model or a body (moon, mars or earth)")
    if body and of_model and body != of_model:
        raise ConfigError(f"model '{model}' is for {of_model}, got records of {body}; name a model for {body}")
    chosen = body or of_model or ""
    records = split_fold(data, chosen, fold)[1] if fold else load(data, chosen, split)
    detectors = _detectors(model, variant, sensitivity, chosen, baselines)
    sweeps = _sweeps(model, variant, chosen, baselines) if curves else {}
    steps = _Steps(progress, len(detectors) + sum(map(len, sweeps.values())), records, range(seeds))
    results = tuple(
        DetectorResult(name, _settings(detector), steps.evaluate(name, detector))
        for name, detector in detectors.items()
    )
    first = results[0].summary.scores[0]
    return AccuracyReport(
        body=chosen,
        split=f"fold {fold.index}/{fold.count}" if fold else split,
        seeds=tuple(range(seeds)),
        n_records=first.n_records,
        n_arrivals=first.n_arrivals,
        n_groups=first.n_groups,
        n_fixed=first.n_fixed,
        data_sha256=data_hash(records),
        model=identity,
        provenance=provenance(),
        results=results,
        curves={
            name: tuple(_point(threshold, steps.evaluate(name, detector)) for threshold, detector in sweep.items())
            for name, sweep in sweeps.items()
        },
    )


def evaluate(
    detector: Detector, records: Sequence[Record], seeds: Sequence[int], progress: Callable[[float], None] | None = None
) -> Summary:
    """Score a detector over the records, once per seed of random starts; no seeds: from each record's own start."""
    scores = []
    n_passes = max(1, len(seeds))
    for i in range(n_passes):
        scored: list[RecordScore] = []
        for record in records:
            start_ns = random_start_ns(record, seeds[i]) if seeds else record.start_ns
            scored.append(score_record(record, start_ns, detector(record, start_ns)))
            if progress is not None:
                progress((i + len(scored) / len(records)) / n_passes)
        scores.append(pool(scored))
    return summarise(scores)


class _Steps:
    """Evaluate detector after detector, telling one progress callback of all of them."""

    def __init__(
        self, progress: Progress | None, n_steps: int, records: Sequence[Record], seeds: Sequence[int]
    ) -> None:
        self._progress, self._n_steps, self._done = progress, n_steps, 0
        self._records, self._seeds = records, seeds

    def evaluate(self, name: str, detector: Detector) -> Summary:
        def tell(share: float) -> None:
            if self._progress is not None:
                self._progress((self._done + share) / self._n_steps, name)

        summary = evaluate(detector, self._records, self._seeds, tell)
        self._done += 1
        return summary


def _detectors(
    model: str | None, variant: str | None, sensitivity: str, body: str, baselines: bool
) -> dict[str, Detector]:
    detectors: dict[str, Detector] = {}
    if model:
        from edgequake.benchmarks.model_detector import ModelDetector

        detectors["model"] = ModelDetector(model, variant, sensitivity)
    if baselines:
        detectors["clock"] = CLOCKS[body]
        detectors["STA/LTA, NASA notebook"] = NASA_NOTEBOOK
        detectors["STA/LTA, tuned on val"] = TUNED_STA_LTA[body]
    if not detectors:
        raise ConfigError("nothing to score: name a model, or leave the baselines in")
    return detectors


def _sweeps(model: str | None, variant: str | None, body: str, baselines: bool) -> dict[str, Mapping[float, Detector]]:
    sweeps: dict[str, Mapping[float, Detector]] = {}
    if model:
        from edgequake.benchmarks.model_detector import replayed

        sweeps["model"] = replayed(model, variant, MODEL_THRESHOLDS)
    if baselines:
        tuned = TUNED_STA_LTA[body]
        sweeps["STA/LTA, tuned on val"] = {on: _with_threshold(tuned, on) for on in STA_LTA_THRESHOLDS}
    return sweeps


def _with_threshold(tuned: StaLta, on: float) -> StaLta:
    return dataclasses.replace(tuned, on=on, off=min(tuned.off, on))


def _point(threshold: float, summary: Summary) -> CurvePoint:
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


def _settings(detector: Detector) -> str:
    """Return a detector's settings as text; baselines and the model's detector are dataclasses."""
    return repr(detector)

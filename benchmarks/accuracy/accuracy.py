"""Accuracy on continuous records: models and baselines, from the same random starts, by the same scorer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgequake.benchmarks.accuracy.breakdown import Breakdown
from edgequake.benchmarks.accuracy.evaluation import evaluate, evaluate_in_detail
from edgequake.benchmarks.detectors.detectors import Entrant, NamedModel, enter_baselines, enter_models
from edgequake.benchmarks.detectors.seisbench_pickers import PeerResult, enter_peers
from edgequake.benchmarks.scoring.pooling import ScoreSummary
from edgequake.benchmarks.scoring.windows import WINDOW_S
from edgequake.benchmarks.tables import accuracy_table
from edgequake.data.dataset import data_hash
from edgequake.data.folds import Fold
from edgequake.data.selection import Selection
from edgequake.data.tables import LabelledRecord
from edgequake.edge.base.errors import ConfigError
from edgequake.results.provenance import ModelIdentity, Provenance, provenance

Progress = Callable[[float, str], None]  # takes the share done, 0..1, and what is being done

MAX_WINDOW_S = 86_400.0  # a longer window is a slip: no record holds two


@dataclass(frozen=True)
class DetectorResult:
    """One detector on the records."""

    name: str  # "model" for the one that the report is about
    settings: str
    summary: ScoreSummary
    breakdown: Breakdown


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
    """Detectors side by side, and where the figures came from."""

    body: str
    split: str  # "val", "fold 0/3", or "all" of a packet, which has no splits
    seeds: tuple[int, ...]  # none: every record from its own start
    n_records: int
    n_arrivals: int
    n_groups: int
    n_fixed: int  # arrivals in records whose start could not be moved
    data_sha256: str
    model: ModelIdentity | None
    also: dict[str, ModelIdentity]  # further models, by the names of their results
    provenance: Provenance
    results: tuple[DetectorResult, ...]
    curves: dict[str, tuple[CurvePoint, ...]]  # detector -> recall against kept
    peers: tuple[PeerResult, ...]  # what SeisBench's models cost, and where no weights are at hand

    def table(self) -> str:
        """Return the report as text for people."""
        return accuracy_table(self)

    def to_json(self) -> dict[str, Any]:
        """Return the report as values that JSON can hold."""
        return {"benchmark": "accuracy", **dataclasses.asdict(self)}


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
    progress: Progress | None = None,
) -> AccuracyReport:
    """Score models and baselines on one split of a data folder, or on what a fold holds out.

    Parameters
    ----------
    model : shipped name or path of a manifest; None scores the others alone.
    data : folder in either layout that `edgequake.data.dataset.load` reads.
    split : by default val, or all of a packet, which has no splits.
    seeds : random starts; 0 begins every record at its own start, where the files' layout gives away the answer.
    fold : of a cross-validation over train and val; its held-out records are scored instead of a split.
    body : by default the model's.
    curves : also sweep the thresholds of the models and of the tuned baselines.
    also : further models on the same records, as NAME or MANIFEST, with :VARIANT behind it or without.
    peers : SeisBench's models, as `edgequake.benchmarks.detectors.seisbench_pickers` names them.
    window_s : length of the windows in seconds; by default the body's of `edgequake.benchmarks.scoring.windows`.
    progress : called with the share done and what is being done.

    Raises
    ------
    ConfigError
        Neither a model nor a body, a model of another body, or a peer that is not installed.
    DataError, ManifestError, ModelError
        Records or a model that cannot be used.
    """
    named = NamedModel.find(model, variant) if model else None
    if body is None and named is None:
        raise ConfigError("nothing says whose records to score: name a model or a body (moon, mars or earth)")
    chosen = body or (named.body if named else "")
    further = [NamedModel.parse(text) for text in also]
    for one in (*([named] if named else []), *further):
        one.require_body(chosen)
    if window_s is not None and not 1 <= window_s <= MAX_WINDOW_S:
        raise ConfigError(f"windows must be 1 to {MAX_WINDOW_S:g} s long, got {window_s:g} s")
    peer_results, of_peers = enter_peers(peers, chosen)
    of_models = enter_models(named, further, sensitivity, curves)
    entrants = [*of_models, *(enter_baselines(chosen, curves) if baselines else []), *of_peers]
    if not entrants:
        raise ConfigError("nothing to score: name a model, or leave the baselines in")
    selection = Selection(split, fold)
    records = selection.records(data, chosen)
    results, points = _score(entrants, records, range(seeds), window_s or WINDOW_S[chosen], progress)
    first, of_further = results[0].summary.scores[0], of_models[len(of_models) - len(further) :]
    return AccuracyReport(
        body=chosen,
        split=selection.words(data),
        seeds=tuple(range(seeds)),
        n_records=first.n_records,
        n_arrivals=first.n_arrivals,
        n_groups=first.n_groups,
        n_fixed=first.n_fixed,
        data_sha256=data_hash(records),
        model=named.identity if named else None,
        also={entrant.name: one.identity for entrant, one in zip(of_further, further, strict=True)},
        provenance=provenance(),
        results=results,
        curves=points,
        peers=peer_results,
    )


def _score(
    entrants: list[Entrant],
    records: Sequence[LabelledRecord],
    seeds: Sequence[int],
    window_s: float,
    progress: Progress | None,
) -> tuple[tuple[DetectorResult, ...], dict[str, tuple[CurvePoint, ...]]]:
    """Score one entrant after another, and each at the thresholds of its sweep."""
    n_steps, done = sum(1 + len(entrant.sweep) for entrant in entrants), 0
    results, curves = [], {}

    def tell(share: float) -> None:
        if progress is not None:
            progress((done + share) / n_steps, entrant.name)

    for entrant in entrants:
        summary, breakdown = evaluate_in_detail(entrant.detector, records, seeds, window_s, tell)
        # Detectors are dataclasses: their settings are what they are made with.
        results.append(DetectorResult(entrant.name, repr(entrant.detector), summary, breakdown))
        done += 1
        points = []
        for threshold, detector in entrant.sweep.items():
            points.append(_point(threshold, evaluate(detector, records, seeds, tell)))
            done += 1
        if points:
            curves[entrant.name] = tuple(points)
        entrant.forget()
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

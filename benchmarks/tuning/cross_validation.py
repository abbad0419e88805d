"""Cross-validation of models trained on folds: every record is scored by a model that was not trained on it.

Each model of a fold runs on the records held out from it, and the records of all folds are pooled as one data set. The
operating point is chosen nested: a fold's by the rule of `edgequake.benchmarks.tuning.operating_point` on the pooled
results of the *other* folds, then applied to the fold's own records. The lag is chosen in the same way; only the lag
with which a fold's share of the grid is scored comes from all folds but that one. Several models of the same fold
(trained from other seeds) make several rounds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgequake.benchmarks.detectors.replay import DecisionTrace, DecisionTracer
from edgequake.benchmarks.scoring.pooling import Counts, group_interval, mean_rates, pool, spread, summarise
from edgequake.benchmarks.scoring.random_starts import run_passes
from edgequake.benchmarks.scoring.scoring import RecordScore
from edgequake.benchmarks.tuning.operating_point import (
    THRESHOLDS,
    Choice,
    Passes,
    choose,
    count_grid,
    decision_s,
    grid,
    score_traces,
    with_lag,
)
from edgequake.data.dataset import data_hash
from edgequake.data.selection import Fold, split_fold
from edgequake.data.tables import LabelledRecord
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.manifest.manifest import load_manifest
from edgequake.results.accuracy import RateFigures, ScoreSummary, Spread
from edgequake.results.progress import Progress, part_of, silent
from edgequake.results.provenance import identify, provenance
from edgequake.results.tuning import CrossValidation, FoldChoice, RoundResult, Setting

FALSE_PER_DAY = 1.0  # the curve's recall is quoted at no more than this

GridCounts = Mapping[Setting, tuple[Counts, ...]]  # the counts of each pass


@dataclass(frozen=True)
class FoldModel:
    """A model, and the fold whose held-out records it was not trained on."""

    manifest: str
    fold: Fold

    @classmethod
    def parse(cls, text: str) -> FoldModel:
        """Read "MANIFEST:K/N".

        Raises
        ------
        ConfigError
            The text has another form.
        """
        manifest, colon, fold = text.rpartition(":")
        if not (manifest and colon):
            raise ConfigError(f"'{text}': expected MANIFEST:K/N, for example out/fold0/moon.json:0/3")
        return cls(manifest, Fold.parse(fold))


@dataclass(frozen=True)
class _HeldOut:
    """A fold's held-out records, and the model's decisions on them."""

    model: FoldModel
    tracer: DecisionTracer
    variant: str | None
    records: list[LabelledRecord]
    passes: Passes


def cross_validate(
    models: Sequence[FoldModel],
    data: Path,
    *,
    variant: str | None = None,
    seeds: int = 5,
    progress: Progress = silent,
    tracer: Callable[[str, str | None], DecisionTracer] | None = None,
) -> CrossValidation:
    """Score models on the records that were held out from them.

    Parameters
    ----------
    models : the first model of every fold makes the first round, the second ones the second, and so on.
    data : folder in the layout with train and val splits.
    seeds : random starts; 0 begins every record at its own start.
    tracer : runs a manifest's variant, for example on rows that are kept on disk; by default `DecisionTracer`.

    Raises
    ------
    ConfigError
        Fewer than two folds, folds of different counts, rounds that lack a fold, or models of several bodies.
    DataError, ManifestError, ModelError
        Unusable records, or an unusable model.
    """
    rounds = group_rounds(models)
    body = _body_of(models)
    results: list[RoundResult] = []
    records: list[LabelledRecord] = []
    for i, models_of_round in enumerate(rounds):
        of_round = part_of(progress, i / len(rounds), (i + 1) / len(rounds), f"round {i + 1} of {len(rounds)}")
        tracers = [(tracer or DecisionTracer)(model.manifest, variant) for model in models_of_round]
        folds = _run(models_of_round, tracers, data, body, variant, range(seeds), part_of(of_round, 0, 0.3))
        records = [record for fold in folds for record in fold.records]
        results.append(_score_round(folds, part_of(of_round, 0.3, 1)))
    spreads = _spreads([result.summary for result in results])
    first = results[0].summary.scores[0]
    return CrossValidation(
        body=body,
        seeds=tuple(range(seeds)),
        n_folds=models[0].fold.count,
        n_records=first.n_records,
        n_arrivals=first.n_arrivals,
        n_groups=first.n_groups,
        data_sha256=data_hash(records),
        provenance=provenance(),
        rounds=tuple(results),
        spreads=spreads,
        group_recall_interval=group_interval(spreads, "group_recall", first.n_groups),
        group_captured_interval=group_interval(spreads, "group_captured", first.n_groups),
    )


def group_rounds(models: Sequence[FoldModel]) -> list[list[FoldModel]]:
    """Arrange models in rounds, each with one model of every fold, in the order given.

    Raises
    ------
    ConfigError
        Fewer than two folds, folds of different counts, or rounds that lack a fold.
    """
    by_fold: dict[int, list[FoldModel]] = {}
    for model in models:
        by_fold.setdefault(model.fold.index, []).append(model)
    counts = {model.fold.count for model in models}
    if len(counts) != 1 or len(by_fold) < 2:
        raise ConfigError(f"expected models of two or more folds of one N, got {_names(models)}")
    n_models = {len(found) for found in by_fold.values()}
    if len(n_models) != 1:
        raise ConfigError(f"every fold needs as many models as the others, one a round; got {_names(models)}")
    return [[by_fold[index][i] for index in sorted(by_fold)] for i in range(n_models.pop())]


def _body_of(models: Sequence[FoldModel]) -> str:
    bodies = {load_manifest(model.manifest)[0].body for model in models}
    if len(bodies) != 1:
        raise ConfigError(f"expected models of one body, got {', '.join(sorted(bodies))}")
    return bodies.pop()


def _names(models: Sequence[FoldModel]) -> str:
    return ", ".join(f"{Path(m.manifest).name}:{m.fold.index}/{m.fold.count}" for m in models) or "none"


def _run(
    models: Sequence[FoldModel],
    tracers: Sequence[DecisionTracer],
    data: Path,
    body: str,
    variant: str | None,
    seeds: range,
    progress: Progress,
) -> list[_HeldOut]:
    folds = []
    for i, (model, tracer) in enumerate(zip(models, tracers, strict=True)):
        records = split_fold(data, body, model.fold)[1]
        passes = run_passes(tracer, records, seeds, part_of(progress, i / len(models), (i + 1) / len(models)))
        folds.append(_HeldOut(model, tracer, variant, records, passes))
    return folds


def _score_round(folds: Sequence[_HeldOut], progress: Progress) -> RoundResult:
    """Choose each fold's operating point on the others, and pool the scores of all folds at these points."""
    settings = grid(folds[0].tracer.manifest.trigger, decision_s(folds[0].passes))
    counts: list[GridCounts] = []
    for i, fold in enumerate(folds):
        trigger = fold.tracer.manifest.trigger
        lagged = with_lag(_others(folds, i), trigger, trigger.onset_thresholds["normal"])
        of_fold = part_of(progress, i / len(folds), (i + 1) / len(folds))
        counts.append(count_grid(fold.passes, lagged, settings, of_fold))
    chosen, choices, scores = [], [], []
    for i, fold in enumerate(folds):
        of_others = [of_fold for j, of_fold in enumerate(counts) if j != i]
        choice = choose({setting: _pooled([one[setting] for one in of_others]) for setting in settings})
        threshold = choice.normal.threshold
        trigger = with_lag(_others(folds, i), choice.apply(fold.tracer.manifest.trigger), threshold)
        choices.append(choice)
        scores.append([score_traces(traces, trigger, threshold) for traces in fold.passes])
        identity, _ = identify(fold.model.manifest, fold.variant)
        chosen.append(FoldChoice(fold.model.fold, identity, len(fold.records), threshold, trigger))
    curve = _curve(counts, choices)
    at_one_false = _recall_at(curve, FALSE_PER_DAY)
    return RoundResult(_summarise(scores), tuple(chosen), curve, at_one_false, _missed(scores), _false(scores))


def _others(folds: Sequence[_HeldOut], i: int) -> list[list[DecisionTrace]]:
    """Return the passes of all folds but one, each pass with the traces of all of them."""
    n_passes = len(folds[i].passes)
    return [[trace for j, fold in enumerate(folds) if j != i for trace in fold.passes[k]] for k in range(n_passes)]


def _pooled(folds: Sequence[tuple[Counts, ...]]) -> RateFigures:
    """Add up the folds pass by pass, folds[fold][pass], and return the mean rates."""
    return mean_rates([Counts.total(parts) for parts in zip(*folds, strict=True)])


def _summarise(scores: Sequence[Sequence[list[RecordScore]]]) -> ScoreSummary:
    """Pool the folds pass by pass: scores[fold][pass]."""
    return summarise([pool(score for part in parts for score in part) for parts in zip(*scores, strict=True)])


def _missed(scores: Sequence[Sequence[list[RecordScore]]]) -> dict[str, float]:
    """Return the mean number of primary arrivals that a pass misses in a record, by file: scores[fold][pass]."""
    return _by_file(scores, lambda score: sum(not arrival.recalled for arrival in score.primary))


def _false(scores: Sequence[Sequence[list[RecordScore]]]) -> dict[str, float]:
    """Return the mean number of false alarms of a pass in a record, by file: scores[fold][pass]."""
    return _by_file(scores, lambda score: len(score.false_ns))


def _by_file(scores: Sequence[Sequence[list[RecordScore]]], number: Callable[[RecordScore], int]) -> dict[str, float]:
    totals: dict[str, float] = defaultdict(float)
    for passes in scores:
        for of_pass in passes:
            for score in of_pass:
                totals[score.file] += number(score) / len(passes)
    return {file: total for file, total in sorted(totals.items(), key=lambda item: (-item[1], item[0])) if total}


def _curve(counts: Sequence[GridCounts], choices: Sequence[Choice]) -> dict[float, RateFigures]:
    return {
        threshold: _pooled([of_fold[choice.at(threshold)] for of_fold, choice in zip(counts, choices, strict=True)])
        for threshold in THRESHOLDS
    }


def _recall_at(curve: Mapping[float, RateFigures], false_per_day: float) -> float | None:
    reached = [
        point.recall
        for point in curve.values()
        if point.recall is not None and (point.false_per_quiet_day or 0.0) <= false_per_day
    ]
    return max(reached, default=None)


def _spreads(summaries: Sequence[ScoreSummary]) -> dict[str, Spread]:
    names = [name for name in summaries[0].spreads if all(name in summary.spreads for summary in summaries)]
    return {name: spread([summary.spreads[name].mean for summary in summaries]) for name in names}

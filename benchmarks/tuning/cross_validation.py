"""Models of a cross-validation: which fold each belongs to, and which make a round together.

Cross-validation of models trained on folds: every record is judged by a model that never saw it.

Each model of a fold runs on the records held out from it, and the records of all folds are pooled as one data set. The
operating point is chosen nested: that of a fold by the rule of `edgequake.benchmarks.tuning.operating_point` on the pooled
results of the *other* folds, then applied to the fold's own records; so is the lag, but for the one with which a fold's
share of the grid is scored: that comes from all folds but itself. Several models of the same fold (trained from other
seeds) make several rounds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgequake.benchmarks.detectors.replay import DecisionTrace, DecisionTracer, trace_records
from edgequake.benchmarks.fold_tables import cross_validation_table
from edgequake.benchmarks.scoring.pooling import (
    Counts,
    RateFigures,
    ScoreSummary,
    Spread,
    add,
    figures,
    pool,
    spread,
    summarise,
    wilson,
)
from edgequake.benchmarks.scoring.scoring import RecordScore
from edgequake.benchmarks.tuning.operating_point import (
    THRESHOLDS,
    Choice,
    Passes,
    Setting,
    choose,
    decision_s,
    grid,
    score_grid,
    score_traces,
    with_lag,
)
from edgequake.data.dataset import data_hash
from edgequake.data.folds import Fold, split_fold
from edgequake.data.tables import LabelledRecord
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.manifest.manifest import TriggerConfig, load_manifest
from edgequake.results.provenance import ModelIdentity, Provenance, identify, provenance


@dataclass(frozen=True)
class FoldModel:
    """A model, and the fold whose held-out records it never learned from."""

    manifest: str
    fold: Fold

    @classmethod
    def parse(cls, text: str) -> FoldModel:
        """Read "MANIFEST:K/N".

        Raises
        ------
        ConfigError
            The text is no such pair.
        """
        manifest, colon, fold = text.rpartition(":")
        if not (manifest and colon):
            raise ConfigError(f"'{text}': expected MANIFEST:K/N, for example out/fold0/moon.json:0/3")
        return cls(manifest, Fold.parse(fold))


def group_rounds(models: Sequence[FoldModel]) -> list[list[FoldModel]]:
    """Deal models out into rounds, each with one model of every fold, in the order in which they came.

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


def body_of(models: Sequence[FoldModel]) -> str:
    """Return the one body that the models are for.

    Raises
    ------
    ConfigError
        They are for several.
    """
    bodies = {load_manifest(model.manifest)[0].body for model in models}
    if len(bodies) != 1:
        raise ConfigError(f"expected models of one body, got {', '.join(sorted(bodies))}")
    return bodies.pop()


def _names(models: Sequence[FoldModel]) -> str:
    return ", ".join(f"{Path(m.manifest).name}:{m.fold.index}/{m.fold.count}" for m in models) or "none"


Progress = Callable[[float, str], None]  # takes the share done, 0..1, and what is being done

FALSE_PER_DAY = 1.0  # the curve's recall is quoted at no more than this


@dataclass(frozen=True)
class FoldChoice:
    """The operating point of a fold, chosen on the others."""

    fold: Fold
    model: ModelIdentity
    n_records: int
    threshold: float
    trigger: TriggerConfig


@dataclass(frozen=True)
class RoundResult:
    """One model a fold, all held-out records pooled."""

    summary: ScoreSummary
    folds: tuple[FoldChoice, ...]
    curve: dict[float, RateFigures]  # onset threshold in every fold -> figures; durations as chosen
    recall_at_one_false: float | None  # best of the curve with at most one false alarm per quiet day


@dataclass(frozen=True)
class CrossValidation:
    """All rounds, and what they agree on."""

    body: str
    seeds: tuple[int, ...]  # random starts
    n_folds: int
    n_records: int
    n_arrivals: int
    n_groups: int
    data_sha256: str
    provenance: Provenance
    rounds: tuple[RoundResult, ...]
    spreads: dict[str, Spread]  # field of Score -> mean and deviation of the rounds' means
    group_recall_interval: tuple[float, float]  # Wilson, 90 %, of the mean over rounds
    group_captured_interval: tuple[float, float]

    def table(self) -> str:
        """Return the result for people."""
        return cross_validation_table(self)

    def to_json(self) -> dict[str, Any]:
        """Return the result as values that JSON can hold."""
        return {"benchmark": "folds", **dataclasses.asdict(self)}


@dataclass(frozen=True)
class _Held:
    """A fold's held-out records, run."""

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
    progress: Progress | None = None,
) -> CrossValidation:
    """Judge models by the records that were held out from them.

    Parameters
    ----------
    models : the first model of every fold makes the first round, the second ones the second, and so on.
    data : folder in the layout with train and val splits.
    seeds : random starts; 0 begins every record at its own start.

    Raises
    ------
    ConfigError
        Fewer than two folds, folds of different counts, rounds that lack a fold, or models of several bodies.
    DataError, ManifestError, ModelError
        Records or a model that cannot be used.
    """
    tell = progress or (lambda share, doing: None)
    rounds = group_rounds(models)
    body = body_of(models)
    results: list[RoundResult] = []
    records: list[LabelledRecord] = []
    for i, models_of_round in enumerate(rounds):
        tell_round = _part(_naming(tell, f"round {i + 1} of {len(rounds)}"), i / len(rounds), 1 / len(rounds))
        held = _run(models_of_round, data, body, variant, range(seeds), tell_round)
        records = [record for fold in held for record in fold.records]
        results.append(_judge(held, tell_round))
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
        group_recall_interval=_interval(spreads, "group_recall", first.n_groups),
        group_captured_interval=_interval(spreads, "group_captured", first.n_groups),
    )


def _run(
    models: Sequence[FoldModel], data: Path, body: str, variant: str | None, seeds: range, tell: Callable[[float], None]
) -> list[_Held]:
    held = []
    for i, model in enumerate(models):
        tracer = DecisionTracer(model.manifest, variant)
        records = split_fold(data, body, model.fold)[1]
        passes = trace_records(tracer, records, seeds, _part(tell, 0.3 * i / len(models), 0.3 / len(models)))
        held.append(_Held(model, tracer, variant, records, passes))
    return held


def _judge(held: Sequence[_Held], tell: Callable[[float], None]) -> RoundResult:
    """Choose each fold's operating point on the others, and pool what the folds' records then give."""
    first = held[0]
    settings = grid(first.tracer.manifest.trigger, decision_s(first.passes))
    tallies: list[dict[Setting, tuple[Counts, ...]]] = []
    for i, fold in enumerate(held):
        trigger = fold.tracer.manifest.trigger
        lagged = with_lag(_others(held, i), trigger, trigger.onset_thresholds["normal"])
        show = _part(tell, 0.3 + 0.7 * i / len(held), 0.7 / len(held))
        tallies.append(score_grid(fold.passes, lagged, settings, show))
    chosen, choices, scores = [], [], []
    for i, fold in enumerate(held):
        choice = choose(_pooled_figures([seen for j, seen in enumerate(tallies) if j != i]))
        trigger = choice.apply(fold.tracer.manifest.trigger)
        trigger = with_lag(_others(held, i), trigger, choice.normal.threshold)
        choices.append(choice)
        scores.append([score_traces(traces, trigger, choice.normal.threshold) for traces in fold.passes])
        identity, _ = identify(fold.model.manifest, fold.variant)
        chosen.append(FoldChoice(fold.model.fold, identity, len(fold.records), choice.normal.threshold, trigger))
    curve = _curve(tallies, choices)
    return RoundResult(_summarise(scores), tuple(chosen), curve, _recall_at(curve, FALSE_PER_DAY))


def _naming(tell: Progress, doing: str) -> Callable[[float], None]:
    """Tell a progress always with the same words."""
    return lambda share: tell(share, doing)


def _part(tell: Callable[[float], None], first: float, length: float) -> Callable[[float], None]:
    """Return the progress of a part of what `tell` is told, from the share `first` on."""
    return lambda share: tell(first + share * length)


def _others(held: Sequence[_Held], i: int) -> list[list[DecisionTrace]]:
    """Return the passes of all folds but one, each pass with the traces of all of them."""
    n_passes = len(held[i].passes)
    return [[t for j, fold in enumerate(held) if j != i for t in fold.passes[k]] for k in range(n_passes)]


def _pooled_figures(tallies: Sequence[Mapping[Setting, tuple[Counts, ...]]]) -> dict[Setting, RateFigures]:
    return {
        setting: figures([add(parts) for parts in zip(*(seen[setting] for seen in tallies), strict=True)])
        for setting in tallies[0]
    }


def _summarise(scores: Sequence[Sequence[list[RecordScore]]]) -> ScoreSummary:
    """Pool the folds pass by pass: scores[fold][pass]."""
    return summarise([pool(score for part in parts for score in part) for parts in zip(*scores, strict=True)])


def _curve(
    tallies: Sequence[Mapping[Setting, tuple[Counts, ...]]], choices: Sequence[Choice]
) -> dict[float, RateFigures]:
    curve = {}
    for threshold in THRESHOLDS:
        folds = [seen[choice.at(threshold)] for seen, choice in zip(tallies, choices, strict=True)]
        curve[threshold] = figures([add(parts) for parts in zip(*folds, strict=True)])
    return curve


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


def _interval(spreads: Mapping[str, Spread], name: str, n_groups: int) -> tuple[float, float]:
    return wilson(spreads[name].mean * n_groups, n_groups) if name in spreads else (0.0, 1.0)

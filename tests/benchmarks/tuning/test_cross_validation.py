"""Cross-validation: folds pooled, operating points chosen on the other folds, rounds side by side."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgequake.benchmarks.detectors.model_detector import ModelDetector
from edgequake.benchmarks.detectors.replay import DecisionTrace, DecisionTracer
from edgequake.benchmarks.scoring.pooling import mean_rates, pool
from edgequake.benchmarks.scoring.random_starts import random_start_ns, run_passes
from edgequake.benchmarks.scoring.scoring import score_record
from edgequake.benchmarks.tuning import cross_validation, operating_point
from edgequake.benchmarks.tuning.cross_validation import FoldModel, cross_validate, group_rounds
from edgequake.benchmarks.tuning.operating_point import choose, count_grid, decision_s, grid, with_lag
from edgequake.data.selection import Fold, split_fold
from edgequake.data.tables import LabelledRecord
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.manifest.manifest import load_manifest, read_graph
from edgequake.results.tables.report_text import report_text
from edgequake.results.tuning import CrossValidation
from edgequake.synthetic import synthetic_dataset

from ...short_records import without_long_records

FOLDS = (Fold(0, 2), Fold(1, 2))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folds")
    whole = synthetic_dataset.write_dataset(folder / "data", seed=9, n_train=3, n_val=3, n_test=1)
    return without_long_records(whole, folder / "short")


class CachedTracer(DecisionTracer):
    """Runs the network once over a record from an instant, for all tests."""

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self._traces: dict[tuple[Path, int], DecisionTrace] = {}

    def __call__(self, record: LabelledRecord, start_ns: int) -> DecisionTrace:
        key = (record.file, start_ns)
        if key not in self._traces:
            self._traces[key] = super().__call__(record, start_ns)
        return self._traces[key]


@pytest.fixture(scope="module", autouse=True)
def tracer() -> Iterator[CachedTracer]:
    """Search few durations and event thresholds: the nesting under test does not depend on their number."""
    cached = CachedTracer("moon")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cross_validation, "DecisionTracer", lambda model, variant: cached)
        patch.setattr(operating_point, "MIN_DECISIONS", (1, 6))
        patch.setattr(operating_point, "EVENT_THRESHOLDS", (0.3,))
        yield cached


@pytest.fixture(scope="module")
def result(data: Path, tracer: CachedTracer) -> CrossValidation:
    return cross_validate([FoldModel("moon", fold) for fold in FOLDS], data, seeds=2)


@pytest.mark.slow
def test_an_operating_point_is_chosen_on_the_other_fold_alone(
    data: Path, result: CrossValidation, tracer: CachedTracer
) -> None:
    for mine, other in ((0, 1), (1, 0)):
        passes = run_passes(tracer, split_fold(data, "moon", FOLDS[other])[1], range(2))
        own = run_passes(tracer, split_fold(data, "moon", FOLDS[mine])[1], range(2))
        trigger = tracer.manifest.trigger
        settings = grid(trigger, decision_s(passes))
        lagged = with_lag(own, trigger, trigger.onset_thresholds["normal"])  # of two folds, all but the other is mine
        chosen = choose({s: mean_rates(counts) for s, counts in count_grid(passes, lagged, settings).items()})
        expected = with_lag(passes, chosen.apply(trigger), chosen.normal.threshold)
        fold = result.rounds[0].folds[mine]
        assert fold.fold == FOLDS[mine] and fold.threshold == chosen.normal.threshold
        assert fold.trigger == expected


@pytest.mark.slow
def test_pooled_figures_are_those_of_the_runner_over_all_held_out_records(
    data: Path, result: CrossValidation, tmp_path: Path
) -> None:
    manifest, folder = load_manifest("moon")
    (one,) = result.rounds
    for seed, score in enumerate(one.summary.scores):
        scores = []
        for fold in one.folds:
            copy = tmp_path / f"{seed}-{fold.fold.index}"
            copy.mkdir()
            variant, graph = read_graph(manifest, folder)
            (copy / variant.file).write_bytes(graph)
            (copy / "moon.json").write_text(dataclasses.replace(manifest, trigger=fold.trigger).to_json())
            detector = ModelDetector(str(copy / "moon.json"), threshold=fold.threshold)
            for record in split_fold(data, "moon", fold.fold)[1]:
                start_ns = random_start_ns(record, seed)
                scores.append(score_record(record, start_ns, detector(record, start_ns)))
        pooled = pool(scores)
        assert (score.n_records, score.n_arrivals) == (4, pooled.n_arrivals)
        for name in ("n_recalled", "n_captured", "n_false", "n_extra", "group_recall", "onset_errors_s"):
            # The onsets of a run have microseconds, those of a fold nanoseconds.
            assert getattr(score, name) == pytest.approx(getattr(pooled, name), abs=2e-6), name
        assert score.kept == pytest.approx(pooled.kept, abs=1e-6)
        assert score.wasted == pytest.approx(pooled.wasted, abs=1e-6)


@pytest.mark.slow
def test_the_report_holds_the_curve_and_the_rounds(data: Path, result: CrossValidation) -> None:
    (one,) = result.rounds
    kept = [point.kept for point in one.curve.values()]
    assert list(one.curve) == sorted(one.curve) and kept == sorted(kept, reverse=True)
    allowed = [point.recall for point in one.curve.values() if point.false_per_quiet_day <= 1]
    assert one.recall_at_one_false == max(allowed)
    assert result.n_groups == sum(bool(r.arrivals) for fold in FOLDS for r in split_fold(data, "moon", fold)[1])
    assert result.spreads["recall"].mean == one.summary.spreads["recall"].mean
    values = json.loads(json.dumps(result.to_json()))
    assert values["benchmark"] == "folds" and values["rounds"][0]["folds"][1]["fold"] == {"index": 1, "count": 2}
    table = report_text(result)
    assert "1 round\n" in table and "recall at ≤ 1 false alarm per quiet day" in table


def test_rounds_follow_the_order_of_the_models() -> None:
    texts = ("a:1/3", "b:0/3", "c:2/3", "out/d.json:0/3", "e:2/3", "f:1/3")
    rounds = group_rounds([FoldModel.parse(text) for text in texts])
    assert [[model.manifest for model in models] for models in rounds] == [["b", "a", "c"], ["out/d.json", "f", "e"]]


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["a:0/3"], "two or more folds"),
        (["a:0/3", "b:1/2"], "two or more folds"),
        (["a:0/3", "b:1/3", "c:1/3"], "as many models as the others"),
        (["a"], "expected MANIFEST:K/N"),
        (["a:3/3"], "expected K/N with 0 <= K < N"),
        ([":0/3"], "expected MANIFEST:K/N"),
    ],
)
def test_folds_that_make_no_rounds_are_refused(texts: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        group_rounds([FoldModel.parse(text) for text in texts])


@pytest.mark.slow
def test_several_rounds_give_mean_and_spread(data: Path, result: CrossValidation) -> None:
    twice = cross_validate([FoldModel("moon", fold) for fold in (*FOLDS, *FOLDS)], data, seeds=1)
    assert len(twice.rounds) == 2 and twice.rounds[0] == twice.rounds[1]
    assert twice.spreads["f1"].deviation == 0.0
    assert twice.n_records == result.n_records

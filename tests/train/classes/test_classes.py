"""Learning event classes: separable classes are found, doubtful ones stay blank, repeated events count once."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

from edgequake.data.dataset import load
from edgequake.data.tables import Arrival, LabelledRecord
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.detection.event_class import classify
from edgequake.edge.manifest.manifest import load_manifest, read_graph
from edgequake.train.add_classes import main as add_classes
from edgequake.train.classes.class_examples import (
    NEVER,
    ClassExamples,
    class_examples,
    families,
    label_of,
    untrained_classes,
)
from edgequake.train.classes.fit import example_weights, fit_classes, fit_softmax, held_out_names, learn_classes
from edgequake.train.configuration.recipe import load_recipe
from edgequake.train.trainer import partial_manifest

RECIPE = load_recipe("moon")
assert RECIPE.classes is not None
PLAN = dataclasses.replace(RECIPE.classes, untold=())
UNTRAINED = untrained_classes(PLAN, RECIPE.trigger.max_event_s)


def examples(gap: float, n_events: int = 12, seed: int = 1) -> ClassExamples:
    """Return events of two classes whose spectral centroids differ by `gap` with a scatter of 0.1, two rows each."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(2), 2 * n_events)
    inputs = rng.normal(0.0, 1.0, (len(label), 4))
    inputs[:, 0] = np.where(label == 0, gap, 0.0) + rng.normal(0.0, 0.1, len(label))
    names = tuple(f"{'impact' if k == 0 else 'deep'} {i // 2}" for i, k in enumerate(label.tolist()))
    return ClassExamples(inputs, label.astype(np.int64), names, names)


def share_right(names: list[str], known: ClassExamples) -> float:
    return float(np.mean([name == UNTRAINED.names[label] for name, label in zip(names, known.label, strict=True)]))


def test_separable_classes_are_found_again() -> None:
    fitted = fit_classes(PLAN, UNTRAINED, examples(1.0))
    fresh = examples(1.0, seed=2)
    assert share_right([classify(fitted, inputs) for inputs in fresh.inputs], fresh) > 0.95
    assert fitted.min_probability == PLAN.least_probability
    few = examples(1.0, n_events=6)
    assert share_right(held_out_names(PLAN, UNTRAINED, few), few) > 0.95


def test_inseparable_classes_stay_blank() -> None:
    known = examples(0.0)
    fitted = fit_classes(PLAN, UNTRAINED, known)
    assert [classify(fitted, inputs) for inputs in known.inputs] == [""] * len(known.label)


def test_a_class_that_is_often_wrong_needs_a_higher_probability() -> None:
    known = examples(0.25, n_events=24)
    lenient = fit_classes(dataclasses.replace(PLAN, least_probability=0.1, min_right=0.6), UNTRAINED, known)
    strict = fit_classes(dataclasses.replace(PLAN, least_probability=0.1, min_right=0.95), UNTRAINED, known)
    assert lenient.min_probability < strict.min_probability
    known = examples(0.25, n_events=8)
    hopeless = dataclasses.replace(known, label=np.random.default_rng(5).permutation(known.label))
    by_row = tuple(str(i) for i in range(len(known.label)))
    hopeless = dataclasses.replace(hopeless, event=by_row, family=by_row, inputs=hopeless.inputs * 1e3)
    assert fit_classes(dataclasses.replace(PLAN, least_probability=0.5), UNTRAINED, hopeless).min_probability == NEVER


def test_an_event_far_from_all_training_examples_stays_blank() -> None:
    fitted = fit_classes(PLAN, UNTRAINED, examples(1.0))
    assert classify(fitted, np.array([1.0, 0, 0, 0])) == "impact_mq"
    assert classify(fitted, np.array([2.0, 0, 0, 0])) == ""


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_optimum_agrees_with_an_independent_optimiser(n_classes: int) -> None:
    rng = np.random.default_rng(n_classes)
    inputs, label = rng.normal(size=(60, 3)), rng.integers(0, n_classes, 60)
    inputs[:, 0] += label
    share = rng.uniform(0.5, 1.5, 60)
    share /= share.sum()
    ridge = 0.02

    def loss(flat: np.ndarray) -> float:
        weights, bias = flat[: 3 * n_classes].reshape(n_classes, 3), flat[3 * n_classes :]
        scores = inputs @ weights.T + bias
        log_p = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
        return float(-np.sum(share * log_p[np.arange(60), label]) + ridge / 2 * np.sum(weights**2))

    weights, bias = fit_softmax(inputs, label, share, n_classes, ridge)
    found = np.concatenate([weights.ravel(), bias])
    other = minimize(loss, np.full(len(found), 0.1), method="BFGS", options={"gtol": 1e-7})  # no gradient given
    assert loss(found) <= other.fun + 1e-9
    assert weights.ravel() == pytest.approx(other.x[: 3 * n_classes], abs=2e-3)
    slopes = [(loss(found + step) - loss(found - step)) / 2e-6 for step in 1e-6 * np.eye(len(found))]
    assert np.max(np.abs(slopes)) < 1e-6
    assert np.sum(bias) == pytest.approx(0.0, abs=1e-12)


def test_repeated_events_share_one_weight() -> None:
    # Class 0: family x of events a (two rows) and b, family y of event c. Class 1: family z, three events.
    event, family = ("a", "a", "b", "c", "d", "e", "f"), ("x", "x", "x", "y", "z", "z", "z")
    known = ClassExamples(np.zeros((7, 4)), np.array([0, 0, 0, 0, 1, 1, 1]), event, family)
    assert example_weights(known) == pytest.approx([1 / 16, 1 / 16, 1 / 8, 1 / 4, 1 / 6, 1 / 6, 1 / 6])


def record(*arrivals: tuple[str, str]) -> LabelledRecord:
    listed = tuple(Arrival(0, 1.0, True, group, event_type, group) for group, event_type in arrivals)
    return LabelledRecord(Path("x"), "moon", "train", arrivals[0][0], "S12", ("MH1",), 0, 1, 6.625, listed, "")


def test_events_of_one_nest_are_one_family() -> None:
    records = [
        record(("p", "deep_A1")),
        record(("q", "deep_A01")),
        record(("r", "deep_A20"), ("i", "impact_natural")),
        record(("j", "impact_natural")),
        record(("q", "deep_A1")),  # links A1 and A01
        record(("u", "deep_unclassified")),
        record(("v", "deep_unclassified")),
    ]
    found = families(PLAN, records)
    assert found["p"] == found["q"]
    assert len(set(found.values())) == 6


def test_labels_follow_the_patterns() -> None:
    types = ("impact_natural", "deep_A01", "deep_mq", "shallow", "unclassified")
    assert {name: label_of(PLAN, name) for name in types} == {
        "impact_natural": "impact_mq",
        "deep_A01": "deep_mq",
        "deep_mq": "deep_mq",
        "shallow": None,
        "unclassified": None,
    }


def test_a_class_without_events_is_refused() -> None:
    known = examples(1.0)
    with pytest.raises(DataError, match=r"'deep_mq'.*--set classes=null"):
        fit_classes(PLAN, UNTRAINED, known.where(known.label == 0))


def test_classes_are_in_the_partial_manifest() -> None:
    fitted = fit_classes(PLAN, UNTRAINED, examples(1.0))
    written = json.loads(json.dumps(partial_manifest(RECIPE, {}, fitted)))["classes"]
    assert written["weights"] == [list(row) for row in fitted.weights]
    assert partial_manifest(load_recipe("tiny"), {}, None)["classes"] is None
    assert load_recipe("tiny").classes is None and load_recipe("moon", {"classes": None}).classes is None


def test_an_inconsistent_recipe_is_refused() -> None:
    with pytest.raises(ConfigError, match="two classes"):
        load_recipe("moon", {"classes.labels": {"deep_mq": ["deep_*"]}})
    with pytest.raises(ConfigError, match="colour"):
        load_recipe("moon", {"classes.inputs": ["colour"]})
    with pytest.raises(ConfigError, match="classes = false"):
        load_recipe("moon-waveform", {"classes": dataclasses.asdict(PLAN)})


@pytest.mark.slow
@pytest.mark.records
def test_recorded_moonquakes_are_distinguished_from_impacts(records_dir: Path) -> None:
    """Learned from train and applied to val: each class is right for some event, and nine of ten events are right."""
    recipe = dataclasses.replace(RECIPE, classes=dataclasses.replace(PLAN, n_starts=2))
    fitted = learn_classes(recipe, load(records_dir, "moon", "train"))
    asked = class_examples(recipe, load(records_dir, "moon", "val"))
    names = [classify(fitted, inputs) for inputs in asked.inputs]
    truth = [fitted.names[label] for label in asked.label]
    named = {answer for answer in zip(asked.event, truth, names, strict=True) if answer[2]}
    wrong = {event for event, label, name in named if label != name}
    assert {label for _, label, name in named if label == name} == set(fitted.names)
    assert len(wrong) <= 0.1 * len({event for event, _, _ in named})


@pytest.mark.slow
@pytest.mark.records
def test_classes_are_added_to_a_model(records_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert add_classes(["moon", "--data", str(records_dir), "--out", str(tmp_path / "out")]) == 0
    manifest, folder = load_manifest(tmp_path / "out" / "moon.json")
    shipped, _ = load_manifest("moon")
    assert dataclasses.replace(manifest, classes=shipped.classes) == shipped
    assert manifest.classes is not None and manifest.classes.names == ("impact_mq", "deep_mq")
    assert len(read_graph(manifest, folder)[1]) > 1000
    assert str(folder) in capsys.readouterr().out


def test_missing_records_give_a_one_line_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert add_classes(["moon", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "out").exists()

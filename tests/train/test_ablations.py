"""Options of a recipe for ablation studies: despiking, random starts, waveform injection, the second output."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgequake.data.tables import LabelledRecord
from edgequake.edge.features.front_end import station_rows
from edgequake.train import fitting, trainer
from edgequake.train.configuration.recipe import load_recipe
from edgequake.train.data.noise_bank import NoiseBank
from edgequake.train.data.records import record_traces
from edgequake.train.examples import examples as examples_module
from edgequake.train.examples.examples import Examples, recorded_examples, synthetic_examples
from edgequake.train.trainer import train

NO_BANK = {6.625: NoiseBank((), ())}
SMALL = {"examples.n_blocks": 200, "examples.max_front_blocks": 50}
FAST = {**SMALL, "examples.n_examples": 12, "fit.steps": 4, "fit.batch": 4, "fit.crop_blocks": 96}


def test_without_random_starts_a_recorded_example_is_its_whole_record(records: list[LabelledRecord]) -> None:
    recipe = load_recipe("tiny", {**SMALL, "examples.random_starts": False, "examples.n_blocks": 8000})
    examples = recorded_examples(recipe, records, 2 * len(records), 1)
    n_same = 0
    for i in range(2 * len(records)):
        record = records[i % len(records)]
        expected = station_rows(recipe.front_end, recipe.sampling_rate_hz, record_traces(record)).rows
        got = examples.rows[i, : len(expected)]
        n_same += np.array_equal(got, expected)
        # Half of them are in an arbitrary unit, for which lost samples and the quantum are treated differently.
        assert np.corrcoef(got[..., :-1].ravel(), expected[..., :-1].ravel())[0, 1] > 0.9
        assert not examples.weights[i, len(expected) :].any()
    assert n_same >= 1


def test_without_random_starts_no_quiet_time_precedes_the_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    injected_record = examples_module.injected_record

    def spy(rng, bank, plan, n_samples, *rest):  # type: ignore[no-untyped-def]
        lengths.append(n_samples)
        return injected_record(rng, bank, plan, n_samples, *rest)

    monkeypatch.setattr(examples_module, "injected_record", spy)
    synthetic_examples(load_recipe("tiny", SMALL), NO_BANK, 6, 1)
    synthetic_examples(load_recipe("tiny", {**SMALL, "examples.random_starts": False}), NO_BANK, 6, 1)
    assert len(set(lengths[:6])) > 1
    assert lengths[6:] == [202 * 64] * 6


def test_without_random_starts_every_crop_begins_with_its_example() -> None:
    block = np.tile(np.arange(100, dtype=np.float32), (8, 1))  # the number of each block as its feature
    examples = Examples(block[:, :, None, None], np.zeros((8, 100, 2), np.float32), np.ones((8, 100), np.float32))
    for random_starts, share_at_start in ((False, 1.0), (True, fitting.START_SHARE)):
        plan = {"fit.batch": 64, "fit.crop_blocks": 20, "examples.random_starts": random_starts}
        x, _, _ = fitting._batch(np.random.default_rng(0), examples, load_recipe("tiny", plan))
        assert np.mean(x[:, 0, 0] == 0) == pytest.approx(share_at_start, abs=0.15)
        np.testing.assert_array_equal(np.diff(x[:, :, 0], axis=1), 1.0)


@pytest.mark.slow
@pytest.mark.usefixtures("no_fit")
def test_with_recorded_examples_only_nothing_is_injected(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("a quake was injected")

    monkeypatch.setattr(examples_module, "injected_record", refuse)
    train("tiny", data, tmp_path, {**FAST, "examples.real_share": 1.0})
    with np.load(tmp_path / "calibration.npz") as saved:
        assert saved["rows"].shape == (12, 200, 8)


def test_without_despiking_spikes_reach_the_features(records: list[LabelledRecord]) -> None:
    recipe = load_recipe("tiny")
    rng = np.random.default_rng(0)
    samples = (512 + rng.integers(-2, 3, 64 * 100)).astype(np.int32)
    quiet = replace(record_traces(records[0])[0], samples=samples)
    spiked = replace(quiet, samples=samples.copy())
    spiked.samples[64 * 60 + 10] += 300
    rows = {
        threshold: [
            station_rows(replace(recipe.front_end, despike_threshold=threshold), 6.625, [trace]).rows[:90, 0, :-1]
            for trace in (quiet, spiked)
        ]
        for threshold in (0.0, 5.0)
    }
    assert np.abs(rows[0.0][1] - rows[0.0][0]).max() > 1.0
    assert np.abs(rows[5.0][1] - rows[5.0][0]).max() < 0.5


def test_one_output_has_the_target_of_the_event() -> None:
    recipe = load_recipe("tiny", {"network.outputs": ["event"], "fit.onset_weight": 3.0})
    targets = np.zeros((1, 4, 2), np.float32)
    targets[0, 1, 0] = targets[0, 1:3, 1] = 1.0
    part = Examples(np.zeros((1, 4, 1, 9), np.float32), targets, np.ones((1, 4), np.float32))
    _, y, w = fitting._sequences(part, recipe.network, recipe.fit)
    assert y.tolist() == [[[0.0], [1.0], [1.0], [0.0]]]
    assert w.tolist() == [[1.0, 3.0, 1.0, 1.0]]


@pytest.mark.usefixtures("no_fit")
def test_the_share_of_recorded_examples_is_that_of_the_recipe(
    data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    counts: list[tuple[str, int]] = []
    synthetic, recorded = trainer.synthetic_examples, trainer.recorded_examples

    def count_synthetic(recipe, bank, n, *rest):  # type: ignore[no-untyped-def]
        counts.append(("synthetic", n))
        return synthetic(recipe, bank, n, *rest)

    def count_recorded(recipe, some, n, *rest):  # type: ignore[no-untyped-def]
        counts.append(("recorded", n))
        return recorded(recipe, some, n, *rest)

    monkeypatch.setattr(trainer, "synthetic_examples", count_synthetic)
    monkeypatch.setattr(trainer, "recorded_examples", count_recorded)
    train("tiny", data, tmp_path, {**FAST, "examples.real_share": 0.25})
    assert counts[:2] == [("synthetic", 9), ("recorded", 3)]

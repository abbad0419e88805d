"""What a recipe can switch off: despiking, random starts, implants, the second output."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgequake import cli
from edgequake.data.dataset import load
from edgequake.data.tables import LabelledRecord
from edgequake.edge.features.front_end import station_rows
from edgequake.synthetic.synthetic_dataset import write_dataset
from edgequake.train import fitting, trainer
from edgequake.train.configuration.recipe import load_recipe
from edgequake.train.data.noise_bank import NoiseBank
from edgequake.train.data.records import record_traces
from edgequake.train.examples.examples import Examples, made_examples, real_examples
from edgequake.train.trainer import train

NO_BANK = NoiseBank((), ())
SMALL = {"examples.n_blocks": 200, "examples.max_front_blocks": 50}
FAST = {**SMALL, "examples.n_examples": 12, "fit.steps": 4, "fit.batch": 4, "fit.crop_blocks": 96}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("ablations") / "data", 3, n_train=3, n_val=1, n_test=1)


@pytest.fixture(scope="module")
def records(data: Path) -> list[LabelledRecord]:
    return load(data, "moon", "train")


def test_without_random_starts_a_real_example_is_its_record_from_the_start(records: list[LabelledRecord]) -> None:
    recipe = load_recipe("tiny", {**SMALL, "examples.random_starts": False, "examples.n_blocks": 8000})
    examples = real_examples(recipe, records, 2 * len(records), 1)
    n_same = 0
    for i in range(2 * len(records)):
        record = records[i % len(records)]
        expected = station_rows(recipe.front_end, recipe.sampling_rate_hz, record_traces(record)).rows
        got = examples.rows[i, : len(expected)]
        n_same += np.array_equal(got, expected)
        # Half of them are given a random unit: then lost samples and the record's quantum are treated otherwise.
        assert np.corrcoef(got[..., :-1].ravel(), expected[..., :-1].ravel())[0, 1] > 0.9
        assert not examples.weights[i, len(expected) :].any()
    assert n_same >= 1


def test_without_random_starts_no_quiet_time_is_in_front(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []

    def spied(rng, bank, plan, n_samples, hop, rate_hz):  # type: ignore[no-untyped-def]
        lengths.append(n_samples)
        return make_record(rng, bank, plan, n_samples, hop, rate_hz)

    from edgequake.train.examples.augmentation import make_record

    monkeypatch.setattr("edgequake.train.examples.examples.make_record", spied)
    made_examples(load_recipe("tiny", SMALL), NO_BANK, 6, 1)
    made_examples(load_recipe("tiny", {**SMALL, "examples.random_starts": False}), NO_BANK, 6, 1)
    assert len(set(lengths[:6])) > 1
    assert lengths[6:] == [202 * 64] * 6


def test_without_random_starts_every_crop_begins_with_its_example() -> None:
    place = np.tile(np.arange(100, dtype=np.float32), (8, 1))  # what block it is, as its feature
    examples = Examples(place[:, :, None, None], np.zeros((8, 100, 2), np.float32), np.ones((8, 100), np.float32))
    for random_starts, share_at_start in ((False, 1.0), (True, 0.3)):
        plan = {"fit.batch": 64, "fit.crop_blocks": 20, "examples.random_starts": random_starts}
        x, _, _ = fitting._batch(np.random.default_rng(0), examples, load_recipe("tiny", plan))
        assert np.mean(x[:, 0, 0] == 0) == pytest.approx(share_at_start, abs=0.15)
        np.testing.assert_array_equal(np.diff(x[:, :, 0], axis=1), 1.0)


def test_without_implants_nothing_is_made(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*anything: object) -> None:
        raise AssertionError("an example was made")

    monkeypatch.setattr("edgequake.train.examples.examples.make_record", refuse)
    result = train("tiny", data, tmp_path, {**FAST, "examples.real_share": 1.0})
    assert result.history[-1].step == 4
    with np.load(tmp_path / "calibration.npz") as saved:
        assert saved["rows"].shape == (12, 200, 9)


def test_without_despiking_spikes_reach_the_features(data: Path) -> None:
    recipe = load_recipe("tiny")
    (record, *_) = load(data, "moon", "train")
    quiet = replace(record_traces(record)[0], samples=np.full(64 * 100, 512, np.int32))
    rng = np.random.default_rng(0)
    quiet = replace(quiet, samples=quiet.samples + rng.integers(-2, 3, len(quiet.samples)).astype(np.int32))
    spiked = replace(quiet, samples=quiet.samples.copy())
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


@pytest.mark.slow
def test_a_network_with_one_output_goes_the_whole_way(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "training"
    train("tiny", data, out, {**FAST, "network.outputs": ["event"], "network.rounded": False})
    assert cli.main(["convert", str(out / "tiny.keras"), "--out", str(tmp_path / "model"), "--quantize", "int8"]) == 0
    manifest = json.loads((tmp_path / "model" / "tiny.json").read_text())
    assert manifest["network"]["outputs"] == ["event"]
    arguments = ["run", "--model", str(tmp_path / "model" / "tiny.json"), str(data / "moon" / "synthetic_val_00.mseed")]
    assert cli.main([*arguments, "--out", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "catalog.csv").is_file()


def test_one_output_learns_the_event_and_not_the_onset() -> None:
    recipe = load_recipe("tiny", {"network.outputs": ["event"], "fit.onset_weight": 3.0})
    targets = np.zeros((1, 4, 2), np.float32)
    targets[0, 1, 0] = targets[0, 1:3, 1] = 1.0
    part = Examples(np.zeros((1, 4, 1, 9), np.float32), targets, np.ones((1, 4), np.float32))
    _, y, w = fitting._sequences(part, recipe.network, recipe.fit)
    assert y.tolist() == [[[0.0], [1.0], [1.0], [0.0]]]
    assert w.tolist() == [[1.0, 3.0, 1.0, 1.0]]


def test_shares_decide_what_the_examples_are_made_of(
    data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    counted: list[tuple[int, int]] = []
    made, real = trainer.made_examples, trainer.real_examples

    def spied_made(recipe, bank, n, *rest):  # type: ignore[no-untyped-def]
        counted.append((n, 0))
        return made(recipe, bank, n, *rest)

    def spied_real(recipe, some, n, *rest):  # type: ignore[no-untyped-def]
        counted.append((0, n))
        return real(recipe, some, n, *rest)

    monkeypatch.setattr(trainer, "made_examples", spied_made)
    monkeypatch.setattr(trainer, "real_examples", spied_real)
    train("tiny", data, tmp_path, {**FAST, "examples.real_share": 0.25})
    assert counted[:2] == [(9, 0), (0, 3)]

"""Training itself: the rounded LSTM, learning, resuming, and what is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.manifest.manifest import Variant
from edgequake.synthetic.synthetic_dataset import write_dataset
from edgequake.train import fitting, networks, rounded
from edgequake.train.configuration.recipe import load_recipe
from edgequake.train.trainer import train

FAST = {
    "examples.n_examples": 24,
    "examples.n_blocks": 120,
    "examples.max_front_blocks": 20,
    "fit.steps": 12,
    "fit.batch": 8,
    "fit.crop_blocks": 96,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_dataset(folder, 1, n_train=3, n_val=1, n_test=1)
    return folder


def weights(path: Path) -> list[np.ndarray]:
    return list(keras.saving.load_model(path).get_weights())


def test_a_rounded_lstm_without_rounding_is_keras_lstm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounded, "rounded", lambda values, step, mask: values)
    recipe = load_recipe("moon").network
    trained = networks.build(recipe, 9, seed=4)
    plain = networks.plain(recipe, 9, trained)
    x = np.random.default_rng(1).standard_normal((3, 200, 9)).astype(np.float32)
    np.testing.assert_allclose(trained.predict(x, verbose=0), plain.predict(x, verbose=0), atol=1e-5)


def test_rounding_is_to_the_nearest_step_and_lets_gradients_through() -> None:
    import tensorflow as tf

    x = tf.Variable([0.11, -0.30, 2.26])
    with tf.GradientTape() as tape:
        y = rounded.rounded(x, 0.25, tf.constant([1.0, 1.0, 1.0]))
        total = keras.ops.sum(y * y)
    np.testing.assert_allclose(y, [0.0, -0.25, 2.25])
    np.testing.assert_allclose(tape.gradient(total, x), [0.0, -0.5, 4.5])


def test_cell_states_and_gate_sums_outside_their_limits_cost() -> None:
    layer = rounded.Bounded()
    values = np.zeros((1, 2, 6), np.float32)  # one unit: h, c, four gate sums
    values[0, :, 0] = [0.5, -0.5]
    values[0, :, 1] = [rounded.CELL_LIMIT + 1.0, -rounded.CELL_LIMIT - 2.0]
    values[0, 1, 2:] = [rounded.GATE_SUM_LIMIT + 4.0, 0.0, 0.0, -rounded.GATE_SUM_LIMIT]
    np.testing.assert_array_equal(layer(values)[0, :, 0], [0.5, -0.5])
    cells, gates = (float(loss) for loss in layer.losses)
    assert cells == pytest.approx(rounded.LIMIT_PENALTY * (1 + 4) / 2)
    assert gates == pytest.approx(rounded.LIMIT_PENALTY * 16 / 8)


def test_half_of_a_batch_is_rounded_and_the_difference_costs() -> None:
    mask = rounded.first_half(np.zeros((4, 3), np.float32))
    np.testing.assert_array_equal(mask, [[1], [1], [0], [0]])
    values = np.full((4, 1), 0.3, np.float32)
    np.testing.assert_allclose(rounded.rounded(values, 0.25, mask)[:, 0], [0.25, 0.25, 0.3, 0.3])
    layer = rounded.Agreeing()
    together = layer(np.array([[[0.5]], [[0.2]], [[0.7]], [[0.2]]], np.float32))
    np.testing.assert_allclose(together[:, 0, 0], [0.6, 0.2])
    assert float(layer.losses[0]) == pytest.approx(rounded.DIFFERENCE_PENALTY * 0.04 / 2)


def test_the_seed_network_is_the_briefs_layer_for_layer() -> None:
    network = networks.build(load_recipe("seed").network, 2, seed=0)
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds == ["Conv1D", "MaxPooling1D", "Dropout", "LSTM", "Dropout", "LSTM", "Dense", "Dense"]
    conv, pool, drop, first, _, last, dense, head = network.layers
    assert (conv.filters, conv.kernel_size, conv.activation.__name__, pool.pool_size) == (64, (3,), "relu", (2,))
    assert (drop.rate, first.units, first.return_sequences, last.units, last.return_sequences) == (
        0.3,
        100,
        True,
        100,
        False,
    )
    assert (dense.units, dense.activation.__name__, head.activation.__name__) == (100, "relu", "sigmoid")
    assert head.units == 2  # detection and start time


def test_training_lowers_the_loss_and_writes_what_convert_needs(data: Path, tmp_path: Path) -> None:
    said: list[str] = []
    result = train("tiny", data, tmp_path / "out", {**FAST, "fit.steps": 200}, lambda what, share: said.append(what))
    assert result.history[-1].loss < 0.8 * result.history[0].loss
    described = json.loads((tmp_path / "out" / "train.json").read_text())
    manifest = described["manifest"]
    assert manifest["front_end"]["spectrogram"]["band_edges_hz"] == list(
        load_recipe("tiny").front_end.spectrogram.band_edges_hz  # type: ignore[union-attr]
    )
    assert (
        manifest["training"]["seed"] == load_recipe("tiny").fit.seed and len(manifest["training"]["data_sha256"]) == 64
    )
    assert described["recipe"]["fit"]["steps"] == 200
    with np.load(tmp_path / "out" / "calibration.npz") as saved:
        assert saved["rows"].shape == (24, 120, 9) and saved["rows"].dtype == np.float32
    assert [type(layer).__name__ for layer in keras.saving.load_model(result.keras_file).layers] == [
        "InputLayer", "Conv1D", "LSTM", "Dense",
    ]  # fmt: skip
    assert any(text.startswith("step ") for text in said)
    assert not list((tmp_path / "out").glob("*checkpoint*"))
    assert Variant.__name__ not in described


def test_a_stopped_training_goes_on_to_the_same_weights(data: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(fitting, "STEPS_PER_EPOCH", 4)
    # Weights come out equal only if nothing but steps decides the learning rate.
    plan = {**FAST, "fit.time_budget_s": 1e9}
    whole = train("tiny", data, tmp_path / "whole", plan)

    class Stop(Exception):
        pass

    def stop_after_two_epochs(what: str, share: float) -> None:
        if what.startswith("step 8/"):
            raise Stop

    with pytest.raises(Stop):
        train("tiny", data, tmp_path / "stopped", plan, stop_after_two_epochs)
    assert not (tmp_path / "stopped" / "tiny.keras").exists()
    resumed = train("tiny", data, tmp_path / "stopped", plan)
    assert [epoch.step for epoch in resumed.history] == [4, 8, 12]
    for a, b in zip(weights(whole.keras_file), weights(resumed.keras_file), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_folder_with_another_unfinished_training_is_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "identity.json").write_text("{}")
    with pytest.raises(ConfigError, match="holds an unfinished training of another recipe, fold or data"):
        train("tiny", data, tmp_path, FAST)


def test_a_group_in_two_splits_is_refused(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "data"
    copy.mkdir()
    for path in data.rglob("*"):
        if path.is_file():
            target = copy / path.relative_to(data)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    table = (copy / "records.csv").read_text().splitlines()
    train_group = next(line.split(",")[2] for line in table if line.startswith("train,"))
    moved = [
        ",".join([*line.split(",")[:2], train_group, *line.split(",")[3:]]) if line.startswith("val,") else line
        for line in table
    ]
    (copy / "records.csv").write_text("\n".join(moved) + "\n")
    with pytest.raises(DataError, match=f"event group '{train_group}' is in both train and val"):
        train("tiny", copy, tmp_path / "out", FAST)

"""The output "start" of the window classifier: its targets, its loss, and its use in a converted model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgequake import cli
from edgequake.edge.base.errors import ConfigError
from edgequake.train import fitting, networks
from edgequake.train.configuration.recipe import Recipe, load_recipe
from edgequake.train.examples.examples import Examples
from edgequake.train.networks import EventAndStart, rises, start_targets
from edgequake.train.trainer import train

SMALL = {"examples.n_examples": 8, "examples.n_blocks": 130, "examples.max_front_blocks": 10}


def onset_at(n_blocks: int, *starts: int) -> np.ndarray:
    onset = np.zeros((1, n_blocks), np.float32)
    for start in starts:
        onset[0, start : start + 5] = 1.0
    return onset


def test_an_onset_begins_where_its_target_rises_and_never_in_the_first_block() -> None:
    assert np.flatnonzero(rises(onset_at(50, 0, 20, 40))).tolist() == [20, 40]


@pytest.mark.parametrize(
    ("stop", "share", "known"),
    [(20, 0.0, 0), (21, 0.9, 1), (25, 0.5, 1), (30, 0.0, 1), (31, 0.0, 0), (45, 0.5, 1)],
)
def test_the_target_is_the_share_of_the_window_before_the_onset(stop: int, share: float, known: int) -> None:
    """Windows of ten blocks; onsets begin with blocks 20 and 40."""
    start, is_known = start_targets(onset_at(60, 20, 40), np.array([[stop]]), rows_per_block=64, window_rows=640)
    assert start[0, 0] == pytest.approx(share) and is_known[0, 0] == known


def test_the_last_of_two_onsets_counts() -> None:
    start, is_known = start_targets(onset_at(60, 20, 28), np.array([[30]]), rows_per_block=1, window_rows=10)
    assert (start[0, 0], is_known[0, 0]) == (pytest.approx(0.8), 1.0)


def test_the_loss_is_the_crossentropy_plus_the_weighted_squared_error() -> None:
    rng = np.random.default_rng(0)
    event, start = rng.random((6, 2)).T.astype(np.float32)
    true = np.stack([[1, 0, 1, 0, 1, 0], rng.random(6), [1, 1, 0, 0, 1, 0]], axis=1).astype(np.float32)
    loss = EventAndStart(5.0)(true, np.stack([event, start], axis=1))
    crossentropy = -np.mean(true[:, 0] * np.log(event) + (1 - true[:, 0]) * np.log(1 - event))
    squared = np.mean(true[:, 2] * (true[:, 1] - start) ** 2)
    assert float(loss) == pytest.approx(crossentropy + 5.0 * squared, rel=1e-5)
    again = EventAndStart.from_config(EventAndStart(5.0).get_config())
    assert float(again(true, np.stack([event, start], axis=1))) == float(loss)


def test_only_windows_with_an_onset_train_the_start() -> None:
    """The gradient of the weights of the output "start" is zero without an onset and nonzero with one."""
    import tensorflow as tf

    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="sigmoid")])
    x = np.random.default_rng(1).standard_normal((4, 3)).astype(np.float32)
    for known in (0.0, 1.0):
        true = np.array([[1, 0.3, known], [0, 0.9, 0], [1, 0.1, 0], [0, 0.2, 0]], np.float32)
        with tf.GradientTape() as tape:
            loss = EventAndStart(20.0)(true, network(x))
        kernel, bias = tape.gradient(loss, network.trainable_variables)
        assert np.any(kernel.numpy()[:, 1]) == np.any(bias.numpy()[1:]) == bool(known)
        assert np.all(kernel.numpy()[:, 0]) and bias.numpy()[0] != 0


def test_batches_contain_more_onsets_than_random_windows_would() -> None:
    recipe = load_recipe("seed-spectrogram", {"fit.batch": 200})
    targets = np.zeros((4, 1000, 2), np.float32)
    targets[2, 500:525, 0] = targets[2, 500:700, 1] = 1.0
    block = np.zeros((4, 1000, 1, 9), np.float32)
    block[..., 0, 0] = np.arange(1000)
    x, y, w = fitting._batch(np.random.default_rng(0), Examples(block, targets, np.ones((4, 1000), np.float32)), recipe)
    known = y[:, 2] > 0
    assert 0.15 < known.mean() < 0.45  # by chance one window in sixty
    np.testing.assert_allclose(x[known, 0, 0] + y[known, 1] * 64, 500)  # the onset lies where the target says
    assert np.all(w == 1)


class ConstantNetwork:
    """A network with the same output for every window."""

    def __init__(self, event: float, start: float) -> None:
        self.output = np.array([[event, start]], np.float32)

    def test_on_batch(self, x: np.ndarray, y: np.ndarray, sample_weight: np.ndarray) -> float:
        return float(np.mean(EventAndStart(20.0)(y, np.repeat(self.output, len(x), axis=0))))

    def predict_on_batch(self, x: np.ndarray) -> np.ndarray:
        return np.repeat(self.output, len(x), axis=0)

    def reset_metrics(self) -> None:
        pass


@pytest.mark.parametrize(("name", "window_s"), [("seed-spectrogram", 64 * 64 / 6.625), ("seed", 1984 / 6.625)])
def test_the_error_of_the_start_is_in_seconds(name: str, window_s: float) -> None:
    recipe = load_recipe(name)
    per_block = recipe.front_end.rows_per_block
    window_blocks = int(recipe.network.window_rows or 0) // per_block
    targets = np.zeros((1, 3 * window_blocks, 2), np.float32)
    targets[0, window_blocks + 10 : window_blocks + 20] = 1.0  # in the second of three windows
    rows = np.zeros((1, 3 * window_blocks, per_block, recipe.front_end.n_features), np.float32)
    val = Examples(rows, targets, np.ones((1, 3 * window_blocks), np.float32))
    _, error_s = fitting.evaluate(ConstantNetwork(0.5, 0.25), recipe, val)
    assert error_s == pytest.approx(abs(0.25 - 10 / window_blocks) * window_s)
    nothing = Examples(rows, np.zeros_like(targets), val.weights)
    assert fitting.evaluate(ConstantNetwork(0.5, 0.25), recipe, nothing)[1] is None


@pytest.mark.slow
@pytest.mark.usefixtures("no_fit", "worker_here")
def test_the_seed_network_is_converted_and_run_with_both_outputs(short_data: Path, tmp_path: Path) -> None:
    out, model = tmp_path / "training", tmp_path / "model"
    train("seed-spectrogram", short_data, out, SMALL)
    assert "val_start_error_s" in json.loads((out / "train.json").read_text())["history"][0]
    name = str(out / "seed-spectrogram.keras")
    assert cli.main(["convert", name, "--out", str(model), "--quantize", "int8"]) == 0
    manifest = json.loads((model / "seed-spectrogram.json").read_text())
    assert manifest["network"]["outputs"] == ["event", "start"]
    record = str(short_data / "moon" / "synthetic_val_01.mseed")
    arguments = ["run", "--model", str(model / "seed-spectrogram.json"), "--threshold", "0.01", record]
    assert cli.main([*arguments, "--out", str(tmp_path / "run")]) == 0
    assert len((tmp_path / "run" / "catalog.csv").read_text().splitlines()) > 1


def test_the_saved_network_does_not_refer_to_the_loss(tmp_path: Path) -> None:
    recipe: Recipe = load_recipe("seed-spectrogram")
    network: Any = networks.build(recipe.network, 9, seed=0)
    network.compile(loss=EventAndStart(20.0), optimizer="adam")
    plain = networks.without_loss(recipe.network, network)
    plain.save(tmp_path / "x.keras")
    assert "EventAndStart" not in (tmp_path / "x.keras").read_bytes().decode("latin-1")
    x = np.random.default_rng(0).standard_normal((2, 64, 9)).astype(np.float32)
    np.testing.assert_array_equal(plain.predict(x, verbose=0), network.predict(x, verbose=0))


@pytest.mark.parametrize(
    ("name", "outputs", "message"),
    [
        ("seed", ["start", "event"], r"seed needs outputs = \['event'\] or \['event', 'start'\]"),
        ("moon", ["event", "start"], r"cnn-lstm needs outputs = \['onset', 'event'\] or \['event'\]"),
    ],
)
def test_outputs_in_another_order_or_place_are_refused(name: str, outputs: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe(name, {"network.outputs": outputs})

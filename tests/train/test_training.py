"""Training: the loss falls, an interrupted training continues, and the files that it writes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.manifest.manifest import Variant
from edgequake.train import fitting, networks
from edgequake.train.configuration.recipe import NetworkRecipe, load_recipe
from edgequake.train.trainer import CHECKPOINT_FORMAT, IDENTITY_FILE, train

FAST = {
    "examples.n_examples": 24,
    "examples.n_blocks": 120,
    "examples.max_front_blocks": 20,
    "fit.steps": 12,
    "fit.batch": 8,
    "fit.crop_blocks": 96,
}


def weights(path: Path) -> list[np.ndarray]:
    return list(keras.saving.load_model(path).get_weights())


def test_the_seed_network_is_that_of_the_brief_layer_for_layer() -> None:
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


@pytest.mark.slow
def test_training_lowers_the_loss_and_writes_what_convert_needs(short_data: Path, tmp_path: Path) -> None:
    reported: list[str] = []
    plan = {**FAST, "fit.steps": 200}
    result = train("tiny", short_data, tmp_path / "out", plan, lambda share, doing: reported.append(doing))
    assert result.history[-1].loss < 0.9 * result.history[0].loss
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
        assert saved["rows"].shape == (24, 120, 8) and saved["rows"].dtype == np.float32
    assert [type(layer).__name__ for layer in keras.saving.load_model(result.keras_file).layers] == [
        "InputLayer", "Conv1D", "LSTM", "Dense",
    ]  # fmt: skip
    assert any(text.startswith("step ") for text in reported)
    assert not list((tmp_path / "out").glob("*checkpoint*"))
    assert Variant.__name__ not in described


def small_network(recipe: NetworkRecipe, n_features: int, seed: int) -> keras.Model:
    """Return a network with the window, the outputs and the dropout of `seed-spectrogram`."""
    keras.utils.set_random_seed(seed)
    inner = [keras.layers.Dropout(0.3), keras.layers.LSTM(4), keras.layers.Dropout(0.3)]
    return keras.Sequential(
        [keras.Input((recipe.window_rows, n_features)), *inner, keras.layers.Dense(2, activation="sigmoid")]
    )


@pytest.mark.slow
def test_an_interrupted_training_continues_to_the_same_weights(
    short_data: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(fitting, "STEPS_PER_EPOCH", 2)
    monkeypatch.setattr(networks, "build", small_network)
    # Without a time budget only the steps decide the learning rate, as equal weights require.
    plan = {"examples.n_examples": 8, "examples.n_blocks": 130, "examples.max_front_blocks": 10}
    plan |= {"fit.steps": 6, "fit.batch": 8, "fit.time_budget_s": 10**9}
    whole = train("seed-spectrogram", short_data, tmp_path / "whole", plan)

    class Interrupted(Exception):
        pass

    def interrupt_after_two_epochs(share: float | None, doing: str) -> None:
        if doing.startswith("step 4/"):
            raise Interrupted

    with pytest.raises(Interrupted):
        train("seed-spectrogram", short_data, tmp_path / "stopped", plan, interrupt_after_two_epochs)
    assert not (tmp_path / "stopped" / "seed-spectrogram.keras").exists()
    resumed = train("seed-spectrogram", short_data, tmp_path / "stopped", plan)
    assert [epoch.step for epoch in resumed.history] == [2, 4, 6]
    for a, b in zip(weights(whole.keras_file), weights(resumed.keras_file), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    history = json.loads((tmp_path / "stopped" / "train.json").read_text())["history"]
    assert all("val_start_error_s" in epoch for epoch in history)


def test_a_folder_with_another_unfinished_training_is_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / IDENTITY_FILE).write_text(json.dumps({"format": CHECKPOINT_FORMAT, "data_sha256": "0"}))
    with pytest.raises(ConfigError, match="holds an unfinished training of another recipe, fold or data"):
        train("tiny", data, tmp_path, FAST)


@pytest.mark.usefixtures("no_fit")
def test_an_unfinished_training_of_an_earlier_version_is_set_aside(
    short_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    earlier = json.dumps({"recipe": {"network": {"rounded": True}}, "fold": None, "data_sha256": "0"})
    (tmp_path / IDENTITY_FILE).write_text(earlier)
    (tmp_path / "checkpoint.keras").write_bytes(b"a network with layers that no longer exist")
    assert train("tiny", short_data, tmp_path, FAST).keras_file.is_file()
    assert (tmp_path / f"{IDENTITY_FILE}.set-aside-1").read_text() == earlier
    assert (tmp_path / "checkpoint.keras.set-aside-1").is_file() and not (tmp_path / "checkpoint.keras").exists()
    (line,) = caplog.messages
    assert "holds an unfinished training of an earlier version; set aside as checkpoint.keras.set-aside-1" in line


def test_a_group_in_two_splits_is_refused(data: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(data, tmp_path / "data"))
    table = (copy / "records.csv").read_text().splitlines()
    train_group = next(line.split(",")[2] for line in table if line.startswith("train,"))
    moved = [
        ",".join([*line.split(",")[:2], train_group, *line.split(",")[3:]]) if line.startswith("val,") else line
        for line in table
    ]
    (copy / "records.csv").write_text("\n".join(moved) + "\n")
    with pytest.raises(DataError, match=f"event group '{train_group}' is in both train and val"):
        train("tiny", copy, tmp_path / "out", FAST)

"""Networks as people save them, through the saved file and the whole conversion to the installed runtimes."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgequake.convert import converter
from edgequake.convert.converter import convert_model
from edgequake.convert.inspection.report import ConversionReport
from edgequake.edge.base.errors import ConfigError, ManifestError
from edgequake.edge.detection.detector import Detector
from edgequake.edge.manifest.manifest import load_manifest, read_graph

FLOAT_LIMIT = 1e-5
FIVE_LINES = 'name = "net"\nbody = "earth"\nsampling_rate_hz = 100.0\n[front_end]\nkind = "waveform"\n'


def brief(keras: Any, L: Any) -> Any:
    """Return the network of the project's brief, on a tenth of its window and with narrower layers."""
    layers = [
        *(L.Conv1D(16, 3, activation="relu"), L.MaxPooling1D(2), L.Dropout(0.3)),
        *(L.LSTM(20, return_sequences=True), L.Dropout(0.3), L.LSTM(20)),
        *(L.Dense(20, activation="relu"), L.Dense(1, activation="sigmoid")),
    ]
    return keras.Sequential([keras.Input((200, 1)), *layers])


def one_row(keras: Any, L: Any) -> Any:
    """Return a network on windows of one row, whose states are never the input of a step."""
    layers = [L.LSTM(8, return_sequences=True), L.LSTM(8), L.Dense(1, activation="sigmoid")]
    return keras.Sequential([keras.Input((1, 1)), *layers])


def late_window(keras: Any, L: Any) -> Any:
    """Return a network on windows that `same` pads at the end, between pools and before an LSTM."""
    layers = [
        *(L.Conv1D(8, 3, padding="same", activation="relu"), L.MaxPooling1D(2)),
        *(L.Conv1D(8, 5, padding="same", activation="relu"), L.MaxPooling1D(2)),
        *(L.LSTM(8), L.Dense(1, activation="sigmoid")),
    ]
    return keras.Sequential([keras.Input((48, 1)), *layers])


def late_classes(keras: Any, L: Any) -> Any:
    """Return a stream of three classes, late by 3 + 1 + 1 rows."""
    rows = keras.Input((None, 1))
    x = L.Conv1D(8, 7, padding="same", activation="relu")(rows)
    y = L.Conv1D(8, 3, padding="same", activation="relu")(L.BatchNormalization()(x))
    x = L.GRU(8, return_sequences=True)(L.Add(name="add")([x, L.Conv1D(8, 3, padding="same")(y)]))
    return keras.Model(rows, L.Dense(3, activation="softmax")(x))


# name -> network, settings beside the five lines, rows of a window, lag_rows, largest rms error of int8
NETWORKS: dict[str, tuple[Callable[[Any, Any], Any], dict[str, Any], int | None, int, float]] = {
    "brief": (brief, {}, 200, 0, 0.02),
    "one row": (one_row, {}, 1, 0, 0.005),
    "late window": (late_window, {}, 48, 8, 0.02),
    "late classes": (
        late_classes,
        {"network.outputs": ["noise", "quake", "blast"], "network.event_classes": ["quake", 2]},
        None,
        5,
        0.05,  # steep classes: 0.034 to 0.046 with three seeds, outputs deviate by 0.2 to 0.3
    ),
}


def saved(conformance: Any, make: Callable[[Any, Any], Any], folder: Path) -> Any:
    """Save a network with random weights, five lines that describe it, and rows to calibrate on."""
    import keras
    from keras import layers

    model = make(keras, layers)
    conformance.set_random_weights(model.weights, 2)
    model.save(folder / "net.keras")
    (folder / "net.toml").write_text(FIVE_LINES)
    np.savez(folder / "calibration.npz", rows=waveforms(3, 1600))
    return model


def waveforms(seed: int, n_rows: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return three sequences of noise with a burst, (3, n_rows, 1), rounded as the front end rounds."""
    values = np.random.default_rng(seed).normal(size=(3, n_rows, 1))
    values[:, n_rows // 2 : n_rows // 2 + 300] *= 4.0
    return (np.rint(np.clip(values, -8, 8) * 16) / 16).astype(np.float32)


def convert(folder: Path, changes: dict[str, Any], quantize: str = "all") -> ConversionReport:
    return convert_model(folder / "net.keras", folder, quantize, description=folder / "net.toml", changes=changes)


@pytest.mark.slow
@pytest.mark.usefixtures("worker_here")
@pytest.mark.parametrize("name", NETWORKS)
def test_a_saved_network_equals_keras_in_the_runtimes(
    name: str, conformance: Any, conformance_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgequake.convert.streaming.step_model import build_step_graph
    from edgequake.convert.streaming.stepping import sequence_probabilities

    if name in ("late classes", "one row") and "EDGEQUAKE_LONG_CONFORMANCE" not in os.environ:
        pytest.skip("`make conformance` only: TensorFlow's work takes seconds, and the other networks stay")
    if name != "one row":  # one network in all variants is enough; test_converter.py has another one
        monkeypatch.setitem(converter.QUANTIZE, "all", ("float32", "int8"))
    make, changes, window_rows, lag_rows, int8_limit = NETWORKS[name]
    model = saved(conformance, make, tmp_path)
    report = convert(tmp_path, changes)
    assert set(report.left_out) <= {"int16x8"} and report.recommended in {item.variant for item in report.variants}
    manifest, _ = load_manifest(report.manifest)
    network = manifest.network
    assert (network.window_rows, network.lag_rows, manifest.front_end.gap_flag) == (window_rows, lag_rows, False)
    n_window = window_rows or 1600
    rows = waveforms(4, 1600)[0, : 1600 // n_window * n_window].reshape(-1, n_window, 1)
    np.save(tmp_path / "rows.npy", rows)
    shutil.copy(report.manifest, tmp_path / "manifest.json")
    graph = build_step_graph(model, network.mode, window_rows)
    expected = sequence_probabilities(model, graph, rows)
    assert float(np.std(expected)) > 0.01
    landers = conformance_run.interpreters() or {"tflite-runtime": sys.executable}
    made = [conformance_run.run(python, lander, tmp_path) for lander, python in landers.items()]
    for arrays in made:
        assert float(np.abs(arrays["float32"] - expected).max()) < FLOAT_LIMIT
        assert float(np.sqrt(np.mean((arrays["int8"] - expected) ** 2))) < int8_limit
        np.testing.assert_array_equal(arrays["int8"], made[0]["int8"])  # the same bits


@pytest.mark.usefixtures("worker_here")
def test_a_network_whose_meaning_is_not_said_does_not_run(conformance: Any, tmp_path: Path) -> None:
    def two_probabilities(keras: Any, L: Any) -> Any:
        return keras.Sequential([keras.Input((None, 1)), L.Dense(2, activation="sigmoid")])

    saved(conformance, two_probabilities, tmp_path)
    (tmp_path / "calibration.npz").unlink()
    report = convert(tmp_path, {})
    assert 'set network.outputs: one name a column, "event" for' in report.table()
    assert list(report.left_out) == ["int16x8, int8"] and "nothing to calibrate on" in report.table()
    manifest, folder = load_manifest(report.manifest)
    assert manifest.network.outputs == ("column_0", "column_1")
    variant, graph = read_graph(manifest, folder)
    with pytest.raises(ManifestError, match=r"does not say which of its outputs \(column_0, column_1\) is the prob"):
        Detector(manifest, graph, variant, 0.7)
    convert(tmp_path, {"network.outputs": ["onset", "event"]}, "float32")
    manifest, folder = load_manifest(tmp_path / "net.json")
    Detector(manifest, *read_graph(manifest, folder)[::-1], 0.7)


@pytest.mark.usefixtures("worker_here")
def test_classes_are_asked_for_and_named_in_the_question(conformance: Any, tmp_path: Path) -> None:
    saved(conformance, late_classes, tmp_path)
    with pytest.raises(
        ConfigError, match=re.escape("net.toml does not say what the network's outputs mean, 3 columns")
    ):
        convert(tmp_path, {}, "float32")

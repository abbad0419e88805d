"""Small networks with seeded random weights, their manifests, and folders as `edgequake train` leaves them."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from edgequake.edge.manifest.manifest import Manifest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

N_FEATURES = 5  # four bands and the gap flag
WINDOW_ROWS = 48

Layers = Callable[[Any], list[Any]]

NETWORKS: dict[str, Layers] = {
    "causal stack": lambda L: [
        L.Conv1D(8, 5, padding="causal", activation="relu"),
        L.Conv1D(8, 3, padding="causal", activation="relu"),
        L.LSTM(12, return_sequences=True),
        L.Dense(2, activation="sigmoid"),
    ],
    "dilated": lambda L: [
        L.Conv1D(6, 3, dilation_rate=2, padding="causal"),
        L.ReLU(),
        L.Conv1D(6, 2, dilation_rate=4, padding="causal", activation="tanh"),
        L.LSTM(8, return_sequences=True),
        L.Dense(2, activation="sigmoid"),
    ],
    "stacked LSTMs": lambda L: [
        L.LSTM(10, return_sequences=True),
        L.Dropout(0.3),
        L.LSTM(6, return_sequences=True, use_bias=False, recurrent_activation="hard_sigmoid"),
        L.Dense(7, activation="relu"),
        L.Dense(2, activation="sigmoid"),
    ],
    "normalized, no LSTM": lambda L: [
        L.BatchNormalization(),
        L.Conv1D(8, 1, activation="relu"),
        L.Conv1D(8, 4, padding="causal", use_bias=False),
        L.BatchNormalization(),
        L.Activation("tanh"),
        L.SpatialDropout1D(0.1),
        L.Dense(2),
        L.Activation("sigmoid"),
    ],
    "pooled, LSTM between": lambda L: [
        L.Conv1D(6, 5, padding="causal", activation="relu"),
        L.MaxPooling1D(2),
        L.LSTM(8, return_sequences=True),
        L.Conv1D(6, 3, dilation_rate=3, padding="causal"),
        L.MaxPooling1D(2),
        L.LSTM(5, return_sequences=True),
        L.Dense(2, activation="sigmoid"),
    ],
}

# name -> layers, and the warm-up steps counted by hand
WINDOWED: dict[str, tuple[Layers, int]] = {
    # rows 0 and 1 only fill the context of the kernel of three: one step of two rows
    "seed": (
        lambda L: [
            L.Conv1D(8, 3, activation="relu"),
            L.MaxPooling1D(2),
            L.Dropout(0.3),
            L.LSTM(10, return_sequences=True),
            L.Dropout(0.3),
            L.LSTM(10),
            L.Dense(10, activation="relu"),
            L.Dense(1, activation="sigmoid"),
        ],
        1,
    ),
    # 3 rows short, so the pooling by 3 is aligned; then 1 more of the pooled rows, delayed by one to be aligned for the
    # pooling by 2: 1 + 1 + 0 rows of 3, which is one step of 6
    "odd kernels and pools": (
        lambda L: [
            L.Conv1D(8, 4, activation="relu"),
            L.MaxPooling1D(3),
            L.Conv1D(8, 2, activation="relu"),
            L.MaxPooling1D(2),
            L.LSTM(10),
            L.Dense(1, activation="sigmoid"),
        ],
        1,
    ),
    # 1 row short: delayed by one row to be aligned
    "even kernel": (
        lambda L: [
            L.Conv1D(4, 2, activation="relu"),
            L.MaxPooling1D(2),
            L.LSTM(6),
            L.Dense(1, activation="sigmoid"),
        ],
        1,
    ),
    # 2 + 2 * 3 rows short, one row a step
    "two valid convolutions": (
        lambda L: [
            L.Conv1D(4, 3, activation="relu"),
            L.Conv1D(4, 3, dilation_rate=3, activation="relu"),
            L.LSTM(6),
            L.Dense(1, activation="sigmoid"),
        ],
        8,
    ),
    # Keras pads with zeros before a window
    "causal": (
        lambda L: [
            L.Conv1D(4, 5, padding="causal", activation="relu"),
            L.MaxPooling1D(2),
            L.LSTM(6),
            L.Dense(1, activation="sigmoid"),
        ],
        0,
    ),
}


def build(layers_of: Layers, n_rows: int | None, seed: int = 1) -> Any:
    """Return a Keras model with random weights, including biases and normalizations, which Keras sets to 0 and 1."""
    import keras
    from keras import layers

    model = keras.Sequential([keras.Input((n_rows, N_FEATURES)), *layers_of(layers)])
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        low, high = (0.5, 1.5) if "variance" in weight.path or "gamma" in weight.path else (-0.9, 0.9)
        weight.assign(rng.uniform(low, high, weight.shape))
    return model


def lunar_rows(n_rows: int, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return rows like those of the spectrogram front end: slowly varying, clipped, rounded, with the gap flag last."""
    rng = np.random.default_rng(seed)
    levels = np.zeros((n_rows, N_FEATURES - 1))
    for row in range(1, n_rows):
        levels[row] = 0.95 * levels[row - 1] + rng.normal(0, 0.3, N_FEATURES - 1)
    flags = (rng.random((n_rows, 1)) < 0.02).astype(float)
    return np.hstack([np.rint(np.clip(levels, -1, 3) * 64) / 64, flags]).astype(np.float32)


def partial_manifest(mode: str, rows_per_step: int, outputs: list[str]) -> dict[str, Any]:
    """Return the manifest as far as training knows it."""
    windowed = mode == "windowed"
    return {
        "name": "small",
        "body": "moon",
        "sampling_rate_hz": 6.625,
        "channels": ["MH?"],
        "front_end": {
            "kind": "spectrogram",
            "hop_samples": 64,
            "bridge_s": 300.0,
            "max_gap_fraction": 0.25,
            "stuck_s": 600.0,
            "fill_values": [-1, 0],
            "fill_min_jump": 32,
            "despike_threshold": 5.0,
            "decimators": {},
            "background": {"quantile": 0.7, "step": 0.002, "step_start": 0.06, "start_frames": 16},
            "spectrogram": {
                "window_samples": 128,
                "band_edges_hz": [0.2, 0.5, 1.0, 2.0, 3.2],
                "clip_low": -1.0,
                "clip_high": 3.0,
                "steps_per_decade": 64,
            },
            "waveform": None,
        },
        "network": {
            "mode": mode,
            "rows_per_step": rows_per_step,
            "n_features": N_FEATURES,
            "outputs": outputs,
            "window_rows": WINDOW_ROWS if windowed else None,
            "window_hop_rows": WINDOW_ROWS // 2 if windowed else None,
        },
        "trigger": {
            "onset_thresholds": {"low": 0.8, "normal": 0.6, "high": 0.4},
            "rearm_ratio": 0.5,
            "event_threshold": 0.4,
            "min_duration_s": 19.0,
            "hold_s": 240.0,
            "merge_s": 900.0,
            "max_event_s": 5400.0,
            "onset_lag_s": 30.0,
            "pre_roll_s": 180.0,
            "post_roll_s": 120.0,
        },
        "training": {"recipe": "small", "seed": 1},
    }


def load_beside(name: str) -> ModuleType:
    """Return a module of this folder, which is not a package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def conformance() -> ModuleType:
    """Return conformance.py: networks of every supported kind."""
    return load_beside("conformance")


@pytest.fixture(scope="session")
def conformance_run() -> ModuleType:
    """Return conformance_run.py, which converts and measures them."""
    return load_beside("conformance_run")


@pytest.fixture(scope="session")
def build_network() -> Callable[..., Any]:
    return build


@pytest.fixture(scope="session")
def make_rows() -> Callable[[int, int], Any]:
    return lunar_rows


@pytest.fixture(scope="session")
def make_partial() -> Callable[..., dict[str, Any]]:
    return partial_manifest


@pytest.fixture(scope="session", params=NETWORKS)
def continuous_network(request: pytest.FixtureRequest) -> Any:
    return build(NETWORKS[request.param], None)


@pytest.fixture(scope="session", params=WINDOWED)
def windowed_network(request: pytest.FixtureRequest) -> tuple[Any, int]:
    """Return a network on windows of `WINDOW_ROWS` rows, and its warm-up steps."""
    layers_of, warmup_steps = WINDOWED[request.param]
    return build(layers_of, WINDOW_ROWS), warmup_steps


@pytest.fixture(scope="session")
def trained_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder as `edgequake train` leaves it: small.keras, train.json, calibration.npz."""
    folder = tmp_path_factory.mktemp("trained")
    build(NETWORKS["causal stack"], None).save(folder / "small.keras")
    write_training(folder, partial_manifest("continuous", 1, ["onset", "event"]))
    return folder


def write_training(folder: Path, partial: dict[str, Any]) -> None:
    (folder / "train.json").write_text(json.dumps({"manifest": partial}), encoding="utf-8")
    rows = np.stack([lunar_rows(400, seed) for seed in range(12)])
    np.savez(folder / "calibration.npz", rows=rows)


@pytest.fixture(scope="session")
def write_training_files() -> Callable[[Path, dict[str, Any]], None]:
    return write_training


@dataclass(frozen=True)
class Converted:
    manifest: Manifest
    graphs: dict[str, bytes]

    def probabilities(self, variant: str, sequences: Any) -> Any:
        from edgequake.convert.verification.agreement import graph_probabilities

        return graph_probabilities(self.manifest, self.graphs[variant], self.manifest.variants[variant], sequences)


@pytest.fixture(scope="session")
def convert(make_partial: Callable[..., dict[str, Any]]) -> Callable[..., Converted]:
    """Return a conversion within this process: network, mode, outputs, calibration sequences, variants."""
    from edgequake.convert import manifest_builder
    from edgequake.convert.quantization.quantize import convert_variants
    from edgequake.convert.streaming.step_model import build_step_graph

    def convert_(model: Any, mode: str, outputs: list[str], calibration: Any, variants: tuple[str, ...]) -> Converted:
        graph = build_step_graph(model, mode)
        files = convert_variants(graph, ("float32", *variants), calibration)
        partial = make_partial(mode, graph.rows_per_step, outputs)
        manifest = manifest_builder.build_manifest(partial, graph, files)
        return Converted(manifest, {name: file.graph for name, file in files.items()})

    return convert_

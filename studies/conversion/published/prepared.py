"""Build a published network, train it briefly, and save it with what a survey needs beside it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from studies.conversion.published.description import description
from studies.conversion.published.network import Make, Network

Array = npt.NDArray[Any]
SUFFIXES = {"keras": "keras", "h5": "h5", "keras 2 h5": "h5"}
BATCH = 12
EXAMPLE_ROWS, MOST_EXAMPLES, FEWEST_EXAMPLES = (
    40_000,
    288,
    72,
)  # a few steps: outputs then follow the rows, and weights are no longer random
LONG_EXAMPLES = 6_000  # for a network that learns on short windows
QUAKE_EXAMPLES = 240  # of whole windows, after the short ones
LEARNING_RATE, LARGEST_GRADIENT = 1e-3, 1.0
CALIBRATION_ROWS = 8_000
COMPARED_ROWS = 3_000
LOGIT = 3.0  # what a network that ends in logits is trained towards


def file_in(folder: Path) -> Path:
    """Return the network's file in a prepared folder."""
    return next(path for path in folder.glob("net.*") if path.suffix in (".keras", ".h5"))


def prepare(network: Network, make: Make, settings: tuple[str, ...], folder: Path) -> Path:
    """Write net.keras or net.h5, net.toml, calibration.npz, and rows with what Keras makes of them, unless there."""
    facts = folder / "facts.json"
    if not facts.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        model = built(network, make)
        if network.learn is not None:
            short = built(network, network.learn)
            train(short, network, settings, LONG_EXAMPLES)
            model.set_weights(short.get_weights())
        train(model, network, settings)
        model.save(folder / f"net.{SUFFIXES[network.saved]}")
        write_rows(model, network, settings, folder)
        facts.write_text(json.dumps({"parameters": int(model.count_params())}), encoding="utf-8")
    lines = description(network, settings)
    (folder / "net.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    stored = json.loads(facts.read_text(encoding="utf-8"))
    facts.write_text(json.dumps({**stored, "lines": len(lines)}), encoding="utf-8")
    return folder


def built(network: Network, make: Make) -> Any:
    """Return the network with its first weights, built by the version of Keras that saves it."""
    if network.saved == "keras 2 h5":
        import tf_keras as keras
    else:
        import keras
    keras.backend.clear_session()  # default names start again: `lstm`, `add`
    keras.utils.set_random_seed(1)
    return make(keras, keras.layers)


def train(model: Any, network: Network, settings: tuple[str, ...], n_examples: int = 0) -> None:
    """Train on bursts in noise, one step for every `BATCH` examples."""
    for layer in model.layers:
        if hasattr(layer, "momentum"):
            layer.momentum = 0.8  # a few steps, not thousands
    rng = np.random.default_rng(2)
    n = n_rows(model, network)
    if not n_examples:
        n_examples = QUAKE_EXAMPLES if network.quakes else min(MOST_EXAMPLES, max(FEWEST_EXAMPLES, EXAMPLE_ROWS // n))
    rows, bursts = drawn(network)(n, numbers(model), n_examples, rng)
    shaped = as_input(model, rows)
    made = as_list(model.predict(shaped[:BATCH], verbose=0))
    kinds = [loss_of(output) for output in made]
    targets = [target(output.shape[1:], kind, bursts, settings) for output, kind in zip(made, kinds, strict=True)]
    model.compile(optimizer=optimizer(model), loss=kinds if len(kinds) > 1 else kinds[0])
    model.fit(shaped, targets if len(targets) > 1 else targets[0], batch_size=BATCH, verbose=0)


def optimizer(model: Any) -> Any:
    """Return Adam with a limit to the gradient, of the Keras that built the model."""
    keras = sys.modules[type(model).__module__.split(".")[0]]
    return keras.optimizers.Adam(LEARNING_RATE, clipnorm=LARGEST_GRADIENT)


def drawn(network: Network) -> Callable[[int, int, int, np.random.Generator], tuple[Array, Array]]:
    """Return the function that draws a network's examples."""
    return quakes if network.quakes else examples


def as_list(outputs: Any) -> list[Array]:
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def n_rows(model: Any, network: Network) -> int:
    """Return the rows of a sequence: those of the network's window, where it has one."""
    return int(model.input_shape[1] or network.rows) if len(model.input_shape) > 2 else network.rows


def numbers(model: Any) -> int:
    """Return the numbers in a row."""
    return int(np.prod(model.input_shape[2:]))


def as_input(model: Any, rows: Array) -> Array:
    """Return rows of numbers in the shape that the network takes."""
    return rows.reshape(*rows.shape[:2], *model.input_shape[2:])


def examples(n: int, n_features: int, n_sequences: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return noise with a burst in two thirds of the sequences, and its strength at every row.

    Rows have shape (n_sequences, n, n_features), rounded as the waveform front end rounds; strengths (n_sequences, n).
    """
    rows, strength = rng.normal(0, 0.7, (n_sequences, n, n_features)), np.zeros((n_sequences, n))
    pattern = np.cos(np.arange(n_features))
    for k in range(n_sequences):
        length = max(1, int(n * rng.uniform(0.3, 0.7)))
        start, amplitude = int(rng.integers(0, n - length + 1)), rng.uniform(1.0, 3.0) * (k % 3 > 0)
        wave = np.sin(np.arange(length) * 0.6 + rng.uniform(0, 6)) + 0.5
        rows[k, start : start + length] += amplitude * wave[:, np.newaxis] * pattern
        strength[k, start : start + length] = amplitude
    return (np.rint(np.clip(rows, -8, 8) * 16) / 16).astype(np.float32), strength.astype(np.float32)


def quakes(n: int, n_features: int, n_sequences: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return noise, with a quake in every other sequence: a P wave, a larger S wave and a coda to the end.

    Shapes are those of `examples`, and so is the noise; periods are 6 to 15 rows, as 7 to 16 Hz are at 100 Hz.
    """
    rows, strength = rng.normal(0, 0.7, (n_sequences, n, n_features)), np.zeros((n_sequences, n))
    for k in range(0, n_sequences, 2):
        start, delay = int(n * rng.uniform(0.2, 0.6)), int(n * rng.uniform(0.05, 0.2))
        times = np.arange(n - start)
        size = 0.4 * np.exp(-times / (0.4 * n)) + (times >= delay) * np.exp(-np.abs(times - delay) / (0.6 * n))
        wave = rng.normal(0, 1, (n - start, n_features)) * 0.5 + np.sin(
            2 * np.pi * times[:, np.newaxis] / rng.uniform(6, 15) + rng.uniform(0, 6, n_features)
        )
        rows[k, start:] += 0.5 * 16.0 ** rng.uniform(0, 1) * size[:, np.newaxis] * wave
        strength[k, start:] = size
    return (np.rint(np.clip(rows, -8, 8) * 16) / 16).astype(np.float32), strength.astype(np.float32)


def loss_of(output: Array) -> str:
    """Return the loss that belongs to a network's outputs, by what they are before it is trained."""
    if output.min() < 0 or output.max() > 1:
        return "mean_squared_error"
    is_softmax = output.shape[-1] > 1 and np.allclose(output.sum(axis=-1), 1, atol=1e-3)
    return "categorical_crossentropy" if is_softmax else "binary_crossentropy"


def target(shape: tuple[int, ...], kind: str, bursts: Array, settings: tuple[str, ...]) -> Array:
    """Return targets of the outputs' shape: of windows, or of rows."""
    n_columns = shape[-1]
    values = bursts.max(axis=1)
    if len(shape) == 2:
        values = bursts[:, np.linspace(0, bursts.shape[1] - 1, shape[0]).astype(int)]
    if kind == "mean_squared_error" and "logits = true" not in settings:
        return np.repeat(values[..., np.newaxis], n_columns, axis=-1)
    classes = np.minimum(np.ceil(values / 3.0 * (n_columns - 1)), n_columns - 1) if n_columns > 1 else values > 0
    hot = np.eye(n_columns)[classes.astype(int)] if n_columns > 1 else classes[..., np.newaxis].astype(float)
    return np.asarray(LOGIT * (2 * hot - 1) if kind == "mean_squared_error" else hot, np.float32)


def write_rows(model: Any, network: Network, settings: tuple[str, ...], folder: Path) -> None:
    """Write rows to calibrate on, others to compare on, and Keras' outputs for these."""
    n, n_features = n_rows(model, network), numbers(model)
    arrays = []
    for seed, total in ((3, network.calibration_rows or CALIBRATION_ROWS), (4, COMPARED_ROWS)):
        n_sequences = max(18 if seed == 3 else 6, total // n)
        arrays.append(drawn(network)(n, n_features, n_sequences, np.random.default_rng(seed))[0])
    calibration, rows = arrays
    if model.input_shape[1] is None:  # one stream
        calibration, rows = (part.reshape(1, -1, n_features) for part in (calibration, rows))
    np.savez(folder / "calibration.npz", rows=calibration)
    np.save(folder / "rows.npy", rows)
    outputs = np.concatenate(as_list(model.predict(as_input(model, rows), batch_size=8, verbose=0)), axis=-1)
    if "logits = true" in settings:
        outputs = outputs.astype(np.float64)
        powers = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
        chosen = any(line.startswith("event_classes") for line in settings)
        outputs = powers / powers.sum(axis=-1, keepdims=True) if chosen else 1 / (1 + np.exp(-outputs))
    np.save(folder / "expected.npy", outputs[:, np.newaxis] if outputs.ndim == 2 else outputs)

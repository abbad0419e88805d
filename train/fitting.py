"""The optimisation: random crops of the examples, a cosine schedule of the learning rate, and checkpoints."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.train.configuration.recipe import FitRecipe, NetworkRecipe, Recipe
from edgequake.train.examples.examples import Examples
from edgequake.train.networks import ONSET_SHARE, CellExcess, EventAndStart, rises, start_targets, with_cells

Index = npt.NDArray[np.int64]

STEPS_PER_EPOCH = 100
VAL_BATCH = 32
START_SHARE = 0.3  # share of crops that begin with their example
CHECKPOINT_FILE, HISTORY_FILE = "checkpoint.keras", "history.json"


@dataclass(frozen=True)
class Epoch:
    """One entry of the training history."""

    step: int
    seconds: float
    loss: float
    val_loss: float
    learning_rate: float
    val_start_error_s: float | None = None  # of the output "start": mean absolute error over windows with an onset


Report = Callable[[Epoch], None]


def fit(
    network: keras.Model, recipe: Recipe, train: Examples, val: Examples, folder: Path, report: Report
) -> list[Epoch]:
    """Train `network` in place and return the history, one entry for each epoch of 100 steps.

    Each step reads random crops of the examples; without `examples.random_starts` every crop begins with its example.
    The learning rate follows the steps, or the time budget if that runs out first, so that training always ends with
    small steps. After each epoch the weights, the optimiser and the history are saved to `folder`; an interrupted run
    continues from there.
    """
    plan = recipe.fit
    if plan.cell_limit > 0:
        watched = with_cells(recipe.network, network)
        history = _fit(watched, recipe, train, val, folder, report)
        network.set_weights(watched.get_weights())
        return history
    return _fit(network, recipe, train, val, folder, report)


def _fit(
    network: keras.Model, recipe: Recipe, train: Examples, val: Examples, folder: Path, report: Report
) -> list[Epoch]:
    plan = recipe.fit
    optimizer = keras.optimizers.Adam(plan.learning_rate, clipnorm=1.0)
    loss_function: Any = keras.losses.BinaryCrossentropy()
    if recipe.network.has_start:
        loss_function = EventAndStart(plan.start_weight)
    elif plan.cell_limit > 0:
        loss_function = [loss_function, CellExcess(plan.cell_limit)]
    network.compile(optimizer=optimizer, loss=loss_function, jit_compile=False)
    history = _resume(network, folder)
    begun = time.monotonic() - (history[-1].seconds if history else 0.0)
    while True:
        step, seconds = (history[-1].step if history else 0), time.monotonic() - begun
        done = max(step / plan.steps, seconds / plan.time_budget_s)
        if done >= 1.0:
            return history
        rate = plan.learning_rate * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * done)))
        optimizer.learning_rate = rate
        n_steps = min(STEPS_PER_EPOCH, plan.steps - step)
        loss = _epoch(network, recipe, train, range(step, step + n_steps))
        val_loss, start_error_s = evaluate(network, recipe, val)
        history.append(Epoch(step + n_steps, time.monotonic() - begun, loss, val_loss, rate, start_error_s))
        _checkpoint(network, folder, history)
        report(history[-1])


def evaluate(network: keras.Model, recipe: Recipe, examples: Examples) -> tuple[float, float | None]:
    """Return the weighted loss over whole examples (windowed networks: over all windows of them).

    The second value is the mean absolute error of the output "start" in seconds over windows with an onset; None if the
    network has no such output or no window has an onset.
    """
    losses, sizes, errors = [], [], [np.zeros(0, np.float32)]
    for first in range(0, len(examples.rows), VAL_BATCH):
        x, y, w = _batch_of(examples.at(slice(first, first + VAL_BATCH)), recipe)
        losses.append(_total(network.test_on_batch(*_with_cells(recipe, x, y, w))))
        network.reset_metrics()
        sizes.append(len(x))
        if recipe.network.has_start and np.any(y[:, 2]):
            begins = y[:, 2] > 0
            errors.append(np.abs(network.predict_on_batch(x[begins])[:, 1] - y[begins, 1]))
    error = np.concatenate(errors)
    window_s = float(np.float64(recipe.network.window_rows or 0) * recipe.row_s)
    return float(np.average(losses, weights=sizes)), float(np.mean(error) * window_s) if len(error) else None


def _epoch(network: keras.Model, recipe: Recipe, examples: Examples, steps: range) -> float:
    _reseed_dropout(network, recipe.fit.seed, steps.start)
    losses = []
    for i in steps:
        rng = np.random.default_rng([recipe.fit.seed, 3, i])  # seeded by the step: a resumed run draws the same crops
        x, y, w = _batch(rng, examples, recipe)
        losses.append(_total(network.train_on_batch(*_with_cells(recipe, x, y, w))))
        network.reset_metrics()
    return float(np.mean(losses))


def _with_cells(recipe: Recipe, x: Any, y: Any, w: Any) -> tuple[Any, Any, Any]:
    """Return a batch as the network takes it: with targets of the cell states, which have none, if they are watched."""
    if recipe.fit.cell_limit <= 0:
        return x, y, w
    n_cells = sum(recipe.network.lstm_units)
    return x, [y, np.zeros((len(x), n_cells), np.float32)], [w, np.ones(len(x), np.float32)]


def _total(losses: Any) -> float:
    """Return the sum of the losses of a batch, which Keras puts before those of the outputs."""
    return float(np.ravel(losses)[0])


def _reseed_dropout(network: keras.Model, seed: int, step: int) -> None:
    """Make dropout depend on the step alone, because checkpoints do not hold the state of its generator."""
    for i, layer in enumerate(layer for layer in network.layers if isinstance(layer, keras.layers.Dropout)):
        layer.seed_generator.state.assign([seed + i, step])


def _batch(rng: np.random.Generator, examples: Examples, recipe: Recipe) -> tuple[Any, ...]:
    plan = recipe.fit
    chosen = rng.integers(0, len(examples.rows), plan.batch)
    n_blocks, crop = examples.rows.shape[1], min(plan.crop_blocks, examples.rows.shape[1])
    lengths = np.sum(np.cumsum(examples.weights[chosen, ::-1], axis=1) > 0, axis=1)  # up to the last known block
    starts = rng.integers(0, np.maximum(1, np.minimum(lengths, n_blocks) - crop + 1))
    at_start = rng.random(plan.batch) < (START_SHARE if recipe.examples.random_starts else 1.0)
    starts = np.where(at_start, 0, starts)
    if recipe.network.has_start:
        chosen, starts = _some_with_onset(rng, examples, chosen, starts, crop)
    blocks = starts[:, np.newaxis] + np.arange(crop)  # (batch, crop)
    return _batch_of(examples.at(chosen[:, np.newaxis], blocks), recipe, rng)


def _some_with_onset(
    rng: np.random.Generator, examples: Examples, chosen: Index, starts: Index, crop: int
) -> tuple[Index, Index]:
    """Move a share of the crops, given by example and first block, so that they contain an onset."""
    places = np.argwhere(rises(examples.targets[..., 0]))
    if len(places) == 0:
        return chosen, starts
    example, block = places[rng.integers(0, len(places), len(chosen))].T
    around = np.clip(block - rng.integers(1, crop, len(chosen)), 0, examples.rows.shape[1] - crop)
    moved = rng.random(len(chosen)) < ONSET_SHARE
    return np.where(moved, example, chosen), np.where(moved, around, starts)


def _batch_of(part: Examples, recipe: Recipe, rng: np.random.Generator | None = None) -> tuple[Any, ...]:
    if recipe.network.mode == "windowed":
        return _windows(part, recipe.network, rng)
    return _sequences(part, recipe.network, recipe.fit)


def _sequences(part: Examples, recipe: NetworkRecipe, plan: FitRecipe) -> tuple[Any, ...]:
    """Return whole sequences; every output has the target of its block, and the few onset rows have a larger weight."""
    n, n_blocks, per_block, n_features = part.rows.shape
    targets = part.targets if recipe.outputs == ("onset", "event") else part.targets[..., 1:]
    weights = part.weights * np.where(part.targets[..., 0] > 0, np.float32(plan.onset_weight), np.float32(1.0))
    rows = part.rows.reshape(n, n_blocks * per_block, n_features)
    n_outputs = per_block // recipe.rows_per_output  # of the network, a block
    return rows, np.repeat(targets, n_outputs, axis=1), np.repeat(weights, n_outputs, axis=1)


def _windows(part: Examples, recipe: NetworkRecipe, rng: np.random.Generator | None = None) -> tuple[Any, ...]:
    """Return windows of rows with the target of their last block: one at random from each crop, or adjacent ones."""
    n, n_blocks, per_block, n_features = part.rows.shape
    window_rows = int(recipe.window_rows or 0)
    window_blocks = -(-window_rows // per_block)
    if rng is None:
        stops = np.tile(np.arange(window_blocks, n_blocks + 1, window_blocks), (n, 1))
    else:
        stops = rng.integers(window_blocks, n_blocks + 1, (n, 1))
    rows = part.rows.reshape(n, n_blocks * per_block, n_features)
    index = (stops * per_block)[:, :, np.newaxis] - window_rows + np.arange(window_rows)  # (n, n_windows, window_rows)
    x = rows[np.arange(n)[:, np.newaxis, np.newaxis], index].reshape(-1, window_rows, n_features)
    y = np.take_along_axis(part.targets[..., 1], stops - 1, axis=1).reshape(-1, 1)
    if recipe.has_start:
        start_and_known = start_targets(part.targets[..., 0], stops, per_block, window_rows)
        y = np.concatenate([y, *(column.reshape(-1, 1) for column in start_and_known)], axis=1)
    w = np.take_along_axis(part.weights, stops - 1, axis=1).reshape(-1)
    return x, y, w


def _checkpoint(network: keras.Model, folder: Path, history: list[Epoch]) -> None:
    temporary = folder / "checkpoint.part.keras"
    network.save(temporary)
    temporary.replace(folder / CHECKPOINT_FILE)
    text = json.dumps([asdict(epoch) for epoch in history])
    write_bytes_atomically(folder / HISTORY_FILE, text.encode())


def _resume(network: keras.Model, folder: Path) -> list[Epoch]:
    """Restore weights and optimiser from the last checkpoint, if there is one, and return its history."""
    path, history = folder / CHECKPOINT_FILE, folder / HISTORY_FILE
    if not (path.is_file() and history.is_file()):
        return []
    saved: npt.NDArray[Any]
    loaded = keras.saving.load_model(path)
    network.set_weights(loaded.get_weights())
    network.optimizer.build(network.trainable_variables)
    for variable, saved in zip(network.optimizer.variables, loaded.optimizer.variables, strict=True):
        variable.assign(saved)
    return [Epoch(**entry) for entry in json.loads(history.read_text())]

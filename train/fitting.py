"""The optimisation: random crops of the examples, a cosine schedule, checkpoints to resume from."""

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

from edgequake.edge.atomic import write_bytes_atomically
from edgequake.train.examples import Examples
from edgequake.train.recipe import FitRecipe, NetworkRecipe

STEPS_PER_EPOCH = 100
VAL_BATCH = 32


@dataclass(frozen=True)
class Epoch:
    """One line of the training history."""

    step: int
    seconds: float
    loss: float
    val_loss: float
    learning_rate: float


Report = Callable[[Epoch], None]


def fit(
    network: keras.Model,
    recipe: NetworkRecipe,
    plan: FitRecipe,
    train: Examples,
    val: Examples,
    folder: Path,
    report: Report,
) -> list[Epoch]:
    """Train `network` in place and return the history, one entry an epoch of 100 steps.

    The learning rate follows the steps, or the time budget where that runs out first, so that training always ends
    with small steps. After each epoch the weights, the optimiser and the history go to `folder`; a run that was
    stopped goes on from there.
    """
    optimizer = keras.optimizers.Adam(plan.learning_rate, clipnorm=1.0)
    network.compile(optimizer=optimizer, loss=keras.losses.BinaryCrossentropy(), jit_compile=False)
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
        loss = _epoch(network, recipe, plan, train, step, n_steps)
        val_loss = evaluate(network, recipe, plan, val)
        history.append(Epoch(step + n_steps, time.monotonic() - begun, loss, val_loss, rate))
        _checkpoint(network, folder, history)
        report(history[-1])


def evaluate(network: keras.Model, recipe: NetworkRecipe, plan: FitRecipe, examples: Examples) -> float:
    """Return the weighted loss over whole examples (windowed networks: over every window of them)."""
    losses, sizes = [], []
    for first in range(0, len(examples.rows), VAL_BATCH):
        part = Examples(*(a[first : first + VAL_BATCH] for a in (examples.rows, examples.targets, examples.weights)))
        x, y, w = _windows(part, recipe) if recipe.mode == "windowed" else _sequences(part, recipe, plan)
        losses.append(float(network.test_on_batch(x, y, sample_weight=w)))
        network.reset_metrics()
        sizes.append(len(x))
    return float(np.average(losses, weights=sizes))


def _epoch(
    network: keras.Model, recipe: NetworkRecipe, plan: FitRecipe, examples: Examples, step: int, n_steps: int
) -> float:
    losses = []
    for i in range(step, step + n_steps):
        rng = np.random.default_rng([plan.seed, 3, i])  # by step, so that a resumed run draws the same crops
        x, y, w = _batch(rng, examples, recipe, plan)
        losses.append(float(network.train_on_batch(x, y, sample_weight=w)))
        network.reset_metrics()
    return float(np.mean(losses))


def _batch(rng: np.random.Generator, examples: Examples, recipe: NetworkRecipe, plan: FitRecipe) -> tuple[Any, ...]:
    chosen = rng.integers(0, len(examples.rows), plan.batch)
    n_blocks, crop = examples.rows.shape[1], min(plan.crop_blocks, examples.rows.shape[1])
    lengths = np.sum(np.cumsum(examples.weights[chosen, ::-1], axis=1) > 0, axis=1)  # up to the last known block
    starts = rng.integers(0, np.maximum(1, np.minimum(lengths, n_blocks) - crop + 1))
    starts = np.where(rng.random(plan.batch) < 0.3, 0, starts)  # the beginning of a record is a place of its own
    index = starts[:, np.newaxis] + np.arange(crop)  # (batch, crop)
    pick = chosen[:, np.newaxis]
    part = Examples(examples.rows[pick, index], examples.targets[pick, index], examples.weights[pick, index])
    if recipe.mode == "windowed":
        return _windows(part, recipe, rng)
    return _sequences(part, recipe, plan)


def _sequences(part: Examples, recipe: NetworkRecipe, plan: FitRecipe) -> tuple[Any, ...]:
    """Every row gets its block's target; onset rows weigh more, for they are few."""
    n, n_blocks, per_block, n_features = part.rows.shape
    targets = part.targets if recipe.outputs == ("onset", "event") else part.targets[..., 1:]
    weights = part.weights * np.where(part.targets[..., 0] > 0, np.float32(plan.onset_weight), np.float32(1.0))
    rows = part.rows.reshape(n, n_blocks * per_block, n_features)
    return rows, np.repeat(targets, per_block, axis=1), np.repeat(weights, per_block, axis=1)


def _windows(part: Examples, recipe: NetworkRecipe, rng: np.random.Generator | None = None) -> tuple[Any, ...]:
    """Windows of rows, each with the target of its last block: one a crop at random, or all side by side."""
    n, n_blocks, per_block, n_features = part.rows.shape
    window_rows = int(recipe.window_rows or 0)
    window_blocks = -(-window_rows // per_block)
    if rng is None:
        stops = np.tile(np.arange(window_blocks, n_blocks + 1, window_blocks), (n, 1))
    else:
        stops = rng.integers(window_blocks, n_blocks + 1, (n, 1))
    rows = part.rows.reshape(n, n_blocks * per_block, n_features)
    index = (stops * per_block)[:, :, np.newaxis] - window_rows + np.arange(window_rows)  # (n, n_windows, window_rows)
    picked = rows[np.arange(n)[:, np.newaxis, np.newaxis], index]
    x = picked.reshape(-1, window_rows, n_features)
    y = np.take_along_axis(part.targets[..., 1], stops - 1, axis=1).reshape(-1, 1)
    w = np.take_along_axis(part.weights, stops - 1, axis=1).reshape(-1)
    return x, y, w


def _checkpoint(network: keras.Model, folder: Path, history: list[Epoch]) -> None:
    temporary = folder / "checkpoint.part.keras"
    network.save(temporary)
    temporary.replace(folder / "checkpoint.keras")
    text = json.dumps([asdict(epoch) for epoch in history])
    write_bytes_atomically(folder / "history.json", text.encode())


def _resume(network: keras.Model, folder: Path) -> list[Epoch]:
    """Take weights and optimiser from the last checkpoint, if there is one whose history is complete."""
    path, log = folder / "checkpoint.keras", folder / "history.json"
    if not (path.is_file() and log.is_file()):
        return []
    saved: npt.NDArray[Any]
    loaded = keras.saving.load_model(path)
    network.set_weights(loaded.get_weights())
    network.optimizer.build(network.trainable_variables)
    for variable, saved in zip(network.optimizer.variables, loaded.optimizer.variables, strict=True):
        variable.assign(saved)
    return [Epoch(**entry) for entry in json.loads(log.read_text())]

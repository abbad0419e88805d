"""The limit of cell states: what is trained, what is saved, and that counting cells stop counting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from edgequake.train import networks
from edgequake.train.configuration.recipe import Recipe, load_recipe
from edgequake.train.examples.examples import Examples
from edgequake.train.fitting import CHECKPOINT_FILE, fit

LIMIT = 2.0


def recipe(limit: float) -> Recipe:
    plan = {"fit.cell_limit": limit, "fit.steps": 40, "fit.batch": 8, "fit.learning_rate": 0.02}
    return load_recipe("tiny", {**plan, "network.lstm_units": [6], "examples.n_blocks": 60, "fit.crop_blocks": 60})


def counting(plan: Recipe) -> tuple[keras.Model, Examples]:
    """Return a network with a cell that counts rows, and examples that tell nothing."""
    network = networks.build(plan.network, plan.front_end.n_features, 1)
    lstm = network.get_layer("lstm_0")
    kernel, recurrent, bias = lstm.get_weights()
    bias[:] = np.repeat([4.0, 6.0, 1.0, 0.0], 6)  # input and forget gates open, candidate tanh(1)
    lstm.set_weights([kernel * 0.1, recurrent * 0.1, bias])
    examples = Examples.empty(8, plan)
    rows = np.random.default_rng(1).normal(size=examples.rows.shape).astype(np.float32) * 0.1
    return network, Examples(rows, examples.targets, np.ones_like(examples.weights))


def largest_cell(plan: Recipe, network: keras.Model, examples: Examples) -> float:
    n, n_blocks, per_block, n_features = examples.rows.shape
    watched = networks.with_cells(plan.network, network)
    _, cells = watched.predict(examples.rows.reshape(n, n_blocks * per_block, n_features), verbose=0)
    return float(np.abs(cells).max())


@pytest.mark.long
def test_counting_cells_stop_at_the_limit(tmp_path: Path) -> None:
    free, limited = recipe(0.0), recipe(LIMIT)
    network, examples = counting(limited)
    before = largest_cell(limited, network, examples)
    assert before > 30.0
    history = fit(network, limited, examples, examples, tmp_path, lambda epoch: None)
    assert largest_cell(limited, network, examples) < 0.5 * before
    assert history[-1].step == 40
    untouched, _ = counting(free)
    (tmp_path / "free").mkdir()
    fit(untouched, free, examples, examples, tmp_path / "free", lambda epoch: None)
    assert largest_cell(free, untouched, examples) > largest_cell(limited, network, examples)


def test_the_network_of_a_limited_training_is_the_plain_one(tmp_path: Path) -> None:
    plan = replace(recipe(LIMIT), fit=replace(recipe(LIMIT).fit, steps=1))
    network, examples = counting(plan)
    fit(network, plan, examples, examples, tmp_path, lambda epoch: None)
    saved = networks.without_loss(plan.network, network)
    assert len(saved.outputs) == 1
    rows = examples.rows.reshape(len(examples.rows), -1, examples.rows.shape[-1])
    watched = keras.saving.load_model(tmp_path / CHECKPOINT_FILE)
    np.testing.assert_allclose(saved.predict(rows, verbose=0), watched.predict(rows, verbose=0)[0], atol=1e-6)


def test_the_excess_is_what_lies_beyond_the_limit() -> None:
    cells = np.array([[0.0, 5.0, -9.0], [1.0, -1.0, 0.5]], np.float32)
    loss = networks.CellExcess(6.0)(np.zeros_like(cells), cells)
    assert float(loss) == pytest.approx(networks.CELL_WEIGHT * 3.0 / 2.0)

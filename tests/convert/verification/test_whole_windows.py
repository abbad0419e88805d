"""A window as one step: the same outputs, and a line that says when it takes much less time."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest


def network(*layers_of: Any) -> Any:
    import keras
    from keras import layers as L

    keras.utils.set_random_seed(2)
    return keras.Sequential([keras.Input((128, 3)), *(one(L) for one in layers_of)])


def test_a_window_as_one_step_equals_keras_and_is_recommended_where_it_is_faster() -> None:
    from edgequake.convert.streaming import stepping
    from edgequake.convert.streaming.step_model import build_step_graph
    from edgequake.convert.verification import whole_windows

    model = network(
        lambda L: L.Conv1D(4, 5, padding="causal", activation="relu"),
        lambda L: L.GlobalAveragePooling1D(),
        lambda L: L.Dense(1, activation="sigmoid"),
    )
    stepped = build_step_graph(model, "windowed")
    whole = build_step_graph(model, "windowed", one_step=True)
    assert (stepped.rows_per_step, whole.rows_per_step, whole.states) == (1, 128, ())
    windows = np.random.default_rng(1).normal(size=(2, 128, 3)).astype(np.float32)
    expected = model.predict(windows, verbose=0)
    got = [stepping.step_probabilities(whole, window)[-1] for window in windows]
    np.testing.assert_allclose(got, expected, atol=1e-6)

    (line,) = whole_windows.remarks(model, stepped, {"float32": 50.0})
    times = re.findall(r"takes (\d+) us in 128 steps, and would take (\d+) us as one step", line)
    assert times[0][0] == "6400" and int(times[0][1]) < 6400 / whole_windows.WORTH
    assert "network.one_step = true" in line
    assert whole_windows.remarks(model, stepped, {"float32": 0.0}) == []  # steps that cost nothing
    assert whole_windows.remarks(model, stepped, {"int8": 50.0}) == []
    assert whole_windows.remarks(model, whole, {"float32": 1e9}) == []  # it is one step


def test_only_windows_without_recurrence_can_be_one_step() -> None:
    from edgequake.convert.streaming.step_model import build_step_graph
    from edgequake.convert.verification import whole_windows
    from edgequake.edge.base.errors import ModelError

    model = network(lambda L: L.GRU(3), lambda L: L.Dense(1, activation="sigmoid"))
    with pytest.raises(ModelError, match=r"network.one_step is set, .* remove network.one_step"):
        build_step_graph(model, "windowed", one_step=True)
    stepped = build_step_graph(model, "windowed")
    assert whole_windows.remarks(model, stepped, {"float32": 50.0}) == []  # its arithmetic is most of a step
    (line,) = whole_windows.remarks(model, stepped, {"float32": 19.0})
    times = re.findall(r"takes (\d+) us in 128 steps, and would take (\d+) us in 16 steps of 8 rows", line)
    assert times[0][0] == "2432" and int(times[0][1]) < 2432 / whole_windows.WORTH
    assert line.endswith("convert with network.rows_per_step = 8")


@pytest.mark.parametrize("rows_per_step", [4, 6])
def test_longer_steps_of_a_recurrent_network_equal_keras(rows_per_step: int) -> None:
    """A window of 128 rows is no multiple of 6: the step in which it ends is filled with zeros."""
    from edgequake.convert.streaming import stepping
    from edgequake.convert.streaming.step_model import build_step_graph

    model = network(
        lambda L: L.Conv1D(4, 5, padding="same", activation="relu"),
        lambda L: L.MaxPooling1D(2),
        lambda L: L.Conv1D(4, 3, activation="relu"),
        lambda L: L.GRU(3, return_sequences=True),
        lambda L: L.LSTM(3),
        lambda L: L.Dense(1, activation="sigmoid"),
    )
    graph = build_step_graph(model, "windowed", rows_per_step=rows_per_step)
    assert graph.rows_per_step == rows_per_step and (graph.window_rows + graph.lag_rows) % rows_per_step == 0
    windows = np.random.default_rng(1).normal(size=(3, 128, 3)).astype(np.float32)
    call = stepping.keras_step(graph)
    got = [stepping.step_probabilities(graph, window, call)[-1] for window in windows]
    np.testing.assert_allclose(got, model.predict(windows, verbose=0), atol=1e-6)


def test_steps_that_a_network_cannot_take_are_refused() -> None:
    from edgequake.convert.streaming.step_model import build_step_graph
    from edgequake.edge.base.errors import ModelError

    model = network(lambda L: L.MaxPooling1D(2), lambda L: L.GRU(3, return_sequences=True))
    for mode, rows_per_step in (("windowed", 3), ("windowed", 130), ("continuous", 4)):
        with pytest.raises(ModelError, match=rf"network.rows_per_step is {rows_per_step}: expected a multiple of 2"):
            build_step_graph(model, mode, rows_per_step=rows_per_step)
    assert build_step_graph(model, "continuous", rows_per_step=2).rows_per_step == 2

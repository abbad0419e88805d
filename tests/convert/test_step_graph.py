"""The one-step graph, stepped, is the Keras network on the whole sequence; what cannot be stepped is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgequake.edge.errors import ModelError

N_ROWS = 240
WINDOW_ROWS = 48


def test_continuous_steps_equal_the_whole_sequence(continuous_network: Any, make_rows: Callable[..., Any]) -> None:
    from edgequake.convert.step_graph import build_step_graph
    from edgequake.convert.stepping import step_probabilities

    graph = build_step_graph(continuous_network, "continuous")
    rows = make_rows(N_ROWS, 1)
    expected = continuous_network.predict(rows[np.newaxis], verbose=0)[0]
    got = step_probabilities(graph, rows)
    assert graph.warmup_steps == 0
    assert got.shape == expected.shape == (N_ROWS // graph.rows_per_step, 2)
    assert float(np.std(expected)) > 0.01  # an answer that never moves would compare equal to anything
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_windowed_steps_equal_the_window(windowed_network: tuple[Any, int], make_rows: Callable[..., Any]) -> None:
    from edgequake.convert.step_graph import build_step_graph
    from edgequake.convert.stepping import step_probabilities

    model, warmup_steps = windowed_network
    graph = build_step_graph(model, "windowed")
    windows = np.stack([make_rows(WINDOW_ROWS, seed) for seed in range(4)])
    expected = model.predict(windows, verbose=0)
    got = np.stack([step_probabilities(graph, window)[-1] for window in windows])
    assert graph.warmup_steps == warmup_steps
    assert float(np.std(expected)) > 1e-3
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_time_distributed_dense_is_dense(build_network: Callable[..., Any], make_rows: Callable[..., Any]) -> None:
    from edgequake.convert.step_graph import build_step_graph
    from edgequake.convert.stepping import sequence_probabilities, step_probabilities

    model = build_network(lambda L: [L.TimeDistributed(L.Dense(7, activation="tanh")), L.Dense(1)], None)
    graph = build_step_graph(model, "continuous")
    rows = make_rows(40, 1)
    expected = model.predict(rows[np.newaxis], verbose=0)
    np.testing.assert_allclose(step_probabilities(graph, rows), expected[0], atol=1e-6)
    np.testing.assert_allclose(sequence_probabilities(model, graph, rows[np.newaxis]), expected, atol=1e-6)


def test_states_are_named_after_their_layers(build_network: Callable[..., Any]) -> None:
    from edgequake.convert.step_graph import build_step_graph

    def layers_of(layers: Any) -> list[Any]:
        return [
            layers.Conv1D(8, 5, padding="causal", name="conv"),
            layers.LSTM(12, return_sequences=True, name="lstm"),
            layers.Dense(2, activation="sigmoid"),
        ]

    model = build_network(layers_of, None)
    graph = build_step_graph(model, "continuous")
    assert [(state.name, state.kind, state.shape) for state in graph.states] == [
        ("conv_context", "context", (1, 4, 5)),
        ("lstm_h", "recurrent", (1, 12)),
        ("lstm_c", "recurrent", (1, 12)),
    ]
    # conv: 8 * 5 * 5 + 8, LSTM: 4 * 12 * (8 + 12 + 1), dense: 12 * 2 + 2
    assert graph.parameters == 208 + 1008 + 26


def test_building_leaves_the_network_as_it_was(
    build_network: Callable[..., Any], make_rows: Callable[..., Any]
) -> None:
    from edgequake.convert.step_graph import build_step_graph

    model = build_network(lambda L: [L.LSTM(4, return_sequences=True), L.Dense(1, activation="sigmoid")], None)
    rows = make_rows(20, 1)[np.newaxis]
    before = model.predict(rows, verbose=0)
    names = [build_step_graph(model, "continuous").states[0].name for _ in range(2)]
    assert names[0] == names[1]
    np.testing.assert_array_equal(model.predict(rows, verbose=0), before)


def refused(layer: str, kind: str, words: str) -> str:
    return rf"layer '{layer}' \({kind}\) cannot become a one-step graph: .*{re.escape(words)}"


@pytest.mark.parametrize(
    ("layers_of", "mode", "message"),
    [
        (
            lambda L: [L.Conv1D(4, 3, padding="same", name="a")],
            "continuous",
            refused("a", "Conv1D", "use padding='causal'"),
        ),
        (
            lambda L: [L.Conv1D(4, 3, name="a")],
            "continuous",
            refused("a", "Conv1D", "no first row; use padding='causal'"),
        ),
        (
            lambda L: [L.Conv1D(4, 3, strides=2, name="a")],
            "windowed",
            refused("a", "Conv1D", "strides=2 is not supported"),
        ),
        (lambda L: [L.Conv1D(5, 1, groups=5, name="a")], "windowed", refused("a", "Conv1D", "use groups=1")),
        (
            lambda L: [L.Conv1D(4, 3), L.Conv1D(4, 3, padding="causal", name="a")],
            "windowed",
            refused("a", "Conv1D", "after a valid one starts from zeros that a step no longer has; use 'valid'"),
        ),
        (
            lambda L: [L.LSTM(4, return_sequences=True), L.Conv1D(4, 3, name="a")],
            "windowed",
            refused("a", "Conv1D", "padding='valid' after an LSTM"),
        ),
        (
            lambda L: [L.Conv1D(4, 2), L.LSTM(4, return_sequences=True, name="a"), L.MaxPooling1D(2)],
            "windowed",
            refused("a", "LSTM", "take 1 rows off a window, which is no multiple of the 2 rows"),
        ),
        (
            lambda L: [L.MaxPooling1D(3, strides=1, name="a")],
            "continuous",
            refused("a", "MaxPooling1D", "overlap or leave rows out (pool_size 3, strides 1)"),
        ),
        (
            lambda L: [L.MaxPooling1D(2, padding="same", name="a")],
            "continuous",
            refused("a", "MaxPooling1D", "'valid'"),
        ),
        (lambda L: [L.LSTM(4, name="a")], "continuous", refused("a", "LSTM", "use return_sequences=True")),
        (
            lambda L: [L.LSTM(4, return_sequences=True, go_backwards=True, name="a")],
            "continuous",
            refused("a", "LSTM", "starts from the newest row"),
        ),
        (lambda L: [L.GRU(4, return_sequences=True, name="a")], "continuous", refused("a", "GRU", "use LSTM")),
        (
            lambda L: [L.Bidirectional(L.LSTM(4, return_sequences=True), name="a")],
            "continuous",
            refused("a", "Bidirectional", "use a plain LSTM(return_sequences=True)"),
        ),
        (
            lambda L: [L.GlobalAveragePooling1D(name="a")],
            "windowed",
            refused("a", "GlobalAveragePooling1D", "use LSTM"),
        ),
        (lambda L: [L.ELU(name="a")], "continuous", refused("a", "ELU", "not supported; use one of Activation, ")),
        (
            lambda L: [L.TimeDistributed(L.LayerNormalization(), name="a")],
            "continuous",
            refused("a", "TimeDistributed", "it wraps LayerNormalization, expected Dense"),
        ),
        (
            lambda L: [L.BatchNormalization(axis=1, name="a")],
            "windowed",
            refused("a", "BatchNormalization", "it normalises axis 1; use axis=-1"),
        ),
        (
            lambda L: [L.Dense(4, dtype="float16", name="a")],
            "continuous",
            refused("a", "Dense", "it computes in float16, expected float32"),
        ),
    ],
)
def test_what_cannot_be_stepped_is_refused_by_name(
    build_network: Callable[..., Any], layers_of: Any, mode: str, message: str
) -> None:
    from edgequake.convert.step_graph import build_step_graph

    model = build_network(layers_of, WINDOW_ROWS)
    with pytest.raises(ModelError, match=message):
        build_step_graph(model, mode)


def test_branches_and_shared_layers_are_refused() -> None:
    import keras
    from keras import layers

    from edgequake.convert.step_graph import build_step_graph

    rows = keras.Input((None, 3))
    shared = layers.Dense(3, name="shared")
    with pytest.raises(ModelError, match=r"'add' \(Add\) with 2 inputs .* one chain without branches"):
        build_step_graph(keras.Model(rows, layers.Add(name="add")([rows, shared(rows)])), "continuous")
    with pytest.raises(ModelError, match=r"layer 'shared' \(Dense\) .* it is used twice"):
        build_step_graph(keras.Model(rows, shared(shared(rows))), "continuous")
    with pytest.raises(ModelError, match="1 inputs and 2 outputs: expected one of each"):
        build_step_graph(keras.Model(rows, [shared(rows), layers.Dense(1)(rows)]), "continuous")
    image = keras.Input((8, 8, 3))
    with pytest.raises(ModelError, match=r"input has shape \(None, 8, 8, 3\): expected \(batch, rows, features\)"):
        build_step_graph(keras.Model(image, layers.Dense(1)(image)), "continuous")

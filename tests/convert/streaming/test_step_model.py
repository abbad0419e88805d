"""The one-step graph, stepped, equals the Keras network on the whole sequence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

N_ROWS = 240
WINDOW_ROWS = 48


def test_continuous_steps_equal_the_whole_sequence(continuous_network: Any, make_rows: Callable[..., Any]) -> None:
    from edgequake.convert.streaming.step_model import build_step_graph
    from edgequake.convert.streaming.stepping import step_probabilities

    graph = build_step_graph(continuous_network, "continuous")
    rows = make_rows(N_ROWS, 1)
    expected = continuous_network.predict_on_batch(rows[np.newaxis])[0]
    got = step_probabilities(graph, rows)
    assert graph.warmup_steps == 0
    assert got.shape == expected.shape == (N_ROWS // graph.rows_per_step, 2)
    assert float(np.std(expected)) > 0.01  # a constant output would equal anything
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_windowed_steps_equal_the_window(windowed_network: tuple[Any, int], make_rows: Callable[..., Any]) -> None:
    from edgequake.convert.streaming.step_model import build_step_graph
    from edgequake.convert.streaming.stepping import step_probabilities

    model, warmup_steps = windowed_network
    graph = build_step_graph(model, "windowed")
    windows = np.stack([make_rows(WINDOW_ROWS, seed) for seed in range(4)])
    expected = model.predict_on_batch(windows)
    got = np.stack([step_probabilities(graph, window)[-1] for window in windows])
    assert graph.warmup_steps == warmup_steps
    assert float(np.std(expected)) > 1e-3
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_time_distributed_dense_is_dense(build_network: Callable[..., Any], make_rows: Callable[..., Any]) -> None:
    from edgequake.convert.streaming.step_model import build_step_graph
    from edgequake.convert.streaming.stepping import sequence_probabilities, step_probabilities

    model = build_network(lambda L: [L.TimeDistributed(L.Dense(7, activation="tanh")), L.Dense(1)], None)
    graph = build_step_graph(model, "continuous")
    rows = make_rows(40, 1)
    expected = model.predict_on_batch(rows[np.newaxis])
    np.testing.assert_allclose(step_probabilities(graph, rows), expected[0], atol=1e-6)
    np.testing.assert_allclose(sequence_probabilities(model, graph, rows[np.newaxis]), expected, atol=1e-6)


def test_states_are_named_after_their_layers(build_network: Callable[..., Any]) -> None:
    from edgequake.convert.streaming.step_model import build_step_graph

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


def test_building_leaves_the_network_unchanged(
    build_network: Callable[..., Any], make_rows: Callable[..., Any]
) -> None:
    from edgequake.convert.streaming.step_model import build_step_graph

    model = build_network(lambda L: [L.LSTM(4, return_sequences=True), L.Dense(1, activation="sigmoid")], None)
    rows = make_rows(20, 1)[np.newaxis]
    before = model.predict_on_batch(rows)
    names = [build_step_graph(model, "continuous").states[0].name for _ in range(2)]
    assert names[0] == names[1]
    np.testing.assert_array_equal(model.predict_on_batch(rows), before)


@pytest.mark.parametrize(
    "name",
    [
        "WaveNet gates and skips",
        "Conv1D strides 2 twice, MaxPooling1D",
        "Conv1D groups 2",
        "SeparableConv1D, GRU",
        "BatchNormalization before LSTM",
        "LSTM stateful",
        "GRU twice, no bias",
        "LSTM on 2 rows at a time",
        "nested functional block, used twice",
        "Conv2D same over features, DepthwiseConv2D",
        pytest.param("TimeDistributed Conv1D, MaxPooling1D, Flatten, LSTM", marks=pytest.mark.slow),
        "Conv1D tanh, GlobalMaxPooling1D",
        "residual with Cropping1D, LSTM",
        "overlapping MaxPooling1D, GRU",
        "Conv1D causal after valid, LSTM",
        "LSTM, Conv1D valid, Flatten",
        "Reshape, TimeDistributed Conv1D, LSTM",
    ],
)
def test_steps_equal_keras(name: str, conformance: Any) -> None:
    """More kinds of layers; docs/conformance.md has them all, over more rows and as TFLite."""
    from edgequake.convert.streaming.step_model import build_step_graph
    from edgequake.convert.streaming.stepping import check_step_graph, sequence_probabilities

    architecture, model = conformance.ARCHITECTURES[name], conformance.build(name)
    graph = build_step_graph(model, architecture.mode)
    n_sequences, n_rows = (1, 96) if architecture.mode == "continuous" else (3, architecture.n_rows)
    rows = np.stack([conformance.rows_like_a_spectrogram(n_rows, graph.n_features, s) for s in range(n_sequences)])
    expected = sequence_probabilities(model, graph, rows)
    assert float(np.std(expected)) > 0.01
    check_step_graph(graph, rows, expected)


@pytest.mark.parametrize(
    ("layers_of", "n_affine"),
    [
        (lambda L: [L.Conv1D(4, 3, padding="causal"), L.BatchNormalization(), L.ReLU(), L.Dense(1)], 0),
        (lambda L: [L.Dense(4, use_bias=False), L.BatchNormalization(), L.Dense(1)], 0),
        (lambda L: [L.BatchNormalization(), L.LSTM(4, return_sequences=True, use_bias=False), L.Dense(1)], 0),
        (lambda L: [L.BatchNormalization(), L.GRU(4, return_sequences=True), L.Dense(1)], 0),
        (lambda L: [L.BatchNormalization(), L.Conv1D(4, 1), L.Dense(1)], 0),
        (lambda L: [L.BatchNormalization(), L.Conv1D(4, 3, strides=3), L.Dense(1)], 0),
        # zeros before the normalization are normalized too
        (lambda L: [L.ZeroPadding1D((2, 0)), L.BatchNormalization(), L.Conv1D(4, 3), L.Dense(1)], 0),
        (lambda L: [L.Dense(4), L.BatchNormalization(), L.Conv1D(4, 3, padding="causal"), L.Dense(1)], 0),
        # here the zeros of the padding are not normalized, and tanh lies between: these are not folded
        (lambda L: [L.BatchNormalization(), L.Conv1D(4, 3, padding="causal"), L.Dense(1)], 1),
        (lambda L: [L.Conv1D(4, 1, activation="tanh"), L.BatchNormalization(), L.ReLU(), L.Dense(1)], 1),
    ],
)
def test_normalization_is_folded_into_a_neighbour_s_weights(
    build_network: Callable[..., Any], make_rows: Callable[..., Any], layers_of: Any, n_affine: int
) -> None:
    from keras import layers

    from edgequake.convert.streaming.step_model import build_step_graph
    from edgequake.convert.streaming.stepping import step_probabilities

    model = build_network(layers_of, None)
    graph = build_step_graph(model, "continuous")
    assert not [layer for layer in graph.model.layers if isinstance(layer, layers.BatchNormalization)]
    assert len([layer for layer in graph.model.layers if isinstance(layer, layers.Conv2D)]) == n_affine
    assert all(state.name.endswith(("_context", "_h", "_c")) for state in graph.states)  # none of a folded layer
    rows = make_rows(42, 1)
    np.testing.assert_allclose(step_probabilities(graph, rows), model(rows[np.newaxis])[0], atol=1e-5)


def test_a_network_that_cannot_be_stepped_may_be_one_step(conformance: Any) -> None:
    from edgequake.convert.streaming.step_model import build_step_graph

    model = conformance.build("Conv1D same, BatchNormalization, Flatten (one step)")
    graph = build_step_graph(model, "windowed")
    assert (graph.rows_per_step, graph.states, graph.warmup_steps) == (WINDOW_ROWS, (), 0)


def test_states_of_windows_are_named_after_their_content(conformance: Any) -> None:
    from edgequake.convert.streaming.step_model import build_step_graph

    def states(name: str) -> list[tuple[str, tuple[int, ...]]]:
        found = build_step_graph(conformance.build(name), "windowed").states
        return [(state.name.rsplit("_", 1)[-1], state.kind, state.shape) for state in found]

    # 48 rows, a valid kernel of 5: 44 rows are averaged, the newest of which is not yet a state
    assert states("Conv1D, GlobalAveragePooling1D") == [
        ("context", "context", (1, 4, 6)),
        ("window", "context", (1, 43, 12)),
    ]
    # after ReLU a running maximum that starts at zero is exact
    assert states("Conv1D relu, GlobalMaxPooling1D")[1] == ("max", "recurrent", (1, 12))
    # a valid kernel of 3 removes 2 rows; the causal one after it starts from zeros at row 2
    assert states("Conv1D causal after valid, LSTM")[:2] == [
        ("context", "context", (1, 2, 6)),
        ("context", "recurrent", (1, 2, 8)),
    ]

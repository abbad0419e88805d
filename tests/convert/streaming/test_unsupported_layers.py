"""A network that cannot become a one-step graph is refused with the layer's name, the reason and a way out."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from edgequake.edge.base.errors import ModelError

WINDOW_ROWS = 48
WHOLE_WINDOW = "whole window at once; use LSTM, GRU or causal convolutions"
AGGREGATES = "a continuous stream has none; convert in windowed mode, or use LSTM(return_sequences=True)"


def refused(layer: str, kind: str, words: str) -> str:
    return rf"layer '{layer}' \({kind}\) cannot become a one-step graph: .*{re.escape(words)}"


def recurrent(L: Any) -> Any:
    """Return a layer that prevents a window from being one step."""
    return L.LSTM(4)


CONTINUOUS: list[tuple[Any, str, str]] = [
    (
        lambda L: L.AveragePooling1D(3, strides=1, padding="same", name="a"),
        "AveragePooling1D",
        "takes the first and the last row from fewer values; use padding='valid' with strides equal to pool_size",
    ),
    (
        lambda L: L.MaxPooling1D(3, strides=1, padding="same", name="a"),  # of values below zero too
        "MaxPooling1D",
        "takes the first and the last row from fewer values; use padding='valid' with strides equal to pool_size",
    ),
    (lambda L: L.ZeroPadding1D((2, 1), name="a"), "ZeroPadding1D", "nothing reads the zeros that it adds; leave it"),
    (
        lambda L: L.LSTM(4, name="a"),
        "LSTM",
        "aggregates a window, and a continuous stream has none; use return_sequences=True",
    ),
    (
        lambda L: L.GRU(4, name="a"),
        "GRU",
        "aggregates a window, and a continuous stream has none; use return_sequences=True",
    ),
    (
        lambda L: L.LSTM(4, return_sequences=True, go_backwards=True, name="a"),
        "LSTM",
        "starts from the newest row; use go_backwards=False",
    ),
    (
        lambda L: L.Bidirectional(L.LSTM(4, return_sequences=True), name="a"),
        "Bidirectional",
        "reads future rows; use a plain LSTM(return_sequences=True)",
    ),
    (lambda L: L.Flatten(name="a"), "Flatten", AGGREGATES),
    (lambda L: L.GlobalAveragePooling1D(name="a"), "GlobalAveragePooling1D", AGGREGATES),
    (lambda L: L.GlobalMaxPooling1D(name="a"), "GlobalMaxPooling1D", AGGREGATES),
    (lambda L: L.UpSampling1D(2, name="a"), "UpSampling1D", "more rows than it reads; take the layers before it"),
    (lambda L: L.Conv1DTranspose(2, 3, name="a"), "Conv1DTranspose", "more rows than it reads; take the layers before"),
    (lambda L: L.RNN(L.LSTMCell(3), return_sequences=True, name="a"), "RNN", "a custom cell; use LSTM, GRU"),
    (lambda L: L.UnitNormalization(name="a"), "UnitNormalization", "not supported; use one of Activation, Add, "),
    (lambda L: L.BatchNormalization(axis=1, name="a"), "BatchNormalization", "normalizes axis 1; use axis=-1"),
    (
        lambda L: L.LayerNormalization(axis=1, name="a"),
        "LayerNormalization",
        "over time; use axis=-1, the features",
    ),
    (lambda L: L.Softmax(axis=1, name="a"), "Softmax", "works along axis 1; use axis=-1"),
    (lambda L: L.PReLU(name="a"), "PReLU", "a slope for every row of a window; use shared_axes=[1]"),
    (lambda L: L.Permute((2, 1), name="a"), "Permute", "moves the axis of time; keep 1 in the first place"),
    (lambda L: L.Reshape((-1, 3), name="a"), "Reshape", "does not keep rows whole; use (-1, features) with a multiple"),
    (
        lambda L: L.TimeDistributed(L.UnitNormalization(), name="a"),
        "UnitNormalization",
        "TimeDistributed cannot hold it; use Dense, convolutions",
    ),
    (
        lambda L: L.Dense(4, dtype="float16", name="a"),
        "Dense",
        "computes in float16, expected float32; save the network with the float32 policy",
    ),
]

WINDOWED: list[tuple[Any, str, str]] = [
    (
        lambda L: [L.Bidirectional(L.LSTM(4), name="a")],
        "Bidirectional",
        "reads future rows; use a plain LSTM",
    ),
    (
        lambda L: [L.ZeroPadding1D((2, 0)), L.MaxPooling1D(2, name="a"), recurrent(L)],
        "MaxPooling1D",
        "rows of zeros come before it, which only a convolution can take; pad right before the convolution",
    ),
    (
        lambda L: [L.ZeroPadding1D((3, 0)), L.Conv1D(4, 3, name="a"), recurrent(L)],
        "Conv1D",
        "3 rows of zeros come before it, expected at most 2; pad with kernel_size - 1",
    ),
    (
        lambda L: [L.ZeroPadding1D((2, 0)), L.Conv1D(4, 3, padding="causal", name="a"), recurrent(L)],
        "Conv1D",
        "zeros come before it and padding='causal' adds more; remove one of the two",
    ),
    (
        lambda L: [L.LSTM(4), L.Reshape((2, 2), name="a"), recurrent(L)],
        "Reshape",
        "reshapes what aggregates a window; leave it out, or use Dense",
    ),
]


@pytest.mark.parametrize(("layer", "kind", "words"), CONTINUOUS)
def test_a_layer_that_cannot_be_stepped_is_refused_by_name(
    build_network: Callable[..., Any], layer: Any, kind: str, words: str
) -> None:
    from edgequake.convert.streaming.step_model import build_step_graph

    model = build_network(lambda L: [layer(L)], WINDOW_ROWS)
    with pytest.raises(ModelError, match=refused("a", kind, words)):
        build_step_graph(model, "continuous")


@pytest.mark.parametrize(("layers_of", "kind", "words"), WINDOWED)
def test_a_layer_that_is_not_exact_in_windows_is_refused_by_name(
    build_network: Callable[..., Any], layers_of: Any, kind: str, words: str
) -> None:
    from edgequake.convert.streaming.step_model import build_step_graph

    with pytest.raises(ModelError, match=refused("a", kind, words)):
        build_step_graph(build_network(layers_of, WINDOW_ROWS), "windowed")


def test_a_stateful_layer_is_for_continuous_mode() -> None:
    import keras
    from keras import layers

    from edgequake.convert.streaming.step_model import build_step_graph

    model = keras.Sequential([keras.Input(batch_shape=(1, 8, 3)), layers.LSTM(4, stateful=True, name="a")])
    with pytest.raises(ModelError, match=refused("a", "LSTM", "window to window; convert in continuous mode")):
        build_step_graph(model, "windowed")


def test_a_window_of_unknown_length_cannot_be_aggregated(build_network: Callable[..., Any]) -> None:
    from edgequake.convert.streaming.step_model import build_step_graph

    model = build_network(lambda L: [L.GlobalAveragePooling1D(name="a")], None)
    with pytest.raises(
        ModelError, match=refused("a", "GlobalAveragePooling1D", "is not known; build the network with")
    ):
        build_step_graph(model, "windowed")
    assert build_step_graph(model, "windowed", 12).states[0].shape == (1, 11, 5)


def test_a_flattened_window_has_the_length_that_it_was_built_for(build_network: Callable[..., Any]) -> None:
    from edgequake.convert.streaming.step_model import build_step_graph

    model = build_network(lambda L: [L.LSTM(2, return_sequences=True), L.Flatten(name="a"), L.Dense(1)], WINDOW_ROWS)
    with pytest.raises(ModelError, match=refused("a", "Flatten", "built for 48 rows and gets 12; use windows as long")):
        build_step_graph(model, "windowed", 12)


def test_a_window_shorter_than_the_network_needs_is_refused(build_network: Callable[..., Any]) -> None:
    from edgequake.convert.streaming.step_model import build_step_graph

    model = build_network(lambda L: [L.Conv1D(4, 10, name="a"), recurrent(L)], None)
    with pytest.raises(ModelError, match=refused("a", "Conv1D", "needs more rows than the 8 of a window; use longer")):
        build_step_graph(model, "windowed", 8)


def test_attention_is_refused() -> None:
    import keras
    from keras import layers

    from edgequake.convert.streaming.step_model import build_step_graph

    rows = keras.Input((None, 3))
    attended = layers.MultiHeadAttention(1, 2, name="a")(rows, rows)
    with pytest.raises(ModelError, match=refused("a", "MultiHeadAttention", WHOLE_WINDOW)):
        build_step_graph(keras.Model(rows, attended), "continuous")
    rows = keras.Input((WINDOW_ROWS, 3))
    attended = layers.MultiHeadAttention(1, 2, name="a")(rows, rows)
    with pytest.raises(ModelError, match=refused("a", "MultiHeadAttention", WHOLE_WINDOW)):
        build_step_graph(keras.Model(rows, attended), "windowed")


def test_branches_must_be_in_step() -> None:
    import keras
    from keras import layers

    from edgequake.convert.streaming.step_model import build_step_graph

    rows = keras.Input((None, 3))
    strided = layers.Conv1D(3, 2, strides=2)(rows)
    pooled = layers.MaxPooling1D(4)(rows)
    summed = layers.Add(name="a")([strided, pooled])
    with pytest.raises(ModelError, match=refused("a", "Add", "are not in step (2, 1 rows a step); give them the same")):
        build_step_graph(keras.Model(rows, summed), "windowed")
    joined = layers.Concatenate(axis=1, name="a")([rows, layers.Dense(3)(rows)])
    with pytest.raises(ModelError, match=refused("a", "Concatenate", "to those of another; use axis=-1")):
        build_step_graph(keras.Model(rows, joined), "continuous")
    powered = keras.Model(rows, layers.Dense(1)(keras.ops.square(rows)))
    with pytest.raises(ModelError, match=r"\(Square\) .* may combine layers; use the layer that does the same"):
        build_step_graph(powered, "continuous")
    states = layers.LSTM(3, return_sequences=True, return_state=True, name="a")(rows)
    with pytest.raises(
        ModelError, match=refused("a", "LSTM", "its cell state is read by another layer; use its first")
    ):
        build_step_graph(keras.Model(rows, layers.Dense(1)(states[2])), "continuous")


def test_a_network_has_one_input_of_feature_rows() -> None:
    import keras
    from keras import layers

    from edgequake.convert.streaming.step_model import build_step_graph

    rows = keras.Input((None, 3))
    other = keras.Input((None, 3))
    two = keras.Model([rows, other], layers.Dense(1)(layers.Add()([rows, other])))
    with pytest.raises(ModelError, match="has 2 inputs: expected one, of feature rows; concatenate the features into"):
        build_step_graph(two, "continuous")
    vector = keras.Input((8,))
    with pytest.raises(ModelError, match=r"input has shape \(None, 8\): expected \(batch, rows, features\), or"):
        build_step_graph(keras.Model(vector, layers.Dense(1)(vector)), "continuous")
    volume = keras.Input((None, 3, 2))
    with pytest.raises(ModelError, match=r"output has rows of shape \(3, 1\), 1 a step: expected one row"):
        build_step_graph(keras.Model(volume, layers.Dense(1)(volume)), "continuous")

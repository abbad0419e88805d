"""The layers of a Keras model as one chain, and the refusal of what cannot be stepped through.

A step sees a few new rows and what earlier steps left behind. So a layer can be stepped when its output depends on
rows up to the newest one only, and when the rows it needs are bounded or folded into a state.
"""

from __future__ import annotations

import math
from typing import NoReturn

import keras
from keras import layers

from edgequake.edge.errors import ModelError

# Layers that do nothing when a trained network is run.
DROPPED = (layers.Dropout, layers.SpatialDropout1D, layers.GaussianNoise, layers.GaussianDropout)

WAYS_OUT = {
    "Bidirectional": "it reads the rows that are still to come; use a plain LSTM(return_sequences=True)",
    "GRU": "its one-step form is not written yet; use LSTM",
    "SimpleRNN": "its one-step form is not written yet; use LSTM",
    "MultiHeadAttention": "it looks at the whole window at once; use LSTM or causal convolutions",
    "Attention": "it looks at the whole window at once; use LSTM or causal convolutions",
    "Flatten": "it needs the whole window at once; use LSTM(return_sequences=False) to sum a window up",
    "GlobalAveragePooling1D": "it needs the whole window at once; use LSTM(return_sequences=False) to sum a window up",
    "GlobalMaxPooling1D": "it needs the whole window at once; use LSTM(return_sequences=False) to sum a window up",
    "Lambda": "its code cannot be taken apart; use the layer that does the same",
}


def refuse(layer: keras.layers.Layer, reason_and_way_out: str) -> NoReturn:
    """Raise the ModelError that names the layer, the reason and the way out."""
    raise ModelError(
        f"layer '{layer.name}' ({type(layer).__name__}) cannot become a one-step graph: {reason_and_way_out}"
    )


def model_chain(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the model's layers in order, without input and without those that only act in training.

    Raises
    ------
    ModelError
        Several inputs or outputs, an input that is not (batch, rows, features), layers that do not form one chain,
        or a layer that computes in another type than float32.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelError(
            f"the network has {len(model.inputs)} inputs and {len(model.outputs)} outputs: expected one of each; "
            "concatenate the features into one input and the probabilities into one output"
        )
    if len(model.inputs[0].shape) != 3 or model.inputs[0].shape[2] is None:
        raise ModelError(
            f"the network's input has shape {tuple(model.inputs[0].shape)}: expected (batch, rows, features) with a "
            "fixed number of features; declare Input((n_rows, n_features))"
        )
    chain: list[keras.layers.Layer] = []
    tensor = model.outputs[0]
    while tensor is not model.inputs[0]:
        layer, tensor = _previous(tensor)
        if layer in chain:
            refuse(layer, "it is used twice; give each place a layer of its own")
        chain.append(layer)
    return [layer for layer in reversed(chain) if not isinstance(layer, DROPPED)]


def rows_per_step(chain: list[keras.layers.Layer]) -> int:
    """Return how many input rows make one row of output: the product of the pool sizes."""
    pools = [layer.pool_size for layer in chain if isinstance(layer, layers.MaxPooling1D)]
    return math.prod(_scalar(pool) for pool in pools)


def check_layer(layer: keras.layers.Layer) -> None:
    """Refuse what a supported kind of layer can be told to do and a step cannot."""
    if type(layer) not in _CHECKS:
        known = ", ".join(sorted(kind.__name__ for kind in (*_CHECKS, *DROPPED)))
        refuse(layer, WAYS_OUT.get(type(layer).__name__, f"this kind of layer is not supported; use one of {known}"))
    _CHECKS[type(layer)](layer)


def context_rows(layer: keras.layers.Conv1D) -> int:
    """Return how many earlier rows a convolution needs beside the newest one."""
    return (_scalar(layer.kernel_size) - 1) * _scalar(layer.dilation_rate)


def pool_rows(layer: keras.layers.MaxPooling1D) -> int:
    """Return how many rows a pooling layer takes together."""
    return _scalar(layer.pool_size)


def _previous(tensor: keras.KerasTensor) -> tuple[keras.layers.Layer, keras.KerasTensor]:
    """Return the layer that made a tensor, and the single tensor it was made from."""
    # The tensor's own history: `layer.input` is ambiguous in a loaded Sequential, which calls its layers twice.
    layer, node_index, _ = tensor._keras_history
    sources = layer._inbound_nodes[node_index].input_tensors
    if not isinstance(layer, keras.layers.Layer) or len(sources) != 1:
        raise ModelError(
            f"'{layer.name}' ({type(layer).__name__}) with {len(sources)} inputs cannot become a one-step graph: "
            "the layers must form one chain without branches; rebuild the network as keras.Sequential"
        )
    if layer.compute_dtype != "float32":
        refuse(
            layer, f"it computes in {layer.compute_dtype}, expected float32; save the network with the float32 policy"
        )
    return layer, sources[0]


def _check_conv(layer: keras.layers.Conv1D) -> None:
    if layer.padding == "same":
        refuse(layer, "padding='same' reads rows that are still to come; use padding='causal'")
    if _scalar(layer.strides) != 1:
        refuse(layer, f"strides={_scalar(layer.strides)} is not supported; use strides=1 followed by MaxPooling1D")
    if layer.groups != 1:
        refuse(layer, f"groups={layer.groups} has no quantized operator in the runtimes; use groups=1")
    if layer.data_format != "channels_last":
        refuse(layer, f"data_format='{layer.data_format}' is not supported; use 'channels_last'")


def _check_pool(layer: keras.layers.MaxPooling1D) -> None:
    if _scalar(layer.strides) != pool_rows(layer):
        refuse(
            layer,
            f"its windows overlap or leave rows out (pool_size {pool_rows(layer)}, strides {_scalar(layer.strides)}); "
            "use strides equal to pool_size",
        )
    if layer.padding != "valid":
        refuse(layer, f"padding='{layer.padding}' is not supported; use padding='valid'")
    if layer.data_format != "channels_last":
        refuse(layer, f"data_format='{layer.data_format}' is not supported; use 'channels_last'")


def _check_lstm(layer: keras.layers.LSTM) -> None:
    if layer.go_backwards:
        refuse(layer, "go_backwards=True starts from the newest row; use go_backwards=False")
    if layer.stateful:
        refuse(
            layer, "stateful=True hides the state that the graph must show; use stateful=False, the runner carries it"
        )
    if layer.return_state:
        refuse(layer, "return_state=True is not supported; use return_state=False")


def _check_batch_normalization(layer: keras.layers.BatchNormalization) -> None:
    axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    if [axis % 3 for axis in axes] != [2]:
        refuse(layer, f"it normalises axis {layer.axis}; use axis=-1, the features")


def _check_time_distributed(layer: keras.layers.TimeDistributed) -> None:
    if type(layer.layer) is not layers.Dense:
        refuse(layer, f"it wraps {type(layer.layer).__name__}, expected Dense; apply that layer directly")


def _accept(layer: keras.layers.Layer) -> None:
    """Nothing this kind of layer can be told keeps it from being stepped."""


_CHECKS = {
    layers.Conv1D: _check_conv,
    layers.MaxPooling1D: _check_pool,
    layers.LSTM: _check_lstm,
    layers.BatchNormalization: _check_batch_normalization,
    layers.TimeDistributed: _check_time_distributed,
    layers.Dense: _accept,
    layers.Activation: _accept,
    layers.ReLU: _accept,
}


def _scalar(value: int | tuple[int, ...] | list[int]) -> int:
    return int(value if isinstance(value, int) else value[0])

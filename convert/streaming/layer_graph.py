"""The layers of a Keras model as one flat graph: nested models opened, layers that act only in training left out.

A `LayerCall` is one use of a layer. A layer that is used twice has two calls, which share its weights but not its
states. A layer that cannot be stepped is refused with its name, the reason and a way out (`refuse`, `WAYS_OUT`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NoReturn

import keras
from keras import layers

from edgequake.edge.base.errors import ModelError

INPUT = -1  # the source of a call that reads the model's input

# Layers that do nothing in inference.
DROPPED = (
    *(layers.Dropout, layers.SpatialDropout1D, layers.SpatialDropout2D, layers.AlphaDropout),
    *(layers.GaussianNoise, layers.GaussianDropout, layers.ActivityRegularization, layers.Identity),
)
# In a functional model, tensors may be combined with + or keras.ops instead of these layers, under the same names.
ARITHMETIC = (layers.Add, layers.Subtract, layers.Multiply, layers.Maximum, layers.Minimum)
_MERGES = {kind.__name__: kind for kind in ARITHMETIC}
_ACTIVATIONS = {"Relu": "relu", "ReLU": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh"}

_WHOLE_WINDOW = "it reads the whole window at once; use LSTM, GRU or causal convolutions"
_AGGREGATES = (
    "it aggregates a window, and a continuous stream has none; convert in windowed mode, or use "
    "LSTM(return_sequences=True)"
)
_CONV_LSTM = "its one-step form is not implemented; use TimeDistributed(Conv1D) followed by LSTM"
_MORE_ROWS = "it makes more rows than it reads; take the layers before it as the network"
WAYS_OUT = {
    "Bidirectional": "it reads future rows; use a plain LSTM(return_sequences=True)",
    **dict.fromkeys(("MultiHeadAttention", "GroupQueryAttention", "Attention", "AdditiveAttention"), _WHOLE_WINDOW),
    "Flatten": _AGGREGATES,
    **{f"Global{kind}Pooling{n}D": _AGGREGATES for kind in ("Average", "Max") for n in (1, 2)},
    **dict.fromkeys(("ConvLSTM1D", "ConvLSTM2D"), _CONV_LSTM),
    "RNN": "it runs a custom cell; use LSTM, GRU or SimpleRNN",
    "Lambda": "its code cannot be analysed; use the layer that does the same",
    "Masking": "which rows it skips depends on the data; remove it and feed whole rows",
    "Embedding": "it looks integers up in a table, but rows are measurements; use Dense",
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "UpSampling1D", "RepeatVector"), _MORE_ROWS),
}


def refuse(unsupported: Any, reason_and_way_out: str) -> NoReturn:
    """Raise the ModelError that names a layer, the reason and the way out.

    Parameters
    ----------
    unsupported : a `LayerCall`, or a Keras layer.
    """
    layer = unsupported.layer if isinstance(unsupported, LayerCall) else unsupported
    raise ModelError(
        f"layer '{unsupported.name}' ({type(layer).__name__}) cannot become a one-step graph: {reason_and_way_out}"
    )


@dataclass(frozen=True)
class LayerCall:
    """One use of a layer."""

    name: str  # the layer's, made unique
    layer: Any  # keras.layers.Layer
    sources: tuple[int, ...]  # the calls whose outputs it reads, or INPUT
    shapes: tuple[tuple[int | None, ...], ...]  # of its inputs, with the batch axis; inside TimeDistributed a row's
    per_row: bool  # inside TimeDistributed: the layer sees one row as a batch of its own

    @property
    def kind(self) -> type:
        """The layer's type."""
        return type(self.layer)


@dataclass(frozen=True)
class LayerGraph:
    """A model's layer calls, each after those that it reads."""

    calls: tuple[LayerCall, ...]
    output: int  # the call whose output is the model's, or INPUT
    row_shape: tuple[int, ...]  # of the input: (features,), or (features, channels) where the model takes images
    n_rows: int | None  # that the model was built for

    def readers(self, index: int) -> list[int]:
        """Return the calls that read the output of one."""
        return [reader for reader, call in enumerate(self.calls) if index in call.sources]


def trace(model: keras.Model) -> LayerGraph:
    """Return the flat graph of a model.

    Raises
    ------
    ModelError
        Several inputs or outputs, an input that is not (batch, rows, features) or (batch, rows, features, channels),
        user code between the layers, or a layer that computes in a type other than float32.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelError(
            f"the network has {len(model.inputs)} inputs and {len(model.outputs)} outputs: expected one of each; "
            "concatenate the features into one input and the probabilities into one output"
        )
    shape = tuple(model.inputs[0].shape)
    if len(shape) not in (3, 4) or None in shape[2:]:
        raise ModelError(
            f"the network's input has shape {shape}: expected (batch, rows, features), or (batch, rows, features, "
            "channels), with a fixed number of features; declare Input((n_rows, n_features))"
        )
    tracer = _Tracer()
    output = tracer.find(model.outputs[0], {id(model.inputs[0]): INPUT}, per_row=False)
    return LayerGraph(tuple(tracer.calls), output, tuple(int(size) for size in shape[2:]), shape[1])


@dataclass
class _Tracer:
    calls: list[LayerCall] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def find(self, tensor: Any, known: dict[int, int], per_row: bool) -> int:
        """Return the index of the call that made a tensor; `known` maps id(tensor) to such indices."""
        if id(tensor) not in known:
            # The tensor's own history: `layer.input` is ambiguous in a loaded Sequential, which calls its layers twice.
            layer, node_index, output_index = tensor._keras_history
            inputs = layer._inbound_nodes[node_index].input_tensors
            sources = tuple(self.find(source, known, per_row) for source in inputs)
            shapes = tuple(tuple(source.shape) for source in inputs)
            if output_index and not isinstance(layer, keras.Model):
                refuse(layer, "its states are read by another layer; use its first output only")
            known[id(tensor)] = self.add(_as_layer(layer, inputs), layer.name, sources, shapes, per_row, output_index)
        return known[id(tensor)]

    def add(
        self, layer: Any, name: str, sources: tuple[int, ...], shapes: tuple[Any, ...], per_row: bool, output: int
    ) -> int:
        """Add one use of a layer and return the index of its output."""
        if isinstance(layer, keras.Model):
            if not layer.built or not hasattr(layer, "inputs") or layer.inputs is None:
                refuse(layer, "it is a subclassed model; build it as a Sequential or functional model")
            known = {id(tensor): source for tensor, source in zip(layer.inputs, sources, strict=True)}
            return self.find(layer.outputs[output], known, per_row)
        if layer.compute_dtype != "float32":
            dtype = layer.compute_dtype
            refuse(layer, f"it computes in {dtype}, expected float32; save the network with the float32 policy")
        if isinstance(layer, layers.TimeDistributed):
            rows = tuple((shape[0], *shape[2:]) for shape in shapes)
            return self.add(layer.layer, name, sources, rows, True, 0)
        if isinstance(layer, DROPPED):
            return sources[0]
        if getattr(layer, "data_format", "channels_last") not in ("channels_last", None):
            refuse(layer, f"data_format='{layer.data_format}' is not supported; use 'channels_last'")
        self.calls.append(LayerCall(self._unique(name), layer, sources, shapes, per_row))
        return len(self.calls) - 1

    def _unique(self, name: str) -> str:
        free, number = name, 1
        while free in self.names:
            number += 1
            free = f"{name}_{number}"
        self.names.add(free)
        return free


def _as_layer(operation: Any, inputs: list[Any]) -> Any:
    """Return the layer equivalent to an operation between layers, as in ``rows + convolved``."""
    if isinstance(operation, keras.layers.Layer):
        return operation
    kind = type(operation).__name__
    if kind in _MERGES and len(inputs) == 2:
        return _MERGES[kind](name=operation.name)
    if kind == "Concatenate":
        return layers.Concatenate(axis=operation.axis, name=operation.name)
    if kind in _ACTIVATIONS and not getattr(operation, "negative_slope", 0) and len(inputs) == 1:
        return layers.Activation(_ACTIVATIONS[kind], name=operation.name)
    refuse(
        operation,
        "only +, -, *, maximum, minimum, concatenate, relu, sigmoid and tanh may combine layers; "
        "use the layer that does the same",
    )

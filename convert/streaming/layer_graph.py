"""How a layer is refused: its name, the reason, and the way out.

The layers of a Keras model as one flat graph: nested models opened, layers that only act in training left out.

A `LayerCall` is one use of a layer. A layer that is used twice has two places, with the same weights and states apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NoReturn

import keras
from keras import layers

from edgequake.edge.base.errors import ModelError

_WHOLE_WINDOW = "it looks at the whole window at once; use LSTM, GRU or causal convolutions"
_IN_WINDOWS = (
    "it sums up a window, a continuous stream has none; convert in windowed mode, or use LSTM(return_sequences=True)"
)
WAYS_OUT = {
    "Bidirectional": "it reads the rows that are still to come; use a plain LSTM(return_sequences=True)",
    "MultiHeadAttention": _WHOLE_WINDOW,
    "GroupQueryAttention": _WHOLE_WINDOW,
    "Attention": _WHOLE_WINDOW,
    "AdditiveAttention": _WHOLE_WINDOW,
    "Flatten": _IN_WINDOWS,
    "GlobalAveragePooling1D": _IN_WINDOWS,
    "GlobalMaxPooling1D": _IN_WINDOWS,
    "GlobalAveragePooling2D": _IN_WINDOWS,
    "GlobalMaxPooling2D": _IN_WINDOWS,
    "ConvLSTM1D": "its one-step form is not written; use TimeDistributed(Conv1D) followed by LSTM",
    "ConvLSTM2D": "its one-step form is not written; use TimeDistributed(Conv1D) followed by LSTM",
    "RNN": "it runs a cell of its own making; use LSTM, GRU or SimpleRNN",
    "Lambda": "its code cannot be taken apart; use the layer that does the same",
    "Masking": "which rows it leaves out depends on the data; leave it away and feed whole rows",
    "Embedding": "it looks numbers up in a table, but rows are measurements; use Dense",
    "Conv1DTranspose": "it makes more rows than come in; take the layers before it as the network",
    "Conv2DTranspose": "it makes more rows than come in; take the layers before it as the network",
    "UpSampling1D": "it makes more rows than come in; take the layers before it as the network",
    "RepeatVector": "it makes more rows than come in; take the layers before it as the network",
}


def refuse(place: Any, reason_and_way_out: str) -> NoReturn:
    """Raise the ModelError that names the layer, the reason and the way out.

    Parameters
    ----------
    place : a `LayerCall` of the layer graph, or a Keras layer.
    """
    layer = place.layer if hasattr(place, "per_row") else place
    raise ModelError(
        f"layer '{place.name}' ({type(layer).__name__}) cannot become a one-step graph: {reason_and_way_out}"
    )


INPUT = -1  # the source of a place that reads the model's input

# Layers that do nothing when a trained network is run.
DROPPED = (
    layers.Dropout,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
    layers.GaussianNoise,
    layers.GaussianDropout,
    layers.AlphaDropout,
    layers.ActivityRegularization,
    layers.Identity,
)
# What a functional model holds where two tensors were joined with + or keras.ops instead of a layer.
_MERGES = {
    "Add": layers.Add,
    "Subtract": layers.Subtract,
    "Multiply": layers.Multiply,
    "Maximum": layers.Maximum,
    "Minimum": layers.Minimum,
}
_ACTIVATIONS = {"Relu": "relu", "ReLU": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh"}


@dataclass(frozen=True)
class LayerCall:
    """One use of a layer."""

    name: str  # the layer's, made unique
    layer: Any  # keras.layers.Layer
    sources: tuple[int, ...]  # the places whose outputs it reads, or INPUT
    shapes: tuple[tuple[int | None, ...], ...]  # of what it reads, with the batch axis; inside TimeDistributed a row's
    per_row: bool  # inside TimeDistributed: the layer sees one row as a batch of its own

    @property
    def kind(self) -> type:
        """The layer's type."""
        return type(self.layer)


@dataclass(frozen=True)
class LayerGraph:
    """A model's places, each after those it reads."""

    places: tuple[LayerCall, ...]
    output: int  # the place whose output is the model's, or INPUT
    row_shape: tuple[int, ...]  # of the input: (features,), or (features, channels) where the model takes images
    n_rows: int | None  # that the model was built for

    def readers(self, index: int) -> list[int]:
        """Return the places that read the output of one."""
        return [reader for reader, place in enumerate(self.places) if index in place.sources]


def trace(model: keras.Model) -> LayerGraph:
    """Return the flat graph of a model.

    Raises
    ------
    ModelError
        Several inputs or outputs, an input that is not (batch, rows, features) or (batch, rows, features, channels),
        code of the user's own between the layers, or a layer that computes in another type than float32.
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
    return LayerGraph(tuple(tracer.places), output, tuple(int(size) for size in shape[2:]), shape[1])


@dataclass
class _Tracer:
    places: list[LayerCall] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def find(self, tensor: Any, known: dict[int, int], per_row: bool) -> int:
        """Return the index of the place that made a tensor; `known` maps id(tensor) to such indices."""
        if id(tensor) not in known:
            # The tensor's own history: `layer.input` is ambiguous in a loaded Sequential, which calls its layers twice.
            layer, node_index, output_index = tensor._keras_history
            inputs = layer._inbound_nodes[node_index].input_tensors
            sources = tuple(self.find(source, known, per_row) for source in inputs)
            shapes = tuple(tuple(source.shape) for source in inputs)
            if output_index and not isinstance(layer, keras.Model):
                refuse(layer, "its states are read by another layer; use its first output only")
            known[id(tensor)] = self.place(_as_layer(layer, inputs), layer.name, sources, shapes, per_row, output_index)
        return known[id(tensor)]

    def place(
        self, layer: Any, name: str, sources: tuple[int, ...], shapes: tuple[Any, ...], per_row: bool, output: int
    ) -> int:
        """Add one use of a layer and return the index of its output."""
        if isinstance(layer, keras.Model):
            if not layer.built or not hasattr(layer, "inputs") or layer.inputs is None:
                refuse(layer, "it is a model with code of its own; build it as Sequential or functional model")
            known = {id(tensor): source for tensor, source in zip(layer.inputs, sources, strict=True)}
            return self.find(layer.outputs[output], known, per_row)
        if layer.compute_dtype != "float32":
            refuse(
                layer,
                f"it computes in {layer.compute_dtype}, expected float32; save the network with the float32 policy",
            )
        if isinstance(layer, layers.TimeDistributed):
            rows = tuple((shape[0], *shape[2:]) for shape in shapes)
            return self.place(layer.layer, name, sources, rows, True, 0)
        if isinstance(layer, DROPPED):
            return sources[0]
        if getattr(layer, "data_format", "channels_last") not in ("channels_last", None):
            refuse(layer, f"data_format='{layer.data_format}' is not supported; use 'channels_last'")
        self.places.append(LayerCall(self._unique(name), layer, sources, shapes, per_row))
        return len(self.places) - 1

    def _unique(self, name: str) -> str:
        free, number = name, 1
        while free in self.names:
            number += 1
            free = f"{name}_{number}"
        self.names.add(free)
        return free


def _as_layer(operation: Any, inputs: list[Any]) -> Any:
    """Return the layer that does the same as an operation between layers, as in ``rows + convolved``."""
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
        "only +, -, *, maximum, minimum, concatenate, relu, sigmoid and tanh can stand between layers; "
        "use the layer that does the same",
    )

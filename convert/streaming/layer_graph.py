"""The layers of a Keras model as one flat graph: nested models opened, layers that act only in training left out.

A `LayerCall` is one use of a layer. A layer that is used twice has two calls, which share its weights but not its
states. A layer that cannot be stepped is refused with its name, the reason and a way out (`refuse`, `WAYS_OUT`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

import keras
from keras import layers

from edgequake.convert.streaming.operation_layers import KNOWN, LastRow, layer_of_operation, plain_reshape
from edgequake.edge.base.errors import ModelError

INPUT = -1  # the source of a call that reads the model's input

# Layers that do nothing in inference.
DROPPED = (
    *(layers.Dropout, layers.SpatialDropout1D, layers.SpatialDropout2D, layers.AlphaDropout),
    *(layers.GaussianNoise, layers.GaussianDropout, layers.ActivityRegularization, layers.Identity),
)
PREFIX = "net."  # of copied layers' names: Keras gives no operation of its own a name with a dot

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

    name: str  # the layer's, as messages say it
    safe: str  # of that letters, digits, "_" and "-" only, and unique in the graph
    layer: Any  # keras.layers.Layer
    sources: tuple[int, ...]  # the calls whose outputs it reads, or INPUT
    shapes: tuple[tuple[int | None, ...], ...]  # of its inputs, with the batch axis; inside TimeDistributed a row's
    per_row: bool  # inside TimeDistributed: the layer sees one row as a batch of its own

    @property
    def scope(self) -> str:
        """The name of the layer's copy; parts of it add a dot and a word."""
        return PREFIX + self.safe

    @property
    def kind(self) -> type:
        """The layer's type."""
        return type(self.layer)


@dataclass(frozen=True)
class Head:
    """One of a model's outputs."""

    name: str
    n_columns: int
    activation: str  # of the layer that its columns come from: "sigmoid", "softmax", "linear", ...


@dataclass(frozen=True)
class LayerGraph:
    """A model's layer calls, each after those that it reads."""

    calls: tuple[LayerCall, ...]
    output: int  # the call whose output is the model's, or INPUT
    row_shape: tuple[int, ...]  # of the input: (features,), or (features, channels) where the model takes images
    n_rows: int | None  # that the model was built for
    heads: tuple[Head, ...]  # the model's outputs, in their order
    masking: tuple[Any, ...] = ()  # the Masking layers, which are left out: a stream skips no row

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
    if len(model.inputs) != 1:
        raise ModelError(
            f"the network has {len(model.inputs)} inputs: expected one, of feature rows; concatenate the features into "
            "one input"
        )
    shape = tuple(model.inputs[0].shape)
    if len(shape) not in (3, 4) or None in shape[2:]:
        raise ModelError(
            f"the network's input has shape {shape}: expected (batch, rows, features), or (batch, rows, features, "
            "channels), with a fixed number of features; declare Input((n_rows, n_features))"
        )
    tracer, known = _Tracer(), {id(model.inputs[0]): INPUT}
    found = [tracer.find(output, known, per_row=False) for output in model.outputs]
    output = found[0]
    if len(found) > 1:
        shapes = tuple(tuple(tensor.shape) for tensor in model.outputs)
        output = tracer.add(layers.Concatenate(), "outputs", tuple(found), shapes, False)
    return LayerGraph(
        calls=tuple(tracer.calls),
        output=output,
        row_shape=tuple(int(size) for size in shape[2:]),
        n_rows=shape[1],
        heads=tuple(
            Head(str(name), int(tensor.shape[-1] or 0), _activation_of(tracer.calls, index))
            for name, tensor, index in zip(_output_names(model), model.outputs, found, strict=True)
        ),
        masking=tuple(tracer.masking),
    )


# Layers that give on the values of the layer before them, or their mean.
_PASSING = (layers.Flatten, layers.Reshape, layers.Cropping1D, LastRow, layers.GlobalAveragePooling1D)


def _activation_of(calls: list[LayerCall], index: int) -> str:
    while index != INPUT and isinstance(calls[index].layer, _PASSING):
        index = calls[index].sources[0]
    if index == INPUT:
        return "linear"
    layer = calls[index].layer
    if isinstance(layer, layers.Softmax):
        return "softmax"
    activation = getattr(layer, "activation", None)
    return (
        str(getattr(activation, "__name__", type(layer).__name__)) if activation is not None else type(layer).__name__
    )


def _output_names(model: keras.Model) -> list[str]:
    names = list(getattr(model, "output_names", []))
    return names if len(names) == len(model.outputs) else [f"output_{k}" for k in range(len(model.outputs))]


@dataclass
class _Tracer:
    calls: list[LayerCall] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    masking: list[Any] = field(default_factory=list)

    def find(self, tensor: Any, known: dict[Any, int], per_row: bool) -> int:
        """Return the index of the call that made a tensor; `known` maps tensors and calls to such indices."""
        if id(tensor) in known:
            return known[id(tensor)]
        # The tensor's own history: `layer.input` is ambiguous in a loaded Sequential, which calls its layers twice.
        layer, node_index, output_index = tensor._keras_history
        is_model = isinstance(layer, keras.Model)
        made = known.get((id(layer), node_index)) if not is_model else None
        if made is None:
            made = self._call(layer, layer._inbound_nodes[node_index], known, per_row, output_index)
            if not is_model:
                known[id(layer), node_index] = made
        known[id(tensor)] = made if is_model else self._output(layer, made, output_index, tensor)
        return known[id(tensor)]

    def _call(self, layer: Any, node: Any, known: dict[Any, int], per_row: bool, output_index: int) -> int:
        args, kwargs = list(node.arguments.args), dict(node.arguments.kwargs)
        kwargs.pop("mask", None)  # Masking is left out, and so is what computes the masks
        tensors = [value for value in keras.tree.flatten([args, kwargs]) if isinstance(value, keras.KerasTensor)]
        sources = tuple(self.find(source, known, per_row) for source in tensors)
        shapes = tuple(tuple(source.shape) for source in tensors)
        if isinstance(layer, keras.Model):
            return self._open(layer, sources, output_index, per_row)
        if not isinstance(layer, layers.Layer):
            operation = layer_of_operation(layer, args, kwargs, shapes)
            if operation is None:
                refuse(layer, f"only {KNOWN} may combine layers; use the layer that does the same")
            layer = operation
        return self.add(layer, layer.name, sources, shapes, per_row)

    def _output(self, layer: Any, made: int, output_index: int, tensor: Any) -> int:
        """Return the output of a layer with several: h of a recurrent one is its last row."""
        if output_index == 0:
            return made
        if output_index > 1 or not getattr(layer, "return_state", False):
            refuse(layer, "its cell state is read by another layer; use its first output or its hidden state")
        if not layer.return_sequences:
            return made
        shape = (tensor.shape[0], None, *tensor.shape[1:])
        return self.add(LastRow(), f"{layer.name}_last", (made,), (shape,), False)

    def _open(self, model: Any, sources: tuple[int, ...], output: int, per_row: bool) -> int:
        """Return the output of a nested model."""
        if not model.built or getattr(model, "inputs", None) is None:
            refuse(model, "it is a subclassed model; build it as a Sequential or functional model")
        known: dict[Any, int] = {id(tensor): source for tensor, source in zip(model.inputs, sources, strict=True)}
        return self.find(model.outputs[output], known, per_row)

    def add(self, layer: Any, name: str, sources: tuple[int, ...], shapes: tuple[Any, ...], per_row: bool) -> int:
        """Add one use of a layer and return the index of its output."""
        if isinstance(layer, keras.Model):  # inside TimeDistributed
            return self._open(layer, sources, 0, per_row)
        if layer.compute_dtype != "float32":
            dtype = layer.compute_dtype
            refuse(layer, f"it computes in {dtype}, expected float32; save the network with the float32 policy")
        if isinstance(layer, layers.TimeDistributed):
            rows = tuple((shape[0], *shape[2:]) for shape in shapes)
            return self.add(layer.layer, name, sources, rows, True)
        if isinstance(layer, layers.Masking):
            self.masking.append(layer)
            return sources[0]
        if isinstance(layer, DROPPED):
            return sources[0]
        if getattr(layer, "data_format", "channels_last") not in ("channels_last", None):
            refuse(layer, f"data_format='{layer.data_format}' is not supported; use 'channels_last'")
        if isinstance(layer, layers.Reshape) and not per_row:
            layer = plain_reshape(layer, shapes[0])
        self.calls.append(LayerCall(name, self._safe(name), layer, sources, shapes, per_row))
        return len(self.calls) - 1

    def _safe(self, name: str) -> str:
        plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)
        free, number = plain, 1
        while free in self.names:
            number += 1
            free = f"{plain}_{number}"
        self.names.add(free)
        return free

"""Fold normalizations into the weights of the layer before or after them, where that is exact.

A folded normalization costs nothing and is not rounded a second time. One that cannot be folded becomes a convolution
over one row (`layer_copies.apply_affine`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
from keras import layers

from edgequake.convert.streaming.layer_graph import INPUT, LayerCall, LayerGraph, refuse

Array = np.ndarray[Any, np.dtype[np.float64]]
Weights = list[Array] | None  # in place of a layer's own, in Keras' order, with the bias last

DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
CONVOLUTIONS = (layers.Conv1D, layers.Conv2D, *DEPTHWISE, layers.SeparableConv1D, layers.SeparableConv2D)
RECURRENT = (layers.LSTM, layers.GRU, layers.SimpleRNN)
NORMALIZATIONS = (layers.BatchNormalization, layers.Normalization, layers.Rescaling)


@dataclass(frozen=True)
class Affine:
    """x * scale + offset, along the last axis; both have shape (n,)."""

    scale: Array
    offset: Array


@dataclass(frozen=True)
class FoldedGraph:
    """A layer graph without the normalizations that were folded into other layers' weights."""

    graph: LayerGraph
    weights: dict[int, list[Array]] = field(default_factory=dict)  # call -> weights in Keras' order, bias last


def affine_of(call: LayerCall) -> Affine:
    """Return a normalization as scale and offset of the last axis.

    Raises
    ------
    ModelError
        It normalizes another axis.
    """
    layer, width = call.layer, int(call.shapes[0][-1] or 0)
    if isinstance(layer, layers.Rescaling):
        return Affine(np.broadcast_to(np.float64(layer.scale), width), np.broadcast_to(np.float64(layer.offset), width))
    axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    last = len(call.shapes[0]) - 1
    if [axis % (last + 1) for axis in axes if axis is not None] != [last]:
        refuse(call, f"it normalizes axis {layer.axis}; use axis=-1, the features")
    if isinstance(layer, layers.Normalization):
        mean, deviation = (np.asarray(value, np.float64).reshape(-1) for value in (layer.mean, layer.variance))
        scale = np.broadcast_to(1 / np.maximum(np.sqrt(deviation), keras.config.epsilon()), width)
        return Affine(1 / scale, mean) if layer.invert else Affine(scale, -mean * scale)
    mean, variance = (np.asarray(value, np.float64) for value in (layer.moving_mean, layer.moving_variance))
    scale = 1 / np.sqrt(variance + layer.epsilon)
    if layer.scale:
        scale = scale * np.asarray(layer.gamma, np.float64)
    return Affine(scale, (np.asarray(layer.beta, np.float64) if layer.center else 0.0) - mean * scale)


def fold(graph: LayerGraph) -> FoldedGraph:
    """Fold every normalization that has a suitable neighbour."""
    weights: dict[int, list[Array]] = {}
    redirect: dict[int, int] = {}
    for index, call in enumerate(graph.calls):
        if not isinstance(call.layer, NORMALIZATIONS):
            continue
        before, readers = _resolve(call.sources[0], redirect), graph.readers(index)
        if before != INPUT and _folds_into_source(graph, before, index):
            weights[before] = _scaled_outputs(graph.calls[before], weights.get(before), affine_of(call))
        elif len(readers) == 1 and index != graph.output and _folds_into_reader(graph.calls[readers[0]], call):
            reader = readers[0]
            weights[reader] = _scaled_inputs(graph.calls[reader], weights.get(reader), affine_of(call))
        else:
            continue
        redirect[index] = before
    calls = tuple(
        replace(call, sources=tuple(_resolve(source, redirect) for source in call.sources)) for call in graph.calls
    )
    return FoldedGraph(replace(graph, calls=calls, output=_resolve(graph.output, redirect)), weights)


def _resolve(index: int, redirect: dict[int, int]) -> int:
    while index in redirect:
        index = redirect[index]
    return index


def _folds_into_source(graph: LayerGraph, before: int, index: int) -> bool:
    """Whether the layer before a normalization is linear and has no other reader."""
    call = graph.calls[before]
    linear = isinstance(call.layer, (layers.Dense, *CONVOLUTIONS)) and call.layer.activation is keras.activations.linear
    alone = graph.calls[index].sources == (before,) and graph.readers(before) == [index]
    return linear and alone and call.per_row == graph.calls[index].per_row


def _folds_into_reader(reader: LayerCall, call: LayerCall) -> bool:
    """Whether the layer after a normalization reads nothing else: a convolution's zero padding is not normalized."""
    if reader.per_row != call.per_row:
        return False
    if isinstance(reader.layer, (layers.Conv1D, layers.Conv2D)):
        unpadded = reader.layer.padding == "valid" or set(reader.layer.kernel_size) == {1}
        return unpadded and reader.layer.groups == 1
    return isinstance(reader.layer, (layers.Dense, *RECURRENT))


def full_weights(layer: Any) -> list[Array]:
    """Return a layer's weights with a bias, of zeros where it has none."""
    weights = [np.asarray(weight, np.float64) for weight in layer.get_weights()]
    if layer.use_bias:
        return weights
    if isinstance(layer, layers.GRU):
        width = weights[0].shape[1]
        return [*weights, np.zeros((2, width) if layer.reset_after else width)]
    kernel = weights[-1]
    n_outputs = kernel.shape[-2] * kernel.shape[-1] if isinstance(layer, DEPTHWISE) else kernel.shape[-1]
    return [*weights, np.zeros(n_outputs)]


def _scaled_outputs(call: LayerCall, weights: Weights, affine: Affine) -> list[Array]:
    *others, kernel, bias = weights or full_weights(call.layer)
    # the last axis is the features out; of a depthwise kernel the last two are (features in, multiplier)
    scale = affine.scale.reshape(kernel.shape[-2:]) if isinstance(call.layer, DEPTHWISE) else affine.scale
    return [*others, kernel * scale, bias * affine.scale + affine.offset]


def _scaled_inputs(call: LayerCall, weights: Weights, affine: Affine) -> list[Array]:
    kernel, *others, bias = weights or full_weights(call.layer)
    from_offset = affine.offset @ kernel.reshape(-1, *kernel.shape[-2:]).sum(axis=0)  # (..., features in, out)
    if bias.ndim == 2:  # the two biases of a GRU, for the row and for h
        bias = np.stack([bias[0] + from_offset, bias[1]])
    else:
        bias = bias + from_offset
    return [kernel * affine.scale[:, np.newaxis], *others, bias]

"""Normalisation as scale and offset, folded into the weights of the layer before or after it where that is exact.

What is folded costs nothing and is not rounded a second time. What cannot be folded becomes a convolution over one row
(`copies.apply_affine`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
from keras import layers

from edgequake.convert.streaming.layer_graph import INPUT, LayerCall, LayerGraph, refuse

Array = np.ndarray[Any, np.dtype[np.float64]]

CONVOLUTIONS = (
    layers.Conv1D,
    layers.Conv2D,
    layers.DepthwiseConv1D,
    layers.DepthwiseConv2D,
    layers.SeparableConv1D,
    layers.SeparableConv2D,
)
RECURRENT = (layers.LSTM, layers.GRU, layers.SimpleRNN)
NORMALIZATIONS = (layers.BatchNormalization, layers.Normalization, layers.Rescaling)


@dataclass(frozen=True)
class Affine:
    """x * scale + offset, along the last axis; both have shape (n,)."""

    scale: Array
    offset: Array


@dataclass(frozen=True)
class Folded:
    """A layer graph without the normalisations that went into other layers' weights."""

    graph: LayerGraph
    weights: dict[int, list[Array]] = field(default_factory=dict)  # place -> weights in Keras' order, bias last


def affine_of(place: LayerCall) -> Affine:
    """Return what a normalisation does to the last axis.

    Raises
    ------
    ModelError
        It normalises another axis.
    """
    layer, width = place.layer, int(place.shapes[0][-1] or 0)
    if isinstance(layer, layers.Rescaling):
        return Affine(np.broadcast_to(np.float64(layer.scale), width), np.broadcast_to(np.float64(layer.offset), width))
    axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    last = len(place.shapes[0]) - 1
    if [axis % (last + 1) for axis in axes if axis is not None] != [last]:
        refuse(place, f"it normalises axis {layer.axis}; use axis=-1, the features")
    if isinstance(layer, layers.Normalization):
        mean, deviation = (np.asarray(value, np.float64).reshape(-1) for value in (layer.mean, layer.variance))
        scale = np.broadcast_to(1 / np.maximum(np.sqrt(deviation), keras.config.epsilon()), width)
        return Affine(1 / scale, mean) if layer.invert else Affine(scale, -mean * scale)
    mean, variance = (np.asarray(value, np.float64) for value in (layer.moving_mean, layer.moving_variance))
    scale = 1 / np.sqrt(variance + layer.epsilon)
    if layer.scale:
        scale = scale * np.asarray(layer.gamma, np.float64)
    return Affine(scale, (np.asarray(layer.beta, np.float64) if layer.center else 0.0) - mean * scale)


def fold(graph: LayerGraph) -> Folded:
    """Fold every normalisation that has a neighbour to take it."""
    weights: dict[int, list[Array]] = {}
    redirect: dict[int, int] = {}
    for index, place in enumerate(graph.places):
        if not isinstance(place.layer, NORMALIZATIONS):
            continue
        before, readers = _root(place.sources[0], redirect), graph.readers(index)
        if before != INPUT and _takes_after(graph, before, index):
            weights[before] = _scaled_outputs(graph.places[before], weights.get(before), affine_of(place))
        elif len(readers) == 1 and index != graph.output and _takes_before(graph.places[readers[0]], place):
            reader = readers[0]
            weights[reader] = _scaled_inputs(graph.places[reader], weights.get(reader), affine_of(place))
        else:
            continue
        redirect[index] = before
    places = tuple(
        replace(place, sources=tuple(_root(source, redirect) for source in place.sources)) for place in graph.places
    )
    return Folded(replace(graph, places=places, output=_root(graph.output, redirect)), weights)


def _root(index: int, redirect: dict[int, int]) -> int:
    while index in redirect:
        index = redirect[index]
    return index


def _takes_after(graph: LayerGraph, before: int, index: int) -> bool:
    """Whether the layer before a normalisation is linear and read by nothing else."""
    place = graph.places[before]
    linear = (
        isinstance(place.layer, (layers.Dense, *CONVOLUTIONS)) and place.layer.activation is keras.activations.linear
    )
    alone = graph.places[index].sources == (before,) and graph.readers(before) == [index]
    return linear and alone and place.per_row == graph.places[index].per_row


def _takes_before(reader: LayerCall, place: LayerCall) -> bool:
    """Whether the layer after a normalisation sees only true rows: a convolution's zeros of padding are none."""
    if reader.per_row != place.per_row:
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
    depthwise = isinstance(layer, (layers.DepthwiseConv1D, layers.DepthwiseConv2D))
    return [*weights, np.zeros(kernel.shape[-2] * kernel.shape[-1] if depthwise else kernel.shape[-1])]


def _scaled_outputs(place: LayerCall, weights: list[Array] | None, affine: Affine) -> list[Array]:
    *others, kernel, bias = weights or full_weights(place.layer)
    if isinstance(place.layer, (layers.DepthwiseConv1D, layers.DepthwiseConv2D)):
        kernel = kernel * affine.scale.reshape(kernel.shape[-2:])  # (..., features in, multiplier)
    else:
        kernel = kernel * affine.scale  # (..., features out)
    return [*others, kernel, bias * affine.scale + affine.offset]


def _scaled_inputs(place: LayerCall, weights: list[Array] | None, affine: Affine) -> list[Array]:
    kernel, *others, bias = weights or full_weights(place.layer)
    from_offset = affine.offset @ kernel.reshape(-1, *kernel.shape[-2:]).sum(axis=0)  # (..., features in, out)
    if bias.ndim == 2:  # a GRU's two biases, of the row and of h
        bias = np.stack([bias[0] + from_offset, bias[1]])
    else:
        bias = bias + from_offset
    return [kernel * affine.scale[:, np.newaxis], *others, bias]

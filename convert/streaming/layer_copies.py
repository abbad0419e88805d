"""Layers copied into another graph, with their weights: the original network stays as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import layers, ops

from edgequake.convert.streaming.affine_folding import NORMALIZATIONS, Array, Folded, affine_of, full_weights
from edgequake.convert.streaming.layer_graph import INPUT, LayerCall, LayerGraph


def copy_layer(layer: Any, tensors: list[Any], weights: list[Array] | None = None, **changes: Any) -> Any:
    """Apply a copy of a layer.

    Parameters
    ----------
    weights : in place of the layer's own, with a bias.
    changes : to the layer's configuration.
    """
    if weights is not None:
        changes["use_bias"] = True
    copy = type(layer).from_config({**layer.get_config(), **changes})
    single = tensors[0] if len(tensors) == 1 else tensors
    result = copy(single, training=False) if isinstance(layer, layers.BatchNormalization) else copy(single)
    if layer.weights:
        copy.set_weights(
            layer.get_weights() if weights is None else [np.asarray(weight, np.float32) for weight in weights]
        )
    return result


def apply_affine(place: LayerCall, tensor: Any) -> Any:
    """Apply a normalisation to a tensor (1, rows, ..., features): a convolution over one row.

    Its weights have a scale a feature in 8 bits, and its offset is a 32-bit integer, where a multiplication would round
    all features' factors to one scale. Its kernel is diagonal: DEPTHWISE_CONV_2D would do without the zeros, but its
    8-bit results differ by 1 between the runtimes (one in 300), and those of CONV_2D do not.
    """
    affine = affine_of(place)
    shape = tuple(int(size) for size in tensor.shape)
    layer = layers.Conv2D(shape[-1], 1, name=place.name)
    result = layer(ops.reshape(tensor, (1, -1, 1, shape[-1])))
    kernel = np.diag(affine.scale)[np.newaxis, np.newaxis]  # (1, 1, features, features)
    layer.set_weights([kernel.astype(np.float32), affine.offset.astype(np.float32)])
    return ops.reshape(result, shape)


def ungrouped(place: LayerCall, weights: list[Array] | None) -> tuple[dict[str, Any], list[Array] | None]:
    """Return changes and weights that make a convolution in groups one without: the runtimes have no such operator.

    Its kernel (..., features in, features out) is zero outside the groups.
    """
    layer = place.layer
    if getattr(layer, "groups", 1) == 1:
        return {}, weights
    kernel, bias = weights or full_weights(layer)
    n_in, n_out = kernel.shape[-2], kernel.shape[-1] // layer.groups
    whole = np.zeros((*kernel.shape[:-2], n_in * layer.groups, kernel.shape[-1]))
    for group in range(layer.groups):
        made = slice(group * n_out, (group + 1) * n_out)
        whole[..., group * n_in : (group + 1) * n_in, made] = kernel[..., made]
    return {"groups": 1}, [whole, bias]


def rebuilt(graph: LayerGraph, tensor: Any) -> Any:
    """Return the output of the whole network on a tensor with any number of rows, layer by layer from copies."""
    made = {INPUT: tensor}
    for index, place in enumerate(graph.places):
        sources = [made[source] for source in place.sources]
        changes: dict[str, Any] = {"name": place.name}
        if getattr(place.layer, "stateful", False):
            changes["stateful"] = False
        if getattr(place.layer, "return_state", False):
            changes["return_state"] = False
        if isinstance(place.layer, layers.Reshape) and len(place.layer.target_shape) > 1 and not place.per_row:
            changes["target_shape"] = (-1, *place.layer.target_shape[1:])  # as many rows as come
        if place.per_row:
            made[index] = _per_row(place, sources[0], changes)
        else:
            made[index] = copy_layer(place.layer, sources, **changes)
    return made[graph.output]


def _per_row(place: LayerCall, tensor: Any, changes: dict[str, Any]) -> Any:
    inner = type(place.layer).from_config({**place.layer.get_config(), **changes, "name": f"{place.name}_row"})
    wrapped = layers.TimeDistributed(inner, name=place.name)
    result = wrapped(tensor)
    if place.layer.weights:
        inner.set_weights(place.layer.get_weights())
    return result


def whole_window(folded: Folded, tensor: Any) -> Any:
    """Return the output of the network on a whole window (1, n_rows, features) as inference needs it."""
    made = {INPUT: tensor}
    for index, place in enumerate(folded.graph.places):
        sources = [made[source] for source in place.sources]
        changes, weights = ungrouped(place, folded.weights.get(index))
        if isinstance(place.layer, NORMALIZATIONS):
            made[index] = apply_affine(place, sources[0])
        elif place.per_row:
            made[index] = per_row_copy(place, sources[0], weights)
        else:
            made[index] = copy_layer(place.layer, sources, weights, name=place.name, **changes)
    return made[folded.graph.output]


def per_row_copy(place: LayerCall, tensor: Any, weights: list[Array] | None) -> Any:
    """Apply what TimeDistributed holds to (1, n_rows, *row_shape), each row as one of a batch."""
    n_rows = int(tensor.shape[1])
    rows = ops.reshape(tensor, tuple(tensor.shape[1:]))  # (n_rows, *row_shape)
    changes, weights = ungrouped(place, weights)
    result = copy_layer(place.layer, [rows], weights, name=place.name, **changes)
    return ops.reshape(result, (1, n_rows, *result.shape[1:]))

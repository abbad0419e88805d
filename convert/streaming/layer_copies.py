"""Copy layers with their weights into another graph; the original network is left unchanged."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import layers, ops

from edgequake.convert.streaming.affine_folding import NORMALIZATIONS, FoldedGraph, Weights, affine_of, full_weights
from edgequake.convert.streaming.layer_graph import INPUT, LayerCall, LayerGraph


def copy_layer(layer: Any, tensors: list[Any], weights: Weights = None, **changes: Any) -> Any:
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


def apply_affine(call: LayerCall, tensor: Any) -> Any:
    """Apply a normalization to a tensor (1, rows, ..., features): a convolution over one row.

    Its weights have one scale per feature in 8 bits, and its offset is a 32-bit integer, whereas a multiplication would
    round the factors of all features to one scale. Its kernel is diagonal. DEPTHWISE_CONV_2D would need no zeros, but
    its 8-bit results differ by 1 between the runtimes (one in 300), and those of CONV_2D do not.
    """
    affine = affine_of(call)
    shape = tuple(int(size) for size in tensor.shape)
    layer = layers.Conv2D(shape[-1], 1, name=call.scope)
    result = layer(ops.reshape(tensor, (1, -1, 1, shape[-1])))
    kernel = np.diag(affine.scale)[np.newaxis, np.newaxis]  # (1, 1, features, features)
    layer.set_weights([kernel.astype(np.float32), affine.offset.astype(np.float32)])
    return ops.reshape(result, shape)


def without_groups(call: LayerCall, weights: Weights) -> tuple[dict[str, Any], Weights]:
    """Return the changes and weights that turn a grouped convolution, which the runtimes lack, into a plain one.

    Its kernel (..., features in, features out) is zero outside the groups.
    """
    layer = call.layer
    if getattr(layer, "groups", 1) == 1:
        return {}, weights
    kernel, bias = weights or full_weights(layer)
    n_in, n_out = kernel.shape[-2], kernel.shape[-1] // layer.groups
    whole = np.zeros((*kernel.shape[:-2], n_in * layer.groups, kernel.shape[-1]))
    for group in range(layer.groups):
        outputs = slice(group * n_out, (group + 1) * n_out)
        whole[..., group * n_in : (group + 1) * n_in, outputs] = kernel[..., outputs]
    return {"groups": 1}, [whole, bias]


def copy_per_row(call: LayerCall, tensor: Any, weights: Weights) -> Any:
    """Apply a layer inside TimeDistributed to (1, n_rows, *row_shape), with each row as one of a batch."""
    n_rows = int(tensor.shape[1])
    rows = ops.reshape(tensor, tuple(tensor.shape[1:]))  # (n_rows, *row_shape)
    changes, weights = without_groups(call, weights)
    result = copy_layer(call.layer, [rows], weights, name=call.scope, **changes)
    return ops.reshape(result, (1, n_rows, *result.shape[1:]))


def mean_of_images(tensor: Any, keepdims: bool = False) -> Any:
    """Return the mean of (1, rows, features, channels) over features, then over rows.

    The runtimes add one value after the other in 32 bits: over thousands of values at once, the rounding of the sum
    is 1e-5 of it (Keras adds by parts, and is nearer).
    """
    return ops.mean(ops.mean(tensor, axis=2, keepdims=keepdims), axis=1, keepdims=keepdims)


def apply_to_window(folded: FoldedGraph, tensor: Any) -> Any:
    """Return the output of the folded network on a whole window (1, n_rows, features)."""
    made = {INPUT: tensor}
    for index, call in enumerate(folded.graph.calls):
        sources = [made[source] for source in call.sources]
        weights = folded.weights.get(index)
        if isinstance(call.layer, NORMALIZATIONS):
            made[index] = apply_affine(call, sources[0])
        elif call.per_row:
            made[index] = copy_per_row(call, sources[0], weights)
        elif isinstance(call.layer, layers.GlobalAveragePooling2D):
            made[index] = mean_of_images(sources[0], call.layer.keepdims)
        else:
            changes, weights = without_groups(call, weights)
            made[index] = copy_layer(call.layer, sources, weights, name=call.scope, **changes)
    return made[folded.graph.output]


def rebuild(graph: LayerGraph, tensor: Any) -> Any:
    """Return the output of the original network on a tensor with any number of rows, from copies of its layers."""
    made = {INPUT: tensor}
    for index, call in enumerate(graph.calls):
        sources = [made[source] for source in call.sources]
        changes: dict[str, Any] = {"name": call.scope}
        changes |= {name: False for name in ("stateful", "return_state") if getattr(call.layer, name, False)}
        if isinstance(call.layer, layers.Reshape) and len(call.layer.target_shape) > 1 and not call.per_row:
            changes["target_shape"] = (-1, *call.layer.target_shape[1:])  # for any number of rows
        if call.per_row:
            made[index] = _time_distributed(call, sources[0], changes)
        else:
            made[index] = copy_layer(call.layer, sources, **changes)
    return made[graph.output]


def _time_distributed(call: LayerCall, tensor: Any, changes: dict[str, Any]) -> Any:
    inner = type(call.layer).from_config({**call.layer.get_config(), **changes, "name": f"{call.scope}.row"})
    result = layers.TimeDistributed(inner, name=call.scope)(tensor)
    if call.layer.weights:
        inner.set_weights(call.layer.get_weights())
    return result

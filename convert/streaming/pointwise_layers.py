"""Layers that work on each row alone, and those that join branches."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from keras import layers, ops

from edgequake.convert.streaming.affine_folding import CONVOLUTIONS, NORMALIZATIONS, Array
from edgequake.convert.streaming.layer_copies import apply_affine, copy_layer, per_row_copy
from edgequake.convert.streaming.layer_graph import LayerCall, refuse
from edgequake.convert.streaming.state import Build, TensorStream
from edgequake.convert.streaming.temporal_layers import POOLS, is_not_negative

ACTIVATIONS = (
    layers.Activation,
    layers.ReLU,
    layers.LeakyReLU,
    layers.PReLU,
    layers.ELU,
    layers.Softmax,
)
MERGES = (
    layers.Add,
    layers.Subtract,
    layers.Multiply,
    layers.Average,
    layers.Maximum,
    layers.Minimum,
    layers.Concatenate,
)
IN_TIME_DISTRIBUTED = (
    layers.Dense,
    layers.Flatten,
    layers.Reshape,
    layers.Permute,
    layers.LayerNormalization,
    layers.ZeroPadding1D,
    layers.Cropping1D,
    layers.GlobalAveragePooling1D,
    layers.GlobalMaxPooling1D,
    layers.GlobalAveragePooling2D,
    layers.GlobalMaxPooling2D,
    *POOLS,
    *CONVOLUTIONS,
    *ACTIVATIONS,
    *NORMALIZATIONS,
)


def densely(build: Build, place: LayerCall, sources: list[TensorStream], weights: list[Array] | None) -> TensorStream:
    """Apply a Dense layer to the last axis: as one matrix product, for which there is an operator."""
    layer, stream = place.layer, sources[0]
    not_negative = is_not_negative(layer)
    if len(stream.row_shape) == 1:
        x = copy_layer(layer, [stream.simplest()], weights, name=place.name)
        return stream.becomes(x, non_negative=not_negative)
    flat = ops.reshape(stream.x, (-1, stream.row_shape[-1]))
    x = copy_layer(layer, [flat], weights, name=place.name)
    x = ops.reshape(x, (1, stream.n_rows, *stream.row_shape[:-1], layer.units))
    return stream.becomes(x, non_negative=not_negative)


def activate(build: Build, place: LayerCall, sources: list[TensorStream], weights: list[Array] | None) -> TensorStream:
    """Apply an activation; PReLU's slopes must be the same for every row."""
    layer, stream = place.layer, sources[0]
    if isinstance(layer, layers.Softmax) and layer.axis not in (-1, len(place.shapes[0]) - 1):
        refuse(place, f"it works along axis {layer.axis}; use axis=-1, the features")
    if isinstance(layer, layers.PReLU) and not stream.sums_up and 1 not in (layer.shared_axes or ()):
        refuse(place, "it has a slope for every row of a window; use shared_axes=[1]")
    never_below = is_not_negative(layer) or (isinstance(layer, layers.ReLU) and not layer.negative_slope)
    if isinstance(layer, layers.PReLU):
        return stream.becomes(_prelu(layer, stream.simplest()))
    return stream.becomes(copy_layer(layer, [stream.simplest()], name=place.name), non_negative=never_below)


def _prelu(layer: Any, x: Any) -> Any:
    """Apply PReLU by operators that there are for 16-bit integers too."""
    slopes = np.asarray(layer.get_weights()[0], np.float32)
    return ops.relu(x) + ops.minimum(x, 0.0) * slopes.reshape(slopes.shape[-1:] if len(x.shape) == 2 else slopes.shape)


def normalize(build: Build, place: LayerCall, sources: list[TensorStream], weights: list[Array] | None) -> TensorStream:
    """Apply a normalisation that no neighbour could take."""
    stream = sources[0]
    return stream.becomes(apply_affine(place, stream.simplest()))


def normalize_rows(
    build: Build, place: LayerCall, sources: list[TensorStream], weights: list[Array] | None
) -> TensorStream:
    """Normalise each row by its own mean and variance."""
    layer, stream = place.layer, sources[0]
    axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    rank = len(place.shapes[0])
    if not stream.sums_up and any(axis % rank < 2 for axis in axes):
        refuse(place, f"it normalises axis {layer.axis}, over time; use axis=-1, the features")
    if axes not in ([-1], [rank - 1]) or getattr(layer, "rms_scaling", False):
        refuse(place, "it normalises several axes or by the root mean square; use LayerNormalization(axis=-1)")
    return stream.becomes(_normalized(layer, stream.simplest()))


def _normalized(layer: Any, x: Any) -> Any:
    """Normalise the last axis by operators that there are for 8-bit integers (Ba et al. 2016, arXiv:1607.06450)."""
    centred = x - ops.mean(x, axis=-1, keepdims=True)
    variance = ops.mean(centred * centred, axis=-1, keepdims=True)
    x = centred * ops.rsqrt(variance + layer.epsilon)
    if layer.scale:
        x = x * np.asarray(layer.gamma, np.float32)
    return x + np.asarray(layer.beta, np.float32) if layer.center else x


def apply_to_rows(
    build: Build, place: LayerCall, sources: list[TensorStream], weights: list[Array] | None
) -> TensorStream:
    """Apply what TimeDistributed holds."""
    stream = sources[0]
    if not isinstance(place.layer, IN_TIME_DISTRIBUTED):
        refuse(place, "TimeDistributed cannot hold it; use Dense, convolutions, pooling, Flatten or activations there")
    if isinstance(place.layer, layers.Dense):
        return densely(build, place, sources, weights)
    if isinstance(place.layer, NORMALIZATIONS):
        return normalize(build, place, sources, weights)
    x = per_row_copy(place, stream.as_rows(), weights)
    keeps_sign = stream.non_negative and isinstance(place.layer, (layers.Flatten, layers.Reshape, *POOLS))
    return stream.becomes(x, non_negative=keeps_sign or is_not_negative(place.layer))


def merge(build: Build, place: LayerCall, sources: list[TensorStream], weights: list[Array] | None) -> TensorStream:
    """Join branches, row by row."""
    layer, first = place.layer, sources[0]
    if isinstance(layer, layers.Concatenate):
        rank = len(place.shapes[0])
        if layer.axis % rank == 1 and not first.sums_up:
            refuse(place, "it puts rows of one branch after those of another; use axis=-1, the features")
    if len({stream.sums_up for stream in sources}) > 1:
        refuse(place, "one branch sums up the window and another does not; join two of a kind")
    if not first.sums_up and len({(stream.n_rows, stream.offset) for stream in sources}) > 1:
        told = ", ".join(f"{stream.n_rows} rows a step, {stream.offset} late" for stream in sources)
        refuse(place, f"its branches are not in step ({told}); give them the same strides and the same padding")
    flat = all(len(stream.row_shape) == 1 for stream in sources)
    tensors = [stream.simplest() if flat else stream.as_rows() for stream in sources]
    signs = isinstance(layer, layers.Subtract) or not all(stream.non_negative for stream in sources)
    return first.becomes(copy_layer(layer, tensors, name=place.name), non_negative=not signs)


def reshape(build: Build, place: LayerCall, sources: list[TensorStream], weights: list[Array] | None) -> TensorStream:
    """Give rows another shape, or take a few rows together as one."""
    stream = sources[0]
    new_row = row_of_reshape(place)
    n_together = rows_together(place)
    if stream.sums_up or stream.offset % n_together:
        refuse(place, "it takes rows together that do not come in one step; reshape before the valid convolutions")
    n_rows = stream.n_rows // n_together
    x = ops.reshape(stream.x, (1, n_rows, *new_row))
    return stream.becomes(
        x, n_rows=n_rows, offset=stream.offset // n_together, row_shape=new_row, non_negative=stream.non_negative
    )


def permute(build: Build, place: LayerCall, sources: list[TensorStream], weights: list[Array] | None) -> TensorStream:
    """Exchange the axes within a row."""
    dims = tuple(place.layer.dims)
    if dims[0] != 1:
        refuse(place, f"dims={dims} moves the axis of time; keep 1 in the first place")
    x = ops.transpose(sources[0].as_rows(), (0, *dims))
    return sources[0].becomes(x, non_negative=sources[0].non_negative)


def row_of_reshape(place: LayerCall) -> tuple[int, ...]:
    """Return the shape of a row after Reshape.

    Raises
    ------
    ModelError
        The new shape does not keep the rows in order, or cuts them.
    """
    target = tuple(place.layer.target_shape)
    row = math.prod(size or 0 for size in place.shapes[0][2:])
    new_row = target[1:]
    if len(new_row) not in (1, 2) or -1 in new_row or math.prod(new_row) % max(row, 1):
        refuse(
            place,
            f"{target} does not keep rows whole; use (-1, features) with a multiple of {row} numbers a row",
        )
    return tuple(int(size) for size in new_row)


def rows_together(place: LayerCall) -> int:
    """Return how many rows Reshape makes one of."""
    return math.prod(row_of_reshape(place)) // math.prod(size or 1 for size in place.shapes[0][2:])

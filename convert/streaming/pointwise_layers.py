"""Layers that work on each row alone, and layers that merge branches."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from keras import layers, ops

from edgequake.convert.streaming.affine_folding import CONVOLUTIONS, NORMALIZATIONS, Weights
from edgequake.convert.streaming.layer_copies import apply_affine, copy_layer, copy_per_row
from edgequake.convert.streaming.layer_graph import LayerCall, refuse
from edgequake.convert.streaming.operation_layers import ARITHMETIC
from edgequake.convert.streaming.state import StepBuilder, Streams, TensorStream
from edgequake.convert.streaming.temporal_layers import GLOBAL_MAXIMA, GLOBAL_MEANS, POOLS, is_non_negative

ACTIVATIONS = (layers.Activation, layers.ReLU, layers.LeakyReLU, layers.PReLU, layers.ELU, layers.Softmax)
MERGES = (*ARITHMETIC, layers.Average, layers.Concatenate)
IN_TIME_DISTRIBUTED = (
    *(layers.Dense, layers.Flatten, layers.Reshape, layers.Permute),
    *(layers.LayerNormalization, layers.ZeroPadding1D, layers.Cropping1D),
    *GLOBAL_MAXIMA,
    *GLOBAL_MEANS,
    *POOLS,
    *CONVOLUTIONS,
    *ACTIVATIONS,
    *NORMALIZATIONS,
)


def dense(build: StepBuilder, call: LayerCall, sources: Streams, weights: Weights) -> TensorStream:
    """Apply a Dense layer to the last axis, as one matrix product."""
    stream = sources[0]
    is_flat = len(stream.row_shape) == 1
    x = stream.simplest() if is_flat else ops.reshape(stream.x, (-1, stream.row_shape[-1]))
    x = copy_layer(call.layer, [x], weights, name=call.scope)
    if not is_flat:
        x = ops.reshape(x, (1, stream.n_rows, *stream.row_shape[:-1], call.layer.units))
    return stream.becomes(x, non_negative=is_non_negative(call.layer))


def activate(build: StepBuilder, call: LayerCall, sources: Streams, weights: Weights) -> TensorStream:
    """Apply an activation; PReLU's slopes must be the same for every row."""
    layer, stream = call.layer, sources[0]
    if isinstance(layer, layers.Softmax) and layer.axis not in (-1, len(call.shapes[0]) - 1):
        refuse(call, f"it works along axis {layer.axis}; use axis=-1, the features")
    if isinstance(layer, layers.PReLU) and not stream.aggregated and 1 not in (layer.shared_axes or ()):
        refuse(call, "it has a slope for every row of a window; use shared_axes=[1]")
    non_negative = is_non_negative(layer) or (isinstance(layer, layers.ReLU) and not layer.negative_slope)
    if isinstance(layer, layers.PReLU):
        return stream.becomes(_prelu(layer, stream.simplest()))
    return stream.becomes(copy_layer(layer, [stream.simplest()], name=call.scope), non_negative=non_negative)


def _prelu(layer: Any, x: Any) -> Any:
    """Apply PReLU with operators that exist for 16-bit integers too."""
    slopes = np.asarray(layer.get_weights()[0], np.float32)
    return ops.relu(x) + ops.minimum(x, 0.0) * slopes.reshape(slopes.shape[-1:] if len(x.shape) == 2 else slopes.shape)


def normalize(build: StepBuilder, call: LayerCall, sources: Streams, weights: Weights) -> TensorStream:
    """Apply a normalization that could not be folded into a neighbour."""
    return sources[0].becomes(apply_affine(call, sources[0].simplest()))


def normalize_rows(build: StepBuilder, call: LayerCall, sources: Streams, weights: Weights) -> TensorStream:
    """Normalize each row by its own mean and variance."""
    layer, stream = call.layer, sources[0]
    axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    rank = len(call.shapes[0])
    if not stream.aggregated and any(axis % rank < 2 for axis in axes):
        refuse(call, f"it normalizes axis {layer.axis}, over time; use axis=-1, the features")
    if axes not in ([-1], [rank - 1]) or getattr(layer, "rms_scaling", False):
        refuse(call, "it normalizes several axes or by the root mean square; use LayerNormalization(axis=-1)")
    return stream.becomes(_normalized(layer, stream.simplest()))


def _normalized(layer: Any, x: Any) -> Any:
    """Normalize the last axis with operators that exist for 8-bit integers (Ba et al. 2016, arXiv:1607.06450)."""
    centred = x - ops.mean(x, axis=-1, keepdims=True)
    variance = ops.mean(centred * centred, axis=-1, keepdims=True)
    x = centred * ops.rsqrt(variance + layer.epsilon)
    if layer.scale:
        x = x * np.asarray(layer.gamma, np.float32)
    return x + np.asarray(layer.beta, np.float32) if layer.center else x


def apply_per_row(build: StepBuilder, call: LayerCall, sources: Streams, weights: Weights) -> TensorStream:
    """Apply the layer inside TimeDistributed."""
    stream = sources[0]
    if not isinstance(call.layer, IN_TIME_DISTRIBUTED):
        refuse(call, "TimeDistributed cannot hold it; use Dense, convolutions, pooling, Flatten or activations there")
    if isinstance(call.layer, layers.Dense):
        return dense(build, call, sources, weights)
    if isinstance(call.layer, NORMALIZATIONS):
        return normalize(build, call, sources, weights)
    x = copy_per_row(call, stream.as_rows(), weights)
    keeps_sign = stream.non_negative and isinstance(call.layer, (layers.Flatten, layers.Reshape, *POOLS))
    return stream.becomes(x, non_negative=keeps_sign or is_non_negative(call.layer))


def merge(build: StepBuilder, call: LayerCall, sources: Streams, weights: Weights) -> TensorStream:
    """Merge branches, row by row."""
    layer, first = call.layer, sources[0]
    if isinstance(layer, layers.Concatenate) and layer.axis % len(call.shapes[0]) == 1 and not first.aggregated:
        refuse(call, "it appends the rows of one branch to those of another; use axis=-1, the features")
    if len({stream.aggregated for stream in sources}) > 1:
        refuse(call, "one branch aggregates the window and another does not; merge two of a kind")
    if len({stream.n_rows for stream in sources}) > 1:
        numbers = ", ".join(str(stream.n_rows) for stream in sources)
        refuse(call, f"its branches are not in step ({numbers} rows a step); give them the same strides")
    sources = _in_step(build, call, sources)
    first = sources[0]
    flat = all(len(stream.row_shape) == 1 for stream in sources)
    tensors = [stream.simplest() if flat else stream.as_rows() for stream in sources]
    non_negative = not isinstance(layer, layers.Subtract) and all(stream.non_negative for stream in sources)
    ends_in_zeros = all(stream.ends_in_zeros for stream in sources)
    x = copy_layer(layer, tensors, name=call.scope)
    return first.becomes(x, non_negative=non_negative, ends_in_zeros=ends_in_zeros)


def _in_step(build: StepBuilder, call: LayerCall, sources: Streams) -> Streams:
    """Delay every branch as much as the latest one."""
    if sources[0].aggregated:
        latest = max(stream.complete or 0 for stream in sources)
        return [build.delayed_vector(call, stream, latest - (stream.complete or latest)) for stream in sources]
    offset, position = max(stream.offset for stream in sources), max(stream.position for stream in sources)
    delayed = [build.delayed(call, stream, offset - stream.offset) for stream in sources]
    return [replace(stream, position=position) for stream in delayed]


def reshape(build: StepBuilder, call: LayerCall, sources: Streams, weights: Weights) -> TensorStream:
    """Give rows another shape, or combine a few rows into one."""
    stream = sources[0]
    row_shape, n_combined = reshaped_row(call)
    if stream.aggregated:
        refuse(call, "it reshapes what aggregates a window; leave it out, or use Dense")
    if stream.offset % n_combined:  # the rows that become one must come in one step
        stream = build.delayed(call, stream, -stream.offset % n_combined)
    n_rows = stream.n_rows // n_combined
    x = ops.reshape(stream.x, (1, n_rows, *row_shape))
    changes = {
        "row_shape": row_shape,
        "non_negative": stream.non_negative,
        "ends_in_zeros": stream.ends_in_zeros,
        "n_total": None if stream.n_total is None else stream.n_total // n_combined,
    }
    return stream.becomes(x, n_rows=n_rows, offset=stream.offset // n_combined, **changes)


def permute(build: StepBuilder, call: LayerCall, sources: Streams, weights: Weights) -> TensorStream:
    """Exchange the axes within a row."""
    dims = tuple(call.layer.dims)
    if dims[0] != 1:
        refuse(call, f"dims={dims} moves the axis of time; keep 1 in the first place")
    x = ops.transpose(sources[0].as_rows(), (0, *dims))
    changes = {"non_negative": sources[0].non_negative, "ends_in_zeros": sources[0].ends_in_zeros}
    return sources[0].becomes(x, **changes)


def reshaped_row(call: LayerCall) -> tuple[tuple[int, ...], int]:
    """Return the shape of a row after Reshape, and the number of rows that it combines into one.

    Raises
    ------
    ModelError
        The new shape does not keep the rows in order, or cuts them.
    """
    target = tuple(call.layer.target_shape)
    n_values = math.prod(size or 0 for size in call.shapes[0][2:])
    row_shape = target[1:]
    if len(row_shape) not in (1, 2) or -1 in row_shape or math.prod(row_shape) % max(n_values, 1):
        refuse(
            call, f"{target} does not keep rows whole; use (-1, features) with a multiple of {n_values} values a row"
        )
    n_combined = math.prod(row_shape) // math.prod(size or 1 for size in call.shapes[0][2:])
    return tuple(int(size) for size in row_shape), n_combined

"""Layers that act over time: convolutions and pooling over a few rows, and layers that aggregate a whole window.

Convolutions and pooling slide in one dimension, or in two (time x features), with the rows that they still need as
state.

Layers that aggregate a window (Flatten, global pooling) are exact in windowed mode only: all rows of the window are
kept as state and aggregated again in each step, as in Keras. A running sum would need one state instead, but in 8 bits
it would soon stagnate: the contribution of a row to the mean is less than one step of the sum. A running maximum has no
such fault, and is used where nothing is below zero, the value with which its state begins.
"""

from __future__ import annotations

from typing import Any

from keras import layers, ops

from edgequake.convert.streaming.affine_folding import CONVOLUTIONS, Weights
from edgequake.convert.streaming.layer_copies import copy_layer, without_groups
from edgequake.convert.streaming.layer_graph import WAYS_OUT, LayerCall, refuse
from edgequake.convert.streaming.state import StepBuilder, Streams, TensorStream

POOLS = (layers.MaxPooling1D, layers.AveragePooling1D, layers.MaxPooling2D, layers.AveragePooling2D)
PADDINGS = (layers.ZeroPadding1D, layers.ZeroPadding2D)
GLOBAL_MAXIMA = (layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D)
GLOBAL_MEANS = (layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D)
NON_NEGATIVE = {"relu", "relu6", "sigmoid", "hard_sigmoid", "softmax", "softplus", "exponential"}


def time_stride(layer: Any) -> int:
    """Return how many rows a layer reads for each row that it makes."""
    strides = getattr(layer, "strides", None)
    return 1 if strides is None else _in_time(strides)


def has_context(call: LayerCall) -> bool:
    """Whether a layer combines the new rows with earlier ones."""
    if isinstance(call.layer, PADDINGS):
        return True
    return not call.per_row and isinstance(call.layer, CONVOLUTIONS) and _in_time(call.layer.kernel_size) > 1


def is_non_negative(layer: Any) -> bool:
    """Whether a layer's activation makes no value below zero."""
    return getattr(getattr(layer, "activation", None), "__name__", "") in NON_NEGATIVE


def convolve(build: StepBuilder, call: LayerCall, sources: Streams, weights: Weights) -> TensorStream:
    """Convolve over time, and over the features where the layer has two dimensions."""
    layer, stream = call.layer, sources[0]
    kernel, dilation, stride = (_in_time(size) for size in (layer.kernel_size, layer.dilation_rate, layer.strides))
    reach = (kernel - 1) * dilation
    if layer.padding == "same" and reach:
        in_two = "" if len(stream.row_shape) == 1 else ": ZeroPadding2D(((kernel - 1, 0), ...)) and padding='valid'"
        refuse(call, f"padding='same' reads future rows; use padding='causal'{in_two}")
    if layer.padding == "causal" and stream.zero_rows:
        refuse(call, "zeros come before it and padding='causal' adds more; remove one of the two")
    changes, weights = without_groups(call, weights)
    zero_rows = reach if layer.padding == "causal" else stream.zero_rows
    rows, after = build.sliding_rows(call, stream, reach, stride, zero_rows)
    if layer.padding == "causal":
        changes["padding"] = "valid"
    if after["n_rows"] == 1 and dilation > 1 and len(stream.row_shape) == 1:
        rows, changes["dilation_rate"] = rows[:, ::dilation], 1  # only the rows it needs: one operator, not three
    x = copy_layer(layer, [rows], weights, name=call.name, **changes)
    return stream.becomes(x, non_negative=is_non_negative(layer), **after)


def pool(build: StepBuilder, call: LayerCall, sources: Streams, weights: Weights) -> TensorStream:
    """Take the maximum or the mean of a few rows, and of a few features where the layer has two dimensions."""
    layer, stream = call.layer, sources[0]
    size, stride = _in_time(layer.pool_size), _in_time(layer.strides)
    # With strides equal to the pool, whole steps never need the padding that 'same' adds for a last, partial pool.
    if layer.padding == "same" and (size != stride or stream.offset % stride):
        refuse(call, "padding='same' reads future rows; use padding='valid' with strides equal to pool_size")
    if build.mode == "continuous" and (size - 1) // stride:
        refuse(
            call,
            f"its windows overlap (pool_size {size}, strides {stride}) and shorten a sequence, but a continuous stream "
            "has no first row; use strides equal to pool_size",
        )
    rows, after = build.sliding_rows(call, stream, size - 1, stride, 0)
    changes: dict[str, Any] = {"padding": "valid"} if len(stream.row_shape) == 1 else {}
    x = copy_layer(layer, [rows], name=call.name, **changes)
    return stream.becomes(x, non_negative=stream.non_negative, **after)


def pad(build: StepBuilder, call: LayerCall, sources: Streams, weights: Weights) -> TensorStream:
    """Put zeros before the first row, for the convolution that follows, and beside the features."""
    layer, stream = call.layer, sources[0]
    before, after = layer.padding[0] if len(stream.row_shape) == 2 else layer.padding
    if after:
        refuse(call, f"it adds {after} rows after the newest one; pad before the first row only, ({before + after}, 0)")
    changes: dict[str, Any] = {"zero_rows": stream.zero_rows + before, "non_negative": stream.non_negative}
    if len(stream.row_shape) == 2 and any(layer.padding[1]):
        x = ops.pad(stream.as_rows(), ((0, 0), (0, 0), tuple(layer.padding[1]), (0, 0)))
        return stream.becomes(x, **changes)
    return stream.becomes(stream.x, row_shape=stream.row_shape, **changes)


def crop(build: StepBuilder, call: LayerCall, sources: Streams, weights: Weights) -> TensorStream:
    """Leave out the first and the last rows of a window."""
    stream = sources[0]
    if build.mode == "continuous":
        refuse(call, "a continuous stream has no first and no last row; convert in windowed mode")
    first, last = call.layer.cropping
    x = stream.x
    if last:  # the newest rows are delayed until they are no longer among the last
        x = build.with_context(call, stream, "delay", last)[:, : stream.n_rows]
    return stream.becomes(x, row_shape=stream.row_shape, offset=stream.offset + first + last)


def flatten(build: StepBuilder, call: LayerCall, sources: Streams, weights: Weights) -> TensorStream:
    """Concatenate a window's rows."""
    stream = sources[0]
    if stream.aggregated:
        return stream
    window = _window(build, call, stream)
    n_built, n_rows = call.shapes[0][1], window.shape[1]
    if n_built not in (None, n_rows):
        refuse(call, f"it was built for {n_built} rows and gets {n_rows}; use windows as long as it was built for")
    return _vector(stream, ops.reshape(window, (1, -1)))


def pool_window(build: StepBuilder, call: LayerCall, sources: Streams, weights: Weights) -> TensorStream:
    """Take the maximum or the mean of each feature over the window."""
    stream = sources[0]
    maximum = isinstance(call.layer, GLOBAL_MAXIMA)
    if maximum and stream.non_negative and stream.offset % stream.n_rows == 0:
        return _vector(stream, _running_maximum(build, call, stream))
    window = _window(build, call, stream)
    axes = tuple(range(1, len(stream.row_shape) + 1))
    return _vector(stream, ops.max(window, axis=axes) if maximum else ops.mean(window, axis=axes))


def _running_maximum(build: StepBuilder, call: LayerCall, stream: TensorStream) -> Any:
    build.reset_at_first_row(call, stream)
    rows = stream.as_rows()
    if len(stream.row_shape) == 2:
        rows = ops.max(rows, axis=2)  # (1, n_rows, channels)
    maximum = build.state(call, "max", "recurrent", (1, stream.row_shape[-1]))
    for row in range(stream.n_rows):
        maximum = ops.maximum(maximum, rows[:, row])
    build.keep(call, "max", maximum)
    return maximum


def _window(build: StepBuilder, call: LayerCall, stream: TensorStream) -> Any:
    """Return all rows of a window, complete at its last step, shape (1, n_window, *row_shape)."""
    if build.mode == "continuous":
        refuse(call, WAYS_OUT[call.kind.__name__])
    if build.window_rows is None:
        refuse(call, "the number of rows in a window is not known; build the network with Input((n_rows, n_features))")
    n_window = build.window_rows * stream.n_rows // build.rows_per_step - stream.offset
    if n_window <= 0:
        refuse(call, f"the layers before it need more rows than the {build.window_rows} of a window; use longer ones")
    joined = build.with_context(call, stream, "window", max(0, n_window - stream.n_rows))
    extra = int(joined.shape[1]) - n_window
    return joined[:, extra:] if extra else joined


def _vector(stream: TensorStream, x: Any) -> TensorStream:
    sign = stream.non_negative
    return TensorStream(x=x, n_rows=1, row_shape=(int(x.shape[-1]),), aggregated=True, non_negative=sign)


def _in_time(value: int | tuple[int, ...] | list[int]) -> int:
    """Return the part of a kernel's size or strides that is along time."""
    return int(value if isinstance(value, int) else value[0])

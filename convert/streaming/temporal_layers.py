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
from edgequake.convert.streaming.layer_copies import copy_layer, mean_of_images, without_groups
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
    before, after = stream.zero_rows, stream.zeros_after
    if layer.padding != "valid" and (before or after):
        refuse(call, f"zeros come before it and padding='{layer.padding}' adds more; remove one of the two")
    changes, weights = without_groups(call, weights)
    if layer.padding == "causal":
        before = reach
    elif layer.padding == "same" and reach:
        before, after = same_padding(reach + 1, stride, stream.n_total)
    rows, stream_changes = build.sliding_rows(call, stream, reach, stride, before, after)
    if layer.padding == "same" and reach and len(stream.row_shape) == 2:
        rows = _padded_features(layer, rows)
    if layer.padding == "causal" or (layer.padding == "same" and reach):
        changes["padding"] = "valid"
    if stream_changes["n_rows"] == 1 and dilation > 1 and len(stream.row_shape) == 1:
        rows, changes["dilation_rate"] = rows[:, ::dilation], 1  # only the rows it needs: one operator, not three
    x = copy_layer(layer, [rows], weights, name=call.scope, **changes)
    return stream.becomes(x, non_negative=is_non_negative(layer), **stream_changes)


def same_padding(kernel: int, stride: int, n_rows: int | None) -> tuple[int, int]:
    """Return the zeros with which 'same' pads before and after; an endless stream has whole strides.

    kernel : rows that an output is computed from, dilation included.
    """
    n_left = 0 if n_rows is None else n_rows % stride
    n_zeros = max(kernel - (n_left or stride), 0)
    return n_zeros // 2, n_zeros - n_zeros // 2


def _padded_features(layer: Any, rows: Any) -> Any:
    """Return rows (1, n_rows, features, channels) with the zeros that 'same' adds beside the features."""
    kernel, dilation, stride = (int(size[1]) for size in (layer.kernel_size, layer.dilation_rate, layer.strides))
    sides = same_padding((kernel - 1) * dilation + 1, stride, int(rows.shape[2]))
    return ops.pad(rows, ((0, 0), (0, 0), sides, (0, 0))) if any(sides) else rows


def pool(build: StepBuilder, call: LayerCall, sources: Streams, weights: Weights) -> TensorStream:
    """Take the maximum or the mean of a few rows, and of a few features where the layer has two dimensions."""
    layer, stream = call.layer, sources[0]
    size, stride = _in_time(layer.pool_size), _in_time(layer.strides)
    before, after = same_padding(size, stride, stream.n_total) if layer.padding == "same" else (0, 0)
    is_maximum = isinstance(layer, (layers.MaxPooling1D, layers.MaxPooling2D))
    if (before or after) and not (is_maximum and stream.non_negative):
        refuse(
            call,
            "padding='same' takes the first and the last row from fewer values; use padding='valid' with strides equal "
            "to pool_size, or a maximum after relu",
        )
    rows, stream_changes = build.sliding_rows(call, stream, size - 1, stride, before, after)
    changes: dict[str, Any] = {"padding": "valid"}
    if len(stream.row_shape) == 2 and layer.padding == "same":
        sides = same_padding(int(layer.pool_size[1]), int(layer.strides[1]), int(rows.shape[2]))
        if any(sides) and size == stride == 1:
            changes = {}
        elif any(sides):
            refuse(call, "padding='same' adds features too; use padding='valid' with strides equal to pool_size")
    x = copy_layer(layer, [rows], name=call.scope, **changes)
    return stream.becomes(x, non_negative=stream.non_negative, **stream_changes)


def pad(build: StepBuilder, call: LayerCall, sources: Streams, weights: Weights) -> TensorStream:
    """Put zeros before the first and after the last row, for the convolution that follows, and beside the features."""
    layer, stream = call.layer, sources[0]
    before, after = layer.padding[0] if len(stream.row_shape) == 2 else layer.padding
    changes: dict[str, Any] = {
        "zero_rows": stream.zero_rows + before,
        "zeros_after": stream.zeros_after + after,
        "non_negative": stream.non_negative,
        "ends_in_zeros": stream.ends_in_zeros,
    }
    if len(stream.row_shape) == 2 and any(layer.padding[1]):
        x = ops.pad(stream.as_rows(), ((0, 0), (0, 0), tuple(layer.padding[1]), (0, 0)))
        return stream.becomes(x, **changes)
    return stream.becomes(stream.x, row_shape=stream.row_shape, **changes)


def crop(build: StepBuilder, call: LayerCall, sources: Streams, weights: Weights) -> TensorStream:
    """Leave out the first and the last rows: of an endless stream, the first ones."""
    stream = sources[0]
    first, last = call.layer.cropping
    n_total = None if stream.n_total is None else stream.n_total - first - last
    position = stream.position + first * (build.rows_per_step // stream.n_rows)
    return stream.becomes(
        stream.x, row_shape=stream.row_shape, offset=stream.offset + first, n_total=n_total, position=position
    )


def last_row(build: StepBuilder, call: LayerCall, sources: Streams, weights: Weights) -> TensorStream:
    """Take the last row of a window."""
    stream = sources[0]
    if stream.aggregated:
        return stream
    if build.mode == "continuous":
        refuse(call, WAYS_OUT["Flatten"])
    rows = stream.as_rows()
    x = rows[:, stream.n_rows - 1 - stream.rows_after] if stream.n_rows > 1 else stream.simplest()
    if len(stream.row_shape) != 1:
        refuse(call, f"its rows have the shape {stream.row_shape}; flatten each row first")
    return _vector(stream, ops.reshape(x, (1, -1)))


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
    if maximum and stream.non_negative and not stream.rows_after and stream.offset % stream.n_rows == 0:
        return _vector(stream, _running_maximum(build, call, stream))
    return _vector(stream, _of_window(stream, _window(build, call, stream), maximum))


def _of_window(stream: TensorStream, window: Any, maximum: bool) -> Any:
    if maximum:
        return ops.max(window, axis=tuple(range(1, len(stream.row_shape) + 1)))
    return mean_of_images(window) if len(stream.row_shape) == 2 else ops.mean(window, axis=1)


def _running_maximum(build: StepBuilder, call: LayerCall, stream: TensorStream) -> Any:
    rows = stream.as_rows()
    if len(stream.row_shape) == 2:
        rows = ops.max(rows, axis=2)  # (1, n_rows, channels)
    first = stream.offset // stream.n_rows
    before = maximum = build.state(call, "max", "recurrent", (1, stream.row_shape[-1]), first)
    for row in range(stream.n_rows):
        maximum = ops.maximum(maximum, rows[:, row])
    build.keep(before, maximum)
    return maximum


def _window(build: StepBuilder, call: LayerCall, stream: TensorStream) -> Any:
    """Return all rows of a window, complete at its last step, shape (1, n_window, *row_shape)."""
    if build.mode == "continuous":
        refuse(call, WAYS_OUT[call.kind.__name__])
    if stream.n_total is None:
        refuse(call, "the number of rows in a window is not known; build the network with Input((n_rows, n_features))")
    n_window, n_after = stream.n_total, stream.rows_after
    joined = build.with_context(call, stream, "window", max(0, n_window + n_after - stream.n_rows))
    stop = int(joined.shape[1]) - n_after
    return joined if (stop - n_window, n_after) == (0, 0) else joined[:, stop - n_window : stop]


def _vector(stream: TensorStream, x: Any) -> TensorStream:
    return TensorStream(
        x=x,
        n_rows=1,
        row_shape=(int(x.shape[-1]),),
        position=stream.position,
        aggregated=True,
        complete=stream.steps,
        non_negative=stream.non_negative,
    )


def _in_time(value: int | tuple[int, ...] | list[int]) -> int:
    """Return the part of a kernel's size or strides that is along time."""
    return int(value if isinstance(value, int) else value[0])

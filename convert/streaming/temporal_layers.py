"""Layers that slide over time: convolutions and pooling, in one dimension and in two (time x features).

Layers that sum a window up: exact, from the window's rows as a state, in windowed mode only.

All rows of the window are kept, as Keras has them, and summed up anew in each step. A running sum would need one state
instead, but in 8 bits it would soon stand still: a row's part of the mean is less than a step of the sum. The running
maximum has no such fault, and is used where nothing is below zero, where its state begins.
"""

from __future__ import annotations

from typing import Any

from keras import layers, ops

from edgequake.convert.streaming.affine_folding import CONVOLUTIONS, Array
from edgequake.convert.streaming.layer_copies import copy_layer, ungrouped
from edgequake.convert.streaming.layer_graph import WAYS_OUT, LayerCall, refuse
from edgequake.convert.streaming.state import Build, TensorStream, slide

POOLS = (layers.MaxPooling1D, layers.AveragePooling1D, layers.MaxPooling2D, layers.AveragePooling2D)
NOT_NEGATIVE = {"relu", "relu6", "sigmoid", "hard_sigmoid", "softmax", "softplus", "exponential"}


def time_stride(layer: Any) -> int:
    """Return how many rows a layer takes for each that it makes."""
    strides = getattr(layer, "strides", None)
    return 1 if strides is None else _of_time(strides)


def makes_context(place: LayerCall) -> bool:
    """Whether a layer joins the new rows to earlier ones."""
    if isinstance(place.layer, (layers.ZeroPadding1D, layers.ZeroPadding2D)):
        return True
    return not place.per_row and isinstance(place.layer, CONVOLUTIONS) and _of_time(place.layer.kernel_size) > 1


def is_not_negative(layer: Any) -> bool:
    """Whether a layer's activation leaves nothing below zero."""
    return getattr(getattr(layer, "activation", None), "__name__", "") in NOT_NEGATIVE


def convolve(build: Build, place: LayerCall, sources: list[TensorStream], weights: list[Array] | None) -> TensorStream:
    """Convolve over time, and over the features where the layer has two dimensions."""
    layer, stream = place.layer, sources[0]
    kernel, dilation, stride = (_of_time(size) for size in (layer.kernel_size, layer.dilation_rate, layer.strides))
    reach = (kernel - 1) * dilation
    if layer.padding == "same" and reach:
        refuse(
            place, "padding='same' reads rows that are still to come; use padding='causal'" + _two_dimensions(stream)
        )
    if layer.padding == "causal" and stream.zero_rows:
        refuse(place, "zeros come before it and padding='causal' adds more; take one of the two away")
    changes, weights = ungrouped(place, weights)
    zero_rows = reach if layer.padding == "causal" else stream.zero_rows
    rows, after = slide(build, place, stream, reach, stride, zero_rows)
    if layer.padding == "causal":
        changes["padding"] = "valid"
    if after["n_rows"] == 1 and dilation > 1 and len(stream.row_shape) == 1:
        rows, changes["dilation_rate"] = rows[:, ::dilation], 1  # the very rows it needs: one operator, not three
    x = copy_layer(layer, [rows], weights, name=place.name, **changes)
    return stream.becomes(x, non_negative=is_not_negative(layer), **after)


def pool(build: Build, place: LayerCall, sources: list[TensorStream], weights: list[Array] | None) -> TensorStream:
    """Take the largest or the mean of a few rows, and of a few features where the layer has two dimensions."""
    layer, stream = place.layer, sources[0]
    size, stride = _of_time(layer.pool_size), _of_time(layer.strides)
    # With strides equal to the pool, whole steps never need the padding that 'same' adds for a last, partial pool.
    if layer.padding == "same" and (size != stride or stream.offset % stride):
        refuse(
            place,
            "padding='same' reads rows that are still to come; use padding='valid' with strides equal to pool_size",
        )
    if build.mode == "continuous" and (size - 1) // stride:
        refuse(
            place,
            f"its windows overlap (pool_size {size}, strides {stride}) and shorten a sequence, but a continuous stream "
            "has no first row; use strides equal to pool_size",
        )
    rows, after = slide(build, place, stream, size - 1, stride, 0)
    changes: dict[str, Any] = {"padding": "valid"} if len(stream.row_shape) == 1 else {}
    x = copy_layer(layer, [rows], name=place.name, **changes)
    return stream.becomes(x, non_negative=stream.non_negative, **after)


def pad(build: Build, place: LayerCall, sources: list[TensorStream], weights: list[Array] | None) -> TensorStream:
    """Put zeros before the first row, for the convolution that follows, and beside the features."""
    layer, stream = place.layer, sources[0]
    before, after = layer.padding[0] if len(stream.row_shape) == 2 else layer.padding
    if after:
        refuse(
            place, f"it adds {after} rows after the newest one; pad before the first row only, ({before + after}, 0)"
        )
    x, non_negative = stream.x, stream.non_negative
    if len(stream.row_shape) == 2 and any(layer.padding[1]):
        x = ops.pad(stream.as_rows(), ((0, 0), (0, 0), tuple(layer.padding[1]), (0, 0)))
        return stream.becomes(x, zero_rows=stream.zero_rows + before, non_negative=non_negative)
    return stream.becomes(x, row_shape=stream.row_shape, zero_rows=stream.zero_rows + before, non_negative=non_negative)


def crop(build: Build, place: LayerCall, sources: list[TensorStream], weights: list[Array] | None) -> TensorStream:
    """Leave out the first and the last rows of a window."""
    layer, stream = place.layer, sources[0]
    if build.mode == "continuous":
        refuse(place, "a continuous stream has no first and no last row; convert in windowed mode")
    first, last = layer.cropping
    x = stream.x
    if last:  # the newest rows wait until they are no longer among the last
        x = build.joined(place, stream, "delay", last)[:, : stream.n_rows]
    return stream.becomes(x, row_shape=stream.row_shape, offset=stream.offset + first + last)


def _two_dimensions(stream: TensorStream) -> str:
    return "" if len(stream.row_shape) == 1 else ": ZeroPadding2D(((kernel - 1, 0), ...)) and padding='valid'"


def _of_time(value: int | tuple[int, ...] | list[int]) -> int:
    return int(value if isinstance(value, int) else value[0])


MAXIMA = (layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D)
MEANS = (layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D)


def flatten(build: Build, place: LayerCall, sources: list[TensorStream], weights: list[Array] | None) -> TensorStream:
    """Put a window's rows one after the other."""
    stream = sources[0]
    if stream.sums_up:
        return stream
    window = _window(build, place, stream)
    n_built = place.shapes[0][1]
    if n_built not in (None, window.shape[1]):
        refuse(
            place,
            f"it was built for {n_built} rows and gets {window.shape[1]}; take windows as long as it was built for",
        )
    return _vector(stream, ops.reshape(window, (1, -1)))


def pool_window(
    build: Build, place: LayerCall, sources: list[TensorStream], weights: list[Array] | None
) -> TensorStream:
    """Take the largest or the mean of each feature over the window."""
    stream = sources[0]
    largest = isinstance(place.layer, MAXIMA)
    if largest and stream.non_negative and stream.offset % stream.n_rows == 0:
        return _vector(stream, _running_maximum(build, place, stream))
    window = _window(build, place, stream)
    axes = tuple(range(1, len(stream.row_shape) + 1))
    return _vector(stream, ops.max(window, axis=axes) if largest else ops.mean(window, axis=axes))


def _running_maximum(build: Build, place: LayerCall, stream: TensorStream) -> Any:
    build.starts_with_the_window(place, stream)
    rows = stream.as_rows()
    if len(stream.row_shape) == 2:
        rows = ops.max(rows, axis=2)  # (1, n_rows, channels)
    largest = build.state(place, "max", "recurrent", (1, stream.row_shape[-1]))
    for row in range(stream.n_rows):
        largest = ops.maximum(largest, rows[:, row])
    build.keep(place, "max", largest)
    return largest


def _window(build: Build, place: LayerCall, stream: TensorStream) -> Any:
    """Return all rows of a window, true at its last step, shape (1, n_window, *row_shape)."""
    if build.mode == "continuous":
        refuse(place, WAYS_OUT[place.kind.__name__])
    if build.window_rows is None:
        refuse(place, "how many rows a window has is not known; build the network with Input((n_rows, n_features))")
    n_window = build.window_rows * stream.n_rows // build.rows_per_step - stream.offset
    if n_window <= 0:
        refuse(place, f"the layers before it need more rows than the {build.window_rows} of a window; take longer ones")
    joined = build.joined(place, stream, "window", max(0, n_window - stream.n_rows))
    extra = int(joined.shape[1]) - n_window
    return joined[:, extra:] if extra else joined


def _vector(stream: TensorStream, x: Any) -> TensorStream:
    sign = stream.non_negative
    return TensorStream(x=x, n_rows=1, row_shape=(int(x.shape[-1]),), sums_up=True, non_negative=sign)

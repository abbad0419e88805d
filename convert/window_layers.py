"""Layers that sum a window up: exact, from the window's rows as a state, in windowed mode only.

All rows of the window are kept, as Keras has them, and summed up anew in each step. A running sum would need one state
instead, but in 8 bits it would soon stand still: a row's part of the mean is less than a step of the sum. The running
maximum has no such fault, and is used where nothing is below zero, where its state begins.
"""

from __future__ import annotations

from typing import Any

from keras import layers, ops

from edgequake.convert.folding import Array
from edgequake.convert.layer_graph import Place
from edgequake.convert.refusal import WAYS_OUT, refuse
from edgequake.convert.streams import Build, Stream

MAXIMA = (layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D)
MEANS = (layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D)


def flatten(build: Build, place: Place, sources: list[Stream], weights: list[Array] | None) -> Stream:
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


def pool_window(build: Build, place: Place, sources: list[Stream], weights: list[Array] | None) -> Stream:
    """Take the largest or the mean of each feature over the window."""
    stream = sources[0]
    largest = isinstance(place.layer, MAXIMA)
    if largest and stream.non_negative and stream.offset % stream.n_rows == 0:
        return _vector(stream, _running_maximum(build, place, stream))
    window = _window(build, place, stream)
    axes = tuple(range(1, len(stream.row_shape) + 1))
    return _vector(stream, ops.max(window, axis=axes) if largest else ops.mean(window, axis=axes))


def _running_maximum(build: Build, place: Place, stream: Stream) -> Any:
    build.starts_with_the_window(place, stream)
    rows = stream.as_rows()
    if len(stream.row_shape) == 2:
        rows = ops.max(rows, axis=2)  # (1, n_rows, channels)
    largest = build.state(place, "max", "recurrent", (1, stream.row_shape[-1]))
    for row in range(stream.n_rows):
        largest = ops.maximum(largest, rows[:, row])
    build.keep(place, "max", largest)
    return largest


def _window(build: Build, place: Place, stream: Stream) -> Any:
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


def _vector(stream: Stream, x: Any) -> Stream:
    sign = stream.non_negative
    return Stream(x=x, n_rows=1, row_shape=(int(x.shape[-1]),), sums_up=True, non_negative=sign)

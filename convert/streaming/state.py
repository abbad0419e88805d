"""The rows of a step on their way through the layers, and the states that layers keep between steps.

Rows that Keras does not have
-----------------------------
A `valid` or `same` convolution has no output for the first rows of a window or of a stream: it waits for rows to come.
A step nevertheless makes a row for each of them, from the empty context. `TensorStream.offset` counts these rows: row t
of a stream, from the start, is Keras' row ``t - offset``. A state that must be zero at Keras' row 0 (h, c, the zeros
with which a convolution pads) is reset after ``offset / n_rows`` steps (`reset_step` in the manifest).

A window also ends: Keras has `n_total` rows of a stream, and where `same` pads the end with zeros, the rows after them
must be zeros too. The device feeds rows of zeros after the window (`lag_rows`); what layers make of them is
multiplied by a mask, which a register of ones of the length of the window gives (`StepBuilder.masked`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
from keras import ops

from edgequake.convert.streaming.layer_graph import LayerCall, refuse
from edgequake.edge.manifest.manifest import StateTensor

NEXT = "_next"  # appended to a state's input name to form its output name


@dataclass(frozen=True)
class TensorStream:
    """The output of a layer in one step."""

    x: Any  # Keras tensor: (1, n_rows, *row_shape), or (1, features) where that is one row
    n_rows: int  # rows in a step
    row_shape: tuple[int, ...]  # (features,) or (features, channels)
    offset: int = 0  # rows at the start that Keras does not have
    n_total: int | None = None  # rows that Keras has of a window; None in a continuous stream
    position: int = 0  # the row of the input to which Keras' first row belongs
    zero_rows: int = 0  # rows of zeros before the first one, with which the next layer pads
    zeros_after: int = 0  # rows of zeros after the last one, likewise
    ends_in_zeros: bool = False  # whether the rows after Keras' last one are zeros
    aggregated: bool = False  # one vector for the window so far
    complete: int | None = None  # steps of a window after which an aggregated vector is complete
    non_negative: bool = False

    @property
    def steps(self) -> int | None:
        """Steps of a window after which Keras' last row has come."""
        if self.aggregated:
            return self.complete
        return None if self.n_total is None else -(-(self.offset + self.n_total) // self.n_rows)

    @property
    def rows_after(self) -> int:
        """Rows of the step in which Keras' last row comes that come after it."""
        return 0 if self.n_total is None else (self.steps or 0) * self.n_rows - self.offset - self.n_total

    def as_rows(self) -> Any:
        """Return the tensor as (1, n_rows, *row_shape)."""
        shape = (1, self.n_rows, *self.row_shape)
        return self.x if tuple(self.x.shape) == shape else ops.reshape(self.x, shape)

    def as_features(self) -> Any:
        """Return the single row as (1, features)."""
        return self.x if len(self.x.shape) == 2 else ops.reshape(self.x, (1, self.row_shape[0]))

    def simplest(self) -> Any:
        """Return the tensor in the form that needs the fewest operators."""
        return self.as_features() if self.n_rows == 1 and len(self.row_shape) == 1 else self.as_rows()

    def becomes(self, x: Any, **changes: Any) -> TensorStream:
        """Return the stream after a layer that works on each row alone; its sign is unknown unless given."""
        row_shape = tuple(int(size) for size in (x.shape[1:] if len(x.shape) == 2 else x.shape[2:]))
        return replace(self, x=x, **{"row_shape": row_shape, "non_negative": False, "ends_in_zeros": False, **changes})


Streams = list[TensorStream]  # the inputs of a layer


@dataclass
class StepBuilder:
    """The step graph as far as it has been built."""

    mode: str
    window_rows: int | None  # rows of input in a window, where known
    rows_per_step: int
    states: list[StateTensor] = field(default_factory=list)
    inputs: list[Any] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    contexts: dict[int, tuple[Any, int]] = field(default_factory=dict)  # id(tensor) -> it with context, rows of that
    may_pad_ends: bool = True  # of windows; False: such a layer is refused
    _masks: dict[int, Any] = field(default_factory=dict)  # step -> 1 until it, then 0

    def state(self, call: LayerCall, suffix: str, kind: str, shape: tuple[int, ...], reset_step: int = 0) -> Any:
        """Declare a state and return its input tensor; `keep` sets its next value.

        reset_step : the step before which a recurrent state is set to zero again.
        """
        name = self._free(f"{call.safe}_{suffix}")
        tensor = keras.Input(batch_shape=shape, name=name)
        self.states.append(StateTensor(name, kind, shape, reset_step if kind == "recurrent" else None))
        self.inputs.append(tensor)
        return tensor

    def keep(self, state: Any, tensor: Any) -> None:
        """Set the next value of a state, by its input tensor."""
        self.outputs[state.name + NEXT] = tensor

    def _free(self, name: str) -> str:
        taken = {state.name for state in self.states}
        return next(free for n in range(1, len(taken) + 2) if (free := name if n == 1 else f"{name}_{n}") not in taken)

    def aligned(self, call: LayerCall, stream: TensorStream) -> TensorStream:
        """Return a stream whose first row of Keras' is the first row of a step, delayed by less than a step."""
        late = -stream.offset % stream.n_rows
        return self.delayed(call, stream, late) if late else stream

    def delayed(self, call: LayerCall, stream: TensorStream, n: int) -> TensorStream:
        """Return a stream `n` rows later."""
        if n == 0:
            return stream
        joined, n_before = self.contexts.get(id(stream.x), (None, 0))
        if n_before < n:
            joined, n_before = self.with_context(call, stream, "delay", n), n
        x = joined[:, n_before - n : n_before - n + stream.n_rows]
        return replace(stream, x=x, offset=stream.offset + n)

    def delayed_vector(self, call: LayerCall, stream: TensorStream, n: int) -> TensorStream:
        """Return an aggregated vector `n` steps later."""
        if n == 0:
            return stream
        x = stream.simplest()
        shape = (1, n, *(int(size) for size in x.shape[1:]))
        before = self.state(call, "delay", "context", shape)
        joined = ops.concatenate([before, ops.expand_dims(x, 1)], axis=1)
        self.keep(before, joined[:, 1:])
        return replace(stream, x=joined[:, 0], complete=None if stream.complete is None else stream.complete + n)

    def masked(self, call: LayerCall, stream: TensorStream) -> TensorStream:
        """Return a stream that is zero after Keras' last row of a window."""
        if stream.ends_in_zeros or stream.n_total is None:
            return stream
        if not self.may_pad_ends:
            refuse(call, "it pads the end of a window with zeros, which only one step as long as the window can do")
        steps, n_after = stream.steps or 0, stream.rows_after
        # One factor for every value: TensorFlow's converter fails on masks that are broadcast over the features.
        shape = (1, stream.n_rows, math.prod(stream.row_shape))
        before_end = np.ones(shape, np.float32)
        before_end[:, stream.n_rows - n_after :] = 0.0  # in the step in which Keras' last row comes
        if n_after:
            mask = self._until(call, steps) * before_end + self._until(call, steps - 1) * (1.0 - before_end)
        else:
            mask = self._until(call, steps) * np.ones(shape, np.float32)
        x = stream.as_rows()
        return replace(stream, x=x * ops.reshape(mask, tuple(x.shape)), ends_in_zeros=True)

    def _until(self, call: LayerCall, step: int) -> Any:
        """Return 1 in the steps before `step` and 0 from it on, shape (1, 1, 1).

        A register that ones are shifted into says it exactly in integers, where a counter would be rounded.
        """
        if step not in self._masks:
            register = self.state(call, "clock", "context", (1, step, 1))
            joined = ops.concatenate([register, np.ones((1, 1, 1), np.float32)], axis=1)
            self.keep(register, joined[:, 1:])
            self._masks[step] = 1.0 - joined[:, :1]
        return self._masks[step]

    def with_context(
        self,
        call: LayerCall,
        stream: TensorStream,
        suffix: str,
        n_kept: int,
        kind: str = "context",
        reset_step: int = 0,
    ) -> Any:
        """Return the last `n_kept` rows of earlier steps and the new rows, and keep the newest as state."""
        if n_kept == 0:
            return stream.as_rows()
        before = self.state(call, suffix, kind, (1, n_kept, *stream.row_shape), reset_step)
        joined = ops.concatenate([before, stream.as_rows()], axis=1)  # (1, n_kept + n_rows, *row_shape)
        self.keep(before, joined[:, stream.n_rows :])  # (1, n_kept, *row_shape)
        self.contexts[id(stream.x)] = (joined, n_kept)
        return joined

    def branch(self, call: LayerCall, stream: TensorStream) -> TensorStream:
        """Return a stream for a layer without context, where another layer adds context to the same tensor.

        Where one tensor is reshaped for a layer and concatenated for another, TensorFlow's quantizer silently leaves
        the first one in floating point. So this layer reads the new rows as a slice of the concatenation.
        """
        if id(stream.x) not in self.contexts:
            self.with_context(call, stream, "row", 1)
        joined, n_before = self.contexts[id(stream.x)]
        return replace(stream, x=joined[:, n_before:])

    def sliding_rows(
        self, call: LayerCall, stream: TensorStream, reach: int, stride: int, before: int, after: int = 0
    ) -> tuple[Any, dict[str, Any]]:
        """Return the rows that a kernel sliding over time needs in this step, and how the stream changes.

        Parameters
        ----------
        reach : rows before the newest one that an output needs.
        stride : rows from one output to the next; divides `stream.n_rows`.
        before, after : rows of zeros with which Keras pads before the first row and after the last one.

        Returns
        -------
        Tensor (1, reach + n_rows - stride + 1, *row_shape), from which Keras' `valid` makes ``n_rows / stride`` rows;
        and the changed fields of the stream.
        """
        if before > reach:
            refuse(call, f"{before} rows of zeros come before it, expected at most {reach}; pad with kernel_size - 1")
        if after:
            stream = self.masked(call, stream)
        kind = "context"
        if before and stream.offset:  # the zeros in a step's context come too early: they are reset with h and c
            stream = self.aligned(call, stream)
            kind = "recurrent"
        start = stream.offset + reach - before  # the row with which Keras' first output is complete
        phase = start % stride
        n_context = max(0, reach - phase)
        joined = self.with_context(call, stream, "context", n_context, kind, stream.offset // stream.n_rows)
        first, stop = max(0, phase - reach), n_context + phase + stream.n_rows - stride + 1
        whole = first == 0 and stop == n_context + stream.n_rows
        rows = joined if whole else joined[:, first:stop]
        n_lost = max(0, reach + 1 - stride - before - after)  # to `valid`: the output belongs to the middle of its rows
        changes = {
            "n_rows": stream.n_rows // stride,
            "offset": start // stride,
            "n_total": self._n_outputs(call, stream, before + after - reach - 1, stride),
            "position": stream.position + n_lost // 2 * (self.rows_per_step // stream.n_rows),
        }
        return rows, {**changes, "zero_rows": 0, "zeros_after": 0}

    def _n_outputs(self, call: LayerCall, stream: TensorStream, more: int, stride: int) -> int | None:
        if stream.n_total is None:
            return None
        n_outputs = (stream.n_total + more) // stride + 1
        if n_outputs < 1:
            refuse(call, f"it needs more rows than the {self.window_rows} of a window; use longer windows")
        return n_outputs

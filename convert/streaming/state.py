"""The rows of a step on their way through the layers, and the states that layers keep between steps.

Rows that exist only because a window has just begun
----------------------------------------------------
A `valid` convolution has no output for the first ``(kernel - 1) * dilation`` rows of a window. A step nevertheless
makes a row for each of them, from the empty context. `TensorStream.offset` counts these rows: row t of a stream, from
the window's start, is Keras' row ``t - offset``. A state that must be zero at Keras' row 0 (h, c, the zeros with which
a causal convolution pads) is reset after ``offset / n_rows`` steps: `warmup_steps` in the manifest, one number for the
whole network.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import keras
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
    offset: int = 0  # rows at a window's start that Keras does not have
    zero_rows: int = 0  # rows of zeros before the first one, with which the next layer pads
    aggregated: bool = False  # one vector for the window so far, complete at the window's last step
    non_negative: bool = False

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
        return replace(self, x=x, **{"row_shape": row_shape, "non_negative": False, **changes})


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
    first_reset: tuple[LayerCall, int] | None = None  # the first layer that is reset after warm-up, and at which step

    def state(self, call: LayerCall, suffix: str, kind: str, shape: tuple[int, ...]) -> Any:
        """Declare a state and return its input tensor."""
        name = f"{call.name}_{suffix}".replace("/", "_")
        tensor = keras.Input(batch_shape=shape, name=name)
        self.states.append(StateTensor(name=name, kind=kind, shape=shape))
        self.inputs.append(tensor)
        return tensor

    def keep(self, call: LayerCall, suffix: str, tensor: Any) -> None:
        """Set the next value of a state."""
        self.outputs[f"{call.name}_{suffix}".replace("/", "_") + NEXT] = tensor

    def reset_at_first_row(self, call: LayerCall, stream: TensorStream) -> None:
        """Record that a layer's state must be zero at Keras' row 0.

        Raises
        ------
        ModelError
            That row lies within a step, or another layer's state must be zero at another step.
        """
        if stream.offset % stream.n_rows:
            refuse(
                call,
                f"the valid convolutions before it remove {stream.offset} rows of a window, not a multiple of the "
                f"{stream.n_rows} rows per step; use padding='causal', or pool before the {call.kind.__name__}",
            )
        step = stream.offset // stream.n_rows
        if self.first_reset is None:
            self.first_reset = (call, step)
            return
        other, its_step = self.first_reset
        if step != its_step:
            refuse(
                call,
                f"in a window it starts at step {step}, but '{other.name}' at step {its_step}, and states are reset "
                "together; use padding='causal' between the two",
            )

    def with_context(
        self, call: LayerCall, stream: TensorStream, suffix: str, n_kept: int, kind: str = "context"
    ) -> Any:
        """Return the last `n_kept` rows of earlier steps and the new rows, and keep the newest as state."""
        if n_kept == 0:
            return stream.as_rows()
        before = self.state(call, suffix, kind, (1, n_kept, *stream.row_shape))
        joined = ops.concatenate([before, stream.as_rows()], axis=1)  # (1, n_kept + n_rows, *row_shape)
        self.keep(call, suffix, joined[:, stream.n_rows :])  # (1, n_kept, *row_shape)
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
        self, call: LayerCall, stream: TensorStream, reach: int, stride: int, zero_rows: int
    ) -> tuple[Any, dict[str, int]]:
        """Return the rows that a kernel sliding over time needs in this step, and how the stream changes.

        Parameters
        ----------
        reach : rows before the newest one that an output needs.
        stride : rows from one output to the next; divides `stream.n_rows`.
        zero_rows : rows of zeros with which Keras pads before the first one.

        Returns
        -------
        Tensor (1, reach + n_rows - stride + 1, *row_shape), from which Keras' `valid` makes ``n_rows / stride`` rows;
        and the changed fields of the stream.
        """
        if zero_rows > reach:
            refuse(
                call, f"{zero_rows} rows of zeros come before it, expected at most {reach}; pad with kernel_size - 1"
            )
        if self.mode == "continuous" and (reach - zero_rows) // stride:
            refuse(
                call,
                "padding='valid' shortens a sequence, but a continuous stream has no first row; use padding='causal', "
                "or ZeroPadding before it",
            )
        kind = "context"
        if zero_rows and stream.offset:  # the zeros in a step's context come too early: they are reset with h and c
            self.reset_at_first_row(call, stream)
            kind = "recurrent"
        start = stream.offset + reach - zero_rows  # the row with which Keras' first output is complete
        phase = start % stride
        n_context = max(0, reach - phase)
        joined = self.with_context(call, stream, "context", n_context, kind)
        first, stop = max(0, phase - reach), n_context + phase + stream.n_rows - stride + 1
        whole = first == 0 and stop == n_context + stream.n_rows
        rows = joined if whole else joined[:, first:stop]
        return rows, {"n_rows": stream.n_rows // stride, "offset": start // stride, "zero_rows": 0}

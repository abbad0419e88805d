"""LSTM, GRU and SimpleRNN, one row at a time, with h and c as states.

Dense layers replace Keras' cells because they put the bias into the fully connected operator: there it is a 32-bit
integer in the quantized graphs, whereas the addition in Keras' cells would be rounded to 8 bits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import layers, ops

from edgequake.convert.streaming.affine_folding import Weights, full_weights
from edgequake.convert.streaming.layer_graph import LayerCall, refuse
from edgequake.convert.streaming.state import StepBuilder, Streams, TensorStream


def recur(build: StepBuilder, call: LayerCall, sources: Streams, weights: Weights) -> TensorStream:
    """Apply a recurrent layer to the rows of a step."""
    layer = call.layer
    _check(build, call, sources)
    stream = build.aligned(call, sources[0])
    cell = _CELLS[type(layer)](layer, call.scope)
    first = stream.offset // stream.n_rows
    inputs = [build.state(call, suffix, "recurrent", (1, layer.units), first) for suffix in cell.states]
    rows = [stream.simplest()] if stream.n_rows == 1 else [stream.x[:, row] for row in range(stream.n_rows)]
    hidden_rows, state = [], inputs
    for row in rows:  # (1, features)
        state = cell.step(row, *state)
        hidden_rows.append(state[0])
    cell.set_weights([np.asarray(weight, np.float32) for weight in weights or full_weights(layer)])
    for tensor, following in zip(inputs, state, strict=True):
        build.keep(tensor, following)
    if not layer.return_sequences:
        last = hidden_rows[stream.n_rows - 1 - stream.rows_after]
        return stream.becomes(last, n_rows=1, aggregated=True, complete=stream.steps)
    return stream.becomes(state[0] if stream.n_rows == 1 else ops.stack(hidden_rows, axis=1))


def _check(build: StepBuilder, call: LayerCall, sources: Streams) -> None:
    layer = call.layer
    if len(sources) > 1:
        refuse(call, "its initial state comes from another layer; let it start from zero, without initial_state")
    if layer.go_backwards:
        refuse(call, "go_backwards=True starts from the newest row; use go_backwards=False")
    if build.mode == "continuous" and not layer.return_sequences:
        refuse(
            call,
            "return_sequences=False aggregates a window, and a continuous stream has none; use return_sequences=True",
        )
    if build.mode == "windowed" and layer.stateful:
        refuse(call, "stateful=True carries its state from window to window; convert in continuous mode")


class _Cell(ABC):
    """A recurrent layer applied to one row."""

    states: tuple[str, ...] = ("h",)
    n_gates: int

    def __init__(self, layer: Any, name: str) -> None:
        self.layer, self.name = layer, name
        self.activation = layer.activation
        self.squash: Callable[[Any], Any] = getattr(layer, "recurrent_activation", layer.activation)
        self.of_row = self.product("gates_x", self.n_gates, True)

    def product(self, suffix: str, n_gates: int, use_bias: bool) -> Any:
        """Return a layer that multiplies by the weights of some gates."""
        return layers.Dense(n_gates * self.layer.units, use_bias=use_bias, name=f"{self.name}.{suffix}")

    @abstractmethod
    def step(self, row: Any, *state: Any) -> list[Any]:
        """Return the new state, h first."""

    @abstractmethod
    def set_weights(self, weights: list[Any]) -> None:
        """Set the Keras layer's weights: kernel, recurrent kernel and bias."""


class _SummedCell(_Cell):
    """A cell that adds the product of h with the weights of all gates to that of the row."""

    def __init__(self, layer: Any, name: str) -> None:
        super().__init__(layer, name)
        self.of_hidden = self.product("gates_h", self.n_gates, False)

    def set_weights(self, weights: list[Any]) -> None:
        kernel, recurrent, bias = weights
        self.of_row.set_weights([kernel, bias])
        self.of_hidden.set_weights([recurrent])


class _Lstm(_SummedCell):
    """Hochreiter and Schmidhuber (1997) with forget gates, in Keras' order of the gates."""

    states = ("h", "c")
    n_gates = 4

    def step(self, row: Any, *state: Any) -> list[Any]:
        hidden, cell = state
        gates = self.of_row(row) + self.of_hidden(hidden)  # (1, 4 * units)
        input_gate, forget_gate, candidate, output_gate = ops.split(gates, 4, axis=-1)
        cell = self.squash(forget_gate) * cell + self.squash(input_gate) * self.activation(candidate)
        return [self.squash(output_gate) * self.activation(cell), cell]


class _SimpleRnn(_SummedCell):
    """h = activation(x W + h U + b)."""

    n_gates = 1

    def step(self, row: Any, *state: Any) -> list[Any]:
        return [self.activation(self.of_row(row) + self.of_hidden(state[0]))]


class _Gru(_Cell):
    """Cho et al. (2014): the reset gate acts before the product with h, or after it (reset_after=True, as in cuDNN)."""

    n_gates = 3

    def __init__(self, layer: Any, name: str) -> None:
        super().__init__(layer, name)
        self.of_hidden = self.product("gates_h", 3 if layer.reset_after else 2, bool(layer.reset_after))
        self.of_reset = None if layer.reset_after else self.product("candidate_h", 1, False)

    def step(self, row: Any, *state: Any) -> list[Any]:
        (hidden,) = state
        units = self.layer.units
        of_row, of_hidden = self.of_row(row), self.of_hidden(hidden)
        both = self.squash(of_row[:, : 2 * units] + of_hidden[:, : 2 * units])
        update, reset = both[:, :units], both[:, units:]
        inner = self.of_reset(reset * hidden) if self.of_reset else reset * of_hidden[:, 2 * units :]
        candidate = self.activation(of_row[:, 2 * units :] + inner)
        return [update * hidden + (1.0 - update) * candidate]

    def set_weights(self, weights: list[Any]) -> None:
        kernel, recurrent, bias = weights
        if self.of_reset is None:  # one bias for the row and one for h
            self.of_row.set_weights([kernel, bias[0]])
            self.of_hidden.set_weights([recurrent, bias[1]])
            return
        self.of_row.set_weights([kernel, bias])
        self.of_hidden.set_weights([recurrent[:, : 2 * self.layer.units]])
        self.of_reset.set_weights([recurrent[:, 2 * self.layer.units :]])


_CELLS: dict[type, type[_Cell]] = {layers.LSTM: _Lstm, layers.GRU: _Gru, layers.SimpleRNN: _SimpleRnn}

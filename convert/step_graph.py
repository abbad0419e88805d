"""From a whole-sequence Keras network to the graph of one step, with every state an input and an output.

A step takes `rows_per_step` new rows and all state, and returns the outputs for them and the new state. So each sample
is computed once, only builtin operators are needed (Keras' own LSTM becomes a WHILE loop that neither quantizes nor
runs on small runtimes), and the state can be stored, reset and compared.

Rows that exist only because a window has just begun
----------------------------------------------------
A `valid` convolution has no output for the first ``(kernel - 1) * dilation`` rows of a window. A step gives a row for
them all the same, made from the empty context. `offset` counts these rows along the chain; `warmup_steps` is what they
come to in steps, and the runner throws away the recurrent state that such steps leave. From then on every row is
exactly the one that Keras computes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
from keras import layers, ops

from edgequake.convert import chain as layer_chain
from edgequake.convert.chain import refuse
from edgequake.edge.manifest import StateTensor

ROWS = "rows"
PROBABILITIES = "probabilities"
NEXT = "_next"  # what a state's output tensor is called after its input tensor


@dataclass(frozen=True)
class StepGraph:
    """A Keras model of one step and what is needed to step it."""

    model: keras.Model  # inputs [rows, *states], outputs {"probabilities": ..., state + "_next": ...}
    mode: str  # "continuous" or "windowed"
    rows_per_step: int
    n_features: int
    n_outputs: int
    states: tuple[StateTensor, ...]
    warmup_steps: int
    parameters: int  # trained numbers


def build_step_graph(model: keras.Model, mode: str) -> StepGraph:
    """Build the one-step form of a linear Keras model.

    Parameters
    ----------
    model : Input (rows, features), then Conv1D, MaxPooling1D, LSTM, Dense, TimeDistributed(Dense),
        BatchNormalization, Activation, ReLU and dropouts in one chain.
    mode : "continuous" (the state is carried on for ever) or "windowed" (reset every window; then convolutions may be
        `valid` and the last LSTM may return its last row only).

    Raises
    ------
    ModelError
        For what cannot be stepped through exactly: the layer, the reason and the way out.
    """
    chain = layer_chain.model_chain(model)
    for layer in chain:
        layer_chain.check_layer(layer)
    steps_rows = layer_chain.rows_per_step(chain)
    n_features = int(model.inputs[0].shape[2])
    rows = keras.Input(batch_shape=(1, steps_rows, n_features), name=ROWS)
    build = _Build(mode=mode, x=rows, n_rows=steps_rows)
    for layer in chain:
        _HANDLERS[type(layer)](build, layer)
    probabilities = build.as_features()
    step = keras.Model([rows, *build.inputs], {PROBABILITIES: probabilities, **build.outputs}, name="step")
    return StepGraph(
        model=step,
        mode=mode,
        rows_per_step=steps_rows,
        n_features=n_features,
        n_outputs=int(probabilities.shape[1]),
        states=tuple(build.states),
        warmup_steps=build.offset,
        parameters=int(model.count_params()),
    )


@dataclass
class _Build:
    """The graph as far as it has been built."""

    mode: str
    x: Any  # Keras tensor: (1, n_rows, features), or (1, features) where n_rows is 1
    n_rows: int  # rows in a step, here in the chain
    offset: int = 0  # rows at a window's start that Keras does not have, here in the chain
    after_lstm: bool = False
    states: list[StateTensor] = field(default_factory=list)
    inputs: list[Any] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)

    def as_rows(self) -> Any:
        """Return the tensor as (1, n_rows, features)."""
        return self.x if len(self.x.shape) == 3 else ops.reshape(self.x, (1, 1, self.x.shape[-1]))

    def as_features(self) -> Any:
        """Return the single row as (1, features)."""
        return self.x if len(self.x.shape) == 2 else ops.reshape(self.x, (1, self.x.shape[-1]))

    def simplest(self) -> Any:
        """Return the tensor in the form that needs the fewest operators."""
        return self.as_features() if self.n_rows == 1 else self.x

    def state(self, name: str, kind: str, shape: tuple[int, ...]) -> Any:
        """Declare a state and return its input tensor."""
        tensor = keras.Input(batch_shape=shape, name=name)
        self.states.append(StateTensor(name=name, kind=kind, shape=shape))
        self.inputs.append(tensor)
        return tensor

    def joined_to_context(self, name: str, n_context: int) -> Any:
        """Return the last `n_context` rows of earlier steps and the new rows, and keep the newest as state."""
        context = self.state(name, "context", (1, n_context, int(self.x.shape[-1])))
        joined = ops.concatenate([context, self.as_rows()], axis=1)  # (1, n_context + n_rows, features)
        self.outputs[name + NEXT] = joined[:, self.n_rows :]  # (1, n_context, features)
        return joined


def copy_layer(layer: keras.layers.Layer, tensor: Any, **changes: Any) -> Any:
    """Apply a copy of a layer, with its weights, so that the original network stays as it was."""
    if isinstance(layer, layers.TimeDistributed):  # of a Dense, which does the same to every row without it
        layer = layer.layer
    copy = type(layer).from_config({**layer.get_config(), **changes})
    result = copy(tensor, training=False) if isinstance(layer, layers.BatchNormalization) else copy(tensor)
    copy.set_weights(layer.get_weights())
    return result


def _convolve(build: _Build, layer: keras.layers.Conv1D) -> None:
    n_context = layer_chain.context_rows(layer)
    if n_context == 0:
        build.x = copy_layer(layer, build.as_rows(), padding="valid")
        return
    if layer.padding == "valid":
        _check_valid_convolution(build, layer)
        build.offset += n_context
    elif build.offset:
        refuse(layer, "a causal convolution after a valid one starts from zeros that a step no longer has; use 'valid'")
    build.x = copy_layer(layer, build.joined_to_context(f"{layer.name}_context", n_context), padding="valid")


def _check_valid_convolution(build: _Build, layer: keras.layers.Conv1D) -> None:
    if build.mode == "continuous":
        refuse(
            layer, "padding='valid' shortens a sequence, but a continuous stream has no first row; use padding='causal'"
        )
    if build.after_lstm:
        refuse(layer, "padding='valid' after an LSTM would mix in rows from before the window; use padding='causal'")


def _pool(build: _Build, layer: keras.layers.MaxPooling1D) -> None:
    pool = layer_chain.pool_rows(layer)
    delay = -build.offset % pool
    if delay:  # the first group of rows that Keras pools must not straddle two steps
        delayed = build.joined_to_context(f"{layer.name}_delay", delay)
        build.x = delayed[:, : build.n_rows]
        build.offset += delay
    build.x = copy_layer(layer, build.as_rows())
    build.n_rows //= pool
    build.offset //= pool


def _recur(build: _Build, layer: keras.layers.LSTM) -> None:
    if build.mode == "continuous" and not layer.return_sequences:
        refuse(
            layer, "return_sequences=False sums up a window, a continuous stream has none; use return_sequences=True"
        )
    if build.offset % build.n_rows:
        refuse(
            layer,
            f"the valid convolutions before it take {build.offset} rows off a window, which is no multiple of the "
            f"{build.n_rows} rows that come at a time; use padding='causal' or pool before the LSTM",
        )
    build.after_lstm = True
    hidden = build.state(f"{layer.name}_h", "recurrent", (1, layer.units))
    cell = build.state(f"{layer.name}_c", "recurrent", (1, layer.units))
    gates_of_row, gates_of_hidden = _gate_layers(layer)
    rows = [build.simplest()] if build.n_rows == 1 else [build.x[:, row] for row in range(build.n_rows)]
    hidden_rows = []
    for row in rows:  # (1, features)
        gates = gates_of_row(row) + gates_of_hidden(hidden)  # (1, 4 * units)
        hidden, cell = _lstm_step(layer, gates, cell)
        hidden_rows.append(hidden)
    _set_gate_weights(layer, gates_of_row, gates_of_hidden)
    build.outputs[f"{layer.name}_h{NEXT}"] = hidden
    build.outputs[f"{layer.name}_c{NEXT}"] = cell
    build.x = hidden if build.n_rows == 1 else ops.stack(hidden_rows, axis=1)  # (1, n_rows, units)


def _gate_layers(layer: keras.layers.LSTM) -> tuple[keras.layers.Dense, keras.layers.Dense]:
    """Return the products of a row and of h with the gate weights.

    Two Dense layers in place of Keras' LSTMCell, because they put the bias into the fully connected operator: there it
    is a 32-bit integer in the quantized graphs, where the cell's own addition of it would be rounded to 8 bits.
    """
    gates_of_row = layers.Dense(4 * layer.units, use_bias=layer.use_bias, name=f"{layer.name}_gates_x")
    return gates_of_row, layers.Dense(4 * layer.units, use_bias=False, name=f"{layer.name}_gates_h")


def _set_gate_weights(layer: keras.layers.LSTM, of_row: keras.layers.Dense, of_hidden: keras.layers.Dense) -> None:
    kernel, recurrent_kernel, *bias = layer.get_weights()
    of_row.set_weights([kernel, *bias])
    of_hidden.set_weights([recurrent_kernel])


def _lstm_step(layer: keras.layers.LSTM, gates: Any, cell: Any) -> tuple[Any, Any]:
    """Return h and c after one row (Hochreiter & Schmidhuber 1997 with forget gates; Keras' order of the gates)."""
    input_gate, forget_gate, candidate, output_gate = ops.split(gates, 4, axis=-1)
    squash, activation = layer.recurrent_activation, layer.activation
    cell = squash(forget_gate) * cell + squash(input_gate) * activation(candidate)
    return squash(output_gate) * activation(cell), cell


def _apply(build: _Build, layer: keras.layers.Layer) -> None:
    build.x = copy_layer(layer, build.simplest())


def _normalize(build: _Build, layer: keras.layers.BatchNormalization) -> None:
    build.x = copy_layer(layer, build.simplest(), axis=-1)


_HANDLERS: dict[type, Callable[[_Build, Any], None]] = {
    layers.Conv1D: _convolve,
    layers.MaxPooling1D: _pool,
    layers.LSTM: _recur,
    layers.BatchNormalization: _normalize,
    layers.TimeDistributed: _apply,
    layers.Dense: _apply,
    layers.Activation: _apply,
    layers.ReLU: _apply,
}

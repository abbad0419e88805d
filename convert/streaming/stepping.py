"""Step through sequences on the desktop: the one loop in which every graph of a conversion is stepped.

`walk` carries the state as the runner does. A step is run by a function from inputs to outputs by name:
`keras_step`, or `interpreter_step` of a TFLite interpreter.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from edgequake.convert.streaming.layer_copies import rebuild
from edgequake.convert.streaming.layer_graph import LayerGraph, trace
from edgequake.convert.streaming.step_model import NEXT, PROBABILITIES, ROWS, StepGraph
from edgequake.edge.base.errors import ModelError
from edgequake.edge.manifest.manifest import NetworkConfig

FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
Tensors = dict[str, np.ndarray[tuple[int, ...], np.dtype[Any]]]
StepFunction = Callable[[Tensors], Tensors]
_BATCH_ROWS = 4096  # of all sequences that Keras computes at once: a batch has a cost of its own, above all a short one
FLOAT_TOLERANCE = 1e-5  # float32 over thousands of recurrent steps; a wrong gate or a shifted row gives 1e-2 and more


@dataclass(frozen=True)
class Step:
    """One step: its inputs (rows and all states, by input name), and the probabilities."""

    inputs: Tensors
    probabilities: FloatArray  # (n_outputs,)


def walk(network: StepGraph | NetworkConfig, rows: FloatArray, call: StepFunction) -> Iterator[Step]:
    """Step through one sequence from zero state, carrying the state as the runner does.

    Parameters
    ----------
    network : in windowed mode the sequence is one window, and the recurrent states are reset after the warm-up steps.
    rows : shape (n_rows, n_features); rows that do not fill a last step are left out.
    call : runs one step, from all inputs by name to all outputs by name. It gets zero states as float32, and all other
        states as it returned them.
    """
    zero = {state.name: np.zeros(state.shape, np.float32) for state in network.states}
    states: Tensors = dict(zero)
    resets = resets_of(network)
    if network.mode == "windowed":
        rows = np.concatenate([rows[: network.window_rows], np.zeros((network.lag_rows, rows.shape[1]), np.float32)])
    for step in range(len(rows) // network.rows_per_step):
        states.update({name: zero[name] for name in resets.get(step, ())})
        start = step * network.rows_per_step
        inputs = {ROWS: rows[np.newaxis, start : start + network.rows_per_step].astype(np.float32), **states}
        outputs = call(inputs)
        yield Step(inputs, outputs[PROBABILITIES][0])
        states = {name: outputs[name + NEXT] for name in states}


def resets_of(network: StepGraph | NetworkConfig) -> dict[int, tuple[str, ...]]:
    """Return the names of the recurrent states by the step before which they are reset."""
    if isinstance(network, NetworkConfig):
        return network.resets
    found: dict[int, tuple[str, ...]] = {}
    for state in network.states:
        step = network.warmup_steps if state.reset_step is None else state.reset_step
        if state.kind == "recurrent":
            found[step] = (*found.get(step, ()), state.name)
    return found


def keras_step(graph: StepGraph) -> StepFunction:
    """Return the Keras step model as a compiled function: 0.5 ms a step."""
    names = [tensor.name for tensor in graph.model.inputs]
    function = tf.function(lambda tensors: graph.model(tensors, training=False))

    def call(inputs: Tensors) -> Tensors:
        outputs = function([tf.constant(inputs[name]) for name in names])
        return {name: np.asarray(tensor.numpy(), np.float32) for name, tensor in outputs.items()}

    return call


def tensorflow_interpreter(graph: bytes, preserve_all_tensors: bool = False) -> Any:
    """Return TensorFlow's own interpreter of a float32 graph: 0.03 ms a step, for the many steps of a calibration."""
    with warnings.catch_warnings():  # "tf.lite.Interpreter is deprecated", but it is at hand and sufficient here
        warnings.simplefilter("ignore", UserWarning)
        interpreter = tf.lite.Interpreter(model_content=graph, experimental_preserve_all_tensors=preserve_all_tensors)
    interpreter.allocate_tensors()
    return interpreter


def interpreter_step(
    interpreter: Any, inputs: dict[str, int] | None = None, outputs: dict[str, int] | None = None
) -> StepFunction:
    """Return a TFLite interpreter as a function.

    Parameters
    ----------
    inputs, outputs : name -> index of a tensor; by default the graph's own inputs and outputs.
    """
    into = inputs or {detail["name"]: detail["index"] for detail in interpreter.get_input_details()}
    out_of = outputs or {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}

    def call(values: Tensors) -> Tensors:
        for name, index in into.items():
            interpreter.set_tensor(index, values[name])
        interpreter.invoke()
        return {name: interpreter.get_tensor(index) for name, index in out_of.items()}

    return call


def step_probabilities(graph: StepGraph, rows: FloatArray, call: StepFunction | None = None) -> FloatArray:
    """Return the Keras step graph's probabilities of every step of a sequence, shape (n_steps, n_outputs).

    call : `keras_step(graph)`, where it is used for several sequences: tracing it takes the time of a thousand steps.
    """
    return np.stack([step.probabilities for step in walk(graph, rows, call or keras_step(graph))])


def sequence_probabilities(model: keras.Model, graph: StepGraph, sequences: FloatArray) -> FloatArray:
    """Return Keras' own probabilities of whole sequences, computed with the original layers.

    Parameters
    ----------
    sequences : shape (n_sequences, n_rows, n_features); in windowed mode each is one window.

    Returns
    -------
    float32, shape (n_sequences, n_steps, n_outputs), of the steps after the warm-up; in windowed mode the last step
    only, n_steps = 1.
    """
    layer_graph = trace(model)
    if graph.mode == "continuous":  # whole steps: 'same' with strides pads other sequences differently
        sequences = sequences[:, : sequences.shape[1] // graph.rows_per_step * graph.rows_per_step]
    images = sequences.reshape(*sequences.shape[:2], *layer_graph.row_shape)
    network = _for_any_length(model, layer_graph, sequences.shape[1])
    made = network.predict(images, batch_size=max(8, _BATCH_ROWS // sequences.shape[1]), verbose=0)
    output = np.concatenate(made, axis=-1) if isinstance(made, (list, tuple)) else np.asarray(made)
    output = _ACTIVATIONS[graph.activation](output.astype(np.float64)).astype(np.float32)
    expected: FloatArray = output
    if output.ndim == 2:  # the last layers aggregated the window
        expected = output[:, np.newaxis]
    if graph.mode == "windowed":
        return expected[:, -1:]
    return expected[:, : sequences.shape[1] // graph.rows_per_step - graph.warmup_steps]


def _softmax(values: Any) -> Any:
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "linear": lambda values: values,
    "sigmoid": lambda values: 1.0 / (1.0 + np.exp(-values)),
    "softmax": _softmax,
}


def _for_any_length(model: keras.Model, layer_graph: LayerGraph, n_rows: int) -> keras.Model:
    """Return the model itself, or a stateless copy for sequences of another length than it was built for."""
    stateful = any(getattr(call.layer, "stateful", False) for call in layer_graph.calls)
    if model.inputs[0].shape[0] is None and layer_graph.n_rows in (None, n_rows) and not stateful:
        return model
    rows = keras.Input((None, *layer_graph.row_shape))
    return keras.Model(rows, rebuild(layer_graph, rows))


def check_step_graph(graph: StepGraph, sequences: FloatArray, expected: FloatArray) -> None:
    """Compare the step graph with Keras' output for whole sequences.

    Raises
    ------
    ModelError
        The largest difference reaches 1e-5: the step graph is not the trained network.
    """
    n_last, call = expected.shape[1], keras_step(graph)
    got = np.stack([step_probabilities(graph, rows, call)[-n_last:] for rows in sequences])
    error, size = float(np.max(np.abs(got - expected))), scale_of(expected)
    if not error < FLOAT_TOLERANCE * size:
        raise ModelError(
            f"the one-step graph differs from the Keras network by {error:.2g} over {sequences.size} numbers of input: "
            f"expected less than {FLOAT_TOLERANCE * size:g}; report this network as a defect of the converter"
        )


def scale_of(expected: FloatArray) -> float:
    """Return the size of outputs that errors are compared with: 1 for probabilities, more for other quantities."""
    return max(1.0, float(np.max(np.abs(expected))))

"""Stepping through sequences on the desktop: the Keras step graph run as the device runs its TFLite form."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from edgequake.convert.streaming.layer_copies import rebuilt
from edgequake.convert.streaming.layer_graph import LayerGraph, trace
from edgequake.convert.streaming.step_model import NEXT, PROBABILITIES, ROWS, StepGraph
from edgequake.edge.base.errors import ModelError

FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
Tensors = dict[str, FloatArray]
Call = Callable[[Tensors], Tensors]
FLOAT_TOLERANCE = 1e-5  # float32 over thousands of recurrent steps; a wrong gate or a row's shift is 1e-2 and more


@dataclass(frozen=True)
class Step:
    """One step: what went in (rows and all states, by input name), and the probabilities."""

    inputs: Tensors
    probabilities: FloatArray  # (n_outputs,)


def walk(graph: StepGraph, rows: FloatArray, call: Call) -> Iterator[Step]:
    """Step through one sequence from zero state, carrying the state as the runner does.

    Parameters
    ----------
    call : runs one step, from all inputs by name to all outputs by name: `keras_call` or `tflite_call`.
    graph : the step graph; in windowed mode the sequence is one window, so recurrent states are thrown away after
        the warm-up steps.
    rows : shape (n_rows, n_features); rows that do not fill a last step are left out.
    """
    states = {state.name: np.zeros(state.shape, np.float32) for state in graph.states}
    recurrent = [state.name for state in graph.states if state.kind == "recurrent"]
    for step in range(len(rows) // graph.rows_per_step):
        if step == graph.warmup_steps:
            states.update({name: np.zeros_like(states[name]) for name in recurrent})
        start = step * graph.rows_per_step
        inputs = {ROWS: rows[np.newaxis, start : start + graph.rows_per_step].astype(np.float32), **states}
        outputs = call(inputs)
        yield Step(inputs, outputs[PROBABILITIES][0])
        states = {name: outputs[name + NEXT] for name in states}


def step_probabilities(graph: StepGraph, rows: FloatArray) -> FloatArray:
    """Return the Keras step graph's probabilities of every step of a sequence, shape (n_steps, n_outputs)."""
    return np.stack([step.probabilities for step in walk(graph, rows, keras_call(graph))])


def sequence_probabilities(model: keras.Model, graph: StepGraph, sequences: FloatArray) -> FloatArray:
    """Return what Keras itself makes of whole sequences, with the original layers.

    Parameters
    ----------
    sequences : shape (n_sequences, n_rows, n_features); in windowed mode each is one window.

    Returns
    -------
    float32, shape (n_sequences, n_steps, n_outputs); in windowed mode the last step only, n_steps = 1.
    """
    layer_graph = trace(model)
    images = sequences.reshape(*sequences.shape[:2], *layer_graph.row_shape)
    network = _for_any_length(model, layer_graph, sequences.shape[1])
    output = np.asarray(network.predict(images, batch_size=8, verbose=0), np.float32)
    if output.ndim == 2:  # the last layers summed the window up
        output = output[:, np.newaxis]
    return output[:, -1:] if graph.mode == "windowed" else output


def _for_any_length(model: keras.Model, layer_graph: LayerGraph, n_rows: int) -> keras.Model:
    """Return the model itself, or a copy without state for sequences of another length than it was built for."""
    stateful = any(getattr(place.layer, "stateful", False) for place in layer_graph.places)
    if model.inputs[0].shape[0] is None and layer_graph.n_rows in (None, n_rows) and not stateful:
        return model
    rows = keras.Input((None, *layer_graph.row_shape))
    return keras.Model(rows, rebuilt(layer_graph, rows))


def check_step_graph(graph: StepGraph, sequences: FloatArray, expected: FloatArray) -> float:
    """Compare the step graph with Keras' whole-sequence output and return the largest absolute difference.

    Raises
    ------
    ModelError
        The difference reaches 1e-5: the step graph is not the trained network.
    """
    n_last = expected.shape[1]
    got = np.stack([step_probabilities(graph, rows)[-n_last:] for rows in sequences])
    error = float(np.max(np.abs(got - expected)))
    if not error < FLOAT_TOLERANCE:
        raise ModelError(
            f"the one-step graph differs from the Keras network by {error:.2g} over {sequences.size} numbers of input: "
            f"expected less than {FLOAT_TOLERANCE:g}; report this network as a defect of the converter"
        )
    return error


def keras_call(graph: StepGraph) -> Call:
    """Return the Keras step model as a compiled function: 0.5 ms a step."""
    names = [tensor.name for tensor in graph.model.inputs]
    function = tf.function(lambda tensors: graph.model(tensors, training=False))

    def call(inputs: Tensors) -> Tensors:
        outputs = function([tf.constant(inputs[name]) for name in names])
        return {name: np.asarray(tensor.numpy(), np.float32) for name, tensor in outputs.items()}

    return call


def tflite_call(float_graph: bytes) -> Call:
    """Return a finished float32 graph as a function: 0.03 ms a step, for the many steps of a calibration."""
    with warnings.catch_warnings():  # "tf.lite.Interpreter is deprecated": it is enough for this, and it is here
        warnings.simplefilter("ignore", UserWarning)
        interpreter = tf.lite.Interpreter(model_content=float_graph)
    interpreter.allocate_tensors()
    into = {entry["name"]: entry["index"] for entry in interpreter.get_input_details()}
    out_of = {entry["name"]: entry["index"] for entry in interpreter.get_output_details()}

    def call(inputs: Tensors) -> Tensors:
        for name, index in into.items():
            interpreter.set_tensor(index, inputs[name])
        interpreter.invoke()
        return {name: interpreter.get_tensor(index) for name, index in out_of.items()}

    return call

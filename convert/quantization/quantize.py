"""What 8 bits lose in a recurrent cell, won back without training: wide cells, and even scales in front of them.

docs/convert-remedies.md has what each of these is worth, and what else was tried.

The step graph as TFLite: float32, dynamic, int8 and int16x8, from builtin operators only.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.lite.tools import flatbuffer_utils

from edgequake.convert.quantization import flatbuffer, int16_cells, layer_rounding, scales
from edgequake.convert.streaming.step_model import NEXT, StepGraph
from edgequake.convert.streaming.stepping import FloatArray, Tensors, tflite_call, walk
from edgequake.edge.base.errors import ModelError


def recover_cells(converted: bytes, graph: StepGraph, samples: list[Tensors]) -> bytes:
    """Return an int8 graph whose recurrent cells add up in 16 bits.

    Parameters
    ----------
    converted : as the converter makes it, with its signature.
    samples : inputs of consecutive steps, which it was calibrated on.
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(converted))
    signature = model.signatureDefs[0]
    entries = [*signature.inputs, *signature.outputs]
    ends = {entry.name.decode(): int(entry.tensorIndex) for entry in entries}
    recurrent = {state.name: state.name + NEXT for state in graph.states if state.kind == "recurrent"}
    was_consistent = int16_cells.is_consistent(model)
    wide = int16_cells.widen(model, ends, recurrent)
    if not wide or int16_cells.is_consistent(model) != was_consistent:
        return converted
    for entry in entries:
        entry.tensorIndex = ends[entry.name.decode()]
    products = scales.coarse_products(model)
    if products:
        exact = layer_rounding.rounded_only(bytes(flatbuffer_utils.convert_object_to_bytearray(model)), set())
        inputs = {name: ends[name] for name in samples[0]}
        ranges = _ranges(exact, inputs, samples, {product.border for product in products})
        scales.even_out(model, products, ranges)
    scales.make_exact(model, [(ends[before], ends[after]) for before, after in recurrent.items() if before in wide])
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _ranges(
    graph: bytes, inputs: dict[str, int], samples: list[Tensors], tensors: set[int]
) -> dict[int, np.ndarray[Any, Any]]:
    """Run a graph in floating point over the samples and return the largest absolute value of each unit of tensors."""
    with warnings.catch_warnings():  # as in `stepping.tflite_call`
        warnings.simplefilter("ignore", UserWarning)
        interpreter = tf.lite.Interpreter(model_content=graph, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    largest = {tensor: np.zeros(1) for tensor in tensors}
    for sample in samples:
        for name, index in inputs.items():
            interpreter.set_tensor(index, sample[name])
        interpreter.invoke()
        for tensor in tensors:
            values = np.abs(interpreter.get_tensor(tensor), dtype=np.float64).reshape(-1)
            largest[tensor] = np.maximum(largest[tensor], values)
    return largest


VARIANTS = ("float32", "dynamic", "int8", "int16x8")
CALIBRATED = ("int8", "int16x8")
CALIBRATION_STEPS = 20_000  # takes 2 s to 4 s


def calibration_samples(graph: StepGraph, float_graph: bytes, sequences: FloatArray) -> list[Tensors]:
    """Return inputs of consecutive steps, with the states that really occur, at most `CALIBRATION_STEPS` of them.

    Consecutive and not drawn at random: then what leaves a step enters the next one, both ends of a state see the same
    numbers, and they get the same scale. Zero states would teach the quantizer that states are zero.

    Parameters
    ----------
    float_graph : the finished float32 form of `graph`, which is stepped.
    sequences : shape (n_sequences, n_rows, n_features); each is stepped through from zero state.
    """
    call = tflite_call(float_graph)
    steps = itertools.chain.from_iterable(walk(graph, rows, call) for rows in sequences)
    return [step.inputs for step in itertools.islice(steps, CALIBRATION_STEPS)]


def convert_variant(graph: StepGraph, variant: str, samples: list[Tensors]) -> bytes:
    """Return the TFLite form of the step graph; `samples` may be empty for uncalibrated ones.

    It is as the converter makes it, but that recurrent cells of an int8 graph add up in 16 bits, see `recovery`.

    Raises
    ------
    ModelError
        The converter refuses the graph.
    """
    converter = tf.lite.TFLiteConverter.from_keras_model(graph.model)
    _SETTINGS[variant](converter)
    if variant in CALIBRATED:
        converter.representative_dataset = _source(samples)
    try:
        converted = bytes(converter.convert())
    except Exception as problem:  # the converter raises a dozen kinds, all of them for a graph it cannot take
        reason = " ".join(str(problem).split())[:300]
        raise ModelError(f"TensorFlow cannot convert the step graph to {variant}: {reason}") from problem
    if variant in CALIBRATED:
        _check_integers(converted, variant)
    return recover_cells(converted, graph, samples) if variant == "int8" else converted


def _check_integers(converted: bytes, variant: str) -> None:
    """Refuse a graph of which the converter left a part in floating point, which it does without a word."""
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(converted))
    tensors = model.subgraphs[0].tensors
    left = [
        flatbuffer.operator_name(model, operator)
        for operator in model.subgraphs[0].operators
        if any(flatbuffer.dtype_of(tensors[index]) == "float32" for index in (*operator.inputs, *operator.outputs))
    ]
    if left:
        raise ModelError(
            f"TensorFlow leaves {len(left)} operators of the {variant} graph in floating point "
            f"({', '.join(left[:5])}): expected integers throughout; put a Dense layer between the input and its "
            "branches, or convert another variant"
        )


def _source(samples: list[Tensors]) -> Callable[[], Iterator[dict[str, np.ndarray[Any, Any]]]]:
    return lambda: iter(samples)


def _float32(converter: Any) -> None:
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]


def _dynamic(converter: Any) -> None:
    _float32(converter)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    # Per-channel weights make FULLY_CONNECTED version 12, which tflite-runtime 2.14 lacks.
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True


def _int8(converter: Any) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8


def _int16x8(converter: Any) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]
    converter.inference_input_type = tf.int16
    converter.inference_output_type = tf.int16


_SETTINGS: dict[str, Callable[[Any], None]] = {
    "float32": _float32,
    "dynamic": _dynamic,
    "int8": _int8,
    "int16x8": _int16x8,
}

"""The step graph as TFLite: float32, dynamic, int8 and int16x8, from builtin operators only.

TensorFlow's converter makes every variant. In the int8 graph, `with_int16_cells` then recovers the accuracy that 8 bits
lose in a recurrent cell, without training. docs/convert-remedies.md has the gain of each remedy, and what else was
tried.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from edgequake.convert.quantization import flatbuffer, int16_cells, layer_rounding, scales
from edgequake.convert.quantization.tflite_file import TfliteFile, finish
from edgequake.convert.streaming.step_model import NEXT, StepGraph
from edgequake.convert.streaming.stepping import (
    FloatArray,
    StepFunction,
    Tensors,
    interpreter_step,
    tensorflow_interpreter,
    walk,
)
from edgequake.edge.base.errors import ModelError

INTEGER_TYPES = {  # variant -> type of its inputs and outputs, and the kernels that it may use
    "int8": (tf.int8, tf.lite.OpsSet.TFLITE_BUILTINS_INT8),
    "int16x8": (tf.int16, tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8),
}
CALIBRATION_STEPS = 20_000  # takes 2 s to 4 s


def convert_variants(
    graph: StepGraph,
    variants: Iterable[str],
    sequences: FloatArray | None,
    begin: Callable[[str], None] = lambda stage: None,
    left_out: dict[str, str] | None = None,
) -> dict[str, TfliteFile]:
    """Return the finished graph of every variant that can be made, in their order.

    Parameters
    ----------
    sequences : to calibrate on, shape (n_sequences, n_rows, n_features); needed for integer graphs only.
    begin : called with a few words when a stage begins.
    left_out : gets variant -> reason for those that cannot be made; None: they are errors.

    Raises
    ------
    ModelError
        TensorFlow's converter refuses the graph, or its result cannot be used.
    """
    variants = list(variants)
    begin("converting to float32")
    finished = {"float32": finish(convert_variant(graph, "float32", []), graph, "float32")}
    samples: list[Tensors] = []
    if sequences is not None and set(variants) & set(INTEGER_TYPES):
        begin("stepping through the calibration rows")
        samples = calibration_samples(graph, finished["float32"].graph, sequences)
    for variant in variants:
        if variant not in finished:
            begin(f"converting to {variant}")
            try:
                finished[variant] = _made(graph, variant, samples)
            except ModelError as problem:
                if left_out is None:
                    raise
                left_out[variant] = str(problem)
    return {variant: finished[variant] for variant in variants if variant in finished}


def _made(graph: StepGraph, variant: str, samples: list[Tensors]) -> TfliteFile:
    converted = convert_variant(graph, variant, samples)
    try:
        if variant == "int8":
            converted = with_int16_cells(converted, graph, samples)
        return finish(converted, graph, variant)
    except (IndexError, KeyError, ValueError) as problem:  # TensorFlow's result has a form that no one has seen yet
        kind = type(problem).__name__
        raise ModelError(
            f"TensorFlow's {variant} graph cannot be read ({kind}: {problem}); take another variant"
        ) from problem


def calibration_samples(graph: StepGraph, float_graph: bytes, sequences: FloatArray) -> list[Tensors]:
    """Return the inputs of consecutive steps, with the states that really occur, at most `CALIBRATION_STEPS` of them.

    Consecutive rather than random steps: the output of a step is then the input of the next one, both ends of a state
    see the same numbers and get the same scale. Zero states would teach the quantizer that states are zero.

    Parameters
    ----------
    float_graph : the finished float32 form of `graph`, which is stepped.
    sequences : shape (n_sequences, n_rows, n_features); each is stepped through from zero state.
    """
    call = interpreter_step(tensorflow_interpreter(float_graph))
    steps = itertools.chain.from_iterable(_and_one_more(graph, rows, call) for rows in sequences)
    return list(itertools.islice(steps, CALIBRATION_STEPS))


def _and_one_more(graph: StepGraph, rows: FloatArray, call: StepFunction) -> Iterator[Tensors]:
    """Yield the inputs of every step, and once more the first rows with the last step's state.

    Without it the state after a window's last step would never be an input, and the two ends of a state would get
    different scales, above all in short windows.
    """
    first: Tensors | None = None
    after: Tensors = {}

    def keeping(inputs: Tensors) -> Tensors:
        nonlocal after
        after = call(inputs)
        return after

    for step in walk(graph, rows, keeping):
        first = first or step.inputs
        yield step.inputs
    if first is not None and graph.states:
        yield {**first, **{state.name: after[state.name + NEXT] for state in graph.states}}


def convert_variant(graph: StepGraph, variant: str, samples: list[Tensors]) -> bytes:
    """Return the TFLite form of the step graph as TensorFlow converts it.

    Parameters
    ----------
    samples : inputs of consecutive steps to calibrate on; may be empty for float32 and dynamic.

    Raises
    ------
    ModelError
        The converter refuses the graph.
    """
    converter = tf.lite.TFLiteConverter.from_keras_model(graph.model)
    _configure(converter, variant)
    if variant in INTEGER_TYPES:
        converter.representative_dataset = lambda: iter(samples)
    try:
        converted = bytes(converter.convert())
    except Exception as problem:  # the converter raises a dozen types, all of them for a graph that it cannot take
        reason = " ".join(str(problem).split())[:300]
        raise ModelError(f"TensorFlow cannot convert the step graph to {variant}: {reason}") from problem
    if variant in INTEGER_TYPES:
        check_integers(converted, variant)
    return converted


def _configure(converter: Any, variant: str) -> None:
    if variant != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if variant in INTEGER_TYPES:
        dtype, kernels = INTEGER_TYPES[variant]
        converter.target_spec.supported_ops = [kernels]
        converter.inference_input_type = converter.inference_output_type = dtype
    else:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if variant == "dynamic":
        # Per-channel weights make FULLY_CONNECTED version 12, which tflite-runtime 2.14 lacks.
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True


def check_integers(converted: bytes, variant: str) -> None:
    """Refuse a graph of which the converter has silently left a part in floating point."""
    model = flatbuffer.unpack(converted)
    tensors = model.subgraphs[0].tensors
    left = [
        flatbuffer.operator_name(model, operator)
        for operator in model.subgraphs[0].operators
        if any(flatbuffer.dtype_of(tensors[index]) == "float32" for index in (*operator.inputs, *operator.outputs))
    ]
    lacking = sorted(set(left) - {"QUANTIZE", "DEQUANTIZE"})
    if lacking:
        raise ModelError(
            f"TensorFlow has no {variant} form of {', '.join(lacking)}: expected integers throughout; use another "
            "activation (relu, leaky_relu, tanh), or convert another variant"
        )
    if left:
        raise ModelError(
            f"TensorFlow leaves {len(left)} operators of the {variant} graph in floating point "
            f"({', '.join(left[:5])}): expected integers throughout; put a Dense layer between the input and its "
            "branches, or convert another variant"
        )


def with_int16_cells(converted: bytes, graph: StepGraph, samples: list[Tensors]) -> bytes:
    """Return an int8 graph whose recurrent cells accumulate in 16 bits.

    Parameters
    ----------
    converted : as the converter makes it, with its signature.
    samples : inputs of consecutive steps, which it was calibrated on.
    """
    model = flatbuffer.unpack(converted)
    signature = model.signatureDefs[0]
    entries = [*signature.inputs, *signature.outputs]
    ends = {entry.name.decode(): int(entry.tensorIndex) for entry in entries}
    recurrent = {state.name: state.name + NEXT for state in graph.states if state.kind == "recurrent"}
    had_shared_scales = int16_cells.has_shared_scales(model)
    wide = int16_cells.widen(model, ends, recurrent)
    if not wide or int16_cells.has_shared_scales(model) != had_shared_scales:
        return converted
    for entry in entries:
        entry.tensorIndex = ends[entry.name.decode()]
    products = scales.coarse_products(model)
    if products:
        float_graph = layer_rounding.round_only(flatbuffer.pack(model), set())
        inputs = {name: ends[name] for name in samples[0]}
        ranges = _ranges(float_graph, inputs, samples, {product.border for product in products})
        scales.equalize_units(model, products, ranges)
    scales.align_sums(model, [(ends[before], ends[after]) for before, after in recurrent.items() if before in wide])
    return flatbuffer.pack(model)


def _ranges(
    graph: bytes, inputs: dict[str, int], samples: list[Tensors], tensors: set[int]
) -> dict[int, scales.Ranges]:
    """Run a floating-point graph over the samples and return the largest absolute value of each unit of tensors."""
    interpreter = tensorflow_interpreter(graph, preserve_all_tensors=True)
    call = interpreter_step(interpreter, inputs, {str(tensor): tensor for tensor in tensors})
    largest = {tensor: np.zeros(1) for tensor in tensors}
    for sample in samples:
        for tensor, values in call(sample).items():
            absolute = np.abs(values, dtype=np.float64).reshape(-1)
            largest[int(tensor)] = np.maximum(largest[int(tensor)], absolute)
    return largest

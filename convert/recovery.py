"""What 8 bits lose in a recurrent cell, won back without training: wide cells, and even scales in front of them.

docs/convert-remedies.md has what each of these is worth, and what else was tried.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.lite.tools import flatbuffer_utils

from edgequake.convert import exact_sums, gate_scales, rounding, wide_cells
from edgequake.convert.step_graph import NEXT, StepGraph
from edgequake.convert.stepping import Tensors


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
    was_consistent = wide_cells.is_consistent(model)
    wide = wide_cells.widen(model, ends, recurrent)
    if not wide or wide_cells.is_consistent(model) != was_consistent:
        return converted
    for entry in entries:
        entry.tensorIndex = ends[entry.name.decode()]
    products = gate_scales.coarse_products(model)
    if products:
        exact = rounding.rounded_only(bytes(flatbuffer_utils.convert_object_to_bytearray(model)), set())
        inputs = {name: ends[name] for name in samples[0]}
        ranges = _ranges(exact, inputs, samples, {product.border for product in products})
        gate_scales.even_out(model, products, ranges)
    exact_sums.make_exact(model, [(ends[before], ends[after]) for before, after in recurrent.items() if before in wide])
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

"""Which layer's rounding costs what: the integer graph in floating point again, but for one layer at a time.

Every tensor becomes float32 and keeps its weights as they were rounded; then the tensors of one layer alone are put
through QUANTIZE and DEQUANTIZE with their scales of the integer graph. Such a graph is stepped like any other, with its
own state carried on, so what is measured is the error of the probability that this layer alone would make: what it
clips, what it rounds away, and what its cell state adds up of it. Errors of several layers do not simply add up, but
the order is the true one.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from edgequake.convert.quantization import flatbuffer
from edgequake.convert.quantization.flatbuffer import dtype_of, is_constant, operator_name, quantization, scales

WEIGHTS = "the weights"
INPUT = "the input"
_INTEGERS = {"int8", "int16", "int32", "int64"}


def layers_of(model: Any, layers: Iterable[str]) -> dict[int, str]:
    """Return which layer each quantized tensor belongs to; those that name none belong to the layer before them."""
    subgraph, known = model.subgraphs[0], sorted(layers, key=len, reverse=True)
    found = {int(t): _named(subgraph.tensors[t], known) or INPUT for t in subgraph.inputs}
    for operator in subgraph.operators:
        constants = [t for t in operator.inputs if t >= 0 and is_constant(model, t)]
        own = next((n for t in (*operator.outputs, *constants) if (n := _named(subgraph.tensors[t], known))), None)
        before = next((found[int(t)] for t in operator.inputs if int(t) in found), INPUT)
        found.update({int(t): own or before for t in operator.outputs})
    return {t: layer for t, layer in found.items() if scales(subgraph.tensors[t]).size}


def rounded_only(graph: bytes, tensors: set[int]) -> bytes:
    """Return a graph in floating point in which the given tensors alone are rounded as in the integer graph."""
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(graph))
    subgraph = model.subgraphs[0]
    held = {t: copy.deepcopy(subgraph.tensors[t]) for t in tensors}
    for index, tensor in enumerate(subgraph.tensors):
        if dtype_of(tensor) in _INTEGERS and scales(tensor).size:
            _to_float(model, index)
    for operator in subgraph.operators:
        if operator_name(model, operator) in ("CAST", "QUANTIZE"):  # between 8 and 16 bits: nothing is left to do
            _pass_on(model, operator)
    maker = {int(t): k for k, operator in enumerate(subgraph.operators) for t in operator.outputs}
    after: dict[int, list[Any]] = {}
    for tensor in sorted(tensors):
        after.setdefault(maker.get(tensor, -1), []).extend(_round(model, tensor, held[tensor]))
    between = ([operator, *after.get(k, [])] for k, operator in enumerate(subgraph.operators))
    subgraph.operators = [*after.get(-1, []), *(operator for group in between for operator in group)]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _named(tensor: Any, layers: list[str]) -> str | None:
    """Return the layer in a tensor's name: "step_1/LAYER_1/MatMul", or that of a state, "LAYER_context".

    TensorFlow numbers a copied layer: "dense_1" in the middle is the layer 'dense', "dense_1_1" is 'dense_1'.
    """
    _, *inner = tensor.name.decode().split("/")
    if inner and (copied := re.sub(r"_\d+$", "", inner[0])) in layers:
        return copied
    part = inner[0] if inner else tensor.name.decode()
    return next((layer for layer in layers if part == layer or part.startswith(layer + "_")), None)


def _to_float(model: Any, index: int) -> None:
    tensor = model.subgraphs[0].tensors[index]
    if is_constant(model, index):
        steps = np.frombuffer(bytes(model.buffers[tensor.buffer].data), dtype_of(tensor)).reshape(tensor.shape)
        shape = [1] * steps.ndim
        if len(scales(tensor)) > 1:
            shape[tensor.quantization.quantizedDimension] = -1
        zero_points = np.asarray(tensor.quantization.zeroPoint).reshape(shape) if shape else 0
        values = (steps - zero_points) * (scales(tensor).reshape(shape) if shape else scales(tensor)[0])
        tensor.buffer = len(model.buffers)
        data = np.frombuffer(values.astype(np.float32).tobytes(), np.uint8)
        model.buffers.append(schema.BufferT(data=data))
    tensor.type, tensor.quantization = schema.TensorType.FLOAT32, schema.QuantizationParametersT()


def _pass_on(model: Any, operator: Any) -> None:
    options = schema.ReshapeOptionsT()
    options.newShape = model.subgraphs[0].tensors[operator.outputs[0]].shape
    operator.opcodeIndex = flatbuffer.code_index(model, "RESHAPE", 1)
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.ReshapeOptions, options


def _round(model: Any, index: int, held: Any) -> list[Any]:
    """Return the operators that round a tensor; whoever read it reads the rounded one."""
    subgraph = model.subgraphs[0]
    integers, rounded = len(subgraph.tensors), len(subgraph.tensors) + 1
    result = copy.deepcopy(subgraph.tensors[index])
    subgraph.tensors[index].name += b"_exact"
    held.name += b"_steps"
    subgraph.tensors += [held, result]
    for operator in subgraph.operators:
        flatbuffer.replace(operator.inputs, index, rounded)
    flatbuffer.replace(subgraph.outputs, index, rounded)
    if index in subgraph.inputs:  # the device looks inputs up by name
        subgraph.tensors[index].name, result.name = result.name, result.name + b"_rounded"
    return [_operator(model, "QUANTIZE", index, integers), _operator(model, "DEQUANTIZE", integers, rounded)]


def _operator(model: Any, name: str, source: int, target: int) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex = flatbuffer.code_index(model, name, 2)
    operator.inputs, operator.outputs = np.array([source], np.int32), np.array([target], np.int32)
    return operator


def quantized_tensors(model: Any) -> set[int]:
    """Return the tensors that rounding concerns: all with a scale that are not stored in the file."""
    tensors = model.subgraphs[0].tensors
    return {k for k, t in enumerate(tensors) if quantization(t).scale and not is_constant(model, k)}

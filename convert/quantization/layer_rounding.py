"""The rounding error of one layer: the integer graph in floating point again, except for one layer at a time.

Every tensor becomes float32 and keeps its weights as they were rounded; then the tensors of a single layer are passed
through QUANTIZE and DEQUANTIZE with their scales of the integer graph. Such a graph is stepped like any other, carrying
its own state, so the measured error of the probability is the one that this layer alone would cause: by clipping, by
rounding, and by what its cell state accumulates. The errors of several layers do not simply add up, but their order is
right.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from edgequake.convert.quantization import flatbuffer
from edgequake.convert.quantization.flatbuffer import FlatGraph, dtype_of, is_constant, quantization, scales
from edgequake.convert.streaming.layer_graph import PREFIX

WEIGHTS = "the weights"
INPUT = "the input"
_INTEGERS = {"int8", "int16", "int32", "int64"}


def layers_by_tensor(model: Any, layers: Iterable[str]) -> dict[int, str]:
    """Return the layer of each quantized tensor; a tensor that names no layer belongs to the one before it."""
    subgraph, known = model.subgraphs[0], sorted(layers, key=len, reverse=True)
    found = {int(t): _layer_of(subgraph.tensors[t], known) or INPUT for t in subgraph.inputs}
    for operator in subgraph.operators:
        constants = [t for t in operator.inputs if t >= 0 and is_constant(model, t)]
        own = next((n for t in (*operator.outputs, *constants) if (n := _layer_of(subgraph.tensors[t], known))), None)
        before = next((found[int(t)] for t in operator.inputs if int(t) in found), INPUT)
        found.update({int(t): own or before for t in operator.outputs})
    return {t: layer for t, layer in found.items() if scales(subgraph.tensors[t]).size}


def _layer_of(tensor: Any, layers: list[str]) -> str | None:
    """Return the layer in a tensor's name: "step_1/net.LAYER_1/MatMul", or that of a state, "LAYER_context".

    TensorFlow numbers a copied layer: "net.dense_1" in the middle is the layer 'dense', "net.dense_1_1" is 'dense_1';
    what follows a dot is a part of a layer.
    """
    _, *inner = tensor.name.decode().split("/")
    if inner and inner[0].startswith(PREFIX):
        copied, dot, _ = inner[0].removeprefix(PREFIX).partition(".")
        numbered = copied if dot else re.sub(r"_\d+$", "", copied)
        return next((name for name in (numbered, copied) if name in layers), None)
    part = inner[0] if inner else tensor.name.decode()
    return next((layer for layer in layers if part == layer or part.startswith(layer + "_")), None)


def quantized_tensors(model: Any) -> set[int]:
    """Return the tensors that are rounded: all that have a scale and are not stored in the file."""
    tensors = model.subgraphs[0].tensors
    return {k for k, t in enumerate(tensors) if quantization(t).scale and not is_constant(model, k)}


def round_only(graph: bytes, tensors: set[int]) -> bytes:
    """Return a floating-point graph in which only the given tensors are rounded as in the integer graph."""
    model = flatbuffer.unpack(graph)
    subgraph = model.subgraphs[0]
    integer_tensors = {t: copy.deepcopy(subgraph.tensors[t]) for t in tensors}
    for index, tensor in enumerate(subgraph.tensors):
        if dtype_of(tensor) in _INTEGERS and scales(tensor).size:
            _to_float(model, index)
    flat = FlatGraph(model)
    for k, operator in enumerate(flat.operators):
        if flat.name(k) in ("CAST", "QUANTIZE"):  # conversions between 8 and 16 bits have nothing left to do
            _pass_on(model, operator)
    for tensor in sorted(tensors):
        flat.insert(tensor, *_round(model, tensor, integer_tensors[tensor]))
    flat.apply_insertions()
    return flatbuffer.pack(model)


def _to_float(model: Any, index: int) -> None:
    tensor = model.subgraphs[0].tensors[index]
    if is_constant(model, index):
        steps = flatbuffer.constant(model, tensor).reshape(tensor.shape)
        shape = [1] * steps.ndim
        if len(scales(tensor)) > 1:
            shape[tensor.quantization.quantizedDimension] = -1
        zero_points = np.asarray(tensor.quantization.zeroPoint).reshape(shape) if shape else 0
        values = (steps - zero_points) * (scales(tensor).reshape(shape) if shape else scales(tensor)[0])
        tensor.buffer = flatbuffer.add_buffer(model, values.astype(np.float32))
    tensor.type, tensor.quantization = schema.TensorType.FLOAT32, schema.QuantizationParametersT()


def _pass_on(model: Any, operator: Any) -> None:
    options = schema.ReshapeOptionsT()
    options.newShape = model.subgraphs[0].tensors[operator.outputs[0]].shape
    operator.opcodeIndex = flatbuffer.code_index(model, "RESHAPE", 1)
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.ReshapeOptions, options


def _round(model: Any, index: int, integer_tensor: Any) -> list[Any]:
    """Return the operators that round a tensor; its readers then read the rounded one."""
    subgraph = model.subgraphs[0]
    result = copy.deepcopy(subgraph.tensors[index])
    subgraph.tensors[index].name += b"_exact"
    integer_tensor.name += b"_steps"
    steps, rounded = flatbuffer.add_tensor(model, integer_tensor), flatbuffer.add_tensor(model, result)
    for operator in subgraph.operators:
        flatbuffer.replace(operator.inputs, index, rounded)
    flatbuffer.replace(subgraph.outputs, index, rounded)
    if index in subgraph.inputs:  # the device looks inputs up by name
        subgraph.tensors[index].name, result.name = result.name, result.name + b"_rounded"
    return [
        flatbuffer.new_operator(model, "QUANTIZE", 2, [index], steps),
        flatbuffer.new_operator(model, "DEQUANTIZE", 2, [steps], rounded),
    ]

"""A scale for every unit of a gate: the range of a product of matrices, made even over its outputs.

A product has one scale for all its outputs, and so the widest unit of the widest gate sets the step of all 4 * units of
them: 0.15 where most units would do with 0.02. But its weights have a scale for every output. Dividing that of unit k
by a_k, with its bias, lets the unit use all 8 bits without another integer in the weights; once the product is in 16
bits (see `wide_cells`) one MUL by a_k gives the sum of the gates its true size again. This is cross-layer equalisation
(Nagel et al. 2019, arXiv:1906.04721) with the inverse put where there are bits for it.

Scales with which 16-bit sums are exact, so that every runtime gives the same bits.

ADD and SUB rescale both inputs and the result, and the runtimes round the last bit of that differently: one value in
20 000 differs by 1 between tflite-runtime 2.14 and ai-edge-litert 2.3, and a recurrent state carries it on. Where the
scales of the inputs are the result's times powers of two, nothing is left to round. What a MUL gives may have any
scale; what a CAST gives has that of an 8-bit product, which may become coarser, but not finer.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from edgequake.convert.quantization import flatbuffer
from edgequake.convert.quantization.flatbuffer import dtype_of, is_constant, operator_name, quantization
from edgequake.convert.quantization.int16_cells import CELLWISE, HEADROOM

# Steps of a gate's sum finer than this gain nothing: half of one moves a sigmoid by 1/128 of its range at most.
COARSE_STEP = 1 / 16
MARGIN = 1.05  # over the largest value that calibration saw
SMALLEST_SHARE = 1e-3  # of the largest unit's range: a dead unit must not get an endless scale

Ranges = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True)
class Product:
    """A fully connected operator, and the CAST that widens what it gives."""

    operator: Any
    cast: Any
    border: int  # the tensor that is cast


def coarse_products(model: Any) -> list[Product]:
    """Return the products for gates whose step is too coarse."""
    operators = model.subgraphs[0].operators
    maker = {int(t): operator for operator in operators for t in operator.outputs}
    found = []
    for cast in operators:
        if operator_name(model, cast) != "CAST":
            continue
        border = int(cast.inputs[0])
        operator = maker.get(border)
        while operator is not None and operator_name(model, operator) == "RESHAPE":
            operator = maker.get(int(operator.inputs[0]))
        step = flatbuffer.quantization(model.subgraphs[0].tensors[border]).scale
        if operator is not None and operator_name(model, operator) == "FULLY_CONNECTED" and step > COARSE_STEP:
            found.append(Product(operator, cast, border))
    return found


def even_out(model: Any, products: Iterable[Product], ranges: dict[int, Ranges]) -> None:
    """Give each unit of the products a scale of its own, in place.

    Parameters
    ----------
    ranges : tensor that is cast -> largest absolute value of each unit in calibration, shape (n_units,).
    """
    of_weights: dict[int, list[Product]] = {}
    for product in products:
        of_weights.setdefault(int(product.operator.inputs[1]), []).append(product)
    for weights, shared in of_weights.items():  # a step of several rows multiplies by the same weights several times
        readers = [o for o in model.subgraphs[0].operators if weights in o.inputs]
        if len(readers) == len(shared):
            limit = MARGIN * np.maximum.reduce([ranges[product.border] for product in shared])
            _even_out(model, shared, np.maximum(limit, SMALLEST_SHARE * limit.max()))


def _even_out(model: Any, products: list[Product], limit: Ranges) -> None:
    share = limit / limit.max()
    _divide_scale(model, int(products[0].operator.inputs[1]), share)
    for bias in {
        int(p.operator.inputs[2]) for p in products if len(p.operator.inputs) > 2 and p.operator.inputs[2] >= 0
    }:
        own = _own(model, bias, [p.operator for p in products])
        _divide_scale(model, own, share)
    factor = _constant(model, share)
    for product in products:
        _set_border(model, product, float(limit.max()) / 127)
        _multiply(model, product, factor, HEADROOM * float(limit.max()) / 32767)


def _own(model: Any, index: int, readers: list[Any]) -> int:
    """Return a constant's tensor, or a copy of it where others read it too: equal constants are stored once."""
    if sum(index in operator.inputs for operator in model.subgraphs[0].operators) == len(readers):
        return index
    model.subgraphs[0].tensors.append(copy.deepcopy(model.subgraphs[0].tensors[index]))
    for operator in readers:
        flatbuffer.replace(operator.inputs, index, len(model.subgraphs[0].tensors) - 1)
    return len(model.subgraphs[0].tensors) - 1


def _divide_scale(model: Any, index: int, share: Ranges) -> None:
    """Let the same integers stand for numbers 1 / share as large, output by output."""
    held = model.subgraphs[0].tensors[index].quantization
    held.scale = (np.asarray(held.scale, np.float64) / share).astype(np.float32)
    held.zeroPoint, held.quantizedDimension = np.zeros(len(share), np.int64), 0


def _set_border(model: Any, product: Product, scale: float) -> None:
    """Give the product's output its scale, and what it is after a change of shape."""
    subgraph, index = model.subgraphs[0], product.border
    maker = {int(t): operator for operator in subgraph.operators for t in operator.outputs}
    while True:
        flatbuffer.set_quantization(subgraph.tensors[index], scale, 0)
        if maker[index] is product.operator:
            return
        index = int(maker[index].inputs[0])


def _constant(model: Any, values: Ranges) -> int:
    tensor = schema.TensorT()
    tensor.name, tensor.type, tensor.shape = b"shares", schema.TensorType.INT16, np.array([len(values)], np.int32)
    tensor.buffer = len(model.buffers)
    steps = np.maximum(np.rint(values * 32767), 1).astype(np.int16)
    model.buffers.append(schema.BufferT(data=np.frombuffer(steps.tobytes(), np.uint8)))
    flatbuffer.set_quantization(tensor, 1 / 32767, 0)
    model.subgraphs[0].tensors.append(tensor)
    return len(model.subgraphs[0].tensors) - 1


def _multiply(model: Any, product: Product, factor: int, scale: float) -> None:
    """Put MUL after CAST; whoever read the wide product reads the one that is multiplied out."""
    subgraph, wide = model.subgraphs[0], int(product.cast.outputs[0])
    evened = copy.deepcopy(subgraph.tensors[wide])
    flatbuffer.set_quantization(evened, flatbuffer.quantization(subgraph.tensors[product.border]).scale, 0)
    subgraph.tensors.append(evened)
    product.cast.outputs[0] = len(subgraph.tensors) - 1
    flatbuffer.set_quantization(subgraph.tensors[wide], scale, 0)
    operator = schema.OperatorT()
    operator.opcodeIndex = flatbuffer.code_index(model, "MUL", CELLWISE["MUL"])
    operator.inputs = np.array([len(subgraph.tensors) - 1, factor], np.int32)
    operator.outputs = np.array([wide], np.int32)
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.MulOptions, schema.MulOptionsT()
    at = next(k for k, o in enumerate(subgraph.operators) if o is product.cast)
    subgraph.operators.insert(at + 1, operator)


_SUMS = ("ADD", "SUB")
WITHIN = 0.02  # of a factor of two: an 8-bit range of 1 is 1.004 in its own steps
MOST_SHIFT = 14  # the kernels have 15 bits below a 16-bit integer


def make_exact(model: Any, states: list[tuple[int, int]]) -> None:
    """Change scales in place; sums whose scales cannot be brought together stay as they are.

    Parameters
    ----------
    states : tensors of each recurrent state's input and output, which have one scale.
    """
    graph = _Scales(model, states)
    sums = [operator for operator in model.subgraphs[0].operators if graph.is_wide_sum(operator)]
    for operator in sums:  # products of both kinds first: what is coarser now is what the next step goes by
        graph.align_products([int(t) for t in operator.inputs])
    for operator in sums:
        graph.align(operator)


class _Scales:
    def __init__(self, model: Any, states: list[tuple[int, int]]) -> None:
        self._model, self._subgraph = model, model.subgraphs[0]
        self._maker = {int(t): operator for operator in self._subgraph.operators for t in operator.outputs}
        self._partner = {a: b for pair in states for a, b in (pair, pair[::-1])}

    def is_wide_sum(self, operator: Any) -> bool:
        wide = dtype_of(self._subgraph.tensors[operator.outputs[0]]) == "int16"
        return wide and operator_name(self._model, operator) in _SUMS

    def align_products(self, inputs: list[int]) -> None:
        """Make the finer of two products coarser, until the other's step is a power of two times its own."""
        if {self._origin(t) for t in inputs} != {"CAST"}:
            return
        coarse, fine = sorted(inputs, key=self._scale, reverse=True)
        shift = math.floor(math.log2(self._scale(coarse) / self._scale(fine)) + 1e-9)
        self._set(fine, self._scale(coarse) * 2.0**-shift)

    def align(self, operator: Any) -> None:
        """Give the result a scale that divides those of the inputs by powers of two."""
        inputs, result = [int(t) for t in operator.inputs], int(operator.outputs[0])
        free = [t for t in inputs if self._origin(t) == "MUL"]
        fixed = [self._scale(t) for t in inputs if t not in free]
        needed = max(self._scale(t) for t in (*free, result))
        if fixed:
            shift = math.floor(math.log2(min(fixed) / needed) + 1e-9)
            if shift < 0:  # without the headroom, as for 1 - z, which no step takes out of its range
                shift = math.floor(math.log2(min(fixed) * HEADROOM / needed) + WITHIN)
            if not 0 <= shift <= MOST_SHIFT:
                return
            scale = min(fixed) * 2.0**-shift
        else:
            scale = needed
        for tensor in (*free, result):
            self._set(tensor, scale)

    def _scale(self, tensor: int) -> float:
        return quantization(self._subgraph.tensors[tensor]).scale

    def _origin(self, tensor: int) -> str:
        """Return the operator that made a tensor's numbers, before they were given another shape."""
        while tensor in self._maker and operator_name(self._model, self._maker[tensor]) in ("RESHAPE", "STRIDED_SLICE"):
            tensor = int(self._maker[tensor].inputs[0])
        return operator_name(self._model, self._maker[tensor]) if tensor in self._maker else "input"

    def _set(self, tensor: int, scale: float) -> None:
        """Give a scale to a tensor, to all that hold its numbers, and to a state's other end."""
        group, waiting = set(), [tensor]
        while waiting:
            tensor = waiting.pop()
            if tensor in group:
                continue
            group.add(tensor)
            waiting += [self._partner[tensor]] if tensor in self._partner else []
            for operator in self._subgraph.operators:
                ends = [int(t) for t in (*operator.inputs, *operator.outputs) if t >= 0]
                if tensor in ends and operator_name(self._model, operator) in flatbuffer.SAME_SCALE | {"CAST"}:
                    waiting += [t for t in ends if self._scale(t) and not is_constant(self._model, t)]
        for member in group:
            flatbuffer.set_quantization(self._subgraph.tensors[member], scale, 0)

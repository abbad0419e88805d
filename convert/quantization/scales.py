"""Scales of the 16-bit cells: one for every unit of a gate, and powers of two for the sums.

**A scale for every unit.** A matrix product has one scale for all its outputs, so the widest unit of the widest gate
sets the step of all 4 * units of them: 0.15, where most units would need 0.02. Its weights, however, have one scale per
output. Dividing that of unit k by a_k, together with its bias, lets the unit use all 8 bits without changing an integer
of the weights. Once the product is in 16 bits (see `int16_cells`), one MUL by a_k restores the true size of the gate's
sum. This is cross-layer equalization (Nagel et al. 2019, arXiv:1906.04721) with the inverse applied where the bits for
it are available.

**Power-of-two scales.** ADD and SUB rescale both inputs and the result, and the runtimes round the last bit of that
differently: one value in 20 000 differs by 1 between tflite-runtime 2.14 and ai-edge-litert 2.3, and a recurrent state
carries the difference on. Where the scales of the inputs are the result's times powers of two, there is nothing to
round. The result of a MUL may have any scale; the result of a CAST has that of an 8-bit product, which may become
coarser, but not finer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tensorflow.lite.python import schema_py_generated as schema

from edgequake.convert.quantization import flatbuffer
from edgequake.convert.quantization.flatbuffer import FlatGraph, dtype_of, is_constant, quantization
from edgequake.convert.quantization.int16_cells import CELLWISE, HEADROOM

# A gate's sum needs no finer steps than this: half of one moves a sigmoid by 1/128 of its range at most.
COARSE_STEP = 1 / 16
MARGIN = 1.05  # over the largest value seen in calibration
SMALLEST_SHARE = 1e-3  # of the largest unit's range, so that the scale of a dead unit stays finite
SUMS = ("ADD", "SUB")
WITHIN = 0.02  # of a factor of two: an 8-bit range of 1 is 1.004 in its own steps
MAX_SHIFT = 14  # the kernels have 15 bits below a 16-bit integer

Ranges = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Product:
    """A fully connected operator, and the CAST that widens its result."""

    operator: Any
    cast: Any
    chain: tuple[int, ...]  # the tensor that is cast, and those that it was reshaped from

    @property
    def border(self) -> int:
        """Return the tensor that is cast."""
        return self.chain[0]


def coarse_products(model: Any) -> list[Product]:
    """Return the products for gates whose step is too coarse."""
    graph, found = FlatGraph(model), []
    for k, cast in enumerate(graph.operators):
        if graph.name(k) != "CAST":
            continue
        chain = graph.upstream(int(cast.inputs[0]), through=("RESHAPE",))
        made_by = graph.maker.get(chain[-1])
        step = quantization(graph.tensors[chain[0]]).scale
        if made_by is not None and graph.name(made_by) == "FULLY_CONNECTED" and step > COARSE_STEP:
            found.append(Product(graph.operators[made_by], cast, tuple(chain)))
    return found


def equalize_units(model: Any, products: Iterable[Product], ranges: dict[int, Ranges]) -> None:
    """Give each unit of the products a scale of its own, in place.

    Parameters
    ----------
    ranges : tensor that is cast -> largest absolute value of each unit in calibration, shape (n_units,).
    """
    by_weights: dict[int, list[Product]] = {}
    for product in products:
        by_weights.setdefault(int(product.operator.inputs[1]), []).append(product)
    for weights, shared in by_weights.items():  # a step of several rows multiplies by the same weights several times
        if _n_readers(model, weights) == len(shared):
            limit = MARGIN * np.maximum.reduce([ranges[product.border] for product in shared])
            _equalize(model, shared, np.maximum(limit, SMALLEST_SHARE * limit.max()))


def _equalize(model: Any, products: list[Product], limit: Ranges) -> None:
    share = limit / limit.max()
    _divide_scale(model, int(products[0].operator.inputs[1]), share)
    operators = [product.operator for product in products]
    for bias in {int(o.inputs[2]) for o in operators if len(o.inputs) > 2 and o.inputs[2] >= 0}:
        own = bias
        if _n_readers(model, bias) != len(operators):  # equal constants are stored once
            own = flatbuffer.copy_tensor(model, bias)
            for operator in operators:
                flatbuffer.replace(operator.inputs, bias, own)
        _divide_scale(model, own, share)
    factor = _shares_tensor(model, share)
    for product in products:
        for index in product.chain:
            flatbuffer.set_quantization(model.subgraphs[0].tensors[index], float(limit.max()) / 127)
        _multiply(model, product, factor, HEADROOM * float(limit.max()) / 32767)


def _n_readers(model: Any, index: int) -> int:
    return sum(index in operator.inputs for operator in model.subgraphs[0].operators)


def _divide_scale(model: Any, index: int, share: Ranges) -> None:
    """Let the same integers represent numbers 1 / share as large, output by output."""
    parameters = model.subgraphs[0].tensors[index].quantization
    parameters.scale = (np.asarray(parameters.scale, np.float64) / share).astype(np.float32)
    parameters.zeroPoint, parameters.quantizedDimension = np.zeros(len(share), np.int64), 0


def _shares_tensor(model: Any, share: Ranges) -> int:
    tensor = schema.TensorT()
    tensor.name, tensor.type, tensor.shape = b"shares", schema.TensorType.INT16, np.array([len(share)], np.int32)
    tensor.buffer = flatbuffer.add_buffer(model, np.maximum(np.rint(share * 32767), 1).astype(np.int16))
    flatbuffer.set_quantization(tensor, 1 / 32767)
    return flatbuffer.add_tensor(model, tensor)


def _multiply(model: Any, product: Product, factor: int, scale: float) -> None:
    """Insert MUL after CAST: the operators that read the wide product then read the multiplied one."""
    subgraph, wide = model.subgraphs[0], int(product.cast.outputs[0])
    equalized = flatbuffer.copy_tensor(model, wide)
    product_scale = quantization(subgraph.tensors[product.border]).scale
    flatbuffer.set_quantization(subgraph.tensors[equalized], product_scale)
    product.cast.outputs[0] = equalized
    flatbuffer.set_quantization(subgraph.tensors[wide], scale)
    operator = flatbuffer.new_operator(model, "MUL", CELLWISE["MUL"], [equalized, factor], wide)
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.MulOptions, schema.MulOptionsT()
    at = next(k for k, o in enumerate(subgraph.operators) if o is product.cast)
    subgraph.operators.insert(at + 1, operator)


def align_sums(model: Any, states: list[tuple[int, int]]) -> None:
    """Set power-of-two scales in place; sums whose scales cannot be aligned stay as they are.

    Parameters
    ----------
    states : tensors of each recurrent state's input and output, which share one scale.
    """
    graph = _ScaleGraph(model, states)
    sums = [
        operator
        for k, operator in enumerate(graph.operators)
        if graph.name(k) in SUMS and dtype_of(graph.tensors[operator.outputs[0]]) == "int16"
    ]
    for operator in sums:  # 8-bit products first: the next loop starts from the coarser of their scales
        graph.align_products([int(t) for t in operator.inputs])
    for operator in sums:
        graph.align(operator)


class _ScaleGraph(FlatGraph):
    """A graph whose scales are changed together where tensors hold the same values."""

    def __init__(self, model: Any, states: list[tuple[int, int]]) -> None:
        super().__init__(model)
        self._partner = {a: b for pair in states for a, b in (pair, pair[::-1])}

    def align_products(self, inputs: list[int]) -> None:
        """Coarsen the finer of two products until the other's step is a power of two times its own."""
        if {self._origin_name(t) for t in inputs} != {"CAST"}:
            return
        coarse, fine = sorted(inputs, key=self._scale, reverse=True)
        shift = math.floor(math.log2(self._scale(coarse) / self._scale(fine)) + 1e-9)
        self._set(fine, self._scale(coarse) * 2.0**-shift)

    def align(self, operator: Any) -> None:
        """Give the result of a sum a scale that divides those of the inputs by powers of two."""
        inputs, result = [int(t) for t in operator.inputs], int(operator.outputs[0])
        free = [t for t in inputs if self._origin_name(t) == "MUL"]
        fixed = [self._scale(t) for t in inputs if t not in free]
        scale = max(self._scale(t) for t in (*free, result))
        if fixed:
            shift = math.floor(math.log2(min(fixed) / scale) + 1e-9)
            if shift < 0:  # give up the headroom, as for 1 - z, which never leaves its range
                shift = math.floor(math.log2(min(fixed) * HEADROOM / scale) + WITHIN)
            if not 0 <= shift <= MAX_SHIFT:
                return
            scale = min(fixed) * 2.0**-shift
        for tensor in (*free, result):
            self._set(tensor, scale)

    def _scale(self, tensor: int) -> float:
        return quantization(self.tensors[tensor]).scale

    def _origin_name(self, tensor: int) -> str:
        origin = self.origin(tensor)
        return "input" if origin is None else self.name(origin)

    def _set(self, tensor: int, scale: float) -> None:
        """Give a scale to a tensor, to all tensors that hold its values, and to a state's other end."""
        group, pending = set(), [tensor]
        while pending:
            tensor = pending.pop()
            if tensor in group:
                continue
            group.add(tensor)
            pending += [self._partner[tensor]] if tensor in self._partner else []
            for k, operator in enumerate(self.operators):
                ends = [int(t) for t in (*operator.inputs, *operator.outputs) if t >= 0]
                if tensor in ends and self.name(k) in flatbuffer.SAME_SCALE | {"CAST"}:
                    pending += [t for t in ends if self._scale(t) and not is_constant(self.model, t)]
        for member in group:
            flatbuffer.set_quantization(self.tensors[member], scale)

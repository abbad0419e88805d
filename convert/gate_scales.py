"""A scale for every unit of a gate: the range of a product of matrices, made even over its outputs.

A product has one scale for all its outputs, and so the widest unit of the widest gate sets the step of all 4 * units of
them: 0.15 where most units would do with 0.02. But its weights have a scale for every output. Dividing that of unit k
by a_k, with its bias, lets the unit use all 8 bits without another integer in the weights; once the product is in 16
bits (see `wide_cells`) one MUL by a_k gives the sum of the gates its true size again. This is cross-layer equalisation
(Nagel et al. 2019, arXiv:1906.04721) with the inverse put where there are bits for it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from edgequake.convert import flat_model
from edgequake.convert.flat_model import operator_name
from edgequake.convert.wide_cells import CELLWISE, HEADROOM

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
        step = flat_model.quantization(model.subgraphs[0].tensors[border]).scale
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
        flat_model.replace(operator.inputs, index, len(model.subgraphs[0].tensors) - 1)
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
        flat_model.set_quantization(subgraph.tensors[index], scale, 0)
        if maker[index] is product.operator:
            return
        index = int(maker[index].inputs[0])


def _constant(model: Any, values: Ranges) -> int:
    tensor = schema.TensorT()
    tensor.name, tensor.type, tensor.shape = b"shares", schema.TensorType.INT16, np.array([len(values)], np.int32)
    tensor.buffer = len(model.buffers)
    steps = np.maximum(np.rint(values * 32767), 1).astype(np.int16)
    model.buffers.append(schema.BufferT(data=np.frombuffer(steps.tobytes(), np.uint8)))
    flat_model.set_quantization(tensor, 1 / 32767, 0)
    model.subgraphs[0].tensors.append(tensor)
    return len(model.subgraphs[0].tensors) - 1


def _multiply(model: Any, product: Product, factor: int, scale: float) -> None:
    """Put MUL after CAST; whoever read the wide product reads the one that is multiplied out."""
    subgraph, wide = model.subgraphs[0], int(product.cast.outputs[0])
    evened = copy.deepcopy(subgraph.tensors[wide])
    flat_model.set_quantization(evened, flat_model.quantization(subgraph.tensors[product.border]).scale, 0)
    subgraph.tensors.append(evened)
    product.cast.outputs[0] = len(subgraph.tensors) - 1
    flat_model.set_quantization(subgraph.tensors[wide], scale, 0)
    operator = schema.OperatorT()
    operator.opcodeIndex = flat_model.code_index(model, "MUL", CELLWISE["MUL"])
    operator.inputs = np.array([len(subgraph.tensors) - 1, factor], np.int32)
    operator.outputs = np.array([wide], np.int32)
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.MulOptions, schema.MulOptionsT()
    at = next(k for k, o in enumerate(subgraph.operators) if o is product.cast)
    subgraph.operators.insert(at + 1, operator)

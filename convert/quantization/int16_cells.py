"""Recurrent cells in 16 bits, in a graph whose matrix products stay in 8 bits.

The cell state of an LSTM is a sum over hundreds of steps. In 8 bits its range is divided into steps of 0.05 and more,
and increments below half a step are lost every time: the sum stagnates, whatever the calibration. Therefore everything
from the sums of the gates to the new cell state is computed in 16 bits, with operators that the runtimes have for
int16x8 graphs, while the convolutions and matrix products, their inputs and their weights stay in 8 bits. CAST widens
the products for the gates (exactly, because their zero point is set to 0), and QUANTIZE narrows h for the next product.
That is one more operator for each; nothing else in the graph changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from edgequake.convert.quantization import flatbuffer
from edgequake.convert.quantization.flatbuffer import FlatGraph, dtype_of, is_constant, operator_name

# Operators with 16-bit kernels, and the version that says so (TensorFlow Lite, `lite/tools/versioning/op_version.cc`).
CELLWISE = {"ADD": 3, "LOGISTIC": 3, "MUL": 4, "RESHAPE": 1, "SPLIT": 4, "STRIDED_SLICE": 6, "SUB": 5, "TANH": 3}
PRODUCTS = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
FIXED_SCALE = {"LOGISTIC": 1 / 32768, "TANH": 1 / 32768}  # of their 16-bit output, set by the kernels
HEADROOM = 2.0  # 16-bit tensors hold twice the calibrated range: one of 15 bits against clipping
CAST_VERSION, QUANTIZE_VERSION = 3, 2


def widen(model: Any, ends: dict[str, int], states: dict[str, str]) -> list[str]:
    """Change the cells of an int8 model to 16 bits, in place, and return the states that are now 16-bit.

    Nothing is changed where a cell contains an operator that is not in `CELLWISE`, such as those of a hard sigmoid.

    Parameters
    ----------
    ends : name of each input and output -> index of its tensor; updated where an output gets a tensor of its own.
    states : input of each recurrent state -> its output.
    """
    graph = _CellGraph(model)
    wide = {name: after for name, after in states.items() if graph.is_accumulated(ends[name])}
    graph.entering = {ends[name] for name in wide}
    graph.leaving = {ends[after] for after in wide.values()}
    if not graph.find_cell():
        return []
    if not graph.cell:
        return list(wide)
    graph.widen_cell(ends)
    for before, after in wide.items():  # both ends of a state get the wider of their two scales
        pair = [graph.tensors[ends[name]] for name in (before, after)]
        scale = max(flatbuffer.quantization(tensor).scale for tensor in pair)
        for tensor in pair:
            flatbuffer.set_quantization(tensor, scale)
    return list(wide)


class _CellGraph(FlatGraph):
    """A graph with its recurrent cells: 8-bit until `widen_cell`, which changes their tensors to 16 bits."""

    entering: set[int]  # the tensors of wide states as inputs
    leaving: set[int]  # ... and as outputs
    cell: set[int]  # the operators of the cells

    def inputs(self, k: int, constant: bool = False) -> list[int]:
        """Return the 8-bit tensors that operator k reads: the computed ones, or the constant ones."""
        eight_bit = [int(t) for t in self.operators[k].inputs if t >= 0 and dtype_of(self.tensors[t]) == "int8"]
        return [t for t in eight_bit if is_constant(self.model, t) == constant]

    def is_accumulated(self, tensor: int) -> bool:
        """Return whether a state enters sums or elementwise products, and not only matrix products."""
        return any(self.name(k) in CELLWISE for k in self.readers(tensor))

    def find_cell(self) -> bool:
        """Search the operators that make the new states, back to states and matrix products; False if one is unfit."""
        self.cell = set()
        pending = list(self.leaving)
        while pending:
            tensor = pending.pop()
            maker, origin = self.maker.get(tensor), self.origin(tensor)
            if tensor in self.entering or maker in self.cell:
                continue
            if maker is not None and origin is not None and self.name(origin) in PRODUCTS:
                if not all(self.name(k) in CELLWISE for k in self.readers(tensor)):
                    return False
                continue
            if maker is None or self.name(maker) not in CELLWISE:
                return False
            self.cell.add(maker)
            pending += self.inputs(maker)
        while more := {k for k in range(len(self.operators)) if k not in self.cell and self._reads_only_cell(k)}:
            self.cell |= more  # those from c to h
        return True

    def _reads_only_cell(self, k: int) -> bool:
        read = set(self.inputs(k))
        own = self.entering | {int(t) for k in self.cell for t in self.operators[k].outputs}
        return self.name(k) in CELLWISE and self.name(k) != "RESHAPE" and bool(read) and read <= own

    def widen_cell(self, ends: dict[str, int]) -> None:
        """Change the cell's tensors to 16 bits, with CAST and QUANTIZE at its borders."""
        made = {int(t) for k in self.cell for t in self.operators[k].outputs}
        borders = {t for k in self.cell for t in self.inputs(k)} - made - self.entering
        for tensor in sorted(made | self.entering):
            self._narrow(tensor, ends)
        for tensor in sorted(borders):
            self._cast(tensor)
        for k in sorted(self.cell):
            self._widen_operator(k)
        for tensor in sorted(self.entering | made):
            self._widen_tensor(tensor)
        for k in sorted(self.cell):
            self._share_scale(k)
        self.apply_insertions()

    def _narrow(self, tensor: int, ends: dict[str, int]) -> None:
        """Convert a tensor that leaves the cell back to 8 bits, unless it is a wide state."""
        outside = [k for k in self.readers(tensor) if k not in self.cell]
        is_output = tensor in self.subgraph.outputs and tensor not in self.leaving
        if not outside and not is_output:
            return
        narrow = flatbuffer.copy_tensor(self.model, tensor)
        for k in outside:
            flatbuffer.replace(self.operators[k].inputs, tensor, narrow)
        if is_output:
            flatbuffer.replace(self.subgraph.outputs, tensor, narrow)
            ends.update({name: narrow for name, index in ends.items() if index == tensor})
            self.tensors[tensor].name += b"_16"
        self.insert(tensor, flatbuffer.new_operator(self.model, "QUANTIZE", QUANTIZE_VERSION, [tensor], narrow))

    def _cast(self, tensor: int) -> None:
        """Widen a tensor that enters the cell: the integers stay, so its zero point must be the 0 of 16-bit tensors."""
        scale = flatbuffer.largest(self.tensors[tensor]) / 127
        for source in self.upstream(tensor):
            flatbuffer.set_quantization(self.tensors[source], scale)
        wide = flatbuffer.copy_tensor(self.model, tensor)
        self.tensors[wide].type = schema.TensorType.INT16
        for k in self.cell:
            flatbuffer.replace(self.operators[k].inputs, tensor, wide)
        self.insert(tensor, flatbuffer.new_operator(self.model, "CAST", CAST_VERSION, [tensor], wide))

    def _widen_operator(self, k: int) -> None:
        name, operator = self.name(k), self.operators[k]
        operator.opcodeIndex = flatbuffer.code_index(self.model, name, CELLWISE[name])
        if name in ("ADD", "SUB"):
            operator.builtinOptions.potScaleInt16 = False  # the kernels then accept any scales
        for tensor in self.inputs(k, constant=True):
            wide = flatbuffer.copy_tensor(self.model, tensor)
            _widen_constant(self.model, self.tensors[wide])
            flatbuffer.replace(operator.inputs, tensor, wide)

    def _widen_tensor(self, index: int) -> None:
        tensor = self.tensors[index]
        fixed = FIXED_SCALE.get(self.name(self.maker[index])) if index in self.maker else None
        scale = fixed or HEADROOM * flatbuffer.largest(tensor) / 32767
        tensor.type = schema.TensorType.INT16
        flatbuffer.set_quantization(tensor, scale)

    def _share_scale(self, k: int) -> None:
        """Give the outputs of an operator that passes values on the scale of its input."""
        if self.name(k) not in flatbuffer.SAME_SCALE:
            return
        source = next(t for t in self.operators[k].inputs if dtype_of(self.tensors[t]) == "int16")
        for tensor in self.operators[k].outputs:
            flatbuffer.set_quantization(self.tensors[tensor], flatbuffer.quantization(self.tensors[source]).scale)


def has_shared_scales(model: Any) -> bool:
    """Return whether every operator that passes values on has the same scale on both sides."""
    for operator in model.subgraphs[0].operators:
        ends = [model.subgraphs[0].tensors[t] for t in (*operator.inputs, *operator.outputs) if t >= 0]
        forms = {(dtype_of(t), *flatbuffer.scales(t)) for t in ends if flatbuffer.scales(t).size}
        if operator_name(model, operator) in flatbuffer.SAME_SCALE and len(forms) > 1:
            return False
    return True


def _widen_constant(model: Any, tensor: Any) -> None:
    form = flatbuffer.quantization(tensor)
    values = (flatbuffer.constant(model, tensor).astype(np.float64) - form.zero_point) * form.scale
    # a power of two, so that sums with this constant have nothing to round, see `scales`
    scale = 2.0 ** np.ceil(np.log2(max(float(np.abs(values).max()), 1e-6) / 32767))
    tensor.type = schema.TensorType.INT16
    tensor.buffer = flatbuffer.add_buffer(model, np.rint(values / scale).astype(np.int16))
    flatbuffer.set_quantization(tensor, scale)

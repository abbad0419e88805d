"""Sixteen bits for what a recurrent cell adds up, in a graph whose products of matrices stay in eight.

An LSTM's cell state is a sum over hundreds of steps. Eight bits of its range are steps of 0.05 and more, and what is
smaller than half a step is lost every time: the sum sticks, whatever the calibration. So from the sums of the gates to
the new cell state everything is computed in 16 bits (operators that the runtimes have for int16x8 graphs), while the
convolutions and matrix products, their inputs and their weights stay in 8: CAST widens the products for the gates
(exact, their zero point is made 0 for it), QUANTIZE narrows h for the next product. One operator more for each, nothing
else in the graph changes.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from edgequake.convert.quantization import flatbuffer
from edgequake.convert.quantization.flatbuffer import dtype_of, is_constant, operator_name

# Operators with 16-bit kernels, and the version that says so (TensorFlow Lite, `lite/tools/versioning/op_version.cc`).
CELLWISE = {"ADD": 3, "LOGISTIC": 3, "MUL": 4, "RESHAPE": 1, "SPLIT": 4, "STRIDED_SLICE": 6, "SUB": 5, "TANH": 3}
SHAPING = {"RESHAPE", "STRIDED_SLICE"}
PRODUCTS = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
FIXED_SCALE = {"LOGISTIC": 1 / 32768, "TANH": 1 / 32768}  # of their 16-bit output, by the kernels
HEADROOM = 2.0  # 16-bit tensors hold twice what calibration has seen: one of 15 bits against clipping
CAST_VERSION, QUANTIZE_VERSION = 3, 2


def widen(model: Any, ends: dict[str, int], states: dict[str, str]) -> list[str]:
    """Change an int8 model in place and return the states that are now 16-bit.

    Nothing is changed where a cell holds an operator that is not in `CELLWISE`, such as those of a hard sigmoid.

    Parameters
    ----------
    ends : name of each input and output -> index of its tensor; changed where an output gets a tensor of its own.
    states : recurrent state's input -> its output.
    """
    graph = _Graph(model)
    wide = {name: after for name, after in states.items() if graph.is_summed(ends[name])}
    entering = {ends[name] for name in wide}
    cell: set[int] = set()
    for after in wide.values():
        made_by = graph.cell_of(ends[after], entering)
        if made_by is None:
            return []
        cell |= made_by
    if cell:
        leaving = {ends[after] for after in wide.values()}
        _Widening(graph, graph.closure(cell, entering), entering, leaving, ends).apply()
        for before, after in wide.items():
            _match(graph.tensors[ends[before]], graph.tensors[ends[after]])
    return list(wide)


class _Graph:
    """The only subgraph of a model, with who makes and who reads each tensor."""

    def __init__(self, model: Any) -> None:
        self.model, self.subgraph = model, model.subgraphs[0]
        self.tensors = self.subgraph.tensors
        self.operators = list(self.subgraph.operators)
        self.maker = {int(t): k for k, operator in enumerate(self.operators) for t in operator.outputs}

    def name(self, k: int) -> str:
        return operator_name(self.model, self.operators[k])

    def readers(self, tensor: int) -> list[int]:
        return [k for k, operator in enumerate(self.operators) if tensor in operator.inputs]

    def read(self, k: int) -> list[int]:
        """Return the 8-bit tensors that an operator reads, without constants."""
        return [t for t in self._eight_bit(k) if not is_constant(self.model, t)]

    def constants(self, k: int) -> list[int]:
        return [t for t in self._eight_bit(k) if is_constant(self.model, t)]

    def _eight_bit(self, k: int) -> list[int]:
        return [int(t) for t in self.operators[k].inputs if t >= 0 and dtype_of(self.tensors[t]) == "int8"]

    def is_summed(self, tensor: int) -> bool:
        """Return whether a state goes into sums or products of numbers, and not only into those of matrices."""
        return any(self.name(k) in CELLWISE for k in self.readers(tensor))

    def cell_of(self, tensor: int, entering: set[int]) -> set[int] | None:
        """Return the operators that make a new state, back to states and matrix products; None if one is unfit."""
        cell: set[int] = set()
        waiting = [tensor]
        while waiting:
            tensor = waiting.pop()
            maker = self.maker.get(tensor)
            if tensor in entering or maker in cell:
                continue
            if maker is None:
                return None
            if self._is_product(maker):
                if not all(self.name(k) in CELLWISE for k in self.readers(tensor)):
                    return None
                continue
            if self.name(maker) not in CELLWISE:
                return None
            cell.add(maker)
            waiting += self.read(maker)
        return cell

    def _is_product(self, k: int | None) -> bool:
        """Return whether an operator is a matrix product, or gives one another shape, or a part of it."""
        while k is not None and self.name(k) in SHAPING:
            k = self.maker.get(int(self.operators[k].inputs[0]))
        return k is not None and self.name(k) in PRODUCTS

    def _only_reads(self, k: int, own: set[int]) -> bool:
        read = set(self.read(k))
        return self.name(k) in CELLWISE and self.name(k) != "RESHAPE" and bool(read) and read <= own

    def closure(self, cell: set[int], entering: set[int]) -> set[int]:
        """Add the operators that read nothing but the cell's own tensors: those from c to h."""
        while True:
            own = entering | {int(t) for k in cell for t in self.operators[k].outputs}
            more = {k for k in range(len(self.operators)) if k not in cell and self._only_reads(k, own)}
            if not more:
                return cell
            cell = cell | more


class _Widening:
    """The change itself: 16-bit tensors in the cell, CAST and QUANTIZE on its borders."""

    def __init__(
        self, graph: _Graph, cell: set[int], entering: set[int], leaving: set[int], ends: dict[str, int]
    ) -> None:
        self._graph, self._cell, self._ends = graph, cell, ends
        self._entering, self._leaving = entering, leaving
        self._after: dict[int, list[Any]] = {}  # operators to insert, by the place they follow; -1 is the start

    def apply(self) -> None:
        graph = self._graph
        made = {int(t) for k in self._cell for t in graph.operators[k].outputs}
        borders = {t for k in self._cell for t in graph.read(k)} - made - self._entering
        for tensor in sorted(made | self._entering):
            self._narrow(tensor)
        for tensor in sorted(borders):
            self._cast(tensor)
        for k in sorted(self._cell):
            self._widen_operator(k)
        for tensor in sorted(self._entering | made):
            self._widen_tensor(tensor)
        for k in sorted(self._cell):
            self._share_scale(k)
        between = ([operator, *self._after.get(k, [])] for k, operator in enumerate(graph.operators))
        graph.subgraph.operators = [*self._after.get(-1, []), *(operator for group in between for operator in group)]

    def _narrow(self, tensor: int) -> None:
        """Give 8 bits again to what leaves the cell, but for a wide state."""
        graph = self._graph
        outside = [k for k in graph.readers(tensor) if k not in self._cell]
        is_output = tensor in graph.subgraph.outputs and tensor not in self._leaving
        if not outside and not is_output:
            return
        narrow = self._copy(tensor)
        for k in outside:
            flatbuffer.replace(graph.operators[k].inputs, tensor, narrow)
        if is_output:
            flatbuffer.replace(graph.subgraph.outputs, tensor, narrow)
            self._ends.update({name: narrow for name, index in self._ends.items() if index == tensor})
            graph.tensors[tensor].name += b"_16"
        self._insert("QUANTIZE", QUANTIZE_VERSION, tensor, narrow)

    def _cast(self, tensor: int) -> None:
        """Widen what comes into the cell: the integers stay, so its zero point must be the 0 of 16-bit tensors."""
        graph = self._graph
        scale = flatbuffer.largest(graph.tensors[tensor]) / 127
        source: int | None = tensor
        while source is not None:  # and what it was before it was given another shape
            flatbuffer.set_quantization(graph.tensors[source], scale, 0)
            maker = graph.operators[graph.maker[source]]
            source = int(maker.inputs[0]) if operator_name(graph.model, maker) in SHAPING else None
        wide = self._copy(tensor)
        graph.tensors[wide].type = schema.TensorType.INT16
        for k in self._cell:
            flatbuffer.replace(graph.operators[k].inputs, tensor, wide)
        self._insert("CAST", CAST_VERSION, tensor, wide)

    def _copy(self, tensor: int) -> int:
        self._graph.tensors.append(copy.deepcopy(self._graph.tensors[tensor]))
        return len(self._graph.tensors) - 1

    def _insert(self, name: str, version: int, source: int, target: int) -> None:
        operator = schema.OperatorT()
        operator.opcodeIndex = flatbuffer.code_index(self._graph.model, name, version)
        operator.inputs, operator.outputs = np.array([source], np.int32), np.array([target], np.int32)
        self._after.setdefault(self._graph.maker.get(source, -1), []).append(operator)

    def _widen_operator(self, k: int) -> None:
        graph, name = self._graph, self._graph.name(k)
        operator = graph.operators[k]
        operator.opcodeIndex = flatbuffer.code_index(graph.model, name, CELLWISE[name])
        if name in ("ADD", "SUB"):
            operator.builtinOptions.potScaleInt16 = False  # scales need not be powers of two
        for tensor in graph.constants(k):
            wide = self._copy(tensor)
            _widen_constant(graph.model, graph.tensors[wide])
            flatbuffer.replace(operator.inputs, tensor, wide)

    def _widen_tensor(self, index: int) -> None:
        graph, tensor = self._graph, self._graph.tensors[index]
        fixed = FIXED_SCALE.get(graph.name(graph.maker[index])) if index in graph.maker else None
        scale = fixed or HEADROOM * flatbuffer.largest(tensor) / 32767
        tensor.type = schema.TensorType.INT16
        flatbuffer.set_quantization(tensor, scale, 0)

    def _share_scale(self, k: int) -> None:
        """Give what only passes numbers on the scale of what it reads."""
        graph = self._graph
        if graph.name(k) not in flatbuffer.SAME_SCALE:
            return
        operator = graph.operators[k]
        source = next(t for t in operator.inputs if dtype_of(graph.tensors[t]) == "int16")
        for tensor in operator.outputs:
            flatbuffer.set_quantization(graph.tensors[tensor], flatbuffer.quantization(graph.tensors[source]).scale, 0)


def is_consistent(model: Any) -> bool:
    """Return whether every operator that passes numbers on has the same scale on both sides."""
    for operator in model.subgraphs[0].operators:
        ends = [model.subgraphs[0].tensors[t] for t in (*operator.inputs, *operator.outputs) if t >= 0]
        held = {(dtype_of(t), *flatbuffer.scales(t)) for t in ends if flatbuffer.scales(t).size}
        if operator_name(model, operator) in flatbuffer.SAME_SCALE and len(held) > 1:
            return False
    return True


def _widen_constant(model: Any, tensor: Any) -> None:
    held = flatbuffer.quantization(tensor)
    values = np.frombuffer(bytes(model.buffers[tensor.buffer].data), np.int8).astype(np.float64)
    values = (values - held.zero_point) * held.scale
    scale = 2.0 ** np.ceil(np.log2(max(float(np.abs(values).max()), 1e-6) / 32767))  # see `exact_sums`
    steps = np.rint(values / scale).astype(np.int16)
    tensor.type, tensor.buffer = schema.TensorType.INT16, len(model.buffers)
    model.buffers.append(schema.BufferT(data=np.frombuffer(steps.tobytes(), np.uint8)))
    flatbuffer.set_quantization(tensor, scale, 0)


def _match(before: Any, after: Any) -> None:
    """Give both ends of a wide state the wider scale of the two."""
    scale = max(flatbuffer.quantization(before).scale, flatbuffer.quantization(after).scale)
    for tensor in (before, after):
        flatbuffer.set_quantization(tensor, scale, 0)

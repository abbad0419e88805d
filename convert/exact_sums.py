"""Scales with which 16-bit sums are exact, so that every runtime gives the same bits.

ADD and SUB rescale both inputs and the result, and the runtimes round the last bit of that differently: one value in
20 000 differs by 1 between tflite-runtime 2.14 and ai-edge-litert 2.3, and a recurrent state carries it on. Where the
scales of the inputs are the result's times powers of two, nothing is left to round. What a MUL gives may have any
scale; what a CAST gives has that of an 8-bit product, which may become coarser, but not finer.
"""

from __future__ import annotations

import math
from typing import Any

from edgequake.convert import flat_model
from edgequake.convert.flat_model import dtype_of, is_constant, operator_name, quantization
from edgequake.convert.wide_cells import HEADROOM

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
                if tensor in ends and operator_name(self._model, operator) in flat_model.SAME_SCALE | {"CAST"}:
                    waiting += [t for t in ends if self._scale(t) and not is_constant(self._model, t)]
        for member in group:
            flat_model.set_quantization(self._subgraph.tensors[member], scale, 0)

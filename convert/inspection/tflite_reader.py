"""Read a .tflite file into plain data, without TensorFlow: the package `tflite` holds its schema in Python."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import tflite

from edgequake.edge.base.errors import ModelError

IDENTIFIER = b"TFL3"
NAME_FIELD, SCALE_FIELD, ZERO_POINT_FIELD = 10, 8, 10  # in the tables Tensor and QuantizationParameters of the schema
_TYPES = {code: name.lower() for name, code in vars(tflite.TensorType).items() if not name.startswith("_")}
_OPERATORS = {code: name for name, code in vars(tflite.BuiltinOperator).items() if not name.startswith("_")}
_BITS = {"int4": 4, "bool": 8, "bfloat16": 16, "complex64": 64, "complex128": 128}
# Errors that the flatbuffer accessors raise when an offset or a length points outside the file.
_DAMAGE = (struct.error, IndexError, ValueError, TypeError, AttributeError, OverflowError, KeyError)


@dataclass(frozen=True)
class Tensor:
    """One tensor; `scales` holds one scale, one per channel, or none."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    buffer: int  # index of its stored values; equal constants may share a buffer
    constant_bytes: int  # stored in the file; 0 for computed tensors

    @property
    def size_bytes(self) -> int:
        """Return the memory that its values occupy."""
        bits = _BITS.get(self.dtype) or int("".join(c for c in self.dtype if c.isdigit()) or 8)
        return -(-int(np.prod(self.shape, dtype=np.int64)) * bits // 8)


@dataclass(frozen=True)
class Operator:
    """One operator; omitted optional inputs are -1."""

    name: str  # of the builtin operator, or the custom operator's own
    version: int
    is_custom: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """The first subgraph of a file."""

    size_bytes: int
    scales_bytes: int  # scales and zero points, those that several tensors refer to counted once
    names_bytes: int
    n_subgraphs: int
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_graph_file(content: bytes, where: str) -> Graph:
    """Read a .tflite file; `where` names it in messages.

    Raises
    ------
    ModelError
        The content is empty, not a TFLite file, or damaged.
    """
    if not content:
        raise ModelError(f"{where} is empty: expected a .tflite graph; copy it again")
    if content[4:8] != IDENTIFIER:
        raise ModelError(
            f"{where} is not a .tflite graph: expected the identifier {IDENTIFIER.decode()!r} in bytes 4 to 7, got "
            f"{content[4:8]!r}; give the graph that convert wrote"
        )
    try:
        return _read(content)
    except _DAMAGE as problem:
        raise ModelError(
            f"{where} is damaged or truncated ({len(content)} bytes; {type(problem).__name__}: "
            f"{' '.join(str(problem).split())[:100]}); copy it again"
        ) from problem


def _read(content: bytes) -> Graph:
    model = tflite.Model.GetRootAsModel(content, 0)
    limit = len(content)
    subgraph = model.Subgraphs(0)
    if subgraph is None:
        raise ValueError("no subgraph")
    buffers = [_constant_bytes(model.Buffers(i)) for i in _count(model.BuffersLength(), limit)]
    codes = [_operator_code(model.OperatorCodes(i)) for i in _count(model.OperatorCodesLength(), limit)]
    tensors = tuple(_tensor(subgraph.Tensors(i), buffers) for i in _count(subgraph.TensorsLength(), limit))
    operators = []
    for i in _count(subgraph.OperatorsLength(), limit):
        entry = subgraph.Operators(i)
        name, version, is_custom = codes[entry.OpcodeIndex()]
        inputs, outputs = (_indices(ends, tensors) for ends in (entry.InputsAsNumpy(), entry.OutputsAsNumpy()))
        operators.append(Operator(name, version, is_custom, inputs, outputs))
    inputs, outputs = (_indices(ends, tensors) for ends in (subgraph.InputsAsNumpy(), subgraph.OutputsAsNumpy()))
    scales_bytes, names_bytes = _stored_bytes(subgraph)
    return Graph(limit, scales_bytes, names_bytes, model.SubgraphsLength(), tensors, tuple(operators), inputs, outputs)


def _stored_bytes(subgraph: Any) -> tuple[int, int]:
    """Return the bytes of scales and zero points, and those of names; a vector may belong to several tensors."""
    scales: dict[int, int] = {}
    names: dict[int, int] = {}
    for i in range(subgraph.TensorsLength()):
        entry = subgraph.Tensors(i)
        names[_place(entry, NAME_FIELD)] = len(entry.Name() or b"")
        parameters = entry.Quantization()
        if parameters is not None:
            scales[_place(parameters, SCALE_FIELD)] = 4 * parameters.ScaleLength()
            scales[_place(parameters, ZERO_POINT_FIELD)] = 8 * parameters.ZeroPointLength()
    return sum(scales.values()), sum(names.values())


def _place(table: Any, field: int) -> int:
    """Return where in the file a vector of a table begins; 0 where it has none."""
    offset = table._tab.Offset(field)
    return int(table._tab.Indirect(offset + table._tab.Pos)) if offset else 0


def _count(length: int, limit: int) -> range:
    """Return the indices of a vector; an entry takes at least four bytes, so a longer vector is damage."""
    if length * 4 > limit:
        raise ValueError(f"a vector of {length} entries")
    return range(length)


def _constant_bytes(buffer: Any) -> int:
    return len(buffer.DataAsNumpy()) if buffer.DataLength() else 0


def _operator_code(entry: Any) -> tuple[str, int, bool]:
    if entry.CustomCode():
        return entry.CustomCode().decode(), int(entry.Version()), True
    # codes over 126 are stored in the newer of the two fields
    code = max(int(entry.BuiltinCode()), int(entry.DeprecatedBuiltinCode()))
    return _OPERATORS.get(code, f"operator number {code}"), int(entry.Version()), False


def _tensor(entry: Any, buffers: list[int]) -> Tensor:
    parameters = entry.Quantization()
    has_scale = parameters is not None and parameters.ScaleLength() > 0
    return Tensor(
        name=(entry.Name() or b"").decode(errors="replace"),
        dtype=_TYPES[entry.Type()],
        shape=tuple(int(n) for n in _numbers(entry.ShapeAsNumpy())),
        scales=tuple(float(s) for s in _numbers(parameters.ScaleAsNumpy())) if has_scale else (),
        zero_points=tuple(int(z) for z in _numbers(parameters.ZeroPointAsNumpy())) if has_scale else (),
        buffer=int(entry.Buffer()),
        constant_bytes=buffers[entry.Buffer()],
    )


def _indices(values: Any, tensors: tuple[Tensor, ...]) -> tuple[int, ...]:
    indices = tuple(int(i) for i in _numbers(values))
    if any(not -1 <= i < len(tensors) for i in indices):
        raise ValueError("an operator's tensor does not exist")
    return indices


def _numbers(values: Any) -> Any:
    return values if isinstance(values, np.ndarray) else []  # the accessors return 0 for an omitted vector

"""Damaged and hostile copies of a TFLite graph: a file that is still a graph, and does something else.

The file is a flatbuffer: a table begins with the distance back to its vtable, which has the offset of each field.
Written without a library, because no library writes what must not be written.

References
----------
TensorFlow Lite, `lite/schema/schema.fbs`: the numbers of the fields.
"""

from __future__ import annotations

import struct

import numpy as np

KINDS = ("bits", "cut", "buffers", "operator", "shape", "not a number", "rubbish", "tensor type")
_OPERATOR_CODES, _SUBGRAPHS, _BUFFERS = 1, 2, 4  # of a model
_DEPRECATED_CODE, _CODE = 0, 3  # of an operator code
_TENSORS = 0  # of a subgraph
_SHAPE, _TYPE, _BUFFER, _QUANTIZATION = 0, 1, 2, 4  # of a tensor
_SCALE = 2  # of a quantization
_DATA = 0  # of a buffer
_SIZES = (0, -1, 1, 7, 4096, 1 << 20, (1 << 31) - 1)  # of a dimension
_MOST_OPERATORS = 161  # of the schema of 2.14
_N_TYPES = 18


def mutated(graph: bytes, kind: str, rng: np.random.Generator) -> bytes:
    """Return a copy of a graph with one of `KINDS` of damage; perhaps the graph itself, where chance wills it."""
    data = bytearray(graph)
    _KINDS[kind](data, rng)
    return bytes(data)


def _bits(data: bytearray, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 9))):
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))


def _cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[int(rng.integers(len(data))) :]


def _rubbish(data: bytearray, rng: np.random.Generator) -> None:
    first = int(rng.integers(8, len(data)))
    length = min(int(rng.integers(1, 2048)), len(data) - first)
    data[first : first + length] = rng.bytes(length)


def _buffers(data: bytearray, rng: np.random.Generator) -> None:
    """Exchange what two buffers refer to."""
    filled = [at for table in _vector_of_tables(data, 0, _BUFFERS) if (at := _field(data, table, _DATA))]
    a, b = (filled[int(i)] for i in rng.choice(len(filled), 2, replace=False))
    targets = [at + _u32(data, at) for at in (a, b)]
    struct.pack_into("<I", data, a, (targets[1] - a) % (1 << 32))
    struct.pack_into("<I", data, b, (targets[0] - b) % (1 << 32))


def _operator(data: bytearray, rng: np.random.Generator) -> None:
    """Make one of the operators another one."""
    codes = _vector_of_tables(data, 0, _OPERATOR_CODES)
    table, code = codes[int(rng.integers(len(codes)))], int(rng.integers(_MOST_OPERATORS))
    if at := _field(data, table, _DEPRECATED_CODE):
        data[at] = min(code, 127)
    if at := _field(data, table, _CODE):
        struct.pack_into("<i", data, at, code)


def _shape(data: bytearray, rng: np.random.Generator) -> None:
    """Change a dimension of a tensor."""
    places = [at for table in _tensors(data) for at in _vector(data, table, _SHAPE)]
    struct.pack_into("<i", data, places[int(rng.integers(len(places)))], _SIZES[int(rng.integers(len(_SIZES)))])


def _tensor_type(data: bytearray, rng: np.random.Generator) -> None:
    places = [at for table in _tensors(data) if (at := _field(data, table, _TYPE))]
    data[places[int(rng.integers(len(places)))]] = int(rng.integers(_N_TYPES))


def _not_a_number(data: bytearray, rng: np.random.Generator) -> None:
    """Make a scale, or a weight of a graph of floats, NaN, infinite, negative or huge."""
    tensors, buffers = _tensors(data), _vector_of_tables(data, 0, _BUFFERS)
    tables = (at + _u32(data, at) for table in tensors if (at := _field(data, table, _QUANTIZATION)))
    places = [at for table in tables for at in _vector(data, table, _SCALE)]
    for table in tensors:
        at = _field(data, table, _BUFFER)
        if at and not _field(data, table, _TYPE):  # float32, the default
            places += _floats(data, buffers[_u32(data, at)])
    value = (float("nan"), float("inf"), -1.0, 1e30)[int(rng.integers(4))]
    struct.pack_into("<f", data, places[int(rng.integers(len(places)))], value)


_KINDS = dict(
    zip(KINDS, (_bits, _cut, _buffers, _operator, _shape, _not_a_number, _rubbish, _tensor_type), strict=True)
)


def _u32(data: bytearray, at: int) -> int:
    return int(struct.unpack_from("<I", data, at)[0])


def _field(data: bytearray, table: int, number: int) -> int:
    """Return where a field of a table is; 0 where it has its default."""
    vtable = table - int(struct.unpack_from("<i", data, table)[0])
    size = int(struct.unpack_from("<H", data, vtable)[0])
    if 4 + 2 * number >= size:
        return 0
    offset = int(struct.unpack_from("<H", data, vtable + 4 + 2 * number)[0])
    return table + offset if offset else 0


def _vector(data: bytearray, table: int, number: int) -> list[int]:
    """Return where the elements of a field are, each of four bytes."""
    at = _field(data, table, number)
    if not at:
        return []
    start = at + _u32(data, at)
    return [start + 4 + 4 * i for i in range(_u32(data, start))]


def _floats(data: bytearray, buffer: int) -> list[int]:
    """Return where the values of a buffer of float32 are."""
    at = _field(data, buffer, _DATA)
    if not at:
        return []
    start = at + _u32(data, at)
    return [start + 4 + i for i in range(0, _u32(data, start) - 3, 4)]


def _vector_of_tables(data: bytearray, table: int, number: int) -> list[int]:
    """Return the tables of a field; `table` 0: the root."""
    return [at + _u32(data, at) for at in _vector(data, table or _u32(data, 0), number)]


def _tensors(data: bytearray) -> list[int]:
    return _vector_of_tables(data, _vector_of_tables(data, 0, _SUBGRAPHS)[0], _TENSORS)

"""Store a finished TFLite file in fewer bytes: what is equal once, and nothing that no runtime reads.

A flatbuffer may refer to the same vector or table from several places, and a graph of one step has many equal ones:
zero points, shapes, scales, whole tensors. TensorFlow's writer stores each anew. What the operators compute stays as it
is.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import flatbuffers
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from edgequake.convert.quantization import flatbuffer

IDENTIFIER = b"TFL3"
SIGNATURE = b"serving_default"  # as TensorFlow calls it
# Operators whose kernels take the scale of a bias from those of rows and weights, and never read its own. Where a
# weight has one scale for all outputs they compare the two, so its bias keeps its scale.
BIASED = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}


def smaller(content: bytes, keep_names: bool = False) -> bytes:
    """Return a file of the same operators, on the same numbers, in fewer bytes.

    Parameters
    ----------
    content : the .tflite file, with one subgraph.
    keep_names : keep the names of all tensors, and the scales of biases, which some tools show; otherwise only
        inputs and outputs have a name.
    """
    model = flatbuffer.unpack(content)
    _drop_notes(model)
    if not keep_names:
        _drop_bias_scales(model)
        _drop_names(model)
    _share_buffers(model)
    _share_constants(model)
    _sign(model)
    return _packed(model)


def _drop_notes(model: Any) -> None:
    """Remove what describes the file and its making."""
    model.description = model.metadata = model.metadataBuffer = model.subgraphs[0].name = None
    for tensor in model.subgraphs[0].tensors:
        tensor.shapeSignature = None  # shapes are fixed
        tensor.hasRank = not len(tensor.shape if tensor.shape is not None else ())  # of a scalar it cannot be told
        if tensor.quantization is not None and not flatbuffer.scales(tensor).size:
            tensor.quantization = None
        elif tensor.quantization is not None:
            tensor.quantization.min = tensor.quantization.max = None  # what calibration saw


def _drop_bias_scales(model: Any) -> None:
    graph = model.subgraphs[0]
    reading: dict[int, list[tuple[str, int]]] = {}
    for operator in graph.operators:
        for place, index in enumerate(operator.inputs):
            reading.setdefault(int(index), []).append((flatbuffer.operator_name(model, operator), place))
    for operator in graph.operators:
        if flatbuffer.operator_name(model, operator) not in BIASED or len(operator.inputs) < 3:
            continue
        weights, bias = (int(index) for index in operator.inputs[1:3])
        is_bias = all(name in BIASED and place == 2 for name, place in reading.get(bias, []))
        if bias >= 0 and is_bias and flatbuffer.scales(graph.tensors[weights]).size > 1:
            graph.tensors[bias].quantization = None


def _share_buffers(model: Any) -> None:
    """Store equal constants once, those that are read, and let computed tensors refer to the empty buffer 0."""
    read = {model.subgraphs[0].tensors[index].buffer for index in _used(model)}
    kept, where, renumbered = [schema.BufferT()], {}, {}
    for index, buffer in enumerate(model.buffers):
        values = b"" if buffer.data is None else bytes(buffer.data)
        if not values or index not in read:
            renumbered[index] = 0
            continue
        if values not in where:
            where[values] = len(kept)
            kept.append(schema.BufferT(data=np.frombuffer(values, np.uint8)))
        renumbered[index] = where[values]
    model.buffers = kept
    for tensor in model.subgraphs[0].tensors:
        tensor.buffer = renumbered[tensor.buffer]


def _drop_names(model: Any) -> None:
    graph = model.subgraphs[0]
    ends = {int(index) for index in (*graph.inputs, *graph.outputs)}
    for index, tensor in enumerate(graph.tensors):
        if index not in ends:
            tensor.name = None


def _used(model: Any) -> set[int]:
    """Return the tensors that operators read or make, and the graph's ends."""
    holders = (model.subgraphs[0], *model.subgraphs[0].operators)
    return {int(index) for holder in holders for index in (*holder.inputs, *holder.outputs) if index >= 0}


def _share_constants(model: Any) -> None:
    """Let operators read one of several equal constants, and number the tensors anew without the others."""
    graph = model.subgraphs[0]
    ends = {int(index) for index in (*graph.inputs, *graph.outputs)}
    used = _used(model)
    first: dict[Hashable, int] = {}
    new: dict[int, int] = {-1: -1}
    kept: list[Any] = []
    for index, tensor in enumerate(graph.tensors):
        if index not in used:
            continue
        key = _key(tensor) if tensor.buffer and index not in ends else index
        if key in first:
            new[index] = first[key]
            continue
        first[key] = new[index] = len(kept)
        kept.append(tensor)
    graph.tensors = kept
    for holder in (graph, *graph.operators):
        for name in ("inputs", "outputs"):
            setattr(holder, name, np.array([new[int(index)] for index in getattr(holder, name)], np.int32))


def _sign(model: Any) -> None:
    """Add the signature under which other tools find inputs and outputs by name; it refers to the names there are."""
    graph, signature = model.subgraphs[0], schema.SignatureDefT()
    for side in ("inputs", "outputs"):
        entries = []
        for index in getattr(graph, side):
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = graph.tensors[index].name, int(index)
            entries.append(entry)
        setattr(signature, side, entries)
    signature.signatureKey = SIGNATURE
    model.signatureDefs = [signature]


def _key(item: Any) -> Hashable:
    """Return what two objects of the schema have in common where they are equal."""
    if isinstance(item, np.ndarray):
        return item.dtype.str, item.tobytes()
    if isinstance(item, _Once):
        return _key(item.item)
    if hasattr(item, "Pack"):
        return type(item).__name__, tuple((name, _key(value)) for name, value in sorted(vars(item).items()))
    return tuple(item) if isinstance(item, list) else item


def _packed(model: Any) -> bytes:
    """Return the flatbuffer, in which equal vectors, texts and tables are stored once."""
    graph = model.subgraphs[0]
    known: dict[Hashable, _Once] = {}
    for tensor in graph.tensors:
        if tensor.quantization is not None:
            tensor.quantization = _once(tensor.quantization, known)
    for operator in graph.operators:
        if operator.builtinOptions is not None:
            operator.builtinOptions = _once(operator.builtinOptions, known)
    graph.tensors = [_once(tensor, known) for tensor in graph.tensors]
    builder = _Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _once(item: Any, known: dict[Hashable, _Once]) -> _Once:
    return known.setdefault(_key(item), _Once(item))


class _Once:
    """An object of the schema that is written when it is first asked for."""

    def __init__(self, item: Any) -> None:
        self.item, self._offset = item, 0

    def Pack(self, builder: Any) -> int:
        self._offset = self._offset or int(self.item.Pack(builder))
        return self._offset


class _Builder(flatbuffers.Builder):  # type: ignore[misc]
    """Writes equal vectors of numbers, and equal texts, once."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._written: dict[Hashable, int] = {}

    def CreateNumpyVector(self, x: Any) -> int:
        return self._at(("vector", x.dtype.itemsize, x.tobytes()), lambda: super(_Builder, self).CreateNumpyVector(x))

    def CreateString(self, s: Any, *options: Any) -> int:
        return self._at(("text", bytes(s)), lambda: super(_Builder, self).CreateString(s, *options))

    def _at(self, key: Hashable, write: Any) -> int:
        if key not in self._written:
            self._written[key] = int(write())
        return self._written[key]

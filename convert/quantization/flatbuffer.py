"""Read and edit a TFLite file through the objects into which TensorFlow's flatbuffer tools unpack it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from edgequake.edge.manifest.manifest import TensorQuantization

OPERATORS: dict[int, str] = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")
}
TYPES: dict[int, str] = {
    code: name.lower() for name, code in vars(schema.TensorType).items() if not name.startswith("_")
}
# Operators that pass values on unchanged: the runtimes require all their tensors to have one scale.
SAME_SCALE = {"CONCATENATION", "MAX_POOL_2D", "PACK", "RESHAPE", "SPLIT", "SQUEEZE", "STRIDED_SLICE", "TRANSPOSE"}
RESHAPING = ("RESHAPE", "STRIDED_SLICE")


def unpack(content: bytes) -> Any:
    """Return a TFLite file as a `ModelT` object."""
    return flatbuffer_utils.read_model_from_bytearray(bytearray(content))


def pack(model: Any) -> bytes:
    """Return the TFLite file of a `ModelT` object."""
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def operator_name(model: Any, operator: Any) -> str:
    """Return the name of an operator, as in the schema."""
    return OPERATORS[_builtin_code(model.operatorCodes[operator.opcodeIndex])]


def _builtin_code(entry: Any) -> int:
    """Return the code of an entry of the operator table; codes over 126 are stored in the newer of its two fields."""
    return int(max(entry.builtinCode, entry.deprecatedBuiltinCode))


def dtype_of(tensor: Any) -> str:
    """Return the name of a tensor's type, for example "int8"."""
    return TYPES[tensor.type]


def is_constant(model: Any, index: int) -> bool:
    """Return whether a tensor's values are stored in the file."""
    return model.buffers[model.subgraphs[0].tensors[index].buffer].data is not None


def scales(tensor: Any) -> npt.NDArray[np.float64]:
    """Return a tensor's scales: one, one per channel, or none for a float tensor."""
    found = tensor.quantization.scale if tensor.quantization is not None else None
    return np.asarray([] if found is None else found, np.float64)


def quantization(tensor: Any) -> TensorQuantization:
    """Return the integer form of a tensor with one scale."""
    if not scales(tensor).size:
        return TensorQuantization(dtype=dtype_of(tensor), scale=0.0, zero_point=0)
    # float(float32): the manifest then holds the very bits that the runtime reads from the graph
    scale = float(np.float32(scales(tensor)[0]))
    return TensorQuantization(dtype_of(tensor), scale, int(tensor.quantization.zeroPoint[0]))


def set_quantization(tensor: Any, scale: float, zero_point: int = 0) -> None:
    """Give a tensor one scale and zero point, in an object of its own."""
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.scale = np.array([scale], np.float32)
    tensor.quantization.zeroPoint = np.array([zero_point], np.int64)


def largest(tensor: Any) -> float:
    """Return the largest absolute value that a quantized tensor can hold."""
    form, limits = quantization(tensor), np.iinfo(dtype_of(tensor))
    return form.scale * float(max(limits.max - form.zero_point, form.zero_point - limits.min))


def constant(model: Any, tensor: Any) -> npt.NDArray[Any]:
    """Return the integers of a stored tensor."""
    return np.frombuffer(bytes(model.buffers[tensor.buffer].data), dtype_of(tensor))


def add_buffer(model: Any, values: npt.NDArray[Any]) -> int:
    """Store values in the file and return the index of their buffer."""
    model.buffers.append(schema.BufferT(data=np.frombuffer(values.tobytes(), np.uint8)))
    return len(model.buffers) - 1


def add_tensor(model: Any, tensor: Any) -> int:
    """Append a tensor to the graph and return its index."""
    model.subgraphs[0].tensors.append(tensor)
    return len(model.subgraphs[0].tensors) - 1


def copy_tensor(model: Any, index: int) -> int:
    """Append a copy of a tensor to the graph and return its index."""
    return add_tensor(model, copy.deepcopy(model.subgraphs[0].tensors[index]))


def new_operator(model: Any, name: str, version: int, inputs: list[int], output: int) -> Any:
    """Return an operator that is not yet in the graph."""
    operator = schema.OperatorT()
    operator.opcodeIndex = code_index(model, name, version)
    operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
    return operator


def code_index(model: Any, name: str, version: int) -> int:
    """Return an operator's index in the operator table; a missing entry is added, an older version raised."""
    code = getattr(schema.BuiltinOperator, name)
    for index, entry in enumerate(model.operatorCodes):
        if _builtin_code(entry) == code:
            entry.version = max(entry.version, version)
            return index
    entry = schema.OperatorCodeT()
    entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), version
    model.operatorCodes.append(entry)
    return len(model.operatorCodes) - 1


def replace(indices: Any, old: int, new: int) -> None:
    """Replace one tensor by another in an operator's inputs or in the graph's outputs."""
    indices[indices == old] = new


class FlatGraph:
    """The only subgraph of a model, with the maker and the readers of each tensor, by index of the operator."""

    def __init__(self, model: Any) -> None:
        self.model, self.subgraph = model, model.subgraphs[0]
        self.tensors = self.subgraph.tensors
        self.operators = list(self.subgraph.operators)
        self.maker = {int(t): k for k, operator in enumerate(self.operators) for t in operator.outputs}
        self._inserted: dict[int, list[Any]] = {}  # by the index of the operator that they follow; -1 is the start

    def name(self, k: int) -> str:
        """Return the name of operator k."""
        return operator_name(self.model, self.operators[k])

    def readers(self, tensor: int) -> list[int]:
        """Return the operators that read a tensor."""
        return [k for k, operator in enumerate(self.operators) if tensor in operator.inputs]

    def upstream(self, tensor: int, through: tuple[str, ...] = RESHAPING) -> list[int]:
        """Return a tensor and those that it was reshaped or sliced from, the first one last."""
        found = [tensor]
        while (k := self.maker.get(found[-1])) is not None and self.name(k) in through:
            found.append(int(self.operators[k].inputs[0]))
        return found

    def origin(self, tensor: int, through: tuple[str, ...] = RESHAPING) -> int | None:
        """Return the operator that computed a tensor's values, before they were reshaped or sliced; None for inputs."""
        return self.maker.get(self.upstream(tensor, through)[-1])

    def insert(self, tensor: int, *operators: Any) -> None:
        """Insert operators right after the one that makes a tensor, once `apply_insertions` is called."""
        self._inserted.setdefault(self.maker.get(tensor, -1), []).extend(operators)

    def apply_insertions(self) -> None:
        """Write the operators back to the subgraph, with the inserted ones."""
        groups = ([operator, *self._inserted.get(k, [])] for k, operator in enumerate(self.operators))
        self.subgraph.operators = [*self._inserted.get(-1, []), *(operator for group in groups for operator in group)]

"""Reading and changing the parts of a TFLite file that TensorFlow's flatbuffer tools unpack into objects."""

from __future__ import annotations

from typing import Any

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from edgequake.edge.manifest.manifest import TensorQuantization

OPERATORS: dict[int, str] = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")
}
TYPES: dict[int, str] = {
    code: name.lower() for name, code in vars(schema.TensorType).items() if not name.startswith("_")
}
# Operators that pass numbers on as they are: the runtimes want all their tensors to have one scale.
SAME_SCALE = {"CONCATENATION", "MAX_POOL_2D", "PACK", "RESHAPE", "SPLIT", "SQUEEZE", "STRIDED_SLICE", "TRANSPOSE"}


def operator_name(model: Any, operator: Any) -> str:
    """Return the name of an operator, as in the schema."""
    return OPERATORS[builtin_code(model.operatorCodes[operator.opcodeIndex])]


def builtin_code(entry: Any) -> int:
    """Return the code of an entry of the operator table; codes over 126 live in the newer of its two fields."""
    return int(max(entry.builtinCode, entry.deprecatedBuiltinCode))


def dtype_of(tensor: Any) -> str:
    """Return the name of a tensor's type, for example "int8"."""
    return TYPES[tensor.type]


def is_constant(model: Any, index: int) -> bool:
    """Return whether a tensor's values are stored in the file."""
    return model.buffers[model.subgraphs[0].tensors[index].buffer].data is not None


def scales(tensor: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return a tensor's scales, one or one a channel; none for a float tensor."""
    found = tensor.quantization.scale if tensor.quantization is not None else None
    return np.asarray([] if found is None else found, np.float64)


def quantization(tensor: Any) -> TensorQuantization:
    """Return the integer form of a tensor with one scale."""
    if not scales(tensor).size:
        return TensorQuantization(dtype=dtype_of(tensor), scale=0.0, zero_point=0)
    # float(float32): the manifest then holds the very bits that the runtime reads from the graph
    scale = float(np.float32(scales(tensor)[0]))
    return TensorQuantization(dtype_of(tensor), scale, int(tensor.quantization.zeroPoint[0]))


def set_quantization(tensor: Any, scale: float, zero_point: int) -> None:
    """Give a tensor one scale and zero point, in an object of its own."""
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.scale = np.array([scale], np.float32)
    tensor.quantization.zeroPoint = np.array([zero_point], np.int64)


def largest(tensor: Any) -> float:
    """Return the largest absolute value that a quantized tensor can hold."""
    held, limits = quantization(tensor), np.iinfo(dtype_of(tensor))
    return held.scale * float(max(limits.max - held.zero_point, held.zero_point - limits.min))


def code_index(model: Any, name: str, version: int) -> int:
    """Return the place of an operator in the operator table; it is added where it is missing or older."""
    code = getattr(schema.BuiltinOperator, name)
    for index, entry in enumerate(model.operatorCodes):
        if builtin_code(entry) == code:
            entry.version = max(entry.version, version)
            return index
    entry = schema.OperatorCodeT()
    entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), version
    model.operatorCodes.append(entry)
    return len(model.operatorCodes) - 1


def replace(indices: Any, old: int, new: int) -> None:
    """Put another tensor in the place of one, in the array of an operator's inputs or the graph's outputs."""
    indices[indices == old] = new

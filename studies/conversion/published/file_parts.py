"""What an int8 file holds besides one byte for each parameter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

WEIGHTED = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}


@dataclass(frozen=True)
class FileParts:
    """Bytes of an int8 file; all but the structure are what the format demands."""

    biases: int  # four bytes each, of which a parameter counts one
    scales: int  # four bytes for each output channel of a layer
    zero_points: int  # eight bytes for each channel of the widest layer of every width; all are 0
    constants: int  # masks, and kernels that are made of others (groups, diagonals), less those that were folded
    structure: int  # tensors, operators, names of inputs and outputs


def file_parts(path: Path, n_parameters: int) -> FileParts:
    """Return the parts of an int8 file beyond its parameters; they add up to its size less `n_parameters`."""
    from edgequake.convert.quantization import flatbuffer

    content = path.read_bytes()
    model = flatbuffer.unpack(content)
    graph = model.subgraphs[0]
    bias_tensors = {
        int(operator.inputs[2])
        for operator in graph.operators
        if flatbuffer.operator_name(model, operator) in WEIGHTED and len(operator.inputs) > 2
    }
    buffers = {
        tensor.buffer: (len(model.buffers[tensor.buffer].data), index in bias_tensors)
        for index, tensor in enumerate(graph.tensors)
        if flatbuffer.is_constant(model, index)
    }
    n_biases = sum(size for size, is_bias in buffers.values() if is_bias)
    n_stored = sum(size for size, _ in buffers.values())
    scales, zero_points = (_vectors(graph.tensors, name) for name in ("scale", "zeroPoint"))
    constants = n_stored - n_biases - (n_parameters - n_biases // 4)
    structure = len(content) - n_stored - scales - zero_points
    return FileParts(n_biases - n_biases // 4, scales, zero_points, constants, structure)


def _vectors(tensors: list[Any], name: str) -> int:
    """Return the bytes of a field of the tensors' quantization, equal vectors once."""
    found = (getattr(tensor.quantization, name) for tensor in tensors if tensor.quantization is not None)
    return sum(len(vector) for vector in {values.tobytes() for values in found if values is not None})

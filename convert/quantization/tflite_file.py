"""The TFLite file itself: plain tensor names, equal scales for a state's two ends, and what the manifest says of it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from edgequake.convert.inspection.operators import OperatorUse, minimum_runtime, oldest_runtime
from edgequake.convert.quantization.flatbuffer import (
    OPERATORS,
    builtin_code,
    dtype_of,
    operator_name,
    quantization,
    scales,
)
from edgequake.convert.streaming.step_model import NEXT, PROBABILITIES, ROWS
from edgequake.edge.base.errors import ModelError
from edgequake.edge.manifest.manifest import TensorQuantization

# A tensor that was zero throughout calibration gets a made-up range of 2e-6, or a scale of 3.6e-43 that aborts the
# runtime on ARM. In flight, everything that does come is then clipped to nothing.
SMALLEST_RANGE = 1e-5
LAST_BITS = 1e-4  # relative difference of scales that changes nothing: less than one part in 255
# Operators that read their input's scale when they are prepared; all others want it equal to their output's.
_RESCALING = {"ADD", "CONV_2D", "FULLY_CONNECTED", "LOGISTIC", "MUL", "QUANTIZE", "SUB", "TANH"}


@dataclass(frozen=True)
class GraphFile:
    """A finished graph and the part of its description that can be read off the file."""

    graph: bytes
    minimum_runtime: str
    quantization: dict[str, TensorQuantization]  # by tensor name, for every input and output


def finish(converted: bytes, states: list[str], variant: str) -> GraphFile:
    """Name the tensors after the step graph, make the states' scales agree, and check the graph.

    Signatures are dropped: the names make them unnecessary, and reading them is what fails when tflite-runtime and
    TensorFlow meet in one process.

    Raises
    ------
    ModelError
        A scale too small for any runtime, states whose ends have different scales that cannot be made equal, or an
        operator that tflite-runtime 2.14 lacks.
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(converted))
    where = f"the {variant} graph"
    ends = _name_tensors(model)
    for state in states:
        _share_scale(model, ends[state], ends[state + NEXT], f"state '{state}' of {where}")
    for operator in model.subgraphs[0].operators:
        _own_bias(model, operator, where)
    _check_scales(model, where)
    subgraph = model.subgraphs[0]
    return GraphFile(
        graph=bytes(flatbuffer_utils.convert_object_to_bytearray(model)),
        minimum_runtime=_minimum_runtime(model, where),
        quantization={name: quantization(subgraph.tensors[index]) for name, index in ends.items()},
    )


def operators(model: Any) -> list[tuple[str, int]]:
    """Return the (operator, version) pairs of a graph, each once."""
    return sorted({(OPERATORS[builtin_code(entry)], entry.version) for entry in model.operatorCodes})


def _minimum_runtime(model: Any, where: str) -> str:
    """Return the oldest runtime for the versions that the file names and for the types that its tensors have."""
    minimum_runtime(operators(model), where)  # refuses what 2.14 lacks, in words for who converts
    return oldest_runtime(operator_uses(model))


def operator_uses(model: Any) -> list[OperatorUse]:
    """Return what each operator of a graph asks of a runtime."""
    tensors, uses = model.subgraphs[0].tensors, []
    for operator in model.subgraphs[0].operators:
        own = [tensors[t] for t in (*operator.inputs, *operator.outputs) if t >= 0]
        per_channel = any(len(scales(tensors[t])) > 1 for t in operator.inputs[1:2] if t >= 0)
        version = model.operatorCodes[operator.opcodeIndex].version
        dtypes = frozenset(dtype_of(tensor) for tensor in own)
        uses.append(OperatorUse(operator_name(model, operator), version, dtypes, per_channel))
    return uses


def _name_tensors(model: Any) -> dict[str, int]:
    """Give inputs and outputs the step graph's names and return name -> tensor index."""
    if len(model.subgraphs) != 1 or len(model.signatureDefs or []) != 1:
        raise ModelError(
            f"the converter made {len(model.subgraphs)} subgraphs, expected one without control flow; "
            "report this network as a defect of the converter"
        )
    signature, tensors = model.signatureDefs[0], model.subgraphs[0].tensors
    ends = {entry.name.decode(): entry.tensorIndex for entry in [*signature.inputs, *signature.outputs]}
    if ROWS not in ends or PROBABILITIES not in ends or len(set(ends.values())) != len(ends):
        raise ModelError(
            f"the converted graph has the inputs and outputs {', '.join(sorted(ends))}, expected '{ROWS}', "
            f"'{PROBABILITIES}' and every state once; report this network as a defect of the converter"
        )
    for tensor in tensors:  # the converter joins the names of all that it fused: kilobytes of them
        tensor.name = tensor.name.split(b";")[0]
    for name, index in ends.items():
        tensors[index].name = name.encode()
    model.signatureDefs = []
    return ends


def _share_scale(model: Any, index_in: int, index_out: int, where: str) -> None:
    """Give a state's input tensor the scale of its output tensor, so that the integers themselves can be carried over.

    Calibrated on consecutive steps the two differ in the last bits at most, or by the rows that came last of all. The
    output's scale is the true one: it is that of the integers that will come in.
    """
    tensor_in, tensor_out = (model.subgraphs[0].tensors[index] for index in (index_in, index_out))
    before, after = quantization(tensor_in), quantization(tensor_out)
    if before == after:
        return
    difference = abs(before.scale - after.scale) / after.scale if after.scale else np.inf
    readers = [
        operator_name(model, operator) for operator in model.subgraphs[0].operators if index_in in operator.inputs
    ]
    if before.dtype == after.dtype and set(readers) <= _RESCALING and difference < 0.1:
        _copy_scale(tensor_out, tensor_in)
    elif before.dtype == after.dtype and before.zero_point == after.zero_point and difference < LAST_BITS:
        _copy_scale(tensor_in, tensor_out)
    else:
        raise ModelError(
            f"{where} leaves with scale {after.scale:.6g}, zero point {after.zero_point} and enters with "
            f"{before.scale:.6g}, {before.zero_point}: expected the same; calibrate on longer sequences"
        )


def _own_bias(model: Any, operator: Any, where: str) -> None:
    """Give an operator a bias of its own, where its scale is not that of its input times its weights.

    The converter keeps equal constants once, and for int16x8 with the scale of the first operator only: two LSTMs that
    still have the biases they began with came out wrong by 0.8 in the second one's gates.
    """
    if operator_name(model, operator) not in ("CONV_2D", "FULLY_CONNECTED"):
        return
    tensors = model.subgraphs[0].tensors
    if len(operator.inputs) < 3 or operator.inputs[2] < 0 or not scales(tensors[operator.inputs[2]]).size:
        return
    rows, weights, bias = (tensors[index] for index in operator.inputs[:3])
    wanted = (scales(rows)[0] * scales(weights)).astype(np.float32)
    if np.allclose(wanted, scales(bias), rtol=1e-3, atol=0):
        return
    dtype = np.dtype(dtype_of(bias))
    values = np.frombuffer(bytes(model.buffers[bias.buffer].data), dtype) * scales(bias)
    steps = np.rint(values / wanted.astype(np.float64))
    if np.abs(steps).max() >= 2**31:
        raise ModelError(
            f"the bias '{bias.name.decode()}' of {where} needs {np.abs(steps).max():.3g} steps of its scale, expected "
            "fewer than 2^31; train with a smaller bias or convert another variant"
        )
    own = copy.deepcopy(bias)
    own.quantization.scale, own.quantization.zeroPoint = wanted, np.zeros(len(wanted), np.int64)
    own.buffer = len(model.buffers)
    model.buffers.append(schema.BufferT(data=np.frombuffer(steps.astype(dtype).tobytes(), np.uint8)))
    tensors.append(own)
    operator.inputs[2] = len(tensors) - 1


def _copy_scale(source: Any, target: Any) -> None:
    target.quantization.scale = np.array(source.quantization.scale, np.float32)
    target.quantization.zeroPoint = np.array(source.quantization.zeroPoint, np.int64)


def _check_scales(model: Any, where: str) -> None:
    for tensor in model.subgraphs[0].tensors:
        found, bits = scales(tensor), {"int8": 8, "int16": 16}.get(dtype_of(tensor))
        if bits is None or not found.size or model.buffers[tensor.buffer].data is not None:
            continue  # floats, and constants, whose scales may be as small as they like
        if not found.min() * 2**bits > SMALLEST_RANGE:
            raise ModelError(
                f"tensor '{tensor.name.decode()}' of {where} has scale {found.min():.2g}, a range of "
                f"{found.min() * 2**bits:.2g}: expected more than {SMALLEST_RANGE:g}, but it was zero throughout "
                "calibration; calibrate on rows that move it, or take the dead part out of the network"
            )

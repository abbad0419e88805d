"""Finish a TFLite file: plain tensor names, equal scales at both ends of a state, and the manifest's description."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgequake.convert.inspection.operators import minimum_runtime, operator_uses
from edgequake.convert.inspection.tflite_reader import read_graph_file
from edgequake.convert.quantization import flatbuffer
from edgequake.convert.quantization.flatbuffer import dtype_of, operator_name, quantization, scales
from edgequake.convert.streaming.step_model import NEXT, PROBABILITIES, ROWS, StepGraph
from edgequake.edge.base.errors import ModelError
from edgequake.edge.manifest.manifest import TensorQuantization

# A tensor that was zero throughout calibration gets an arbitrary range of 2e-6, or a scale of 3.6e-43 that aborts the
# runtime on ARM. In flight, every real value would then be clipped to nothing.
SMALLEST_RANGE = 1e-5
LAST_BITS = 1e-4  # relative difference of scales that changes nothing: less than one part in 255
# Operators that read their input's scale when they are prepared; all others require it to equal their output's.
_RESCALING = {"ADD", "CONV_2D", "FULLY_CONNECTED", "LOGISTIC", "MUL", "QUANTIZE", "SUB", "TANH"}


@dataclass(frozen=True)
class TfliteFile:
    """A finished graph and the part of its description that is read from the file."""

    graph: bytes
    minimum_runtime: str
    quantization: dict[str, TensorQuantization]  # by tensor name, for every input and output


def finish(converted: bytes, graph: StepGraph, variant: str) -> TfliteFile:
    """Name the tensors after the step graph, equalize the scales of each state's ends, and check the result.

    The signature is dropped, because its indices no longer hold; `smaller` writes it anew.

    Raises
    ------
    ModelError
        A scale is too small for any runtime, a state has different scales at its ends that cannot be made equal, or
        tflite-runtime 2.14 lacks an operator.
    """
    model = flatbuffer.unpack(converted)
    where = f"the {variant} graph"
    ends = _name_tensors(model)
    for state in graph.states:
        _share_scale(model, ends[state.name], ends[state.name + NEXT], f"state '{state.name}' of {where}")
    for operator in model.subgraphs[0].operators:
        _separate_bias(model, operator, where)
    _check_scales(model, where)
    content, tensors = flatbuffer.pack(model), model.subgraphs[0].tensors
    return TfliteFile(
        graph=content,
        minimum_runtime=minimum_runtime(operator_uses(read_graph_file(content, where)), where),
        quantization={name: quantization(tensors[index]) for name, index in ends.items()},
    )


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
    for tensor in tensors:  # the converter joins the names of all operators that it fused: kilobytes of text
        tensor.name = tensor.name.split(b";")[0]
    for name, index in ends.items():
        tensors[index].name = name.encode()
    model.signatureDefs = []
    return ends


def _share_scale(model: Any, index_in: int, index_out: int, where: str) -> None:
    """Give both ends of a state one scale, so that its integers can be carried over unchanged.

    Calibrated on consecutive steps, the two differ in their last bits at most, or by the very last step, which is much
    where windows are short. The output's scale is the right one: it is that of the integers that will be carried over.
    An operator that reads its input's scale takes any; its bias follows (`_separate_bias`).
    """
    tensor_in, tensor_out = (model.subgraphs[0].tensors[index] for index in (index_in, index_out))
    before, after = quantization(tensor_in), quantization(tensor_out)
    if before == after:
        return
    difference = abs(before.scale - after.scale) / after.scale if after.scale else np.inf
    readers = {operator_name(model, o) for o in model.subgraphs[0].operators if index_in in o.inputs}
    if before.dtype == after.dtype and readers <= _RESCALING:
        _copy_scale(tensor_out, tensor_in)
    elif before.dtype == after.dtype and before.zero_point == after.zero_point and difference < LAST_BITS:
        _copy_scale(tensor_in, tensor_out)
    else:
        raise ModelError(
            f"{where} has scale {after.scale:.6g}, zero point {after.zero_point} as output and {before.scale:.6g}, "
            f"{before.zero_point} as input: expected the same; calibrate on longer sequences"
        )


def _copy_scale(source: Any, target: Any) -> None:
    target.quantization.scale = np.array(source.quantization.scale, np.float32)
    target.quantization.zeroPoint = np.array(source.quantization.zeroPoint, np.int64)


def _separate_bias(model: Any, operator: Any, where: str) -> None:
    """Give an operator a bias of its own where the bias's scale is not that of its input times its weights.

    TensorFlow's converter stores equal constants once, and for int16x8 with the scale of the first operator only: in a
    network of two LSTMs with their initial biases, the gates of the second one were wrong by 0.8.
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
    steps = np.rint(flatbuffer.constant(model, bias) * scales(bias) / wanted.astype(np.float64))
    if np.abs(steps).max() >= 2**31:
        raise ModelError(
            f"the bias '{bias.name.decode()}' of {where} needs {np.abs(steps).max():.3g} steps of its scale, expected "
            "fewer than 2^31; train with a smaller bias or convert another variant"
        )
    operator.inputs[2] = flatbuffer.copy_tensor(model, int(operator.inputs[2]))
    own = tensors[operator.inputs[2]]
    own.quantization.scale, own.quantization.zeroPoint = wanted, np.zeros(len(wanted), np.int64)
    own.buffer = flatbuffer.add_buffer(model, steps.astype(dtype_of(bias)))


def _check_scales(model: Any, where: str) -> None:
    for tensor in model.subgraphs[0].tensors:
        found, bits = scales(tensor), {"int8": 8, "int16": 16}.get(dtype_of(tensor))
        if bits is None or not found.size or model.buffers[tensor.buffer].data is not None:
            continue  # floats, and constants, whose scales may be arbitrarily small
        if not found.min() * 2**bits > SMALLEST_RANGE:
            raise ModelError(
                f"tensor '{tensor.name.decode()}' of {where} has scale {found.min():.2g}, a range of "
                f"{found.min() * 2**bits:.2g}: expected more than {SMALLEST_RANGE:g}, but it was zero throughout "
                "calibration; calibrate on rows that activate it, or remove the dead part of the network"
            )

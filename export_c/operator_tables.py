"""Tables of the runtime's LOGISTIC and TANH kernels, read from graphs of one operator: never typed in.

The 16-bit kernels interpolate in a table of 256 sigmoid values; it is not round(65536 sigmoid(i / 24)), 44 entries are
one more. TANH over steps of half a table entry gives them whole: its output is ``entry - 32768``.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
import tflite

from edgequake.edge.base.errors import ModelError
from edgequake.edge.detection.network import load_interpreter

_STEP = np.nextafter(np.float32(2.0 / (3.0 * 4096.0)), np.float32(1.0))  # a step of the input is two of the table's
_TYPES = {"int8": tflite.TensorType.INT8, "int16": tflite.TensorType.INT16}
_LAST = 255  # entries from here on are saturated


def sigmoid_table() -> npt.NDArray[np.uint16]:
    """Return the sigmoid table of the 16-bit kernels, uint16, shape (256,).

    Raises
    ------
    ModelError
        The runtime's kernel interpolates in another way than the C sources do.
    """
    steps = np.arange(0, 1 << 15, dtype=np.int64)  # all inputs that are not negative
    outputs = _run("TANH", "int16", float(_STEP), 0, float(2.0**-15), 0, steps.astype(np.int16)).astype(np.int64)
    whole = outputs[:: 1 << 7][:_LAST] + 32768  # where an entry is met exactly
    for last in range(int(whole[-1]), 1 << 16):
        table = np.append(whole, last)
        if np.array_equal(_tanh(table, 2 * steps), outputs):
            return np.asarray(table, np.uint16)
    raise ModelError("the runtime's 16-bit TANH is not the one that the C sources compute; export on x86-64")


def _tanh(table: npt.NDArray[np.int64], inputs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return what the kernel makes of inputs that are not negative, in steps of the table."""
    entry, rest = inputs >> 8, inputs & 0xFF
    low, high = table[np.minimum(entry, _LAST)], table[np.minimum(entry + 1, _LAST)]
    result = np.where(entry >= _LAST, 0xFFFF << 8, (low << 8) + rest * (high - low))
    return np.asarray((result - (1 << 23) + 128) >> 8, np.int64)


def logistic_table(scale: float, zero_point: int, output_scale: float, output_zero: int) -> npt.NDArray[np.int8]:
    """Return the outputs of the 8-bit LOGISTIC for the inputs -128 to 127, int8, shape (256,)."""
    inputs = np.arange(-128, 128, dtype=np.int8)
    return np.asarray(_run("LOGISTIC", "int8", scale, zero_point, output_scale, output_zero, inputs), np.int8)


def run_operator(name: str, dtype: str, scale: float, output_scale: float, values: npt.NDArray[Any]) -> Any:
    """Return what the runtime's kernel makes of values; zero points are 0."""
    return _run(name, dtype, scale, 0, output_scale, 0, values)


def _run(
    name: str, dtype: str, scale: float, zero: int, output_scale: float, output_zero: int, values: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    content = one_operator(name, dtype, (scale, zero), (output_scale, output_zero), len(values))
    interpreter, _ = load_interpreter(content)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values.reshape(1, -1))
    interpreter.invoke()
    outputs: npt.NDArray[Any] = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]
    return outputs


def one_operator(name: str, dtype: str, taken: tuple[float, int], given: tuple[float, int], n: int) -> bytes:
    """Return a graph of one operator on n values."""
    builder = flatbuffers.Builder(1024)
    tensors = [_tensor(builder, which, dtype, *form, n) for which, form in (("x", taken), ("y", given))]
    operator = _operator(builder)
    inputs, outputs = _ints(builder, [0]), _ints(builder, [1])
    tensor_list = _tables(builder, tensors)
    operator_list = _tables(builder, [operator])
    tflite.SubGraphStart(builder)
    tflite.SubGraphAddTensors(builder, tensor_list)
    tflite.SubGraphAddInputs(builder, inputs)
    tflite.SubGraphAddOutputs(builder, outputs)
    tflite.SubGraphAddOperators(builder, operator_list)
    subgraphs = _tables(builder, [tflite.SubGraphEnd(builder)])
    codes = _tables(builder, [_operator_code(builder, name)])
    tflite.BufferStart(builder)
    buffers = _tables(builder, [tflite.BufferEnd(builder)])
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, 3)
    tflite.ModelAddOperatorCodes(builder, codes)
    tflite.ModelAddSubgraphs(builder, subgraphs)
    tflite.ModelAddBuffers(builder, buffers)
    builder.Finish(tflite.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


def _operator_code(builder: Any, name: str) -> Any:
    code = int(getattr(tflite.BuiltinOperator, name))
    tflite.OperatorCodeStart(builder)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, code)
    tflite.OperatorCodeAddBuiltinCode(builder, code)
    tflite.OperatorCodeAddVersion(builder, 3)
    return tflite.OperatorCodeEnd(builder)


def _operator(builder: Any) -> Any:
    inputs, outputs = _ints(builder, [0]), _ints(builder, [1])
    tflite.OperatorStart(builder)
    tflite.OperatorAddOpcodeIndex(builder, 0)
    tflite.OperatorAddInputs(builder, inputs)
    tflite.OperatorAddOutputs(builder, outputs)
    return tflite.OperatorEnd(builder)


def _tensor(builder: Any, name: str, dtype: str, scale: float, zero_point: int, n: int) -> Any:
    label, shape = builder.CreateString(name), _ints(builder, [1, n])
    tflite.QuantizationParametersStartScaleVector(builder, 1)
    builder.PrependFloat32(scale)
    scales = builder.EndVector()
    tflite.QuantizationParametersStartZeroPointVector(builder, 1)
    builder.PrependInt64(zero_point)
    zeros = builder.EndVector()
    tflite.QuantizationParametersStart(builder)
    tflite.QuantizationParametersAddScale(builder, scales)
    tflite.QuantizationParametersAddZeroPoint(builder, zeros)
    form = tflite.QuantizationParametersEnd(builder)
    tflite.TensorStart(builder)
    tflite.TensorAddShape(builder, shape)
    tflite.TensorAddType(builder, _TYPES[dtype])
    tflite.TensorAddBuffer(builder, 0)
    tflite.TensorAddName(builder, label)
    tflite.TensorAddQuantization(builder, form)
    return tflite.TensorEnd(builder)


def _ints(builder: Any, values: list[int]) -> Any:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependInt32(value)
    return builder.EndVector()


def _tables(builder: Any, offsets: list[Any]) -> Any:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()

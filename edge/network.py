"""The one-step graph, stepped: rows in, probabilities out, every state explicit and kept in its own integer form."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.edge.errors import ModelError
from edgequake.edge.manifest import Manifest, Variant
from edgequake.edge.runtime import load_interpreter

Float32 = npt.NDArray[np.float32]

# Two scales that calibration measured on the same values differ in their last bits at most.
_SAME_SCALE = 1e-4


@dataclass(frozen=True)
class _Tensor:
    index: int
    dtype: Any
    scale: np.float32  # 0 for float tensors
    zero_point: int

    def quantize(self, values: Float32) -> npt.NDArray[Any]:
        """Round half to even, clip to the dtype's range, cast: never the other way round."""
        if self.scale == 0:
            return values
        limits = np.iinfo(self.dtype)
        steps = np.rint(values / self.scale) + np.float32(self.zero_point)
        return np.asarray(np.clip(steps, limits.min, limits.max), self.dtype)

    def dequantize(self, values: npt.NDArray[Any]) -> Float32:
        if self.scale == 0:
            return np.asarray(values, np.float32)
        return (values.astype(np.float32) - np.float32(self.zero_point)) * self.scale


@dataclass(frozen=True)
class _State:
    source: int  # tensor index it comes out of
    target: int  # tensor index it goes into
    initial: npt.NDArray[Any]
    recurrent: bool


class StepNetwork:
    """A graph and its state.

    Raises
    ------
    ModelError
        The graph cannot be loaded, or lacks a tensor that the manifest names.
    """

    def __init__(self, manifest: Manifest, graph: bytes, variant: Variant, n_threads: int = 1) -> None:
        self._interpreter, self.runtime = load_interpreter(graph, n_threads)
        inputs = {detail["name"]: detail for detail in self._interpreter.get_input_details()}
        outputs = {detail["name"]: detail for detail in self._interpreter.get_output_details()}
        self._frame = _tensor(inputs, variant.frame_tensor, "input")
        takes = tuple(int(size) for size in inputs[variant.frame_tensor]["shape"])
        told = (1, manifest.network.rows_per_step, manifest.network.n_features)
        if takes != told:
            raise ModelError(
                f"the graph takes rows of shape {takes}, its manifest says {told}; convert the model again"
            )
        self._probability = _tensor(outputs, variant.probability_tensor, "output")
        self._states = [
            _state(inputs, outputs, variant.state_inputs[s.name], variant.state_outputs[s.name], s.kind)
            for s in manifest.network.states
        ]
        self._n_outputs = len(manifest.network.outputs)
        self.reset()
        self._interpreter.invoke()  # memory is settled after the first one
        self.reset()
        self._frame_memory = tensor_memory(self._interpreter, self._frame.index)
        self._probability_memory = tensor_memory(self._interpreter, self._probability.index)
        self._carried = [
            (tensor_memory(self._interpreter, state.target), tensor_memory(self._interpreter, state.source))
            for state in self._states
        ]

    def reset(self) -> None:
        """Set every state to zero, as at the start of a record."""
        for state in self._states:
            self._interpreter.set_tensor(state.target, state.initial)

    def reset_recurrent(self) -> None:
        """Set the LSTM states to zero and leave the convolution contexts: the step just made only filled those."""
        for state in self._states:
            if state.recurrent:
                self._interpreter.set_tensor(state.target, state.initial)

    def step(self, rows: Float32) -> Float32:
        """Consume rows of shape (rows_per_step, n_features), return probabilities of shape (n_outputs,)."""
        probabilities: Float32 = self.run(rows[np.newaxis])[0]
        return probabilities

    def run(self, rows: Float32) -> Float32:
        """Consume rows of shape (n_steps, rows_per_step, n_features), return shape (n_steps, n_outputs)."""
        quantized = self._frame.quantize(rows)
        out = np.empty((len(rows), 1, self._n_outputs), self._probability.dtype)
        frame, probability, carried = self._frame_memory, self._probability_memory, self._carried
        invoke = self._interpreter.invoke
        for i in range(len(rows)):
            frame[0] = quantized[i]
            invoke()
            out[i] = probability
            for target, source in carried:  # raw integers: quantizing anew would cost more than the graph does
                target[...] = source
        return self._probability.dequantize(out[:, 0])

    def state(self) -> list[npt.NDArray[Any]]:
        """Return a copy of every state, in the order of the manifest and in the graph's own number form."""
        return [np.array(self._interpreter.get_tensor(state.target)) for state in self._states]

    def set_state(self, values: list[npt.NDArray[Any]]) -> None:
        """Go on from states that `state` returned."""
        for state, value in zip(self._states, values, strict=True):
            self._interpreter.set_tensor(state.target, value)


def tensor_memory(interpreter: Any, index: int) -> npt.NDArray[Any]:
    """Return an array over a tensor's own memory, which stays where it is once tensors are allocated.

    The runtime counts the references to the arrays that it hands out and refuses to invoke while there are any, because
    allocating anew would leave them dangling. Copying six small tensors in and out of every step costs as much as the
    graph; so this one is made of the bare address, by its owner, which never allocates anew.
    """
    view = interpreter.tensor(index)()
    n_bytes, address = view.nbytes, view.__array_interface__["data"][0]
    memory = (ctypes.c_char * n_bytes).from_address(address)
    return np.frombuffer(memory, view.dtype).reshape(view.shape)


def _tensor(details: dict[str, Any], name: str, side: str) -> _Tensor:
    if name not in details:
        raise ModelError(f"the graph has no {side} tensor '{name}' that its manifest names; convert the model again")
    detail = details[name]
    scale, zero_point = detail["quantization"]
    return _Tensor(detail["index"], detail["dtype"], np.float32(scale), int(zero_point))


def _state(inputs: dict[str, Any], outputs: dict[str, Any], input_name: str, output_name: str, kind: str) -> _State:
    target, source = _tensor(inputs, input_name, "input"), _tensor(outputs, output_name, "output")
    same = abs(float(source.scale) - float(target.scale)) <= _SAME_SCALE * float(target.scale)
    if source.dtype != target.dtype or source.zero_point != target.zero_point or not same:
        raise ModelError(
            f"state '{input_name}' goes in with scale {target.scale:g} and comes out with {source.scale:g}; "
            f"expected equal ones; convert the model again"
        )
    shape = tuple(inputs[input_name]["shape"])
    initial = target.quantize(np.zeros(shape, np.float32))
    return _State(source.index, target.index, initial, kind == "recurrent")

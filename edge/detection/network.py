"""The network: the TFLite runtime, and the one-step graph with its explicit states."""

from __future__ import annotations

import ctypes
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.constants import constant
from edgequake.edge.base.errors import ModelError
from edgequake.edge.manifest.manifest import Manifest, Variant

Float32 = npt.NDArray[np.float32]

# tflite-runtime comes first: it is the older and smaller one, and the one with wheels for armv7.
_RUNTIMES = (("tflite-runtime", "tflite_runtime.interpreter"), ("ai-edge-litert", "ai_edge_litert.interpreter"))
_SAME_SCALE = 1e-4  # two scales that calibration measured on the same values differ at most in their last bits


def load_interpreter(graph: bytes, n_threads: int = 1) -> tuple[Any, str]:
    """Return an interpreter with its tensors allocated, and the runtime's name and version.

    The kernels without delegates are used: with them int8 graphs give the same bits in both runtimes. More than one
    thread is for benchmarks only: passing such small products to another thread costs more than it saves.

    Raises
    ------
    ModelError
        No runtime is installed, the installed one does not work here, or the graph cannot be loaded.
    """
    module, name = import_runtime()
    try:
        interpreter = module.Interpreter(
            model_content=graph,
            num_threads=n_threads,
            experimental_op_resolver_type=module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
    except SystemError as problem:  # tflite-runtime 2.14 under numpy 2
        raise ModelError(f"{name} does not work with this numpy; install 'numpy<2' or ai-edge-litert") from problem
    except (ValueError, RuntimeError) as problem:
        reason = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
        raise ModelError(f"{name} cannot load the graph: {reason}; convert the model again") from problem
    return interpreter, name


def import_runtime() -> tuple[Any, str]:
    """Return the runtime's interpreter module, and its name and version.

    A process that also uses TensorFlow must call this before it imports TensorFlow: tflite-runtime loaded second fails
    with "vector::reserve".

    Raises
    ------
    ModelError
        No runtime is installed.
    """
    for package, module in _RUNTIMES:
        try:
            return importlib.import_module(module), f"{package} {_version(package, module)}"
        except ImportError:
            continue
    raise ModelError("no TFLite runtime is installed; install 'edgequake[edge]' (tflite-runtime or ai-edge-litert)")


def _version(package: str, module: str) -> str:
    """Return a runtime's own version; looking it up in the environment takes a tenth of the start-up time."""
    own = getattr(sys.modules[module.partition(".")[0]], "__version__", None)
    if isinstance(own, str):
        return own
    from importlib import metadata

    return metadata.version(package)


@dataclass(frozen=True)
class _Tensor:
    index: int
    dtype: Any
    scale: np.float32  # 0 for float tensors
    zero_point: int

    def quantize(self, values: Float32) -> npt.NDArray[Any]:
        """Round half to even, clip to the dtype's range, then cast; in any other order values would wrap around."""
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
class _StatePair:
    source: int  # index of the output tensor
    target: int  # index of the input tensor
    initial: npt.NDArray[Any]
    recurrent: bool


class StepNetwork:
    """The one-step graph and its states, kept in the graph's own integer form.

    Raises
    ------
    ModelError
        The graph cannot be loaded, or lacks a tensor that the manifest names.
    """

    def __init__(
        self,
        manifest: Manifest,
        graph: bytes,
        variant: Variant,
        n_threads: int = 1,
        is_allowed: Callable[[list[str]], None] | None = None,
    ) -> None:
        """Load the graph.

        is_allowed : raises for operators that must not be run; called before any of them is.
        """
        self._interpreter, self.runtime = load_interpreter(graph, n_threads)
        if is_allowed is not None:
            is_allowed(self.operators)
        inputs = {detail["name"]: detail for detail in self._interpreter.get_input_details()}
        outputs = {detail["name"]: detail for detail in self._interpreter.get_output_details()}
        self._frame = _tensor(inputs, variant.frame_tensor, "input")
        shape = tuple(int(size) for size in inputs[variant.frame_tensor]["shape"])
        expected = (1, manifest.network.rows_per_step, manifest.network.n_features)
        if shape != expected:
            raise ModelError(
                f"the graph takes rows of shape {shape}, its manifest says {expected}; convert the model again"
            )
        self._probability = _tensor(outputs, variant.probability_tensor, "output")
        self._states = [
            _state(inputs, outputs, variant.state_inputs[s.name], variant.state_outputs[s.name], s.kind)
            for s in manifest.network.states
        ]
        self._n_outputs = len(manifest.network.outputs)
        named = {s.name: state for s, state in zip(manifest.network.states, self._states, strict=True)}
        self._resets = {step: [named[name] for name in names] for step, names in manifest.network.resets.items()}
        self.reset()
        self._interpreter.invoke()  # the tensors' memory is final after the first one
        self.reset()
        self._frame_memory = tensor_memory(self._interpreter, self._frame.index)
        self._probability_memory = tensor_memory(self._interpreter, self._probability.index)
        self._carried = [
            (tensor_memory(self._interpreter, state.target), tensor_memory(self._interpreter, state.source))
            for state in self._states
        ]

    @property
    def operators(self) -> list[str]:
        """Names of the graph's operators, in order."""
        return [str(detail["op_name"]) for detail in self._interpreter._get_ops_details()]

    @property
    def is_integer(self) -> bool:
        """Whether rows and probabilities are integers in the graph, and so is everything between."""
        return bool(self._frame.scale != 0 and self._probability.scale != 0)

    @property
    def is_dynamic(self) -> bool:
        """Whether a graph of floats has integer weights: then it quantizes what it computes with them as it runs."""
        details = self._interpreter.get_tensor_details()
        return not self.is_integer and any(detail["dtype"] in (np.int8, np.int16) for detail in details)

    def reset(self) -> None:
        """Reset every state to zero, as at the start of a record."""
        for state in self._states:
            self._interpreter.set_tensor(state.target, state.initial)

    def run_from(self, n_done: int, steps: Float32) -> Float32:
        """Run steps as `run` does, `n_done` steps after a reset, and reset the states whose first row they come to."""
        outputs, first = [], 0
        for step, states in self._resets.items():
            at = step - n_done
            if not 0 <= at <= len(steps):
                continue
            outputs.append(self.run(steps[first:at]))
            first = at
            for state in states:
                self._interpreter.set_tensor(state.target, state.initial)
        return np.concatenate([*outputs, self.run(steps[first:])]) if outputs else self.run(steps)

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
            for target, source in carried:  # raw integers: requantizing would cost more than the graph does
                target[...] = source
        return self._probability.dequantize(out[:, 0])

    def state(self) -> list[npt.NDArray[Any]]:
        """Return a copy of every state, in the order of the manifest and in the graph's own dtype."""
        return [np.array(self._interpreter.get_tensor(state.target)) for state in self._states]

    def set_state(self, values: list[npt.NDArray[Any]]) -> None:
        """Restore the states that `state` returned."""
        for state, value in zip(self._states, values, strict=True):
            self._interpreter.set_tensor(state.target, value)


def tensor_memory(interpreter: Any, index: int) -> npt.NDArray[Any]:
    """Return an array over a tensor's own memory, which does not move once tensors are allocated.

    The runtime counts references to the arrays that it returns and refuses to invoke while there are any, because a new
    allocation would leave them dangling. Copying six small tensors in and out of every step costs as much as the graph.
    So this array is made from the bare address; its user must never allocate the tensors again.
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


def _state(inputs: dict[str, Any], outputs: dict[str, Any], input_name: str, output_name: str, kind: str) -> _StatePair:
    target, source = _tensor(inputs, input_name, "input"), _tensor(outputs, output_name, "output")
    same = abs(float(source.scale) - float(target.scale)) <= _SAME_SCALE * float(target.scale)
    if source.dtype != target.dtype or source.zero_point != target.zero_point or not same:
        raise ModelError(
            f"state '{input_name}' has input scale {target.scale:g} and output scale {source.scale:g}; "
            f"expected equal scales; convert the model again"
        )
    shape = tuple(inputs[input_name]["shape"])
    initial = constant(target.quantize(np.zeros(shape, np.float32)))
    return _StatePair(source.index, target.index, initial, kind == "recurrent")

"""How well a graph's integer ranges fit what comes: what is clipped, and what lies idle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from tensorflow.lite.tools import flatbuffer_utils

from edgequake.convert.inspection.report import TensorUse
from edgequake.convert.quantization import flatbuffer
from edgequake.convert.quantization.layer_rounding import INPUT, layers_of, quantized_tensors
from edgequake.edge.detection.network import import_runtime
from edgequake.edge.manifest.manifest import Manifest, Variant

FloatArray = npt.NDArray[np.float32]
# The kernels fix the scales of these two, and what they round to their last step they do not clip.
_FIXED = {"LOGISTIC", "TANH"}


def tensor_uses(
    manifest: Manifest, graph: bytes, variant: Variant, sequences: FloatArray, layers: list[str]
) -> tuple[TensorUse, ...]:
    """Step an integer graph through sequences and return the use of each tensor's range, the most clipped first.

    Parameters
    ----------
    sequences : shape (n_sequences, n_rows, n_features), each from zero state.
    layers : names of the Keras layers.

    A value at an end that stands for 0 (below it is what a ReLU takes away) is not clipped.
    """
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(graph))
    layer_of = layers_of(model, layers)
    frame = _Seen(_by_name(model, variant.frame_tensor))
    seen = {tensor: _Seen(model.subgraphs[0].tensors[tensor]) for tensor in _computed(model)}
    interpreter = _watched_interpreter(graph)
    for rows in sequences:
        frame.add_real(rows)
        for _ in _steps(manifest, variant, interpreter, rows):
            for tensor, use in seen.items():
                use.add(interpreter.get_tensor(tensor))
    uses = [use.described(layer_of.get(tensor, "")) for tensor, use in seen.items()] + [frame.described(INPUT)]
    return tuple(sorted(uses, key=lambda use: (-use.clipped_share, -use.used_share)))


def _computed(model: Any) -> set[int]:
    """Return the tensors that are computed, without those that repeat another one, as states that come in do."""
    found = quantized_tensors(model) - {int(t) for t in model.subgraphs[0].inputs}
    for operator in model.subgraphs[0].operators:
        if flatbuffer.operator_name(model, operator) in flatbuffer.SAME_SCALE | _FIXED | {"CAST"}:
            found -= {int(t) for t in operator.outputs}
    return found


def _by_name(model: Any, name: str) -> Any:
    return next(tensor for tensor in model.subgraphs[0].tensors if tensor.name == name.encode())


class _Seen:
    """What has been seen of one tensor, in steps of its integers."""

    def __init__(self, tensor: Any) -> None:
        self._name = tensor.name.decode()
        self._held = flatbuffer.quantization(tensor)
        limits = np.iinfo(self._held.dtype)
        self._low, self._high = int(limits.min), int(limits.max)
        self._least, self._most, self._n_clipped, self._n_values = self._high, self._low, 0, 0

    def add(self, values: npt.NDArray[Any]) -> None:
        self._least, self._most = min(self._least, int(values.min())), max(self._most, int(values.max()))
        if self._held.zero_point != self._low:
            self._n_clipped += int(np.count_nonzero(values == self._low))
        self._n_clipped += int(np.count_nonzero(values == self._high))
        self._n_values += values.size

    def add_real(self, values: FloatArray) -> None:
        """Take real numbers that are still to be rounded: here what is clipped shows itself."""
        steps = np.rint(values / np.float32(self._held.scale)) + self._held.zero_point
        self._n_clipped += int(np.count_nonzero((steps < self._low) | (steps > self._high)))
        self._n_values += values.size
        steps = np.clip(steps, self._low, self._high)
        self._least, self._most = min(self._least, int(steps.min())), max(self._most, int(steps.max()))

    def described(self, layer: str) -> TensorUse:
        ends = (self._low, self._high, self._least, self._most)
        low, high, least, most = ((step - self._held.zero_point) * self._held.scale for step in ends)
        share = self._n_clipped / max(1, self._n_values)
        return TensorUse(self._name, layer, self._held.dtype, low, high, least, most, share)


def _watched_interpreter(graph: bytes) -> Any:
    """Return an interpreter whose tensors can all be read after a step; otherwise it reuses their memory."""
    module, _ = import_runtime()
    interpreter = module.Interpreter(
        model_content=graph,
        num_threads=1,
        experimental_op_resolver_type=module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    return interpreter


def _steps(manifest: Manifest, variant: Variant, interpreter: Any, rows: FloatArray) -> Iterator[None]:
    """Step an interpreter through one sequence from zero state, as the device does, and stop after every step."""
    network = manifest.network
    into = {detail["name"]: detail["index"] for detail in interpreter.get_input_details()}
    out_of = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}
    ends = [(into[variant.state_inputs[s.name]], out_of[variant.state_outputs[s.name]]) for s in network.states]
    zero = {
        state.name: _integers(variant, variant.state_inputs[state.name], np.zeros(state.shape, np.float32))
        for state in network.states
    }
    n_steps = len(rows) // network.rows_per_step
    frames = _integers(variant, variant.frame_tensor, rows[: n_steps * network.rows_per_step])
    for k, frame in enumerate(frames.reshape(n_steps, 1, network.rows_per_step, -1)):
        for state in network.states:
            if k == 0 or (k == network.warmup_steps and state.kind == "recurrent"):
                interpreter.set_tensor(into[variant.state_inputs[state.name]], zero[state.name])
        interpreter.set_tensor(into[variant.frame_tensor], frame)
        interpreter.invoke()
        yield
        for target, source in ends:
            interpreter.set_tensor(target, interpreter.get_tensor(source))


def _integers(variant: Variant, tensor: str, values: FloatArray) -> npt.NDArray[Any]:
    held = variant.quantization[tensor]
    limits = np.iinfo(held.dtype)
    steps = np.rint(values / np.float32(held.scale)) + np.float32(held.zero_point)
    return np.asarray(np.clip(steps, limits.min, limits.max), held.dtype)

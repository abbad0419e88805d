"""How well the integer ranges of a graph fit its values: the share that is clipped, and the unused part of a range."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.convert.inspection.report import TensorUse
from edgequake.convert.quantization import flatbuffer
from edgequake.convert.quantization.layer_rounding import INPUT, layers_by_tensor, quantized_tensors
from edgequake.convert.streaming.stepping import StepFunction, interpreter_step, walk
from edgequake.edge.detection.network import import_runtime
from edgequake.edge.manifest.manifest import Manifest, TensorQuantization, Variant

FloatArray = npt.NDArray[np.float32]
# The kernels fix the scales of these two; values rounded to the last step of their range are not clipped.
_FIXED = {"LOGISTIC", "TANH"}
_COUNTED_TOGETHER = 4096  # values of a tensor


def tensor_uses(
    manifest: Manifest, graph: bytes, variant: Variant, sequences: FloatArray, layers: list[str]
) -> tuple[TensorUse, ...]:
    """Step an integer graph through sequences and return the use of each tensor's range, the most clipped first.

    A value at the end of a range that represents 0 (values below it were removed by a ReLU) does not count as clipped.

    Parameters
    ----------
    sequences : shape (n_sequences, n_rows, n_features), each from zero state.
    layers : names of the Keras layers.
    """
    model = flatbuffer.unpack(graph)
    tensors = model.subgraphs[0].tensors
    layer_of = layers_by_tensor(model, layers)
    input_range = _RangeCounter(next(t for t in tensors if t.name == variant.frame_tensor.encode()))
    ranges = {index: _RangeCounter(tensors[index]) for index in _computed_tensors(model)}
    interpreter = _preserving_interpreter(graph)
    call = _quantized_step(interpreter, variant)
    for rows in sequences:
        input_range.add_unquantized(rows)
        for _ in walk(manifest.network, rows, call):
            for index, counter in ranges.items():
                counter.add(interpreter.get_tensor(index))
    uses = [counter.use(layer_of.get(index, "")) for index, counter in ranges.items()] + [input_range.use(INPUT)]
    return tuple(sorted(uses, key=lambda use: (-use.clipped_share, -use.used_share)))


def _computed_tensors(model: Any) -> set[int]:
    """Return the computed tensors, without those that repeat the values of another, such as the states' inputs."""
    found = quantized_tensors(model) - {int(t) for t in model.subgraphs[0].inputs}
    for operator in model.subgraphs[0].operators:
        if flatbuffer.operator_name(model, operator) in flatbuffer.SAME_SCALE | _FIXED | {"CAST"}:
            found -= {int(t) for t in operator.outputs}
    return found


class _RangeCounter:
    """The values seen of one tensor, in steps of its integers."""

    def __init__(self, tensor: Any) -> None:
        self._name = tensor.name.decode()
        self._form = flatbuffer.quantization(tensor)
        limits = np.iinfo(self._form.dtype)
        self._low, self._high = int(limits.min), int(limits.max)
        self._least, self._most, self._n_clipped, self._n_values = self._high, self._low, 0, 0
        self._n_zero = 0
        self._waiting: list[npt.NDArray[Any]] = []
        self._n_waiting = 0

    def add(self, values: npt.NDArray[Any]) -> None:
        """Add the values of a step; they are counted with those of other steps, in a quarter of the time."""
        self._waiting.append(values.ravel())
        self._n_waiting += values.size
        if self._n_waiting >= _COUNTED_TOGETHER:
            self._count()

    def _count(self) -> None:
        if not self._waiting:
            return
        values = np.concatenate(self._waiting)
        self._waiting, self._n_waiting = [], 0
        self._least, self._most = min(self._least, int(values.min())), max(self._most, int(values.max()))
        if self._form.zero_point != self._low:
            self._n_clipped += int(np.count_nonzero(values == self._low))
        self._n_clipped += int(np.count_nonzero(values == self._high))
        self._n_zero += int(np.count_nonzero(values == self._form.zero_point))
        self._n_values += values.size

    def add_unquantized(self, values: FloatArray) -> None:
        """Add real numbers that are not yet rounded, so that clipped values can be counted exactly."""
        steps = np.rint(values / np.float32(self._form.scale)) + self._form.zero_point
        self._n_clipped += int(np.count_nonzero((steps < self._low) | (steps > self._high)))
        self._n_values += values.size
        steps = np.clip(steps, self._low, self._high)
        self._least, self._most = min(self._least, int(steps.min())), max(self._most, int(steps.max()))

    def use(self, layer: str) -> TensorUse:
        self._count()
        ends = (self._low, self._high, self._least, self._most)
        low, high, least, most = ((step - self._form.zero_point) * self._form.scale for step in ends)
        is_mask = self._n_clipped + self._n_zero == self._n_values  # ones and zeros, which nothing has cut
        share = 0.0 if is_mask else self._n_clipped / max(1, self._n_values)
        return TensorUse(self._name, layer, self._form.dtype, low, high, least, most, share)


def _preserving_interpreter(graph: bytes) -> Any:
    """Return an interpreter whose tensors can all be read after a step; by default their memory is reused."""
    module, _ = import_runtime()
    interpreter = module.Interpreter(
        model_content=graph,
        num_threads=1,
        experimental_op_resolver_type=module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    return interpreter


def _quantized_step(interpreter: Any, variant: Variant) -> StepFunction:
    """Return an integer graph as a function; states that it returned itself are integers already."""
    call = interpreter_step(interpreter)
    return lambda inputs: call({name: _integers(variant.quantization[name], v) for name, v in inputs.items()})


def _integers(form: TensorQuantization, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.dtype == form.dtype:
        return values
    limits = np.iinfo(form.dtype)
    steps = np.rint(values / np.float32(form.scale)) + np.float32(form.zero_point)
    return np.asarray(np.clip(steps, limits.min, limits.max), form.dtype)

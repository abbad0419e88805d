"""Reads the network of a graph: the convolutions, the LSTM and the head that `sources/core/eq_network.c` computes.

Anything else is refused by name, before a file is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tflite

from edgequake.convert.inspection.tflite_reader import Graph, read_graph_file
from edgequake.edge.base.errors import ModelError
from edgequake.edge.manifest.manifest import Manifest, Variant
from edgequake.export_c.fixed_point import Scale, TableScale, scale_of, table_scale_of

_COPIES = ("RESHAPE", "CAST")  # pass values on unchanged
_RELU = tflite.ActivationFunctionType.RELU
_OPTIONS = {"CONV_2D": tflite.Conv2DOptions, "FULLY_CONNECTED": tflite.FullyConnectedOptions}


@dataclass(frozen=True)
class Dense:
    """A dense layer, or a convolution whose kernel covers its whole input, in the integers of `eq_dense`.

    Attributes
    ----------
    weights : int8, shape (n_out, n_in).
    bias : int32, shape (n_out,), the zero point of the input folded in.
    scales : factors from accumulator to output, one per output.
    low : smallest output: the zero point after a rectifier, else -128.
    """

    weights: npt.NDArray[np.int8]
    bias: npt.NDArray[np.int32]
    scales: tuple[Scale, ...]
    zero_point: int
    low: int
    input_zero: int


@dataclass(frozen=True)
class Network:
    """All constants of a network: see `sources/core/eq_network.c` for how they are used."""

    convolutions: tuple[Dense, ...]
    gates_x: Dense
    gates_h: Dense
    shares: npt.NDArray[np.int16] | None  # of each gate in the scale of its x part
    share_scale: Scale | None
    gate_scales: tuple[Scale, Scale, Scale]  # of the x part, the h part, the sum
    gate_table: TableScale
    kept_scale: Scale  # forget gate times cell
    added_scale: Scale  # input gate times candidate
    cell_scales: tuple[Scale, Scale, Scale]
    cell_table: TableScale
    output_scale: Scale
    h_scale: Scale
    h_zero: int
    head: Dense
    logistic_scale: float  # of the input of the last operator
    logistic_zero: int
    row_scale: float
    row_zero: int
    probability_scale: float
    probability_zero: int

    @property
    def n_units(self) -> int:
        """Units of the LSTM."""
        return len(self.gates_x.bias) // 4


def read_network(manifest: Manifest, variant: Variant, graph: bytes) -> Network:
    """Return the network of an int8 graph.

    Raises
    ------
    ModelError
        The graph is damaged, or is not one that the C sources compute: the message names the operator.
    """
    return _Reader(manifest, variant, graph).read()


class _Reader:
    """Walks the graph from the new row to the probabilities; every step must be what the sources compute."""

    def __init__(self, manifest: Manifest, variant: Variant, content: bytes) -> None:
        self._variant, self._name = variant, manifest.name
        self._graph: Graph = read_graph_file(content, variant.file)
        self._model = tflite.Model.GetRootAsModel(content, 0)
        self._tensors = self._graph.tensors
        self._index = {tensor.name: i for i, tensor in enumerate(self._tensors)}
        self._used: set[int] = set()

    def read(self) -> Network:
        row = self._tensor_named(self._variant.frame_tensor)
        x, convolutions = row, []
        for _ in range(len(self._graph.operators)):
            following = self._follow(x)
            if self._name_of(following) != "CONCATENATION":
                break
            layer, x = self._convolution(following)
            convolutions.append(layer)
        if not convolutions:
            raise self._refused(self._follow(row), "a convolution that keeps its context")
        return self._lstm_and_head(row, tuple(convolutions), x)

    def _convolution(self, joined: int) -> tuple[Dense, int]:
        """Read a convolution from the CONCATENATION of its context and the new row; return it and its output."""
        context, _ = self._inputs(joined, 2)
        self._require_state(context)
        operator = self._one(self._output(joined), "CONV_2D")
        for k in self._readers(self._output(joined)):
            if self._name_of(k) == "STRIDED_SLICE":  # the context of the next step
                self._use(k)
        return self._dense(operator), self._pass_copies(self._output(operator))

    def _lstm_and_head(self, row: int, convolutions: tuple[Dense, ...], x: int) -> Network:
        gates_x_at = self._one(x, "FULLY_CONNECTED")
        after = self._pass_copies(self._output(gates_x_at))
        shares, share_scale, following = None, None, self._follow(after)
        if self._name_of(following) == "MUL":
            shares, share_scale, after = self._shares(following)
            following = self._follow(after)
        h_part, gates = self._other_input(self._one(after, "ADD"), after), self._output(following)
        gates_h_at = self._maker(self._before_copies(h_part))
        gate_scales = self._sum_scales(following, after, h_part)
        split = self._one(gates, "SPLIT")
        parts = self._graph.operators[split].outputs
        tables = [self._follow(part) for part in parts]
        if [self._name_of(k) for k in tables] != ["LOGISTIC", "LOGISTIC", "TANH", "LOGISTIC"]:
            raise self._refused(split, "the gates input, forget, candidate and output of an LSTM")
        acts = [self._output(k) for k in tables]
        kept_at, added_at = self._one(acts[1], "MUL"), self._one(acts[0], "MUL")
        self._require_state(self._other_input(kept_at, acts[1]))
        kept, added = self._output(kept_at), self._output(added_at)
        cell_at = self._one(self._pass_copies(kept), "ADD")
        cell = self._output(cell_at)
        squashed = self._one(cell, "TANH")
        output_at = self._one(self._output(squashed), "MUL")
        narrowed = self._one(self._output(output_at), "QUANTIZE")
        h = self._output(narrowed)
        head_at = self._one(h, "FULLY_CONNECTED")
        logistic = self._one(self._output(head_at), "LOGISTIC")
        probabilities = self._output(logistic)
        for k in (gates_x_at, following, split, *tables, kept_at, added_at, cell_at, squashed, output_at, narrowed):
            self._use(k)
        self._require_state(self._before_copies(self._inputs(gates_h_at, 2)[0]))
        network = Network(
            convolutions, self._dense(gates_x_at), self._dense(gates_h_at), shares, share_scale, gate_scales,
            table_scale_of(self._scale(gates)), self._product_scale(kept_at), self._product_scale(added_at),
            self._sum_scales(cell_at, self._pass_copies(kept), self._pass_copies(added)),
            table_scale_of(self._scale(cell)), self._product_scale(output_at),
            scale_of(float(self._scale(self._output(output_at))) / float(self._scale(h))), self._zero(h),
            self._dense(head_at), float(self._scale(self._output(head_at))), self._zero(self._output(head_at)),
            float(self._scale(row)), self._zero(row), float(self._scale(probabilities)), self._zero(probabilities),
        )  # fmt: skip
        self._use(logistic)
        self._require_all_used()
        return network

    def _dense(self, k: int) -> Dense:
        self._use(k)
        operator = self._graph.operators[k]
        x, w, b = (operator.inputs[0], operator.inputs[1], operator.inputs[2])
        self._require_type(k, x, "int8")
        self._require_type(k, w, "int8")
        n_out = len(self._tensors[w].scales) if len(self._tensors[w].scales) > 1 else self._tensors[w].shape[0]
        weights = self._constant(w, np.int8).reshape(n_out, -1)
        n_in = int(np.prod(self._tensors[x].shape))
        if weights.shape[1] != n_in:
            raise self._refused(k, "a kernel that covers the whole input")
        bias = np.zeros(n_out, np.int64) if b < 0 else self._constant(b, np.int32).astype(np.int64)
        bias = bias - self._zero(x) * weights.astype(np.int64).sum(axis=1)
        if np.max(np.abs(bias) + 128 * 128 * n_in) >= 1 << 30:
            raise self._refused(k, "a bias of less than 2^30")
        y = self._output(k)
        per_output = self._tensors[w].scales * (n_out if len(self._tensors[w].scales) == 1 else 1)
        factors = [float(self._scale(x)) * float(np.float32(s)) / float(self._scale(y)) for s in per_output]
        is_rectified = self._activation(k) == _RELU
        return Dense(
            weights, bias.astype(np.int32), tuple(scale_of(factor) for factor in factors), self._zero(y),
            max(-128, self._zero(y)) if is_rectified else -128, self._zero(x),
        )  # fmt: skip

    def _shares(self, k: int) -> tuple[npt.NDArray[np.int16], Scale, int]:
        self._use(k)
        constant = next((i for i in self._inputs(k, 2) if self._tensors[i].constant_bytes), None)
        if constant is None:
            raise self._refused(k, "a product with constant shares")
        return self._constant(constant, np.int16), self._product_scale(k), self._pass_copies(self._output(k))

    def _product_scale(self, k: int) -> Scale:
        """MUL's multiplier: the runtime computes it in float32."""
        a, b = self._inputs(k, 2)
        return scale_of(float(np.float32(np.float32(self._scale(a) * self._scale(b)) / self._scale(self._output(k)))))

    def _sum_scales(self, k: int, first: int, second: int) -> tuple[Scale, Scale, Scale]:
        """ADD's multipliers for 16 bits: inputs are shifted left by 15 against twice the larger scale."""
        if set(self._inputs(k, 2)) != {first, second}:
            raise self._refused(k, "the sum of two parts")
        a, b, y = (float(self._scale(i)) for i in (first, second, self._output(k)))
        twice = 2.0 * max(a, b)
        return scale_of(a / twice), scale_of(b / twice), scale_of(twice / (float(1 << 15) * y))

    def _activation(self, k: int) -> int:
        options = _OPTIONS[self._name_of(k)]()
        table = self._model.Subgraphs(0).Operators(k).BuiltinOptions()
        options.Init(table.Bytes, table.Pos)
        found = int(options.FusedActivationFunction())
        if found not in (_RELU, tflite.ActivationFunctionType.NONE):
            raise self._refused(k, "no other activation than a rectifier")
        return found

    def _constant(self, tensor: int, dtype: Any) -> npt.NDArray[Any]:
        buffer = self._model.Buffers(self._tensors[tensor].buffer)
        if not buffer.DataLength():
            raise ModelError(f"model '{self._name}': tensor '{self._tensors[tensor].name}' is no constant")
        return np.frombuffer(buffer.DataAsNumpy().tobytes(), dtype)

    def _scale(self, tensor: int) -> np.float32:
        scales = self._tensors[tensor].scales
        if len(scales) != 1:
            raise ModelError(
                f"model '{self._name}': tensor '{self._tensors[tensor].name}' has {len(scales)} scales; C takes the "
                f"variant 'int8' of a network that convert made"
            )
        return np.float32(scales[0])

    def _zero(self, tensor: int) -> int:
        return int(self._tensors[tensor].zero_points[0])

    def _require_type(self, k: int, tensor: int, dtype: str) -> None:
        if self._tensors[tensor].dtype != dtype:
            raise self._refused(k, f"{dtype} operands, not {self._tensors[tensor].dtype}")

    def _require_state(self, tensor: int) -> None:
        if self._tensors[tensor].name not in self._variant.state_inputs.values():
            raise ModelError(
                f"model '{self._name}' cannot be exported to C: '{self._tensors[tensor].name}' is used where the "
                f"state of a convolution or an LSTM was expected"
            )

    def _require_all_used(self) -> None:
        for k, operator in enumerate(self._graph.operators):
            if k not in self._used and operator.name not in _COPIES:
                raise self._refused(k, "nothing beside convolutions, one LSTM and a dense head")

    def _refused(self, k: int, expected: str) -> ModelError:
        return ModelError(
            f"model '{self._name}' cannot be exported to C: operator {k} is {self._name_of(k)}, expected {expected}; "
            f"C takes int8 networks of convolutions, one LSTM and a dense head"
        )

    def _tensor_named(self, name: str) -> int:
        if name not in self._index:
            raise ModelError(f"the graph of model '{self._name}' has no tensor '{name}'; convert the model again")
        return self._index[name]

    def _name_of(self, k: int) -> str:
        return self._graph.operators[k].name

    def _output(self, k: int) -> int:
        return self._graph.operators[k].outputs[0]

    def _inputs(self, k: int, n: int) -> tuple[int, ...]:
        inputs = self._graph.operators[k].inputs
        if len(inputs) < n:
            raise self._refused(k, f"{n} inputs")
        return inputs[:n]

    def _other_input(self, k: int, tensor: int) -> int:
        first, second = self._inputs(k, 2)
        return second if first == tensor else first

    def _readers(self, tensor: int) -> list[int]:
        return [k for k, operator in enumerate(self._graph.operators) if tensor in operator.inputs]

    def _maker(self, tensor: int) -> int:
        for k, operator in enumerate(self._graph.operators):
            if tensor in operator.outputs:
                return k
        raise ModelError(f"model '{self._name}': nothing computes tensor '{self._tensors[tensor].name}'")

    def _follow(self, tensor: int) -> int:
        """Return the operator that reads a tensor, past operators that only pass it on."""
        readers = self._readers(self._pass_copies(tensor))
        if not readers:
            raise ModelError(f"model '{self._name}': nothing reads tensor '{self._tensors[tensor].name}'")
        return readers[0]

    def _one(self, tensor: int, name: str) -> int:
        """Return the operator of a kind that reads a tensor."""
        for k in self._readers(self._pass_copies(tensor)):
            if self._name_of(k) == name:
                return k
        raise self._refused(self._follow(tensor), name)

    def _pass_copies(self, tensor: int) -> int:
        for _ in range(len(self._graph.operators)):
            copies = [k for k in self._readers(tensor) if self._name_of(k) in _COPIES]
            if not copies:
                break
            tensor = self._output(copies[0])
        return tensor

    def _before_copies(self, tensor: int) -> int:
        for _ in range(len(self._graph.operators)):
            makers = [k for k in self._makers(tensor) if self._name_of(k) in _COPIES]
            if not makers:
                break
            tensor = self._graph.operators[makers[0]].inputs[0]
        return tensor

    def _makers(self, tensor: int) -> list[int]:
        return [k for k, operator in enumerate(self._graph.operators) if tensor in operator.outputs]

    def _use(self, k: int) -> None:
        self._used.add(k)
        if self._name_of(k) == "CONV_2D":
            self._used.add(self._maker(self._before_copies(self._inputs(k, 1)[0])))

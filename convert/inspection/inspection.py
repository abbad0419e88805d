"""`edgequake inspect`: the contents of a graph, its cost, and the runtime that it needs. No TensorFlow is loaded."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgequake.convert.inspection.operators import OperatorUse, oldest_runtime, operator_uses, unsupported
from edgequake.convert.inspection.tflite_reader import Graph, Operator, Tensor, read_graph_file
from edgequake.edge.base.errors import ModelError
from edgequake.edge.manifest.manifest import Manifest, load_manifest, read_graph, shipped_models
from edgequake.results.tables.table import Table

MATRIX_PRODUCTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
NEXT = "_next"  # appended to a state's input name to form its output name
ARENA_METHOD = "tensors packed greedily by size and lifetime, aligned to 16 bytes, without the runtime's own structures"
ALIGNMENT_BYTES = 16  # as in TFLite for microcontrollers; TFLite itself aligns to 64


@dataclass(frozen=True)
class OperatorCount:
    """One operator and version, and how often the graph has it."""

    operator: str
    version: int
    count: int
    note: str  # "", or why tflite-runtime 2.14 does not have it


@dataclass(frozen=True)
class TensorRow:
    """One line of the list of tensors."""

    index: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    scale: float | None  # of the first channel where there are several
    zero_point: int | None
    n_scales: int
    constant_bytes: int

    @classmethod
    def of(cls, index: int, tensor: Tensor) -> TensorRow:
        """Return the line of a tensor."""
        scale, zero_point = next(iter(tensor.scales), None), next(iter(tensor.zero_points), None)
        n_scales = len(tensor.scales)
        return cls(index, tensor.name, tensor.dtype, tensor.shape, scale, zero_point, n_scales, tensor.constant_bytes)

    def cells(self) -> tuple[str, ...]:
        """Return the tensor's row of the table."""
        scale = "" if self.scale is None else f"{self.scale:.6g}" + (f" x{self.n_scales}" if self.n_scales > 1 else "")
        zero = "" if self.zero_point is None else str(self.zero_point)
        shape = "x".join(map(str, self.shape)) or "scalar"
        return str(self.index), self.dtype, shape, scale, zero, str(self.constant_bytes or ""), self.name


@dataclass(frozen=True)
class Inspection:
    """The contents of a graph and its cost."""

    file: str
    size_bytes: int
    weights_bytes: int  # values stored in the file
    scales_bytes: int  # scales and zero points: 12 bytes per channel
    names_bytes: int
    rest_bytes: int  # the tables of tensors and operators
    operators: tuple[OperatorCount, ...]
    tensors: tuple[TensorRow, ...]
    macs_per_step: int  # multiplications in matrix products and convolutions
    macs_per_s: float | None  # per second of signal; known with a manifest
    elementwise_per_step: int  # values computed by all other operators
    states: tuple[str, ...]
    state_bytes: int
    arena_bytes: int
    arena_method: str
    oldest_runtime: str | None  # None: no release of tflite-runtime
    unsupported: tuple[str, ...]  # operators that tflite-runtime 2.14 lacks, including Flex and custom ones

    def table(self) -> str:
        """Return the inspection as plain text."""
        rate = "" if self.macs_per_s is None else f", {self.macs_per_s:.0f} a second of signal"
        runtime = f"tflite-runtime {self.oldest_runtime} and newer, every ai-edge-litert"
        lacking = f"no tflite-runtime; it needs {', '.join(self.unsupported)}"
        counts = tuple((o.operator, str(o.version), str(o.count), o.note) for o in self.operators)
        tensors = tuple(row.cells() for row in self.tensors)
        lines = [
            f"{self.file}: {self.size_bytes} bytes (weights {self.weights_bytes}, scales {self.scales_bytes}, names "
            f"{self.names_bytes}, tables {self.rest_bytes})",
            f"runs in: {runtime if self.oldest_runtime else lacking}",
            f"work: {self.macs_per_step} multiply-accumulates a step{rate}; {self.elementwise_per_step} elementwise "
            "values a step",
            f"state: {self.state_bytes} bytes in {len(self.states)} tensors ({', '.join(self.states) or 'none'})",
            f"arena: about {self.arena_bytes} bytes ({self.arena_method})",
            "",
            Table("", ("operator", "version", "count", ""), counts).text(),
            "",
            Table("", ("tensor", "type", "shape", "scale", "zero", "stored", "name"), tensors).text(),
        ]
        return "\n".join(lines)


def inspect_model(model: str, variant: str | None = None) -> Inspection:
    """Inspect a .tflite file, or a graph of a manifest or a shipped model (by default its default variant).

    Raises
    ------
    ModelError, ManifestError
        The file does not exist, or is empty, damaged or of another kind.
    """
    path = Path(model)
    if path.suffix == ".json" or model in shipped_models():
        manifest, folder = load_manifest(model)
        described, content = read_graph(manifest, folder, variant)
        return inspect_graph(content, str(folder / described.file), manifest)
    if variant is not None:
        raise ModelError(f"{path} is one graph and has no variants; give the manifest with --variant")
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise ModelError(
            f"{path} cannot be read: {problem.strerror}; give a .tflite file, a manifest, or one of the shipped models "
            f"({', '.join(shipped_models()) or 'none'})"
        ) from problem
    return inspect_graph(content, str(path))


def inspect_graph(content: bytes, where: str, manifest: Manifest | None = None) -> Inspection:
    """Inspect the bytes of a graph; `where` names it in messages, and a manifest gives its step rate.

    Raises
    ------
    ModelError
        The content is empty, not a TFLite file, or damaged.
    """
    graph = read_graph_file(content, where)
    try:
        return _inspect(graph, where, manifest)
    except (ArithmeticError, LookupError, ValueError) as problem:
        raise ModelError(
            f"{where} is damaged: its tensors and operators are inconsistent ({problem}); copy it again"
        ) from problem


def _inspect(graph: Graph, where: str, manifest: Manifest | None) -> Inspection:
    uses = operator_uses(graph)
    macs = sum(_macs(graph, operator) for operator in graph.operators)
    output_names = {graph.tensors[i].name for i in graph.outputs}
    states = [graph.tensors[i] for i in graph.inputs if graph.tensors[i].name + NEXT in output_names]
    weights = sum({t.buffer: t.constant_bytes for t in graph.tensors}.values())
    lacking = unsupported(uses)
    return Inspection(
        file=where,
        size_bytes=graph.size_bytes,
        weights_bytes=weights,
        scales_bytes=graph.scales_bytes,
        names_bytes=graph.names_bytes,
        rest_bytes=graph.size_bytes - weights - graph.scales_bytes - graph.names_bytes,
        operators=_operator_counts(graph),
        tensors=tuple(TensorRow.of(index, tensor) for index, tensor in enumerate(graph.tensors)),
        macs_per_step=macs,
        macs_per_s=None if manifest is None else macs * steps_per_s(manifest),
        elementwise_per_step=sum(_elementwise(graph, operator) for operator in graph.operators),
        states=tuple(state.name for state in states),
        state_bytes=sum(state.size_bytes for state in states),
        arena_bytes=packed_bytes(_lifetimes(graph)),
        arena_method=ARENA_METHOD,
        oldest_runtime=None if lacking else oldest_runtime(uses),
        unsupported=tuple(lacking),
    )


def steps_per_s(manifest: Manifest) -> float:
    """Return how often the graph is stepped per second of signal; overlapping windows step rows several times."""
    network, front_end = manifest.network, manifest.front_end
    rows_per_s = manifest.sampling_rate_hz * front_end.rows_per_block / front_end.hop_samples
    times = (network.window_rows or 1) / (network.window_hop_rows or 1) if network.mode == "windowed" else 1.0
    return rows_per_s / network.rows_per_step * times


def _operator_counts(graph: Graph) -> tuple[OperatorCount, ...]:
    counts = Counter((o.name, o.version, o.is_custom) for o in graph.operators)
    return tuple(
        OperatorCount(name, version, count, "".join(unsupported([OperatorUse(name, version, is_custom=is_custom)])))
        for (name, version, is_custom), count in sorted(counts.items())
    )


def _macs(graph: Graph, operator: Operator) -> int:
    """Return the multiply-accumulates of a matrix product or convolution; 0 for other operators."""
    if operator.name not in MATRIX_PRODUCTS or len(operator.inputs) < 2:
        return 0
    rows, weights = (graph.tensors[i] for i in operator.inputs[:2])
    n_weights = math.prod(weights.shape)
    if operator.name == "FULLY_CONNECTED":
        return n_weights * (math.prod(rows.shape) // max(1, weights.shape[-1]))
    n_channels = weights.shape[-1] if operator.name == "DEPTHWISE_CONV_2D" else weights.shape[0]
    return math.prod(graph.tensors[operator.outputs[0]].shape) * n_weights // max(1, n_channels)


def _elementwise(graph: Graph, operator: Operator) -> int:
    """Return how many values an operator other than a matrix product writes, copies and slices included."""
    values = sum(math.prod(graph.tensors[index].shape) for index in operator.outputs)
    return 0 if operator.name in MATRIX_PRODUCTS else values


@dataclass(frozen=True)
class Lifetime:
    """How long a computed tensor is needed: from the operator that makes it to the last one that reads it."""

    size_bytes: int
    first: int
    last: int  # inclusive


def packed_bytes(lifetimes: Iterable[Lifetime]) -> int:
    """Return the arena size under greedy packing: the largest tensor first, each at the lowest free address.

    References
    ----------
    Pisarchyk and Lee (2020), Efficient memory management for deep neural net inference, arXiv:2001.03288, "greedy by
    size", which both TFLite runtimes use. Their scratch tensors and internal structures come on top.
    """
    placed: list[tuple[int, int, Lifetime]] = []  # start, stop, tensor
    for tensor in sorted(lifetimes, key=lambda tensor: (-tensor.size_bytes, tensor.first)):
        size = -(-tensor.size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        start = 0
        for other_start, other_stop, other in sorted(placed, key=lambda entry: entry[0]):
            if other.last < tensor.first or tensor.last < other.first:
                continue  # their lifetimes do not overlap
            if start + size <= other_start:
                break
            start = max(start, other_stop)
        placed.append((start, start + size, tensor))
    return max((stop for _, stop, _ in placed), default=0)


def _lifetimes(graph: Graph) -> list[Lifetime]:
    """Return the lifetimes of all computed tensors; inputs and outputs live throughout, as in TFLite."""
    n_operators = len(graph.operators)
    first = {t: k for k, operator in reversed(list(enumerate(graph.operators))) for t in operator.outputs}
    last = {t: k for k, operator in enumerate(graph.operators) for t in operator.inputs}
    ends = {*graph.inputs, *graph.outputs}
    return [
        Lifetime(tensor.size_bytes, 0, n_operators)
        if index in ends
        else Lifetime(tensor.size_bytes, first.get(index, 0), last.get(index, first.get(index, 0)))
        for index, tensor in enumerate(graph.tensors)
        if not tensor.constant_bytes and (index in ends or index in first)
    ]

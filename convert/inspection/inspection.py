"""How much memory a graph's tensors need when those that never live at the same time share it.

`edgequake inspect`: what is in a graph, what it costs, and which runtime it needs. No TensorFlow is loaded.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgequake.convert.inspection.operators import OperatorUse, oldest_runtime, unsupported
from edgequake.convert.inspection.tflite_reader import Graph, Operator, read_graph_file
from edgequake.edge.base.errors import ModelError
from edgequake.edge.manifest.manifest import Manifest, load_manifest, read_graph, shipped_models

ALIGNMENT_BYTES = 16  # as in TFLite for microcontrollers; TFLite itself aligns to 64


@dataclass(frozen=True)
class Lifetime:
    """A tensor that is not stored in the file: from the operator that makes it to the last one that reads it."""

    size_bytes: int
    first: int
    last: int  # inclusive


def packed_bytes(lifetimes: Iterable[Lifetime]) -> int:
    """Return the size of an arena packed greedily: the largest tensor first, each at the lowest place that is free.

    References
    ----------
    Pisarchyk and Lee (2020), Efficient memory management for deep neural net inference, arXiv:2001.03288, "greedy by
    size": what both TFLite runtimes do. Their scratch tensors and their own structures come on top.
    """
    placed: list[tuple[int, int, Lifetime]] = []  # start, stop, tensor
    for tensor in sorted(lifetimes, key=lambda tensor: (-tensor.size_bytes, tensor.first)):
        size = -(-tensor.size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        start = 0
        for other_start, other_stop, other in sorted(placed, key=lambda place: place[0]):
            if other.last < tensor.first or tensor.last < other.first:
                continue  # never at the same time
            if start + size <= other_start:
                break
            start = max(start, other_stop)
        placed.append((start, start + size, tensor))
    return max((stop for _, stop, _ in placed), default=0)


MATRIX_PRODUCTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
NEXT = "_next"  # what convert calls a state's output after its input
ARENA_METHOD = "tensors packed greedily by size and lifetime, 16-byte places, without the runtime's own structures"


@dataclass(frozen=True)
class OperatorCount:
    """One operator and version, and how often the graph has it."""

    operator: str
    version: int
    count: int
    note: str  # "" or why tflite-runtime 2.14 does not have it


@dataclass(frozen=True)
class TensorRow:
    """One tensor, as it is listed."""

    index: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    scale: float | None  # of the first channel where there are several
    zero_point: int | None
    n_scales: int
    constant_bytes: int


@dataclass(frozen=True)
class Inspection:
    """What a graph is made of."""

    file: str
    size_bytes: int
    weights_bytes: int  # values stored in the file
    scales_bytes: int  # scales and zero points: 12 bytes a channel
    names_bytes: int
    rest_bytes: int  # the tables of tensors and operators
    operators: tuple[OperatorCount, ...]
    tensors: tuple[TensorRow, ...]
    macs_per_step: int  # multiplications of matrix products and convolutions
    macs_per_s: float | None  # per second of signal; known with a manifest
    elementwise_per_step: int  # values made by all other operators
    states: tuple[str, ...]
    state_bytes: int
    arena_bytes: int
    arena_method: str
    oldest_runtime: str | None  # None: no release of tflite-runtime
    unsupported: tuple[str, ...]  # operators that tflite-runtime 2.14 lacks, Flex and custom ones among them

    def table(self) -> str:
        """Return the inspection as text for people."""
        lines = [
            f"{self.file}: {self.size_bytes} bytes (weights {self.weights_bytes}, scales {self.scales_bytes}, names "
            f"{self.names_bytes}, tables {self.rest_bytes})",
            f"runs in: {self._runs_in()}",
            f"work: {self.macs_per_step} multiply-accumulates a step"
            + ("" if self.macs_per_s is None else f", {self.macs_per_s:.0f} a second of signal")
            + f"; {self.elementwise_per_step} elementwise values a step",
            f"state: {self.state_bytes} bytes in {len(self.states)} tensors ({', '.join(self.states) or 'none'})",
            f"arena: about {self.arena_bytes} bytes ({self.arena_method})",
            "",
            "operator                  version  count",
        ]
        lines += [f"{o.operator:<25} {o.version:>7} {o.count:>6}  {o.note}".rstrip() for o in self.operators]
        lines += ["", "tensor  type     shape             scale        zero  stored  name"]
        lines += [_tensor_line(row) for row in self.tensors]
        return "\n".join(lines)

    def _runs_in(self) -> str:
        if self.oldest_runtime:
            return f"tflite-runtime {self.oldest_runtime} and newer, every ai-edge-litert"
        return "no tflite-runtime; it needs " + ", ".join(self.unsupported)


def inspect_model(model: str, variant: str | None = None) -> Inspection:
    """Inspect a .tflite file, or a graph of a manifest or a shipped model (by default its default variant).

    Raises
    ------
    ModelError, ManifestError
        No such file, or one that is empty, damaged or something else.
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
    """Inspect the bytes of a graph; `where` names it, and a manifest tells how often it is stepped.

    Raises
    ------
    ModelError
        Empty, no TFLite file, or damaged.
    """
    graph = read_graph_file(content, where)
    try:
        return _inspect(graph, where, manifest)
    except (ArithmeticError, LookupError, ValueError) as problem:
        raise ModelError(
            f"{where} is damaged: its tensors and operators do not fit ({problem}); copy it again"
        ) from problem


def _inspect(graph: Graph, where: str, manifest: Manifest | None) -> Inspection:
    uses = operator_uses(graph)
    macs = sum(_macs(graph, operator) for operator in graph.operators)
    names = {graph.tensors[i].name for i in graph.outputs}
    states = [graph.tensors[i] for i in graph.inputs if graph.tensors[i].name + NEXT in names]
    weights = sum({t.buffer: t.constant_bytes for t in graph.tensors}.values())
    scales = sum(12 * len(t.scales) for t in graph.tensors)
    named = sum(len(t.name.encode()) for t in graph.tensors)
    lacking = unsupported(uses)
    return Inspection(
        file=where,
        size_bytes=graph.size_bytes,
        weights_bytes=weights,
        scales_bytes=scales,
        names_bytes=named,
        rest_bytes=graph.size_bytes - weights - scales - named,
        operators=_counted(graph),
        tensors=_rows(graph),
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
    """Return how often the graph is stepped per second of signal: windows that overlap step rows several times."""
    network, front_end = manifest.network, manifest.front_end
    rows_per_s = manifest.sampling_rate_hz * front_end.rows_per_block / front_end.hop_samples
    times = (network.window_rows or 1) / (network.window_hop_rows or 1) if network.mode == "windowed" else 1.0
    return rows_per_s / network.rows_per_step * times


def operator_uses(graph: Graph) -> list[OperatorUse]:
    """Return what each operator asks of a runtime."""
    uses = []
    for operator in graph.operators:
        tensors = [graph.tensors[i] for i in (*operator.inputs, *operator.outputs) if i >= 0]
        weights = graph.tensors[operator.inputs[1]] if len(operator.inputs) > 1 and operator.inputs[1] >= 0 else None
        per_channel = weights is not None and len(weights.scales) > 1
        dtypes = frozenset(tensor.dtype for tensor in tensors)
        uses.append(OperatorUse(operator.name, operator.version, dtypes, per_channel, operator.is_custom))
    return uses


def _counted(graph: Graph) -> tuple[OperatorCount, ...]:
    counts = Counter((o.name, o.version, o.is_custom) for o in graph.operators)
    return tuple(
        OperatorCount(name, version, count, "".join(unsupported([OperatorUse(name, version, is_custom=is_custom)])))
        for (name, version, is_custom), count in sorted(counts.items())
    )


def _rows(graph: Graph) -> tuple[TensorRow, ...]:
    return tuple(
        TensorRow(
            index=index,
            name=tensor.name,
            dtype=tensor.dtype,
            shape=tensor.shape,
            scale=tensor.scales[0] if tensor.scales else None,
            zero_point=tensor.zero_points[0] if tensor.zero_points else None,
            n_scales=len(tensor.scales),
            constant_bytes=tensor.constant_bytes,
        )
        for index, tensor in enumerate(graph.tensors)
    )


def _macs(graph: Graph, operator: Operator) -> int:
    """Return the multiply-accumulates of a matrix product; elementwise operators count as none."""
    if operator.name not in MATRIX_PRODUCTS or len(operator.inputs) < 2:
        return 0
    rows, weights = (graph.tensors[i] for i in operator.inputs[:2])
    made, n_weights = _n_values(graph.tensors[operator.outputs[0]].shape), _n_values(weights.shape)
    if operator.name == "FULLY_CONNECTED":
        return n_weights * (_n_values(rows.shape) // max(1, weights.shape[-1]))
    outputs = weights.shape[-1] if operator.name == "DEPTHWISE_CONV_2D" else weights.shape[0]
    return made * n_weights // max(1, outputs)


def _elementwise(graph: Graph, operator: Operator) -> int:
    """Return how many values an operator makes that is no matrix product; sliced or moved about, too."""
    values = sum(_n_values(graph.tensors[index].shape) for index in operator.outputs)
    return 0 if operator.name in MATRIX_PRODUCTS else values


def _n_values(shape: tuple[int, ...]) -> int:
    return math.prod(shape)


def _lifetimes(graph: Graph) -> list[Lifetime]:
    """Return the lifetimes of all tensors that are computed; inputs and outputs live throughout, as in TFLite."""
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


def _tensor_line(row: TensorRow) -> str:
    scale = "" if row.scale is None else f"{row.scale:.6g}" + (f" x{row.n_scales}" if row.n_scales > 1 else "")
    zero = "" if row.zero_point is None else str(row.zero_point)
    shape = "x".join(map(str, row.shape)) or "scalar"
    return f"{row.index:>6}  {row.dtype:<8} {shape:<14} {scale:>16} {zero:>5} {row.constant_bytes or '':>7}  {row.name}"

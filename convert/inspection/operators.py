"""Which TFLite runtime first had which version of an operator.

The tables list the versions that tflite-runtime 2.14 has: it is the last release of that runtime and the only one with
wheels for 32-bit ARM. It refuses a graph with "Didn't find op for builtin opcode" where a version is missing.

References
----------
TensorFlow Lite, `lite/tools/versioning/runtime_version.cc`, as of release 2.13: which release introduced a version.
Each listed version was tried in tflite-runtime 2.14.0; versions that the file does not name are listed as 2.14.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgequake.convert.inspection.tflite_reader import Graph
from edgequake.edge.base.errors import ModelError

# operator -> runtime that introduced version 1, 2, 3, ...
RUNTIMES: dict[str, tuple[str, ...]] = {
    "ABS": ("1.13.0", "2.4.0", "2.5.0", "2.6.0", "2.12.0"),
    "ADD": ("1.5.0", "1.14.0", "2.4.0", "2.6.0", "2.14.0"),
    "AVERAGE_POOL_2D": ("1.5.0", "1.14.0", "2.3.0"),
    "BATCH_MATMUL": ("2.3.0", "2.3.0", "2.4.0", "2.5.0"),
    "BATCH_TO_SPACE_ND": ("1.6.0", "1.14.0", "2.3.0", "2.14.0"),
    "CAST": ("1.5.0", "2.7.0", "2.8.0", "2.9.0", "2.12.0"),
    "CONCATENATION": ("1.5.0", "1.14.0", "2.3.0", "2.14.0"),
    "CONV_2D": ("1.5.0", "1.14.0", "1.14.0", "2.3.0", "2.4.0", "2.9.0", "2.11.0"),
    "DEPTHWISE_CONV_2D": ("1.5.0", "1.12.0", "1.14.0", "2.2.0", "2.3.0", "2.3.0", "2.11.0"),
    "DEQUANTIZE": ("1.13.1", "1.14.0", "1.15.0", "2.2.0", "2.7.0"),
    "DIV": ("1.6.0", "2.3.0"),
    "ELU": ("1.14.0",),
    "EXP": ("1.7.0",),
    "EXPAND_DIMS": ("1.10.0",),
    "FULLY_CONNECTED": ("1.5.0", "1.10.0", "1.14.0", "1.14.0", "2.0.0", "2.1.0", "2.3.0", "2.3.0", "2.3.0", "2.11.0"),
    "GELU": ("2.9.0", "2.9.0"),
    "HARD_SWISH": ("1.15.0",),
    "LEAKY_RELU": ("1.13.1", "2.3.0"),
    "LOG": ("1.14.0",),
    "LOGISTIC": ("1.14.0", "1.14.0", "2.3.0"),
    "MAXIMUM": ("1.14.0", "1.14.0", "2.3.0", "2.3.0"),
    "MAX_POOL_2D": ("1.5.0", "1.14.0", "2.3.0"),
    "MEAN": ("1.6.0", "1.14.0", "2.4.0"),
    "MINIMUM": ("1.14.0", "1.14.0", "2.3.0", "2.3.0"),
    "MUL": ("1.5.0", "1.14.0", "1.15.0", "2.3.0", "2.6.0", "2.11.0", "2.14.0"),
    "NEG": ("1.9.0",),
    "PACK": ("1.11.0", "1.14.0", "2.3.0", "2.14.0"),
    "PAD": ("1.5.0", "1.14.0", "2.4.0", "2.6.0"),
    "PRELU": ("1.8.0",),
    "QUANTIZE": ("1.14.0", "1.15.0", "2.7.0"),
    "REDUCE_MAX": ("1.11.0", "1.14.0", "2.5.0"),
    "RELU": ("1.5.0", "2.1.0", "2.5.0"),
    "RELU6": ("1.5.0", "1.14.0", "2.5.0"),
    "RESHAPE": ("1.5.0",),
    "RSQRT": ("1.10.0", "2.5.0"),
    "SLICE": ("1.14.0", "1.14.0", "1.14.0", "2.4.0", "2.5.0"),
    "SOFTMAX": ("1.5.0", "1.14.0", "2.3.0"),
    "SPACE_TO_BATCH_ND": ("1.6.0", "1.14.0", "2.3.0", "2.14.0"),
    "SPLIT": ("1.5.0", "1.14.0", "1.14.0", "2.3.0"),
    "SPLIT_V": ("1.13.1", "2.3.0"),
    "SQRT": ("1.10.0",),
    "SQUARED_DIFFERENCE": ("1.13.1", "2.5.0"),
    "SQUEEZE": ("1.6.0", "2.5.0"),
    "STRIDED_SLICE": ("1.6.0", "1.14.0", "2.1.0", "2.2.0", "2.5.0", "2.6.0", "2.14.0", "2.14.0"),
    "SUB": ("1.6.0", "1.14.0", "2.3.0", "2.4.0", "2.4.0"),
    "SUM": ("1.10.0", "1.15.0"),
    "TANH": ("1.14.0", "1.14.0", "2.3.0"),
    "TRANSPOSE": ("1.6.0", "1.14.0", "1.15.0", "2.3.0", "2.4.0", "2.12.0"),
}

# Operators that `convert` does not make but other graphs contain, for `inspect`; from the same source.
OTHER_RUNTIMES: dict[str, tuple[str, ...]] = {
    "BIDIRECTIONAL_SEQUENCE_LSTM": ("1.14.0", "1.14.0", "1.14.0"),
    "CALL_ONCE": ("2.5.0",),
    "FILL": ("1.13.0", "2.3.0", "2.5.0", "2.12.0"),
    "GATHER": ("1.6.0", "1.14.0", "1.15.0", "2.4.0", "2.5.0"),
    "IF": ("1.15.0",),
    "LESS": ("1.14.0", "1.14.0"),
    "LOGICAL_AND": ("1.11.0",),
    "LSTM": ("1.7.0", "1.10.0", "1.14.0", "2.3.0"),
    "PADV2": ("1.9.0", "1.14.0", "2.4.0", "2.6.0"),
    "POW": ("1.10.0",),
    "RANGE": ("1.13.0",),
    "READ_VARIABLE": ("2.6.0",),
    "RNN": ("1.5.0", "1.14.0", "2.3.0"),
    "SHAPE": ("1.10.0",),
    "SVDF": ("1.5.0", "1.14.0", "2.2.0", "2.3.0"),
    "TILE": ("1.10.1", "2.2.0", "2.8.0", "2.12.0"),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": ("1.13.1", "1.14.0", "2.3.0", "2.12.0"),
    "UNIDIRECTIONAL_SEQUENCE_RNN": ("1.14.0", "1.14.0", "2.3.0"),
    "UNPACK": ("1.11.0", "1.14.0", "2.2.0", "2.3.0"),
    "VAR_HANDLE": ("2.6.0",),
    "WHILE": ("1.15.0",),
}
ALL_RUNTIMES = {**OTHER_RUNTIMES, **RUNTIMES}
# TensorFlow's converter writes the version of the 8-bit kernel for 16-bit tensors too. An older runtime loads such a
# graph and then fails. These versions introduced 16-bit tensors (`lite/tools/versioning/op_version.cc`).
INT16_KERNELS = {  # version -> operators
    2: "LEAKY_RELU QUANTIZE",
    3: (
        "ABS ADD AVERAGE_POOL_2D BATCH_TO_SPACE_ND CONCATENATION DEQUANTIZE LOGISTIC MAX_POOL_2D MEAN PACK PAD "
        "REDUCE_MAX RELU RSQRT SOFTMAX SPACE_TO_BATCH_ND TANH"
    ),
    4: "CONV_2D MAXIMUM MINIMUM MUL SPLIT TRANSPOSE",
    5: "DEPTHWISE_CONV_2D SUB",
    6: "STRIDED_SLICE",
    7: "FULLY_CONNECTED",
}
INT16_VERSIONS = {name: version for version, names in INT16_KERNELS.items() for name in names.split()}
# Operators whose 8-bit results depend on the runtime: 1 in 300 values of eight or more channels differs by 1 between
# tflite-runtime 2.14.0 and ai-edge-litert 2.3.0 on x86_64, with kernels without delegates (graphs of this one operator,
# random weights and rows). CONV_2D, FULLY_CONNECTED, AVERAGE_POOL_2D and MEAN, tried in the same way, agree exactly.
RUNTIME_DEPENDENT = frozenset({"DEPTHWISE_CONV_2D"})
# 8-bit dense weights with one scale per output have no version of their own: they run in 2.14.0, older ones were not
# tried.
PER_CHANNEL_DENSE = "2.14.0"


@dataclass(frozen=True)
class OperatorUse:
    """The requirements of one operator of a graph on a runtime."""

    name: str
    version: int
    dtypes: frozenset[str] = frozenset()  # of its tensors
    per_channel: bool = False  # its weights have more than one scale
    is_custom: bool = False

    @property
    def needed_version(self) -> int:
        """Return the version that introduced a kernel for its tensors."""
        return max(self.version, INT16_VERSIONS.get(self.name, 1) if "int16" in self.dtypes else 1)

    @property
    def is_per_channel_dense(self) -> bool:
        """Return whether it is a full-integer matrix product with one scale per output."""
        return self.name == "FULLY_CONNECTED" and self.per_channel and "float32" not in self.dtypes


def operator_uses(graph: Graph) -> list[OperatorUse]:
    """Return the requirements of each operator of a graph on a runtime."""
    uses = []
    for operator in graph.operators:
        dtypes = frozenset(graph.tensors[i].dtype for i in (*operator.inputs, *operator.outputs) if i >= 0)
        per_channel = any(len(graph.tensors[i].scales) > 1 for i in operator.inputs[1:2] if i >= 0)
        uses.append(OperatorUse(operator.name, operator.version, dtypes, per_channel, operator.is_custom))
    return uses


def unsupported(uses: Iterable[OperatorUse], tables: dict[str, tuple[str, ...]] = ALL_RUNTIMES) -> list[str]:
    """Return the operators that tflite-runtime 2.14 lacks, in words, including Flex and custom operators."""
    found = []
    for use in uses:
        if use.is_custom:
            kind = "TensorFlow's Flex operator" if use.name.startswith("Flex") else "custom operator"
            found.append(f"{kind} {use.name}")
        elif not 1 <= use.needed_version <= len(tables.get(use.name, ())):
            found.append(f"{use.name} version {use.needed_version}")
    return list(dict.fromkeys(found))


def oldest_runtime(uses: Sequence[OperatorUse]) -> str:
    """Return the oldest runtime that runs a graph with nothing `unsupported`, for example "2.3.0"."""
    releases = [ALL_RUNTIMES[use.name][use.needed_version - 1] for use in uses]
    releases += [PER_CHANNEL_DENSE for use in uses if use.is_per_channel_dense]
    return max(releases, key=lambda release: tuple(map(int, release.split("."))), default="1.5.0")


def minimum_runtime(uses: Sequence[OperatorUse], where: str) -> str:
    """Return the oldest runtime that runs a converted graph; `where` names the graph in messages.

    Raises
    ------
    ModelError
        The graph has an operator, or a version of one, that tflite-runtime 2.14 lacks or that `convert` never makes.
    """
    if lacking := unsupported(uses, RUNTIMES):
        raise ModelError(
            f"{where} needs {', '.join(lacking)}, which is not among the operators of tflite-runtime 2.14 that convert "
            "knows; convert another variant or replace the layer that makes it"
        )
    return oldest_runtime(uses)

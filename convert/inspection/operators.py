"""Which TFLite runtime first had which version of an operator.

Only versions that tflite-runtime 2.14 has are listed: it is the last release of that runtime and the only one with
wheels for 32-bit ARM, and it refuses a graph with "Didn't find op for builtin opcode" where a version is missing.

References
----------
TensorFlow Lite, `lite/tools/versioning/runtime_version.cc`, as of release 2.13: which release brought a version. That
tflite-runtime 2.14.0 has each listed version was tried; versions that it does not name are listed as 2.14.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgequake.edge.base.errors import ModelError

# operator -> runtime that first had version 1, 2, 3, ...
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


# Operators that convert does not make and other graphs have, for `inspect`; by the same source.
OTHER_RUNTIMES: dict[str, tuple[str, ...]] = {
    "BIDIRECTIONAL_SEQUENCE_LSTM": ("1.14.0", "1.14.0", "1.14.0"),
    "CALL_ONCE": ("2.5.0",),
    "FILL": ("1.13.0", "2.3.0", "2.5.0", "2.12.0"),
    "GATHER": ("1.6.0", "1.14.0", "1.15.0", "2.4.0", "2.5.0"),
    "IF": ("1.15.0",),
    "LESS": ("1.14.0", "1.14.0"),
    "LOGICAL_AND": ("1.11.0",),
    "LOG": ("1.14.0",),
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
# The converter writes the version of the 8-bit kernel for 16-bit tensors too. An older runtime takes the graph and does
# not know what to do with it: these are the versions that 16-bit tensors came with (`op_version.cc`).
INT16_VERSIONS = {
    "ABS": 3,
    "ADD": 3,
    "AVERAGE_POOL_2D": 3,
    "BATCH_TO_SPACE_ND": 3,
    "CONCATENATION": 3,
    "CONV_2D": 4,
    "DEPTHWISE_CONV_2D": 5,
    "DEQUANTIZE": 3,
    "FULLY_CONNECTED": 7,
    "LEAKY_RELU": 2,
    "LOGISTIC": 3,
    "MAXIMUM": 4,
    "MAX_POOL_2D": 3,
    "MEAN": 3,
    "MINIMUM": 4,
    "MUL": 4,
    "PACK": 3,
    "PAD": 3,
    "QUANTIZE": 2,
    "REDUCE_MAX": 3,
    "RELU": 3,
    "RSQRT": 3,
    "SOFTMAX": 3,
    "SPACE_TO_BATCH_ND": 3,
    "SPLIT": 4,
    "STRIDED_SLICE": 6,
    "SUB": 5,
    "TANH": 3,
    "TRANSPOSE": 4,
}
# 8-bit results that the kernels without delegates round apart: 1 in 300 values of eight or more channels differs by 1
# between tflite-runtime 2.14.0 and ai-edge-litert 2.3.0 on x86_64 (graphs of this one operator, random weights and
# rows). CONV_2D, FULLY_CONNECTED, AVERAGE_POOL_2D and MEAN, tried in the same way, give the same bits.
ROUNDED_APART = frozenset({"DEPTHWISE_CONV_2D"})
# 8-bit dense weights with a scale for every output have no version of their own: 2.14.0 was tried, older ones were not.
PER_CHANNEL_DENSE = "2.14.0"


@dataclass(frozen=True)
class OperatorUse:
    """What one operator of a graph asks of a runtime."""

    name: str
    version: int
    dtypes: frozenset[str] = frozenset()  # of its tensors
    per_channel: bool = False  # its weights have more than one scale
    is_custom: bool = False

    @property
    def needed_version(self) -> int:
        """Return the version with which a kernel for its tensors came."""
        return max(self.version, INT16_VERSIONS.get(self.name, 1) if "int16" in self.dtypes else 1)

    @property
    def is_per_channel_dense(self) -> bool:
        """Return whether it is a full-integer product with a scale for every output."""
        return self.name == "FULLY_CONNECTED" and self.per_channel and "float32" not in self.dtypes


def unsupported(uses: Iterable[OperatorUse]) -> list[str]:
    """Return what tflite-runtime 2.14 has no operator for, in words; Flex and custom operators among it."""
    tables = {**OTHER_RUNTIMES, **RUNTIMES}
    found = []
    for use in uses:
        if use.is_custom:
            kind = "TensorFlow's Flex operator" if use.name.startswith("Flex") else "custom operator"
            found.append(f"{kind} {use.name}")
        elif not 1 <= use.needed_version <= len(tables.get(use.name, ())):
            found.append(f"{use.name} version {use.needed_version}")
    return list(dict.fromkeys(found))


def oldest_runtime(uses: Sequence[OperatorUse]) -> str:
    """Return the oldest runtime that runs a graph of which nothing is `unsupported`."""
    tables = {**OTHER_RUNTIMES, **RUNTIMES}
    releases = [tables[use.name][use.needed_version - 1] for use in uses]
    return _newest([*releases, *(PER_CHANNEL_DENSE for use in uses if use.is_per_channel_dense)])


def minimum_runtime(operators: Iterable[tuple[str, int]], where: str) -> str:
    """Return the oldest runtime that has every (operator, version), for example "2.3.0".

    Raises
    ------
    ModelError
        An operator, or a version of one, that tflite-runtime 2.14 does not have or that is not in the table.
    """
    releases = []
    for name, version in operators:
        known = RUNTIMES.get(name, ())
        if not 1 <= version <= len(known):
            raise ModelError(
                f"{where} needs operator {name} version {version}: expected one that tflite-runtime 2.14 has "
                f"({f'versions 1 to {len(known)}' if known else 'this operator is not in the table'}); "
                "convert another variant or replace the layer that makes it"
            )
        releases.append(known[version - 1])
    return _newest(releases)


def _newest(releases: Iterable[str]) -> str:
    return max(releases, key=lambda release: tuple(int(part) for part in release.split(".")), default="1.5.0")

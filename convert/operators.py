"""Which TFLite runtime first had which version of an operator.

Only versions that tflite-runtime 2.14 has are listed: it is the last release of that runtime and the only one with
wheels for 32-bit ARM, and it refuses a graph with "Didn't find op for builtin opcode" where a version is missing.

References
----------
TensorFlow Lite, `lite/tools/versioning/runtime_version.cc`, as of release 2.11: which release brought a version. That
tflite-runtime 2.14.0 has each listed version was tried; versions that came between 2.11 and 2.14 are listed as 2.14.0.
"""

from __future__ import annotations

from collections.abc import Iterable

from edgequake.edge.errors import ModelError

# operator -> runtime that first had version 1, 2, 3, ...
RUNTIMES: dict[str, tuple[str, ...]] = {
    "ADD": ("1.5.0", "1.14.0", "2.4.0", "2.6.0", "2.14.0"),
    "BATCH_TO_SPACE_ND": ("1.6.0", "1.14.0", "2.3.0", "2.14.0"),
    "CONCATENATION": ("1.5.0", "1.14.0", "2.3.0", "2.14.0"),
    "CONV_2D": ("1.5.0", "1.14.0", "1.14.0", "2.3.0", "2.4.0", "2.9.0", "2.14.0"),
    "DEQUANTIZE": ("1.13.1", "1.14.0", "1.15.0", "2.2.0", "2.7.0"),
    "EXPAND_DIMS": ("1.10.0",),
    "FULLY_CONNECTED": ("1.5.0", "1.10.0", "1.14.0", "1.14.0", "2.0.0", "2.1.0", "2.3.0", "2.3.0", "2.3.0", "2.14.0"),
    "LOGISTIC": ("1.14.0", "1.14.0", "2.3.0"),
    "MAXIMUM": ("1.14.0", "1.14.0", "2.3.0", "2.3.0"),
    "MAX_POOL_2D": ("1.5.0", "1.14.0", "2.3.0"),
    "MUL": ("1.5.0", "1.14.0", "1.15.0", "2.3.0", "2.6.0", "2.14.0", "2.14.0"),
    "PACK": ("1.11.0", "1.14.0", "2.3.0", "2.14.0"),
    "QUANTIZE": ("1.14.0", "1.15.0", "2.7.0"),
    "RELU": ("1.5.0", "2.1.0", "2.5.0"),
    "RESHAPE": ("1.5.0",),
    "SOFTMAX": ("1.5.0", "1.14.0", "2.3.0"),
    "SPACE_TO_BATCH_ND": ("1.6.0", "1.14.0", "2.3.0", "2.14.0"),
    "SPLIT": ("1.5.0", "1.14.0", "1.14.0", "2.3.0"),
    "SQUEEZE": ("1.6.0", "2.5.0"),
    "STRIDED_SLICE": ("1.6.0", "1.14.0", "2.1.0", "2.2.0", "2.5.0", "2.6.0", "2.14.0", "2.14.0"),
    "SUB": ("1.6.0", "1.14.0", "2.3.0", "2.4.0", "2.4.0"),
    "TANH": ("1.14.0", "1.14.0", "2.3.0"),
    "TRANSPOSE": ("1.6.0", "1.14.0", "1.15.0", "2.3.0", "2.4.0", "2.14.0"),
}


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
    return max(releases, key=lambda release: tuple(int(part) for part in release.split(".")))

"""The self-test of a graph: its operators, and whether it still makes of its golden vector what it made when converted.

It is a program of its own, so that a hostile graph can kill or hang this process and no other
(`operation/model_check.py` starts it and watches it)::

    python -m edgequake.edge.detection.self_test MANIFEST VARIANT MEMORY_BYTES CPU_S required|optional

The golden vector may be missing where it is optional; then the outputs must be finite.
It prints a JSON object: `manifest` and `graph`, the SHA-256 of the files that were tested; `problem`, null or one line;
`kind`, the name of the error.

The golden vector, NAME.VARIANT.golden.json, holds 64 rows (rounded up to whole steps), the outputs of the graph for
each step from zero state, and its states after the last one, in the graph's own integers where it has such.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np

from edgequake.edge.base.errors import EdgequakeError, ManifestError, ModelError
from edgequake.edge.detection.network import Float32, StepNetwork
from edgequake.edge.manifest.manifest import (
    Manifest,
    Variant,
    load_manifest,
    parse_manifest,
    read_graph,
    shipped_models,
)

FORMAT = "edgequake-golden"
FORMAT_VERSION = 1
MOST_GOLDEN_BYTES = 4 << 20
REQUIRED, OPTIONAL = "required", "optional"
# What `convert` makes, and nothing else: no loops, no calls, no resources, no custom code.
OPERATORS = frozenset(
    "ABS ADD AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND CAST CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEQUANTIZE "
    "DIV ELU EXP EXPAND_DIMS FULLY_CONNECTED GELU HARD_SWISH LEAKY_RELU LOGISTIC MAXIMUM MAX_POOL_2D MEAN MINIMUM MUL "
    "NEG PACK PAD PRELU QUANTIZE REDUCE_MAX RELU RELU6 RESHAPE RSQRT SLICE SOFTMAX SPACE_TO_BATCH_ND SPLIT SPLIT_V "
    "SQRT SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM TANH TRANSPOSE".split()
)
# Integer graphs give the same bits in every runtime on one kind of machine (x86-64 and ARM round some ties differently,
# docs/raspberry-pi.md), except with this operator (`convert/inspection/operators.py`).
_RUNTIME_DEPENDENT = "DEPTHWISE_CONV_2D"
# Largest difference from the golden vector. Float kernels differ in the order of additions (1e-6 measured between the
# runtimes); graphs that quantize as they run, the operator above, and other machines, in steps of 1/256 that add up.
_FLOAT_TOLERANCE, _STEP_TOLERANCE = 1e-3, 0.03


def golden_vector(manifest: Manifest, variant: Variant, graph: bytes, rows: Float32) -> bytes:
    """Return the file of a golden vector.

    Parameters
    ----------
    rows : float32, shape (n_rows, n_features), a whole number of steps.

    Raises
    ------
    ModelError
        The graph cannot be loaded.
    """
    network = StepNetwork(manifest, graph, variant)
    outputs = network.run(_steps(manifest, rows))
    fields = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "graph_sha256": hashlib.sha256(graph).hexdigest(),
        "machine": platform.machine(),
        "rows": rows.tolist(),
        "outputs": outputs.tolist(),
        "states": [values.ravel().tolist() for values in network.state()],
    }
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def read_golden(manifest: Manifest, folder: Path, variant: Variant) -> bytes:
    """Return the file of a variant's golden vector, checked against the manifest's SHA-256.

    Raises
    ------
    ManifestError
        The manifest names none, or the file is missing, too large or another one.
    """
    golden = variant.golden
    if golden is None:
        raise ManifestError(
            f"model '{manifest.name}' has no golden vector, against which its graph could be tested; convert it again "
            f"with this release"
        )
    path = folder / golden.file
    try:
        with path.open("rb") as file:
            data = file.read(MOST_GOLDEN_BYTES + 1)
    except OSError as problem:
        raise ManifestError(f"golden vector {path} named by the manifest cannot be read: {problem}") from problem
    if len(data) > MOST_GOLDEN_BYTES or hashlib.sha256(data).hexdigest() != golden.sha256:
        raise ManifestError(f"golden vector {path} is damaged or another file: its sha256 differs; copy it again")
    return data


def self_test(manifest: Manifest, variant: Variant, graph: bytes, golden: bytes | None) -> None:
    """Run a graph on its golden vector; without one, on rows of zeros, whose outputs must be finite.

    A hostile graph may crash or hang the process.

    Raises
    ------
    ModelError
        The graph has another operator than those in `OPERATORS`, cannot be loaded, or computes something else.
    ManifestError
        The golden vector is not in its format.
    """
    network = StepNetwork(manifest, graph, variant, is_allowed=require_operators)
    if golden is None:
        n_rows = 64 * manifest.network.rows_per_step
        rows = np.zeros((n_rows, manifest.network.n_features), np.float32)
        if not np.isfinite(network.run(_steps(manifest, rows))).all():
            raise ModelError(f"model '{manifest.name}': outputs are not finite; convert it again")
        return
    rows, outputs, states, machine = _parsed(manifest, golden)
    tolerance = _tolerance(network, machine)
    parts = [("outputs", network.run(_steps(manifest, rows)).ravel(), outputs.ravel())]
    parts += [("states", found.ravel(), wanted) for found, wanted in zip(network.state(), states, strict=False)]
    if len(states) != len(network.state()):
        raise ManifestError(
            f"model '{manifest.name}': its golden vector has another number of states; convert it again"
        )
    for what, found, wanted in parts:
        _compare(manifest, what, found, wanted, tolerance if what == "outputs" else _state_tolerance(found, tolerance))


def require_operators(names: list[str]) -> None:
    """Refuse a graph with an operator that the runner does not allow.

    Raises
    ------
    ModelError
        There is such an operator.
    """
    others = sorted(set(names) - OPERATORS)
    if others:
        raise ModelError(f"the graph has operators that the runner does not allow: {', '.join(others)[:200]}")


def _steps(manifest: Manifest, rows: Float32) -> Float32:
    return rows.reshape(-1, manifest.network.rows_per_step, manifest.network.n_features)


def _parsed(manifest: Manifest, golden: bytes) -> tuple[Float32, Float32, list[np.ndarray[Any, Any]], str]:
    """Return rows, outputs and states of a golden vector, and the kind of machine that computed them."""
    network = manifest.network
    try:
        fields = json.loads(golden)
        if (fields["format"], fields["format_version"]) != (FORMAT, FORMAT_VERSION):
            raise ValueError(f"format {fields['format']!r} {fields['format_version']!r}")
        rows = np.asarray(fields["rows"], np.float32)
        outputs = np.asarray(fields["outputs"], np.float32)
        states = [np.asarray(values, np.float64).ravel() for values in fields["states"]]
        n_steps = len(rows) // network.rows_per_step
        if not n_steps or rows.shape != (n_steps * network.rows_per_step, network.n_features):
            raise ValueError(f"rows of shape {rows.shape}")
        if outputs.shape != (n_steps, len(network.outputs)):
            raise ValueError(f"outputs of shape {outputs.shape}")
    except (ValueError, TypeError, KeyError, RecursionError) as problem:
        raise ManifestError(
            f"the golden vector of model '{manifest.name}' is not in the form that convert writes: {problem}"
        ) from problem
    return rows, outputs, states, str(fields.get("machine"))


def _tolerance(network: StepNetwork, machine: str) -> float:
    """Return the largest difference of an output: 0 for integer graphs on the same kind of machine."""
    if _RUNTIME_DEPENDENT in network.operators or network.is_dynamic:
        return _STEP_TOLERANCE
    if not network.is_integer:
        return _FLOAT_TOLERANCE
    return 0.0 if machine == platform.machine() else _STEP_TOLERANCE


def _state_tolerance(found: np.ndarray[Any, Any], tolerance: float) -> float:
    """Return the largest difference of a state, whose values are integers where the tensor's are."""
    if found.dtype.kind == "f":
        return 10 * tolerance  # a cell's state is of the order of 10
    return tolerance * float(np.iinfo(found.dtype).max)


def _compare(manifest: Manifest, what: str, found: Any, wanted: Any, tolerance: float) -> None:
    if found.shape != wanted.shape:
        raise ManifestError(
            f"model '{manifest.name}': {what} of the golden vector have another shape; convert it again"
        )
    difference = np.abs(found.astype(np.float64) - wanted.astype(np.float64))
    if not (difference <= tolerance).all():  # NaN is not
        raise ModelError(
            f"model '{manifest.name}': its graph does not compute what it computed when it was converted: {what} of "
            f"the golden vector differ by up to {np.max(difference):.3g}; one of the two is another model's"
        )


def _limit(memory_bytes: int, cpu_s: int) -> None:
    """Have the system end this process where it takes too much (POSIX); it writes no file."""
    if os.name != "posix":
        return
    import resource

    for what, limit in (
        (resource.RLIMIT_DATA, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))  # the first ends it by a signal that tells why


def _close_doors() -> None:
    """Let this process open nothing any more, no file and no socket (POSIX): a graph that takes it over is alone.

    A shipped graph is loaded before: as it loads its first one, the runtime asks the system for the processor's kind,
    and would compute other bits without the answer.
    """
    if os.name != "posix":
        return
    import resource

    trusted, folder = load_manifest(next(iter(shipped_models())))
    variant, graph = read_graph(trusted, folder, trusted.default_variant)
    StepNetwork(trusted, graph, variant)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def main(argv: list[str]) -> int:
    """Test the graph of a manifest and print what was found; return the exit code, 0 where it passed."""
    path, name, memory_bytes, cpu_s, is_required = Path(argv[0]), argv[1], int(argv[2]), int(argv[3]), argv[4]
    _limit(memory_bytes, cpu_s)
    result: dict[str, Any] = {"manifest": None, "graph": None, "problem": None, "kind": None}
    try:
        data = path.read_bytes()
        manifest = parse_manifest(data.decode(), str(path))
        variant, graph = read_graph(manifest, path.parent, name)
        result |= {"manifest": hashlib.sha256(data).hexdigest(), "graph": variant.sha256}
        is_there = variant.golden is not None and (path.parent / variant.golden.file).exists()
        golden = read_golden(manifest, path.parent, variant) if is_there or is_required == REQUIRED else None
        _close_doors()
        self_test(manifest, variant, graph, golden)
    except EdgequakeError as problem:
        result |= {"problem": " ".join(str(problem).split()), "kind": type(problem).__name__}
    except (Exception, MemoryError) as problem:  # of whatever kind: the graph is not fit to be run
        text = " ".join(f"{type(problem).__name__}: {problem}".split())[:300]
        result |= {"problem": f"the graph cannot be run: {text}", "kind": "ModelError"}
    print(json.dumps(result), flush=True)
    return 0 if result["problem"] is None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

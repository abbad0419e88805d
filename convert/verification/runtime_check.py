"""Invoke each finished graph once in tflite-runtime 2.14, in a process of its own, where an abort ends only that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from edgequake.edge.base.errors import ModelError

LANDERS = "EDGEQUAKE_LANDER_PYTHONS"  # NAME=INTERPRETER, joined by ';'; `make test` builds some and sets it
TIME_LIMIT_S = 60.0
# It imports nothing of this package, which the other interpreter may not have. Zeros in, every output read.
_SCRIPT = """
import json, sys
from importlib.metadata import version
import numpy as np
from tflite_runtime.interpreter import Interpreter
for path in sys.argv[1:]:
    print(path, file=sys.stderr, flush=True)
    interpreter = Interpreter(path)
    interpreter.allocate_tensors()
    for entry in interpreter.get_input_details():
        interpreter.set_tensor(entry["index"], np.zeros(entry["shape"], entry["dtype"]))
    interpreter.invoke()
    assert all(np.isfinite(interpreter.get_tensor(entry["index"])).all() for entry in interpreter.get_output_details())
print(json.dumps("tflite-runtime " + version("tflite-runtime")))
"""


def runtime_python() -> str | None:
    """Return an interpreter that has tflite-runtime: this one, or one that EDGEQUAKE_LANDER_PYTHONS names."""
    if find_spec("tflite_runtime"):
        return sys.executable
    listed = dict(item.partition("=")[::2] for item in os.environ.get(LANDERS, "").split(";"))
    named = listed.get("tflite-runtime", "")
    return named if named and Path(named).is_file() else None


def invoke(graphs: Iterable[Path], left_out: dict[Path, str] | None = None) -> str | None:
    """Invoke every graph once and return the runtime's name and version; None where tflite-runtime is not installed.

    Parameters
    ----------
    left_out : gets graph -> reason for those that the runtime does not run; None: they are errors.

    Raises
    ------
    ModelError
        The runtime refuses a graph, or crashes on it.
    """
    python, paths = runtime_python(), list(graphs)
    while python is not None and paths:
        found, refused, reason = _invoke(python, [str(path) for path in paths])
        if found is not None:
            return found
        if left_out is None or refused is None:
            raise ModelError(reason)
        left_out[Path(refused)] = reason
        paths.remove(Path(refused))
    return None


def _invoke(python: str, paths: list[str]) -> tuple[str | None, str | None, str]:
    """Return the runtime's name and version; or None, the first graph that it does not run, and the reason."""
    try:
        done = subprocess.run(
            [python, "-c", _SCRIPT, *paths], capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return None, None, f"tflite-runtime did not invoke the graphs in {TIME_LIMIT_S:.0f} s; try again"
    if done.returncode == 0:
        return str(json.loads(done.stdout)), None, ""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    graph = next((line for line in reversed(lines) if line in paths), None)
    ending = f"signal {-done.returncode}" if done.returncode < 0 else lines[-1] if lines else "no message"
    reason = (
        f"tflite-runtime in {python} cannot run {Path(graph).name if graph else 'the graphs'}: {ending[:300]}; convert "
        "another variant, or report this network as a defect of the converter"
    )
    return None, graph, reason

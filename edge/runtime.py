"""The TFLite interpreter: tflite-runtime where it is installed, ai-edge-litert otherwise."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from edgequake.edge.errors import ModelError

# tflite-runtime comes first: it is the older and the smaller one, and the one with wheels for armv7.
_RUNTIMES = (("tflite-runtime", "tflite_runtime.interpreter"), ("ai-edge-litert", "ai_edge_litert.interpreter"))


def load_interpreter(graph: bytes, n_threads: int = 1) -> tuple[Any, str]:
    """Return an interpreter with its tensors allocated, and the runtime's name and version.

    The kernels are those without delegates: with them int8 graphs give the same bits in both runtimes. More than one
    thread is for benchmarks: handing these small products to another thread costs more than it saves.

    Raises
    ------
    ModelError
        No runtime is installed, the one that is cannot run here, or the graph cannot be loaded.
    """
    module, name = import_runtime()
    try:
        interpreter = module.Interpreter(
            model_content=graph,
            num_threads=n_threads,
            experimental_op_resolver_type=module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
    except SystemError as problem:  # tflite-runtime 2.14 under numpy 2
        raise ModelError(f"{name} does not work with this numpy; install 'numpy<2' or ai-edge-litert") from problem
    except (ValueError, RuntimeError) as problem:
        reason = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
        raise ModelError(f"{name} cannot load the graph: {reason}; convert the model again") from problem
    return interpreter, name


def import_runtime() -> tuple[Any, str]:
    """Return the runtime's interpreter module, and its name and version.

    A process that also uses TensorFlow must call this before it imports TensorFlow: tflite-runtime loaded second fails
    with "vector::reserve".

    Raises
    ------
    ModelError
        No runtime is installed.
    """
    for package, module in _RUNTIMES:
        try:
            return importlib.import_module(module), f"{package} {_version(package, module)}"
        except ImportError:
            continue
    raise ModelError("no TFLite runtime is installed; install 'edgequake[edge]' (tflite-runtime or ai-edge-litert)")


def _version(package: str, module: str) -> str:
    """Return a runtime's version as it tells it itself; looking it up in the environment takes a tenth of the start."""
    told = getattr(sys.modules[module.partition(".")[0]], "__version__", None)
    if isinstance(told, str):
        return told
    from importlib import metadata

    return metadata.version(package)

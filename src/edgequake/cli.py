"""The command `edgequake`: runs the typer application, and reports an error as one line and an exit code.

Exit codes: 0 success, 1 an expected error (one line on stderr, no traceback), 2 usage, 3 a figure worse than allowed,
130 interrupted, 141 nobody reads the output any more (silent). `main` imports typer, so that an environment without it
gets an error message and no traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from edgequake.edge.base.control import PIPE_CLOSED, flush_output
from edgequake.edge.base.errors import EdgequakeError, GateError, unforeseen
from edgequake.edge.base.inert_text import one_line

GATE_FAILED = 3
INTERRUPTED = 130
PROGRAM = (sys.executable, "-m", "edgequake.cli")  # how a command starts another one in a process

# The extra of the package that installs an import; `desktop` for all others.
EXTRAS = {
    "typer": "cli",
    "rich": "cli",
    "matplotlib": "cli",
    "jinja2": "cli",
    "tflite": "cli",
    "dask": "scan",
    "distributed": "scan",
    "pyarrow": "scan",
    "fsspec": "scan",
    "starlette": "serve",
    "uvicorn": "serve",
    "tflite_runtime": "edge",
    "ai_edge_litert": "edge",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    output = sys.stdout
    try:
        from edgequake.commands.app import app

        app(args=None if argv is None else list(argv), prog_name="edgequake", obj=PROGRAM)
    except SystemExit as stop:  # typer always ends in this way
        code = stop.code if isinstance(stop.code, int) else 0
        is_gone = sys.stdout is not output  # replaced by typer once nobody reads it, whose code is 1
        return code if flush_output() and not is_gone else PIPE_CLOSED
    except BrokenPipeError:
        flush_output()
        return PIPE_CLOSED
    except KeyboardInterrupt:
        return INTERRUPTED
    except GateError as problem:
        return _fail(str(problem), GATE_FAILED)
    except EdgequakeError as problem:
        return _fail(str(problem))
    except ModuleNotFoundError as problem:
        return _fail(_missing_package(problem))
    except OSError as problem:
        return _fail(f"{problem.filename or 'input or output'}: {problem.strerror or problem}")
    except Exception as problem:
        return _fail(unforeseen(problem))
    return 0


def _fail(message: str, code: int = 1) -> int:
    print(one_line(f"edgequake: error: {' '.join(message.split())}"), file=sys.stderr)
    return code


def _missing_package(problem: ModuleNotFoundError) -> str:
    """Return which extra to install; a missing module of this package is a defect and is raised again."""
    package = (problem.name or "").partition(".")[0]
    if package in ("", "edgequake"):
        raise problem
    extra = EXTRAS.get(package, "desktop")
    return f"this command needs the Python package '{package}': pip install 'edgequake[{extra}]'"


if __name__ == "__main__":
    sys.exit(main())

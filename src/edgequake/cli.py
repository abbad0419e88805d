"""The command `edgequake`: runs the typer application and turns what goes wrong into one line and an exit code.

Exit codes: 0 done, 1 an error of ours (one line on stderr, no traceback), 2 usage, 3 a gate failed, 130 interrupted.
Typer itself is imported inside `main`, so that an environment without it gets a sentence and no traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from edgequake.edge.base.errors import EdgequakeError, GateError

GATE_FAILED = 3
INTERRUPTED = 130

# Which extra of the package brings which import.
EXTRAS = {
    "typer": "cli",
    "rich": "cli",
    "matplotlib": "cli",
    "jinja2": "cli",
    "tflite": "cli",
    "tflite_runtime": "edge",
    "ai_edge_litert": "edge",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    try:
        from edgequake.commands.app import app

        app(args=None if argv is None else list(argv), prog_name="edgequake")
    except SystemExit as stop:  # how typer leaves, whether all went well or not
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except GateError as problem:
        _refuse(str(problem))
        return GATE_FAILED
    except EdgequakeError as problem:
        return _refuse(str(problem))
    except ModuleNotFoundError as problem:
        return _refuse(_missing_package(problem))
    except OSError as problem:
        return _refuse(f"{problem.filename or 'input or output'}: {problem.strerror or problem}")
    return 0


def _refuse(message: str) -> int:
    print("edgequake: error: " + " ".join(message.split()), file=sys.stderr)
    return 1


def _missing_package(problem: ModuleNotFoundError) -> str:
    """Say which extra to install; an import of our own that fails is a defect and is raised again."""
    package = (problem.name or "").partition(".")[0]
    if package in ("", "edgequake"):
        raise problem
    extra = EXTRAS.get(package, "desktop")
    return f"this command needs the Python package '{package}': pip install 'edgequake[{extra}]'"


if __name__ == "__main__":
    sys.exit(main())

"""The errors that users see. A message says what is wrong, what was expected, what was found and what to do."""

from __future__ import annotations

import os


class EdgequakeError(Exception):
    """Base class: a command prints the message as one line on stderr and exits with code 1."""


class DataError(EdgequakeError):
    """Input records, labels or output files that cannot be read, used or written."""


class ManifestError(EdgequakeError):
    """A manifest that is missing, malformed, of another version, or does not fit its graph."""


class ModelError(EdgequakeError):
    """A graph that cannot be loaded, converted or invoked."""


class ConfigError(EdgequakeError):
    """Options, or a recipe, that contradict each other or name something unknown."""


class GateError(EdgequakeError):
    """A figure worse than its stated limit; the command exits with code 3."""


class Stopped(EdgequakeError):
    """A run that was stopped before the end of its input; it can be resumed from its checkpoint."""


def unforeseen(problem: Exception) -> str:
    """Return the message for an exception that is none of these: a defect; raise it if a developer wants to see it.

    With EDGEQUAKE_TRACEBACK=1 in the environment, the exception is raised again, with its traceback.
    """
    if os.environ.get("EDGEQUAKE_TRACEBACK") == "1":
        raise problem
    return f"{type(problem).__name__}: {problem} (a defect of edgequake; EDGEQUAKE_TRACEBACK=1 shows where)"

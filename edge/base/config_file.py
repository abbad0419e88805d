"""A file of options: TOML, or JSON on a device whose Python (3.10) has no reader of TOML."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgequake.edge.base.atomic_files import read_whole
from edgequake.edge.base.errors import ConfigError

_MOST_BYTES = 1 << 20


def read_config(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """Return the options in a file by name; a file that begins with a brace is JSON, any other TOML.

    Raises
    ------
    ConfigError
        It cannot be read, or has an option that is not among `names`.
    """
    try:
        text = read_whole(path, _MOST_BYTES).decode()
        found = json.loads(text) if text.lstrip().startswith("{") else _toml(text)
    except OSError as problem:
        raise ConfigError(f"--config {path} cannot be read: {problem.strerror or problem}") from problem
    except ValueError as problem:  # of either reader
        raise ConfigError(f"--config {path} is neither TOML nor JSON: {problem}") from problem
    for name in found:
        if name not in names:
            raise ConfigError(f"--config {path} has an unknown option '{name}'; {_nearest(name, names)}")
    return dict(found)


def _toml(text: str) -> dict[str, Any]:
    try:
        import tomllib  # type: ignore[import-not-found,unused-ignore]  # from Python 3.11 on
    except ModuleNotFoundError as problem:
        raise ConfigError("reading TOML needs Python 3.11 or newer; write the options as JSON") from problem
    found: dict[str, Any] = tomllib.loads(text)
    return found


def _nearest(name: str, names: Sequence[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name.replace("_", "-").lstrip("-"), names, n=1, cutoff=0.5)
    if near:
        return f"did you mean '{near[0]}'?"
    return "the options are those of run --help, without dashes"

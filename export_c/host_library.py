"""A model in C as a shared library for this machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from edgequake.edge.base.errors import ConfigError, ModelError

# What the results depend on: no fused multiply-add, no reordering.
FLAGS = ("-std=c99", "-O3", "-ffp-contract=off", "-fno-fast-math")
BOARD_FLAGS = "-std=c99 -Os -ffp-contract=off"  # where flash counts; docs/c99.md says what -O2 costs and brings
_COMPILERS = ("cc", "gcc", "clang")


def find_compiler() -> str:
    """Return the path of a C compiler.

    Raises
    ------
    ConfigError
        There is none.
    """
    for name in _COMPILERS:
        path = shutil.which(name)
        if path is not None:
            return path
    raise ConfigError("no C compiler was found (cc, gcc or clang); install one, for example with: apt-get install gcc")


def build_library(folder: Path, prefix: str, compiler: str | None = None) -> Path:
    """Compile the files of a host export in `folder`; return the library.

    Raises
    ------
    ConfigError
        There is no C compiler.
    ModelError
        The compiler failed.
    """
    library = folder / f"lib{prefix}.so"
    command = [compiler or find_compiler(), *FLAGS, "-fPIC", "-shared", f"{prefix}_host.c", "-o", library.name]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise ModelError(f"{command[0]} cannot compile the detector: {lines[0]}")
    return library

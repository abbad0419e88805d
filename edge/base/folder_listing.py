"""The files of a folder and its subfolders, as runs and scans read them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

LABEL_TABLES = frozenset({"records.csv", "catalog.csv"})  # of a labelled folder: no records


def files_in(
    folder: Path, out: Path | None, unreadable: Callable[[OSError], None] = lambda problem: None
) -> list[Path]:
    """Return the files of a folder and its subfolders by name, without hidden ones, label tables and those below `out`.

    Links to folders are followed, each folder once: large archives lie on several disks.

    unreadable : called with the reason for each folder that cannot be listed, and each file that cannot be reached.
    """
    found: list[Path] = []
    seen: set[str] = set()
    mine = None if out is None else os.path.realpath(out)
    for top, names, files in os.walk(folder, onerror=unreadable, followlinks=True):
        here = os.path.realpath(top)
        if here in seen or (mine is not None and Path(here).is_relative_to(mine)):
            names.clear()
            continue
        seen.add(here)
        names[:] = sorted(name for name in names if not name.startswith("."))
        for path in (Path(top, name) for name in files if not name.startswith(".") and name not in LABEL_TABLES):
            try:
                if path.is_file():
                    found.append(path)
            except OSError as problem:
                unreadable(problem)
    return sorted(found)

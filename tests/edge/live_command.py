"""The command line of a live run in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path


def live_command(out: Path, *options: str) -> list[str]:
    """Return the command that reads records from its standard input and writes to a run folder."""
    return [sys.executable, "-m", "edgequake.edge", "run", "-", "--out", str(out), *options]

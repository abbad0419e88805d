"""Print the files of `edge` that a sample passes from its miniSEED record to its row of the catalogue.

    python tests/project/trace_sample.py RECORD OUT

Runs the shipped lunar model over a record that holds a quake, and lists each file in which a function is called, in the
order in which they are first entered.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any


def trace(record: Path, out: Path) -> list[str]:
    """Run over a record and return the files entered, relative to the package `edge`."""
    import edgequake.edge
    from edgequake.edge.__main__ import main

    top = Path(edgequake.edge.__file__).parent
    entered: dict[str, None] = {}

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_name not in ("<module>", "__getattr__"):
            path = Path(frame.f_code.co_filename)
            if path.is_relative_to(top):
                entered[path.relative_to(top).as_posix()] = None

    sys.setprofile(note)
    try:
        code = main(["run", str(record), "--out", str(out)])
    finally:
        sys.setprofile(None)
    if code != 0:
        raise SystemExit(code)
    return list(entered)


if __name__ == "__main__":
    print(*trace(Path(sys.argv[1]), Path(sys.argv[2])), sep="\n")

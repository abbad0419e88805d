"""Print the files of `edge` that a sample passes through, from its miniSEED record to a row of the catalogue.

    python tests/project/trace_sample.py RECORD OUT

Runs the shipped lunar model on a record that contains a moonquake. Prints the files whose functions are called before
the first sample is read, an empty line, and then the files whose functions are called from there until the row is
written, each in the order in which they are first entered.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any

FIRST_READ = ("formats/miniseed.py", "trace")
ROW_WRITTEN = ("results/catalog_files.py", "_append_rows")


class Tracer:
    """A profile function that notes which files of a folder are entered."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.before: dict[str, None] = {}
        self.sample: dict[str, None] = {}
        self._has_ended = False

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """Note a call."""
        path = Path(frame.f_code.co_filename)
        if event != "call" or self._has_ended or not path.is_relative_to(self._folder):
            return
        name, function = path.relative_to(self._folder).as_posix(), frame.f_code.co_name
        if function in ("<module>", "__getattr__"):
            return
        if (name, function) == FIRST_READ and not self.sample:
            self.sample.update(dict.fromkeys(reversed(self._callers(frame))))
        (self.sample if self.sample else self.before)[name] = None
        self._has_ended = (name, function) == ROW_WRITTEN

    def _callers(self, frame: FrameType) -> list[str]:
        """Return the files of the functions that are being called, from the innermost outwards."""
        names = []
        caller: FrameType | None = frame
        while caller is not None:
            path = Path(caller.f_code.co_filename)
            if path.is_relative_to(self._folder):
                names.append(path.relative_to(self._folder).as_posix())
            caller = caller.f_back
        return names


def trace(record: Path, out: Path) -> Tracer:
    """Run on a record and return the tracer."""
    import edgequake.edge
    from edgequake.edge.__main__ import main

    tracer = Tracer(Path(edgequake.edge.__file__).parent)
    sys.setprofile(tracer)
    try:
        code = main(["run", str(record), "--out", str(out)])
    finally:
        sys.setprofile(None)
    if code != 0:
        raise SystemExit(code)
    return tracer


if __name__ == "__main__":
    traced = trace(Path(sys.argv[1]), Path(sys.argv[2]))
    print("\n".join((*traced.before, "", *traced.sample)))

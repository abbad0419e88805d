"""The program that `edgequake serve` becomes: `python -m edgequake.serve.web.process FD`, a `Launch` in that pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from edgequake.edge.base.errors import EdgequakeError
from edgequake.edge.base.inert_text import one_line
from edgequake.serve.web.launch import Launch
from edgequake.serve.web.server import serve

INTERRUPTED = 130


def main(arguments: Sequence[str]) -> int:
    """Serve until interrupted; return the exit code."""
    with os.fdopen(int(arguments[0]), encoding="utf-8") as pipe:
        launch = Launch.from_json(pipe.read())
    try:
        serve(launch, _say)
    except KeyboardInterrupt:
        return INTERRUPTED
    except EdgequakeError as problem:
        _say(f"error: {problem}")
        return 1
    return 0


def _say(line: str) -> None:
    print(f"edgequake: {one_line(line)}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

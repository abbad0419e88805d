"""`edgequake-edge`, of which one process hangs: python hanging_runner.py HOW MARKER ARGUMENT...

HOW: "graph", the third call of the network never returns and holds Python's lock, as a runtime that hangs may;
"stopped", the process is stopped there, as one that waits for a device; "crash", it is killed there. The first process
that gets there makes the file MARKER and hangs; those that find the file go on. A supervisor pauses for PAUSE_S only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Any

from edgequake.edge.__main__ import main
from edgequake.edge.detection.network import StepNetwork
from edgequake.edge.operation import watchdog

PAUSE_S = 0.1  # before the first restart
_N_CALLS = 3


def hang(how: str) -> None:
    """Hang this process, without ever coming back."""
    if how == "graph":
        ctypes.PyDLL(None).pause()
    os.kill(os.getpid(), signal.SIGSTOP if how == "stopped" else signal.SIGKILL)


def make_hang(how: str, marker: Path) -> None:
    """Have the network hang in the first process that comes so far."""
    run, calls = StepNetwork.run, []

    def run_or_hang(network: StepNetwork, rows: Any) -> Any:
        calls.append(len(rows))
        if len(calls) == _N_CALLS and not marker.exists():
            marker.touch()
            hang(how)
        return run(network, rows)

    StepNetwork.run = run_or_hang  # type: ignore[method-assign]


if __name__ == "__main__":
    make_hang(sys.argv[1], Path(sys.argv[2]))
    watchdog._FIRST_PAUSE_S = PAUSE_S
    sys.exit(main(sys.argv[3:]))

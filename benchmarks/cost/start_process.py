"""Start as the device's process does and stop after the first samples; print when what was done, as JSON.

    python -m edgequake.benchmarks.cost.start_process run RECORD --out DIR ...

Times are of the system's monotonic clock, so whoever took it before starting this process knows how long all took.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from edgequake.edge import __main__ as device
from edgequake.edge.detection.detector import Detector
from edgequake.edge.operation.model import LoadedModel


def main() -> int:
    """Run the device's command line; the process leaves at the first samples that a detector has taken."""
    stamps = {"imported": time.monotonic()}
    load, push_all = LoadedModel.load, Detector.push_all

    def load_and_stamp(*arguments: Any) -> LoadedModel:
        model = load(*arguments)
        stamps["loaded"] = time.monotonic()
        return model

    def push_and_leave(self: Detector, traces: Any) -> Any:
        push_all(self, traces)
        stamps["processed"] = time.monotonic()
        print(json.dumps(stamps), flush=True)
        os._exit(0)

    LoadedModel.load = load_and_stamp  # type: ignore[method-assign, assignment]
    Detector.push_all = push_and_leave  # type: ignore[method-assign]
    device.main(sys.argv[1:])
    print("no sample was processed", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())

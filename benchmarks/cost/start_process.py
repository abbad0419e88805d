"""Start as the device's process does and stop after the first samples; print the time of each step as JSON.

    python -m edgequake.benchmarks.cost.start_process run RECORD --out DIR ...

Times are of the system's monotonic clock, so that a parent that read it before the start can subtract that reading.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from edgequake.edge import __main__ as device
from edgequake.edge.detection.detector import Detector
from edgequake.edge.operation.run_models import LoadedModel


def main() -> int:
    """Run the device's command line; the process exits once a detector has processed the first samples."""
    stamps = {"imported": time.monotonic()}
    load, push = LoadedModel.load, Detector.push

    def load_and_stamp(*arguments: Any) -> LoadedModel:
        model = load(*arguments)
        stamps["loaded"] = time.monotonic()
        return model

    def push_and_leave(self: Detector, *traces: Any) -> Any:
        push(self, *traces)
        stamps["processed"] = time.monotonic()
        print(json.dumps(stamps), flush=True)
        os._exit(0)

    LoadedModel.load = load_and_stamp  # type: ignore[method-assign, assignment]
    Detector.push = push_and_leave  # type: ignore[method-assign]
    device.main(sys.argv[1:])
    print("no sample was processed", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())

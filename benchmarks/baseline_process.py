"""Detect with a baseline on a record, as a process: `python -m edgequake.benchmarks.baseline_process FOLDER BODY NAME`.

Prints, as JSON, how long the detections took one by one: the first one imports obspy as well. Asked for none, it
detects once and prints what the modules it needed are installed from.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from edgequake.benchmarks.entrants import enter_baselines
from edgequake.benchmarks.kernel import kernel_s
from edgequake.benchmarks.signal_days import SPLIT
from edgequake.dataset import load

CLOCK = "clock"  # looks at no sample: it costs nothing


def main() -> int:
    """Run the baseline of the arguments over the first record of a folder, as often as they say; print JSON."""
    folder, body, name, n_times = sys.argv[1:5]
    if int(n_times) > 0:
        print(json.dumps(measure(Path(folder), body, name, int(n_times))))
        return 0
    before = set(sys.modules) - {"numpy"}
    measure(Path(folder), body, name, 1)
    from edgequake.benchmarks.footprint_process import installed_bytes

    imported = installed_bytes(module for name, module in list(sys.modules.items()) if name not in before)["imported"]
    print(json.dumps({"imported_bytes": {name: size for name, size in imported.items() if name != "edgequake"}}))
    return 0


def measure(folder: Path, body: str, name: str, n_times: int) -> dict[str, Any]:
    """Return the wall time of each detection in s, and how many onsets were found."""
    (detector,) = (entrant.detector for entrant in enter_baselines(body, curves=False) if entrant.name == name)
    record = load(folder, body, SPLIT)[0]
    kernel_us = kernel_s() * 1e6
    detect_s, n_onsets = [], 0
    for _ in range(n_times):
        begun = time.perf_counter()
        n_onsets = len(detector(record, record.start_ns).onsets_ns)
        detect_s.append(time.perf_counter() - begun)
    return {"detect_s": detect_s, "kernel_us": kernel_us, "n_onsets": n_onsets, "settings": repr(detector)}


def baseline_names(body: str) -> list[str]:
    """Return the baselines of a body that look at samples."""
    return [entrant.name for entrant in enter_baselines(body, curves=False) if entrant.name != CLOCK]


if __name__ == "__main__":
    sys.exit(main())

"""Run a baseline over a record and print JSON: `python -m edgequake.benchmarks.cost.baseline_process FOLDER BODY NAME`.

Prints how long the detection took, without the imports of obspy; with `installed` after the name, the sizes of the
distributions that it imports from.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from edgequake.benchmarks.cost.kernel import kernel_s
from edgequake.benchmarks.cost.workload import SPLIT
from edgequake.benchmarks.detectors.detectors import baseline_detectors
from edgequake.data.dataset import load

# Modules that a detection imports when it runs.
IMPORTED_LATE = ("obspy", "obspy.io.mseed.core", "obspy.signal.filter", "obspy.signal.trigger", "scipy.signal")
CLOCK = "clock"  # reads no sample: it costs nothing


def main() -> int:
    """Run the baseline of the arguments over the first record of a folder; print JSON."""
    before = set(sys.modules) - {"numpy"}
    folder, body, name, *installed = sys.argv[1:]
    found = measure(Path(folder), body, name)
    if installed:
        found = {"imported_bytes": _imported_bytes(before)}
    print(json.dumps(found))
    return 0


def measure(folder: Path, body: str, name: str) -> dict[str, Any]:
    """Return the wall time of a detection in s, and the number of onsets."""
    for module in IMPORTED_LATE:
        importlib.import_module(module)
    (detector,) = (one.detector for one in baseline_detectors(body, curves=False) if one.name == name)
    record = load(folder, body, SPLIT)[0]
    kernel_us = kernel_s() * 1e6
    begun = time.perf_counter()
    detections = detector(record, record.start_ns)
    return {
        "detect_s": time.perf_counter() - begun,
        "kernel_us": kernel_us,
        "n_onsets": len(detections.onsets_ns),
        "settings": repr(detector),
    }


def _imported_bytes(before: set[str]) -> dict[str, int]:
    """Return the sizes of the distributions imported since, without edgequake itself."""
    from edgequake.benchmarks.cost.footprint_process import installed_bytes

    modules = [module for name, module in list(sys.modules.items()) if name not in before]
    return {name: size for name, size in installed_bytes(modules)["imported"].items() if name != "edgequake"}


def baseline_names(body: str) -> list[str]:
    """Return the baselines of a body that read samples."""
    return [one.name for one in baseline_detectors(body, curves=False) if one.name != CLOCK]


if __name__ == "__main__":
    sys.exit(main())

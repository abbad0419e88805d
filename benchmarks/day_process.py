"""Run a detector over a day and print where the time went: `python -m edgequake.benchmarks.day_process MODEL ...`.

The run is that of the device, `edgequake.edge.runner.run`, with a stopwatch around its parts.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from edgequake.benchmarks.kernel import kernel_s
from edgequake.benchmarks.stopwatch import Stopwatch
from edgequake.edge import feed, ledger, loaded_model, onset, run_folder, runner, segments
from edgequake.edge.detector import Detector
from edgequake.edge.inputs import RunConfig
from edgequake.edge.network import StepNetwork
from edgequake.edge.station import StationFrontEnd

LOADING, READING, FRONT_END, GRAPH, TRIGGER, ONSET, WRITING, REST = PARTS = (
    "loading", "reading", "front_end", "graph", "trigger", "onset", "writing", "rest",
)  # fmt: skip


def main() -> int:
    """Run the model and variant over the file of the arguments, up to a time where one is given; print JSON."""
    model, variant, record, *stop = sys.argv[1:]
    print(json.dumps(measure(model, variant, record, int(stop[0]) if stop else None)))
    return 0


def measure(model: str, variant: str, record: str, stop_ns: int | None) -> dict[str, Any]:
    """Return the seconds that each part of the run took, and what came of it."""
    kernels = [kernel_s()]
    with tempfile.TemporaryDirectory(prefix="edgequake-bench-") as folder:
        config = RunConfig((record,), Path(folder) / "out", model, variant, stop_ns=stop_ns)
        watch = Stopwatch(REST)
        _wrap(watch)
        summary = runner.run(config)
        parts = watch.stop()
        kept_bytes = sum(path.stat().st_size for path in (config.out / run_folder.SEGMENTS).iterdir())
    kernels.append(kernel_s())
    return {
        "runtime": summary.runtime,
        "kernel_us": statistics.median(kernels) * 1e6,
        "parts_s": {name: parts.get(name, 0.0) for name in PARTS},
        "n_events": len(summary.events),
        "kept_bytes": kept_bytes,
    }


def _wrap(watch: Stopwatch) -> None:
    """Name the parts; the innermost one that is running is charged."""
    watch.watch(loaded_model.LoadedModel, "_load", LOADING)
    watch.watch(runner, "open_feed", READING)
    watch.watch_iterator(feed.FileFeed, "batches", READING)
    for method in ("push_all", "finish"):
        watch.watch(StationFrontEnd, method, FRONT_END)
        watch.watch(Detector, method, TRIGGER)  # what is left of it: decisions, trigger, classes
    for method in ("run", "reset", "reset_recurrent"):
        watch.watch(StepNetwork, method, GRAPH)
    watch.watch(onset, "refine_onset", ONSET)
    for method in ("add_piece", "add_event", "flush"):
        watch.watch(segments.SegmentKeeper, method, WRITING)
    for method in ("prepare", "resume", "keep_checkpoint", "write_catalog", "close"):
        watch.watch(run_folder.RunFolder, method, WRITING)
    watch.watch(ledger.Ledger, "settle", WRITING)


if __name__ == "__main__":
    sys.exit(main())

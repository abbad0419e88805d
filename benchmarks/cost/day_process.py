"""Where the time of a run goes: a stopwatch that methods are wrapped in, each moment counted for one part only.

Run a detector over a day and print where the time went: `python -m edgequake.benchmarks.cost.day_process MODEL ...`.

The run is that of the device, `edgequake.edge.runner.run`, with a stopwatch around its parts.
"""

from __future__ import annotations

import functools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgequake.benchmarks.cost.kernel import kernel_s
from edgequake.edge import runner
from edgequake.edge.detection import onset
from edgequake.edge.detection.detector import Detector
from edgequake.edge.detection.network import StepNetwork
from edgequake.edge.features.front_end import StationFrontEnd
from edgequake.edge.inputs import source
from edgequake.edge.operation import model, run_folder
from edgequake.edge.operation.config import RunConfig
from edgequake.edge.results import catalog, segments


class Stopwatch:
    """Wall time by part. A part that calls another one is not charged for it."""

    def __init__(self, rest: str, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: dict[str, float] = {rest: 0.0}
        self._running = [rest]
        self._clock = clock
        self._since_s = clock()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time inside for a part."""
        self._switch()
        self._running.append(name)
        try:
            yield
        finally:
            self._switch()
            self._running.pop()

    def stop(self) -> dict[str, float]:
        """Return the time of each part, in seconds."""
        self._switch()
        return dict(self.seconds)

    def watch(self, owner: Any, method: str, part: str) -> None:
        """Count a method of a class, or a function of a module, for a part."""
        original = getattr(owner, method)

        @functools.wraps(original)
        def watched(*arguments: Any, **options: Any) -> Any:
            with self.part(part):
                return original(*arguments, **options)

        setattr(owner, method, watched)

    def watch_iterator(self, owner: Any, method: str, part: str) -> None:
        """Count what a generator method does between two values for a part."""
        original = getattr(owner, method)

        @functools.wraps(original)
        def watched(*arguments: Any, **options: Any) -> Iterator[Any]:
            values = original(*arguments, **options)
            while True:
                with self.part(part):
                    try:
                        value = next(values)
                    except StopIteration:
                        return
                yield value

        setattr(owner, method, watched)

    def _switch(self) -> None:
        now_s = self._clock()
        running = self._running[-1]
        self.seconds[running] = self.seconds.get(running, 0.0) + now_s - self._since_s
        self._since_s = now_s


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
    watch.watch(model.LoadedModel, "_load", LOADING)
    watch.watch(runner, "open_feed", READING)
    watch.watch_iterator(source.FileSource, "batches", READING)
    for method in ("push_all", "finish"):
        watch.watch(StationFrontEnd, method, FRONT_END)
        watch.watch(Detector, method, TRIGGER)  # what is left of it: decisions, trigger, classes
    for method in ("run", "reset", "reset_recurrent"):
        watch.watch(StepNetwork, method, GRAPH)
    watch.watch(onset, "refine_onset", ONSET)
    for method in ("add_piece", "add_event", "flush"):
        watch.watch(segments.SegmentWriter, method, WRITING)
    for method in ("prepare", "resume", "keep_checkpoint", "write_catalog", "close"):
        watch.watch(run_folder.RunFolder, method, WRITING)
    watch.watch(catalog.Ledger, "settle", WRITING)


if __name__ == "__main__":
    sys.exit(main())

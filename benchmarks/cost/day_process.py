"""Run a detector over a day and print where the time went: `python -m edgequake.benchmarks.cost.day_process MODEL ...`.

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
from edgequake.edge.base.layout import SEGMENTS
from edgequake.edge.detection import onset
from edgequake.edge.detection.detector import Detector
from edgequake.edge.detection.network import StepNetwork
from edgequake.edge.features.front_end import StationFrontEnd
from edgequake.edge.inputs.source import FileSource
from edgequake.edge.operation.config import RunConfig, open_source
from edgequake.edge.operation.run_folder import RunFolder
from edgequake.edge.operation.run_models import LoadedModel
from edgequake.edge.results.ledger import Ledger
from edgequake.edge.results.segments import SegmentWriter

LOADING, READING, FRONT_END, GRAPH, TRIGGER, ONSET, WRITING, REST = PARTS = (
    "loading", "reading", "front_end", "graph", "trigger", "onset", "writing", "rest",
)  # fmt: skip


class Stopwatch:
    """Wall time by part. The time of a part excludes that of the parts it calls."""

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

    def watch(self, owner: Any, function: Callable[..., Any], part: str) -> None:
        """Count a method of a class, or a function that a module calls by its own name for it, for a part."""
        name = function.__name__
        original = getattr(owner, name)

        @functools.wraps(original)
        def watched(*arguments: Any, **options: Any) -> Any:
            with self.part(part):
                return original(*arguments, **options)

        setattr(owner, name, watched)

    def watch_iterator(self, owner: Any, function: Callable[..., Iterator[Any]], part: str) -> None:
        """Count for a part what a generator method does between two values."""
        name = function.__name__
        original = getattr(owner, name)

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

        setattr(owner, name, watched)

    def _switch(self) -> None:
        now_s = self._clock()
        running = self._running[-1]
        self.seconds[running] = self.seconds.get(running, 0.0) + now_s - self._since_s
        self._since_s = now_s


def main() -> int:
    """Run the model and variant over the file of the arguments, up to a stop time if one is given; print JSON."""
    model, variant, record, *stop = sys.argv[1:]
    print(json.dumps(measure(model, variant, record, int(stop[0]) if stop else None)))
    return 0


def measure(model: str, variant: str, record: str, stop_ns: int | None) -> dict[str, Any]:
    """Return the seconds of each part of the run, the number of events and the bytes kept."""
    kernels = [kernel_s()]
    with tempfile.TemporaryDirectory(prefix="edgequake-bench-") as folder:
        config = RunConfig((record,), Path(folder) / "out", model, variant, stop_ns=stop_ns)
        stopwatch = Stopwatch(REST)
        _watch_parts(stopwatch)
        summary = runner.run(config)
        parts = stopwatch.stop()
        kept_bytes = sum(path.stat().st_size for path in (config.out / SEGMENTS).iterdir())
    kernels.append(kernel_s())
    return {
        "runtime": summary.runtime,
        "kernel_us": statistics.median(kernels) * 1e6,
        "parts_s": {name: parts.get(name, 0.0) for name in PARTS},
        "n_events": summary.n_events,
        "kept_bytes": kept_bytes,
    }


def _watch_parts(stopwatch: Stopwatch) -> None:
    """Assign the run's functions to parts; time counts for the innermost part that is running."""
    stopwatch.watch(LoadedModel, LoadedModel._load, LOADING)
    stopwatch.watch(runner, open_source, READING)
    stopwatch.watch_iterator(FileSource, FileSource.batches, READING)
    for of_front_end in (StationFrontEnd.push, StationFrontEnd.finish):
        stopwatch.watch(StationFrontEnd, of_front_end, FRONT_END)
    for of_detector in (Detector.push, Detector.finish):
        stopwatch.watch(Detector, of_detector, TRIGGER)  # without the other parts: decisions, trigger, classes
    for of_network in (StepNetwork.run, StepNetwork.reset):
        stopwatch.watch(StepNetwork, of_network, GRAPH)
    stopwatch.watch(onset, onset.refine_onset, ONSET)
    for of_writer in (SegmentWriter.add_trace, SegmentWriter.add_event, SegmentWriter.flush):
        stopwatch.watch(SegmentWriter, of_writer, WRITING)
    of_folder: tuple[Callable[..., Any], ...] = (
        RunFolder.prepare, RunFolder.resume, RunFolder.checkpoint_if_due, RunFolder.write_catalog, RunFolder.close,
    )  # fmt: skip
    for function in of_folder:
        stopwatch.watch(RunFolder, function, WRITING)
    stopwatch.watch(Ledger, Ledger.finalize, WRITING)


if __name__ == "__main__":
    sys.exit(main())

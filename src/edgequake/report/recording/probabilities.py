"""The network's probabilities over time, computed again as the runner computed them.

A run stores its events and their samples, not its probabilities. Here the same detector runs again over the records
that the run names, or, where these are not available, over each kept segment alone.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.edge.detection.detector import Detector
from edgequake.edge.detection.onset import refiner
from edgequake.edge.detection.trigger import Decision, Event, Trigger
from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.inputs.files import InputPlan
from edgequake.edge.manifest.manifest import Manifest, Variant
from edgequake.results.progress import Progress, silent

COMPUTING = "computing the probabilities again"  # reported as progress


@dataclass(frozen=True)
class Model:
    """A network, ready to run."""

    manifest: Manifest
    graph: bytes
    variant: Variant
    variant_name: str


@dataclass(frozen=True)
class ProbabilityTrace:
    """The network's decisions on one stream, in time order; arrays have shape (n_decisions,)."""

    station_id: str
    start_ns: npt.NDArray[np.int64]
    stop_ns: npt.NDArray[np.int64]
    onset: npt.NDArray[np.float64]
    event: npt.NDArray[np.float64]
    onsets_ns: tuple[int, ...]  # of the events that the trigger declared

    def between(self, start_ns: int, stop_ns: int) -> ProbabilityTrace:
        """Return the decisions that overlap [start_ns, stop_ns)."""
        first = int(np.searchsorted(self.stop_ns, start_ns, side="right"))
        stop = int(np.searchsorted(self.start_ns, stop_ns, side="left"))
        cut = slice(first, max(first, stop))
        onsets_ns = tuple(onset for onset in self.onsets_ns if start_ns <= onset < stop_ns)
        return ProbabilityTrace(
            self.station_id, self.start_ns[cut], self.stop_ns[cut], self.onset[cut], self.event[cut], onsets_ns
        )


class RecordingTrigger(Trigger):
    """A trigger that records the decisions it judges."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._start_ns, self._stop_ns = array("q"), array("q")
        self._onset, self._event = array("d"), array("d")

    def push(self, decision: Decision) -> Event | None:
        """Record the next decision and judge it."""
        self._start_ns.append(decision.start_ns)
        self._stop_ns.append(decision.stop_ns)
        self._onset.append(decision.onset)
        self._event.append(decision.event)
        return super().push(decision)

    def trace(self, station_id: str, onsets_ns: Iterable[int]) -> ProbabilityTrace:
        """Return all that was recorded."""
        return ProbabilityTrace(
            station_id,
            np.array(self._start_ns, np.int64),
            np.array(self._stop_ns, np.int64),
            np.array(self._onset, np.float64),
            np.array(self._event, np.float64),
            tuple(sorted(onsets_ns)),
        )


def probabilities(model: Model, threshold: float, station_id: str, traces: Iterable[Trace]) -> ProbabilityTrace:
    """Return a model's probabilities on the traces of one stream, which are in the order of their start times.

    Raises
    ------
    DataError
        As `Detector.push`.
    """
    trigger = RecordingTrigger(model.manifest.trigger, threshold)
    detector = Detector(model.manifest, model.graph, model.variant, threshold, trigger=trigger)
    read: list[Trace] = []
    events: list[Event] = []
    for trace in traces:
        read.append(trace)
        events += detector.push(trace)
    events += detector.finish()
    refine = refiner(model.manifest)
    onsets_ns = [refine(read, event.onset_ns).onset_ns if refine else event.onset_ns for event in events]
    return trigger.trace(station_id, onsets_ns)


def of_plan(
    plan: InputPlan,
    model_of: Callable[[str], tuple[Model, float]],
    on_trace: Callable[[Trace], None],
    progress: Progress = silent,
) -> list[ProbabilityTrace]:
    """Return the probabilities on every stream of a plan; `model_of` returns a station's model and onset threshold.

    Raises
    ------
    DataError
        As `FileStream.traces`.
    """
    n_read = 0

    def watched(traces: Iterator[Trace]) -> Iterator[Trace]:
        nonlocal n_read
        for trace in traces:
            on_trace(trace)
            n_read += len(trace.samples)
            progress(min(1.0, n_read / max(1, plan.n_samples)), COMPUTING)
            yield trace

    return [
        probabilities(*model_of(stream.station_id), stream.station_id, watched(stream.traces(plan.diagnostics)))
        for stream in plan.streams
    ]

"""The model as a detector: the runner's own catalogue and segments are scored."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from edgequake.benchmarks.detectors.replay import DecisionTrace, DecisionTracer, replay
from edgequake.benchmarks.scoring.characteristic_function import CharacteristicFunction
from edgequake.benchmarks.scoring.scoring import Detections
from edgequake.data.tables import LabelledRecord
from edgequake.edge.results.summary import Summary
from edgequake.edge.runner import RunConfig, run


@dataclass(frozen=True)
class ModelDetector:
    """A model, run on a record as on a lander."""

    model: str  # shipped name or path of a manifest
    variant: str | None = None
    sensitivity: str = "normal"
    threshold: float | None = None  # in place of the sensitivity's
    # For figures by windows: the runner does not store the network's output, so the network is run once more.
    characteristic: Callable[[LabelledRecord, int], CharacteristicFunction] | None = field(
        default=None, repr=False, compare=False
    )

    def __call__(self, record: LabelledRecord, start_ns: int) -> Detections:
        """Run the model from `start_ns` on and return its catalogue and segments.

        Raises
        ------
        EdgequakeError
            Whatever the runner raises.
        """
        with tempfile.TemporaryDirectory(prefix="edgequake-bench-") as folder:
            config = RunConfig(
                inputs=(str(record.file),),
                out=Path(folder) / "run",
                model=self.model,
                variant=self.variant,
                sensitivity=self.sensitivity,
                threshold=self.threshold,
                start_ns=start_ns,
                channels=record.channels,
            )
            found = detections_of(run(config))
        if self.characteristic is None:
            return found
        return replace(found, characteristic=self.characteristic(record, start_ns))


@dataclass(frozen=True)
class ReplayedDetector:
    """A model at another threshold: its network runs once for all thresholds, and the trigger is replayed.

    The onsets are those of the runner to the nanosecond, the kept intervals to less than a sample
    (`edgequake.benchmarks.detectors.replay`).
    """

    tracer: DecisionTracer
    trace: Callable[[LabelledRecord, int], DecisionTrace]  # the tracer with a cache
    threshold: float

    def __call__(self, record: LabelledRecord, start_ns: int) -> Detections:
        """Return what the model would find and keep from `start_ns` on.

        Raises
        ------
        EdgequakeError
            Whatever the runner raises.
        """
        return replay(self.trace(record, start_ns), self.tracer.manifest.trigger, self.threshold)


@dataclass(frozen=True)
class ReplayedModel:
    """A model whose network runs once over a record, for its characteristic function and for every threshold."""

    characteristic: Callable[[LabelledRecord, int], CharacteristicFunction]
    sweep: dict[float, ReplayedDetector]
    clear_cache: Callable[[], None]  # the decisions on many records take much memory


def replayed(model: str, variant: str | None, thresholds: tuple[float, ...]) -> ReplayedModel:
    """Return a model's characteristic function, and the model at several thresholds.

    Raises
    ------
    ManifestError
        As `DecisionTracer`.
    """
    tracer = DecisionTracer(model, variant)
    trace = lru_cache(maxsize=None if thresholds else 1)(tracer)
    event_threshold = tracer.manifest.trigger.event_threshold
    return ReplayedModel(
        characteristic=lambda record, start_ns: event_characteristic(trace(record, start_ns), event_threshold),
        sweep={threshold: ReplayedDetector(tracer, trace, threshold) for threshold in thresholds},
        clear_cache=trace.cache_clear,
    )


def event_characteristic(trace: DecisionTrace, threshold: float) -> CharacteristicFunction:
    """Return the probability that an event is in progress, at the start of each decision's time span."""
    runs = [run for stream in trace.streams for run in stream.runs]
    times_ns = [run.start_ns for run in runs] or [np.zeros(0, np.int64)]
    return CharacteristicFunction(
        np.concatenate(times_ns), np.concatenate([run.event for run in runs] or [np.zeros(0)]), threshold
    )


def detections_of(summary: Summary) -> Detections:
    """Return a run's onsets, classes and kept segments; segments of several channels overlap."""
    events = sorted(summary.events, key=lambda event: event.onset_ns)
    return Detections(
        onsets_ns=tuple(event.onset_ns for event in events),
        mq_types=tuple(event.mq_type for event in events),
        kept=tuple((segment.start_ns, segment.stop_ns) for segment in summary.segments),
    )

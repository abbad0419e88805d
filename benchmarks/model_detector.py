"""The model as a detector: what the runner itself writes is what is scored."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from edgequake.benchmarks.replay import Trace, Tracer, replay
from edgequake.benchmarks.scoring import Detections
from edgequake.dataset import Record
from edgequake.edge.runner import RunConfig, run
from edgequake.edge.summary import Summary


@dataclass(frozen=True)
class ModelDetector:
    """A model, run on a record as it would fly."""

    model: str  # shipped name or path of a manifest
    variant: str | None = None
    sensitivity: str = "normal"
    threshold: float | None = None  # instead of the sensitivity's

    def __call__(self, record: Record, start_ns: int) -> Detections:
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
            return detections_of(run(config))


@dataclass(frozen=True)
class ReplayedDetector:
    """A model at another threshold: its network runs once for all of them, and the trigger is replayed.

    The onsets are those of the runner to the nanosecond, the kept intervals to less than a sample
    (`edgequake.benchmarks.replay`).
    """

    tracer: Tracer
    trace: Callable[[Record, int], Trace]  # the tracer, remembering what it has run
    threshold: float

    def __call__(self, record: Record, start_ns: int) -> Detections:
        """Return what the model would find and keep from `start_ns` on.

        Raises
        ------
        EdgequakeError
            Whatever the runner raises.
        """
        return replay(self.trace(record, start_ns), self.tracer.manifest.trigger, self.threshold)


def replayed(model: str, variant: str | None, thresholds: tuple[float, ...]) -> dict[float, ReplayedDetector]:
    """Return a model at several thresholds.

    Raises
    ------
    ManifestError
        As `Tracer`.
    """
    tracer = Tracer(model, variant)
    trace = lru_cache(maxsize=None)(tracer)
    return {threshold: ReplayedDetector(tracer, trace, threshold) for threshold in thresholds}


def detections_of(summary: Summary) -> Detections:
    """Return a run's onsets and kept segments; a segment per channel is one of several that overlap."""
    return Detections(
        onsets_ns=tuple(sorted(event.onset_ns for event in summary.events)),
        kept=tuple((segment.start_ns, segment.stop_ns) for segment in summary.segments),
    )

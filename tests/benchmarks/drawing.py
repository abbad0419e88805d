"""Hand-drawn records: times in seconds after a record's start, a Moon record unless said otherwise."""

from __future__ import annotations

from pathlib import Path

from edgequake.benchmarks.scoring.scoring import Detections
from edgequake.data.tables import Arrival, LabelledRecord
from edgequake.edge.formats.waveforms import NS_PER_S

T0_NS = 100_000 * NS_PER_S


def at(seconds: float) -> int:
    """Return a time after the record's start."""
    return T0_NS + round(seconds * NS_PER_S)


def arrival(seconds: float, precision_s: float = 60.0, primary: bool = True, group: str = "g") -> Arrival:
    """Draw an arrival."""
    return Arrival(at(seconds), precision_s, primary, event="e", event_type="drawn", group=group)


def record(length_s: float, *arrivals: Arrival, body: str = "moon", name: str = "drawn.mseed") -> LabelledRecord:
    """Draw a record that starts at second 0."""
    return LabelledRecord(
        file=Path(name),
        body=body,
        split="val",
        group="g",
        station_id="S12",
        channels=("MHZ",),
        start_ns=T0_NS,
        stop_ns=at(length_s),
        sampling_rate_hz=6.625,
        arrivals=tuple(sorted(arrivals, key=lambda drawn: drawn.time_ns)),
        note="",
    )


def detections(*onsets_s: float, kept: tuple[tuple[float, float], ...] = ()) -> Detections:
    """Draw onsets and kept segments."""
    return Detections(tuple(at(onset) for onset in onsets_s), tuple((at(start), at(stop)) for start, stop in kept))

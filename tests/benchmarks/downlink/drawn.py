"""A mission drawn by hand: two hours of one channel at 1 Hz, from 06:00 of UTC day 1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgequake.benchmarks.downlink.simulation import EventSegmenter, MissionStep, SimulatedMission
from edgequake.data.tables import Arrival, LabelledRecord
from edgequake.edge.detection.trigger import Event
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, parse_time
from edgequake.edge.inputs.source import Batch
from edgequake.edge.operation.run_models import LoadedModel
from edgequake.edge.results.ledger import Ledger

HOUR_NS = 3600 * NS_PER_S
START_NS = parse_time("1970-01-02T06:00:00")  # UTC day 1
ONSET_NS = START_NS + HOUR_NS


def drawn(*arrivals_ns: int, hours: int = 2) -> LabelledRecord:
    """Return a record with these primary arrivals, each of a group of its own."""
    return LabelledRecord(
        file=Path("drawn.mseed"),
        body="moon",
        split="val",
        group="g",
        station_id="LUN",
        channels=("MHZ",),
        start_ns=START_NS,
        stop_ns=START_NS + hours * HOUR_NS,
        sampling_rate_hz=1.0,
        arrivals=tuple(Arrival(ns, 0.0, True, "e", "drawn", f"g{i}") for i, ns in enumerate(arrivals_ns)),
        note="",
    )


def drawn_mission(folder: Path, model: LoadedModel, events: Sequence[Event]) -> SimulatedMission:
    """Return a mission in which the samples of every event are a thousand times as large as the others."""
    samples = np.where(np.arange(7200) % 2, 1.0, -1.0)
    for event in events:
        first, stop = ((ns - START_NS) // NS_PER_S for ns in (event.onset_ns, event.stop_ns))
        samples[first:stop] *= 1000
    traces = [Trace("FDSN:XX_LUN_00_M_H_Z", START_NS + i * NS_PER_S, 1.0, samples[i : i + 3600]) for i in (0, 3600)]
    batch = Batch("0", "XX_LUN", tuple(traces), over=True)
    (folder / "segments").mkdir()
    ledger = Ledger()
    segmenter = EventSegmenter(folder, model.manifest.trigger, list(events), ledger)
    segmenter.push(batch)
    step = MissionStep(batch, tuple(ledger.take_new()))
    segmenter.finish()
    return SimulatedMission(folder, model, START_NS, (step,), tuple(ledger.take_new()))

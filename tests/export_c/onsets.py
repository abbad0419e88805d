"""Events with refined onsets, as an export gives them and as the runner's catalogue has them."""

from __future__ import annotations

from dataclasses import dataclass

from edgequake.edge.detection.c_core import CDetector
from edgequake.edge.detection.c_library import CEvent, CLibrary
from edgequake.edge.detection.onset import refiner
from edgequake.edge.detection.trigger import Event
from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.manifest.manifest import Manifest


@dataclass(frozen=True)
class RefinedEvent:
    """What must be equal of an event with a refined onset."""

    trigger_ns: int
    onset_ns: int
    sigma_ms: int
    stop_ns: int


class RefiningCDetector(CDetector):
    """Keeps the refined onsets of a library that was exported with them."""

    def __init__(self, library: CLibrary, onset_threshold: float) -> None:
        super().__init__(library, onset_threshold)
        self.found: list[RefinedEvent] = []

    def _event(self, event: CEvent) -> Event:
        self.found.append(RefinedEvent(event.trigger_ns, event.onset_ns, event.sigma_ms, event.stop_ns))
        return super()._event(event)


def refined_by_c(library: CLibrary, threshold: float, records: list[Trace]) -> list[RefinedEvent]:
    """Return the events of a library that refines onsets."""
    detector = RefiningCDetector(library, threshold)
    detector.push(*records)
    detector.finish()
    return detector.found


def refined_by_python(manifest: Manifest, events: list[Event], records: list[Trace]) -> list[RefinedEvent]:
    """Return the runner's events with the onsets that its catalogue has."""
    refine, found = refiner(manifest), []
    assert refine is not None
    for event in events:
        onset = refine(records, event.onset_ns)
        found.append(RefinedEvent(event.onset_ns, onset.onset_ns, round(1000 * onset.sigma_s), event.stop_ns))
    return found

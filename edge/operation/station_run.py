"""One stream of one station as a run hears it: its detector, its kept samples, its share of the figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgequake.edge.base.checkpoint import State
from edgequake.edge.detection.detector import Detector
from edgequake.edge.detection.onset import refiner
from edgequake.edge.detection.trigger import Event
from edgequake.edge.features.conditioning import GapCounts
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.inputs.source import Batch
from edgequake.edge.manifest.manifest import Manifest
from edgequake.edge.operation.model import LoadedModel
from edgequake.edge.results.catalog import Ledger
from edgequake.edge.results.priority import Priorities, PriorityFunction, priority
from edgequake.edge.results.segments import SegmentWriter
from edgequake.edge.results.summary import RecordTime


@dataclass
class RunCounters:
    """Figures of a run that go into its summary."""

    samples_in: int = 0
    record_ns: int = 0  # of listeners that are done
    kept_ns: int = 0
    n_let_go: int = 0  # rises too short for an event, of listeners that are done
    stations: set[str] = field(default_factory=set)
    gaps: GapCounts = field(default_factory=GapCounts)  # of listeners that are done

    def state(self) -> State:
        """Return what `restore` goes on from."""
        return {**vars(self), "stations": sorted(self.stations), "gaps": dict(vars(self.gaps))}

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        self.samples_in, self.record_ns, self.kept_ns = state["samples_in"], state["record_ns"], state["kept_ns"]
        self.n_let_go = state["n_let_go"]
        self.stations, self.gaps = set(state["stations"]), GapCounts(**state["gaps"])

    def add(self, listener: StationRun) -> None:
        """Add the gaps and the record time of a listener."""
        for channel in listener.detector.front_end.channels.values():
            for name, value in vars(channel.counts).items():
                setattr(self.gaps, name, getattr(self.gaps, name) + value)
        self.record_ns += listener.time.total_ns
        self.n_let_go += listener.detector.n_let_go


class StationRun:
    """The detector of one stream and the samples that it may still want."""

    def __init__(
        self,
        detector: Detector,
        station_id: str,
        manifest: Manifest,
        out: Path,
        ledger: Ledger,
        tally: RunCounters,
        priorities: Priorities | None = None,
    ) -> None:
        self.detector, self.station_id = detector, station_id
        self.time = RecordTime(round(manifest.front_end.bridge_s * NS_PER_S))
        self._keeper = SegmentWriter(out, station_id, manifest.trigger, ledger, refiner(manifest), priorities)
        self._ledger, self._tally = ledger, tally

    def push(self, traces: Sequence[Trace]) -> bool:
        """Take traces; return whether a segment was written."""
        for trace in traces:
            self.time.add(trace.start_ns, trace.stop_ns)
            self._keeper.add_trace(trace)
            self._tally.samples_in += len(trace.samples)
        self._tally.stations.add(self.station_id)
        return self._claim(self.detector.push_all(traces), self.detector.horizon_ns)

    def finish(self) -> bool:
        """Write what is still open; return whether a segment was written. More traces may come all the same."""
        return self._claim(self.detector.finish(), None)

    def state(self) -> State:
        """Return what `restore` goes on from."""
        return {"detector": self.detector.state(), "keeper": self._keeper.state(), "time": self.time.state()}

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        self.detector.restore(state["detector"])
        self._keeper.restore(state["keeper"])
        self.time.restore(state["time"])

    def _claim(self, events: list[Event], horizon_ns: int | None) -> bool:
        for event in events:
            self._keeper.add_event(event)
        written = self._keeper.flush(horizon_ns)
        for segment, rows in written:
            self._tally.kept_ns += self.time.within(segment.start_ns, segment.stop_ns)
            self._ledger.add(segment, rows)
        if self._keeper.oldest_ns is not None:
            self.time.forget_before(self._keeper.oldest_ns)
        return bool(written)


class StationRuns:
    """The listeners of a run and their figures together."""

    def __init__(self, model: LoadedModel, out: Path, ledger: Ledger, function: PriorityFunction = priority) -> None:
        self.tally = RunCounters()
        self._priorities = Priorities(model.manifest.trigger.max_event_s, function)
        self._model, self._out, self._ledger = model, out, ledger
        self._listeners: dict[str, StationRun] = {}

    def take(self, batch: Batch) -> bool:
        """Hand a batch to its listener; return whether a segment was written."""
        wrote = False
        if batch.traces:
            wrote = self._listener(batch.key, batch.station_id).push(batch.traces)
        if batch.over and batch.key in self._listeners:
            listener = self._listeners.pop(batch.key)
            wrote |= listener.finish()
            self.tally.add(listener)
        return wrote

    def finish(self) -> RunCounters:
        """Write what is still open; return the figures of all listeners, which may go on all the same."""
        for listener in self._listeners.values():
            listener.finish()
        total = RunCounters()
        total.restore(self.tally.state())
        for listener in self._listeners.values():
            total.add(listener)
        return total

    @property
    def n_let_go(self) -> int:
        """Rises of the onset probability that were too short for an event, of all listeners."""
        return self.tally.n_let_go + sum(listener.detector.n_let_go for listener in self._listeners.values())

    def heed_threshold(self) -> None:
        """The model's threshold has changed."""
        for listener in self._listeners.values():
            listener.detector.threshold = self._model.threshold

    def state(self) -> State:
        """Return what `restore` goes on from."""
        listeners = {key: [one.station_id, one.state()] for key, one in self._listeners.items()}
        return {"tally": self.tally.state(), "listeners": listeners, "priorities": self._priorities.state()}

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        self.tally.restore(state["tally"])
        self._priorities.restore(state["priorities"])
        for key, (station_id, saved) in state["listeners"].items():
            self._listener(key, station_id).restore(saved)

    def _listener(self, key: str, station_id: str) -> StationRun:
        if key not in self._listeners:
            model = self._model
            self._listeners[key] = StationRun(
                model.detector(), station_id, model.manifest, self._out, self._ledger, self.tally, self._priorities
            )
        return self._listeners[key]

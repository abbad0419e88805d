"""The detection of a run, station by station: detector, segments and counters of each stream of samples."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgequake.edge.base.checkpoint import State, restored_state
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.detection.announcer import EventNotice
from edgequake.edge.detection.detector import Detector
from edgequake.edge.detection.onset import refiner
from edgequake.edge.detection.trigger import Decision, Event
from edgequake.edge.features.conditioning import GapCounts
from edgequake.edge.formats.source_ids import channel_of
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.inputs.source import Batch
from edgequake.edge.manifest.manifest import Manifest
from edgequake.edge.operation.degraded import Incidents
from edgequake.edge.operation.run_models import LoadedModel
from edgequake.edge.results.ledger import Ledger
from edgequake.edge.results.priority import Priorities, PriorityFunction, priority
from edgequake.edge.results.segments import SegmentWriter
from edgequake.edge.results.summary import RecordTime

if TYPE_CHECKING:
    from edgequake.edge.detection.follower import Follower

_MOST_BEGUN = 256
OnFrame = Callable[[str, int, float, float], None]  # station, end of the interval (ns), onset, event
_MOST_STATIONS = 1024  # named by the summary: years of a live run, or a folder of a whole network


@dataclass
class RunCounters:
    """Counters of a run that its summary reports."""

    samples_in: int = 0
    record_ns: int = 0  # of finished streams
    kept_ns: int = 0
    n_short_rises: int = 0  # of the onset probability, too short for an event, of finished streams
    stations: set[str] = field(default_factory=set)
    gaps: GapCounts = field(default_factory=GapCounts)  # of finished streams

    def hear(self, station_id: str) -> None:
        """Count a station among those of the summary, as long as there are not too many."""
        if len(self.stations) < _MOST_STATIONS:
            self.stations.add(station_id)

    def state(self) -> State:
        return {**vars(self), "stations": sorted(self.stations), "gaps": dict(vars(self.gaps))}

    def restore(self, state: State) -> None:
        vars(self).update(state)
        self.stations, self.gaps = set(state["stations"]), GapCounts(**state["gaps"])

    def move(self, old: Detector, new: Detector) -> None:
        """Count what a detector has counted that another one replaces, and not what that one has counted beside it."""
        for detector, sign in ((old, 1), (new, -1)):
            for channel in detector.front_end.channels.values():
                for name, value in vars(channel.counts).items():
                    setattr(self.gaps, name, getattr(self.gaps, name) + sign * value)
        self.n_short_rises += old.n_short_rises - new.n_short_rises

    def add(self, station: StationRun) -> None:
        """Add the gaps, the record time and the short rises of a station's stream."""
        for channel in station.detector.front_end.channels.values():
            for name, value in vars(channel.counts).items():
                setattr(self.gaps, name, getattr(self.gaps, name) + value)
        self.record_ns += station.time.total_ns
        self.n_short_rises += station.detector.n_short_rises


class StationRun:
    """The detector of one stream of a station, and the samples that it may still need."""

    def __init__(
        self,
        detector: Detector,
        station_id: str,
        manifest: Manifest,
        out: Path,
        ledger: Ledger,
        counters: RunCounters,
        priorities: Priorities | None = None,
        diagnostics: Diagnostics | None = None,
        found_by: str = "",
        on_frame: OnFrame | None = None,
    ) -> None:
        # events that have begun and are not taken yet; not every user takes them
        self.begun: deque[EventNotice] = deque(maxlen=_MOST_BEGUN)
        self.station_id = station_id
        self._coarse_sigma_s = None if manifest.onset is None else manifest.onset.coarse_sigma_s
        self.time = RecordTime(round(manifest.front_end.bridge_s * NS_PER_S))
        self._segments = SegmentWriter(
            out, station_id, manifest.trigger, ledger, refiner(manifest), priorities, diagnostics
        )
        self._ledger, self._counters = ledger, counters
        self.follower: Follower | None = None  # of a model that may follow: it is fed the same samples
        self._found_by = found_by
        self._on_frame = on_frame
        self.last_onset_ns: int | None = None  # of an event that this process has found
        self._not_before_ns: int | None = None  # onset of the first event of this model: the one before it did the rest
        self.detector = detector

    @property
    def detector(self) -> Detector:
        """The detector of the stream's model."""
        return self._detector

    @detector.setter
    def detector(self, detector: Detector) -> None:
        self._detector = detector
        detector.on_declared = self._note_begun
        detector.on_decision = None if self._on_frame is None else partial(self._show, self._on_frame)

    def _note_begun(self, onset_ns: int, probability: float) -> None:
        if self._not_before_ns is None or onset_ns >= self._not_before_ns:
            channels = tuple(sorted({channel_of(source_id) for source_id in self._detector.front_end.channels}))
            sigma_s = self._coarse_sigma_s
            self.begun.append(EventNotice("onset", 0, self.station_id, channels, onset_ns, sigma_s, None, probability))

    def _show(self, on_frame: OnFrame, decision: Decision) -> None:
        on_frame(self.station_id, decision.stop_ns, decision.onset, decision.event)

    def push(self, traces: Sequence[Trace]) -> bool:
        """Process traces; return whether there is a new segment."""
        for trace in traces:
            self.time.add(trace.start_ns, trace.stop_ns)
            self._segments.add_trace(trace)
            self._counters.samples_in += len(trace.samples)
        self._counters.hear(self.station_id)
        wrote = self._write(self.detector.push(*traces), self.detector.horizon_ns)
        if self.follower is not None:
            self.follower.push(traces)
            self._segments.keep_from_ns = self.follower.keep_from_ns
        return wrote

    def push_late(self, traces: Sequence[Trace]) -> None:
        """Take traces that are too old for the detector: a segment that is not written yet may contain them."""
        for trace in traces:
            self._segments.add_late(trace)
            self._counters.samples_in += len(trace.samples)

    def finish(self) -> bool:
        """Write what is still open; return whether there is a new segment. More traces may follow all the same."""
        return self._write(self.detector.finish(), None)

    @property
    def is_between_events(self) -> bool:
        """Whether no event is open or may be opening, and no segment is still to be written."""
        return self.detector.is_between_events and not self._segments.is_open

    def unfollow(self) -> None:
        """Feed no model beside the present one any more."""
        self.follower = self._segments.keep_from_ns = None

    def hand_over(self, follower: Follower, priorities: Priorities, found_by: str) -> None:
        """Have a follower's detector go on in place of the present one, between two events.

        All events with earlier onsets than the present detector's horizon are that one's, all later ones the new one's,
        including those that the follower has found already.
        """
        not_before_ns, manifest = self.detector.horizon_ns, follower.manifest
        self._counters.move(self.detector, follower.detector)
        self.detector, self.follower, self._found_by = follower.detector, None, found_by
        self._coarse_sigma_s = None if manifest.onset is None else manifest.onset.coarse_sigma_s
        self.time.bridge(round(manifest.front_end.bridge_s * NS_PER_S))
        self._segments.use(manifest.trigger, refiner(manifest), priorities)
        self._not_before_ns = not_before_ns
        for event in self._of_this_model(follower.events):
            self._segments.add_event(event)

    def state(self) -> State:
        state = {"detector": self.detector.state(), "segments": self._segments.state(), "time": self.time.state()}
        return state if self._not_before_ns is None else {**state, "not_before_ns": self._not_before_ns}

    def restore(self, state: State) -> None:
        self._not_before_ns = state.get("not_before_ns")
        self.detector.restore(state["detector"])
        self._segments.restore(state["segments"])
        self.time.restore(state["time"])

    def _write(self, events: list[Event], horizon_ns: int | None) -> bool:
        for event in self._of_this_model(events):
            self._segments.add_event(event)
            self.last_onset_ns = event.onset_ns
        written = self._segments.flush(horizon_ns)
        for segment, rows in written:
            self._counters.kept_ns += self.time.within(segment.start_ns, segment.stop_ns)
            self._ledger.add(replace(segment, found_by=self._found_by) if self._found_by else segment, rows)
        if self._segments.oldest_ns is not None:
            self.time.forget_before(self._segments.oldest_ns)
        return bool(written)

    def _of_this_model(self, events: list[Event]) -> list[Event]:
        """Return the events that are this model's to report."""
        first_ns = self._not_before_ns
        return events if first_ns is None else [event for event in events if event.onset_ns >= first_ns]


class StationRuns:
    """All streams of a run, each with its detector."""

    def __init__(
        self,
        model_of: Callable[[str], LoadedModel],
        out: Path,
        ledger: Ledger,
        function: PriorityFunction = priority,
        diagnostics: Diagnostics | None = None,
        incidents: Incidents | None = None,
    ) -> None:
        """Detect with the model that `model_of` returns for a station; write to `out`.

        incidents : takes the faults of a live run; by default they are raised.
        """
        self._incidents = incidents
        self.counters = RunCounters()
        self._priorities = Priorities(0.0, function)  # only to be shared: each model has its own longest event
        self._model_of, self._out, self._ledger, self._diagnostics = model_of, out, ledger, diagnostics
        self._runs: dict[str, StationRun] = {}
        self._begun: deque[EventNotice] = deque(maxlen=_MOST_BEGUN)  # of streams that are over
        self.on_frame: OnFrame | None = None  # called with each decision, for the monitor
        self.on_new: Callable[[StationRun], None] | None = None  # called with each stream that begins

    @property
    def streams(self) -> list[StationRun]:
        """The streams of the run."""
        return list(self._runs.values())

    def hand_over(self, stream: StationRun, model: LoadedModel) -> None:
        """Have the follower of a stream, which belongs to `model`, go on in place of its detector."""
        assert stream.follower is not None
        priorities = self._priorities.sharing(model.manifest.trigger.max_event_s)
        stream.hand_over(stream.follower, priorities, model.mark)

    def take_begun(self) -> list[EventNotice]:
        """Return the events that have begun since the last call, in the order of their onsets."""
        begun = list(self._begun)
        self._begun.clear()
        for run in self._runs.values():
            begun += run.begun
            run.begun.clear()
        return sorted(begun, key=lambda notice: (notice.onset_ns, notice.station_id))

    def push(self, batch: Batch) -> bool:
        """Process a batch with the detector of its stream; return whether there is a new segment.

        Live, a batch that cannot be processed is left out, and its stream begins anew.
        """
        try:
            return self._push(batch)
        except Exception as problem:
            if self._incidents is None or not self._incidents.may_go_on(problem):
                raise
            self._incidents.note(f"batch(es) of {batch.station_id}", problem, batch)
            self._restart(batch.key)
            return True

    def finish(self) -> RunCounters:
        """Write what is still open; return the counters of all streams, which may continue all the same."""
        for key, run in list(self._runs.items()):
            try:
                run.finish()
            except Exception as problem:
                if self._incidents is None or not self._incidents.may_go_on(problem):
                    raise
                self._incidents.note(f"the end of stream(s) of {run.station_id}", problem)
                self._restart(key)
        total = RunCounters()
        total.restore(self.counters.state())
        for run in self._runs.values():
            total.add(run)
        return total

    def _restart(self, key: str) -> None:
        """Give up the detector of a stream, whose state may be inconsistent; the next batch begins a new one."""
        run = self._runs.pop(key, None)
        with suppress(Exception):  # what is open of its events is kept if that is still possible
            if run is not None:
                run.finish()
        with suppress(Exception):
            if run is not None:
                self._begun += run.begun
                self.counters.add(run)

    def _push(self, batch: Batch) -> bool:
        wrote = False
        if batch.late:
            if batch.key in self._runs:
                self._runs[batch.key].push_late(batch.traces)
        elif batch.traces:
            wrote = self._run(batch.key, batch.station_id).push(batch.traces)
        if batch.over and batch.key in self._runs:
            run = self._runs.pop(batch.key)
            wrote |= run.finish()
            self._begun += run.begun
            self.counters.add(run)
        return wrote

    @property
    def n_short_rises(self) -> int:
        """Rises of the onset probability that were too short for an event."""
        return self.counters.n_short_rises + sum(run.detector.n_short_rises for run in self._runs.values())

    def apply_threshold(self) -> None:
        """Use the models' thresholds, which have changed, in all detectors."""
        for run in self._runs.values():
            run.detector.threshold = self._model_of(run.station_id).threshold

    def rebuild(self) -> None:
        """Build all detectors anew from their models, whose constants in memory were damaged; they keep their state."""
        for run in self._runs.values():
            state = restored_state(run.detector.state())
            run.detector = self._model_of(run.station_id).detector()
            run.detector.restore(state)

    def state(self) -> State:
        runs = {key: [run.station_id, run.state()] for key, run in self._runs.items()}
        return {"counters": self.counters.state(), "runs": runs, "priorities": self._priorities.state()}

    def restore(self, state: State) -> None:
        self.counters.restore(state["counters"])
        self._priorities.restore(state["priorities"])
        self._runs = {}
        for key, (station_id, saved) in state["runs"].items():
            self._run(key, station_id).restore(saved)

    def _run(self, key: str, station_id: str) -> StationRun:
        if key not in self._runs:
            model = self._model_of(station_id)
            priorities = self._priorities.sharing(model.manifest.trigger.max_event_s)
            self._runs[key] = StationRun(
                model.detector(),
                station_id,
                model.manifest,
                self._out,
                self._ledger,
                self.counters,
                priorities,
                self._diagnostics,
                model.mark,
                self.on_frame,
            )
            if self.on_new is not None:
                self.on_new(self._runs[key])
        return self._runs[key]

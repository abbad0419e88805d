"""The detector of one station: takes traces, returns events; front end, network and trigger in a chain.

It works with any acquisition loop::

    detector = Detector.load("moon")
    for samples in acquisition:  # an obspy Trace, bytes of miniSEED records, ...
        for notice in detector.feed(samples):
            print(notice.phase, notice.onset, notice.probability)  # when an event begins, and when it is final

A run, which refines onsets when it writes segments, uses `push`: it returns the events of the trigger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np

from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.errors import ConfigError, DataError, ManifestError
from edgequake.edge.detection.announcer import Announcer, EventNotice
from edgequake.edge.detection.class_votes import ClassVotes
from edgequake.edge.detection.event_class import EventClassifier
from edgequake.edge.detection.network import StepNetwork
from edgequake.edge.detection.stepper import Outcome, make_stepper
from edgequake.edge.detection.trigger import Decision, Event, Trigger, decision_of
from edgequake.edge.features.front_end import ChannelFrontEnd, Rows, StationFrontEnd
from edgequake.edge.formats.waveform_objects import traces_of
from edgequake.edge.formats.waveforms import Trace, duration_ns
from edgequake.edge.manifest.manifest import Manifest, Variant, load_manifest, read_graph, require_sensitivity
from edgequake.edge.manifest.tables import FrontEndConfig


class Detector:
    """The detector of one station; it takes traces in order of start time."""

    def __new__(cls, *arguments: Any, **options: Any) -> Detector:
        """Return a detector of the code that `core` names."""
        core, folder = options.get("core", "python"), options.get("core_library")
        if core == "python":
            return super().__new__(cls)
        if core != "c":
            raise ConfigError(f"core '{core}': expected python or c")
        return cls._in_c(folder, *arguments, **{k: v for k, v in options.items() if not k.startswith("core")})

    @staticmethod
    def _in_c(
        folder: Path | None, manifest: Manifest, graph: bytes, variant: Variant, onset_threshold: float
    ) -> Detector:
        from edgequake.edge.detection.c_core import CDetector
        from edgequake.edge.detection.c_library import find_library

        return cast(Detector, CDetector(find_library(manifest, variant, folder), onset_threshold, manifest))

    def __init__(
        self,
        manifest: Manifest,
        graph: bytes,
        variant: Variant,
        onset_threshold: float,
        trigger: Trigger | None = None,  # by default the manifest's; the benchmarks pass one that records decisions
        core: str = "python",
        core_library: Path | None = None,
    ) -> None:
        """Build a detector.

        core : "c" returns a `CDetector`, which finds the same events at a fraction of the cost. Its library is in the
            folder `core_library`, or else in the user's cache, where `edgequake run --core c` puts it.

        Raises
        ------
        EdgequakeError
            The manifest or the graph cannot be used, or there is no library of them.
        """
        manifest.require_samples()
        manifest.require_event()
        _require_front_end(manifest)
        self.front_end = StationFrontEnd(manifest.front_end, manifest.sampling_rate_hz)
        self.network = StepNetwork(manifest, graph, variant)
        self._trigger = Trigger(manifest.trigger, onset_threshold) if trigger is None else trigger
        self._clock = RowClock(manifest.front_end, manifest.sampling_rate_hz)
        self._stepper = make_stepper(self.network, manifest)
        self._classifier: EventClassifier | None = None
        if manifest.classes is not None:
            self._classifier = EventClassifier(manifest.classes, manifest.front_end, manifest.sampling_rate_hz)
        self._lag_ns = round(manifest.trigger.onset_lag_s * 1e9)
        self._outputs, self._event_classes = manifest.network.outputs, manifest.network.event_classes
        self._votes = ClassVotes(self._outputs, self._event_classes) if self._event_classes else None
        # of the network's decisions; those of a window are on the window itself
        self._late_ns = 0 if manifest.network.mode == "windowed" else self._clock.rows_ns(manifest.network.lag_rows)
        self._window_ns = self._clock.rows_ns(self._stepper.longest_rows)
        # With the output "start" an onset may lie before the last decision.
        self._reach_back_ns = self._window_ns if "start" in self._outputs else 0
        self._decided_until_ns: int | None = None
        self._last_block: tuple[int, int] | None = None  # time of the grid and block of the last rows, until flushed
        self.restarts = 0
        self._manifest = manifest
        self.on_decision: Callable[[Decision], None] | None = None  # called with each decision of the network
        self._announcer: Announcer | None = None  # from the first call of `feed` on
        self._station_id: str | None = None

    @classmethod
    def load(
        cls,
        model: str | Path,
        sensitivity: str = "normal",
        threshold: float | None = None,
        variant: str | None = None,
        core: str = "python",
    ) -> Detector:
        """Return a detector of a shipped model, or of the manifest in a file.

        Parameters
        ----------
        sensitivity : "low", "normal" or "high", for the model's own thresholds.
        threshold : onset probability that declares an event, 0..1, in their place.
        variant : by default the manifest's.
        core : "python" or "c".

        Raises
        ------
        EdgequakeError
            There is no such model, variant or sensitivity, or the graph cannot run.
        """
        require_sensitivity(sensitivity, threshold)
        manifest, folder = load_manifest(model)
        described, graph = read_graph(manifest, folder, variant)
        own = manifest.trigger.onset_thresholds[sensitivity if threshold is None else "normal"]
        return cls(manifest, graph, described, own if threshold is None else threshold, core=core)

    @property
    def horizon_ns(self) -> int | None:
        """Earliest possible onset of an event that is still to be returned; None before the first trace."""
        next_ns = self.front_end.next_ns()
        if next_ns is None:
            return None
        undecided_ns = next_ns - self._window_ns - self._late_ns  # the stepper keeps rows that do not fill a step
        if self._decided_until_ns is not None:
            undecided_ns = max(undecided_ns, self._decided_until_ns - self._reach_back_ns)
        future_ns, open_ns = undecided_ns - self._lag_ns, self._trigger.earliest_onset_ns
        return future_ns if open_ns is None else min(future_ns, open_ns)

    @property
    def is_between_events(self) -> bool:
        """Whether no event is open, and no rise that may become one."""
        return self._trigger.earliest_onset_ns is None

    @property
    def threshold(self) -> float:
        """Onset probability that declares an event; it can be changed at any time."""
        return self._trigger.threshold

    @threshold.setter
    def threshold(self, value: float) -> None:
        self._trigger.threshold = value

    @property
    def n_short_rises(self) -> int:
        """Number of rises of the onset probability that were too short for an event: false triggers."""
        return self._trigger.n_short_rises

    @property
    def on_declared(self) -> Callable[[int, float], None] | None:
        """Called with the onset (ns) and the probability so far of each event that begins; `feed` sets its own."""
        return self._trigger.on_declared

    @on_declared.setter
    def on_declared(self, function: Callable[[int, float], None] | None) -> None:
        self._trigger.on_declared = function

    def feed(
        self,
        *waveforms: Any,
        sampling_rate_hz: float | None = None,
        start: Any = None,
        channels: Sequence[str] | None = None,
    ) -> list[EventNotice]:
        """Take the next samples of the station; return what there is to tell: events that begin, events that are final.

        Parameters
        ----------
        waveforms, sampling_rate_hz, start, channels : as `traces_of` takes them: obspy Traces or Streams, bytes of
            miniSEED records, or an array with its rate, start and channels. Channels may arrive one after the other, as
            long as none is more than `bridge_s` of the model's front end behind another one.

        Raises
        ------
        DataError
            No waveforms, those of several stations, or a sampling rate that does not fit the model.
        """
        traces = traces_of(*waveforms, sampling_rate_hz=sampling_rate_hz, start=start, channels=channels)
        self._announce()
        assert self._announcer is not None
        self._station_id = _the_station(traces, self._station_id)
        self._announcer.add(traces)
        return self._announcer.notices(self.push(*traces), self.horizon_ns, self.front_end.next_ns())

    def _announce(self) -> None:
        """Tell events from now on."""
        if self._announcer is None:
            self._announcer = Announcer(self._manifest)
            self.on_declared = self._announcer.declare

    def flush(self) -> list[EventNotice]:
        """Return what is still to be told of the samples that were fed: no more will come for a long time."""
        events = self.finish()
        return [] if self._announcer is None else self._announcer.notices(events, None, None)

    def push(self, *traces: Trace) -> list[Event]:
        """Take traces; return the events that they close: the same trace by trace, but many at once are cheaper.

        Raises
        ------
        DataError
            A sampling rate does not fit the model.
        """
        events = list(self._events(self.front_end.push(*traces)))
        if not self.front_end.is_continuous:  # a gap too long to interpolate ends the event
            events += self._end()
        return self._pruned(events)

    def finish(self) -> list[Event]:
        """Return the last events: no trace will come for a long time. Traces can still be pushed afterwards.

        The last `lag_rows` rows of a network that is late get their decisions, see `StatefulStepper.flush`.
        """
        return self._pruned([*self._events(self.front_end.finish()), *self._end()])

    def state(self) -> State:
        return {
            "front_end": self.front_end.state(),
            "network": self.network.state(),
            "trigger": self._trigger.state(),
            "stepper": self._stepper.state(),
            "classifier": None if self._classifier is None else self._classifier.state(),
            "decided_until_ns": self._decided_until_ns,
            "restarts": self.restarts,
            **({} if self._votes is None else {"votes": self._votes.state()}),
            **({"last_block": self._last_block} if self._late_ns else {}),
            **({} if self._announcer is None else {"announcer": self._announcer.state()}),
        }

    def restore(self, state: State) -> None:
        self.front_end.restore(state["front_end"])
        self.network.set_state(state["network"])
        self._trigger.restore(state["trigger"])
        self._stepper.restore(state["stepper"])
        if self._classifier is not None:
            self._classifier.restore(state["classifier"])
        if self._votes is not None:
            self._votes.restore(state["votes"])
        self._decided_until_ns, self.restarts = state["decided_until_ns"], state["restarts"]
        if "announcer" in state:  # of a detector that is fed
            self._announce()
            assert self._announcer is not None
            self._announcer.restore(state["announcer"])
        last_block = state.get("last_block")  # earlier releases did not flush
        self._last_block = None if last_block is None else (int(last_block[0]), int(last_block[1]))

    def decide(self, rows: Rows) -> Iterator[Decision]:
        """Yield the network's decisions on rows without a restart."""
        n_per_block = rows.rows.shape[1]
        flat = rows.rows.reshape(-1, rows.rows.shape[2])
        blocks = rows.block.tolist()
        self._last_block = (rows.t0_ns, blocks[-1]) if blocks else self._last_block

        def stop_ns(last_row: int) -> int:
            return self._clock.stop_ns(rows.t0_ns, blocks[last_row // n_per_block], last_row % n_per_block)

        return self._decisions(self._stepper.push(flat), stop_ns)

    def _flush(self) -> Iterator[Decision]:
        """Yield the decisions that a late network owes on the last rows, once."""
        if self._last_block is None or not self._late_ns:
            return iter(())
        t0_ns, block = self._last_block
        self._last_block = None
        return self._decisions(self._stepper.flush(), lambda row: self._clock.stop_ns(t0_ns, block + 1, row))

    def _decisions(self, outcomes: Iterable[Outcome], stop_ns_of: Callable[[int], int]) -> Iterator[Decision]:
        for last_row, n_rows, probability in outcomes:
            stop_ns = stop_ns_of(last_row) - self._late_ns
            if self._late_ns and self._decided_until_ns is not None and stop_ns <= self._decided_until_ns:
                continue  # flushed before the record went on after all
            start_ns = stop_ns - self._clock.rows_ns(n_rows)
            if self._votes is not None:
                self._votes.add(start_ns, probability)
            yield decision_of(self._outputs, probability, start_ns, stop_ns, self._window_ns, self._event_classes)

    def _pruned(self, events: list[Event]) -> list[Event]:
        """Drop the rows that no later event needs for its class, and return `events`."""
        for of_class in (self._classifier, self._votes):
            if of_class is not None:
                of_class.forget_before(self.horizon_ns)
        return events

    def _events(self, rows: Rows) -> Iterator[Event]:
        if self._classifier is not None:
            self._classifier.add(rows)
        for part in _between_restarts(rows):
            if part.restart[0]:
                yield from self._restart()
            yield from self._triggered(self.decide(part))

    def _triggered(self, decisions: Iterable[Decision]) -> Iterator[Event]:
        for decision in decisions:
            if self.on_decision is not None:
                self.on_decision(decision)
            event = self._trigger.push(decision)
            self._decided_until_ns = decision.stop_ns
            if event is not None:
                yield self._classified(event)

    def _restart(self) -> Iterator[Event]:
        self.restarts += 1
        yield from self._end()
        self._trigger.reset()
        self._stepper.restart()

    def _end(self) -> list[Event]:
        """Return the events that end with the record, or at a gap."""
        events = list(self._triggered(self._flush()))
        event = self._trigger.close()
        return events if event is None else [*events, self._classified(event)]

    def _classified(self, event: Event) -> Event:
        of_class = self._classifier or self._votes
        if of_class is None:
            return event
        return replace(event, mq_type=of_class.classify(event.onset_ns, event.stop_ns))


def _the_station(traces: Sequence[Trace], station_id: str | None) -> str | None:
    """Return the one station of traces, and of those before them."""
    found = sorted({station_id or trace.station_id for trace in traces} | {trace.station_id for trace in traces})
    if len(found) > 1:
        raise DataError(f"samples of stations {', '.join(found)}: a detector is for one station; give each its own")
    return found[0] if found else station_id


def _require_front_end(manifest: Manifest) -> None:
    """Raise ManifestError for a front end that no channel can be processed with, before any channel comes."""
    try:
        ChannelFrontEnd(manifest.front_end, manifest.sampling_rate_hz, manifest.sampling_rate_hz, 0, 0)
    except (ConfigError, ValueError, ArithmeticError) as problem:
        raise ManifestError(f"model '{manifest.name}': its front end cannot run: {problem}") from problem


class RowClock:
    """Times of the rows of features."""

    def __init__(self, config: FrontEndConfig, model_rate_hz: float) -> None:
        self._rate_hz = model_rate_hz
        self._hop = config.hop_samples
        self._samples_per_row = config.hop_samples // config.rows_per_block
        self._lead = config.window_samples - self._hop  # the new samples of a window are its last hop

    def stop_ns(self, t0_ns: int, block: int, row: int) -> int:
        """Return the stop of the newest samples of a row of a block."""
        samples = block * self._hop + self._lead + (row + 1) * self._samples_per_row
        return t0_ns + duration_ns(samples, self._rate_hz)

    def rows_ns(self, n_rows: int) -> int:
        """Return the time that rows cover."""
        return duration_ns(n_rows * self._samples_per_row, self._rate_hz)


def _between_restarts(rows: Rows) -> Iterator[Rows]:
    cuts = [0, *(int(i) for i in np.flatnonzero(rows.restart) if i > 0), len(rows.block)]
    for a, b in pairwise(cuts):
        if a < b:
            yield Rows(rows.t0_ns, rows.block[a:b], rows.rows[a:b], rows.valid[a:b], rows.restart[a:b])

"""The detector of one station: takes traces, returns events; front end, network and trigger in a chain.

It works with any acquisition loop::

    manifest, folder = load_manifest("moon")
    variant, graph = read_graph(manifest, folder)
    detector = Detector(manifest, graph, variant, manifest.trigger.onset_thresholds["normal"])
    for trace in traces:
        for event in detector.push(trace):
            print(event)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np

from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.errors import ConfigError, ManifestError
from edgequake.edge.detection.class_votes import ClassVotes
from edgequake.edge.detection.event_class import EventClassifier
from edgequake.edge.detection.network import StepNetwork, make_stepper
from edgequake.edge.detection.trigger import Decision, Event, Trigger, decision_of
from edgequake.edge.features.front_end import ChannelFrontEnd, Rows, StationFrontEnd
from edgequake.edge.formats.waveforms import Trace, duration_ns
from edgequake.edge.manifest.manifest import Manifest, Variant


class Detector:
    """The detector of one station; it takes traces in order of start time."""

    def __new__(cls, *arguments: Any, **options: Any) -> Detector:
        """Return a detector of the code that `core` names."""
        core, folder = options.get("core", "python"), options.get("core_library")
        if core == "python":
            return super().__new__(cls)
        if core != "c":
            raise ConfigError(f"core '{core}': expected python or c")
        return cls._in_c(*arguments, folder=folder, **{k: v for k, v in options.items() if not k.startswith("core")})

    @staticmethod
    def _in_c(
        manifest: Manifest, graph: bytes, variant: Variant, onset_threshold: float, folder: Path | None = None
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
        manifest.require_event()
        _require_front_end(manifest)
        self.front_end = StationFrontEnd(manifest.front_end, manifest.sampling_rate_hz)
        self.network = StepNetwork(manifest, graph, variant)
        self._trigger = Trigger(manifest.trigger, onset_threshold) if trigger is None else trigger
        self._clock = _RowClock(manifest)
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
        self.restarts = 0

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

    def push(self, *traces: Trace) -> list[Event]:
        """Take traces; return the events that they close: the same trace by trace, but many at once are cheaper.

        Raises
        ------
        DataError
            A sampling rate does not fit the model.
        """
        events = list(self._events(self.front_end.push(*traces)))
        if not self.front_end.is_continuous:  # a gap too long to interpolate ends the event
            events += self._close()
        return self._pruned(events)

    def finish(self) -> list[Event]:
        """Return the open event, if any: no trace will come for a long time. Traces can still be pushed afterwards."""
        return self._pruned([*self._events(self.front_end.finish()), *self._close()])

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

    def decide(self, rows: Rows) -> Iterator[Decision]:
        """Yield the network's decisions on rows without a restart."""
        n_per_block = rows.rows.shape[1]
        flat = rows.rows.reshape(-1, rows.rows.shape[2])
        blocks = rows.block.tolist()
        for last_row, n_rows, probability in self._stepper.push(flat):
            stop_ns = self._clock.stop_ns(rows.t0_ns, blocks[last_row // n_per_block], last_row % n_per_block)
            stop_ns -= self._late_ns
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
            for decision in self.decide(part):
                event = self._trigger.push(decision)
                self._decided_until_ns = decision.stop_ns
                if event is not None:
                    yield self._classified(event)

    def _restart(self) -> Iterator[Event]:
        self.restarts += 1
        yield from self._close()
        self._trigger.reset()
        self._stepper.restart()

    def _close(self) -> list[Event]:
        event = self._trigger.close()
        return [] if event is None else [self._classified(event)]

    def _classified(self, event: Event) -> Event:
        of_class = self._classifier or self._votes
        if of_class is None:
            return event
        return replace(event, mq_type=of_class.classify(event.onset_ns, event.stop_ns))


def _require_front_end(manifest: Manifest) -> None:
    """Raise ManifestError for a front end that no channel can be processed with, before any channel comes."""
    try:
        ChannelFrontEnd(manifest.front_end, manifest.sampling_rate_hz, manifest.sampling_rate_hz, 0, 0)
    except (ValueError, ArithmeticError) as problem:
        raise ManifestError(f"model '{manifest.name}': its front end cannot run: {problem}") from problem


class _RowClock:
    """Times of the rows of features."""

    def __init__(self, manifest: Manifest) -> None:
        config = manifest.front_end
        self._rate_hz = manifest.sampling_rate_hz
        self._hop = config.hop_samples
        self._samples_per_row = config.hop_samples // config.rows_per_block
        self._lead = config.window_samples - self._hop  # the new samples of a window are its last hop

    def stop_ns(self, t0_ns: int, block: int, row: int) -> int:
        samples = block * self._hop + self._lead + (row + 1) * self._samples_per_row
        return t0_ns + duration_ns(samples, self._rate_hz)

    def rows_ns(self, n_rows: int) -> int:
        return duration_ns(n_rows * self._samples_per_row, self._rate_hz)


def _between_restarts(rows: Rows) -> Iterator[Rows]:
    cuts = [0, *(int(i) for i in np.flatnonzero(rows.restart) if i > 0), len(rows.block)]
    for a, b in pairwise(cuts):
        if a < b:
            yield Rows(rows.t0_ns, rows.block[a:b], rows.rows[a:b], rows.valid[a:b], rows.restart[a:b])

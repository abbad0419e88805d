"""Pieces of one station in, events out: front end, network and trigger in a row.

With any acquisition loop::

    manifest, folder = load_manifest("moon")
    variant, graph = read_graph(manifest, folder)
    detector = Detector(manifest, graph, variant, manifest.trigger.onset_thresholds["normal"])
    for trace in traces:
        for event in detector.push(trace):
            print(event)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.errors import ManifestError
from edgequake.edge.detection.event_class import EventClasses
from edgequake.edge.detection.network import StepNetwork, make_stepper
from edgequake.edge.detection.trigger import Decision, Event, Trigger, decision_of
from edgequake.edge.features.front_end import ChannelFrontEnd, Rows, StationFrontEnd
from edgequake.edge.formats.waveforms import Trace, duration_ns
from edgequake.edge.manifest.manifest import Manifest, Variant


class Detector:
    """The detector of one station; traces come in the order of their start times."""

    def __init__(
        self,
        manifest: Manifest,
        graph: bytes,
        variant: Variant,
        onset_threshold: float,
        trigger: Trigger | None = None,  # by default the manifest's; the benchmarks record decisions with one of theirs
    ) -> None:
        _require_front_end(manifest)
        self.front_end = StationFrontEnd(manifest.front_end, manifest.sampling_rate_hz)
        self.network = StepNetwork(manifest, graph, variant)
        self._trigger = Trigger(manifest.trigger, onset_threshold) if trigger is None else trigger
        self._clock = _RowClock(manifest)
        self._stepper = make_stepper(self.network, manifest)
        self._classes = (
            EventClasses(manifest.classes, manifest.front_end, manifest.sampling_rate_hz) if manifest.classes else None
        )
        self._lag_ns = round(manifest.trigger.onset_lag_s * 1e9)
        self._outputs = manifest.network.outputs
        self._window_ns = self._clock.rows_ns(self._stepper.longest_rows)
        self._reach_back_ns = self._window_ns if "start" in self._outputs else 0  # an onset may lie in time decided on
        self._decided_until_ns: int | None = None
        self.restarts = 0

    @property
    def horizon_ns(self) -> int | None:
        """No event that is still to be returned begins before this time; None before the first trace."""
        next_ns = self.front_end.next_ns()
        if next_ns is None:
            return None
        undecided_ns = next_ns - self._clock.rows_ns(self._stepper.longest_rows)  # rows that do not fill a step wait
        if self._decided_until_ns is not None:
            undecided_ns = max(undecided_ns, self._decided_until_ns - self._reach_back_ns)
        undecided = undecided_ns - self._lag_ns
        waiting = self._trigger.earliest_onset_ns
        return undecided if waiting is None else min(undecided, waiting)

    @property
    def threshold(self) -> float:
        """Onset probability that declares an event; it may be changed at any time."""
        return self._trigger.threshold

    @threshold.setter
    def threshold(self, value: float) -> None:
        self._trigger.threshold = value

    @property
    def n_let_go(self) -> int:
        """Rises of the onset probability that were too short for an event: triggers that were false."""
        return self._trigger.n_let_go

    def push(self, trace: Trace) -> list[Event]:
        """Take a trace, return the events that closed.

        Raises
        ------
        DataError
            The trace's sampling rate does not fit the model.
        """
        return self.push_all((trace,))

    def push_all(self, traces: Sequence[Trace]) -> list[Event]:
        """Take traces, return the events that closed; the same events as piece by trace, for less work.

        Raises
        ------
        DataError
            As `push`.
        """
        events = list(self._events(self.front_end.push_all(traces)))
        if not self.front_end.goes_on:  # a tear too long to bridge: what comes after it cannot lengthen the event
            events += self._close()
        return self._settled(events)

    def finish(self) -> list[Event]:
        """No further trace will come, or not for long: return what is still open. Pieces may be pushed again."""
        return self._settled([*self._events(self.front_end.finish()), *self._close()])

    def state(self) -> State:
        """Return what `restore` goes on from."""
        return {
            "front_end": self.front_end.state(),
            "network": self.network.state(),
            "trigger": self._trigger.state(),
            "stepper": self._stepper.state(),
            "classes": None if self._classes is None else self._classes.state(),
            "decided_until_ns": self._decided_until_ns,
            "restarts": self.restarts,
        }

    def restore(self, state: State) -> None:
        """Go on from what `state` returned; this detector must be of the same manifest and graph."""
        self.front_end.restore(state["front_end"])
        self.network.set_state(state["network"])
        self._trigger.restore(state["trigger"])
        self._stepper.restore(state["stepper"])
        if self._classes is not None:
            self._classes.restore(state["classes"])
        self._decided_until_ns, self.restarts = state["decided_until_ns"], state["restarts"]

    def decide(self, rows: Rows) -> Iterator[Decision]:
        """Yield the network's decisions on rows that follow one another without a restart."""
        n_per_block = rows.rows.shape[1]
        flat = rows.rows.reshape(-1, rows.rows.shape[2])
        blocks = rows.block.tolist()
        for last_row, n_rows, probability in self._stepper.push(flat):
            stop_ns = self._clock.stop_ns(rows.t0_ns, blocks[last_row // n_per_block], last_row % n_per_block)
            start_ns = stop_ns - self._clock.rows_ns(n_rows)
            yield decision_of(self._outputs, probability, start_ns, stop_ns, self._window_ns)

    def _settled(self, events: list[Event]) -> list[Event]:
        """Forget what no later event's class can need."""
        if self._classes is not None:
            self._classes.forget_before(self.horizon_ns)
        return events

    def _events(self, rows: Rows) -> Iterator[Event]:
        if self._classes is not None:
            self._classes.add(rows)
        for part in _between_restarts(rows):
            if part.restart[0]:
                yield from self._restart()
            for decision in self.decide(part):
                event = self._trigger.push(decision)
                self._decided_until_ns = decision.stop_ns
                if event is not None:
                    yield self._named(event)

    def _restart(self) -> Iterator[Event]:
        self.restarts += 1
        yield from self._close()
        self._trigger.reset()
        self._stepper.restart()

    def _close(self) -> list[Event]:
        event = self._trigger.close()
        return [] if event is None else [self._named(event)]

    def _named(self, event: Event) -> Event:
        if self._classes is None:
            return event
        return replace(event, mq_type=self._classes.name(event.onset_ns, event.stop_ns))


def _require_front_end(manifest: Manifest) -> None:
    """Refuse constants that no channel could be processed with, before any channel comes."""
    try:
        ChannelFrontEnd(manifest.front_end, manifest.sampling_rate_hz, manifest.sampling_rate_hz)
    except (ValueError, ArithmeticError) as problem:
        raise ManifestError(f"model '{manifest.name}': its front end cannot run: {problem}") from problem


class _RowClock:
    """When a row of features was recorded."""

    def __init__(self, manifest: Manifest) -> None:
        config = manifest.front_end
        self._rate_hz = manifest.sampling_rate_hz
        self._hop = config.hop_samples
        self._samples_per_row = config.hop_samples // config.rows_per_block
        self._lead = config.window_samples - self._hop  # a window reaches over earlier hops; its news is in the newest

    def stop_ns(self, t0_ns: int, block: int, row: int) -> int:
        samples = block * self._hop + self._lead + (row + 1) * self._samples_per_row
        return t0_ns + duration_ns(samples, self._rate_hz)

    def rows_ns(self, n_rows: int) -> int:
        return duration_ns(n_rows * self._samples_per_row, self._rate_hz)


def _between_restarts(rows: Rows) -> Iterator[Rows]:
    cuts = [0, *(int(i) for i in np.flatnonzero(rows.restart) if i > 0), len(rows.block)]
    for a, b in pairwise(cuts):
        if a < b:
            yield Rows(rows.t0_ns, rows.block[a:b], rows.rows[a:b], rows.live[a:b], rows.restart[a:b])

"""Which times the runner keeps of a stream, without its samples: the rule of `edgequake.edge.results.segments`.

Run front end and network once, then replay the trigger as often as wanted.

A network takes minutes over a set of records, the trigger behind it milliseconds. `DecisionTracer` runs a model from an instant
of a record on and keeps its decisions; `replay` gives what the runner would report and keep of them with any trigger
settings and threshold. Thresholds and durations are chosen that way, and models compared::

    tracer = Tracer("moon")
    trace = tracer(record, start_ns)
    for threshold in (0.5, 0.7, 0.9):
        print(threshold, replay(trace, tracer.manifest.trigger, threshold).onsets_ns)
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import numpy.typing as npt

from edgequake.benchmarks.scoring.random_starts import random_start_ns
from edgequake.benchmarks.scoring.scoring import Detections, Interval
from edgequake.data.tables import LabelledRecord
from edgequake.edge.base.errors import DataError
from edgequake.edge.detection.detector import Detector
from edgequake.edge.detection.onset import refine_onset
from edgequake.edge.detection.trigger import Decision, Event, Trigger
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.inputs.files import plan_inputs
from edgequake.edge.manifest.manifest import TriggerConfig, load_manifest, read_graph


@dataclass(frozen=True)
class SampleSpans:
    """Where a stream has samples: one entry a piece of any channel; all arrays have shape (n_pieces,)."""

    start_ns: npt.NDArray[np.int64]
    n_samples: npt.NDArray[np.int64]
    rate_hz: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.start_ns)

    @property
    def stop_ns(self) -> npt.NDArray[np.int64]:
        """Time one sampling interval after each trace's last sample."""
        return self.start_ns + self._duration_ns(self.n_samples)

    def within(self, interval: Interval) -> Interval:
        """Return an interval, clipped where the stream's samples in it begin later or stop earlier by one or more."""
        first, stop = (self._index_at(time_ns) for time_ns in interval)
        filled = first < stop
        if not filled.any():
            return interval
        starts_ns = self.start_ns + self._duration_ns(first)
        stops_ns = starts_ns + self._duration_ns(stop - first)  # rounded twice, as a trace's stop is
        start_ns, stop_ns = int(np.min(starts_ns[filled])), int(np.max(stops_ns[filled]))
        interval_ns = round(NS_PER_S / float(np.min(self.rate_hz[filled])))
        return (
            start_ns if start_ns - interval[0] >= interval_ns else interval[0],
            stop_ns if interval[1] - stop_ns >= interval_ns else interval[1],
        )

    def _index_at(self, time_ns: int) -> npt.NDArray[np.int64]:
        """Index in each piece of the first sample at or after a time, as `Trace.between` counts."""
        exact = (time_ns - self.start_ns) * self.rate_hz / NS_PER_S
        index: npt.NDArray[np.int64] = np.clip(np.ceil(exact - 1e-3), 0, self.n_samples).astype(np.int64)
        return index

    def _duration_ns(self, n_samples: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        time_ns: npt.NDArray[np.int64] = np.rint(n_samples * NS_PER_S / self.rate_hz).astype(np.int64)
        return time_ns


class SpanList:
    """Takes down where traces lie, and forgets their samples."""

    def __init__(self) -> None:
        self._spans: list[tuple[int, int, float]] = []

    def add(self, trace: Trace) -> None:
        """Add a piece of any channel."""
        self._spans.append((trace.start_ns, len(trace.samples), trace.sampling_rate_hz))

    def spans(self) -> SampleSpans:
        """Return all of them."""
        starts, counts, rates = zip(*self._spans, strict=True) if self._spans else ((), (), ())
        return SampleSpans(np.array(starts, np.int64), np.array(counts, np.int64), np.array(rates, np.float64))


def kept_intervals(events: Sequence[Event], config: TriggerConfig, spans: SampleSpans) -> list[Interval]:
    """Return the segments that the runner keeps for the events of one stream, in the order of their onsets.

    A segment is [onset - pre-roll, stop + post-roll), overlapping ones merged up to twice the longest event, after
    which a new one goes on where the last one stops; each is clipped where the record has no sample at its edges.
    """
    pre_ns, post_ns = round(config.pre_roll_s * NS_PER_S), round(config.post_roll_s * NS_PER_S)
    longest_ns = round(2 * config.max_event_s * NS_PER_S) + pre_ns + post_ns
    claimed: list[Interval] = []
    for event in events:
        start_ns, stop_ns = event.onset_ns - pre_ns, event.stop_ns + post_ns
        if claimed and start_ns <= claimed[-1][1]:
            if stop_ns - claimed[-1][0] <= longest_ns:
                claimed[-1] = (claimed[-1][0], max(claimed[-1][1], stop_ns))
                continue
            start_ns = claimed[-1][1]
        claimed.append((start_ns, max(stop_ns, start_ns)))
    return [spans.within(interval) for interval in claimed]


Progress = Callable[[float], None]  # takes the share done, 0..1


@dataclass(frozen=True)
class Decisions:
    """What the network said from one restart to the next, in time order; all arrays have shape (n_decisions,)."""

    start_ns: npt.NDArray[np.int64]
    stop_ns: npt.NDArray[np.int64]
    onset: npt.NDArray[np.float64]
    event: npt.NDArray[np.float64]
    onset_ns: npt.NDArray[np.int64]  # when the event began; `start_ns` of a network that does not say so

    def listed(self) -> list[tuple[int, int, float, float, int]]:
        """Return the fields of one `Decision` after another."""
        columns = (self.start_ns, self.stop_ns, self.onset, self.event, self.onset_ns)
        return list(zip(*(column.tolist() for column in columns), strict=True))


@dataclass(frozen=True)
class StreamDecisionTrace:
    """One stream of a record: files of one station that follow one another; nearly every record is a single one."""

    runs: tuple[Decisions, ...]
    spans: SampleSpans  # where it has samples
    refine: Callable[[int], int | None]  # rise of the probability, ns -> onset, or None where the trigger's stands


@dataclass(frozen=True)
class DecisionTrace:
    """A model's decisions on one record from `start_ns` on."""

    record: LabelledRecord
    start_ns: int
    streams: tuple[StreamDecisionTrace, ...]


class DecisionTracer:
    """Runs a model over records as the runner does, up to the trigger."""

    def __init__(self, model: str, variant: str | None = None) -> None:
        """Load a shipped model by name, or a manifest file and its graph.

        Raises
        ------
        ManifestError
            No such model or variant, or a graph that is not the manifest's.
        """
        self.manifest, self.folder = load_manifest(model)
        self.variant, self._graph = read_graph(self.manifest, self.folder, variant)

    def __call__(self, record: LabelledRecord, start_ns: int) -> DecisionTrace:
        """Return the decisions on a record's channels from `start_ns` on.

        Raises
        ------
        EdgequakeError
            Whatever the runner raises: an unreadable file, a sampling rate that the model does not take.
        """
        plan = plan_inputs((str(record.file),), self.manifest, record.channels)
        streams = tuple(self.stream(stream.traces(plan.note), start_ns) for stream in plan.streams)
        if not any(len(stream.spans) for stream in streams):
            raise DataError(f"{record.file} has no sample from {start_ns} ns since 1970 on; start earlier")
        return DecisionTrace(record, start_ns, streams)

    def stream(self, traces: Iterable[Trace], start_ns: int | None = None) -> StreamDecisionTrace:
        """Return the decisions on the pieces of one stream, which come in the order of their start times."""
        recorder = _Recorder(self.manifest.trigger, onset_threshold=1.0)
        detector = Detector(self.manifest, self._graph, self.variant, onset_threshold=1.0, trigger=recorder)
        spans, held = SpanList(), []
        for trace in traces:
            part = trace.between(start_ns, None)
            if len(part.samples):
                spans.add(part)
                held.append(part)
                detector.push(part)
        detector.finish()
        runs = tuple(run.decisions() for run in recorder.runs if len(run.onset))
        return StreamDecisionTrace(runs, spans.spans(), self._refined(held))

    def _refined(self, traces: Sequence[Trace]) -> Callable[[int], int | None]:
        """Return what the runner makes of a rise; each is looked at once, however often it is asked for."""
        config, front_end = self.manifest.onset, self.manifest.front_end
        if config is None:
            return unrefined

        @cache
        def refine(rise_ns: int) -> int | None:
            onset = refine_onset(config, front_end, traces, rise_ns)
            return onset.onset_ns if onset.refined else None

        return refine


def trace_records(
    tracer: DecisionTracer, records: Sequence[LabelledRecord], seeds: Sequence[int], progress: Progress | None = None
) -> tuple[tuple[DecisionTrace, ...], ...]:
    """Return the traces of every record, once per seed of random starts; no seeds: one pass from the records' starts.

    Raises
    ------
    EdgequakeError
        As `Tracer.__call__`.
    """
    n_passes = max(1, len(seeds))
    passes = []
    for i in range(n_passes):
        traces: list[DecisionTrace] = []
        for record in records:
            traces.append(tracer(record, random_start_ns(record, seeds[i]) if seeds else record.start_ns))
            if progress is not None:
                progress((i + len(traces) / len(records)) / n_passes)
        passes.append(tuple(traces))
    return tuple(passes)


def replay(trace: DecisionTrace, config: TriggerConfig, threshold: float) -> Detections:
    """Return the onsets and kept intervals that the runner would give with these settings.

    Onsets are the runner's to the nanosecond. Where a kept interval is clipped at a record's edge, the runner's may
    differ by less than a sample: it adds up the samples that it joins, while here each trace stands at its own time.

    Parameters
    ----------
    config : the trigger's settings; its onset thresholds are not looked at.
    threshold : onset probability that declares an event.
    """
    onsets: list[int] = []
    kept: list[tuple[int, int]] = []
    for stream in trace.streams:
        events = [event for run in stream.runs for event in events_of(run, config, threshold)]
        onsets += [_onset_ns(stream, event, config) for event in events]
        kept += kept_intervals(events, config, stream.spans)
    return Detections(tuple(sorted(onsets)), tuple(sorted(kept)))


def unrefined(rise_ns: int) -> None:
    """The trigger's onset stands."""


def _onset_ns(stream: StreamDecisionTrace, event: Event, config: TriggerConfig) -> int:
    refined_ns = stream.refine(event.onset_ns + round(config.onset_lag_s * NS_PER_S))
    return event.onset_ns if refined_ns is None else refined_ns


def events_of(run: Decisions, config: TriggerConfig, threshold: float) -> list[Event]:
    """Return the events of one run of decisions, as `edgequake.edge.detection.trigger.Trigger` finds them.

    Idle stretches, in which no event is open and the onset probability is low, are passed over: all that they can do is
    re-arm the trigger, and for that their lowest decision stands for all.
    """
    trigger = Trigger(config, threshold)
    rises = np.flatnonzero(run.onset >= threshold)
    decisions = run.listed()
    events: list[Event | None] = []
    i, n = 0, len(decisions)
    while i < n:
        if decisions[i][2] < threshold and trigger.earliest_onset_ns is None:
            place = int(np.searchsorted(rises, i))
            if place == len(rises):
                break
            rise = int(rises[place])
            trigger.push(Decision(*decisions[i + int(np.argmin(run.onset[i:rise]))]))
            i = rise
        events.append(trigger.push(Decision(*decisions[i])))
        i += 1
    return [event for event in (*events, trigger.close()) if event is not None]


class _Recorder(Trigger):
    """Takes decisions down instead of judging them."""

    def __init__(self, config: TriggerConfig, onset_threshold: float) -> None:
        self.runs: list[_DecisionRun] = []
        super().__init__(config, onset_threshold)

    def reset(self) -> None:
        super().reset()
        self.runs.append(_DecisionRun())

    def push(self, decision: Decision) -> None:
        self.runs[-1].add(decision)


@dataclass
class _DecisionRun:
    """Decisions as they come; plain arrays, as a day of a fast model has a million."""

    start_ns: array[int] = field(default_factory=lambda: array("q"))
    stop_ns: array[int] = field(default_factory=lambda: array("q"))
    onset: array[float] = field(default_factory=lambda: array("d"))
    event: array[float] = field(default_factory=lambda: array("d"))
    onset_ns: array[int] = field(default_factory=lambda: array("q"))

    def add(self, decision: Decision) -> None:
        self.start_ns.append(decision.start_ns)
        self.stop_ns.append(decision.stop_ns)
        self.onset.append(decision.onset)
        self.event.append(decision.event)
        self.onset_ns.append(decision.start_ns if decision.onset_ns is None else decision.onset_ns)

    def decisions(self) -> Decisions:
        return Decisions(
            start_ns=np.array(self.start_ns, np.int64),
            stop_ns=np.array(self.stop_ns, np.int64),
            onset=np.array(self.onset, np.float64),
            event=np.array(self.event, np.float64),
            onset_ns=np.array(self.onset_ns, np.int64),
        )

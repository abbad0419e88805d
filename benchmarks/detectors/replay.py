"""Run front end and network once, then replay the trigger as often as needed.

A network takes minutes over a set of records, the trigger behind it milliseconds. `DecisionTracer` runs a model over a
record and records its decisions; `replay` returns what the runner would report and keep of them with any trigger
settings and threshold. Thresholds and durations are chosen that way, and models compared::

    tracer = DecisionTracer("moon")
    trace = tracer(record, start_ns)
    for threshold in (0.5, 0.7, 0.9):
        print(threshold, replay(trace, tracer.manifest.trigger, threshold).onsets_ns)
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

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
class Decisions:
    """A contiguous run of decisions between two resets of the network; all arrays have shape (n_decisions,)."""

    start_ns: npt.NDArray[np.int64]
    stop_ns: npt.NDArray[np.int64]
    onset: npt.NDArray[np.float64]
    event: npt.NDArray[np.float64]
    onset_ns: npt.NDArray[np.int64]  # when the event began; `start_ns` of a network that does not give this

    def rows(self) -> list[tuple[int, int, float, float, int]]:
        """Return the fields of one `Decision` after another."""
        columns = (self.start_ns, self.stop_ns, self.onset, self.event, self.onset_ns)
        return list(zip(*(column.tolist() for column in columns), strict=True))

    def at(self, i: int) -> Decision:
        """Return one of them as the trigger takes it."""
        onset, event = float(self.onset[i]), float(self.event[i])
        return Decision(int(self.start_ns[i]), int(self.stop_ns[i]), onset, event, int(self.onset_ns[i]))


@dataclass(frozen=True)
class SampleSpans:
    """The times for which a stream has samples: an entry for each trace of any channel, arrays of shape (n_traces,)."""

    start_ns: npt.NDArray[np.int64]
    n_samples: npt.NDArray[np.int64]
    rate_hz: npt.NDArray[np.float64]

    @classmethod
    def of(cls, traces: Sequence[Trace]) -> SampleSpans:
        """Return the spans of traces."""
        return cls(
            np.array([trace.start_ns for trace in traces], np.int64),
            np.array([len(trace.samples) for trace in traces], np.int64),
            np.array([trace.sampling_rate_hz for trace in traces], np.float64),
        )

    def __len__(self) -> int:
        return len(self.start_ns)

    @property
    def stop_ns(self) -> npt.NDArray[np.int64]:
        """Time one sampling interval after each trace's last sample."""
        return self.start_ns + self._duration_ns(self.n_samples)

    def clip(self, interval: Interval) -> Interval:
        """Return an interval without the edges that hold no sample, if these are a sampling interval long or more."""
        first, stop = (self._index_at(time_ns) for time_ns in interval)
        filled = first < stop
        if not filled.any():
            return interval
        starts_ns = self.start_ns + self._duration_ns(first)
        stops_ns = starts_ns + self._duration_ns(stop - first)  # rounded twice, as a trace's stop is
        start_ns, stop_ns = int(np.min(starts_ns[filled])), int(np.max(stops_ns[filled]))
        sampling_ns = round(NS_PER_S / float(np.min(self.rate_hz[filled])))
        return (
            start_ns if start_ns - interval[0] >= sampling_ns else interval[0],
            stop_ns if interval[1] - stop_ns >= sampling_ns else interval[1],
        )

    def _index_at(self, time_ns: int) -> npt.NDArray[np.int64]:
        """Return the index in each trace of the first sample at or after a time, as `Trace.between` counts."""
        exact = (time_ns - self.start_ns) * self.rate_hz / NS_PER_S
        index: npt.NDArray[np.int64] = np.clip(np.ceil(exact - 1e-3), 0, self.n_samples).astype(np.int64)
        return index

    def _duration_ns(self, n_samples: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        time_ns: npt.NDArray[np.int64] = np.rint(n_samples * NS_PER_S / self.rate_hz).astype(np.int64)
        return time_ns


@dataclass(frozen=True)
class StreamDecisionTrace:
    """The decisions on one stream, a station's consecutive files; nearly every record is a single stream."""

    runs: tuple[Decisions, ...]
    spans: SampleSpans
    # Rise of the probability, ns -> refined onset, ns; None where the trigger's onset stands.
    refine: Callable[[int], int | None] | None


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
            No such model or variant, or the graph does not match the manifest.
        """
        self.manifest, self.folder = load_manifest(model)
        self.variant, self._graph = read_graph(self.manifest, self.folder, variant)

    def __call__(self, record: LabelledRecord, start_ns: int) -> DecisionTrace:
        """Return the decisions on a record's channels from `start_ns` on.

        Raises
        ------
        EdgequakeError
            Whatever the runner raises: an unreadable file, a sampling rate that the model does not accept.
        """
        plan = plan_inputs((str(record.file),), self.manifest, record.channels)
        streams = tuple(self.stream(stream.traces(plan.diagnostics), start_ns) for stream in plan.streams)
        if not any(len(stream.spans) for stream in streams):
            raise DataError(f"{record.file} has no sample from {start_ns} ns since 1970 on; start earlier")
        return DecisionTrace(record, start_ns, streams)

    def stream(self, traces: Iterable[Trace], start_ns: int | None = None) -> StreamDecisionTrace:
        """Return the decisions on the traces of one stream, which come in the order of their start times."""
        recorder = _Recorder(self.manifest.trigger, onset_threshold=1.0)
        detector = Detector(self.manifest, self._graph, self.variant, onset_threshold=1.0, trigger=recorder)
        used: list[Trace] = []
        for trace in traces:
            after_start = trace.between(start_ns, None)
            if len(after_start.samples):
                used.append(after_start)
                detector.push(after_start)
        detector.finish()
        runs = tuple(run.decisions() for run in recorder.runs if len(run))
        return StreamDecisionTrace(runs, SampleSpans.of(used), self._refine_in(used))

    def _refine_in(self, traces: Sequence[Trace]) -> Callable[[int], int | None] | None:
        """Return the runner's refinement of onsets; each rise is refined once, however often it is asked for."""
        config, front_end, rate_hz = self.manifest.onset, self.manifest.front_end, self.manifest.sampling_rate_hz
        if config is None:
            return None

        @cache
        def refine(rise_ns: int) -> int | None:
            onset = refine_onset(config, front_end, traces, rise_ns, model_rate_hz=rate_hz)
            return onset.onset_ns if onset.refined else None

        return refine


def replay(trace: DecisionTrace, config: TriggerConfig, threshold: float) -> Detections:
    """Return the onsets and kept intervals that the runner would give with these settings.

    Onsets are the runner's to the nanosecond. Where a kept interval is clipped at a record's edge, the runner's may
    differ by less than a sample: it adds up the samples that it joins, while here each trace keeps its own start time.

    Parameters
    ----------
    config : the trigger's settings; its onset thresholds are not used.
    threshold : onset probability that declares an event.
    """
    onsets: list[int] = []
    kept: list[Interval] = []
    for stream in trace.streams:
        events = [event for run in stream.runs for event in events_of(run, config, threshold)]
        onsets += [_onset_ns(stream, event, config) for event in events]
        kept += kept_intervals(events, config, stream.spans)
    return Detections(tuple(sorted(onsets)), tuple(sorted(kept)))


def events_of(run: Decisions, config: TriggerConfig, threshold: float) -> list[Event]:
    """Return the events of one run of decisions, as `edgequake.edge.detection.trigger.Trigger` finds them.

    The trigger gets the decisions that can matter to it and no others, in the order of time. Which one makes an event
    too long depends on when the event opened, and is found on the way.
    """
    trigger = Trigger(config, threshold)
    longest_ns = round(config.max_event_s * NS_PER_S)
    events: list[Event | None] = []
    pushed = -1
    for i in _decisions_that_matter(run, config, threshold):
        if trigger.open_rise_ns is not None:
            too_long = int(np.searchsorted(run.stop_ns, trigger.open_rise_ns + longest_ns))
            if pushed < too_long < i:
                peak = pushed + 1 + int(np.argmax(run.onset[pushed + 1 : too_long + 1]))
                events += [trigger.push(run.at(j)) for j in sorted({peak, too_long})]
        events.append(trigger.push(run.at(i)))
        pushed = i
    return [event for event in (*events, trigger.close()) if event is not None]


def _decisions_that_matter(run: Decisions, config: TriggerConfig, threshold: float) -> list[int]:
    """Return the indices of decisions on which events depend, unless one becomes too long; sorted.

    Of a rise: its first and last decision and the one before it, the one that declares an event, and the largest up to
    there and from there on. Between rises: the lowest, which re-arms the trigger. Of a time in which an event would
    continue: its last decision, and the first one so much later that it would close. With `sure_event`, all decisions
    with a high event probability; with `longest_rise_s`, both sides of the level at which a rise begins.
    """
    n = len(run.stop_ns)
    if n == 0:
        return []
    high = run.onset >= threshold
    edges = np.flatnonzero(np.diff(high, prepend=False, append=False))
    firsts, stops = edges[::2], edges[1::2]
    declared = np.searchsorted(run.stop_ns, run.start_ns[firsts] + round(config.min_duration_s * NS_PER_S))
    active = high | (run.event >= config.event_threshold)
    last_active = np.maximum.accumulate(np.where(active, np.arange(n), -1))
    held = (last_active >= 0) & (run.stop_ns - run.stop_ns[last_active] >= round(config.hold_s * NS_PER_S))
    chosen = {0, n - 1}
    if config.sure_event is not None:  # every decision of an event's course, and the first one after it
        course = run.event >= config.event_threshold
        chosen.update(np.flatnonzero(course | np.append(False, course[:-1])).tolist())
    chosen.update(np.flatnonzero(active & ~np.append(active[1:], False)).tolist())
    chosen.update(np.flatnonzero(held & ~np.append(False, held[:-1])).tolist())
    if config.longest_rise_s > 0:  # where the probability rises above the lower level, and the decision before
        above = run.onset >= config.rearm_ratio * threshold
        chosen.update(np.flatnonzero(above != np.append(above[1:], above[-1])).tolist())
        chosen.update(np.flatnonzero(above & ~np.append(False, above[:-1])).tolist())
    stop_before = 0
    for first, stop, at in zip(firsts.tolist(), stops.tolist(), declared.tolist(), strict=True):
        at = min(max(at, first), stop - 1)
        chosen.update((first, stop - 1, at))
        chosen.add(first + int(np.argmax(run.onset[first : at + 1])))
        chosen.add(at + int(np.argmax(run.onset[at:stop])))
        if stop_before < first:
            chosen.update((first - 1, stop_before + int(np.argmin(run.onset[stop_before:first]))))
        stop_before = stop
    return sorted(chosen)


def kept_intervals(events: Sequence[Event], config: TriggerConfig, spans: SampleSpans) -> list[Interval]:
    """Return the segments that the runner keeps for the events of one stream, in the order of their onsets.

    The rule of `edgequake.edge.results.segments`, without samples. A segment is [onset - pre-roll, stop + post-roll).
    Overlapping segments are merged up to twice the longest event, after which a new one begins where the last one
    stops. Each is clipped where the record has no sample at its edges.
    """
    pre_ns, post_ns = round(config.pre_roll_s * NS_PER_S), round(config.post_roll_s * NS_PER_S)
    longest_ns = round(2 * config.max_event_s * NS_PER_S) + pre_ns + post_ns
    segments: list[Interval] = []
    for event in events:
        start_ns, stop_ns = event.onset_ns - pre_ns, event.stop_ns + post_ns
        if segments and start_ns <= segments[-1][1]:
            if stop_ns - segments[-1][0] <= longest_ns:
                segments[-1] = (segments[-1][0], max(segments[-1][1], stop_ns))
                continue
            start_ns = segments[-1][1]
        segments.append((start_ns, max(stop_ns, start_ns)))
    return [spans.clip(segment) for segment in segments]


def _onset_ns(stream: StreamDecisionTrace, event: Event, config: TriggerConfig) -> int:
    rise_ns = event.onset_ns + round(config.onset_lag_s * NS_PER_S)
    refined_ns = stream.refine(rise_ns) if stream.refine else None
    return event.onset_ns if refined_ns is None else refined_ns


class _Recorder(Trigger):
    """Records decisions in place of judging them."""

    def __init__(self, config: TriggerConfig, onset_threshold: float) -> None:
        self.runs: list[_DecisionRun] = []
        super().__init__(config, onset_threshold)

    def reset(self) -> None:
        super().reset()
        self.runs.append(_DecisionRun())

    def push(self, decision: Decision) -> None:
        self.runs[-1].add(decision)


class _DecisionRun:
    """Decisions as they come, in plain arrays: a day of a fast model has a million."""

    def __init__(self) -> None:
        self._columns: list[array[Any]] = [array(code) for code in "qqddq"]  # the fields of `Decisions`

    def __len__(self) -> int:
        return len(self._columns[0])

    def add(self, decision: Decision) -> None:
        onset_ns = decision.start_ns if decision.onset_ns is None else decision.onset_ns
        fields = (decision.start_ns, decision.stop_ns, decision.onset, decision.event, onset_ns)
        for column, value in zip(self._columns, fields, strict=True):
            column.append(value)

    def decisions(self) -> Decisions:
        return Decisions(*(np.array(column) for column in self._columns))

"""Keep the raw samples around events, and write them out bit for bit."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from sys import intern

import numpy as np

from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.checkpoint import State
from edgequake.edge.detection.onset import Refine
from edgequake.edge.detection.trigger import Event
from edgequake.edge.formats.miniseed import encode
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, channel_of, duration_ns
from edgequake.edge.manifest.manifest import TriggerConfig
from edgequake.edge.results.catalog import CatalogRow, Ledger, Segment, event_id
from edgequake.edge.results.priority import Priorities, signal_to_noise

__all__ = ["Segment", "SegmentWriter"]

_REPEATED_WITHIN = 8  # pieces of a channel: links repeat what they sent last


@dataclass
class _Pending:
    start_ns: int
    stop_ns: int
    events: list[Event]


class SegmentWriter:
    """Ring of a station's raw traces, and the segments cut from it.

    A segment is [onset - pre-roll, stop + post-roll) of an event; overlapping ones are merged, up to twice the longest
    event, after which a new segment goes on where the last one stops. No sample is kept twice. `refine`, if given, says
    when an event began from the samples held around it; it may look no further than pre-roll and post-roll.
    `priorities` says how urgent it is.
    """

    def __init__(
        self,
        folder: Path,
        station_id: str,
        config: TriggerConfig,
        ledger: Ledger | None = None,
        refine: Refine | None = None,
        priorities: Priorities | None = None,
    ) -> None:
        self._folder = folder
        self._station_id = station_id
        self._refine = refine
        self._priorities = Priorities(config.max_event_s) if priorities is None else priorities
        self._ledger = Ledger() if ledger is None else ledger
        self._pre_ns = round(config.pre_roll_s * NS_PER_S)
        self._post_ns = round(config.post_roll_s * NS_PER_S)
        self._longest_ns = round(2 * config.max_event_s * NS_PER_S) + self._pre_ns + self._post_ns
        self._traces: dict[str, deque[Trace]] = {}
        self._pending: deque[_Pending] = deque()
        self._written_until_ns: int | None = None
        self.oldest_ns: int | None = None  # no sample before it is wanted any more

    def add_trace(self, trace: Trace) -> None:
        """Hold a trace's raw samples until it is certain that no event wants them; a trace that came before is not."""
        held = self._traces.setdefault(trace.source_id, deque())
        if not any(_same(trace, earlier) for earlier in islice(reversed(held), _REPEATED_WITHIN)):
            held.append(trace)

    def add_event(self, event: Event) -> None:
        """Claim the samples around an event; events come in the order of their onsets."""
        start_ns, stop_ns = event.onset_ns - self._pre_ns, event.stop_ns + self._post_ns
        last = self._pending[-1] if self._pending else None
        if last is not None and start_ns <= last.stop_ns and stop_ns - last.start_ns <= self._longest_ns:
            last.stop_ns = max(last.stop_ns, stop_ns)
            last.events.append(event)
            return
        taken_until_ns = last.stop_ns if last is not None else self._written_until_ns
        if taken_until_ns is not None:
            start_ns = max(start_ns, taken_until_ns)
        self._pending.append(_Pending(start_ns, max(stop_ns, start_ns), [event]))

    def flush(self, horizon_ns: int | None) -> list[tuple[Segment, list[CatalogRow]]]:
        """Write the segments that no later event can reach, drop the samples nobody can want.

        `horizon_ns` is the detector's: no later event begins before it. None: nothing more will come.

        Raises
        ------
        DataError
            A segment cannot be written.
        """
        reach_ns = None if horizon_ns is None else horizon_ns - self._pre_ns
        written = []
        while self._pending and (reach_ns is None or self._pending[0].stop_ns < reach_ns):
            written.append(self._write(self._pending[0]))
            self._written_until_ns = self._pending.popleft().stop_ns
        if reach_ns is not None:
            self.oldest_ns = min([reach_ns, *(p.start_ns for p in self._pending)])
            self._drop_before(self.oldest_ns)
        return written

    def _write(self, pending: _Pending) -> tuple[Segment, list[CatalogRow]]:
        cut = {name: self._cut(traces, pending) for name, traces in sorted(self._traces.items())}
        kept = [trace for traces in cut.values() for trace in _joined(traces)]
        start_ns, stop_ns = _within_record(pending, kept)
        name = self._ledger.name(event_id(self._station_id, start_ns))
        acknowledged = self._ledger.acknowledged(name)
        if acknowledged is not None:
            n_samples, size_bytes = acknowledged[0].n_samples, acknowledged[0].size_bytes
            for row in acknowledged:
                self._priorities.note(row.station_id, row.onset_ns, row.mq_type)
            return Segment(name, self._station_id, start_ns, stop_ns, n_samples, size_bytes), acknowledged
        data = encode(kept)
        write_bytes_atomically(self._folder / name, data, self._ledger.make_room)
        n_samples = sum(len(trace.samples) for trace in kept)
        segment = Segment(name, self._station_id, start_ns, stop_ns, n_samples, len(data))
        # One text for all rows: they are held to the end of the run, which may be months away.
        channels = tuple(dict.fromkeys(intern(channel_of(trace.source_id)) for trace in kept))
        return segment, [self._row(event, segment, channels, kept) for event in pending.events]

    def state(self) -> State:
        """Return what `restore` goes on from."""
        return {
            "pieces": {name: [vars(trace) for trace in traces] for name, traces in self._traces.items()},
            "pending": [[p.start_ns, p.stop_ns, [vars(event) for event in p.events]] for p in self._pending],
            "written_until_ns": self._written_until_ns,
        }

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        self._traces = {name: deque(Trace(**trace) for trace in traces) for name, traces in state["pieces"].items()}
        pending = ((start_ns, stop_ns, [Event(**e) for e in events]) for start_ns, stop_ns, events in state["pending"])
        self._pending = deque(_Pending(*values) for values in pending)
        self._written_until_ns = state["written_until_ns"]

    @staticmethod
    def _cut(traces: deque[Trace], pending: _Pending) -> list[Trace]:
        parts = (trace.between(pending.start_ns, pending.stop_ns) for trace in traces)
        return [part for part in parts if len(part.samples)]

    def _row(self, event: Event, segment: Segment, channels: tuple[str, ...], kept: Sequence[Trace]) -> CatalogRow:
        onset_ns, uncertainty_s = self._onset(event)
        file, file_start_ns = self._file_at(onset_ns)
        stop_ns = max(event.stop_ns, onset_ns)
        # Of what is kept: what else is still held depends on how the record was cut.
        ratio = signal_to_noise(kept, onset_ns, stop_ns, self._pre_ns)
        return CatalogRow(
            filename=_bare_name(file),
            onset_ns=onset_ns,
            time_rel_s=(onset_ns - file_start_ns) / NS_PER_S,
            evid=event_id(self._station_id, onset_ns),
            mq_type=event.mq_type,
            station_id=self._station_id,
            channels=channels,
            stop_ns=stop_ns,
            onset_uncertainty_s=uncertainty_s,
            peak_probability=event.peak_probability,
            priority=self._priorities.of(
                self._station_id, onset_ns, stop_ns, event.peak_probability, event.mq_type, ratio
            ),
            segment=segment.file,
            n_samples=segment.n_samples,
            size_bytes=segment.size_bytes,
            sent=False,
        )

    def _onset(self, event: Event) -> tuple[int, float | None]:
        if self._refine is None:
            return event.onset_ns, None
        onset = self._refine(self._held(), event.onset_ns)
        return onset.onset_ns, onset.sigma_s

    def _file_at(self, time_ns: int) -> tuple[str, int]:
        """Name and start of the file that covers a time, or of the one nearest to it."""
        held = list(self._held())
        if not held:
            return "-", time_ns
        trace = min(held, key=lambda trace: max(trace.start_ns - time_ns, time_ns - trace.stop_ns, 0))
        return trace.file, trace.start_ns if trace.file_start_ns is None else trace.file_start_ns

    def _held(self) -> Iterator[Trace]:
        return (trace for name in sorted(self._traces) for trace in self._traces[name])

    def _drop_before(self, time_ns: int) -> None:
        for traces in self._traces.values():
            while traces and traces[0].stop_ns <= time_ns:
                traces.popleft()


def _same(trace: Trace, other: Trace) -> bool:
    return trace.start_ns == other.start_ns and np.array_equal(trace.samples, other.samples)


def _within_record(pending: _Pending, kept: list[Trace]) -> tuple[int, int]:
    """Clip an interval where the record starts later or stops earlier by a sample or more."""
    if not kept:
        return pending.start_ns, pending.stop_ns
    interval_ns = duration_ns(1, min(trace.sampling_rate_hz for trace in kept))
    start_ns, stop_ns = min(trace.start_ns for trace in kept), max(trace.stop_ns for trace in kept)
    return (
        start_ns if start_ns - pending.start_ns >= interval_ns else pending.start_ns,
        stop_ns if pending.stop_ns - stop_ns >= interval_ns else pending.stop_ns,
    )


def _joined(traces: list[Trace]) -> list[Trace]:
    """Join traces that follow one another to within a hundredth of a sample, so that fewer records are written."""
    runs: list[list[Trace]] = []
    stop_ns, n_samples = 0, 0
    for trace in traces:
        tolerance_ns = duration_ns(1, trace.sampling_rate_hz) // 100
        first = runs[-1][0] if runs else None
        if first is None or first.samples.dtype != trace.samples.dtype or abs(trace.start_ns - stop_ns) > tolerance_ns:
            first, n_samples = trace, 0
            runs.append([])
        runs[-1].append(trace)
        n_samples += len(trace.samples)
        stop_ns = first.start_ns + duration_ns(n_samples, first.sampling_rate_hz)
    return [
        run[0] if len(run) == 1 else replace(run[0], samples=np.concatenate([trace.samples for trace in run]))
        for run in runs
    ]


def _bare_name(file: str) -> str:
    """Return a file's name without .mseed, .miniseed or .csv, as the packet's lunar catalogue does."""
    stem, dot, extension = file.rpartition(".")
    return stem if dot and extension.lower() in ("mseed", "miniseed", "csv") else file

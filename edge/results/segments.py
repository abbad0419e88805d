"""Event waveforms: the raw samples around events, buffered and then written bit for bit as segments."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from sys import intern

from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.detection.onset import Refine
from edgequake.edge.detection.trigger import Event
from edgequake.edge.formats.miniseed import encode
from edgequake.edge.formats.source_ids import channel_of
from edgequake.edge.formats.waveforms import NS_PER_S, RawHistory, Trace, duration_ns, merge_contiguous
from edgequake.edge.manifest.manifest import TriggerConfig
from edgequake.edge.results.catalog import CatalogRow, Segment
from edgequake.edge.results.ledger import Ledger
from edgequake.edge.results.priority import Priorities, signal_to_noise


@dataclass
class _OpenSegment:
    """A segment to be written, [start, stop)."""

    start_ns: int
    stop_ns: int
    events: list[Event]


class SegmentWriter:
    """Buffers a station's raw traces and writes the segments around its events.

    A segment is [onset - pre-roll, stop + post-roll) of an event. Overlapping segments are merged, up to twice the
    longest event; then a new segment begins where the last one stops. No sample is written twice.
    """

    def __init__(
        self,
        folder: Path,
        station_id: str,
        config: TriggerConfig,
        ledger: Ledger | None = None,
        refine: Refine | None = None,
        priorities: Priorities | None = None,
        diagnostics: Diagnostics | None = None,
    ) -> None:
        """Write to `folder`.

        refine : returns the onset of an event from the samples around it; it may look no further than the pre-roll and
            the post-roll. By default the trigger's onset is used.
        priorities : assigns the events' downlink priorities; by default with the formula of `priority`.
        diagnostics : counts samples that differ from earlier ones of the same time.
        """
        self._folder, self._station_id = folder, station_id
        self._ledger = Ledger() if ledger is None else ledger
        self._history = RawHistory(diagnostics)
        self.use(config, refine, priorities)
        self._open: deque[_OpenSegment] = deque()
        self._written_until_ns: int | None = None
        self.oldest_ns: int | None = None  # earlier samples are no longer needed
        self.keep_from_ns: int | None = None  # samples that a model needs that may follow

    def use(self, config: TriggerConfig, refine: Refine | None, priorities: Priorities | None) -> None:
        """Write the segments of another model, while none is open; the parameters are those of the constructor."""
        self._refine = refine
        self._priorities = Priorities(config.max_event_s) if priorities is None else priorities
        self._pre_ns = round(config.pre_roll_s * NS_PER_S)
        self._post_ns = round(config.post_roll_s * NS_PER_S)
        self._longest_ns = round(2 * config.max_event_s * NS_PER_S) + self._pre_ns + self._post_ns
        self.keep_from_ns = None

    @property
    def is_open(self) -> bool:
        """Whether a segment is still to be written."""
        return bool(self._open)

    def add_trace(self, trace: Trace) -> None:
        """Buffer a trace's raw samples until no event can need them; samples that are there already are dropped."""
        self._history.add(trace)

    def add_late(self, trace: Trace) -> None:
        """Buffer a trace that comes out of order, as far as its samples are missing and may still be needed."""
        if self.oldest_ns is not None:
            trace = trace.between(self.oldest_ns, None)
        self._history.add_late(trace)

    def add_event(self, event: Event) -> None:
        """Have the samples around an event written; events must be added in the order of their onsets."""
        start_ns, stop_ns = event.onset_ns - self._pre_ns, event.stop_ns + self._post_ns
        last = self._open[-1] if self._open else None
        if last is not None and start_ns <= last.stop_ns and stop_ns - last.start_ns <= self._longest_ns:
            last.stop_ns = max(last.stop_ns, stop_ns)
            last.events.append(event)
            return
        written_until_ns = last.stop_ns if last is not None else self._written_until_ns
        if written_until_ns is not None:
            start_ns = max(start_ns, written_until_ns)
        self._open.append(_OpenSegment(start_ns, max(stop_ns, start_ns), [event]))

    def flush(self, horizon_ns: int | None) -> list[tuple[Segment, tuple[CatalogRow, ...]]]:
        """Write the segments that no later event can extend, and drop samples that no event can need.

        `horizon_ns` is the detector's: no later event begins before it. None: no more samples will come.

        Raises
        ------
        DataError
            A segment cannot be written.
        """
        reach_ns = None if horizon_ns is None else horizon_ns - self._pre_ns
        written = []
        while self._open and (reach_ns is None or self._open[0].stop_ns < reach_ns):
            if (new := self._write(self._open[0])) is not None:
                written.append(new)
            self._written_until_ns = self._open.popleft().stop_ns
        if reach_ns is not None:
            self.oldest_ns = min([reach_ns, *(self._needed_from_ns(segment) for segment in self._open)])
            if self.keep_from_ns is not None:
                self.oldest_ns = min(self.oldest_ns, self.keep_from_ns)
            self._history.drop_before(self.oldest_ns)
        return written

    def _write(self, segment: _OpenSegment) -> tuple[Segment, tuple[CatalogRow, ...]] | None:
        """Write a segment; return None where the very same samples were written before: they came twice."""
        parts = (trace.between(segment.start_ns, segment.stop_ns) for trace in self._history)
        kept = merge_contiguous(part for part in parts if len(part.samples))
        start_ns, stop_ns = _within_record(segment, kept)
        name, earlier = self._ledger.segment_name(self._station_id, start_ns)
        pending = self._ledger.pending_rows(name)
        if pending is not None:  # an earlier process has written it
            for row in pending:
                self._priorities.remember(row.station_id, row.onset_ns, row.mq_type)
            n_samples, size_bytes = pending[0].n_samples, pending[0].size_bytes
            return Segment(name, self._station_id, start_ns, stop_ns, n_samples, size_bytes), pending
        data = encode(kept)
        if earlier is not None and self._ledger.is_segment(self._folder, earlier, data):
            return None
        self._ledger.write_segment(self._folder, name, data)
        n_samples = sum(len(trace.samples) for trace in kept)
        written = Segment(name, self._station_id, start_ns, stop_ns, n_samples, len(data))
        # Interned: the send queue may hold thousands of rows.
        channels = tuple(dict.fromkeys(intern(channel_of(trace.source_id)) for trace in kept))
        return written, tuple(self._row(event, written, channels, kept) for event in segment.events)

    def state(self) -> State:
        return {
            "traces": self._history.state(),
            "open": [[one.start_ns, one.stop_ns, [vars(event) for event in one.events]] for one in self._open],
            "written_until_ns": self._written_until_ns,
        }

    def restore(self, state: State) -> None:
        self._history.restore(state["traces"])
        self._open = deque(
            _OpenSegment(start_ns, stop_ns, [Event(**event) for event in events])
            for start_ns, stop_ns, events in state["open"]
        )
        self._written_until_ns = state["written_until_ns"]

    def _row(self, event: Event, segment: Segment, channels: tuple[str, ...], kept: Sequence[Trace]) -> CatalogRow:
        onset_ns, uncertainty_s = self._onset(event)
        file, file_start_ns = self._file_at(onset_ns)
        stop_ns = max(event.stop_ns, onset_ns)
        # From the segment alone: what else is buffered depends on how the record was cut into traces.
        ratio = signal_to_noise(kept, onset_ns, stop_ns, self._pre_ns)
        return CatalogRow(
            filename=_bare_name(file),
            onset_ns=onset_ns,
            time_rel_s=(onset_ns - file_start_ns) / NS_PER_S,
            evid=self._ledger.assign_evid(self._station_id, onset_ns),
            mq_type=event.mq_type,
            station_id=self._station_id,
            channels=channels,
            stop_ns=stop_ns,
            onset_uncertainty_s=uncertainty_s,
            peak_probability=event.peak_probability,
            priority=self._priorities.assign(
                self._station_id, onset_ns, stop_ns, event.peak_probability, event.mq_type, ratio
            ),
            segment=segment.file,
            n_samples=segment.n_samples,
            size_bytes=segment.size_bytes,
        )

    def _onset(self, event: Event) -> tuple[int, float | None]:
        if self._refine is None:
            return event.onset_ns, None
        onset = self._refine(self._history, event.onset_ns)
        return onset.onset_ns, onset.sigma_s

    def _file_at(self, time_ns: int) -> tuple[str, int]:
        """Return name and start of the file that covers a time, or of the nearest one."""
        buffered = list(self._history)
        if not buffered:
            return "-", time_ns
        trace = min(buffered, key=lambda trace: max(trace.start_ns - time_ns, time_ns - trace.stop_ns, 0))
        return trace.file, trace.start_ns if trace.file_start_ns is None else trace.file_start_ns

    def _needed_from_ns(self, segment: _OpenSegment) -> int:
        """Return where the samples begin that a segment needs: its onset may need some that an earlier one has."""
        return min(segment.start_ns, segment.events[0].onset_ns - self._pre_ns)


def _within_record(segment: _OpenSegment, kept: list[Trace]) -> tuple[int, int]:
    """Clip the interval of a segment where the record starts later or stops earlier by a sample or more."""
    if not kept:
        return segment.start_ns, segment.stop_ns
    interval_ns = duration_ns(1, min(trace.sampling_rate_hz for trace in kept))
    start_ns, stop_ns = min(trace.start_ns for trace in kept), max(trace.stop_ns for trace in kept)
    return (
        start_ns if start_ns - segment.start_ns >= interval_ns else segment.start_ns,
        stop_ns if segment.stop_ns - stop_ns >= interval_ns else segment.stop_ns,
    )


def _bare_name(file: str) -> str:
    """Return a file's name without .mseed, .miniseed or .csv, as in the lunar catalogue of the packet."""
    stem, dot, extension = file.rpartition(".")
    return stem if dot and extension.lower() in ("mseed", "miniseed", "csv") else file

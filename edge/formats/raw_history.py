"""The newest raw samples of a station, from which segments are cut and onsets refined."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.formats.source_ids import channel_title
from edgequake.edge.formats.waveforms import Trace, duration_ns, n_differing, new_parts

_RECENT_TRACES = 8  # of a channel, among which repeats are looked for: links repeat what they sent last


class RawHistory:
    """Buffers a station's raw traces until they are dropped; each sample once, though it may come twice."""

    def __init__(self, diagnostics: Diagnostics | None = None) -> None:
        """Count in `diagnostics` the samples that differ from earlier ones of the same time."""
        self._diagnostics = Diagnostics() if diagnostics is None else diagnostics
        self._traces: dict[str, deque[Trace]] = {}  # by channel, in the order of time

    def __iter__(self) -> Iterator[Trace]:
        """Yield the traces, channel by channel."""
        return (trace for _, traces in sorted(self._traces.items()) for trace in traces)

    def add(self, trace: Trace) -> None:
        """Buffer a trace; samples that are there already are dropped."""
        buffered = self._traces.setdefault(trace.source_id, deque())
        first_ns = trace.start_ns + duration_ns(1, trace.sampling_rate_hz) // 2  # times are rounded
        recent = [
            earlier
            for earlier in islice(reversed(buffered), _RECENT_TRACES)
            if first_ns < earlier.stop_ns and earlier.start_ns < trace.stop_ns
        ]
        if recent and (n := n_differing(trace, reversed(recent))):
            self._diagnostics.count(
                f"overlapping sample(s) of {channel_title(trace.source_id)} differ from those already read at the same "
                f"time; the first ones are used",
                n,
            )
        buffered.extend(new_parts(trace, recent))

    def add_late(self, trace: Trace) -> None:
        """Buffer a trace that comes out of order, as far as its samples are missing."""
        buffered = self._traces.setdefault(trace.source_id, deque())
        missing = [trace]
        for other in buffered:
            around = [
                part.between(a, b) for part in missing for a, b in ((None, other.start_ns), (other.stop_ns, None))
            ]
            missing = [part for part in around if len(part.samples)]
        if any(len(part.samples) for part in missing):
            self._traces[trace.source_id] = deque(sorted([*buffered, *missing], key=lambda one: one.start_ns))

    def drop_before(self, time_ns: int) -> None:
        """Drop the traces that end before a time."""
        for traces in self._traces.values():
            while traces and traces[0].stop_ns <= time_ns:
                traces.popleft()

    def state(self) -> dict[str, list[dict[str, Any]]]:
        """Return the traces for a checkpoint."""
        return {name: [vars(trace) for trace in traces] for name, traces in self._traces.items()}

    def restore(self, state: dict[str, list[dict[str, Any]]]) -> None:
        """Continue with the traces of a checkpoint."""
        self._traces = {name: deque(Trace(**trace) for trace in traces) for name, traces in state.items()}

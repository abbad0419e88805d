"""Which times the runner keeps of a stream, without its samples: the rule of `edgequake.edge.segments`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgequake.benchmarks.scoring import Interval
from edgequake.edge.manifest import TriggerConfig
from edgequake.edge.piece import NS_PER_S, Piece
from edgequake.edge.trigger import Event


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
        """Time one sampling interval after each piece's last sample."""
        return self.start_ns + self._duration_ns(self.n_samples)

    def within(self, interval: Interval) -> Interval:
        """Return an interval, clipped where the stream's samples in it begin later or stop earlier by one or more."""
        first, stop = (self._index_at(time_ns) for time_ns in interval)
        filled = first < stop
        if not filled.any():
            return interval
        starts_ns = self.start_ns + self._duration_ns(first)
        stops_ns = starts_ns + self._duration_ns(stop - first)  # rounded twice, as a piece's stop is
        start_ns, stop_ns = int(np.min(starts_ns[filled])), int(np.max(stops_ns[filled]))
        interval_ns = round(NS_PER_S / float(np.min(self.rate_hz[filled])))
        return (
            start_ns if start_ns - interval[0] >= interval_ns else interval[0],
            stop_ns if interval[1] - stop_ns >= interval_ns else interval[1],
        )

    def _index_at(self, time_ns: int) -> npt.NDArray[np.int64]:
        """Index in each piece of the first sample at or after a time, as `Piece.between` counts."""
        exact = (time_ns - self.start_ns) * self.rate_hz / NS_PER_S
        index: npt.NDArray[np.int64] = np.clip(np.ceil(exact - 1e-3), 0, self.n_samples).astype(np.int64)
        return index

    def _duration_ns(self, n_samples: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        time_ns: npt.NDArray[np.int64] = np.rint(n_samples * NS_PER_S / self.rate_hz).astype(np.int64)
        return time_ns


class SpanList:
    """Takes down where pieces lie, and forgets their samples."""

    def __init__(self) -> None:
        self._spans: list[tuple[int, int, float]] = []

    def add(self, piece: Piece) -> None:
        """Add a piece of any channel."""
        self._spans.append((piece.start_ns, len(piece.samples), piece.sampling_rate_hz))

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

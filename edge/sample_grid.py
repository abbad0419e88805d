"""Start times that jitter by less than a sample, on an even grid."""

from __future__ import annotations

from edgequake.edge.piece import NS_PER_S, duration_ns

_SHARE = 1.0 / 16.0  # of what a time is off that counts as a drift of the clock
_JUMP = 0.5  # of a sample: where the clock has drifted by so much the grid goes after it
_LATE_S = 60.0  # what is older than the latest by more is no late datagram, but another clock


class SampleGrid:
    """Gives a channel's pieces start times that follow one another exactly where they do so but for jitter.

    A datagram's time is rounded to milliseconds, or read from a clock when the datagram is put together: it is early or
    late by some share of a sample, which would otherwise look like a tear here and an overlap there. A piece within a
    sample of where the latest stopped goes on there; any other begins at the grid position nearest to its time. Where
    the clock drifts, times jump by half a sample each time that it has drifted by that much.
    """

    def __init__(self, sampling_rate_hz: float) -> None:
        self.sampling_rate_hz = sampling_rate_hz
        self._anchor_ns: int | None = None  # time of position 0
        self._next = 0  # position where the latest piece stops
        self._drift = 0.0  # samples by which the times are later than the grid, jitter averaged out

    def place(self, start_ns: int, n_samples: int) -> tuple[int, int]:
        """Return a piece's start on the grid, and by how many samples it is ahead of where the latest stopped.

        Less than 0: it comes late, or again.
        """
        if self._anchor_ns is None:
            self._anchor_ns = start_ns
        position = (start_ns - self._anchor_ns) * self.sampling_rate_hz / NS_PER_S
        nearest = round(position - self._drift)
        goes_on = abs(position - self._drift - self._next) < 1.0
        start, ahead = (self._next, 0) if goes_on else (nearest, nearest - self._next)
        self._drift += _SHARE * (position - start - self._drift)
        if abs(self._drift) > _JUMP:
            self._anchor_ns += round(self._drift * NS_PER_S / self.sampling_rate_hz)
            self._drift = 0.0
        is_late = -_LATE_S * self.sampling_rate_hz < ahead < 0
        self._next = max(self._next, start + n_samples) if is_late else start + n_samples
        return self._anchor_ns + duration_ns(start, self.sampling_rate_hz), ahead

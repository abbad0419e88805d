"""The time of a channel's samples: a count of samples, and the map from that count to time.

A record's header gives the time of its first sample and a sampling rate, and neither is exact: clocks jitter, drift and
step, and rates are nominal. `ChannelClock` counts samples and corrects the map by the times of the records.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from edgequake.edge.base.checkpoint import State
from edgequake.edge.formats.waveforms import NS_PER_S

_HALF = 0.5 + 1e-6  # samples by which times may differ from the map; the excess is rounding
_GAP = 0.9  # samples: a record that is off by more follows a gap, or overlaps what was before
_GAIN = 0.25  # weight of the newest record in the average of their deviations
_CUT_NS = 1_500  # where a record is cut in two, the second piece begins as predicted: miniSEED 2 rounds to microseconds
_CERTAIN_S = 30.0  # a chain as long is no jitter: its own start counts, not the average
_MOST_DRIFT = 2e-3  # of a rate; what looks like more are gaps
_AGREE = 0.15  # samples by which two records that tell of the same rate may differ: clocks jitter
_WHOLE = 0.1  # samples: a change so close to a whole number means lost samples, or repeated ones
_ENOUGH = 2  # agreements: equal gaps after two equal stretches happen, after three hardly


@dataclass(frozen=True)
class TimeMap:
    """The times of the positions from `first` on: ``time = anchor_ns + (position - anchor) / rate_hz``."""

    first: int
    anchor: int  # position
    anchor_ns: int
    rate_hz: float
    on_grid: bool  # positions are those of the model's grid times an integer: no sample need be interpolated

    def position_at(self, time_ns: int) -> float:
        """Return the position of a time."""
        return self.anchor + (time_ns - self.anchor_ns) * self.rate_hz / NS_PER_S

    def time_ns(self, position: float) -> int:
        """Return the time of a position."""
        return self.anchor_ns + round((position - self.anchor) * NS_PER_S / self.rate_hz)


@dataclass(frozen=True)
class _Chain:
    """Records, or pieces of one, that follow each other exactly at the sampling rate of their headers."""

    position: int
    start_ns: int
    rate_hz: float
    late: float  # samples by which it starts later than the map says

    def time_ns(self, n_samples: int) -> int:
        return self.start_ns + round(n_samples * NS_PER_S / self.rate_hz)


class ChannelClock:
    """Gives each record of a channel its position, and keeps the map from positions to time.

    - While the starts of the records stay within half a sample of the map, it stays as it is: jitter is no news.
    - Where their average is off by more, the clock has drifted: from that record on, the map goes through this time at
      the rate measured since the last such point.
    - A record that is off by nearly a sample or more follows a gap or overlaps, and its position jumps; but where three
      in succession tell of the same rate, nothing is missing, and the rate in the header is wrong.
    - Records that follow each other exactly for half a minute are believed, average or not.
    - Between the starts of records the rate in their header tells how late the samples are. It is not believed over
      stretches as long as those for which a later record has shown it to be wrong.

    Where a record is cut in two makes no difference to positions and maps.
    """

    def __init__(self, rate_hz: float, origin_ns: int, on_grid: bool) -> None:
        """Begin with the map that has position 0 at `origin_ns`.

        on_grid : `rate_hz` is that of the model's grid, or an integer multiple, and the time of a record is rounded to
            it; otherwise it is the rate of the first record, whose time is kept exactly.
        """
        self.maps = [TimeMap(0, 0, origin_ns, rate_hz, on_grid)]  # the last one is in force
        self._copies: list[list[TimeMap]] = []  # for other grids that take the same samples
        self._next = 0  # position after the newest sample
        self._late = 0.0  # samples by which records start later than the map says, on average
        self._chain: _Chain | None = None
        self._old: tuple[_Chain, int] | None = None  # samples that have come before, and their number
        self._since = (0, origin_ns)  # position and time from which a rate is measured
        self._drift: float | None = None  # of the newest complete chain: samples late per sample
        self._n_agreeing = 0  # chains in succession that told of the same drift as the one before
        self._disproved = 0  # the longest chain, in samples, whose rate a record has shown to be wrong

    def place(self, start_ns: int, n_samples: int, rate_hz: float) -> int:
        """Take a record's start, length and header rate; return the position of its first sample."""
        chain = self._chain
        if chain is not None and _continues(chain, self._next - chain.position, start_ns, rate_hz):
            return self._advance(chain, n_samples)
        begin_ns, n_before = start_ns, 0
        if self._old is not None and _continues(self._old[0], self._old[1], start_ns, rate_hz):
            begin_ns, n_before = self._old[0].start_ns, self._old[1]
        at, n_whole = self.maps[-1].position_at(begin_ns), n_before + n_samples
        if chain is not None and at - self._next <= -_GAP and at + n_whole <= self._next + _HALF:
            # It has come before and tells nothing new about time; but the next piece may.
            self._old = (_Chain(round(at), begin_ns, rate_hz, 0.0), n_whole)
            return round(at) + n_before
        self._old = None
        if chain is None:
            self._jump(at, begin_ns)
        else:
            self._follow(chain, at, begin_ns)
        late = self.maps[-1].position_at(begin_ns) - self._next
        self._chain = _Chain(self._next, begin_ns, rate_hz, late)
        return self._advance(self._chain, n_whole) + n_before

    def copy_of_maps(self) -> list[TimeMap]:
        """Return a list of the maps that will get the later ones as well, for another grid to use up."""
        self._copies.append(list(self.maps))
        return self._copies[-1]

    def time_ns(self, position: int) -> int:
        """Return the time of a position, by the map in force."""
        return self.maps[-1].time_ns(position)

    def state(self) -> State:
        return {
            "maps": _plain(self.maps),
            "copies": [_plain(maps) for maps in self._copies],
            "next": self._next,
            "late": self._late,
            "chain": None if self._chain is None else dict(vars(self._chain)),
            "old": None if self._old is None else [dict(vars(self._old[0])), self._old[1]],
            "since": list(self._since),
            "drift": self._drift,
            "agreeing": self._n_agreeing,
            "disproved": self._disproved,
        }

    def restore(self, state: State) -> None:
        for maps, saved in zip((self.maps, *self._copies), (state["maps"], *state.get("copies", [])), strict=True):
            maps[:] = [TimeMap(**one) for one in saved]
        self._next, self._late, self._disproved = state["next"], state["late"], state["disproved"]
        self._n_agreeing = state["agreeing"]
        self._chain = None if state["chain"] is None else _Chain(**state["chain"])
        self._old = None if state["old"] is None else (_Chain(**state["old"][0]), state["old"][1])
        self._since, self._drift = (state["since"][0], state["since"][1]), state["drift"]

    def _follow(self, chain: _Chain, at: float, start_ns: int) -> None:
        """Find the position of a record that does not continue the chain before it; `at` is what the map says."""
        rate_hz, n_chain = self.maps[-1].rate_hz, self._next - chain.position
        elapsed = (start_ns - chain.start_ns) * rate_hz / NS_PER_S
        drift = elapsed / n_chain - 1.0
        late = at - self._next
        agrees = self._drift is not None and abs(drift - self._drift) * n_chain <= _AGREE and abs(drift) <= _MOST_DRIFT
        is_whole = abs(elapsed - n_chain) > 0.5 and abs(elapsed - round(elapsed)) < _WHOLE
        self._drift, self._n_agreeing = drift, self._n_agreeing + 1 if agrees and not is_whole else 0
        is_disproved = abs(start_ns - chain.time_ns(n_chain)) * rate_hz > _HALF * NS_PER_S
        if abs(late) < _GAP:
            self._late += _GAIN * (late - self._late)
            if abs(self._late) > _HALF:
                self._begin_map(self.maps[-1].time_ns(self._next + self._late), self._measured_hz(self._next, start_ns))
        elif self._n_agreeing >= _ENOUGH:
            self._begin_map(start_ns, rate_hz / (1.0 + drift))
        else:
            self._jump(at, start_ns)
            return
        if is_disproved:
            self._disproved = max(self._disproved, n_chain)

    def _jump(self, at: float, start_ns: int) -> None:
        """Continue at another position, where a record begins at `start_ns`; on the grid its time is rounded."""
        self._next = round(at)
        if self.maps[-1].on_grid:
            self._late, self._since = at - self._next, (self._next, start_ns)
        else:
            self._begin_map(start_ns, self.maps[-1].rate_hz)

    def _begin_map(self, time_ns: int, rate_hz: float) -> None:
        """Let the map go through `time_ns` at the next position, at another rate."""
        for maps in (self.maps, *self._copies):
            maps.append(TimeMap(self._next, self._next, time_ns, rate_hz, on_grid=False))
        self._late, self._since = 0.0, (self._next, time_ns)

    def _measured_hz(self, position: int, time_ns: int) -> float:
        """Return the rate from the last certain time to this one, if that makes sense, or the present one."""
        (since, since_ns), rate_hz = self._since, self.maps[-1].rate_hz
        elapsed_ns = time_ns - since_ns
        measured_hz = (position - since) * NS_PER_S / elapsed_ns if elapsed_ns > 0 and position > since else rate_hz
        return measured_hz if abs(measured_hz / rate_hz - 1.0) <= _MOST_DRIFT else rate_hz

    def _advance(self, chain: _Chain, n_samples: int) -> int:
        """Take the next samples of a chain; return the position of the first."""
        position, stop = self._next, self._next + n_samples
        slip = self._slip(chain)
        if slip is not None and slip[0] < stop - chain.position:
            n_good, rate_hz = slip
            self._next = chain.position + n_good
            self._begin_map(self.maps[-1].time_ns(self._next + self._late_at(chain, n_good)), rate_hz)
            self._chain = replace(chain, late=0.0)
        self._next = stop
        return position

    def _slip(self, chain: _Chain) -> tuple[int, float] | None:
        """Return after how many samples a chain is off by more than half a sample, and the rate from there on."""
        slips = []
        slope, n_certain = self._slope(chain), round(_CERTAIN_S * chain.rate_hz)
        if slope != 0.0:
            n_slope = math.ceil((math.copysign(_HALF, slope) - self._late) / slope)
            slips.append((max(n_slope, self._disproved + 1), chain.rate_hz))
        if abs(self._late_at(chain, n_certain)) > _HALF:
            slips.append((n_certain, self._measured_hz(chain.position, chain.start_ns)))
        return min(slips, default=None)

    def _late_at(self, chain: _Chain, n_samples: int) -> float:
        """Return how late, in samples, a chain is after `n_samples`."""
        start = chain.late if n_samples >= round(_CERTAIN_S * chain.rate_hz) else self._late
        return start + (n_samples * self._slope(chain) if n_samples > self._disproved else 0.0)

    def _slope(self, chain: _Chain) -> float:
        """Return by how many samples a chain gets late with every sample."""
        return self.maps[-1].rate_hz / chain.rate_hz - 1.0


def _plain(maps: list[TimeMap]) -> list[State]:
    return [dict(vars(one)) for one in maps]


def forget_maps_before(maps: list[TimeMap], position: int) -> None:
    """Drop the maps of which no position from `position` on is part."""
    while len(maps) > 1 and maps[1].first <= position:
        maps.pop(0)


def _continues(chain: _Chain, n_samples: int, start_ns: int, rate_hz: float) -> bool:
    return rate_hz == chain.rate_hz and abs(start_ns - chain.time_ns(n_samples)) <= _CUT_NS

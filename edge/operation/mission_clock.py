"""Mission time: what time the records of the stations agree on, and the downlink passes that fall due as it advances.

Whoever can send a record can date it as they like, and so can a damaged header or a receiver without a fix. One station
must not silence the radio until the year 2200, nor spend the budget of days that have not come. So a stream of samples
is a *witness* only once it has gone on for `CONFIRM_S` of data, from one trace to the next. Witnesses within an hour of
each other agree. Mission time is the newest sample of the witnesses that are believed:

1. live, those whose samples are as new as the machine's own clock says, a day old at most;
2. else, or among several, those of the most stations. One that began lately has no vote yet: only once it has gone on,
   by the machine's monotonic time, for half as long as the oldest witness, or for half a day (in the first hour each
   one has);
3. else those that go on while the others are silent for `SILENT_S` of data;
4. else those that have been believed so far;
5. else those that are nearest to the machine's clock.

A lander may replay records of 1971, and its own clock may never have been set: then the first rule fits nobody and the
others decide. Two forged stations that come to a station of long standing must keep on for half a day to outvote it;
whoever can do that is kept out by ``--station`` alone, or by a machine whose clock is set. A jump of more than an hour
within a stream has to be confirmed in the same way. A stream that stays silent for `SILENT_S` of the others' data, and
for twenty times its usual interval, is forgotten.

In a replay of files, which are as they are, two successive traces are enough.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from edgequake.edge.base.checkpoint import State
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.inputs.source import Batch

CONFIRM_S = 300.0  # of data: longer than any damaged record, shorter than the time between two passes
SILENT_S = 3600.0  # of data of the others
_AGREE_NS = 3600 * NS_PER_S  # links delay records by minutes; the reorder buffer calls an hour far ahead, too
_BEHIND_NS = 86_400 * NS_PER_S  # live samples that had to wait for a link may be so much older than the machine's time
_CONFIRM_NS, _SILENT_NS = round(CONFIRM_S * NS_PER_S), round(SILENT_S * NS_PER_S)
_LONE_SAMPLES = 1 << 14  # in a replay, a trace as long as this is no single record: a packet CSV is one trace
_SILENT_INTERVALS = 20  # a flood of others' data must not make a stream silent between two of its own records
_INTERVAL_S, _INTERVAL_GAIN = 30.0, 0.125  # at first, as of records of a few hundred samples
_YOUNG_S, _STANDING_S = (
    3600.0,
    86_400.0,
)  # of the machine's time: before the first all weigh the same, from the second on again
_MOST_STREAMS = 256  # more than a live run has at once


@dataclass
class _Stretch:
    """Samples of a stream that go on without a jump of more than an hour."""

    first_ns: int
    newest_ns: int
    later_ns: int = 0  # duration of its traces after the first one

    @classmethod
    def begin(cls, trace: Trace) -> _Stretch:
        """Begin with a trace; one that is no single record needs no other."""
        is_lone = len(trace.samples) < _LONE_SAMPLES
        return cls(trace.start_ns, trace.stop_ns, 0 if is_lone else trace.stop_ns - trace.start_ns)

    def takes(self, trace: Trace) -> bool:
        """Whether a trace goes on here, or is older."""
        return trace.start_ns - self.newest_ns <= _AGREE_NS


@dataclass
class _Stream:
    """A stream of one station: its present stretch of samples, and one that would be a jump ahead of it."""

    station_id: str
    stretch: _Stretch
    heard_ns: int  # the clock's `_heard_ns` when it was last heard
    arrived_s: float  # the machine's monotonic time then
    begun_s: float  # the machine's monotonic time when its present stretch began
    interval_s: float = _INTERVAL_S  # between its traces, as they usually come
    ahead: _Stretch | None = None

    def take(self, trace: Trace, confirm_ns: int) -> int:
        """Take a trace; return how much data it has added."""
        if self.stretch.takes(trace):
            stretch, self.ahead = self.stretch, None
        elif self.ahead is None or not self.ahead.takes(trace) or trace.stop_ns < self.ahead.first_ns:
            stretch = self.ahead = _Stretch.begin(trace)
        else:
            stretch = self.ahead
        advance_ns = max(0, trace.stop_ns - stretch.newest_ns)
        added_ns = min(trace.stop_ns - trace.start_ns, advance_ns)
        stretch.later_ns += added_ns
        stretch.newest_ns += advance_ns
        if stretch is self.ahead and stretch.later_ns >= confirm_ns:
            self.stretch, self.ahead = stretch, None
        return added_ns

    def arrive(self, now_s: float) -> None:
        """Note that a trace has arrived."""
        self.interval_s += _INTERVAL_GAIN * (now_s - self.arrived_s - self.interval_s)
        self.arrived_s = now_s


class MissionClock:
    """Mission time, and the downlink passes that fall due as it advances.

    Mission time goes back only where the samples that it was taken from are no longer believed, or the clock of a live
    station was set back. In a replay of files, where one stream follows the other, time stands still until a stream
    gets beyond those before it.

    Passes are due at multiples of `pass_s`. None is due in a gap: nothing could have been delivered in those hours.
    """

    def __init__(
        self,
        pass_s: float,
        replayed: bool,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`wall_ns` and `monotonic_s` return the machine's times, which have no say in a replay."""
        self._pass_ns, self._replayed = round(pass_s * NS_PER_S), replayed
        self._wall_ns, self._monotonic_s = wall_ns, monotonic_s
        self._confirm_ns = 1 if replayed else _CONFIRM_NS
        self._streams: dict[str, _Stream] = {}  # by key of the station run, the one heard last at the end
        self._heard_ns = 0  # data of the stream of which most came: the measure of others' silence
        self._believed_ns: int | None = None
        self._unconfirmed_ns: int | None = None  # of the latest samples, while nothing is confirmed
        self._due_ns: list[int] = []

    @property
    def now_ns(self) -> int | None:
        """Mission time; while no stream is a witness, the time of the latest samples; None before the first."""
        return self._unconfirmed_ns if self._believed_ns is None else self._believed_ns

    def update(self, batch: Batch) -> None:
        """Advance to the end of a batch."""
        for trace in batch.traces:
            self._take(batch, trace)
        if batch.over:
            self._streams.pop(batch.key, None)
            believed = self._believed()
            if believed and not self._replayed:
                self._believed_ns = max(stream.stretch.newest_ns for stream in believed)

    def take_due(self) -> list[int]:
        """Return the times of the passes that have fallen due since the last call."""
        due, self._due_ns = self._due_ns, []
        return due

    def state(self) -> State:
        streams: State = {}
        for key, one in self._streams.items():
            stretches = [None if part is None else list(vars(part).values()) for part in (one.stretch, one.ahead)]
            age_s = 0.0 if self._replayed else one.arrived_s - one.begun_s
            streams[key] = [one.station_id, one.heard_ns, one.interval_s, *stretches, age_s]
        return {
            "believed_ns": self._believed_ns,
            "unconfirmed_ns": self._unconfirmed_ns,
            "heard_ns": self._heard_ns,
            "streams": streams,
        }

    def restore(self, state: State) -> None:
        self._streams = {}
        if "streams" not in state:  # of edgequake before streams had to be confirmed
            self._believed_ns = state["now_ns"]
            return
        self._believed_ns, self._unconfirmed_ns = state["believed_ns"], state["unconfirmed_ns"]
        self._heard_ns = state["heard_ns"]
        now_s = self._monotonic_s()
        for key, (station_id, heard_ns, interval_s, stretch, ahead, age_s) in state["streams"].items():
            later = None if ahead is None else _Stretch(*ahead)
            self._streams[key] = _Stream(
                station_id, _Stretch(*stretch), heard_ns, now_s, now_s - age_s, interval_s, later
            )

    def _take(self, batch: Batch, trace: Trace) -> None:
        now_s = 0.0 if self._replayed else self._monotonic_s()
        stream = self._streams.pop(batch.key, None)
        was_witness, before = False, None if stream is None else stream.stretch
        if stream is None:
            stream = _Stream(batch.station_id, _Stretch.begin(trace), self._heard_ns, now_s, now_s)
        else:
            was_witness = self._is_witness(stream)
            stream.arrive(now_s)
            if self._heard_ns - stream.heard_ns > _SILENT_NS:
                stream.heard_ns = self._heard_ns
            stream.heard_ns += stream.take(trace, self._confirm_ns)
            if stream.stretch is not before:
                stream.begun_s = now_s
            self._heard_ns = max(self._heard_ns, stream.heard_ns)
        self._streams[batch.key] = stream
        self._forget_silent(now_s)
        is_new = not was_witness or stream.stretch is not before
        self._advance(stream, stream.stretch.first_ns if is_new else trace.start_ns)

    def _is_witness(self, stream: _Stream) -> bool:
        return stream.stretch.later_ns >= self._confirm_ns

    def _forget_silent(self, now_s: float) -> None:
        """Forget the streams that have been silent for long; the one heard last is not."""
        for key, stream in list(self._streams.items())[:-1]:
            silent_ns, silent_s = self._heard_ns - stream.heard_ns, now_s - stream.arrived_s
            is_silent = silent_ns > _SILENT_NS and silent_s >= _SILENT_INTERVALS * stream.interval_s
            if not is_silent and len(self._streams) <= _MOST_STREAMS:
                break
            del self._streams[key]

    def _advance(self, heard: _Stream, start_ns: int) -> None:
        """Advance to what is believed now that a stream has been heard; note the passes on the way there.

        start_ns : where the samples begin that may have advanced it.
        """
        believed = self._believed()
        if not believed:
            if self._believed_ns is None:
                earlier_ns = self._unconfirmed_ns if self._replayed else None
                newest_ns = heard.stretch.newest_ns
                self._unconfirmed_ns = newest_ns if earlier_ns is None else max(earlier_ns, newest_ns)
            return
        before_ns, now_ns = self._believed_ns, max(stream.stretch.newest_ns for stream in believed)
        if self._replayed and before_ns is not None:
            now_ns = max(before_ns, now_ns)
        self._believed_ns = now_ns
        if not any(stream is heard for stream in believed):
            return
        if before_ns is None or now_ns < before_ns or start_ns - before_ns > self._pass_ns:
            before_ns = start_ns
        self._due_ns += _multiples(before_ns, now_ns, self._pass_ns)

    def _believed(self) -> list[_Stream]:
        """Return the witnesses that agree with each other and are believed; empty: there is no witness."""
        witnesses = [stream for stream in self._streams.values() if self._is_witness(stream)]
        if len(witnesses) <= 1 or self._replayed:
            return witnesses
        groups = [[one for one in witnesses if _agree(one, other)] for other in witnesses]
        oldest_s = max(stream.arrived_s - stream.begun_s for stream in witnesses)
        least_s = 0.0 if oldest_s < _YOUNG_S else min(oldest_s, _STANDING_S) / 2
        return max(groups, key=lambda group: self._credit(group, least_s))

    def _credit(self, group: list[_Stream], least_s: float) -> tuple[bool, int, bool, bool, int]:
        """Return the rank of witnesses that agree, by the rules of this module."""
        newest_ns = max(stream.stretch.newest_ns for stream in group)
        late_ns = self._wall_ns() - newest_ns
        is_present = self._believed_ns is not None and abs(newest_ns - self._believed_ns) <= _AGREE_NS
        n_stations = len({one.station_id for one in group if one.arrived_s - one.begun_s >= least_s})
        goes_on = any(self._heard_ns - stream.heard_ns <= _SILENT_NS for stream in group)
        return -_AGREE_NS <= late_ns <= _BEHIND_NS, n_stations, goes_on, is_present, -abs(late_ns)


def _agree(one: _Stream, other: _Stream) -> bool:
    return abs(one.stretch.newest_ns - other.stretch.newest_ns) <= _AGREE_NS


def pass_times(after_ns: int, until_ns: int, pass_s: float) -> list[int]:
    """Return the multiples of `pass_s` in (after, until]."""
    return _multiples(after_ns, until_ns, round(pass_s * NS_PER_S))


def _multiples(after_ns: int, until_ns: int, step_ns: int) -> list[int]:
    return [i * step_ns for i in range(after_ns // step_ns + 1, until_ns // step_ns + 1)]

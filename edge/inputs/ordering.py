"""Live traces of any station and channel, in any reasonable order, to ordered batches by station.

`ReorderBuffer` sorts the traces of one station; `ChannelRouter` chooses the channels and keeps a buffer per station.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.station_places import SETTLED, StationPlaces
from edgequake.edge.formats.sample_memory import SampleMemory
from edgequake.edge.formats.source_ids import channel_of
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns, same_rate
from edgequake.edge.inputs.hearing import Hearing
from edgequake.edge.inputs.model_choice import ModelChoice
from edgequake.edge.inputs.source import Batch

_LATE_NS = 300 * NS_PER_S  # in a live stream no channel lags behind another by more, and no record is older
_FAR_NS = 3600 * NS_PER_S  # a record this far ahead of its station needs another one that agrees
_LONGEST_WAIT_NS = 60 * NS_PER_S
_N_AGREEING = 3  # consecutive records that prove that a clock was set back, or that a sampling rate has changed
_MOST_UNTOLD = 100  # contiguous late records without a telling sample: of 25 samples, 25 s of a Raspberry Shake
_MOST_WAITING = 500
_MOST_WAITING_BYTES = 1 << 20  # of one station
_MOST_CHANNELS = 12  # of one station
_MOST_IGNORED = 100  # names of ignored channels, for the summary


class ReorderBuffer:
    """Puts a station's traces into an order that the front end takes, with as little delay as possible.

    - A trace that continues its channel, or overlaps it by less than 300 s, is returned at once.
    - After a gap short enough to be interpolated a trace waits, because the missing one may still come. It waits until
      the station has advanced by twice the trace's length, at most a minute, and never so long that the front end would
      give up the channel; so the rows are those of the records in order.
    - A trace an hour or more ahead of its station may have a damaged header. It waits for another trace that agrees:
      the next one of its channel, or one of another channel.
    - Older traces are late, unless three are contiguous: then the clock was set back. Up to two wait for the third, and
      more where they are too short to tell whether they have come before.
    - Where they have come before at the same times, a link sends again what it had sent. Equal traces are dropped; of
      those that are cut elsewhere some samples may be new, so they are late.
    """

    def __init__(self, bridge_ns: int) -> None:
        self._bridge_ns = bridge_ns
        self.newest_ns: int | None = None  # start of the newest trace returned
        self._stops_ns: dict[str, int] = {}  # by channel, of the newest trace returned
        self._early: list[Trace] = []
        self._far: list[Trace] = []
        self._late: dict[str, list[Trace]] = {}
        self._given_up: list[Trace] = []
        self._samples: dict[str, SampleMemory] = {}  # by channel
        self._repeats_stop_ns: dict[str, int] = {}  # by channel, of the newest trace that was sent again
        self._again: list[Trace] = []
        self.n_dropped = 0  # misdated traces, since the router last reset it
        self.n_repeated = 0  # traces that came before, since the router last reset it

    def push(self, trace: Trace) -> tuple[list[Trace], bool]:
        """Take a trace; return the traces that are next in order, and whether the clock was set back before them."""
        if self.newest_ns is not None and trace.start_ns > self.newest_ns + _FAR_NS:
            return self._far_ahead(trace), False
        stop_ns = self._stops_ns.get(trace.source_id)
        if stop_ns is None:
            return self._released([*self._due(trace.start_ns), trace]), False
        if trace.stop_ns < stop_ns - _LATE_NS:
            return self._set_back(trace)
        self._given_up += self._late.pop(trace.source_id, [])
        lead_ns = trace.start_ns - stop_ns
        if duration_ns(1, trace.sampling_rate_hz) < lead_ns <= self._bridge_ns - _wait_ns(trace):
            due = self._due(trace.start_ns)
            self._early = sorted([*self._early, trace], key=lambda early: early.start_ns)
            while len(self._early) > _MOST_WAITING or _size_bytes(self._early) > _MOST_WAITING_BYTES:
                due.append(self._early.pop(0))
            return self._released(due), False
        return self._released([*self._due(trace.start_ns), trace, *self._following(trace)]), False

    def flush(self) -> list[Trace]:
        """Return the waiting traces, at the end of the input."""
        waiting, self._early, self._far = [*self._early, *self._far], [], []
        return self._released(sorted(waiting, key=lambda trace: trace.start_ns))

    def take_late(self, at_end: bool = False) -> list[Trace]:
        """Return, once, the traces that have turned out to be late; `at_end`: those that wait for proof too."""
        late, self._given_up = self._given_up, []
        if at_end:
            late += [trace for traces in self._late.values() for trace in traces]
            self._late = {}
        return late

    def take_again(self) -> list[Trace]:
        """Return, once, the traces that a link has sent again, cut in another way."""
        again, self._again = self._again, []
        return again

    def state(self) -> State:
        return {
            "newest_ns": self.newest_ns,
            "stops_ns": self._stops_ns,
            "early": [vars(trace) for trace in self._early],
            "far": [vars(trace) for trace in self._far],
            "late": {name: [vars(trace) for trace in traces] for name, traces in self._late.items()},
            "samples": {name: samples.state() for name, samples in self._samples.items()},
            "repeats_stop_ns": self._repeats_stop_ns,
        }

    def restore(self, state: State) -> None:
        self.newest_ns, self._stops_ns = state["newest_ns"], state["stops_ns"]
        self._early, self._far = [Trace(**p) for p in state["early"]], [Trace(**p) for p in state["far"]]
        self._late = {name: [Trace(**p) for p in traces] for name, traces in state["late"].items()}
        self._samples = {name: SampleMemory() for name in state["samples"]}
        for name, samples in self._samples.items():
            samples.restore(state["samples"][name])
        self._repeats_stop_ns = state["repeats_stop_ns"]

    def _far_ahead(self, trace: Trace) -> list[Trace]:
        """Return the traces that are far ahead, once two of them agree on the time."""
        agreed = [other for other in self._far if -_LATE_NS <= trace.start_ns - other.stop_ns <= _LATE_NS
                  or abs(trace.start_ns - other.start_ns) <= _LATE_NS]  # fmt: skip
        if not agreed:
            self._far.append(trace)
            if len(self._far) > _N_AGREEING:
                self._far.pop(0)
                self.n_dropped += 1
            return []
        self.n_dropped += len(self._far) - len(agreed)
        early, self._early, self._far = self._early, [], []
        return self._released([*early, *sorted([*agreed, trace], key=lambda one: one.start_ns)])

    def _set_back(self, trace: Trace) -> tuple[list[Trace], bool]:
        name = trace.source_id
        late = self._late.setdefault(name, [])
        if late and not _follows(trace, late[-1].stop_ns):
            self._given_up += late
            late.clear()
        is_equal = self._samples[name].has(trace)
        if is_equal or self._is_repeated(trace):
            self._again += late if is_equal else [*late, trace]
            self.n_repeated += 1 + len(late)
            late.clear()
            self._repeats_stop_ns[name] = trace.stop_ns
            return [], False
        late.append(trace)
        can_tell = any(self._samples[name].knows(one) is not None for one in late)
        if len(late) < _N_AGREEING or not (can_tell or len(late) >= _MOST_UNTOLD):
            return [], False
        # Traces of other channels, set back by the same clock, wait for the same proof.
        late_traces = [one for traces in self._late.values() for one in traces]
        agreeing = [one for one in late_traces if one.start_ns >= late[0].start_ns - _LATE_NS]
        self._given_up += [one for one in late_traces if one.start_ns < late[0].start_ns - _LATE_NS]
        self._early, self._far, self._late = [], [], {}
        self.newest_ns, self._stops_ns = None, {}
        return self._released(sorted(agreeing, key=lambda one: one.start_ns)), True

    def _is_repeated(self, trace: Trace) -> bool:
        """Whether a link sends a late trace again, or in the middle of what it sends again; it may have new samples."""
        stop_ns = self._repeats_stop_ns.get(trace.source_id)
        return bool(self._samples[trace.source_id].knows(trace)) or (stop_ns is not None and _follows(trace, stop_ns))

    def _due(self, now_ns: int) -> list[Trace]:
        """Remove and return the traces that have waited long enough when the station is at `now_ns`."""
        due = [trace for trace in self._early if trace.start_ns + _wait_ns(trace) < now_ns]
        if due:
            self._early = [trace for trace in self._early if trace.start_ns + _wait_ns(trace) >= now_ns]
        return due

    def _following(self, trace: Trace) -> list[Trace]:
        """Remove and return the waiting traces that continue a trace, one after the other."""
        following: list[Trace] = []
        stop_ns, slack_ns = trace.stop_ns, duration_ns(1, trace.sampling_rate_hz)
        for early in [early for early in self._early if early.source_id == trace.source_id]:
            if early.start_ns - stop_ns > slack_ns:
                break
            following.append(early)
            stop_ns = max(stop_ns, early.stop_ns)
        if following:
            self._early = [early for early in self._early if not any(early is one for one in following)]
        return following

    def _released(self, traces: list[Trace]) -> list[Trace]:
        for trace in traces:
            stop_ns = self._stops_ns.get(trace.source_id, trace.stop_ns)
            self._stops_ns[trace.source_id] = max(stop_ns, trace.stop_ns)
            self.newest_ns = trace.start_ns if self.newest_ns is None else max(self.newest_ns, trace.start_ns)
            self._samples.setdefault(trace.source_id, SampleMemory()).add(trace)
        return traces


def _follows(trace: Trace, stop_ns: int) -> bool:
    return abs(trace.start_ns - stop_ns) <= duration_ns(1, trace.sampling_rate_hz)


def _size_bytes(traces: list[Trace]) -> int:
    return sum(trace.samples.nbytes for trace in traces)


def _wait_ns(trace: Trace) -> int:
    return min(_LONGEST_WAIT_NS, 2 * duration_ns(len(trace.samples), trace.sampling_rate_hz))


@dataclass
class _Route:
    """The station run that a station's traces go to at present."""

    epoch: int  # number of restarts: each begins a station run of its own
    newest_ns: int
    buffer: ReorderBuffer
    rates_hz: dict[str, float] = field(default_factory=dict)  # by channel
    n_other: dict[str, int] = field(default_factory=dict)  # consecutive records of another rate, by channel

    def n_of_another_rate(self, trace: Trace) -> int:
        """Return how many consecutive traces, up to this one, have another rate than the channel's first."""
        name = trace.source_id
        is_same = same_rate(trace.sampling_rate_hz, self.rates_hz.setdefault(name, trace.sampling_rate_hz))
        self.n_other[name] = 0 if is_same else self.n_other.get(name, 0) + 1
        return self.n_other[name]


class ChannelRouter:
    """Chooses the wanted channels, puts them in order and names the station run; bounded, whatever comes."""

    def __init__(
        self,
        choice: ModelChoice,
        diagnostics: Diagnostics,
        start_ns: int | None = None,
        stop_ns: int | None = None,
        log: Callable[[str], None] = lambda line: None,
        places: StationPlaces | None = None,
    ) -> None:
        """Route traces of the channels that `choice` takes, and of those the samples with start <= time < stop.

        log : takes a line when data come and none can be used.
        places : those of the stations; by default any station may have one.
        """
        self._choice, self._diagnostics = choice, diagnostics
        self._start_ns, self._stop_ns = start_ns, stop_ns
        self.places = StationPlaces(diagnostics) if places is None else places
        self.hearing = Hearing(log, choice.advice, self.places)
        self._routes: dict[str, _Route] = {}  # by station, the latest one last
        self.ignored_channels: set[str] = set()

    def push(self, trace: Trace) -> Iterator[Batch]:
        """Take a trace; yield the batches that are ready."""
        station_id, channel = trace.station_id, (trace.source_id, trace.sampling_rate_hz)
        if self.places.is_for_others(station_id) or not self._is_usable(trace):
            return
        has_place = self.places.takes(station_id, trace.start_ns, trace.stop_ns)
        yield from self._vacated()
        if not has_place:
            return
        self._choice.decide([channel])
        self.hearing.taken(trace, self._choice.manifest(*channel).front_end.fill_values)
        route = self._routes.pop(station_id, None) or _Route(0, trace.start_ns, self._buffer(*channel))
        self._routes[station_id] = route
        if trace.source_id not in route.rates_hz and len(route.rates_hz) >= _MOST_CHANNELS:
            self._diagnostics.count(f"record(s) of more than {_MOST_CHANNELS} channels of one station left out")
            return
        n_other = route.n_of_another_rate(trace)
        if 0 < n_other < _N_AGREEING:
            self._diagnostics.count("record(s) of another sampling rate than their channel's left out")
            return
        if n_other:
            self._diagnostics.count("time(s) a channel's sampling rate changed; the station starts anew there")
            yield Batch(_key(station_id, route.epoch), station_id, (), over=True)
            route = _Route(route.epoch + 1, trace.start_ns, self._buffer(*channel))
            route.n_of_another_rate(trace)
            self._routes[station_id] = route
        traces, set_back = route.buffer.push(trace)
        if route.buffer.n_dropped:
            self._diagnostics.count("misdated record(s) dropped", route.buffer.n_dropped)
            route.buffer.n_dropped = 0
        yield from self._late_batch(route, station_id, route.buffer.take_late())
        yield from self._late_batch(route, station_id, route.buffer.take_again(), is_known=True)
        if route.buffer.n_repeated:
            self._diagnostics.count(
                "record(s) that had come before, more than five minutes ago", route.buffer.n_repeated
            )
            route.buffer.n_repeated = 0
        if set_back:
            self._diagnostics.count("time(s) a clock was set back; the station starts anew there")
            yield Batch(_key(station_id, route.epoch), station_id, (), over=True)
            route.epoch, route.newest_ns, route.rates_hz = route.epoch + 1, traces[0].start_ns, {}
            for one in traces:
                route.n_of_another_rate(one)
        yield from self._batch(route, station_id, traces)

    def flush(self) -> Iterator[Batch]:
        """Yield the waiting traces, at the end of the input."""
        for station_id, route in self._routes.items():
            yield from self._batch(route, station_id, route.buffer.flush())
            yield from self._late_batch(route, station_id, route.buffer.take_late(at_end=True))

    def state(self) -> State:
        routes = {
            name: [one.epoch, one.newest_ns, one.buffer.state(), one.rates_hz] for name, one in self._routes.items()
        }
        return {"routes": routes, "ignored_channels": sorted(self.ignored_channels), "places": self.places.state()}

    def restore(self, state: State) -> None:
        self.ignored_channels = set(state["ignored_channels"])
        self._routes = {}
        for station_id, (epoch, newest_ns, buffer, rates_hz) in state["routes"].items():
            self._routes[station_id] = _Route(epoch, newest_ns, self._buffer(station_id, 0.0), rates_hz)
            self._routes[station_id].buffer.restore(buffer)
        # Edgequake before places had bounds of its own on stations: all of them are taken to go on.
        self.places.restore(state.get("places", dict.fromkeys(self._routes, SETTLED)))

    def _batch(self, route: _Route, station_id: str, traces: list[Trace]) -> Iterator[Batch]:
        for trace in traces:
            part = trace.between(self._start_ns, self._stop_ns)
            if route.newest_ns - trace.start_ns > _LATE_NS:  # the front end decides which of these it can use
                self._count_late(part)
            route.newest_ns = max(route.newest_ns, trace.start_ns)
            if len(part.samples):
                yield Batch(_key(station_id, route.epoch), station_id, (part,), over=False)

    def _late_batch(
        self, route: _Route, station_id: str, traces: list[Trace], is_known: bool = False
    ) -> Iterator[Batch]:
        cut = (trace.between(self._start_ns, self._stop_ns) for trace in traces)
        parts = tuple(part for part in cut if len(part.samples))
        for part in parts if not is_known else ():
            self._count_late(part)
        if parts:
            yield Batch(_key(station_id, route.epoch), station_id, parts, over=False, late=True)

    def _count_late(self, trace: Trace) -> None:
        channel = f"{trace.station_id} {channel_of(trace.source_id)}"
        self._diagnostics.count(
            f"sample(s) of {channel} came too late for the detector, not for the archive; expected records in time "
            f"order: send channels interleaved, or give the file by name",
            len(trace.samples),
        )

    def _is_usable(self, trace: Trace) -> bool:
        channel = (trace.source_id, trace.sampling_rate_hz)
        if not self._choice.matches(*channel):
            if len(self.ignored_channels) < _MOST_IGNORED:
                self.ignored_channels.add(trace.source_id)
            self.hearing.not_taken(trace, is_wanted=False)
            return False
        if not self._choice.takes_rate(*channel):
            self._diagnostics.count("record(s) of a sampling rate that the model does not take left out")
            self.hearing.not_taken(trace, is_wanted=True)
            return False
        return True

    def _buffer(self, source_id: str, rate_hz: float) -> ReorderBuffer:
        """Return a buffer for a station that has been assigned a model: then its identifier is enough."""
        manifest = self._choice.manifest(source_id, rate_hz)
        return ReorderBuffer(round(manifest.front_end.bridge_s * NS_PER_S))

    def _vacated(self) -> Iterator[Batch]:
        """End the runs of the stations that have lost their places."""
        for station_id in self.places.take_vacated():
            route = self._routes.pop(station_id, None)
            if route is not None:
                self._diagnostics.count("station(s) forgotten: silent for long, or others went on in their place")
                yield Batch(_key(station_id, route.epoch), station_id, (), over=True)


def _key(station_id: str, epoch: int) -> str:
    return f"{station_id}#{epoch}"

"""Live pieces of any station and channel, in any reasonable order, to batches for the station's listener."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from edgequake.edge.channel_front_end import decimation_factor
from edgequake.edge.errors import DataError
from edgequake.edge.feed import Batch
from edgequake.edge.manifest import Manifest
from edgequake.edge.notes import Notes
from edgequake.edge.piece import NS_PER_S, Piece
from edgequake.edge.sequencer import LATE_NS, Sequencer
from edgequake.edge.sources import matches
from edgequake.edge.state import State
from edgequake.edge.stream import SAME_RATE

_MOST_STATIONS = 16  # each has an interpreter of its own
_MOST_CHANNELS = 12  # of one station
_MOST_NAMES = 100  # of channels that are not wanted, for the summary
_AGREE = 3  # records in a row before a channel is believed to have another sampling rate now


@dataclass
class _Route:
    """The listener that a station's pieces go to now."""

    epoch: int  # counts clocks set back: each is a listener of its own
    newest_ns: int
    sequencer: Sequencer
    rates_hz: dict[str, float] = field(default_factory=dict)  # by channel
    n_other: dict[str, int] = field(default_factory=dict)  # records in a row of another rate, by channel

    def n_of_another_rate(self, piece: Piece) -> int:
        """Return how many pieces in a row, with this one, are of another rate than their channel's first."""
        name = piece.source_id
        is_same = (
            abs(piece.sampling_rate_hz / self.rates_hz.setdefault(name, piece.sampling_rate_hz) - 1.0) <= SAME_RATE
        )
        self.n_other[name] = 0 if is_same else self.n_other.get(name, 0) + 1
        return self.n_other[name]


class Router:
    """Chooses the wanted channels, puts each in order, and names the listener; bounded, whatever comes."""

    def __init__(
        self,
        manifest: Manifest,
        patterns: tuple[str, ...],
        notes: Notes,
        start_ns: int | None = None,
        stop_ns: int | None = None,
    ) -> None:
        """Route pieces of channels that match `patterns`, and of those the samples with start <= time < stop."""
        self._manifest, self._patterns, self._notes = manifest, patterns, notes
        self._start_ns, self._stop_ns = start_ns, stop_ns
        self._bridge_ns = round(manifest.front_end.bridge_s * NS_PER_S)
        self._routes: dict[str, _Route] = {}  # by station, the one heard last at the back
        self.ignored_channels: set[str] = set()

    def push(self, piece: Piece) -> Iterator[Batch]:
        """Take a piece, yield what the listeners get."""
        if not self._wanted(piece):
            return
        station_id = piece.station_id
        yield from self._make_room(station_id)
        route = self._routes.pop(station_id, None) or _Route(0, piece.start_ns, Sequencer(self._bridge_ns))
        self._routes[station_id] = route
        if piece.source_id not in route.rates_hz and len(route.rates_hz) >= _MOST_CHANNELS:
            self._notes.count(f"record(s) of more than {_MOST_CHANNELS} channels of one station left out")
            return
        n_other = route.n_of_another_rate(piece)
        if 0 < n_other < _AGREE:
            self._notes.count("record(s) of another sampling rate than their channel's left out")
            return
        if n_other:
            self._notes.count("time(s) a channel's sampling rate changed; the station starts anew there")
            yield Batch(_key(station_id, route.epoch), station_id, (), over=True)
            route = _Route(route.epoch + 1, piece.start_ns, Sequencer(self._bridge_ns))
            route.n_of_another_rate(piece)
            self._routes[station_id] = route
        pieces, set_back = route.sequencer.push(piece)
        if route.sequencer.n_dropped:
            self._notes.count("late or misdated record(s) dropped", route.sequencer.n_dropped)
            route.sequencer.n_dropped = 0
        if set_back:
            self._notes.count("time(s) a clock was set back; the station starts anew there")
            yield Batch(_key(station_id, route.epoch), station_id, (), over=True)
            route.epoch, route.newest_ns, route.rates_hz = route.epoch + 1, pieces[0].start_ns, {}
            for one in pieces:
                route.n_of_another_rate(one)
        yield from self._batch(route, station_id, pieces)

    def flush(self) -> Iterator[Batch]:
        """Yield what is still waiting: nothing more will come."""
        for station_id, route in self._routes.items():
            yield from self._batch(route, station_id, route.sequencer.flush())

    def state(self) -> State:
        """Return what `restore` goes on from."""
        routes = {
            name: [one.epoch, one.newest_ns, one.sequencer.state(), one.rates_hz] for name, one in self._routes.items()
        }
        return {"routes": routes, "ignored_channels": sorted(self.ignored_channels)}

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        self.ignored_channels = set(state["ignored_channels"])
        for station_id, (epoch, newest_ns, sequencer, rates_hz) in state["routes"].items():
            self._routes[station_id] = _Route(epoch, newest_ns, Sequencer(self._bridge_ns), rates_hz)
            self._routes[station_id].sequencer.restore(sequencer)

    def _batch(self, route: _Route, station_id: str, pieces: list[Piece]) -> Iterator[Batch]:
        for piece in pieces:
            if route.newest_ns - piece.start_ns > LATE_NS:
                self._notes.count("record(s) of a channel late behind others; expected records in time order")
            route.newest_ns = max(route.newest_ns, piece.start_ns)
            part = piece.between(self._start_ns, self._stop_ns)
            if len(part.samples):
                yield Batch(_key(station_id, route.epoch), station_id, (part,), over=False)

    def _wanted(self, piece: Piece) -> bool:
        if not matches(piece.source_id, self._patterns):
            if len(self.ignored_channels) < _MOST_NAMES:
                self.ignored_channels.add(piece.source_id)
            return False
        try:
            decimation_factor(self._manifest.front_end, self._manifest.sampling_rate_hz, piece.sampling_rate_hz)
        except DataError:
            self._notes.count("record(s) of a sampling rate that the model does not take left out")
            return False
        return True

    def _make_room(self, station_id: str) -> Iterator[Batch]:
        """Let go of the station that has been silent for longest when one too many comes."""
        if station_id in self._routes or len(self._routes) < _MOST_STATIONS:
            return
        oldest = next(iter(self._routes))
        route = self._routes.pop(oldest)
        self._notes.count(f"station(s) let go for others: more than {_MOST_STATIONS} at once")
        yield Batch(_key(oldest, route.epoch), oldest, (), over=True)


def _key(station_id: str, epoch: int) -> str:
    return f"{station_id}#{epoch}"

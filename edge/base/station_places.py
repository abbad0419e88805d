"""Which stations a live run takes: those that the user names, or those that were first heard and go on.

Anyone who can send a record can make up a station, and thousands of them. Each station that a run takes costs a
detector, so there are `MOST_STATIONS` places. A station that goes on keeps its place whatever else comes; one of which
no more than a few records came loses it to one that does go on, or after an hour. Further stations are counted, said
once, and remembered only as long as there is room; of them so few records are decoded that a flood takes no time from
the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.diagnostics import Diagnostics

MOST_STATIONS = 16  # each has an interpreter of its own
_SETTLED_NS = 60 * 1_000_000_000  # of data after the first record: then a station goes on, and keeps its place
_NEXT_NS = (
    300 * 1_000_000_000
)  # a record that begins so soon after the one before goes on; links delay records by minutes
SETTLED = (0, _SETTLED_NS, 0.0)  # the state of a station that goes on and was heard just now
_SILENT_S = 3600.0  # after which a station may have to make room, or is forgotten if it has never gone on
_LONG_SILENT_S = 86_400.0  # after which any is forgotten: a lander's link may be down for hours
_LOOK_S = 60.0  # between two looks for silent ones
_MOST_WAITING = 1024  # stations without a place that are remembered
_DECODED_A_S = 100.0  # records of them that are decoded, at most


@dataclass
class _Place:
    """What is known of a station."""

    stop_ns: int  # of its newest record
    later_ns: int  # duration of its records after the first
    heard_s: float  # the machine's monotonic time when it was last heard

    @property
    def is_settled(self) -> bool:
        return self.later_ns >= _SETTLED_NS

    def hear(self, start_ns: int, stop_ns: int, now_s: float) -> None:
        """Note a record."""
        self.heard_s = now_s
        if abs(start_ns - self.stop_ns) <= _NEXT_NS:
            self.later_ns += max(0, min(stop_ns - start_ns, stop_ns - self.stop_ns))
            self.stop_ns = max(self.stop_ns, stop_ns)
        else:
            self.stop_ns = stop_ns


class StationPlaces:
    """The places of a live run, and who has them."""

    def __init__(
        self,
        diagnostics: Diagnostics,
        names: tuple[str, ...] | None = None,
        log: Callable[[str], None] = lambda line: None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the stations that match one of `names`, patterns of NET_STA; None: any.

        log : takes a line when the first record of another station comes.
        now_s : the machine's monotonic time.
        """
        self._diagnostics, self.names, self._log, self._now_s = diagnostics, names, log, now_s
        self._places: dict[str, _Place] = {}  # by station
        self._waiting: dict[str, _Place] = {}  # ... of stations without a place, the one heard last at the end
        self._vacated: list[str] = []
        self._left_out: str | None = None  # the first station that was left out
        self._looked_s = now_s()
        self._tokens, self._tokens_s = _DECODED_A_S, now_s()

    @property
    def left_out(self) -> str | None:
        """What was left out because --station does not name it, in words; None: nothing."""
        if self._left_out is None or self.names is None:
            return None
        return f"{self._left_out} and no other station that --station names ({', '.join(self.names)})"

    def is_for_others(self, station_id: str) -> bool:
        """Return whether the user has not named a station, and count its record."""
        if is_named(station_id, self.names):
            return False
        self.leave_out(station_id)
        return True

    def turns_away(self, station_id: str) -> bool:
        """Return whether a record need not even be decoded, and count it."""
        if self.is_for_others(station_id):
            return True
        if station_id in self._places or len(self._places) < MOST_STATIONS or self._has_token():
            return False
        self.leave_out(station_id)
        return True

    def takes(self, station_id: str, start_ns: int, stop_ns: int) -> bool:
        """Take a record of a station that may have one; return whether it has a place."""
        now_s = self._now_s()
        self._look(now_s)
        place = self._places.get(station_id)
        if place is None and len(self._places) >= MOST_STATIONS:
            place = self._wait(station_id, start_ns, stop_ns, now_s)
            if place is None:
                self.leave_out(station_id)
                return False
        if place is None:
            place = _Place(stop_ns, 0, now_s)
        else:
            place.hear(start_ns, stop_ns, now_s)
        self._places[station_id] = place
        return True

    def has(self, station_id: str) -> bool:
        """Return whether a station has a place."""
        return station_id in self._places

    def take_vacated(self) -> list[str]:
        """Return the stations that have lost their places since the last call."""
        vacated, self._vacated = self._vacated, []
        return vacated

    def state(self) -> State:
        now_s = self._now_s()
        return {name: [one.stop_ns, one.later_ns, now_s - one.heard_s] for name, one in self._places.items()}

    def restore(self, state: State) -> None:
        """Continue from what `state` returned; stations that are no longer named lose their places."""
        now_s = self._now_s()
        for name, (stop_ns, later_ns, silent_s) in state.items():
            if is_named(name, self.names):
                self._places[name] = _Place(stop_ns, later_ns, now_s - silent_s)
            else:
                self._vacated.append(name)

    def _wait(self, station_id: str, start_ns: int, stop_ns: int, now_s: float) -> _Place | None:
        """Note a record of a station without a place; return a place when it has gone on and one can be had."""
        place = self._waiting.pop(station_id, None)
        if place is None:
            place = _Place(stop_ns, 0, now_s)
        else:
            place.hear(start_ns, stop_ns, now_s)
        if place.is_settled:
            lost = min(self._places, key=lambda name: (self._places[name].is_settled, self._places[name].heard_s))
            if not self._places[lost].is_settled or self._is_silent(lost, now_s - _SILENT_S):
                self._vacate(lost)
                return place
        self._waiting[station_id] = place
        if len(self._waiting) > _MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]
        return None

    def _look(self, now_s: float) -> None:
        """Forget the stations that have been silent for long, unless the user has named them."""
        if self.names is not None or now_s - self._looked_s < _LOOK_S:
            return
        self._looked_s = now_s
        for name, place in list(self._places.items()):
            if self._is_silent(name, now_s - (_LONG_SILENT_S if place.is_settled else _SILENT_S)):
                self._vacate(name)

    def _is_silent(self, name: str, since_s: float) -> bool:
        return self._places[name].heard_s <= since_s

    def _vacate(self, name: str) -> None:
        del self._places[name]
        self._vacated.append(name)

    def leave_out(self, station_id: str, n: int = 1) -> None:
        """Count `n` records of a station, and others, that are left out."""
        if self.names is None:
            what = f"record(s) of further stations than {MOST_STATIONS} left out: name yours with --station"
        else:
            what = "record(s) of stations left out that --station does not name"
        self._diagnostics.count(what, n)
        if self._left_out is None:
            self._left_out = station_id
            which = (
                f"is not one of {', '.join(self.names)}" if self.names else f"would be one more than {MOST_STATIONS}"
            )
            self._log(f"station {station_id} is left out: it {which}; further ones are counted")

    def _has_token(self) -> bool:
        now_s = self._now_s()
        self._tokens = min(_DECODED_A_S, self._tokens + (now_s - self._tokens_s) * _DECODED_A_S)
        self._tokens_s = now_s
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


def is_named(station_id: str, names: tuple[str, ...] | None) -> bool:
    """Return whether a station (NET_STA) matches one of the patterns of --station; None: there are none."""
    return names is None or any(fnmatchcase(station_id, name) for name in names)

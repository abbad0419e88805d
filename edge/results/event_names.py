"""Names of events and segments: a station and a time, unique in a run without a memory of those given before."""

from __future__ import annotations

from bisect import bisect_left

from edgequake.edge.base.checkpoint import State
from edgequake.edge.formats.waveforms import format_time

_MOST_SERIES = 1000


def event_id(station_id: str, onset_ns: int) -> str:
    """Return the name of an event, for example ``XA_S12_19710413T125512.300``."""
    clock = format_time(onset_ns // 1_000_000 * 1_000_000)[:-3]
    return f"{_station_part(station_id)}_{clock.replace('-', '').replace(':', '')}"


def _station_part(station_id: str) -> str:
    # miniSEED 3 allows any character in a station code; the name is also a file name and must not leave its folder.
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "-" for c in station_id)


class UniqueNames:
    """Assigns the names of `event_id`; where a station's times do not increase, with a number.

    A station's times form series, in each of which they increase. A time that is not after the newest one, because a
    clock was set back or because two streams of a station overlap, goes into the first series that ends before it; the
    names of series 2, 3 ... end in _2, _3 ... So no name is given twice, and what must be remembered is one time for
    each series. Beyond `_MOST_SERIES` series each name has a number of its own.
    """

    def __init__(self) -> None:
        # By station, in small letters: stations that differ in their case alone would be one file on some file systems.
        # Milliseconds, negated: the newest times of the series decrease from one to the next.
        self._newest: dict[str, list[int]] = {}
        self._n_beyond = 0

    def assign(self, station_id: str, time_ns: int) -> tuple[str, str | None]:
        """Return the name for a station's time; where it ends in a number, the name without it too."""
        stem, time_ms = event_id(station_id, time_ns), time_ns // 1_000_000
        newest = self._newest.setdefault(_station_part(station_id).lower(), [])
        series = bisect_left(newest, -time_ms + 1)
        if series == len(newest) == _MOST_SERIES:
            self._n_beyond += 1
            return f"{stem}_{_MOST_SERIES + self._n_beyond}", stem
        newest[series : series + 1] = [-time_ms]
        return (stem, None) if series == 0 else (f"{stem}_{series + 1}", stem)

    def state(self) -> State:
        return {"newest": self._newest, "n_beyond": self._n_beyond}

    def restore(self, state: State) -> None:
        self._newest = {station: list(times) for station, times in state["newest"].items()}
        self._n_beyond = state["n_beyond"]

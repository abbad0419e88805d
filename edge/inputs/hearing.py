"""Deafness of a live run: data come, and none of them can be used."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from edgequake.edge.base.station_places import StationPlaces
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.inputs.model_choice import is_void

UNUSABLE = "data come, but none that this run can use"
_DEAF_S = 10.0  # of received data, or of the machine's time, after which a station is deaf
_MOST_STATIONS = 64  # unheard ones that are watched
_MOST_CHANNELS = 4  # of a station that a line names
_MOST_SHOWN = 4  # stations that a line names
_MOST_HEARD = 1024


@dataclass
class _Unheard:
    """A station whose data come, none of them usable so far."""

    start_ns: int
    stop_ns: int
    n_traces: int = 0
    since_s: float = field(default_factory=lambda: time.monotonic())
    is_wanted: bool = False  # one of its channels is of a code that the run uses
    is_told: bool = False
    # What is wrong, by source identifier: a text, or a function that finds it out, which takes a while.
    channels: dict[str, str | Callable[[], str]] = field(default_factory=dict)

    @property
    def is_deaf(self) -> bool:
        """Whether enough has come to say so: of a lone trace, the next one may be another channel's."""
        is_long = self.n_traces > 1 and self.stop_ns - self.start_ns >= _DEAF_S * NS_PER_S
        return is_long or time.monotonic() - self.since_s >= _DEAF_S

    @property
    def text(self) -> str:
        """The channels that come, and what is wrong with them."""
        shown = []
        for source_id, problem in list(self.channels.items())[:_MOST_CHANNELS]:
            text = self.channels[source_id] = problem if isinstance(problem, str) else problem()
            shown.append(text)
        more = [f"{len(self.channels) - len(shown)} more"] if len(self.channels) > len(shown) else []
        return ", ".join([*shown, *more])


class Hearing:
    """Watches whether a live run can use what it receives, station by station."""

    def __init__(self, log: Callable[[str], None], advice: Callable[[str, float], str], places: StationPlaces) -> None:
        """Log to `log`; `advice` describes a channel that the run does not take, see `ModelChoice.advice`."""
        self._log, self._advice, self._places = log, advice, places
        self._unheard: dict[str, _Unheard] = {}
        self._heard: dict[str, None] = {}  # stations, in the order in which they were first heard
        self._is_told = False
        self._junk_since_s: float | None = None
        self._junk_bytes = 0
        self._has_traces = False

    def bytes_came(self, size_bytes: int) -> None:
        """Note how many bytes have been received in all, readable or not."""
        if size_bytes > self._junk_bytes and not self._has_traces:
            self._junk_bytes = size_bytes
            self._junk_since_s = self._junk_since_s or time.monotonic()

    def not_taken(self, trace: Trace, is_wanted: bool) -> None:
        """Note a trace that the run leaves out; `is_wanted`: not for its channel code, but for its sampling rate."""
        self._add(trace, is_wanted, partial(self._advice, trace.source_id, trace.sampling_rate_hz))

    def taken(self, trace: Trace, fill_values: tuple[int, ...]) -> None:
        """Note a trace that the run takes; without a true sample it is not heard."""
        station_id = trace.station_id
        if station_id in self._heard:
            return
        if is_void(trace, fill_values):
            self._add(trace, True, f"{trace.source_id} with nothing but lost samples (NaN or fill values)")
            return
        self._has_traces = True
        self._unheard.pop(station_id, None)
        self._heard[station_id] = None
        if len(self._heard) > _MOST_HEARD:
            self._heard.pop(next(iter(self._heard)))
        if self._is_told:
            self._is_told = False
            self._log(f"usable data come now, from {station_id}")

    @property
    def deaf(self) -> str | None:
        """What comes and cannot be used, once it has come for long enough; None where all that is wanted is usable."""
        if not self.is_deaf:
            return None
        if not self._heard:
            return self.unused
        return _listed([(f"{name}: ", one) for name, one in self._deaf_stations()])

    @property
    def is_deaf(self) -> bool:
        """Whether `deaf` has a text; this takes less time."""
        if self._heard:
            return any(True for _ in self._deaf_stations())
        since_s = self._junk_since_s
        is_junk = not self._unheard and since_s is not None and time.monotonic() - since_s >= _DEAF_S
        return is_junk or any(one.is_deaf for one in self._unheard.values())

    @property
    def unused(self) -> str | None:
        """What has come if none of it could be used, for however short a time."""
        if self._heard:
            return None
        if self._unheard:
            return _listed([("", one) for one in self._unheard.values()])
        if self._places.left_out is not None:
            return self._places.left_out
        return f"{self._junk_bytes} bytes without a readable record" if self._junk_bytes else None

    def check(self) -> None:
        """Log what cannot be used when it is time."""
        if self._heard:
            for name, one in self._deaf_stations():
                if not one.is_told:
                    one.is_told = True
                    self._log(f"{name}: {UNUSABLE}: {one.text}")
        elif not self._is_told and self.is_deaf:
            self._is_told = True
            for one in self._unheard.values():
                one.is_told = True
            self._log(f"{UNUSABLE}: {self.unused}")

    def _deaf_stations(self) -> Iterator[tuple[str, _Unheard]]:
        """Yield the stations that are not heard beside others; one of which no channel is wanted is not ours."""
        return ((name, one) for name, one in self._unheard.items() if one.is_wanted and one.is_deaf)

    def _add(self, trace: Trace, is_wanted: bool, problem: str | Callable[[], str]) -> None:
        station_id = trace.station_id
        if station_id in self._heard:
            return
        self._has_traces = True
        one = self._unheard.get(station_id)
        if one is None:
            if len(self._unheard) >= _MOST_STATIONS:
                return
            one = self._unheard[station_id] = _Unheard(trace.start_ns, trace.stop_ns)
        one.n_traces += 1
        one.start_ns, one.stop_ns = min(one.start_ns, trace.start_ns), max(one.stop_ns, trace.stop_ns)
        one.is_wanted |= is_wanted
        if trace.source_id not in one.channels and len(one.channels) <= 4 * _MOST_CHANNELS:
            one.channels[trace.source_id] = problem


def _listed(stations: Sequence[tuple[str, _Unheard]]) -> str:
    """Return the texts of the first stations, each with its prefix, and how many more there are."""
    texts = [prefix + one.text for prefix, one in stations[:_MOST_SHOWN]]
    n_more = len(stations) - len(texts)
    return "; ".join([*texts, *([f"{n_more} more station(s)"] if n_more else [])])

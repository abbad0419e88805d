"""Which model takes a channel: the one that the user has named, or the one that is chosen for the channel's station.

A station is assigned its model once, by the network code and the sampling rate of its first channel that this model
takes: `moon` for Apollo's network XA and for the rates of Apollo's seismometers under any code, `mars` for InSight's
network XB, `earth` for everything else. XA and XB are temporary codes, which networks on Earth have had too, so every
choice is stated in a line that says how to make another.

References
----------
Nunn, C. et al. (2020). Lunar seismology: a data and instrumentation review. Space Sci. Rev. 216, 89: Apollo's rates.
InSight Mars SEIS Data Service (2019). doi:10.18715/SEIS.INSIGHT.XB_2016: network XB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase

import numpy as np

from edgequake.edge.base.errors import EdgequakeError
from edgequake.edge.base.station_places import is_named
from edgequake.edge.formats.source_ids import channel_of, station_of
from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.manifest.manifest import Manifest, load_manifest
from edgequake.edge.manifest.tables import takes_rate

AUTO = "auto"  # in place of a model's name
BODIES = ("moon", "mars", "earth")  # the models that can be chosen
_APOLLO_HZ = (6.625, 13.25, 53.0)  # mid-period channels, the same sampled twice as often, and short-period ones
_TOLERANCE = 0.02  # relative; rates in the headers of converted records differ by up to a per cent


def choose(station_id: str, rate_hz: float) -> tuple[str, str]:
    """Return the name of the model for a station (NET_STA) sampled at a rate, and the reason in words."""
    network = station_id.partition("_")[0]
    if network == "XA":
        return "moon", "network XA, Apollo's; terrestrial records under this code need --model earth"
    if any(abs(rate_hz / apollo_hz - 1.0) <= _TOLERANCE for apollo_hz in _APOLLO_HZ):
        return "moon", f"{rate_hz:g} Hz, a rate of Apollo's; other records at such a rate need --model earth or mars"
    if network == "XB":
        return "mars", "network XB, InSight's; terrestrial records under this code need --model earth"
    whose = f"network {network}" if network else "no network code"
    return "earth", f"{whose} at {rate_hz:g} Hz; lunar or Martian records under such a code need --model moon or mars"


def matches(source_id: str, patterns: tuple[str, ...]) -> bool:
    """Return whether a channel's code matches one of the patterns."""
    return any(fnmatchcase(channel_of(source_id), pattern) for pattern in patterns)


class ModelChoice:
    """Answers for each channel which model takes it; where models are chosen, remembers that of each station."""

    def __init__(
        self,
        named: Manifest | None = None,
        channels: tuple[str, ...] | None = None,
        manifest_of: Callable[[str], Manifest] = lambda name: load_manifest(name)[0],
        log: Callable[[str], None] = lambda line: None,
        most_stations: int | None = None,
        station_names: tuple[str, ...] | None = None,
    ) -> None:
        """Choose a model for each station, or with `named` always that one.

        Parameters
        ----------
        channels : patterns of channel codes, by default those of each model.
        manifest_of : returns the manifest of one of `BODIES`.
        log : takes a line for each station whose model is chosen.
        most_stations : so many stations are remembered, those that were heard last; None: all.
        station_names : patterns of NET_STA, by default any.
        """
        self.station_names = station_names
        self._named, self._channels = named, channels
        self._manifest_of, self._log, self._most_stations = manifest_of, log, most_stations
        self.stations: dict[str, str] = {}  # name of the model by station, the one heard last at the end
        self._announced: set[str] = set()  # stations

    def name_another(self, manifest: Manifest) -> None:
        """Take channels with another model in place of the named one."""
        self._named = manifest

    def manifest(self, source_id: str, rate_hz: float) -> Manifest:
        """Return the model of a channel's station, or the one that would be chosen by this channel."""
        if self._named is not None:
            return self._named
        station_id = station_of(source_id)
        return self._manifest_of(self.stations.get(station_id) or choose(station_id, rate_hz)[0])

    def patterns(self, source_id: str, rate_hz: float) -> tuple[str, ...]:
        """Return the patterns of channel codes, one of which a channel must match."""
        return self._channels or self.manifest(source_id, rate_hz).channels

    def expected(self, channels: Iterable[tuple[str, float]]) -> str:
        """Return the patterns that channels (source id, rate in Hz) must match, and of which models they are."""
        codes: dict[str, None] = {}
        components: dict[str, None] = {}
        names: dict[str, None] = {}
        for source_id, rate_hz in channels:
            codes |= dict.fromkeys(self.patterns(source_id, rate_hz))
            names[self.manifest(source_id, rate_hz).name] = None
            components |= dict.fromkeys(self._components(source_id, rate_hz))
        if self._channels and components and set(codes) != set(components):
            return f"{', '.join(codes)} and a component of model {' or '.join(names)}, {', '.join(components)}"
        whose = "" if self._channels else f", the channels of model {' or '.join(names)}"
        return f"{', '.join(codes)}{whose}"

    def names(self, source_id: str) -> bool:
        """Return whether a channel's station is one of those that the run uses."""
        return is_named(station_of(source_id), self.station_names)

    def matches(self, source_id: str, rate_hz: float) -> bool:
        """Return whether a channel's station and code are among those that the run uses.

        A network with one column for each component has none for other channels, whatever channels the user names.
        """
        if not (self.names(source_id) and matches(source_id, self.patterns(source_id, rate_hz))):
            return False
        components = self._components(source_id, rate_hz)
        return not components or matches(source_id, components)

    def _components(self, source_id: str, rate_hz: float) -> tuple[str, ...]:
        return self.manifest(source_id, rate_hz).front_end.components

    def takes_rate(self, source_id: str, rate_hz: float) -> bool:
        """Return whether the model takes a channel's sampling rate."""
        manifest = self.manifest(source_id, rate_hz)
        return takes_rate(manifest.front_end, manifest.sampling_rate_hz, rate_hz)

    def decide(self, channels: Iterable[tuple[str, float]]) -> None:
        """Choose the models of stations from channels (source id, rate in Hz) that come together.

        A station without a model gets that of its first usable channel; one at a rate of Apollo's goes before others.
        """
        if self._named is not None:
            return
        for source_id, rate_hz in sorted(channels, key=_apollo_first):
            self._decide(source_id, rate_hz)

    def announce(self, traces: Iterable[Trace]) -> None:
        """Log the choice for a station when its first true samples are processed, and not before.

        What is refused, or has no true sample, is reported in a line of its own that nothing should precede.
        """
        for trace in () if self._named is not None else traces:
            station_id, rate_hz = trace.station_id, trace.sampling_rate_hz
            fill_values = self.manifest(trace.source_id, rate_hz).front_end.fill_values
            if station_id not in self._announced and not is_void(trace, fill_values):
                self._announced.add(station_id)
                name, reason = choose(station_id, rate_hz)
                reason = reason if name == self.stations.get(station_id, name) else "chosen by another of its channels"
                self._log(f"{station_id}: model {self.stations.get(station_id, name)} ({reason})")

    def restore(self, stations: dict[str, str]) -> None:
        """Continue from the `stations` of another process; models that can no longer be chosen are left out."""
        self.stations = {station_id: name for station_id, name in stations.items() if name in BODIES}

    def advice(self, source_id: str, rate_hz: float) -> str:
        """Return a channel and its rate, and which options would have it processed."""
        return f"{source_id} at {rate_hz:g} Hz ({self._remedy(source_id, rate_hz)})"

    def _decide(self, source_id: str, rate_hz: float) -> None:
        station_id = station_of(source_id)
        name = self.stations.pop(station_id, None)
        if name is None:
            if not (self.matches(source_id, rate_hz) and self.takes_rate(source_id, rate_hz)):
                return
            name = choose(station_id, rate_hz)[0]
        self.stations[station_id] = name  # at the end: heard last
        if self._most_stations is not None and len(self.stations) > self._most_stations:
            forgotten = next(iter(self.stations))
            del self.stations[forgotten]
            self._announced.discard(forgotten)

    def _remedy(self, source_id: str, rate_hz: float) -> str:
        chosen = choose(station_of(source_id), rate_hz)[0]
        for name in (chosen, *(other for other in BODIES if other != chosen)):
            try:
                manifest, _ = load_manifest(name)
            except EdgequakeError:  # it is not on this lander
                continue
            if takes_rate(manifest.front_end, manifest.sampling_rate_hz, rate_hz):
                is_usual = matches(source_id, self._channels or manifest.channels)
                codes = "" if is_usual else f" --channels {channel_of(source_id)}"
                return f"--model {name}{codes} takes it"
        return "no shipped model takes this rate"


def is_void(trace: Trace, fill_values: tuple[int, ...]) -> bool:
    """Return whether a trace has no true sample: all are NaN, infinite or fill values."""
    samples = trace.samples
    if samples.dtype.kind == "f":
        return not bool(np.isfinite(samples).any())
    return bool(fill_values) and bool(np.isin(samples, np.array(fill_values, np.int64)).all())


def _apollo_first(channel: tuple[str, float]) -> tuple[bool, str]:
    source_id, rate_hz = channel
    return choose(station_of(source_id), rate_hz)[0] != "moon", source_id

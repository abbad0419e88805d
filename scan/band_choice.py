"""Which stations a scan takes, with which model, and which one band of each station and location.

Seismometers are often recorded as several bands at once, HH beside BH beside LH; to detect in each of them would cost
several times as much and find each event several times. One band a station and location is taken, the first in
`BAND_ORDER` that the model takes. A published campaign paid 2.8 times its budget for not choosing.

References
----------
Ni, Y., Denolle, M. A. et al. (2025), A global-scale database of seismic phases from cloud-based picking at petabyte
scale, Seismica 4(2); and the plans of its second run, SeisSCOPED/QuakeScope, docs/rerun_2026: one band a
station-location by a fixed order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from edgequake.edge.formats.source_ids import split_source_id
from edgequake.edge.inputs.files import ChannelSpan
from edgequake.edge.inputs.model_choice import ModelChoice
from edgequake.scan.storage.archive_index import IndexedFile

# High-gain broadband first, the fastest first; then short-period, geophones; then what is left, by name.
BAND_ORDER = ("HH", "BH", "CH", "DH", "MH", "EH", "SH", "HL", "BL", "EL", "SL", "HP", "EP", "SP", "DP")


@dataclass(frozen=True, order=True, slots=True)
class SensorPlace:
    """One location of a station: what one detector listens to."""

    station_id: str  # NET_STA
    location: str

    @property
    def title(self) -> str:
        """NET.STA.LOC."""
        return f"{self.station_id.replace('_', '.', 1)}.{self.location}"


@dataclass
class Chosen:
    """The channels of an archive that are used, and what is left out of it."""

    bands: dict[SensorPlace, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)  # by station
    other_bands: dict[SensorPlace, tuple[str, ...]] = field(default_factory=dict)  # that the model would take too
    ignored_channels: set[str] = field(default_factory=set)  # codes that no model of the scan takes

    _usable: dict[str, tuple[str, ...]] = field(default_factory=dict)  # source identifiers by file

    def stations_of(self, model: str) -> list[str]:
        """Return the stations of a model."""
        return [station_id for station_id, name in self.models.items() if name == model]

    def by_place(self, file: IndexedFile) -> dict[SensorPlace, dict[str, ChannelSpan]]:
        """Return the channels of a file that are used, by place."""
        found: dict[SensorPlace, dict[str, ChannelSpan]] = {}
        for source_id in self._usable.get(file.name, ()):
            place = place_of(source_id)
            if band_of(source_id) == self.bands[place]:
                found.setdefault(place, {})[source_id] = file.spans[source_id]
        return found


def place_of(source_id: str) -> SensorPlace:
    """Return the station and location of a source identifier."""
    codes = split_source_id(source_id)
    return SensorPlace(codes.station_id, codes.location)


def band_of(source_id: str) -> str:
    """Return band and instrument of a source identifier, as ``HH``."""
    codes = split_source_id(source_id)
    return f"{codes.band}{codes.source}"


def choose_bands(files: Iterable[IndexedFile], choice: ModelChoice, named_model: str | None) -> Chosen:
    """Choose models and bands.

    Parameters
    ----------
    files : in the order in which a run would look at them, by which it chooses the models of stations.
    named_model : the model of all stations; None: `choice` chooses among the shipped ones.
    """
    chosen = Chosen()
    bands: dict[SensorPlace, set[str]] = {}
    for file in files:
        named = {source_id: span for source_id, span in file.spans.items() if choice.names(source_id)}
        choice.decide((source_id, span[2]) for source_id, span in named.items())
        usable = []
        for source_id, (_, _, rate_hz) in named.items():
            if choice.matches(source_id, rate_hz) and choice.takes_rate(source_id, rate_hz):
                usable.append(source_id)
                bands.setdefault(place_of(source_id), set()).add(band_of(source_id))
            else:
                chosen.ignored_channels.add(source_id)
        chosen._usable[file.name] = tuple(usable)
    for place, found in sorted(bands.items()):
        first, *others = sorted(found, key=_rank)
        chosen.bands[place], chosen.other_bands[place] = first, tuple(others)
        chosen.models[place.station_id] = named_model or choice.stations[place.station_id]
    return chosen


def _rank(band: str) -> tuple[int, str]:
    return (BAND_ORDER.index(band) if band in BAND_ORDER else len(BAND_ORDER), band)

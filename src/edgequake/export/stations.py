"""Where stations are, from an inventory: StationXML, or another format that obspy reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgequake.edge.base.errors import DataError


@dataclass(frozen=True)
class Place:
    """Where a station is."""

    latitude_deg: float
    longitude_deg: float
    elevation_m: float = 0.0


def read_places(path: Path) -> dict[str, Place]:
    """Return the places of the stations in an inventory, by NET_STA; of several epochs, the last one's.

    Raises
    ------
    DataError
        No inventory that obspy reads, or no station in it.
    """
    from obspy import read_inventory

    try:
        inventory = read_inventory(str(path))
    except Exception as problem:  # obspy raises whatever its readers do
        raise DataError(f"{path} cannot be read as an inventory; expected StationXML: {problem}") from problem
    places = {
        f"{network.code}_{station.code}": Place(
            float(station.latitude), float(station.longitude), float(station.elevation or 0.0)
        )
        for network in inventory
        for station in network
    }
    if not places:
        raise DataError(f"{path} holds no station")
    return places

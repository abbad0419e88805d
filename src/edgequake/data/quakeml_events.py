"""Arrivals in QuakeML documents, as SeisComP, the Marsquake Service, the USGS and obspy write them.

The name of a phase is that of the preferred origin's arrival, and else the hint of its pick: SeisComP gives both, the
Marsquake Service only the first, and ComCat's answers often have no pick at all. What a document says beyond QuakeML
1.2 is taken from these elements: `type` of the Marsquake Service, `eventid` of the ANSS (USGS).

References
----------
Schorlemmer, D. et al. (2011). QuakeML: status of the XML-based seismological data exchange format. Ann. Geophys. 54(1).
InSight Marsquake Service (2023). Mars Seismic Catalogue, version 14. doi:10.12686/a21: its phases and event types.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

from edgequake.edge.base.errors import DataError

# Picks of the Marsquake Service that mark windows, amplitudes and disturbances, and picks of amplitudes elsewhere.
_NO_ARRIVAL = re.compile(r"(end|noise.*|glitch.*|peak.*|.*_spectral.*|.*_align.*|amp.*|a?ml|iaml|iv.*|coda.*)", re.I)
_NO_EVENT = ("not existing", "not reported")
_UNNAMED = ("other event", "not reported")


@dataclass(frozen=True)
class PickedArrival:
    """A pick of an event.

    Attributes
    ----------
    time_ns : nanoseconds since 1970 UTC.
    uncertainty_s : the larger one of before and after; None where the document gives none.
    phase : as P, Pg, S, x1 or start; blank where the document gives none.
    mode : "manual", "automatic", or blank.
    """

    network: str
    station: str
    time_ns: int
    uncertainty_s: float | None
    phase: str
    mode: str


@dataclass(frozen=True)
class EventOrigin:
    """Where and when an event was."""

    time_ns: int
    latitude_deg: float
    longitude_deg: float
    depth_km: float


@dataclass(frozen=True)
class QuakeEvent:
    """An event of a document."""

    name: str
    event_type: str
    origin: EventOrigin | None
    picks: tuple[PickedArrival, ...]
    document: str  # name of the file


def read_quake_events(path: Path) -> list[QuakeEvent]:
    """Read a document of events: QuakeML, or another format that obspy reads, as SeisComP's own XML.

    Raises
    ------
    DataError
        The file cannot be read, or is no such document.
    ModuleNotFoundError
        obspy is not installed.
    """
    from obspy import read_events

    if not path.is_file():
        raise DataError(f"{path} is no file; expected a QuakeML document")
    try:
        catalog = read_events(str(path))
    except Exception as problem:  # obspy raises whatever its readers do
        raise DataError(f"{path} cannot be read as QuakeML: {type(problem).__name__}: {problem}") from problem
    return [_event(event, path.name) for event in catalog if str(event.event_type) not in _NO_EVENT]


def _event(event: Any, document: str) -> QuakeEvent:
    origin = event.preferred_origin() or (event.origins[0] if event.origins else None)
    phases = {str(arrival.pick_id): arrival.phase for arrival in (origin.arrivals if origin is not None else ())}
    return QuakeEvent(_name(event), _type(event), _origin(origin), tuple(_picks(event, phases)), document)


def _picks(event: Any, phases: dict[str, str]) -> Iterator[PickedArrival]:
    for pick in event.picks:
        phase = str(phases.get(str(pick.resource_id)) or pick.phase_hint or "").strip()
        if pick.time is None or str(pick.evaluation_status) == "rejected" or _NO_ARRIVAL.fullmatch(phase):
            continue
        codes = pick.waveform_id
        network, station = (codes.network_code or "", codes.station_code or "") if codes is not None else ("", "")
        mode = str(pick.evaluation_mode or "")
        yield PickedArrival(network, station, int(pick.time.ns), _uncertainty_s(pick.time_errors), phase, mode)


def _uncertainty_s(errors: Any) -> float | None:
    values = (errors.uncertainty, errors.lower_uncertainty, errors.upper_uncertainty) if errors is not None else ()
    known = [float(value) for value in values if value is not None]
    return max(known) if known else None


def _origin(origin: Any) -> EventOrigin | None:
    if origin is None or None in (origin.time, origin.latitude, origin.longitude):
        return None
    depth_km = 0.0 if origin.depth is None else float(origin.depth) / 1000.0
    return EventOrigin(int(origin.time.ns), float(origin.latitude), float(origin.longitude), depth_km)


def _name(event: Any) -> str:
    """Return the name by which people call an event, or else what is unique in its public identifier."""
    named = [one.text for one in event.event_descriptions if one.type == "earthquake name" and one.text]
    extra = _extra(event)
    if "eventid" in extra:
        return f"{extra.get('eventsource', '')}{extra['eventid']}"
    public_id = str(event.resource_id or "")
    short = [name for name in named if re.fullmatch(r"S\d{4}[a-z]+", name)]  # the Marsquake Service's
    if short:
        return str(short[0])
    in_query = parse_qs(urlparse(public_id.partition(":")[2]).query).get("eventid")
    return in_query[0] if in_query else public_id.rstrip("/").rpartition("/")[2] or "event"


def _type(event: Any) -> str:
    """Return the type of an event; a marsquake's family as `marsquake BROADBAND`."""
    family = _extra(event).get("type", "").rpartition("#")[2]
    if family:
        return f"marsquake {family}"
    kind = str(event.event_type or "")
    return kind if kind and kind not in _UNNAMED else "event"


def _extra(event: Any) -> dict[str, str]:
    """Return the elements and attributes of an event that are not QuakeML's."""
    return {name: str(one.get("value", "")) for name, one in (getattr(event, "extra", None) or {}).items()}

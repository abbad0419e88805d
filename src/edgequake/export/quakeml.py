"""A run's events as QuakeML 1.2: one event with one automatic pick per row of the catalogue."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.base.inert_text import one_line
from edgequake.edge.formats.waveforms import format_time
from edgequake.edge.results.summary import UsedModel
from edgequake.export.stations import Place
from edgequake.results.finished_run import FinishedRun, RunEvent

if TYPE_CHECKING:
    from obspy.core.event import Catalog

_MOST_LETTERS = 8  # of a code, in QuakeML's schema
# QuakeML's event types for the event classes. It has no type for moonquakes and marsquakes, which therefore get none; a
# comment holds the class as it is in the catalogue.
_EVENT_TYPES = {
    "impact": ("meteorite", "suspected"),
    "impact_mq": ("meteorite", "suspected"),
    "impact_natural": ("meteorite", "suspected"),
    "impact_artificial": ("crash", "suspected"),
    "earthquake": ("earthquake", "suspected"),
}


@dataclass(frozen=True)
class CatalogSource:
    """What found the events of a catalogue."""

    model: str
    variant: str
    edgequake_version: str
    model_of: Callable[[str], UsedModel]  # of a station, by NET_STA


def quakeml(run: FinishedRun, places: Mapping[str, Place] | None = None) -> bytes:
    """Return a run's events as a QuakeML document; the same run always gives the same bytes.

    Parameters
    ----------
    places : by NET_STA: events of these stations get an origin there, at the time of the onset.

    Raises
    ------
    DataError
        The document does not conform to the QuakeML schema, or the run chose no model for a station of an event.
    """
    summary = run.summary
    source = CatalogSource(summary.model, summary.variant, summary.edgequake_version, summary.model_of)
    catalog = obspy_catalog(source, run.events, places)
    buffer = io.BytesIO()
    try:
        catalog.write(buffer, format="QUAKEML", validate=True)
    except AssertionError as problem:  # obspy's way to report a violation of the schema
        raise DataError(f"{run.folder}: the events do not fit QuakeML ({problem}); export --csv instead") from problem
    return buffer.getvalue()


def obspy_catalog(
    source: CatalogSource, events: Iterable[RunEvent], places: Mapping[str, Place] | None = None
) -> Catalog:
    """Return events as an obspy Catalog; `places` as in `quakeml`.

    Raises
    ------
    ConfigError
        obspy is not installed.
    DataError
        The source has no model for a station of an event.
    """
    try:
        from obspy.core.event import Catalog, ResourceIdentifier
    except ModuleNotFoundError as problem:
        raise ConfigError("a Catalog needs obspy: pip install obspy") from problem
    name = f"run/{_identifier(source.model)}/{_identifier(source.variant)}"
    return Catalog(
        events=[_event(source, event, (places or {}).get(event.station_id)) for event in events],
        resource_id=ResourceIdentifier(_public_id(name)),
    )


def _event(source: CatalogSource, row: RunEvent, place: Place | None) -> Any:
    from obspy.core.event import Comment, Event, ResourceIdentifier

    event_type, certainty = _EVENT_TYPES.get(row.mq_type, (None, None))
    name = _identifier(row.name)
    remarks = {
        "peak_probability": f"{row.peak_probability:.4f}",
        "stop": format_time(row.stop_ns) + "Z",
        "class": row.mq_type,
        "segment": row.segment,
        "waveform": ".".join(_codes(row)) if any(len(code) > _MOST_LETTERS for code in _codes(row)) else "",
    }
    pick = _pick(source, row)
    origins = [] if place is None else [_origin(source, row, place, pick)]
    return Event(
        resource_id=ResourceIdentifier(_public_id(f"event/{name}")),
        event_type=event_type,
        event_type_certainty=certainty,
        creation_info=_creation_info(source),
        comments=[
            Comment(
                text=one_line(f"{key}={value}"), resource_id=ResourceIdentifier(_public_id(f"comment/{name}/{key}"))
            )
            for key, value in remarks.items()
            if value
        ],
        picks=[pick],
        origins=origins,
        preferred_origin_id=origins[0].resource_id if origins else None,
    )


def _origin(source: CatalogSource, row: RunEvent, place: Place, pick: Any) -> Any:
    """Return an origin at the station: many programs show no event without one. Its comment says that it is none."""
    from obspy.core.event import Arrival, Comment, Origin, ResourceIdentifier

    name = _identifier(row.name)
    return Origin(
        resource_id=ResourceIdentifier(_public_id(f"origin/{name}")),
        time=pick.time,
        latitude=place.latitude_deg,
        longitude=place.longitude_deg,
        depth=0.0,
        depth_type="operator assigned",
        origin_type="hypocenter",
        evaluation_mode="automatic",
        evaluation_status="preliminary",
        comments=[
            Comment(
                text="placed at the station at the time of the onset: the event is not located",
                resource_id=ResourceIdentifier(_public_id(f"comment/{name}/origin")),
            )
        ],
        arrivals=[
            Arrival(
                resource_id=ResourceIdentifier(_public_id(f"arrival/{name}")),
                pick_id=pick.resource_id,
                phase="",
            )
        ],
        creation_info=_creation_info(source),
    )


def _codes(row: RunEvent) -> tuple[str, str, str, str]:
    """Return network, station, location and channel, without characters that XML cannot hold."""
    network, station, location, channel = map(
        one_line, (row.network, row.station, row.location or "", row.pick_channel)
    )
    return network, station, location, channel


def _waveform_id(row: RunEvent) -> Any:
    """Return the codes of an event's waveform, longer ones cut; a channel code may be missing in QuakeML and is."""
    from obspy.core.event import WaveformStreamID

    network, station, location, channel = _codes(row)
    return WaveformStreamID(
        network[:_MOST_LETTERS],
        station[:_MOST_LETTERS],
        None if row.location is None else location[:_MOST_LETTERS],
        channel if 0 < len(channel) <= _MOST_LETTERS else None,
    )


def _pick(source: CatalogSource, row: RunEvent) -> Any:
    """Return the onset as a pick, without a phase hint: the networks detect onsets but do not identify the phase."""
    from obspy import UTCDateTime
    from obspy.core.event import Pick, QuantityError, ResourceIdentifier

    model = source.model_of(row.station_id)
    method = "/".join(("method", *map(_identifier, (model.name, model.variant, model.graph_sha256))))
    return Pick(
        resource_id=ResourceIdentifier(_public_id(f"pick/{_identifier(row.name)}")),
        time=UTCDateTime(ns=row.onset_ns),
        time_errors=QuantityError(uncertainty=row.onset_uncertainty_s),
        waveform_id=_waveform_id(row),
        method_id=ResourceIdentifier(_public_id(method)),
        evaluation_mode="automatic",
        creation_info=_creation_info(source),
    )


def _creation_info(source: CatalogSource) -> Any:
    from obspy.core.event import CreationInfo

    return CreationInfo(author="edgequake", version=one_line(source.edgequake_version))


def _public_id(name: str) -> str:
    return f"smi:local/edgequake/{name}"


def _identifier(text: str) -> str:
    """Replace the characters that QuakeML does not allow in a resource identifier."""
    return re.sub(r"[^A-Za-z0-9\-.*()_~']", "-", text) or "-"

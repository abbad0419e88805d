"""A run's events as QuakeML 1.2: one event with one automatic pick per row of the catalogue."""

from __future__ import annotations

import io
import re
from typing import Any

from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.waveforms import format_time
from edgequake.results.finished_run import FinishedRun, RunEvent

# QuakeML's words for what our classes mean. It knows earthquakes but neither moonquakes nor marsquakes, so quakes stay
# without a type; a comment names the class as the catalogue has it.
_EVENT_TYPES = {
    "impact": ("meteorite", "suspected"),
    "impact_mq": ("meteorite", "suspected"),
    "impact_natural": ("meteorite", "suspected"),
    "impact_artificial": ("crash", "suspected"),
    "earthquake": ("earthquake", "suspected"),
}


def quakeml(run: FinishedRun) -> bytes:
    """Return a run's events as a QuakeML document; the same run gives the same bytes.

    Raises
    ------
    DataError
        The document does not pass QuakeML's own schema.
    """
    from obspy.core.event import Catalog, ResourceIdentifier

    name = f"run/{_word(run.model)}/{_word(run.variant)}"
    catalog = Catalog(
        events=[_event(run, event) for event in run.events], resource_id=ResourceIdentifier(_public_id(name))
    )
    buffer = io.BytesIO()
    try:
        catalog.write(buffer, format="QUAKEML", validate=True)
    except AssertionError as problem:  # how obspy says that the schema is not met
        raise DataError(f"{run.folder}: its events do not fit QuakeML ({problem}); export --csv instead") from problem
    return buffer.getvalue()


def _event(run: FinishedRun, row: RunEvent) -> Any:
    from obspy.core.event import Event, ResourceIdentifier

    event_type, certainty = _EVENT_TYPES.get(row.mq_type, (None, None))
    remarks = {
        "peak_probability": f"{row.peak_probability:.4f}",
        "stop": format_time(row.stop_ns) + "Z",
        "class": row.mq_type,
        "segment": row.segment,
    }
    return Event(
        resource_id=ResourceIdentifier(_public_id(f"event/{_word(row.name)}")),
        event_type=event_type,
        event_type_certainty=certainty,
        creation_info=_creation_info(run),
        comments=[_comment(row, key, value) for key, value in remarks.items() if value],
        picks=[_pick(run, row)],
    )


def _pick(run: FinishedRun, row: RunEvent) -> Any:
    """The onset; without a phase hint, since the networks tell that an event begins and not which wave arrives."""
    from obspy import UTCDateTime
    from obspy.core.event import Pick, QuantityError, ResourceIdentifier, WaveformStreamID

    method = f"method/{_word(run.model)}/{_word(run.variant)}/{_word(run.graph_sha256)}"
    return Pick(
        resource_id=ResourceIdentifier(_public_id(f"pick/{_word(row.name)}")),
        time=UTCDateTime(ns=row.onset_ns),
        time_errors=QuantityError(uncertainty=row.onset_uncertainty_s),
        waveform_id=WaveformStreamID(
            network_code=row.network,
            station_code=row.station,
            location_code=row.location,
            channel_code=row.pick_channel or None,
        ),
        method_id=ResourceIdentifier(_public_id(method)),
        evaluation_mode="automatic",
        creation_info=_creation_info(run),
    )


def _comment(row: RunEvent, key: str, value: str) -> Any:
    from obspy.core.event import Comment, ResourceIdentifier

    identifier = ResourceIdentifier(_public_id(f"comment/{_word(row.name)}/{key}"))
    return Comment(text=f"{key}={value}", resource_id=identifier)


def _creation_info(run: FinishedRun) -> Any:
    from obspy.core.event import CreationInfo

    return CreationInfo(author="edgequake", version=run.edgequake_version)


def _public_id(name: str) -> str:
    return f"smi:local/edgequake/{name}"


def _word(text: str) -> str:
    """Text with only the characters that QuakeML allows within a resource identifier."""
    return re.sub(r"[^A-Za-z0-9\-.*()_~']", "-", text) or "-"

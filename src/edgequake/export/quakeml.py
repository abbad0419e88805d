"""A run's events as QuakeML 1.2: one event with one automatic pick per row of the catalogue."""

from __future__ import annotations

import io
import re
from typing import Any

from edgequake.edge.base.errors import DataError
from edgequake.edge.base.inert_text import one_line
from edgequake.edge.formats.waveforms import format_time
from edgequake.results.finished_run import FinishedRun, RunEvent

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


def quakeml(run: FinishedRun) -> bytes:
    """Return a run's events as a QuakeML document; the same run always gives the same bytes.

    Raises
    ------
    DataError
        The document does not conform to the QuakeML schema, or the run chose no model for a station of an event.
    """
    from obspy.core.event import Catalog, ResourceIdentifier

    name = f"run/{_identifier(run.summary.model)}/{_identifier(run.summary.variant)}"
    catalog = Catalog(
        events=[_event(run, event) for event in run.events], resource_id=ResourceIdentifier(_public_id(name))
    )
    buffer = io.BytesIO()
    try:
        catalog.write(buffer, format="QUAKEML", validate=True)
    except AssertionError as problem:  # obspy's way to report a violation of the schema
        raise DataError(f"{run.folder}: the events do not fit QuakeML ({problem}); export --csv instead") from problem
    return buffer.getvalue()


def _event(run: FinishedRun, row: RunEvent) -> Any:
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
    return Event(
        resource_id=ResourceIdentifier(_public_id(f"event/{name}")),
        event_type=event_type,
        event_type_certainty=certainty,
        creation_info=_creation_info(run),
        comments=[
            Comment(
                text=one_line(f"{key}={value}"), resource_id=ResourceIdentifier(_public_id(f"comment/{name}/{key}"))
            )
            for key, value in remarks.items()
            if value
        ],
        picks=[_pick(run, row)],
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


def _pick(run: FinishedRun, row: RunEvent) -> Any:
    """Return the onset as a pick, without a phase hint: the networks detect onsets but do not identify the phase."""
    from obspy import UTCDateTime
    from obspy.core.event import Pick, QuantityError, ResourceIdentifier

    summary = run.summary
    model = summary.model_of(row.station_id)
    method = "/".join(("method", *map(_identifier, (model.name, model.variant, model.graph_sha256))))
    return Pick(
        resource_id=ResourceIdentifier(_public_id(f"pick/{_identifier(row.name)}")),
        time=UTCDateTime(ns=row.onset_ns),
        time_errors=QuantityError(uncertainty=row.onset_uncertainty_s),
        waveform_id=_waveform_id(row),
        method_id=ResourceIdentifier(_public_id(method)),
        evaluation_mode="automatic",
        creation_info=_creation_info(run),
    )


def _creation_info(run: FinishedRun) -> Any:
    from obspy.core.event import CreationInfo

    return CreationInfo(author="edgequake", version=one_line(run.summary.edgequake_version))


def _public_id(name: str) -> str:
    return f"smi:local/edgequake/{name}"


def _identifier(text: str) -> str:
    """Replace the characters that QuakeML does not allow in a resource identifier."""
    return re.sub(r"[^A-Za-z0-9\-.*()_~']", "-", text) or "-"

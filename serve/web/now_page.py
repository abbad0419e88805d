"""Now: the newest samples of each channel, a spectrogram, probabilities and health, renewed while it is open."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from edgequake.edge.base.durations import duration
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.source_ids import station_of
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, parse_time
from edgequake.serve.station.live import RECENT_NS, LiveSamples
from edgequake.serve.station.pictures import (
    long_trace_picture,
    probability_picture,
    spectrogram_picture,
    ssam_picture,
    trace_picture,
)
from edgequake.serve.web.context import Context, as_json

MINUTES = (2, 10, 30, 120, 720, 1440)
_USUAL_MINUTES = 10
_MOST_CHANNELS = 6
_SSAM_FROM_MINUTES = 60  # shorter windows have too few of its frames
_HEARD_AGES_S = 90.0
# State of the run: words that follow it, and how bad it is.
_HEALTH = {
    "well": ("good", "The run goes on and hears its station."),
    "ended": ("idle", "The run has ended; what it has found stays here."),
    "degraded": ("bad", "The run goes on, but cannot write all that it should."),
    "stalled": ("bad", "No samples come in."),
    "deaf": ("bad", "Samples come in, but none that the model can use."),
    "dead or hanging": ("bad", "The process that ran does not live, or hangs."),
}


@dataclass(frozen=True)
class Window:
    """What the page shows."""

    station_id: str
    minutes: int


class NowPage:
    """Addresses under /now."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._live = LiveSamples(context.out)

    async def page(self, request: Request) -> Response:
        """The page, without figures, which its script asks for."""
        stations = await self._context.shared("stations", self._context.waveforms.stations)
        window = self._window(request, stations)
        status = await self._context.shared("status", self._context.status)
        values = {
            "stations": stations,
            "window": window,
            "minutes": MINUTES,
            "classes": self._context.classes(),
            **health_of(status),
        }
        return self._context.page(request, "now", **values)

    async def health(self, request: Request) -> Response:
        """The part of the page that tells the run's health."""
        status = await self._context.shared("status", self._context.status)
        return self._context.page(request, "health", **health_of(status))

    async def data(self, request: Request) -> Response:
        """The figures of a window that ends with the newest sample."""
        stations = await self._context.shared("stations", self._context.waveforms.stations)
        window = self._window(request, stations)
        lasts_s = 1.5 if window.minutes * 60 * NS_PER_S <= RECENT_NS else 15.0
        return as_json(await self._context.shared(window, lambda: self._figures(window), lasts_s))

    def _window(self, request: Request, stations: list[str]) -> Window:
        named, minutes = request.query_params.get("station", ""), request.query_params.get("minutes", "")
        chosen = int(minutes) if minutes in map(str, MINUTES) else _USUAL_MINUTES
        return Window(named if named in stations else next(iter(stations), ""), chosen)

    def _figures(self, window: Window) -> dict[str, Any]:
        found = self._context.waveforms.monitored(window.station_id)
        length_ns = window.minutes * 60 * NS_PER_S
        if not found:
            return self._stored_figures(window, length_ns)
        channels = dict(list(found.items())[:_MOST_CHANNELS])
        recent = {code: self._live.recent(name) for code, name in channels.items()}
        stops = [trace.stop_ns for traces in recent.values() for trace in traces]
        if not stops:
            return self._stored_figures(window, length_ns)
        stop_ns = max(stops)
        start_ns = stop_ns - length_ns
        if length_ns <= RECENT_NS:
            traces = {code: [one for one in own if one.stop_ns > start_ns] for code, own in recent.items()}
            traces = {code: [one.between(start_ns, None) for one in own] for code, own in traces.items()}
            pictures = [{"channel": code, **trace_picture(own, start_ns, stop_ns)} for code, own in traces.items()]
        else:
            pictures = [
                {"channel": code, **long_trace_picture(*self._live.extremes(name, start_ns, stop_ns), recent[code])}
                for code, name in channels.items()
            ]
        first = next(iter(recent.values()))
        spectrogram = self._ssam(window, start_ns, stop_ns, first)
        if spectrogram is None:
            since_ns = max(start_ns, stop_ns - RECENT_NS)
            spectrogram = spectrogram_picture([one.between(since_ns, None) for one in first if one.stop_ns > since_ns])
        frames = self._live.frames(window.station_id, start_ns, stop_ns + NS_PER_S)
        return {
            **_frame(window, start_ns, stop_ns, live=True),
            "traces": pictures,
            "spectrogram": spectrogram,
            "probability": probability_picture(frames, start_ns, stop_ns),
            "threshold": self._threshold(window.station_id),
        }

    def _stored_figures(self, window: Window, length_ns: int) -> dict[str, Any]:
        """Return figures of a run without a monitor: of what its archive has."""
        channels = self._context.waveforms.channels(window.station_id)[:_MOST_CHANNELS] if window.station_id else []
        stop_ns = self._newest_ns(window.station_id)
        if not channels or stop_ns is None:
            return {**_frame(window, 0, 0, live=False), "traces": [], "spectrogram": None, "probability": None}
        start_ns = stop_ns - min(length_ns, 2 * RECENT_NS)  # longer spans are on the page of days
        pictures, first = [], None
        for code in channels:
            traces = self._context.waveforms.traces(window.station_id, code, start_ns, stop_ns)
            first = traces if first is None else first
            pictures.append({"channel": code, **trace_picture(traces, start_ns, stop_ns)})
        return {
            **_frame(window, start_ns, stop_ns, live=False),
            "traces": pictures,
            "spectrogram": self._ssam(window, start_ns, stop_ns, first or []) or spectrogram_picture(first or []),
            "probability": None,
        }

    def _ssam(self, window: Window, start_ns: int, stop_ns: int, of: Sequence[Trace]) -> dict[str, Any] | None:
        """Return the SSAM levels of the channel that `of` are traces of, where the window is long enough for them."""
        if window.minutes < _SSAM_FROM_MINUTES:
            return None
        rate_hz = of[0].sampling_rate_hz if of else None
        return ssam_picture(self._context.out, window.station_id, start_ns, stop_ns, rate_hz)

    def _newest_ns(self, station_id: str) -> int | None:
        """Return the time of a station's newest sample by the run's status, or else the end of its last day."""
        status = self._context.status()
        times = [] if status is None else list(status.get("last_sample", {}).items())
        own = [parse_time(text) for name, text in times if station_of(str(name)) == station_id]
        days = self._context.waveforms.days(station_id)
        if own:
            return max(own)
        return (max(days) + 1) * 86_400 * NS_PER_S if days else None

    def _threshold(self, station_id: str) -> float | None:
        status = self._context.status() or {}
        own = [one for one in status.get("models", ()) if station_id in one.get("stations", ())]
        threshold = (own[0] if own else status).get("onset_threshold")
        return float(threshold) if isinstance(threshold, int | float) else None


def _frame(window: Window, start_ns: int, stop_ns: int, live: bool) -> dict[str, Any]:
    return {"station": window.station_id, "start": start_ns / NS_PER_S, "stop": stop_ns / NS_PER_S, "live": live}


def health_of(status: dict[str, Any] | None) -> dict[str, Any]:
    """Return what pages say of a run's health: `grade`, `health`, `meaning` and `rows` of figures."""
    if status is None:
        meaning = "This run writes no status: it is one over files, or of an older version."
        return {"grade": "idle", "health": "no status", "detail": "", "meaning": meaning, "rows": [], "warnings": []}
    health = str(status["health"])
    state, _, detail = health.partition(": ")
    grade, meaning = _HEALTH.get(state, ("bad", ""))
    rows = [
        ("Written", f"{duration(status['age_s'])} ago"),
        ("Mission time", _shown(status.get("mission_time"))),
        ("Clock", _clock(status)),
        ("Model", f"{status.get('model')}, onset threshold {status.get('onset_threshold')}"),
        ("Events", f"{status.get('events')}"),
        ("Samples", f"{status.get('samples_in')}"),
        ("Memory", f"{status.get('peak_memory_bytes', 0) / 1e6:.0f} MB at most"),
    ]
    warnings = [str(text) for text in status.get("warnings", ())]
    return {"grade": grade, "health": state, "detail": detail, "meaning": meaning, "rows": rows, "warnings": warnings}


def _clock(status: dict[str, Any]) -> str:
    """Return how far the records' time is from the machine's."""
    try:
        behind_s = time.time() - parse_time(str(status["mission_time"])) / NS_PER_S - status["age_s"]
    except (DataError, KeyError, TypeError):
        return "unknown"
    if status.get("state") == "ended" or behind_s > 86_400 * 30:
        return "records of another time than the machine's"
    if abs(behind_s) <= _HEARD_AGES_S:
        return "records and machine agree"
    return f"records are {abs(behind_s):.0f} s {'behind' if behind_s > 0 else 'ahead of'} the machine"


def _shown(text: object) -> str:
    return "unknown" if text is None else f"{str(text)[:19].replace('T', ' ')} UTC"

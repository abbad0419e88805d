"""Ground: queue, budget, what waits and what is held; spans are requested and files acknowledged here."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from edgequake.edge.archive.extract import Span
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.serve.station.catalog_index import time_of
from edgequake.serve.web.context import Context, reviewer_of
from edgequake.serve.web.guard import values_of
from edgequake.serve.web.now_page import health_of

_MOST_NUMBERS = 100
_MOST_NUMBER_DIGITS = 12


class GroundPage:
    """Addresses under /ground."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def page(self, request: Request) -> Response:
        """The page."""
        status = await self._context.shared("status", self._context.status)
        found = await self._context.in_thread(self._found)
        downlink = (status or {}).get("downlink")
        held = (status or {}).get("archive")
        return self._context.page(
            request,
            "ground",
            downlink=downlink,
            held=held,
            spent=_share(downlink),
            **health_of(status),
            **found,
        )

    async def request_span(self, request: Request) -> Response:
        """Put a request for a span into the run folder."""
        form = request.state.form
        fields = {name: (values_of(form, name) or [""])[0].strip() for name in ("start", "stop", "station", "channel")}
        try:
            said = await self._context.in_thread(lambda: self._request(fields))
        except (ConfigError, DataError) as problem:
            return self._context.page(request, "message", 400, title="Not requested", text=str(problem))
        self._context.log(f"{reviewer_of(request)}: {said}")
        return RedirectResponse("/ground#requests", 303)

    async def acknowledge(self, request: Request) -> Response:
        """Delete files that have been received from the outbox."""
        named = values_of(request.state.form, "number")
        numbers = [int(text) for text in named if text.isascii() and text.isdigit() and len(text) < _MOST_NUMBER_DIGITS]
        if not 0 < len(numbers) == len(named) <= _MOST_NUMBERS:
            text = f"Select 1 to {_MOST_NUMBERS} files."
            return self._context.page(request, "message", 400, title="Not acknowledged", text=text)
        try:
            said = await self._context.in_thread(lambda: self._context.ground.acknowledge(numbers))
        except DataError as problem:
            return self._context.page(request, "message", 409, title="Not acknowledged", text=str(problem))
        self._context.log(f"{reviewer_of(request)}: {said}")
        return RedirectResponse("/ground#outbox", 303)

    def _found(self) -> dict[str, Any]:
        self._context.refresh()
        stations = sorted({*self._context.waveforms.stations(), *self._context.index.stations})
        return {
            "requests": self._context.ground.requests(),
            "outbox": self._context.ground.outbox(),
            "stations": stations,
        }

    def _request(self, fields: dict[str, str]) -> str:
        """Request a span.

        Raises
        ------
        ConfigError
            No such station or channel here, or a span that cannot be asked for.
        DataError
            A time that is none, or the request cannot be written.
        """
        self._context.refresh()
        station_id, channel = fields["station"], fields["channel"]
        known = {*self._context.waveforms.stations(), *self._context.index.stations}
        if station_id and station_id not in known:
            raise ConfigError("no such station in the run folder")
        code = channel.rpartition(".")[2]
        if code and not (code.isascii() and code.replace("_", "").replace("-", "").isalnum() and len(code) <= 16):
            raise ConfigError("no such channel")
        start_ns, stop_ns = time_of(fields["start"]), time_of(fields["stop"])
        if start_ns is None or stop_ns is None:
            raise ConfigError("a request needs a start and a stop, as 2022-01-02 05:12:30 (UTC)")
        span = Span(start_ns, stop_ns, station_id or None, (code,) if code else None)
        return self._context.ground.request(span)


def _share(downlink: dict[str, Any] | None) -> float | None:
    """Return the share of the day's budget that is spent, 0..1."""
    if not downlink or not downlink.get("budget_bytes"):
        return None
    return min(1.0, float(downlink["spent_bytes"]) / float(downlink["budget_bytes"]))

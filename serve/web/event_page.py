"""One event: its samples, spectrogram and probabilities, the onset with its uncertainty, and its review by keyboard."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from edgequake.edge.archive.monitor_files import monitor_frames
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.results.catalog import CatalogRow, catalog_text
from edgequake.serve.station.pictures import probability_picture, spectrogram_picture, trace_picture
from edgequake.serve.station.waveforms import code_of, in_drawing_order
from edgequake.serve.web.context import Context, as_json
from edgequake.serve.web.events_page import ADDED, EventsPage, Listing, listing_of

_MOST_CHANNELS = 4
_MOST_EVID_LETTERS = 256
_PROCESS = (sys.executable, "-m", "edgequake.serve.station.event_probability")
_COMPUTING_S = 60.0  # after which a computation is given up
_LASTS_S = 600.0  # for so long what was computed of an event is kept
_MOST_SEGMENT_NS = 6 * 3600 * NS_PER_S  # that is drawn around an onset


class EventPage:
    """Addresses under /events/NAME."""

    def __init__(self, context: Context, events: EventsPage) -> None:
        self._context, self._events = context, events
        self._computing = asyncio.Semaphore(1)

    async def page(self, request: Request) -> Response:
        """The page of an event."""
        number, row = await self._context.in_thread(lambda: self._row(request))
        if row is None:
            return self._missing(request)
        listing = listing_of(request.query_params)
        neighbours = await self._context.in_thread(lambda: self._neighbours(number, row, listing))
        return self._context.page(
            request,
            "event",
            row=row,
            review=self._context.reviews.of(row.evid),
            history=self._context.reviews.history(row.evid),
            classes=self._context.classes(),
            listing=listing,
            is_added=number == ADDED,
            **neighbours,
        )

    async def next(self, request: Request) -> Response:
        """The first event of a list that is to be reviewed, whatever the list shows besides."""
        listing = listing_of(request.query_params)
        numbers = await self._context.in_thread(lambda: self._open(listing))
        if not len(numbers):
            return RedirectResponse(f"/events?{listing.address(1)}", 303)
        row = await self._context.in_thread(lambda: self._context.index.row(int(numbers[0])))
        return RedirectResponse(f"/events/{row.evid}?{listing.address(1)}", 303)

    async def data(self, request: Request) -> Response:
        """The samples of an event and their spectrogram."""
        _, row = await self._context.in_thread(lambda: self._row(request))
        if row is None:
            return self._missing(request)
        return as_json(await self._context.shared(("event", row.evid), lambda: self._figures(row), 30.0))

    async def probability(self, request: Request) -> Response:
        """The probabilities of an event: those of the run where the monitor has them, or computed again."""
        _, row = await self._context.in_thread(lambda: self._row(request))
        if row is None:
            return self._missing(request)
        stored = await self._context.in_thread(lambda: self._stored_probability(row))
        if stored is not None:
            return as_json(stored)
        key = ("probability", row.evid)
        found = self._context.remembered(key, _LASTS_S)
        if found is None:
            async with self._computing:
                found = self._context.remembered(key, _LASTS_S) or await self._computed(row)
                self._context.remember(key, found)
        return as_json(found)

    def _row(self, request: Request) -> tuple[int, CatalogRow | None]:
        """Return the number in the catalogue, or `ADDED`, and the event that an address names."""
        evid = str(request.path_params["evid"])
        if len(evid) > _MOST_EVID_LETTERS:
            return 0, None
        self._context.refresh()
        added = self._context.reviews.of(evid).added
        if added is not None:
            return ADDED, added.row()
        number = self._context.index.number_of(evid)
        return (0, None) if number is None else (number, self._context.index.row(number))

    def _missing(self, request: Request) -> Response:
        text = "There is no event of this name, in the catalogue or among those that reviewers have added."
        return self._context.page(request, "message", 404, title="No such event", text=text)

    def _open(self, listing: Any) -> Any:
        self._context.refresh()
        return self._context.index.page(listing.wanted, listing.order, 0, 1)[1]

    def _neighbours(self, number: int, row: CatalogRow, listing: Listing) -> dict[str, Any]:
        """Return the events before and after one in its list, and its place there.

        An event that has just been reviewed is no more in a list of those to be reviewed: what follows it in the order
        is found without that part of the filter.
        """
        if number == ADDED:
            return self._events.added_around(row, listing)
        index = self._context.index
        before, after, place, n = index.around(number, listing.wanted, listing.order)
        found = {"previous": before, "following": after}
        named = {key: None if value is None else index.row(value).evid for key, value in found.items()}
        return {**named, "place": place, "n": n}

    def _figures(self, row: CatalogRow) -> dict[str, Any]:
        traces = self._context.waveforms.of_event(row)
        answer: dict[str, Any] = {
            "onset": row.onset_ns / NS_PER_S,
            "stop_of_event": row.stop_ns / NS_PER_S,
            "uncertainty": row.onset_uncertainty_s,
            "traces": [],
            "spectrogram": None,
        }
        if not traces:
            return {**answer, "problem": "The samples of this event are not in the run folder any more."}
        start_ns = max(min(trace.start_ns for trace in traces), row.onset_ns - _MOST_SEGMENT_NS)
        stop_ns = min(max(trace.stop_ns for trace in traces), row.onset_ns + _MOST_SEGMENT_NS)
        for code in in_drawing_order({code_of(trace.source_id) for trace in traces})[:_MOST_CHANNELS]:
            own = [one.between(start_ns, stop_ns) for one in traces if code_of(one.source_id) == code]
            own = [one for one in own if len(one.samples)]
            answer["traces"].append({"channel": code, **trace_picture(own, start_ns, stop_ns)})
            answer["spectrogram"] = answer["spectrogram"] or spectrogram_picture(own)
        return {**answer, "start": start_ns / NS_PER_S, "stop": stop_ns / NS_PER_S}

    def _stored_probability(self, row: CatalogRow) -> dict[str, Any] | None:
        traces = self._context.waveforms.of_event(row)
        if not traces:
            return None
        start_ns, stop_ns = min(trace.start_ns for trace in traces), max(trace.stop_ns for trace in traces)
        frames = monitor_frames(self._context.out, row.station_id, start_ns, stop_ns)
        # Of a segment that began before the ring, the probabilities are computed whole.
        is_whole = len(frames) and frames["stop_ns"][0] <= row.onset_ns and frames["stop_ns"][-1] >= row.onset_ns
        return probability_picture(frames, start_ns, stop_ns) if is_whole else None

    async def _computed(self, row: CatalogRow) -> dict[str, Any]:
        process = await asyncio.create_subprocess_exec(
            *_PROCESS, str(self._context.out), stdin=-1, stdout=-1, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            text, _ = await asyncio.wait_for(process.communicate(catalog_text([row]).encode()), _COMPUTING_S)
            answer: dict[str, Any] = json.loads(text)
        except (asyncio.TimeoutError, ValueError):
            return {"problem": "the network could not be run on the samples"}
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if "problem" in answer:
            self._context.log(f"no probabilities of {row.evid}: {answer['problem']}")
        return answer

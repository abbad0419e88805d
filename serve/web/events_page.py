"""Events: the list with filters, orders and pages, and the reviews of several at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.results.catalog import CatalogRow
from edgequake.serve.reviews.review_log import ACCEPT, CLASS, NOTE, ONSET, REJECT
from edgequake.serve.reviews.review_store import Review
from edgequake.serve.station.catalog_index import NEWEST, ORDERS, EventFilter, time_of
from edgequake.serve.web.context import ACCEPTED, REJECTED, UNREVIEWED, Context, reviewer_of
from edgequake.serve.web.guard import values_of
from edgequake.serve.web.limits import MOST_SELECTED

PAGE_SIZES = (25, 50, 100, MOST_SELECTED)
STATES = {"": None, "open": UNREVIEWED, "accepted": ACCEPTED, "rejected": REJECTED}
ORDER_NAMES = {"newest": "newest first", "doubtful": "doubtful first: lowest peak", "random": "random"}
# Classes that a reviewer may give whatever the run's model knows; NASA's for the Moon, and those of the shipped models.
CLASSES = ("impact_mq", "deep_mq", "shallow_mq", "local", "regional", "teleseism", "explosion", "noise")
_FARTHEST_NS = 86_400 * NS_PER_S  # that an onset may be moved
_NO_CLASS = "-"  # in an address: events without a class


@dataclass(frozen=True)
class Listing:
    """What a list shows, as its address says it."""

    wanted: EventFilter
    order: str
    page: int  # from 1
    size: int
    fields: dict[str, str]  # of the filter, as they were typed
    problem: str = ""

    def address(self, page: int | None = None) -> str:
        """Return the query of this list, at a page."""
        fields = {name: text for name, text in self.fields.items() if text}
        return urlencode({**fields, "order": self.order, "size": self.size, "page": page or self.page})


def listing_of(query: QueryParams) -> Listing:
    """Return the list that an address asks for; what it says wrong is left out and named."""
    fields = {name: query.get(name, "").strip()[:64] for name in ("station", "class", "from", "to", "peak", "state")}
    problems = []

    def time(name: str) -> int | None:
        try:
            return time_of(fields[name])
        except DataError as problem:
            problems.append(str(problem))
            return None

    peak = None
    if fields["peak"]:
        try:
            peak = float(fields["peak"])
        except ValueError:
            problems.append(f"peak '{fields['peak']}': expected a number from 0 to 1")
        if peak is not None and not 0.0 <= peak <= 1.0:
            peak = None
            problems.append("peak: expected a number from 0 to 1")
    mq_type = {"": None, _NO_CLASS: ""}.get(fields["class"], fields["class"])
    wanted = EventFilter(
        fields["station"] or None, mq_type, time("from"), time("to"), peak, STATES.get(fields["state"])
    )
    order = query.get("order", NEWEST)
    size, page = query.get("size", ""), query.get("page", "")
    return Listing(
        wanted,
        order if order in ORDERS else NEWEST,
        int(page) if page.isascii() and page.isdigit() and 0 < int(page[:9]) < 10**8 else 1,
        int(size) if size in map(str, PAGE_SIZES) else PAGE_SIZES[1],
        fields,
        "; ".join(problems),
    )


class EventsPage:
    """Addresses /events, /events/review and /events/undo."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def page(self, request: Request) -> Response:
        """The list; for its own filter form only the part that changes."""
        listing = listing_of(request.query_params)
        found = await self._context.in_thread(lambda: self._found(listing))
        return self._context.page(
            request,
            "event_list" if "hx-request" in request.headers else "events",
            listing=listing,
            sizes=PAGE_SIZES,
            orders=ORDER_NAMES,
            states=STATES,
            stations=self._context.index.stations,
            classes=[name for name in self._context.index.classes if name],
            all_classes=self.classes(),
            **found,
        )

    def classes(self) -> list[str]:
        """Return the classes that a reviewer can give."""
        return list(dict.fromkeys([*filter(None, self._context.index.classes), *CLASSES]))

    async def review(self, request: Request) -> Response:
        """Do one action on the events of a form; back to where the form says, or to the list."""
        form = request.state.form
        evids = list(dict.fromkeys(values_of(form, "event")))
        action, value = (values_of(form, name)[:1] or [""] for name in ("action", "value"))
        problem = await self._context.in_thread(lambda: self.do(evids, action[0], value[0], reviewer_of(request)))
        if problem:
            return self._context.page(request, "message", 400, title="Not done", text=problem)
        return RedirectResponse(back_to(form), 303)

    async def undo(self, request: Request) -> Response:
        """Take back the last action of the reviewer."""
        reviewer = reviewer_of(request)
        undone = await self._context.in_thread(lambda: self._context.reviews.undo(reviewer))
        if undone is None:
            text = f"{reviewer} has no action that could be taken back."
            return self._context.page(request, "message", 409, title="Nothing to undo", text=text)
        if "hx-request" in request.headers:
            return Response(status_code=204, headers={"hx-refresh": "true"})
        return RedirectResponse(back_to(request.state.form), 303)

    def do(self, evids: list[str], action: str, value: str, reviewer: str) -> str:
        """Do an action; return what is wrong with it, blank where it is done."""
        if action not in (ACCEPT, REJECT, CLASS, ONSET, NOTE):
            return "no such action"
        if not 0 < len(evids) <= MOST_SELECTED:
            return f"{len(evids)} events are selected: expected 1 to {MOST_SELECTED}"
        self._context.refresh()
        numbers = [self._context.index.number_of(evid) for evid in evids]
        if None in numbers:
            return f"{numbers.count(None)} of the events are not in the catalogue"
        if action == CLASS and value not in self.classes():
            return "no such class"
        try:
            if action == ONSET:
                return self._move_onset(evids, value, reviewer)
            self._context.reviews.review(action, evids, reviewer, value)
        except (ConfigError, DataError) as problem:
            return str(problem)
        return ""

    def _move_onset(self, evids: list[str], value: str, reviewer: str) -> str:
        """Move the onset of an event; otherwise as `do`."""
        onset_ns = time_of(value)
        if len(evids) != 1 or onset_ns is None:
            return "an onset is of one event, and a time"
        row = self._context.index.row(self._context.index.find(evids)[evids[0]])
        if abs(onset_ns - row.onset_ns) > _FARTHEST_NS:
            return "the onset would be more than a day away from where the event is"
        self._context.reviews.move_onset(evids[0], onset_ns, reviewer)
        return ""

    def _found(self, listing: Listing) -> dict[str, Any]:
        self._context.refresh()
        index = self._context.index
        first = (listing.page - 1) * listing.size
        n, numbers = index.page(listing.wanted, listing.order, first, listing.size)
        rows = index.rows(map(int, numbers))
        return {
            "n": n,
            "n_all": len(index),
            "n_pages": max(1, math.ceil(n / listing.size)),
            "first": first,
            "entries": [self._entry(row) for row in rows],
            "n_unreadable": index.n_unreadable,
        }

    def _entry(self, row: CatalogRow) -> tuple[CatalogRow, Review]:
        return row, self._context.reviews.of(row.evid)


def back_to(form: list[tuple[str, str]]) -> str:
    """Return the address that a form leads back to: one of the pages of events, whatever else it says."""
    named = (values_of(form, "back") or [""])[0]
    is_ours = named.startswith("/events") and "\\" not in named and named.isprintable() and named.isascii()
    return named if is_ours and len(named) < 1024 else "/events"

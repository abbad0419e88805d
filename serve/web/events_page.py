"""Events: the list with filters, orders and pages, and the reviews of several at once."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from edgequake.edge.archive.sds import DAY_NS
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.results.catalog import CatalogRow
from edgequake.serve.reviews.added_event import AddedEvent
from edgequake.serve.reviews.review_log import ACCEPT, ADD, CLASS, NOTE, ONSET, REJECT
from edgequake.serve.reviews.review_store import Review
from edgequake.serve.station.catalog_index import NEWEST, ORDERS, RANDOM, EventFilter, time_of
from edgequake.serve.web.context import ACCEPTED, REJECTED, UNREVIEWED, Context, reviewer_of
from edgequake.serve.web.guard import values_of
from edgequake.serve.web.limits import MOST_SELECTED

PAGE_SIZES = (25, 50, 100, MOST_SELECTED)
ADDED_STATE, ADDED = "added", -1  # of the filter; instead of the number of a row
STATES = {"": None, "open": UNREVIEWED, "accepted": ACCEPTED, "rejected": REJECTED, ADDED_STATE: None}
STATE_NAMES = {"": "any", ADDED_STATE: "added by a reviewer"}  # others are called as in addresses
MOST_ADDED = 10_000  # events that reviewers have added: all are looked through for a list
ORDER_NAMES = {"newest": "newest first", "doubtful": "doubtful first: lowest peak", "random": "random"}
LONGEST_TYPED_NOTE = 2000  # letters
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

    @property
    def is_of_added(self) -> bool:
        """Whether it lists the events that reviewers have added, not those of the catalogue."""
        return self.fields["state"] == ADDED_STATE

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
    """Addresses /events, /events/add, /events/review and /events/undo."""

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
            states={name: STATE_NAMES.get(name, name) for name in STATES},
            stations=self._context.index.stations,
            classes=[name for name in self._context.index.classes if name],
            all_classes=self._context.classes(),
            **found,
        )

    async def review(self, request: Request) -> Response:
        """Do one action on the events of a form; back to where the form says, or to the list."""
        form = request.state.form
        evids = list(dict.fromkeys(values_of(form, "event")))
        action, value = (values_of(form, name)[:1] or [""] for name in ("action", "value"))
        problem = await self._context.in_thread(lambda: self.do(evids, action[0], value[0], reviewer_of(request)))
        if problem:
            return self._context.page(request, "message", 400, title="Not done", text=problem)
        return RedirectResponse(back_to(form), 303)

    async def add(self, request: Request) -> Response:
        """Add an event that the run has not found; on to its page."""
        form = request.state.form
        names = ("station", "start", "stop", "class", "note")
        fields = {name: (values_of(form, name) or [""])[0].strip() for name in names}
        try:
            event = await self._context.in_thread(lambda: self._add(fields, reviewer_of(request)))
        except (ConfigError, DataError) as problem:
            return self._context.page(request, "message", 400, title="Not added", text=str(problem))
        return RedirectResponse(f"/events/{quote(event.evid)}?state={ADDED_STATE}", 303)

    async def undo(self, request: Request) -> Response:
        """Take back the last action of the reviewer."""
        reviewer = reviewer_of(request)
        undone = await self._context.in_thread(lambda: self._context.reviews.undo(reviewer))
        if undone is None:
            text = f"{reviewer} has no action that could be taken back."
            return self._context.page(request, "message", 409, title="Nothing to undo", text=text)
        if undone.action == ADD:  # its page is no more
            return RedirectResponse(f"/events?state={ADDED_STATE}", 303)
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
        n_unknown = sum(not self._is_known(evid) for evid in evids)
        if n_unknown:
            return f"{n_unknown} of the events are not in the catalogue"
        if action == CLASS and value not in self._context.classes():
            return "no such class"
        try:
            if action == ONSET:
                return self._move_onset(evids, value, reviewer)
            self._context.reviews.review(action, evids, reviewer, value)
        except (ConfigError, DataError) as problem:
            return str(problem)
        return ""

    def _is_known(self, evid: str) -> bool:
        return self._context.reviews.of(evid).added is not None or self._context.index.number_of(evid) is not None

    def _add(self, fields: dict[str, str], reviewer: str) -> AddedEvent:
        """Add an event.

        Raises
        ------
        ConfigError
            No such station or class, a span that cannot be, no samples of its day, or too many events.
        DataError
            A time that is none, or the review cannot be written.
        """
        self._context.refresh()
        station_id, mq_type = fields["station"], fields["class"]
        if station_id not in {*self._context.waveforms.stations(), *self._context.index.stations}:
            raise ConfigError("no such station in the run folder")
        if mq_type and mq_type not in self._context.classes():
            raise ConfigError("no such class")
        if len(fields["note"]) > LONGEST_TYPED_NOTE:
            raise ConfigError(f"a note has at most {LONGEST_TYPED_NOTE} letters")
        onset_ns, stop_ns = time_of(fields["start"]), time_of(fields["stop"])
        if onset_ns is None:
            raise ConfigError("an event needs its onset, as 2022-01-02 05:12:30.5 (UTC)")
        event = AddedEvent(station_id, onset_ns, onset_ns if stop_ns is None else stop_ns, mq_type, fields["note"])
        days = self._context.waveforms.days(station_id) | self._context.index.days(station_id)
        if onset_ns // DAY_NS not in days:
            raise ConfigError(f"nothing of {station_id} is stored of that day, so that nobody could learn from it")
        if len(self._context.reviews.added()) >= MOST_ADDED:
            raise ConfigError(f"{MOST_ADDED} events have been added already")
        self._context.reviews.add(event, reviewer)
        return event

    def _added(self, listing: Listing) -> list[tuple[CatalogRow, Review]]:
        """Return the added events that a list shows, in its order; none has a peak."""
        wanted = listing.wanted
        entries = [(one.added.row(), one) for one in self._context.reviews.added() if one.added is not None]
        entries = [
            (row, review)
            for row, review in entries
            if wanted.station_id in (None, row.station_id)
            and wanted.mq_type in (None, review.mq_type or "")
            and not wanted.least_peak
            and (wanted.start_ns is None or row.onset_ns >= wanted.start_ns)
            and (wanted.stop_ns is None or row.onset_ns < wanted.stop_ns)
        ]
        if listing.order == RANDOM:
            return sorted(entries, key=lambda entry: zlib.crc32(entry[0].evid.encode()))
        return entries[::-1]

    def added_around(self, row: CatalogRow, listing: Listing) -> dict[str, Any]:
        """Return the added events before and after one in a list, by name, its place there, and how many there are."""
        names = [one.evid for one, _ in self._added(listing)]
        at = names.index(row.evid) if row.evid in names else len(names)
        before, after = (names[i] if 0 <= i < len(names) else None for i in (at - 1, at + 1))
        return {"previous": before, "following": after, "place": min(at + 1, len(names)), "n": len(names)}

    def _move_onset(self, evids: list[str], value: str, reviewer: str) -> str:
        """Move the onset of an event; otherwise as `do`."""
        onset_ns = time_of(value)
        if len(evids) != 1 or onset_ns is None:
            return "an onset is of one event, and a time"
        added = self._context.reviews.of(evids[0]).added
        row = self._context.index.row(self._context.index.find(evids)[evids[0]]) if added is None else added.row()
        if abs(onset_ns - row.onset_ns) > _FARTHEST_NS:
            return "the onset would be more than a day away from where the event is"
        self._context.reviews.move_onset(evids[0], onset_ns, reviewer)
        return ""

    def _found(self, listing: Listing) -> dict[str, Any]:
        self._context.refresh()
        index = self._context.index
        first = (listing.page - 1) * listing.size
        if listing.is_of_added:
            added = self._added(listing)
            return {
                "n": len(added),
                "n_all": len(index),
                "n_pages": max(1, math.ceil(len(added) / listing.size)),
                "first": first,
                "entries": added[first : first + listing.size],
                "n_unreadable": index.n_unreadable,
            }
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

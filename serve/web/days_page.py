"""Days: the helicorder of any day with samples or events, kept spans shaded, onsets marked; spans are requested."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from edgequake.edge.archive.sds import DAY_NS
from edgequake.edge.results.catalog import CatalogRow
from edgequake.report.charts.day_plot import NS_PER_HOUR
from edgequake.results.words import station_name
from edgequake.serve.reviews.review_store import Review
from edgequake.serve.station.catalog_index import OLDEST, EventFilter
from edgequake.serve.station.pictures import packed
from edgequake.serve.station.waveforms import code_of, in_drawing_order
from edgequake.serve.web.context import Context, as_json

_EPOCH = date(1970, 1, 1)
_MOST_EVENTS = 500  # marked on a day
_MOST_CHANNELS = 12
_LISTED_DAYS = 60  # links to days with data around the one that is shown


@dataclass(frozen=True)
class ChosenDay:
    """A day of a channel of a station."""

    station_id: str
    day: int  # since 1970
    channel: str  # LOC.CHA, or CHA without a location; blank: none
    channels: tuple[str, ...]
    days: tuple[int, ...]  # with samples or events


class DaysPage:
    """Addresses under /days."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def page(self, request: Request) -> Response:
        """The page; its script asks for the lines."""
        await self._context.in_thread(self._context.refresh)
        stations = await self._context.shared("all stations", self._stations)
        chosen = await self._context.in_thread(lambda: self._chosen(request, stations))
        rows = await self._context.in_thread(lambda: self._events(chosen))
        place = chosen.days.index(chosen.day) if chosen.day in chosen.days else len(chosen.days)
        return self._context.page(
            request,
            "days",
            stations=stations,
            chosen=chosen,
            date=date_of(chosen.day),
            earlier=date_of(chosen.days[place - 1]) if place > 0 and chosen.days else None,
            later=date_of(chosen.days[place + 1]) if place + 1 < len(chosen.days) else None,
            listed=[date_of(day) for day in chosen.days[max(0, place - _LISTED_DAYS // 2) :][:_LISTED_DAYS]],
            events=rows,
            added=self._added(chosen),
            classes=self._context.classes(),
            reviews=self._context.reviews,
        )

    async def data(self, request: Request) -> Response:
        """The lines of a day, its kept spans and its events."""
        await self._context.in_thread(self._context.refresh)
        stations = await self._context.shared("all stations", self._stations)
        chosen = await self._context.in_thread(lambda: self._chosen(request, stations))
        key = (chosen.station_id, chosen.day, chosen.channel, len(self._context.index))
        lines = await self._context.shared(key, lambda: self._lines(chosen), 60.0)
        start_ns = chosen.day * DAY_NS
        onsets_ns = (onset_of(one) for one in self._added(chosen))
        added = [{"onset": round((onset_ns - start_ns) / 1e9, 3)} for onset_ns in onsets_ns]
        return as_json({**lines, "added": added})

    def _stations(self) -> list[str]:
        return sorted({*self._context.waveforms.stations(), *self._context.index.stations})

    def _chosen(self, request: Request, stations: list[str]) -> ChosenDay:
        """Return what the address asks for, where there is such a thing, and the newest day else."""
        query, index = request.query_params, self._context.index
        named = query.get("station", "")
        station_id = named if named in stations else next(iter(stations), "")
        days = tuple(sorted(self._context.waveforms.days(station_id) | index.days(station_id)))
        day = day_of_date(query.get("day", ""))
        day = day if day is not None else (days[-1] if days else 0)
        channels = self._context.waveforms.channels(station_id, day)
        if not channels:
            rows = self._rows(station_id, day)
            channels = sorted({code for row in rows for code in row.channels}, key=lambda code: not code.endswith("Z"))
            channels = self._codes_in_segments(rows[:1]) or channels
        channels = channels[:_MOST_CHANNELS]
        channel = query.get("channel", "")
        channel = channel if channel in channels else next(iter(channels), "")
        return ChosenDay(station_id, day, channel, tuple(channels), days)

    def _codes_in_segments(self, rows: list[CatalogRow]) -> list[str]:
        traces = [trace for row in rows for trace in self._context.waveforms.segment(row)]
        return in_drawing_order({code_of(trace.source_id) for trace in traces})

    def _rows(self, station_id: str, day: int) -> list[CatalogRow]:
        """Return the first events of a day in the order of their onsets."""
        wanted = EventFilter(station_id=station_id, start_ns=day * DAY_NS, stop_ns=(day + 1) * DAY_NS)
        _, numbers = self._context.index.page(wanted, OLDEST, 0, _MOST_EVENTS)
        return self._context.index.rows(map(int, numbers))

    def _events(self, chosen: ChosenDay) -> list[CatalogRow]:
        return self._rows(chosen.station_id, chosen.day)

    def _added(self, chosen: ChosenDay) -> list[Review]:
        """Return the reviews of events of a day that reviewers have added."""
        return [
            one
            for one in self._context.reviews.added()
            if one.added and one.added.station_id == chosen.station_id and onset_of(one) // DAY_NS == chosen.day
        ]

    def _lines(self, chosen: ChosenDay) -> dict[str, Any]:
        rows = self._events(chosen)
        start_ns = chosen.day * DAY_NS
        found = self._context.waveforms.day_of_channel(chosen.station_id, chosen.channel, chosen.day, rows)
        lines = found.lines
        return {
            "station": station_name(chosen.station_id),
            "channel": chosen.channel,
            "date": date_of(chosen.day),
            "start": start_ns / 1e9,
            "columns": 0 if lines is None else lines.below.shape[1],
            "below": "" if lines is None else packed(lines.below, 1.0),
            "above": "" if lines is None else packed(lines.above, 1.0),
            "spacing": None if lines is None else float(f"{lines.spacing:.3g}"),
            "unit": found.unit,
            "covered_hours": round(sum(stop - start for start, stop in found.covered) / NS_PER_HOUR, 2),
            "events": [
                {
                    "evid": row.evid,
                    "onset": round((row.onset_ns - start_ns) / 1e9, 3),
                    "stop": round((row.stop_ns - start_ns) / 1e9, 3),
                    "peak": row.peak_probability,
                }
                for row in rows
            ],
            "kept": self._kept(rows, start_ns),
        }

    def _kept(self, rows: list[CatalogRow], start_ns: int) -> list[list[float]]:
        """Return the spans of the day that segments keep, in seconds of the day."""
        spans: list[list[float]] = []
        for row in rows:
            traces = self._context.waveforms.segment(row) if len(spans) < 100 else []
            first = min((trace.start_ns for trace in traces), default=row.onset_ns)
            last = max((trace.stop_ns for trace in traces), default=row.stop_ns)
            spans.append([round((first - start_ns) / 1e9, 1), round((last - start_ns) / 1e9, 1)])
        return spans


def onset_of(review: Review) -> int:
    """Return the onset of an event that a reviewer has added, as it was moved last."""
    return review.onset_ns or (review.added.onset_ns if review.added else 0)


def date_of(day: int) -> str:
    """Return the date of a day since 1970."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def day_of_date(text: str) -> int | None:
    """Return the days since 1970 of a date as 2022-01-31; None where it is none."""
    try:
        return (date.fromisoformat(text) - _EPOCH).days
    except ValueError:
        return None

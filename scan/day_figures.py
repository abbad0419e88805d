"""Figures of a place by UTC day: events, time kept, gaps, time recorded. They do not depend on where shards are cut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

from edgequake.edge.archive.sds import DAY_NS
from edgequake.edge.base.checkpoint import State
from edgequake.edge.formats.waveforms import Trace, duration_ns

_EPOCH = date(1970, 1, 1)


@dataclass
class DayFigures:
    """What a station did on a day."""

    n_events: int = 0  # with onsets on that day
    kept_ns: int = 0  # of the time of the kept segments
    n_gaps: int = 0  # that end on that day, of more than a sample in all channels at once
    recorded_ns: int = 0  # with samples in any channel


class DayTally:
    """Counts, from traces in the order of their starts and from what was found in them."""

    def __init__(self) -> None:
        self._days: dict[int, DayFigures] = {}
        self._covered_until_ns: int | None = None

    def add_trace(self, trace: Trace, is_counted: bool = True) -> None:
        """Count a trace's time, as far as no other channel has it; not counted, it is only known to be there."""
        start_ns, stop_ns = trace.start_ns, trace.stop_ns
        until_ns = self._covered_until_ns
        interval_ns = duration_ns(1, trace.sampling_rate_hz)
        if until_ns is not None and start_ns - until_ns > interval_ns:
            self._day(start_ns).n_gaps += is_counted
        elif until_ns is not None:
            start_ns = until_ns
        for day, part_ns in _by_day(start_ns, stop_ns) if is_counted else ():
            self._days.setdefault(day, DayFigures()).recorded_ns += part_ns
        self._covered_until_ns = max(stop_ns, until_ns or stop_ns)

    def add_segment(self, start_ns: int, stop_ns: int) -> None:
        """Count a kept segment."""
        for day, part_ns in _by_day(start_ns, stop_ns):
            self._days.setdefault(day, DayFigures()).kept_ns += part_ns

    def add_event(self, onset_ns: int) -> None:
        """Count an event."""
        self._day(onset_ns).n_events += 1

    def new_stream(self) -> None:
        """Begin with the records of another stream, which may be older."""
        self._covered_until_ns = None

    def figures(self) -> dict[str, Any]:
        """Return the figures of this tally by date, for JSON."""
        return {(_EPOCH + timedelta(days=day)).isoformat(): asdict(own) for day, own in sorted(self._days.items())}

    def state(self) -> State:
        return {"covered_until_ns": self._covered_until_ns}

    def restore(self, state: State) -> None:
        """Continue where another tally stopped, with figures of its own."""
        self._covered_until_ns = state["covered_until_ns"]

    def _day(self, time_ns: int) -> DayFigures:
        return self._days.setdefault(time_ns // DAY_NS, DayFigures())


def _by_day(start_ns: int, stop_ns: int) -> Iterator[tuple[int, int]]:
    """Yield the days of an interval, days since 1970, each with the nanoseconds in it; nothing for an empty one."""
    while start_ns < stop_ns:
        day = start_ns // DAY_NS
        part_ns = min(stop_ns, (day + 1) * DAY_NS) - start_ns
        yield day, part_ns
        start_ns += part_ns

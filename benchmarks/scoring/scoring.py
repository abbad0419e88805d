"""Score detections on one continuous record: match them to arrivals, and measure what is kept and what is quiet.

Pure functions from a record, the instant at which its scoring begins and a detector's output to counts and times.
`edgequake.benchmarks.scoring.pooling` turns the scores of many records into rates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from edgequake.benchmarks.scoring.characteristic_function import CharacteristicFunction
from edgequake.data.tables import Arrival, LabelledRecord
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.waveforms import NS_PER_S

Interval = tuple[int, int]  # [start_ns, stop_ns)

CAPTURE_BEFORE_S = 30.0  # a kept segment that stops up to this long before the arrival still counts as showing it
LONG_RECORD_NS = 10 * 3600 * NS_PER_S  # only records this long show how much of its days a lander would keep


@dataclass(frozen=True)
class BodyRule:
    """Time limits of matching on one body."""

    tolerance_s: float  # largest distance of a detection from an arrival whose time is known exactly
    coda_s: float  # a further detection this long after an arrival belongs to its coda and is not false
    lead_s: float  # least time between a random start and the first arrival


# Lunar signals rise for minutes and scatter for an hour (Nunn et al. 2020, doi:10.1007/s11214-020-00709-3).
BODY_RULES = {
    "moon": BodyRule(tolerance_s=300.0, coda_s=3600.0, lead_s=300.0),
    "mars": BodyRule(tolerance_s=60.0, coda_s=1200.0, lead_s=180.0),
    "earth": BodyRule(tolerance_s=5.0, coda_s=60.0, lead_s=10.0),
}


@dataclass(frozen=True)
class Detections:
    """A detector's output for one record."""

    onsets_ns: tuple[int, ...]
    kept: tuple[Interval, ...]  # segments that it would send to Earth; they may overlap
    mq_types: tuple[str, ...] = ()  # class of each onset, "" where none is given; empty: the detector gives no classes
    # For figures by windows; None: the detector gives onsets only.
    characteristic: CharacteristicFunction | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class ArrivalScore:
    """The result for one arrival."""

    arrival: Arrival
    onset_ns: int | None  # of the detection matched to it
    captured: bool

    @property
    def recalled(self) -> bool:
        """Whether a detection was matched to it."""
        return self.onset_ns is not None

    @property
    def onset_error_s(self) -> float | None:
        """Detection minus arrival in seconds, None without a detection."""
        return None if self.onset_ns is None else (self.onset_ns - self.arrival.time_ns) / NS_PER_S


@dataclass(frozen=True)
class RecordScore:
    """Counts and times of one record from the start of its scoring on; times in nanoseconds."""

    file: str
    start_moved: bool  # False: the first arrival is too early for a random start
    length_ns: int  # of the whole record
    arrivals: tuple[ArrivalScore, ...]  # as in the record, secondary ones too
    false_ns: tuple[int, ...]  # detections outside every arrival's span
    extra_ns: tuple[int, ...]  # detections inside a span that were not matched
    scored_ns: int
    kept_ns: int
    quiet_ns: int
    kept_quiet_ns: int

    @property
    def primary(self) -> list[ArrivalScore]:
        """The primary arrivals: only these count in rates."""
        return [row for row in self.arrivals if row.arrival.primary]

    @property
    def is_long(self) -> bool:
        """Whether the record lasts 10 h or more."""
        return self.length_ns >= LONG_RECORD_NS


def score_record(record: LabelledRecord, start_ns: int, detections: Detections) -> RecordScore:
    """Score one record from `start_ns` to its stop.

    Raises
    ------
    DataError
        `start_ns` lies outside the record, or a kept segment stops before it starts.
    """
    if not record.start_ns <= start_ns < record.stop_ns:
        raise DataError(f"{record.file.name}: scoring must start inside the record, got {start_ns} ns since 1970")
    rule = BODY_RULES[record.body]
    scored = (start_ns, record.stop_ns)
    onsets = sorted(detections.onsets_ns)
    matched = match(record.arrivals, onsets, rule)
    spans = [_span(arrival, rule) for arrival in record.arrivals]
    unmatched = [onset for i, onset in enumerate(onsets) if i not in matched.values()]
    false = [onset for onset in unmatched if not any(first <= onset <= last for first, last in spans)]
    is_false = set(false)
    kept = clip(union(detections.kept), scored)
    # The spans are closed and quiet time is the rest: one nanosecond more makes them half-open.
    quiet = subtract(scored, union((first, last + 1) for first, last in spans))
    return RecordScore(
        file=record.file.name,
        start_moved=start_ns != record.start_ns,
        length_ns=record.stop_ns - record.start_ns,
        arrivals=tuple(
            ArrivalScore(
                arrival, onsets[matched[i]] if i in matched else None, _captured(arrival, rule, detections.kept)
            )
            for i, arrival in enumerate(record.arrivals)
        ),
        false_ns=tuple(false),
        extra_ns=tuple(onset for onset in unmatched if onset not in is_false),
        scored_ns=record.stop_ns - start_ns,
        kept_ns=duration(kept),
        quiet_ns=duration(quiet),
        kept_quiet_ns=sum(duration(clip(kept, interval)) for interval in quiet),
    )


def match(arrivals: Sequence[Arrival], onsets_ns: Sequence[int], rule: BodyRule) -> dict[int, int]:
    """Match one to one, in time order: each arrival with the first unmatched detection within T + p of it.

    Parameters
    ----------
    arrivals : in any order, primary and secondary alike; of two at the same instant the primary one goes first.
    onsets_ns : rising.

    Returns
    -------
    index of an arrival -> index of its detection.
    """
    return _match(arrivals, onsets_ns, lambda arrival: reach_ns(arrival, rule))


def match_within(arrivals: Sequence[Arrival], onsets_ns: Sequence[int], within_s: float) -> dict[int, int]:
    """Match as `match` does, with the same tolerance for every arrival, whatever the precision of its label."""
    return _match(arrivals, onsets_ns, lambda _: round(within_s * NS_PER_S))


def _match(arrivals: Sequence[Arrival], onsets_ns: Sequence[int], reach: Callable[[Arrival], int]) -> dict[int, int]:
    matched: dict[int, int] = {}
    for i in sorted(range(len(arrivals)), key=lambda i: (arrivals[i].time_ns, not arrivals[i].primary)):
        for j, onset in enumerate(onsets_ns):
            if abs(onset - arrivals[i].time_ns) <= reach(arrivals[i]) and j not in matched.values():
                matched[i] = j
                break
    return matched


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the same time as disjoint intervals in order; adjacent ones are joined, empty ones dropped."""
    joined: list[Interval] = []
    for start, stop in sorted(intervals):
        if stop < start:
            raise DataError(f"a kept segment stops at {stop} ns, before it starts at {start} ns")
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], stop))
        elif stop > start:
            joined.append((start, stop))
    return joined


def clip(intervals: Iterable[Interval], window: Interval) -> list[Interval]:
    """Return the parts of the intervals that lie in the window."""
    clipped = [(max(start, window[0]), min(stop, window[1])) for start, stop in intervals]
    return [(start, stop) for start, stop in clipped if start < stop]


def subtract(window: Interval, intervals: Sequence[Interval]) -> list[Interval]:
    """Return the parts of the window that lie in none of the disjoint, ordered intervals."""
    inside = clip(intervals, window)
    edges = [window[0], *(edge for interval in inside for edge in interval), window[1]]
    return [(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True) if start < stop]


def duration(intervals: Iterable[Interval]) -> int:
    """Return the summed length in ns of disjoint intervals."""
    return sum(stop - start for start, stop in intervals)


def reach_ns(arrival: Arrival, rule: BodyRule) -> int:
    """Return T + p, the largest distance between an arrival and a detection of it."""
    return round((rule.tolerance_s + arrival.precision_s) * NS_PER_S)


def _span(arrival: Arrival, rule: BodyRule) -> Interval:
    """Return the closed span [t - T - p, t + C], in which no detection is false and no time is quiet."""
    return arrival.time_ns - reach_ns(arrival, rule), arrival.time_ns + round(rule.coda_s * NS_PER_S)


def _captured(arrival: Arrival, rule: BodyRule, kept: Iterable[Interval]) -> bool:
    """Return whether a kept segment overlaps the closed [t - 30 s, t + T + p]."""
    first = arrival.time_ns - round(CAPTURE_BEFORE_S * NS_PER_S)
    last = arrival.time_ns + reach_ns(arrival, rule)
    return any(start <= last and stop > max(first, start) for start, stop in kept)

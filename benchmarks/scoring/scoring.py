"""How detections on a continuous record are scored.

Pure functions from a record, the instant its scoring began, and what a detector said, to counts and times.
`pool` in `edgequake.benchmarks.scoring.pooling` turns the counts of many records into rates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from edgequake.benchmarks.scoring.characteristic_function import CharacteristicFunction
from edgequake.data.tables import Arrival, LabelledRecord
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.waveforms import NS_PER_S

Interval = tuple[int, int]  # [start_ns, stop_ns)

CAPTURE_BEFORE_S = 30.0  # a kept segment this long before the arrival still counts as showing it


@dataclass(frozen=True)
class BodyRule:
    """What a body's arrivals and coda are like."""

    tolerance_s: float  # how far from a perfectly known arrival a detection may lie
    coda_s: float  # how long after an arrival a further detection is its coda's and not false
    lead_s: float  # random starts leave at least this before the first arrival


# Lunar signals rise for minutes and scatter for an hour (Nunn et al. 2020, doi:10.1007/s11214-020-00709-3).
BODY_RULES = {
    "moon": BodyRule(tolerance_s=300.0, coda_s=3600.0, lead_s=300.0),
    "mars": BodyRule(tolerance_s=60.0, coda_s=1200.0, lead_s=180.0),
    "earth": BodyRule(tolerance_s=5.0, coda_s=60.0, lead_s=10.0),
}


@dataclass(frozen=True)
class Detections:
    """What a detector says of one record."""

    onsets_ns: tuple[int, ...]
    kept: tuple[Interval, ...]  # the segments that it would send home; they may overlap
    mq_types: tuple[str, ...] = ()  # class of each onset, blank where none is told; empty: it tells no classes
    levels: CharacteristicFunction | None = field(
        default=None, repr=False, compare=False
    )  # for figures by windows; None: only onsets


@dataclass(frozen=True)
class ArrivalScore:
    """One arrival and what became of it."""

    arrival: Arrival
    onset_ns: int | None  # the detection that it took
    captured: bool

    @property
    def onset_error_s(self) -> float | None:
        """Detection minus arrival, or None."""
        return None if self.onset_ns is None else (self.onset_ns - self.arrival.time_ns) / NS_PER_S


@dataclass(frozen=True)
class RecordScore:
    """Everything countable of one record, scored from `start_ns` on."""

    file: str
    start_moved: bool  # False: the first arrival is too early for a random start
    length_ns: int  # of the whole record
    arrivals: tuple[ArrivalScore, ...]  # in time order, secondary ones too
    false_ns: tuple[int, ...]
    extra_ns: tuple[int, ...]
    scored_ns: int
    kept_ns: int
    quiet_ns: int
    kept_quiet_ns: int


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
    taken = match(record.arrivals, onsets, rule)
    spans = [_span(arrival, rule) for arrival in record.arrivals]
    left = [onset for i, onset in enumerate(onsets) if i not in taken.values()]
    false = [onset for onset in left if not any(first <= onset <= last for first, last in spans)]
    kept = clip(union(detections.kept), scored)
    # The spans are closed, quiet time is what lies outside: one nanosecond more makes them half-open.
    quiet = subtract(scored, union((first, last + 1) for first, last in spans))
    return RecordScore(
        file=record.file.name,
        start_moved=start_ns != record.start_ns,
        length_ns=record.stop_ns - record.start_ns,
        arrivals=tuple(
            ArrivalScore(arrival, onsets[taken[i]] if i in taken else None, _captured(arrival, rule, detections.kept))
            for i, arrival in enumerate(record.arrivals)
        ),
        false_ns=tuple(false),
        extra_ns=tuple(onset for onset in left if onset not in false),
        scored_ns=record.stop_ns - start_ns,
        kept_ns=duration(kept),
        quiet_ns=duration(quiet),
        kept_quiet_ns=sum(duration(clip(kept, trace)) for trace in quiet),
    )


def match(arrivals: Sequence[Arrival], onsets_ns: Sequence[int], rule: BodyRule) -> dict[int, int]:
    """Match one to one, in time order: an arrival takes the first detection not yet taken within T + p of it.

    Parameters
    ----------
    arrivals : in any order, primary and secondary alike; of two at the same instant the primary one goes first.
    onsets_ns : rising.

    Returns
    -------
    index of an arrival -> index of the detection that it took.
    """
    return _match(arrivals, onsets_ns, lambda arrival: reach_ns(arrival, rule))


def match_within(arrivals: Sequence[Arrival], onsets_ns: Sequence[int], within_s: float) -> dict[int, int]:
    """Match as `match` does, with the same tolerance for every arrival, however well it is known."""
    return _match(arrivals, onsets_ns, lambda _: round(within_s * NS_PER_S))


def _match(arrivals: Sequence[Arrival], onsets_ns: Sequence[int], reach: Callable[[Arrival], int]) -> dict[int, int]:
    taken: dict[int, int] = {}
    for i in sorted(range(len(arrivals)), key=lambda i: (arrivals[i].time_ns, not arrivals[i].primary)):
        for j, onset in enumerate(onsets_ns):
            if abs(onset - arrivals[i].time_ns) <= reach(arrivals[i]) and j not in taken.values():
                taken[i] = j
                break
    return taken


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the same time as disjoint intervals, in order; touching ones are joined, empty ones dropped."""
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
    """Return what of the intervals lies in the window."""
    clipped = [(max(start, window[0]), min(stop, window[1])) for start, stop in intervals]
    return [(start, stop) for start, stop in clipped if start < stop]


def subtract(window: Interval, intervals: Sequence[Interval]) -> list[Interval]:
    """Return what of the window lies in none of the disjoint, ordered intervals."""
    inside = clip(intervals, window)
    edges = [window[0], *(edge for interval in inside for edge in interval), window[1]]
    return [(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True) if start < stop]


def duration(intervals: Iterable[Interval]) -> int:
    """Return the summed length in ns of disjoint intervals."""
    return sum(stop - start for start, stop in intervals)


def reach_ns(arrival: Arrival, rule: BodyRule) -> int:
    """Return T + p: how far from an arrival a detection of it may lie."""
    return round((rule.tolerance_s + arrival.precision_s) * NS_PER_S)


def _span(arrival: Arrival, rule: BodyRule) -> Interval:
    """Return the closed [t - T - p, t + C] in which no detection is false and no time is quiet."""
    return arrival.time_ns - reach_ns(arrival, rule), arrival.time_ns + round(rule.coda_s * NS_PER_S)


def _captured(arrival: Arrival, rule: BodyRule, kept: Iterable[Interval]) -> bool:
    """Tell whether a kept segment meets the closed [t - 30 s, t + T + p]."""
    first = arrival.time_ns - round(CAPTURE_BEFORE_S * NS_PER_S)
    last = arrival.time_ns + reach_ns(arrival, rule)
    return any(start <= last and stop > max(first, start) for start, stop in kept)

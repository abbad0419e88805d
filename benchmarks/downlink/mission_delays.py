"""When the events of simulated missions come home, and how much earlier than by the routine look. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edgequake.benchmarks.downlink.simulation import Delivered, SimulatedMission
from edgequake.benchmarks.scoring.pooling import spread
from edgequake.benchmarks.scoring.scoring import RecordScore
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.results.missions import MissionPoint, Quartiles, QueueDepth

FIRST = (5, 10, 20, 50)  # events of the queue

_H_NS, _DAY_NS = 3600 * NS_PER_S, 86_400 * NS_PER_S


@dataclass(frozen=True)
class SentArrival:
    """When one primary arrival came home by alerts; None: never."""

    time_ns: int  # labelled onset
    reported_at_ns: int | None
    whole_at_ns: int | None


@dataclass(frozen=True)
class LinkOutcome:
    """One mission under one daily budget."""

    arrivals: tuple[SentArrival, ...]
    sent_bytes: float  # records scaled to the stored rate


@dataclass(frozen=True)
class QueuedEvent:
    """One event in the send queue."""

    priority: float  # of its segment, which is that of the best event in it
    ready_ns: int
    evid: str
    kind: str  # "quake", "coda" or "false"
    primary: bool  # matched to a primary arrival


def link_outcome(score: RecordScore, delivered: Delivered, rate_ratio: float) -> LinkOutcome:
    """Return when the arrivals of a record came home.

    Parameters
    ----------
    score : of the record, with the detections matched to its arrivals.
    rate_ratio : samples a second of the record by those that the mission stores; event reports are not scaled.
    """
    reports_bytes = sum(delivered.bytes_by_day.values()) - delivered.record_bytes
    return LinkOutcome(
        arrivals=tuple(
            SentArrival(
                row.arrival.time_ns,
                None if row.onset_ns is None else delivered.reported_at_ns.get(row.onset_ns),
                None if row.onset_ns is None else delivered.whole_at_ns.get(row.onset_ns),
            )
            for row in score.primary
        ),
        sent_bytes=reports_bytes + delivered.record_bytes / rate_ratio,
    )


def queued_events(mission: SimulatedMission, score: RecordScore) -> list[QueuedEvent]:
    """Return the events of a mission as the send queue sees them."""
    matched = {row.onset_ns: row.arrival.primary for row in score.arrivals if row.onset_ns is not None}
    false_ns = set(score.false_ns)
    return [
        QueuedEvent(
            priority=max(one.priority for one in found.rows),
            ready_ns=found.segment.stop_ns,
            evid=row.evid,
            kind="quake" if row.onset_ns in matched else "false" if row.onset_ns in false_ns else "coda",
            primary=matched.get(row.onset_ns, False),
        )
        for found in mission.found
        for row in found.rows
    ]


def sending_order(events: Iterable[QueuedEvent]) -> list[QueuedEvent]:
    """Return events in the order in which their reports are sent if all wait for the same contact."""
    return sorted(events, key=lambda event: (-event.priority, event.ready_ns, event.evid))


def queue_depths(passes: Sequence[Sequence[QueuedEvent]], n_arrivals: int) -> tuple[QueueDepth, ...]:
    """Return what the first events of the queue are, for each of `FIRST` and for all.

    Parameters
    ----------
    passes : the events of all records, in the order of sending, for each random start.
    n_arrivals : primary ones of all records.
    """
    longest = max(map(len, passes))
    return tuple(_depth(passes, n_asked, n_arrivals) for n_asked in (*(n for n in FIRST if n < longest), None))


def _depth(passes: Sequence[Sequence[QueuedEvent]], n_asked: int | None, n_arrivals: int) -> QueueDepth:
    first = [events[:n_asked] for events in passes]
    counts = {kind: _mean([sum(event.kind == kind for event in one) for one in first]) for kind in _KINDS}
    return QueueDepth(
        n=_mean([len(one) for one in first]),
        n_asked=n_asked,
        n_quakes=counts["quake"],
        n_coda=counts["coda"],
        n_false=counts["false"],
        arrivals=_mean([sum(event.primary for event in one) for one in first]) / n_arrivals if n_arrivals else 0.0,
    )


def look_waits_ns(onset_ns: int, look_every_s: float, contact_every_s: float) -> list[int]:
    """Return the times from an onset to the next routine look, for each phase that the look may have.

    Looks take place at contacts: of one contact in thirty, each of the thirty is as likely.
    """
    look_ns = round(look_every_s * NS_PER_S)
    n_phases = max(1, round(look_every_s / contact_every_s))
    return [(phase * look_ns // n_phases - onset_ns) % look_ns for phase in range(n_phases)]


def mission_point(
    budget_bytes: int, contact_every_s: float, look_every_s: float, passes: Sequence[Sequence[LinkOutcome]]
) -> MissionPoint:
    """Return the figures of one budget and one interval of contacts.

    By the routine look a person knows of an event as soon as the look's data are there, and has its samples at the
    full rate with the transmission after that, one interval later. Both favour the look: nobody overlooks an event,
    nobody hesitates.

    Parameters
    ----------
    look_every_s, contact_every_s : intervals in seconds.
    passes : the outcomes of all records, for each random start.
    """
    rows = [arrival for one in passes for outcome in one for arrival in outcome.arrivals]
    reports = _gains(rows, [row.reported_at_ns for row in rows], look_every_s, contact_every_s, 0)
    cycle_ns = round(look_every_s * NS_PER_S)
    whole = _gains(rows, [row.whole_at_ns for row in rows], look_every_s, contact_every_s, cycle_ns)
    return MissionPoint(
        budget_bytes=budget_bytes,
        contact_every_s=contact_every_s,
        reported=spread([_share(one, "reported_at_ns") for one in passes]),
        whole=spread([_share(one, "whole_at_ns") for one in passes]),
        report_delay_h=quartiles(reports.delays_ns, _H_NS),
        whole_delay_h=quartiles(whole.delays_ns, _H_NS),
        report_earlier_days=quartiles(reports.earlier_ns, _DAY_NS),
        whole_earlier_days=quartiles(whole.earlier_ns, _DAY_NS),
        report_earlier_mean_days=reports.mean_days,
        whole_earlier_mean_days=whole.mean_days,
        sent_bytes=spread([sum(outcome.sent_bytes for outcome in one) for one in passes]),
    )


def quartiles(values_ns: Sequence[int], unit_ns: int) -> Quartiles | None:
    """Return the quartiles of times, linear between neighbours, in another unit; None where there are none."""
    if not values_ns:
        return None
    lower, median, upper = (float(value) / unit_ns for value in np.quantile(values_ns, (0.25, 0.5, 0.75)))
    return Quartiles(len(values_ns), lower, median, upper)


@dataclass(frozen=True)
class _Gains:
    delays_ns: list[int]  # of the arrivals that came
    earlier_ns: list[int]  # of these, for each phase of the look
    mean_days: float  # over all arrivals


def _gains(
    rows: Sequence[SentArrival],
    home_ns: Sequence[int | None],
    look_every_s: float,
    contact_every_s: float,
    cycle_ns: int,
) -> _Gains:
    delays_ns: list[int] = []
    earlier_ns: list[int] = []
    means_ns: list[float] = []
    for row, at_ns in zip(rows, home_ns, strict=True):
        if at_ns is None:
            means_ns.append(0.0)
            continue
        delays_ns.append(at_ns - row.time_ns)
        waits_ns = look_waits_ns(row.time_ns, look_every_s, contact_every_s)
        gains_ns = [max(0, wait_ns + cycle_ns - delays_ns[-1]) for wait_ns in waits_ns]
        earlier_ns += gains_ns
        means_ns.append(_mean(gains_ns))
    return _Gains(delays_ns, earlier_ns, _mean(means_ns) / _DAY_NS)


def _share(outcomes: Iterable[LinkOutcome], field: str) -> float:
    return _mean([getattr(arrival, field) is not None for outcome in outcomes for arrival in outcome.arrivals])


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0


_KINDS = ("quake", "coda", "false")

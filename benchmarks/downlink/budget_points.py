"""From missions under budgets to figures: what of the arrivals is delivered, told and whole."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgequake.benchmarks.downlink.simulation import Crew, HandedOver, SimulatedMission, hand_over
from edgequake.benchmarks.scoring.pooling import LONG_RECORD_NS, Score, Spread, pool, spread, wilson
from edgequake.benchmarks.scoring.random_starts import random_start_ns
from edgequake.benchmarks.scoring.scoring import ArrivalScore, RecordScore, score_record
from edgequake.data.tables import LabelledRecord


@dataclass(frozen=True)
class BudgetPoint:
    """What one budget brings home; shares of the primary arrivals, means over the seeds."""

    budget_bytes: int  # of a UTC day
    delivered: Spread
    delivered_long: Spread | None  # in records of at least 10 h, where other events compete; None without such
    told: Spread
    whole: Spread
    events: Spread  # mean over the event groups of the share of their arrivals that are delivered
    events_interval: tuple[float, float]  # Wilson, 90 %
    bytes_a_day: Spread  # handed over, mean over the days of all missions
    largest_day_bytes: int  # of any mission


@dataclass(frozen=True)
class Outcome:
    """One mission under one budget."""

    score: RecordScore  # captured: by what was handed over
    told_ns: frozenset[int]  # onsets
    whole_ns: frozenset[int]
    bytes_by_day: dict[int, int]
    n_days: int
    n_events: int

    def arrivals(self, long_only: bool = False) -> list[ArrivalScore]:
        """Return what became of the primary arrivals."""
        rows = [row for row in self.score.arrivals if row.arrival.primary]
        return rows if self.score.length_ns >= LONG_RECORD_NS or not long_only else []


Pass = dict[int, list[Outcome]]  # budget -> the records' outcomes, of one seed


def fly_all(
    crew: Crew,
    records: Sequence[LabelledRecord],
    budgets: Sequence[int],
    seeds: Sequence[int],
    progress: Callable[[float], None],
) -> list[Pass]:
    """Fly every record under every budget, once per seed; no seeds: once, from the records' own starts.

    Raises
    ------
    EdgequakeError
        As `Crew.fly` and `hand_over`.
    """
    n_passes = max(1, len(seeds))
    passes: list[Pass] = []
    for i in range(n_passes):
        one: Pass = {budget: [] for budget in budgets}
        for n, record in enumerate(records, start=1):
            start_ns = random_start_ns(record, seeds[i]) if seeds else record.start_ns
            with tempfile.TemporaryDirectory(prefix="edgequake-bench-") as folder:
                mission = crew.fly(record, start_ns, Path(folder) / "run")
                for budget, outcomes in one.items():
                    outcomes.append(judge(record, mission, hand_over(mission, budget)))
            progress((i + n / len(records)) / n_passes)
        passes.append(one)
    return passes


def judge(record: LabelledRecord, mission: SimulatedMission, handed: HandedOver) -> Outcome:
    """Score a mission by what was handed over."""
    rows = mission.rows
    return Outcome(
        score=score_record(record, mission.start_ns, handed.detections(rows)),
        told_ns=handed.told_ns,
        whole_ns=handed.whole_ns,
        bytes_by_day=handed.bytes_by_day,
        n_days=mission.n_days,
        n_events=len(rows),
    )


def found_of(passes: Sequence[Pass]) -> tuple[Spread, Spread]:
    """Return the share of the arrivals that are recalled and the number of events, which no budget changes."""
    some = [next(iter(one.values())) for one in passes]
    recalled = spread([_share(one, lambda _, row: row.onset_ns is not None) for one in some])
    return recalled, spread([sum(outcome.n_events for outcome in one) for one in some])


def points_of(passes: Sequence[Pass]) -> tuple[BudgetPoint, ...]:
    """Return the figures of every budget."""
    return tuple(_point(budget, [one[budget] for one in passes]) for budget in passes[0])


def _point(budget_bytes: int, passes: Sequence[Sequence[Outcome]]) -> BudgetPoint:
    pooled = [_delivered(one) for one in passes]
    events = spread([score.group_recall or 0.0 for score in pooled])
    has_long = any(outcome.arrivals(long_only=True) for outcome in passes[0])
    days = [[n_bytes for outcome in one for n_bytes in outcome.bytes_by_day.values()] for one in passes]
    n_days = [sum(outcome.n_days for outcome in one) for one in passes]
    return BudgetPoint(
        budget_bytes=budget_bytes,
        delivered=spread([score.recall or 0.0 for score in pooled]),
        delivered_long=spread([_share(one, _is_delivered, long_only=True) for one in passes]) if has_long else None,
        told=spread([_share(one, lambda outcome, row: row.onset_ns in outcome.told_ns) for one in passes]),
        whole=spread([_share(one, _is_whole) for one in passes]),
        events=events,
        events_interval=wilson(events.mean * pooled[0].n_groups, pooled[0].n_groups),
        bytes_a_day=spread([sum(sent) / n for sent, n in zip(days, n_days, strict=True)]),
        largest_day_bytes=max((n_bytes for sent in days for n_bytes in sent), default=0),
    )


def _delivered(outcomes: Iterable[Outcome]) -> Score:
    """Pool the records' scores with what was delivered in the place of what was recalled."""
    return pool(
        dataclasses.replace(
            outcome.score,
            arrivals=tuple(
                row if row.captured else dataclasses.replace(row, onset_ns=None) for row in outcome.score.arrivals
            ),
        )
        for outcome in outcomes
    )


def _is_delivered(outcome: Outcome, row: ArrivalScore) -> bool:
    return row.onset_ns is not None and row.captured


def _is_whole(outcome: Outcome, row: ArrivalScore) -> bool:
    return _is_delivered(outcome, row) and row.onset_ns in outcome.whole_ns


def _share(
    outcomes: Iterable[Outcome], is_hit: Callable[[Outcome, ArrivalScore], bool], long_only: bool = False
) -> float:
    hits = [is_hit(outcome, row) for outcome in outcomes for row in outcome.arrivals(long_only)]
    return sum(hits) / len(hits) if hits else 0.0

"""From simulated missions to the figures of each budget: the share of the arrivals that is delivered."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgequake.benchmarks.downlink.simulation import Delivered, MissionSimulator, SimulatedMission, deliver
from edgequake.benchmarks.scoring.pooling import pool, spread, wilson
from edgequake.benchmarks.scoring.random_starts import run_passes
from edgequake.benchmarks.scoring.scoring import ArrivalScore, RecordScore, score_record
from edgequake.data.tables import LabelledRecord
from edgequake.results.accuracy import BudgetPoint, Score, Spread
from edgequake.results.progress import Progress


@dataclass(frozen=True)
class Delivery:
    """The score of one mission under one budget."""

    score: RecordScore  # captured: by the records that were sent
    reported_ns: frozenset[int]  # onsets
    whole_ns: frozenset[int]
    bytes_by_day: dict[int, int]
    n_days: int
    n_events: int

    def arrivals(self, long_only: bool = False) -> list[ArrivalScore]:
        """Return the primary arrivals; with `long_only`, none of a record shorter than 10 h."""
        return self.score.primary if self.score.is_long or not long_only else []


Pass = Sequence[dict[int, Delivery]]  # for each record: budget -> its delivery, from one random start


def simulate_passes(
    simulator: MissionSimulator,
    records: Sequence[LabelledRecord],
    budgets: Sequence[int],
    seeds: Sequence[int],
    progress: Progress,
) -> list[list[dict[int, Delivery]]]:
    """Simulate every record under every budget, once per seed; no seeds: once, from the records' own starts.

    Raises
    ------
    EdgequakeError
        As `MissionSimulator.simulate` and `deliver`.
    """

    def simulate(record: LabelledRecord, start_ns: int) -> dict[int, Delivery]:
        with tempfile.TemporaryDirectory(prefix="edgequake-bench-") as folder:
            mission = simulator.simulate(record, start_ns, Path(folder) / "run")
            return {budget: score_delivery(record, mission, deliver(mission, budget)) for budget in budgets}

    return run_passes(simulate, records, seeds, progress)


def score_delivery(record: LabelledRecord, mission: SimulatedMission, delivered: Delivered) -> Delivery:
    """Score a mission by what was sent."""
    rows = mission.rows
    return Delivery(
        score=score_record(record, mission.start_ns, delivered.detections(rows)),
        reported_ns=delivered.reported_ns,
        whole_ns=delivered.whole_ns,
        bytes_by_day=delivered.bytes_by_day,
        n_days=mission.n_days,
        n_events=len(rows),
    )


def under_any_budget(passes: Sequence[Pass]) -> list[list[Delivery]]:
    """Return the deliveries under one budget, for figures that no budget changes."""
    return [[next(iter(of_record.values())) for of_record in one] for one in passes]


def recall_and_events(passes: Sequence[Pass]) -> tuple[Spread, Spread]:
    """Return the share of the arrivals that are recalled and the number of events, which no budget changes."""
    deliveries = under_any_budget(passes)
    recalled = spread([_share(one, lambda _, row: row.recalled) for one in deliveries])
    return recalled, spread([sum(delivery.n_events for delivery in one) for one in deliveries])


def budget_points(passes: Sequence[Pass]) -> tuple[BudgetPoint, ...]:
    """Return the figures of every budget."""
    return tuple(
        _point(budget, [[of_record[budget] for of_record in one] for one in passes]) for budget in passes[0][0]
    )


def _point(budget_bytes: int, passes: Sequence[Sequence[Delivery]]) -> BudgetPoint:
    pooled = [_pool_delivered(one) for one in passes]
    events = spread([score.group_recall or 0.0 for score in pooled])
    has_long = any(delivery.arrivals(long_only=True) for delivery in passes[0])
    sent_bytes = [[n_bytes for delivery in one for n_bytes in delivery.bytes_by_day.values()] for one in passes]
    n_days = [sum(delivery.n_days for delivery in one) for one in passes]
    return BudgetPoint(
        budget_bytes=budget_bytes,
        delivered=spread([score.recall or 0.0 for score in pooled]),
        delivered_long=spread([_share(one, _is_delivered, long_only=True) for one in passes]) if has_long else None,
        told=spread([_share(one, lambda delivery, row: row.onset_ns in delivery.reported_ns) for one in passes]),
        whole=spread([_share(one, _is_whole) for one in passes]),
        events=events,
        events_interval=wilson(events.mean * pooled[0].n_groups, pooled[0].n_groups),
        bytes_a_day=spread([sum(of_days) / n for of_days, n in zip(sent_bytes, n_days, strict=True)]),
        largest_day_bytes=max((n_bytes for of_days in sent_bytes for n_bytes in of_days), default=0),
    )


def _pool_delivered(deliveries: Iterable[Delivery]) -> Score:
    """Pool the records' scores with delivered arrivals in place of recalled ones."""
    return pool(
        dataclasses.replace(
            delivery.score,
            arrivals=tuple(
                row if row.captured else dataclasses.replace(row, onset_ns=None) for row in delivery.score.arrivals
            ),
        )
        for delivery in deliveries
    )


def _is_delivered(delivery: Delivery, row: ArrivalScore) -> bool:
    return row.recalled and row.captured


def _is_whole(delivery: Delivery, row: ArrivalScore) -> bool:
    return _is_delivered(delivery, row) and row.onset_ns in delivery.whole_ns


def _share(
    deliveries: Iterable[Delivery], is_hit: Callable[[Delivery, ArrivalScore], bool], long_only: bool = False
) -> float:
    hits = [is_hit(delivery, row) for delivery in deliveries for row in delivery.arrivals(long_only)]
    return sum(hits) / len(hits) if hits else 0.0

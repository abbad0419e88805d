"""From the scores of many records to rates, and from those of several seeds to means and spreads."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from edgequake.benchmarks.intervals import poisson, wilson
from edgequake.benchmarks.scoring import ArrivalScore, RecordScore
from edgequake.edge.piece import NS_PER_S

NS_PER_DAY = 86_400 * NS_PER_S
LONG_RECORD_NS = 10 * 3600 * NS_PER_S  # only records this long say what a lander would keep


@dataclass(frozen=True)
class Score:
    """One pass over a set of records. Rates of nothing are None."""

    n_records: int
    n_arrivals: int  # primary ones, here and below
    n_recalled: int
    n_captured: int
    n_fixed: int  # arrivals in records whose start could not be moved: the clock still knows these
    n_fixed_recalled: int
    n_false: int
    n_extra: int
    record_days: float
    quiet_days: float
    recall: float | None
    precision: float | None
    f1: float | None
    kept: float | None
    kept_long: float | None  # on records of at least 10 h
    wasted: float | None
    false_per_quiet_day: float | None
    n_groups: int  # distinct events
    groups_recalled: int  # with at least one of their arrivals recalled
    groups_captured: int
    group_recall: float | None  # mean over groups of the share of its arrivals that are recalled
    group_captured: float | None
    onset_errors_s: tuple[float, ...]  # of the recalled arrivals, detection minus arrival

    @property
    def onset_error_s(self) -> float | None:
        """Median of the absolute onset errors."""
        return statistics.median(map(abs, self.onset_errors_s)) if self.onset_errors_s else None

    @property
    def mean_onset_error_s(self) -> float | None:
        """Mean of the absolute onset errors."""
        return statistics.fmean(map(abs, self.onset_errors_s)) if self.onset_errors_s else None


@dataclass(frozen=True)
class Spread:
    """Mean over seeds and standard deviation between them (n - 1; 0 for one seed)."""

    mean: float
    deviation: float


@dataclass(frozen=True)
class Summary:
    """One detector over several seeds."""

    scores: tuple[Score, ...]
    spreads: dict[str, Spread]  # field of Score -> spread; without fields that were None for any seed
    group_recall_interval: tuple[float, float]  # Wilson, 90 %, of the mean share over the groups
    group_captured_interval: tuple[float, float]
    false_per_quiet_day_upper: float | None  # upper bound of the 90 % Poisson interval of the mean count


SPREAD_FIELDS = (
    "n_recalled,n_captured,n_fixed_recalled,n_false,n_extra,quiet_days,recall,precision,f1,kept,kept_long,wasted,"
    "false_per_quiet_day,groups_recalled,groups_captured,group_recall,group_captured,onset_error_s,mean_onset_error_s"
).split(",")


def pool(scores: Iterable[RecordScore]) -> Score:
    """Add up records and divide: every rate is a ratio of sums, so long records weigh more in the rates of time."""
    scores = list(scores)
    long = [score for score in scores if score.length_ns >= LONG_RECORD_NS]
    rows = [row for score in scores for row in score.arrivals if row.arrival.primary]
    fixed = [row for score in scores if not score.start_moved for row in score.arrivals if row.arrival.primary]
    recalled = [row for row in rows if _is_recalled(row)]
    n_false = sum(len(score.false_ns) for score in scores)
    quiet_ns = sum(score.quiet_ns for score in scores)
    recall_shares, captured_shares = _group_shares(rows, _is_recalled), _group_shares(rows, _is_captured)
    return Score(
        n_records=len(scores),
        n_arrivals=len(rows),
        n_recalled=len(recalled),
        n_captured=sum(map(_is_captured, rows)),
        n_fixed=len(fixed),
        n_fixed_recalled=sum(map(_is_recalled, fixed)),
        n_false=n_false,
        n_extra=sum(len(score.extra_ns) for score in scores),
        record_days=sum(score.scored_ns for score in scores) / NS_PER_DAY,
        quiet_days=quiet_ns / NS_PER_DAY,
        recall=_ratio(len(recalled), len(rows)),
        precision=_ratio(len(recalled), len(recalled) + n_false),
        # 2PR / (P + R) with P = recalled / (recalled + false), R = recalled / arrivals; 0 where nothing is recalled
        f1=_ratio(2 * len(recalled), len(rows) + len(recalled) + n_false),
        kept=_kept(scores),
        kept_long=_kept(long),
        wasted=_ratio(sum(score.kept_quiet_ns for score in scores), quiet_ns),
        false_per_quiet_day=_ratio(n_false * NS_PER_DAY, quiet_ns),
        n_groups=len(recall_shares),
        groups_recalled=sum(share > 0 for share in recall_shares),
        groups_captured=sum(share > 0 for share in captured_shares),
        group_recall=_ratio(sum(recall_shares), len(recall_shares)),
        group_captured=_ratio(sum(captured_shares), len(captured_shares)),
        onset_errors_s=tuple(row.onset_error_s for row in recalled if row.onset_error_s is not None),
    )


def summarise(scores: Sequence[Score]) -> Summary:
    """Join the passes of several seeds; intervals are those of the mean, as seeds do not make more events."""
    values = {name: [getattr(score, name) for score in scores] for name in SPREAD_FIELDS}
    spreads = {name: spread(seen) for name, seen in values.items() if None not in seen}
    n_groups = scores[0].n_groups
    quiet_days = spreads["quiet_days"].mean
    return Summary(
        scores=tuple(scores),
        spreads=spreads,
        group_recall_interval=_group_interval(spreads, "group_recall", n_groups),
        group_captured_interval=_group_interval(spreads, "group_captured", n_groups),
        false_per_quiet_day_upper=_ratio(poisson(spreads["n_false"].mean)[1], quiet_days),
    )


def _is_recalled(row: ArrivalScore) -> bool:
    return row.onset_ns is not None


def _is_captured(row: ArrivalScore) -> bool:
    return row.captured


def _kept(scores: Sequence[RecordScore]) -> float | None:
    return _ratio(sum(score.kept_ns for score in scores), sum(score.scored_ns for score in scores))


def _group_shares(rows: Iterable[ArrivalScore], hit: Callable[[ArrivalScore], bool]) -> list[float]:
    """Return each group's share of hits: one event seen by four stations counts once, by halves if need be."""
    groups: dict[str, list[bool]] = {}
    for row in rows:
        groups.setdefault(row.arrival.group, []).append(hit(row))
    return [sum(hits) / len(hits) for hits in groups.values()]


def _group_interval(spreads: dict[str, Spread], name: str, n_groups: int) -> tuple[float, float]:
    return wilson(spreads[name].mean * n_groups, n_groups) if name in spreads else (0.0, 1.0)


def spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None

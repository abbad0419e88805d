"""Confidence intervals for small counts.

From the scores of many records to rates, and from those of several seeds to means and spreads.

Counts of a pass over records that add up, and their means over several passes: what choices are made by.

`edgequake.benchmarks.scoring.pooling` says more of a pass (groups, onset errors); these are small enough to hold for hundreds
of settings at once, and those of separate sets of records can be added.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from statistics import NormalDist
from typing import Any

from scipy.special import gammaincinv

from edgequake.benchmarks.scoring.scoring import ArrivalScore, RecordScore
from edgequake.edge.formats.waveforms import NS_PER_S

CONFIDENCE = 0.90


def wilson(k: float, n: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion `k` of `n`; (0, 1) when there is nothing to count.

    `k` may be fractional: the sum of shares over event groups, or a mean over seeds.

    References
    ----------
    Wilson, E. B. (1927), doi:10.1080/01621459.1927.10502953: centre (p + z²/2n) / (1 + z²/n) and half-width
    z √(p(1 - p)/n + z²/4n²) / (1 + z²/n), with p = k/n and z the two-sided normal quantile.
    """
    if n <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = k / n
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def poisson(count: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the exact central interval of a Poisson mean after `count` events were seen.

    `count` may be fractional (a mean over seeds): the gamma function fills in between the integers.

    References
    ----------
    Garwood, F. (1936), doi:10.1093/biomet/28.3-4.437: lower χ²(α/2; 2k)/2, upper χ²(1 - α/2; 2k + 2)/2, written here
    with the incomplete gamma function, as χ²(q; 2a)/2 = P⁻¹(a, q).
    """
    tail = (1 - confidence) / 2
    lower = float(gammaincinv(count, tail)) if count > 0 else 0.0
    return lower, float(gammaincinv(count + 1, 1 - tail))


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
class ScoreSummary:
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


def summarise(scores: Sequence[Score]) -> ScoreSummary:
    """Join the passes of several seeds; intervals are those of the mean, as seeds do not make more events."""
    values = {name: [getattr(score, name) for score in scores] for name in SPREAD_FIELDS}
    spreads = {name: spread(seen) for name, seen in values.items() if None not in seen}
    n_groups = scores[0].n_groups
    quiet_days = spreads["quiet_days"].mean
    return ScoreSummary(
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


@dataclass(frozen=True)
class Counts:
    """Counts and times of one pass over some records, with one random start each."""

    n_arrivals: int = 0  # primary ones, here and below
    n_recalled: int = 0
    n_captured: int = 0
    n_false: int = 0
    scored_ns: int = 0
    kept_ns: int = 0
    long_scored_ns: int = 0  # of records of at least 10 h
    long_kept_ns: int = 0
    quiet_ns: int = 0
    kept_quiet_ns: int = 0

    @classmethod
    def of(cls, score: RecordScore) -> Counts:
        """Count one record."""
        rows = [row for row in score.arrivals if row.arrival.primary]
        is_long = score.length_ns >= LONG_RECORD_NS
        return cls(
            n_arrivals=len(rows),
            n_recalled=sum(row.onset_ns is not None for row in rows),
            n_captured=sum(row.captured for row in rows),
            n_false=len(score.false_ns),
            scored_ns=score.scored_ns,
            kept_ns=score.kept_ns,
            long_scored_ns=score.scored_ns if is_long else 0,
            long_kept_ns=score.kept_ns if is_long else 0,
            quiet_ns=score.quiet_ns,
            kept_quiet_ns=score.kept_quiet_ns,
        )

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(Counts)))


@dataclass(frozen=True)
class RateFigures:
    """Means over passes; rates of nothing are None."""

    recall: float | None
    captured: float | None  # share of the arrivals
    precision: float | None
    f1: float | None
    n_false: float
    false_per_quiet_day: float | None
    false_per_quiet_day_upper: float | None  # upper bound of the 90 % Poisson interval of the mean count
    quiet_days: float
    kept: float | None
    kept_long: float | None  # on records of at least 10 h
    wasted: float | None

    @property
    def kept_judged(self) -> float:
        """What is kept on long records, which alone say what a lander would keep; on all where there is none."""
        return (self.kept if self.kept_long is None else self.kept_long) or 0.0


def figures(passes: Sequence[Counts]) -> RateFigures:
    """Return the means over passes (random starts) of the same records."""
    n_false = statistics.fmean(tally.n_false for tally in passes)
    quiet_days = statistics.fmean(tally.quiet_ns for tally in passes) / NS_PER_DAY
    return RateFigures(
        recall=_mean(passes, lambda t: _ratio_tally(t.n_recalled, t.n_arrivals)),
        captured=_mean(passes, lambda t: _ratio_tally(t.n_captured, t.n_arrivals)),
        precision=_mean(passes, lambda t: _ratio_tally(t.n_recalled, t.n_recalled + t.n_false)),
        f1=_mean(passes, lambda t: _ratio_tally(2 * t.n_recalled, t.n_arrivals + t.n_recalled + t.n_false)),
        n_false=n_false,
        false_per_quiet_day=_mean(passes, lambda t: _ratio_tally(t.n_false * NS_PER_DAY, t.quiet_ns)),
        false_per_quiet_day_upper=_ratio_tally(poisson(n_false)[1], quiet_days),
        quiet_days=quiet_days,
        kept=_mean(passes, lambda t: _ratio_tally(t.kept_ns, t.scored_ns)),
        kept_long=_mean(passes, lambda t: _ratio_tally(t.long_kept_ns, t.long_scored_ns)),
        wasted=_mean(passes, lambda t: _ratio_tally(t.kept_quiet_ns, t.quiet_ns)),
    )


def mean_figures(points: Sequence[RateFigures]) -> RateFigures:
    """Return the field-wise mean of several figures."""
    values = {field.name: [getattr(point, field.name) for point in points] for field in fields(RateFigures)}
    means: dict[str, Any] = {name: None if None in seen else statistics.fmean(seen) for name, seen in values.items()}
    return RateFigures(**means)


def add(tallies: Iterable[Counts]) -> Counts:
    """Return the sum of tallies."""
    return sum(tallies, Counts())


def _mean(passes: Sequence[Counts], rate: Callable[[Counts], float | None]) -> float | None:
    known = [value for value in map(rate, passes) if value is not None]
    return statistics.fmean(known) if known else None


def _ratio_tally(part: float, whole: float) -> float | None:
    return part / whole if whole else None

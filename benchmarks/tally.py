"""Counts of a pass over records that add up, and their means over several passes: what choices are made by.

`edgequake.benchmarks.pooling` says more of a pass (groups, onset errors); these are small enough to hold for hundreds
of settings at once, and those of separate sets of records can be added.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from edgequake.benchmarks.intervals import poisson
from edgequake.benchmarks.pooling import LONG_RECORD_NS, NS_PER_DAY
from edgequake.benchmarks.scoring import RecordScore


@dataclass(frozen=True)
class Tally:
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
    def of(cls, score: RecordScore) -> Tally:
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

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(Tally)))


@dataclass(frozen=True)
class Figures:
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


def figures(passes: Sequence[Tally]) -> Figures:
    """Return the means over passes (random starts) of the same records."""
    n_false = statistics.fmean(tally.n_false for tally in passes)
    quiet_days = statistics.fmean(tally.quiet_ns for tally in passes) / NS_PER_DAY
    return Figures(
        recall=_mean(passes, lambda t: _ratio(t.n_recalled, t.n_arrivals)),
        captured=_mean(passes, lambda t: _ratio(t.n_captured, t.n_arrivals)),
        precision=_mean(passes, lambda t: _ratio(t.n_recalled, t.n_recalled + t.n_false)),
        f1=_mean(passes, lambda t: _ratio(2 * t.n_recalled, t.n_arrivals + t.n_recalled + t.n_false)),
        n_false=n_false,
        false_per_quiet_day=_mean(passes, lambda t: _ratio(t.n_false * NS_PER_DAY, t.quiet_ns)),
        false_per_quiet_day_upper=_ratio(poisson(n_false)[1], quiet_days),
        quiet_days=quiet_days,
        kept=_mean(passes, lambda t: _ratio(t.kept_ns, t.scored_ns)),
        kept_long=_mean(passes, lambda t: _ratio(t.long_kept_ns, t.long_scored_ns)),
        wasted=_mean(passes, lambda t: _ratio(t.kept_quiet_ns, t.quiet_ns)),
    )


def mean_figures(points: Sequence[Figures]) -> Figures:
    """Return the field-wise mean of several figures."""
    values = {field.name: [getattr(point, field.name) for point in points] for field in fields(Figures)}
    means: dict[str, Any] = {name: None if None in seen else statistics.fmean(seen) for name, seen in values.items()}
    return Figures(**means)


def add(tallies: Iterable[Tally]) -> Tally:
    """Return the sum of tallies."""
    return sum(tallies, Tally())


def _mean(passes: Sequence[Tally], rate: Callable[[Tally], float | None]) -> float | None:
    known = [value for value in map(rate, passes) if value is not None]
    return statistics.fmean(known) if known else None


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None

"""Rates and intervals from the scores of single records.

`Counts` are what records add up to. A *pass* scores every record once, from one random start each. `pool` turns a
pass into a `Score`, with event groups and onset errors, and `summarise` several passes into means, deviations and
intervals. `mean_rates` needs the counts alone, of which tuning holds hundreds: one set for each trigger setting.
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
from edgequake.results.accuracy import RateFigures, Score, ScoreSummary, Spread

CONFIDENCE = 0.90
NS_PER_DAY = 86_400 * NS_PER_S
SPREAD_FIELDS = (  # of Score, summarised over passes
    "n_recalled", "n_captured", "n_fixed_recalled", "n_false", "n_extra", "quiet_days", "recall", "precision", "f1",
    "kept", "kept_long", "wasted", "false_per_quiet_day", "groups_recalled", "groups_captured", "group_recall",
    "group_captured", "onset_error_s", "mean_onset_error_s",
)  # fmt: skip


@dataclass(frozen=True)
class Counts:
    """Counts and times of a pass over some records, or of a single record; they add up."""

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
    def of(cls, scores: Iterable[RecordScore]) -> Counts:
        """Count the records of a pass."""
        return cls.total(map(cls._of_record, scores))

    @classmethod
    def total(cls, parts: Iterable[Counts]) -> Counts:
        """Return the counts of several sets of records as those of one."""
        columns = zip(*([getattr(part, field.name) for field in fields(cls)] for part in parts), strict=True)
        return cls(*map(sum, columns))

    @classmethod
    def _of_record(cls, score: RecordScore) -> Counts:
        return cls(
            n_arrivals=len(score.primary),
            n_recalled=sum(row.recalled for row in score.primary),
            n_captured=sum(row.captured for row in score.primary),
            n_false=len(score.false_ns),
            scored_ns=score.scored_ns,
            kept_ns=score.kept_ns,
            long_scored_ns=score.scored_ns if score.is_long else 0,
            long_kept_ns=score.kept_ns if score.is_long else 0,
            quiet_ns=score.quiet_ns,
            kept_quiet_ns=score.kept_quiet_ns,
        )

    def rates(self) -> dict[str, float | None]:
        """Return every rate by name, None where there is nothing to divide by.

        Rates are ratios of sums, so long records weigh more in the rates of time.
        """
        return {
            "recall": ratio(self.n_recalled, self.n_arrivals),
            "captured": ratio(self.n_captured, self.n_arrivals),
            "precision": ratio(self.n_recalled, self.n_recalled + self.n_false),
            # 2PR / (P + R) with P = recalled / (recalled + false), R = recalled / arrivals; 0 where nothing is recalled
            "f1": ratio(2 * self.n_recalled, self.n_arrivals + self.n_recalled + self.n_false),
            "kept": ratio(self.kept_ns, self.scored_ns),
            "kept_long": ratio(self.long_kept_ns, self.long_scored_ns),
            "wasted": ratio(self.kept_quiet_ns, self.quiet_ns),
            "false_per_quiet_day": ratio(self.n_false * NS_PER_DAY, self.quiet_ns),
        }


def pool(scores: Iterable[RecordScore]) -> Score:
    """Return the score of a pass from those of its records."""
    scores = list(scores)
    counts = Counts.of(scores)
    rows = [row for score in scores for row in score.primary]
    fixed = [row for score in scores if not score.start_moved for row in score.primary]
    recall_shares = _group_shares(rows, lambda row: row.recalled)
    captured_shares = _group_shares(rows, lambda row: row.captured)
    rates: dict[str, Any] = {name: rate for name, rate in counts.rates().items() if name != "captured"}
    return Score(
        n_records=len(scores),
        n_arrivals=counts.n_arrivals,
        n_recalled=counts.n_recalled,
        n_captured=counts.n_captured,
        n_fixed=len(fixed),
        n_fixed_recalled=sum(row.recalled for row in fixed),
        n_false=counts.n_false,
        n_extra=sum(len(score.extra_ns) for score in scores),
        record_days=counts.scored_ns / NS_PER_DAY,
        quiet_days=counts.quiet_ns / NS_PER_DAY,
        n_groups=len(recall_shares),
        groups_recalled=sum(share > 0 for share in recall_shares),
        groups_captured=sum(share > 0 for share in captured_shares),
        group_recall=ratio(sum(recall_shares), len(recall_shares)),
        group_captured=ratio(sum(captured_shares), len(captured_shares)),
        onset_errors_s=tuple(row.onset_error_s for row in rows if row.onset_error_s is not None),
        **rates,
    )


def summarise(scores: Sequence[Score]) -> ScoreSummary:
    """Return means and deviations over passes from several seeds.

    The intervals are those of the mean: more random starts do not make more events.
    """
    values = {name: [getattr(score, name) for score in scores] for name in SPREAD_FIELDS}
    spreads = {name: spread(of_passes) for name, of_passes in values.items() if None not in of_passes}
    n_groups = scores[0].n_groups
    return ScoreSummary(
        scores=tuple(scores),
        spreads=spreads,
        group_recall_interval=group_interval(spreads, "group_recall", n_groups),
        group_captured_interval=group_interval(spreads, "group_captured", n_groups),
        false_per_quiet_day_upper=ratio(poisson(spreads["n_false"].mean)[1], spreads["quiet_days"].mean),
    )


def mean_rates(passes: Sequence[Counts]) -> RateFigures:
    """Return the means over passes (random starts) of the same records."""
    n_false = statistics.fmean(counts.n_false for counts in passes)
    quiet_days = statistics.fmean(counts.quiet_ns for counts in passes) / NS_PER_DAY
    of_passes = [counts.rates() for counts in passes]
    rates: dict[str, Any] = {name: _mean_of_known([rates[name] for rates in of_passes]) for name in of_passes[0]}
    upper = ratio(poisson(n_false)[1], quiet_days)
    return RateFigures(n_false=n_false, quiet_days=quiet_days, false_per_quiet_day_upper=upper, **rates)


def spread(values: Sequence[float]) -> Spread:
    """Return the mean of values and the standard deviation between them."""
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0)


def ratio(part: float, whole: float) -> float | None:
    """Return part over whole, None if there is no whole."""
    return part / whole if whole else None


def wilson(k: float, n: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion `k` of `n`; (0, 1) if `n` is 0.

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
    """Return the exact central interval of a Poisson mean after `count` observed events.

    `count` may be fractional (a mean over seeds): the gamma function interpolates between the integers.

    References
    ----------
    Garwood, F. (1936), doi:10.1093/biomet/28.3-4.437: lower χ²(α/2; 2k)/2, upper χ²(1 - α/2; 2k + 2)/2, written here
    with the incomplete gamma function, as χ²(q; 2a)/2 = P⁻¹(a, q).
    """
    tail = (1 - confidence) / 2
    lower = float(gammaincinv(count, tail)) if count > 0 else 0.0
    return lower, float(gammaincinv(count + 1, 1 - tail))


def group_interval(spreads: dict[str, Spread], name: str, n_groups: int) -> tuple[float, float]:
    """Return Wilson's interval of a mean share over event groups; (0, 1) if the share is not known."""
    return wilson(spreads[name].mean * n_groups, n_groups) if name in spreads else (0.0, 1.0)


def _group_shares(rows: Iterable[ArrivalScore], is_hit: Callable[[ArrivalScore], bool]) -> list[float]:
    """Return each event's share of hits: an event recorded by four stations counts once, if need be by quarters."""
    groups: dict[str, list[bool]] = {}
    for row in rows:
        groups.setdefault(row.arrival.group, []).append(is_hit(row))
    return [sum(hits) / len(hits) for hits in groups.values()]


def _mean_of_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None

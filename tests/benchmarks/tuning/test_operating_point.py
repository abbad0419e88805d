"""The rule that chooses an operating point, on figures and decisions drawn by hand."""

from __future__ import annotations

import dataclasses
import statistics

import pytest

from edgequake.benchmarks.scoring.pooling import Counts, mean_rates, poisson, pool
from edgequake.benchmarks.scoring.scoring import score_record
from edgequake.benchmarks.tuning.operating_point import QUIET, RECALL, Choice, choose, count_grid, grid, with_lag
from edgequake.results.accuracy import RateFigures
from edgequake.results.tuning import Setting

from ..decided import DECISION_S, TRIGGER, peaks, trace
from ..drawing import T0_NS, arrival, detections, record


def drawn_figures(
    f1: float, recall: float = 0.8, precision: float = 0.9, false: float = 1.0, kept: float = 0.1
) -> RateFigures:
    return RateFigures(recall, recall, precision, f1, false, false, 3 * false, 1.0, kept, kept, 0.0)


def line(values: dict[float, RateFigures], min_duration_s: float = 10.0) -> dict[Setting, RateFigures]:
    return {Setting(threshold, min_duration_s, 0.5): figures for threshold, figures in values.items()}


def test_a_narrow_peak_is_not_chosen() -> None:
    edge = line(
        {t: drawn_figures(f1) for t, f1 in {0.1: 0.2, 0.2: 0.95, 0.3: 0.2, 0.4: 0.7, 0.5: 0.7, 0.6: 0.7}.items()}
    )
    assert choose(edge).normal.threshold == 0.5  # means of three: 0.45, 0.62, 0.53, 0.70


def test_of_equal_points_the_quietest_then_the_smallest_is_taken() -> None:
    noisy = line({t: drawn_figures(0.805, false=2.0, kept=0.01) for t in (0.1, 0.2, 0.3)}, 10.0)
    wide = line({t: drawn_figures(0.80, false=1.0, kept=0.2) for t in (0.1, 0.2, 0.3)}, 20.0)
    small = line({t: drawn_figures(0.80, false=1.0, kept=0.1) for t in (0.1, 0.2, 0.3)}, 30.0)
    assert choose({**noisy, **wide, **small}).normal == Setting(0.2, 30.0, 0.5)
    better = line({t: drawn_figures(0.82, false=9.0, kept=0.9) for t in (0.1, 0.2, 0.3)}, 40.0)
    assert choose({**noisy, **wide, **small, **better}).normal == Setting(0.2, 40.0, 0.5)


def test_low_keeps_nine_tenths_of_the_recall_and_high_keeps_precision_and_kept() -> None:
    thresholds = [round(0.1 * i, 1) for i in range(1, 10)]
    recall = dict(zip(thresholds, (0.9, 0.9, 0.9, 0.9, 0.9, 0.82, 0.82, 0.82, 0.5), strict=True))
    kept = dict(zip(thresholds, (0.9, 0.3, 0.12, 0.12, 0.1, 0.1, 0.1, 0.1, 0.1), strict=True))
    points = line({t: drawn_figures(0.9 if t == 0.5 else 0.6, recall=recall[t], kept=kept[t]) for t in thresholds})
    chosen = choose(points)
    # All of 0.4-0.6 have the same mean F1 of three; the least kept of them is 0.6, where recall is 0.847 and kept 0.1.
    assert chosen.normal.threshold == 0.6
    # 0.8: recall (0.82 + 0.82 + 0.5) / 3 = 0.713 < 0.9 * 0.847; 0.7: 0.82 will do.
    assert chosen.low == 0.7
    # 0.3: kept (0.3 + 0.12 + 0.12) / 3 = 0.18 > 1.5 * 0.1; 0.4: 0.113 will do.
    assert chosen.high == 0.4
    imprecise = {s: dataclasses.replace(f, precision=0.5 if s.threshold < 0.6 else 0.9) for s, f in points.items()}
    assert choose(imprecise).high == 0.6  # 0.5: precision (0.5 + 0.5 + 0.9) / 3


def test_fewer_than_three_thresholds_are_refused() -> None:
    with pytest.raises(ValueError, match="three onset thresholds"):
        choose(line({0.1: drawn_figures(0.5), 0.2: drawn_figures(0.5)}))


def test_a_choice_changes_only_what_was_searched() -> None:
    trigger = Choice(Setting(0.6, 40.0, 0.7), low=0.8, high=0.2).apply(TRIGGER)
    assert trigger.onset_thresholds == {"low": 0.8, "normal": 0.6, "high": 0.2}
    assert (
        dataclasses.replace(
            trigger, onset_thresholds=TRIGGER.onset_thresholds, min_duration_s=10.0, event_threshold=0.5
        )
        == TRIGGER
    )


def test_the_grid_holds_the_manifests_own_settings_and_counts_decisions() -> None:
    settings = grid(dataclasses.replace(TRIGGER, min_duration_s=38.0, event_threshold=0.45), 9.66037)
    assert {s.min_duration_s for s in settings} == {
        9.66,
        19.32,
        38.0,
        57.96,
    }  # 38.0 takes four decisions, as 38.64 does
    assert {s.event_threshold for s in settings} == {0.3, 0.45, 0.5, 0.7}
    assert len(settings) == len(set(settings)) == 4 * 4 * 20


def test_counts_over_a_grid_by_hand() -> None:
    # arrival at 2000 s; peaks: one on it, one false far ahead of it, one false only at low thresholds
    drawn = record(20_000, arrival(10_000))
    traced = trace(drawn, peaks(20_000, {1000: 0.6, 3000: 0.25, 10_100: 0.8}))
    settings = [Setting(t, 10.0, 0.5) for t in (0.2, 0.5, 0.7, 0.9)]
    seen = {s.threshold: counts[0] for s, counts in count_grid([[traced]], TRIGGER, settings).items()}
    assert [(seen[t].n_recalled, seen[t].n_false) for t in (0.2, 0.5, 0.7, 0.9)] == [(1, 2), (1, 1), (1, 0), (0, 0)]
    # quiet: all but [10000 - 360, 10000 + 3600]; each false alarm keeps 60 + 10 + 120 s of it
    assert seen[0.5].quiet_ns == pytest.approx((20_000 - 3960) * 1e9, abs=2)
    assert seen[0.5].kept_quiet_ns == 190 * 10**9
    assert seen[0.7].kept_ns == 190 * 10**9


def test_counts_agree_with_pooled_scores() -> None:
    long = record(40_000, arrival(20_000), name="long.mseed")
    short = record(7200, arrival(3000), arrival(3100, primary=False), name="short.mseed")
    scores = [
        score_record(long, T0_NS, detections(500, 20_100, kept=((400, 900), (20_000, 21_000)))),
        score_record(short, T0_NS, detections(6900, kept=((6800, 7100),))),
    ]
    pooled, seen = pool(scores), mean_rates([Counts.of(scores)])
    for name in ("recall", "precision", "f1", "kept", "kept_long", "wasted", "false_per_quiet_day"):
        assert getattr(seen, name) == pytest.approx(getattr(pooled, name)), name
    assert seen.captured == pooled.n_captured / pooled.n_arrivals
    assert seen.false_per_quiet_day_upper == pytest.approx(poisson(seen.n_false)[1] / pooled.quiet_days)


def test_means_over_passes_are_means_of_rates() -> None:
    passes = [
        Counts(n_arrivals=4, n_recalled=4, quiet_ns=86_400 * 10**9),
        Counts(n_arrivals=4, n_recalled=1, n_false=2, quiet_ns=43_200 * 10**9),
    ]
    seen = mean_rates(passes)
    assert seen.recall == statistics.fmean([1.0, 0.25])
    assert seen.f1 == pytest.approx(statistics.fmean([1.0, 2 * 1 / (4 + 1 + 2)]))
    assert (seen.n_false, seen.quiet_days, seen.false_per_quiet_day) == (1.0, 0.75, 2.0)
    assert seen.kept is None


def test_the_lag_makes_the_median_lateness_zero() -> None:
    late = {0: 90.0, 1: 40.0, 2: 140.0}
    traces = [trace(record(20_000, arrival(10_000)), peaks(20_000, {10_000 + s: 0.9})) for s in late.values()]
    lagged = with_lag([traces], TRIGGER, 0.5)
    assert lagged.onset_lag_s == 90.0
    assert with_lag([traces], lagged, 0.5) == lagged
    assert with_lag([traces], TRIGGER, 0.95) == TRIGGER  # nothing recalled, nothing known
    assert DECISION_S == 10.0


def test_a_preference_for_recall_decides_between_equal_points_only() -> None:
    def of_line(f1: float, recall: float, false: float, min_duration_s: float) -> dict[Setting, RateFigures]:
        return line(dict.fromkeys((0.3, 0.4, 0.5), drawn_figures(f1, recall=recall, false=false)), min_duration_s)

    quiet, sensitive = of_line(0.93, 0.88, 0.0, 10.0), of_line(0.925, 0.94, 1.0, 20.0)
    careless = of_line(0.91, 1.0, 9.0, 30.0)  # more than SAME_F1 worse
    points = {**quiet, **sensitive, **careless}
    assert choose(points).normal == choose(points, QUIET).normal == Setting(0.4, 10.0, 0.5)
    assert choose(points, RECALL).normal == Setting(0.4, 20.0, 0.5)
    assert choose({**quiet, **careless}, RECALL).normal == Setting(0.4, 10.0, 0.5)

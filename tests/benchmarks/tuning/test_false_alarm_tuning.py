"""Thresholds for a requested rate: counts made by hand, the rule, and the resolution of too little quiet time."""

from __future__ import annotations

import pytest

from edgequake.benchmarks.tuning.false_alarm_tuning import (
    choose_rates,
    count_labelled,
    count_unlabelled,
    resolution,
    sweep,
)
from edgequake.edge.base.errors import ConfigError
from edgequake.results.tuning import RatePoint

from ..decided import TRIGGER, peaks, trace
from ..drawing import arrival, record


def points(quiet_days: float, *counts: tuple[float, float]) -> list[RatePoint]:
    return [RatePoint(threshold, n_false, quiet_days, n_false / quiet_days, None) for threshold, n_false in counts]


def test_only_what_lies_outside_the_labelled_spans_counts() -> None:
    drawn = record(40_000, arrival(10_000))
    traced = trace(drawn, peaks(40_000, {1000: 0.9, 10_100: 0.9, 12_000: 0.8, 20_000: 0.6, 30_000: 0.3}))
    seen = [count_labelled([[traced]], TRIGGER, threshold) for threshold in (0.2, 0.5, 0.7, 0.95)]
    assert [(point.n_false, point.recall) for point in seen] == [(3, 1.0), (2, 1.0), (1, 1.0), (0, 0.0)]
    assert [point.quiet_days for point in seen] == pytest.approx([(40_000 - 3960) / 86_400] * 4)
    assert seen[1].false_per_day == pytest.approx(2 * 86_400 / (40_000 - 3960))


def test_records_that_are_all_coda_have_no_rate() -> None:
    with pytest.raises(ConfigError, match="no quiet time"):
        count_labelled([[trace(record(2000, arrival(300)), peaks(2000, {}))]], TRIGGER, 0.5)


def test_without_labels_everything_counts() -> None:
    streams = trace(record(40_000), peaks(40_000, {1000: 0.9, 10_100: 0.9, 12_000: 0.8, 20_000: 0.6})).streams
    seen = [count_unlabelled(streams, 0.5, TRIGGER, threshold) for threshold in (0.5, 0.7, 0.85, 0.95)]
    assert [(point.n_false, point.false_per_day) for point in seen] == [(4, 8), (3, 6), (2, 4), (0, 0)]


def test_the_sweep_stops_above_the_highest_requested_rate() -> None:
    # Half a day; 1 per day of `normal` is 2 of `high`: one event. At 0.6 the second one comes in.
    streams = trace(record(40_000), peaks(40_000, {1000: 0.9, 10_100: 0.605})).streams
    shares: list[float] = []
    seen = sweep(
        lambda threshold: count_unlabelled(streams, 0.5, TRIGGER, threshold),
        1.0,
        lambda share, _: shares.append(share or 0.0),
    )
    assert seen[0].threshold == 0.995 and seen[-1].threshold == 0.6
    assert [point.n_false for point in seen[-2:]] == [1, 2]
    assert shares == sorted(shares) and shares[-1] <= 1


def test_the_lowest_threshold_at_and_above_which_the_rate_holds() -> None:
    # Over two days, 2 a day are 4 events, 1 a day is 2 and 4 a day is 8. The 3 at 0.2 do not count: 0.3 has 5.
    seen = points(2.0, (0.1, 20), (0.2, 3), (0.3, 5), (0.4, 4), (0.5, 4), (0.6, 2), (0.7, 0))
    chosen = choose_rates(seen, asked_per_day=2.0)
    assert {name: rate.threshold for name, rate in chosen.items()} == {"low": 0.6, "normal": 0.4, "high": 0.2}
    normal = chosen["normal"]
    assert (normal.asked_per_day, normal.n_false, normal.false_per_day) == (2.0, 4, 2.0)
    # chi-squared tables: upper 90 % bound (5 % on either side) of a Poisson mean after 4 events is 9.15
    assert normal.false_per_day_upper == pytest.approx(9.15 / 2, abs=0.01)
    assert chosen["low"].asked_per_day == 1.0 and chosen["high"].asked_per_day == 4.0


def test_a_rate_that_cannot_be_reached_is_refused_with_the_lowest_that_can() -> None:
    with pytest.raises(ConfigError, match=r"even at onset threshold 0.9 the model raises 3 false alarms per day"):
        choose_rates(points(2.0, (0.5, 9), (0.9, 6)), asked_per_day=1.0)


def test_too_little_quiet_time_is_reported_with_its_resolution() -> None:
    chosen = choose_rates(points(0.25, (0.5, 3), (0.9, 0)), asked_per_day=2.0)
    said = resolution(chosen["normal"], 0.25)
    assert said is not None and "\n" not in said
    assert "0.25 quiet days are too few to see 2 false alarms per day" in said
    assert "below 12 per day" in said  # 2.996 events after none were seen, over a quarter of a day
    assert resolution(chosen["normal"], 0.5) is None

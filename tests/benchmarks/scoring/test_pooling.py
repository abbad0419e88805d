"""Rates over several hand-drawn records and over seeds."""

from __future__ import annotations

import pytest

from edgequake.benchmarks.scoring.pooling import pool, summarise
from edgequake.benchmarks.scoring.scoring import RecordScore, score_record

from ..drawing import T0_NS, arrival, at, detections, record

HOUR = 3600.0


def three_records() -> list[RecordScore]:
    """Return three scores: event A is found at one of two stations, event B in a long record with two false alarms."""
    caught = record(2 * HOUR, arrival(1000, group="A"), name="a1")
    missed = record(2 * HOUR, arrival(1000, group="A"), name="a2")
    long = record(20 * HOUR, arrival(36000, group="B"), arrival(10000, primary=False, group="C"), name="b")
    return [
        score_record(caught, T0_NS, detections(1100, kept=((900.0, 1620.0),))),
        score_record(missed, at(500), detections()),
        score_record(
            long, at(1000), detections(36050, 20000, 60000, 38000, kept=((36000.0, 39600.0), (60000.0, 60720.0)))
        ),
    ]


def test_rates_by_hand() -> None:
    score = pool(three_records())
    assert (score.n_records, score.n_arrivals, score.n_recalled, score.n_captured) == (3, 3, 2, 2)
    assert (score.n_false, score.n_extra) == (2, 1)
    assert score.recall == pytest.approx(2 / 3)
    assert score.precision == pytest.approx(2 / 4)
    assert score.f1 == pytest.approx(2 * (1 / 2) * (2 / 3) / (1 / 2 + 2 / 3))
    assert score.onset_errors_s == (100.0, 50.0)
    assert score.onset_error_s == 75.0


def test_kept_and_quiet_time_by_hand() -> None:
    score = pool(three_records())
    # scored: 7200 + 6700 + 71 000 = 84 900 s; kept 720 + 0 + 4320 s; only the third record is 10 h or longer
    assert score.record_days == pytest.approx(84_900 / 86_400)
    assert score.kept == pytest.approx(5040 / 84_900)
    assert score.kept_long == pytest.approx(4320 / 71_000)
    # quiet: 640 + (7200 - 4600) = 3240; 140 + 2600 = 2740; 71 000 less two spans of 3960 = 63 080
    assert score.quiet_days == pytest.approx(69_060 / 86_400)
    assert score.false_per_quiet_day == pytest.approx(2 / (69_060 / 86_400))
    assert score.wasted == pytest.approx(720 / 69_060)


def test_groups_count_once_by_the_share_of_their_arrivals() -> None:
    score = pool(three_records())
    assert (score.n_groups, score.groups_recalled, score.groups_captured) == (2, 2, 2)
    assert score.group_recall == pytest.approx((0.5 + 1.0) / 2)


def test_arrivals_in_records_whose_start_stays_are_counted_apart() -> None:
    score = pool(three_records())
    assert (score.n_fixed, score.n_fixed_recalled) == (1, 1)


def test_rates_of_nothing_are_none() -> None:
    score = pool([score_record(record(HOUR), T0_NS, detections())])
    assert (score.recall, score.precision, score.f1, score.kept_long, score.group_recall) == (None,) * 5
    assert (score.kept, score.wasted, score.false_per_quiet_day) == (0.0, 0.0, 0.0)
    assert score.onset_error_s is None


def test_finding_nothing_is_an_f1_of_zero_and_no_precision() -> None:
    score = pool([score_record(record(2 * HOUR, arrival(1000)), T0_NS, detections())])
    assert (score.recall, score.precision, score.f1) == (0.0, None, 0.0)


def test_a_record_of_just_ten_hours_is_long() -> None:
    ten = pool([score_record(record(10 * HOUR), T0_NS, detections(kept=((0.0, 3600.0),)))])
    less = pool([score_record(record(10 * HOUR - 1), T0_NS, detections(kept=((0.0, 3600.0),)))])
    assert ten.kept_long == pytest.approx(0.1)
    assert less.kept_long is None


def test_seeds_give_mean_spread_and_intervals_of_the_mean() -> None:
    drawn = record(2 * HOUR, arrival(1000))
    hit = pool([score_record(drawn, T0_NS, detections(1000))])
    miss = pool([score_record(drawn, T0_NS, detections(7000))])
    summary = summarise([hit, miss])
    assert summary.spreads["recall"].mean == 0.5
    assert summary.spreads["recall"].deviation == pytest.approx(0.5**0.5)  # of 1 and 0, n - 1 = 1
    assert summary.spreads["n_false"].mean == 0.5
    # half of one group: Wilson of 0.5 of 1 is symmetric about 0.5, half-width 1.64485 √(0.25 + 0.67639) / 3.70554
    assert summary.group_recall_interval == pytest.approx((0.5 - 0.42725, 0.5 + 0.42725), abs=1e-4)
    # χ²(0.95; 3) / 2 = 3.90736 events over 3240 quiet seconds
    assert summary.false_per_quiet_day_upper == pytest.approx(3.90736 * 86_400 / 3240, rel=1e-5)


def test_a_rate_that_some_seed_lacks_has_no_spread() -> None:
    drawn = record(2 * HOUR, arrival(1000))
    summary = summarise([pool([score_record(drawn, T0_NS, detections(*onsets))]) for onsets in ((1000,), ())])
    assert "precision" not in summary.spreads
    assert summary.spreads["f1"].mean == 0.5


def test_one_seed_has_no_deviation() -> None:
    summary = summarise([pool(three_records())])
    assert summary.spreads["recall"].deviation == 0.0

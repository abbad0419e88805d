"""How far chosen thresholds can be trusted: counts made by hand, and draws in which a rule chooses none."""

from __future__ import annotations

from collections.abc import Mapping

from edgequake.benchmarks.scoring.pooling import Counts
from edgequake.benchmarks.tuning.operating_point import QUIET
from edgequake.benchmarks.tuning.threshold_intervals import count_table, label_intervals, threshold_intervals
from edgequake.edge.base.errors import ConfigError

from ..decided import TRIGGER, peaks, trace
from ..drawing import arrival, record

QUIET_NS = 3_600_000_000_000


def test_the_threshold_varies_as_far_as_the_records_differ() -> None:
    # In five hours of ten, 0.6 has two false alarms an hour; 0.9 has none. The rule allows one an hour.
    table = {
        0.6: [Counts(n_arrivals=1, n_recalled=1, n_false=2 * (i < 5), quiet_ns=QUIET_NS) for i in range(10)],
        0.9: [Counts(n_arrivals=1, n_recalled=int(i < 8), quiet_ns=QUIET_NS) for i in range(10)],
    }

    def rule(counts: Mapping[float, Counts]) -> dict[str, float]:
        return {"normal": 0.6 if counts[0.6].n_false <= 10 else 0.9}

    found = threshold_intervals(table, {"normal": 0.6}, rule)["normal"]
    assert found.threshold == (0.6, 0.9)
    assert found.recall == (1.0, 1.0)
    low, high = found.false_per_day or (0.0, 0.0)
    # n of 10 hours are loud: binomial with p = 1/2, whose 5th and 95th percentiles are 2 or 3 and 7 or 8 of them.
    assert round(low / 4.8, 6) in (2, 3) and round(high / 4.8, 6) in (7, 8)


def test_draws_in_which_the_rule_chooses_none_are_left_out() -> None:
    table = {0.5: [Counts(n_false=int(i == 0), quiet_ns=QUIET_NS) for i in range(4)]}

    def rule(counts: Mapping[float, Counts]) -> dict[str, float]:
        if counts[0.5].n_false > 1:
            raise ConfigError("too many")
        return {"low": 0.5}

    found = threshold_intervals(table, {"low": 0.5}, rule)["low"]
    assert found.threshold == (0.5, 0.5) and found.recall is None


def test_all_random_starts_of_a_record_count_together() -> None:
    drawn = record(40_000, arrival(10_000))
    one = trace(drawn, peaks(40_000, {10_100: 0.9, 20_000: 0.6}))
    table = count_table([[one, one], [one, one]], TRIGGER, (0.5, 0.7))

    assert [(of.n_arrivals, of.n_recalled, of.n_false) for of in table[0.5]] == [(2, 2, 2)] * 2
    assert [(of.n_arrivals, of.n_recalled, of.n_false) for of in table[0.7]] == [(2, 2, 0)] * 2


def test_labels_give_intervals_of_all_three_sensitivities() -> None:
    traces = [
        trace(record(40_000, arrival(10_000)), peaks(40_000, {10_100: high, 20_000: 0.4}))
        for high in (0.6, 0.7, 0.8, 0.9)
    ]
    found = label_intervals([traces], TRIGGER, QUIET)
    assert set(found) == set(TRIGGER.onset_thresholds)
    low, high = found["normal"].threshold or (1.0, 0.0)
    assert 0.3 < low <= high < 0.95

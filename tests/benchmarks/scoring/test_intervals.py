"""Intervals compared with scipy.stats and with their definitions."""

from __future__ import annotations

import pytest
from scipy import stats

from edgequake.benchmarks.scoring.pooling import poisson, wilson


@pytest.mark.parametrize(("k", "n"), [(0, 1), (0, 7), (3, 7), (7, 7), (8, 9), (50, 160)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_wilson_is_scipys(k: int, n: int, confidence: float) -> None:
    expected = stats.binomtest(k, n).proportion_ci(confidence, method="wilson")
    assert wilson(k, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_of_8_of_9_by_hand() -> None:
    # z = 1.64485, z²/n = 0.30062: centre (0.88889 + 0.15031) / 1.30062 = 0.79900
    # half 1.64485 √(0.0109739 + 0.0083505) / 1.30062 = 0.17580
    assert wilson(8, 9) == pytest.approx((0.62320, 0.97481), abs=2e-5)


def test_wilson_of_nothing_is_everything() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


def test_wilson_of_a_share_lies_between_its_neighbours() -> None:
    assert wilson(3, 7)[0] < wilson(3.5, 7)[0] < wilson(4, 7)[0]


@pytest.mark.parametrize("count", [0, 1, 3, 10, 40])
def test_poisson_bounds_leave_five_percent_on_either_side(count: int) -> None:
    lower, upper = poisson(count)
    assert stats.poisson.cdf(count, upper) == pytest.approx(0.05)
    if count:
        assert stats.poisson.sf(count - 1, lower) == pytest.approx(0.05)
    else:
        assert lower == 0.0


def test_poisson_of_none_seen_by_hand() -> None:
    assert poisson(0)[1] == pytest.approx(2.995732, abs=1e-6)  # -ln 0.05


def test_poisson_of_a_mean_over_seeds_lies_between_its_neighbours() -> None:
    assert poisson(3)[1] < poisson(3.4)[1] < poisson(4)[1]
    assert poisson(3.4)[1] == pytest.approx(stats.chi2.ppf(0.95, 8.8) / 2)

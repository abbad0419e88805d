"""Bootstrap intervals against the spread that theory gives, and where there is too little to draw from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from edgequake.benchmarks.scoring.bootstrap import bootstrap_interval


def test_the_interval_of_a_mean_is_that_of_its_standard_error() -> None:
    values = np.random.default_rng(4).normal(10.0, 2.0, 200)
    found = bootstrap_interval(200, lambda index: float(values[list(index)].mean()), n_draws=2000)
    assert found is not None
    half = 1.645 * values.std() / np.sqrt(200)  # 90 % of a normal distribution
    assert found == pytest.approx((values.mean() - half, values.mean() + half), abs=0.15 * half)


def test_the_same_seed_draws_the_same_records() -> None:
    drawn: list[Sequence[int]] = []

    def note(index: Sequence[int]) -> float:
        drawn.append(list(index))
        return 0.0

    for _ in range(2):
        bootstrap_interval(5, note, n_draws=20)
    assert drawn[:20] == drawn[20:] and len({tuple(one) for one in drawn}) > 10


def test_too_little_gives_no_interval() -> None:
    assert bootstrap_interval(1, lambda index: 1.0) is None
    assert bootstrap_interval(9, lambda index: None) is None
    assert bootstrap_interval(9, lambda index: 1.0 if 0 in index else None, n_draws=100) == (1.0, 1.0)

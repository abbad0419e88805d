"""Overlapping traces: which samples differ, against a comparison one sample at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgequake.edge.formats.waveforms import Trace, duration_ns, n_differing

RATE_HZ = 6.625
PIECES = st.lists(st.tuples(st.integers(0, 30), st.lists(st.integers(0, 2), min_size=1, max_size=20)), max_size=6)


def piece(start: int, values: list[int] | np.ndarray, rate_hz: float = RATE_HZ) -> Trace:
    return Trace("FDSN:XX_LUN_00_M_H_Z", duration_ns(start, rate_hz), rate_hz, np.asarray(values))


@given(PIECES, st.integers(0, 30), st.lists(st.integers(0, 2), min_size=1, max_size=20))
def test_each_sample_is_compared_with_the_first_one_of_its_time(
    earlier: list[tuple[int, list[int]]], start: int, values: list[int]
) -> None:
    first: dict[int, int] = {}
    for other_start, others in earlier:
        for i, value in enumerate(others, other_start):
            first.setdefault(i, value)
    expected = sum(first.get(i, value) != value for i, value in enumerate(values, start))
    assert n_differing(piece(start, values), [piece(*other) for other in earlier]) == expected


def test_nan_is_equal_to_nan() -> None:
    values = np.array([1.0, np.nan, 3.0])
    assert n_differing(piece(0, values), [piece(0, values)]) == 0
    assert n_differing(piece(0, values), [piece(0, np.array([1.0, 2.0, 3.0]))]) == 1


@pytest.mark.parametrize(("shift", "rate_hz"), [(0.5, RATE_HZ), (0.0, 2 * RATE_HZ)])
def test_samples_at_other_times_are_not_compared(shift: float, rate_hz: float) -> None:
    other = Trace("FDSN:XX_LUN_00_M_H_Z", round(shift / RATE_HZ * 1e9), rate_hz, np.zeros(10))
    assert n_differing(piece(0, np.ones(10)), [other]) == 0

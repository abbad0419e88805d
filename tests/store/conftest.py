"""Pieces of made-up records, for the tests of what happens to samples once they are heard."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from edgequake.edge.piece import NS_PER_S, Piece, duration_ns, parse_time

DAY_NS = 86_400 * NS_PER_S
T0_NS = parse_time("2030-01-01T00:00:00")
MOON = "FDSN:XX_LUN_00_M_H_Z"
Pieces = Callable[..., list[Piece]]


@pytest.fixture
def pieces() -> Pieces:
    """Return a function that cuts samples into pieces that follow one another."""

    def cut(
        samples: np.ndarray,
        *,
        start_ns: int = T0_NS,
        rate_hz: float = 6.625,
        source_id: str = MOON,
        n_each: int | Sequence[int] = 400,
    ) -> list[Piece]:
        lengths = [n_each] if isinstance(n_each, int) else n_each
        found, first = [], 0
        while first < len(samples):
            stop = first + lengths[len(found) % len(lengths)]
            found.append(Piece(source_id, start_ns + duration_ns(first, rate_hz), rate_hz, samples[first:stop]))
            first = stop
        return found

    return cut


@pytest.fixture
def noise() -> np.ndarray:
    """Return two days and a half of quiet at 6.625 Hz, int32."""
    return np.rint(512 + 3 * np.random.default_rng(1).standard_normal(1_431_000)).astype(np.int32)

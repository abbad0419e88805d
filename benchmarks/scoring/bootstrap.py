"""Intervals of rates by the bootstrap over records: hours of a station are drawn again, with all that is in them.

Events of one hour have one cause, as a machine that runs, so they are not drawn singly.

References
----------
Efron, B. & Tibshirani, R. J. (1993), An Introduction to the Bootstrap, chapter 13: percentile intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgequake.benchmarks.scoring.pooling import CONFIDENCE

N_DRAWS = 1000


def bootstrap_interval(
    n_records: int, statistic: Callable[[Sequence[int]], float | None], seed: int = 1, n_draws: int = N_DRAWS
) -> tuple[float, float] | None:
    """Return the percentile interval of a statistic of records drawn with replacement, at `CONFIDENCE`.

    Parameters
    ----------
    statistic : of the records with these indices, some of them several times; None where it is not defined.

    Returns
    -------
    low, high; None where the statistic is defined for less than half of the draws, or there are fewer than two records.
    """
    if n_records < 2:
        return None
    rng = np.random.default_rng(seed)
    drawn = (statistic(rng.integers(n_records, size=n_records).tolist()) for _ in range(n_draws))
    values = [value for value in drawn if value is not None]
    if len(values) < n_draws / 2:
        return None
    tail = 50.0 * (1.0 - CONFIDENCE)
    low, high = np.percentile(values, [tail, 100.0 - tail])
    return float(low), float(high)

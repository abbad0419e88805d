"""Streaming filters over stretches of samples: despiking and exact decimation.

Both are finite in memory and keep a tail of samples between calls, so any block size gives the same bits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgequake.edge.gaps import Stretch, stretch_of, stretch_state
from edgequake.edge.state import State

Float = npt.NDArray[np.float64]

# Scales a median absolute deviation to the standard deviation of a normal distribution: 1 / norm.ppf(3/4).
MAD_TO_STANDARD_DEVIATION = 1.4826


class _Tail:
    """The last samples of a stretch, put in front of what comes next."""

    def __init__(self) -> None:
        self._kept: Stretch | None = None

    def join(self, stretch: Stretch) -> Stretch:
        """Return the stretch with the kept tail in front, or the stretch alone when it is fresh."""
        kept = self._kept
        if stretch.fresh or kept is None:
            return stretch
        values = np.concatenate([kept.values, stretch.values])
        return Stretch(kept.first, values, np.concatenate([kept.valid, stretch.valid]), kept.fresh)

    def keep(self, joined: Stretch, n_used: int, fresh: bool) -> None:
        """Keep what lies after the first `n_used` samples; `fresh` while nothing was given out yet."""
        # Copies: a view would keep the whole block alive.
        values, valid = joined.values[n_used:].copy(), joined.valid[n_used:].copy()
        self._kept = Stretch(joined.first + n_used, values, valid, fresh)

    def state(self) -> State:
        """Return what `restore` goes on from."""
        return {"kept": stretch_state(self._kept)}

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        self._kept = stretch_of(state["kept"])


def _median_of_five(a: Float, b: Float, c: Float, d: Float, e: Float) -> Float:
    """Element-wise median of five arrays by comparisons alone (exact, and cheap on a small processor)."""
    low = np.maximum(np.minimum(a, b), np.minimum(c, d))
    high = np.minimum(np.maximum(a, b), np.maximum(c, d))
    small, large = np.minimum(low, high), np.maximum(low, high)
    result: Float = np.maximum(small, np.minimum(large, e))
    return result


class Despike:
    """Five-sample Hampel filter: a sample far from the median of its neighbourhood becomes that median.

    "Far" is more than `threshold` robust standard deviations (1.4826 times the median absolute deviation of the five
    samples). Lags two samples: the first and the last two samples of a stretch are not given out.

    References
    ----------
    Hampel, F. R. (1974), The influence curve and its role in robust estimation, JASA 69, 383-393,
    doi:10.1080/01621459.1974.10482962.
    """

    LAG = 2

    def __init__(self, threshold: float) -> None:
        self._limit = threshold * MAD_TO_STANDARD_DEVIATION
        self._tail = _Tail()

    def state(self) -> State:
        """Return what `restore` goes on from."""
        return self._tail.state()

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        self._tail.restore(state)

    def push(self, stretch: Stretch) -> Stretch | None:
        """Take a stretch, return the despiked samples that are certain now, or None."""
        joined = self._tail.join(stretch)
        n_given = len(joined.values) - 2 * self.LAG
        if n_given <= 0:
            self._tail.keep(joined, 0, joined.fresh)
            return None
        self._tail.keep(joined, n_given, False)
        valid = joined.valid[self.LAG : self.LAG + n_given]
        return Stretch(joined.first + self.LAG, self._despiked(joined.values), valid, joined.fresh)

    def _despiked(self, values: Float) -> Float:
        n = len(values) - 2 * self.LAG
        a, b, c, d, e = (values[i : i + n] for i in range(5))
        median = _median_of_five(a, b, c, d, e)
        deviation = _median_of_five(*(np.abs(part - median) for part in (a, b, c, d, e)))
        return np.where(np.abs(c - median) > self._limit * deviation, median, c)


class Decimate:
    """Low-pass with symmetric taps and keep every `factor`-th sample, without delay on the decimated grid.

    Decimated position j lies at position ``j * factor`` of the input; it is given out once the half-width of the
    taps lies on both sides of it. The taps travel in the manifest (designed on the desktop).
    """

    def __init__(self, factor: int, taps: tuple[float, ...]) -> None:
        self._factor = factor
        self._taps = np.asarray(taps, np.float64)
        self._half = len(taps) // 2
        self._tail = _Tail()

    def state(self) -> State:
        """Return what `restore` goes on from."""
        return self._tail.state()

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        self._tail.restore(state)

    def push(self, stretch: Stretch) -> Stretch | None:
        """Take a stretch at the input rate, return one at the decimated rate, or None."""
        joined = self._tail.join(stretch)
        first = -(-(joined.first + self._half) // self._factor)  # first decimated position with taps inside
        centre = first * self._factor - joined.first
        n_filtered = len(joined.values) - 2 * self._half
        n_given = max(0, -(-(n_filtered - (centre - self._half)) // self._factor))
        if n_given == 0:
            self._tail.keep(joined, 0, joined.fresh)
            return None
        filtered = np.convolve(joined.values, self._taps, "valid")[centre - self._half :: self._factor]
        valid = joined.valid[centre :: self._factor][:n_given]
        n_used = n_given * self._factor + centre - self._half
        self._tail.keep(joined, n_used, False)
        return Stretch(first, filtered, valid, joined.fresh)

"""A detector's characteristic function: how much each instant looks like an event. Figures by windows judge by it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class CharacteristicFunction:
    """A curve over time; larger values are more like an event.

    Attributes
    ----------
    time_ns : instants, in any order, shape (n,).
    values : the curve at these instants, shape (n,), NaN where the detector gives no value.
    threshold : a window whose largest value reaches this is called an event.
    """

    time_ns: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    threshold: float

    @classmethod
    def of_onsets(cls, onsets_ns: tuple[int, ...]) -> CharacteristicFunction:
        """Return the curve of a detector that reports onsets only: 1 at each onset, no value elsewhere."""
        return cls(np.array(onsets_ns, np.int64), np.ones(len(onsets_ns)), threshold=0.5)

    def window_maxima(self, edges_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return the largest value in each window [edge, next edge), -inf in a window without any value.

        Parameters
        ----------
        edges_ns : rising, shape (n_windows + 1,).
        """
        known = ~np.isnan(self.values)
        inside = known & (self.time_ns >= edges_ns[0]) & (self.time_ns < edges_ns[-1])
        window = np.searchsorted(edges_ns, self.time_ns[inside], side="right") - 1
        maxima = np.full(len(edges_ns) - 1, -np.inf)
        np.maximum.at(maxima, window, self.values[inside])
        return maxima

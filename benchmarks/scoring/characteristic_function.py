"""How much each instant looks like an event to a detector: what windows are judged by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class CharacteristicFunction:
    """A curve in time; larger is more like an event.

    Attributes
    ----------
    time_ns : instants, in any order, shape (n,).
    values : the curve there, shape (n,), NaN where the detector says nothing.
    threshold : a window whose largest value reaches this is called an event.
    """

    time_ns: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    threshold: float

    def largest(self, edges_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return the largest value in each [edge, next edge), -inf where there is none; edges rise, one more than out.

        A detector that says nothing of a window calls it as unlike an event as can be.
        """
        said = ~np.isnan(self.values)
        inside = said & (self.time_ns >= edges_ns[0]) & (self.time_ns < edges_ns[-1])
        window = np.searchsorted(edges_ns, self.time_ns[inside], side="right") - 1
        largest = np.full(len(edges_ns) - 1, -np.inf)
        np.maximum.at(largest, window, self.values[inside])
        return largest


def levels_of_onsets(onsets_ns: tuple[int, ...]) -> CharacteristicFunction:
    """Return the curve of a detector that says no more than when: 1 at its onsets, nothing elsewhere."""
    return CharacteristicFunction(np.array(onsets_ns, np.int64), np.ones(len(onsets_ns)), threshold=0.5)

"""Targets and weights, block by block: when an event is in progress and when it begins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]

# The visible part of an event: its power, in decades over the background and smoothed, first rises above VISIBLE and
# goes on until it has fallen under FADED. Both were chosen by eye on train records (features are clipped at +3).
VISIBLE_DECADES = 0.12
FADED_DECADES = 0.08
ONSET_S = 240.0  # blocks up to this long after the visible onset say "onset"
MAX_EVENT_S = 5400.0
UNSURE_WEIGHT = 0.2  # between a catalogued arrival and the visible onset
SEARCH_S = 360.0  # a catalogued minute may lie this long before the visible onset (emergent events)


@dataclass(frozen=True)
class Targets:
    """What each block should say, and how much it counts.

    Attributes
    ----------
    onset, event : float32, shape (n_blocks,), 0 or 1.
    weight : float32, shape (n_blocks,), 0 where nothing is known.
    """

    onset: npt.NDArray[np.float32]
    event: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]

    @classmethod
    def quiet(cls, n_blocks: int) -> Targets:
        """Return targets that say "no event" everywhere."""
        return cls(np.zeros(n_blocks, np.float32), np.zeros(n_blocks, np.float32), np.ones(n_blocks, np.float32))


def smooth(values: Float, n_blocks: int) -> Float:
    """Return the centred running mean over `n_blocks` (odd), shortened at both sides."""
    kernel = np.ones(n_blocks)
    total = np.convolve(values, kernel, "same")
    return np.asarray(total / np.convolve(np.ones_like(values), kernel, "same"), np.float64)


def mark(targets: Targets, excess: Float, arrival_block: int, block_s: float, search_before_s: float = 0.0) -> bool:
    """Mark one event in `targets`, in place; return whether it is visible.

    Parameters
    ----------
    excess : decades of power over the background, shape (n_blocks,).
    arrival_block : block of the arrival (catalogued or exact); may lie before the first block.
    block_s : duration of a block.
    search_before_s : how far before the arrival the visible onset may lie.

    An event that never rises above the background, or that has no visible onset near its arrival, weighs nothing for
    as long as it might have lasted: nobody can say what the right answer is there.
    """
    n = len(excess)
    first = max(0, arrival_block - round(search_before_s / block_s))
    stop = min(n, max(arrival_block, 0) + round(MAX_EVENT_S / block_s))
    if stop <= first:
        return False
    rise, trend = smooth(excess, 3), smooth(excess, 15)
    search_stop = min(stop, max(arrival_block, 0) + round(SEARCH_S / block_s) + 1)
    visible = np.flatnonzero((rise[first:search_stop] >= VISIBLE_DECADES) & (trend[first:search_stop] >= FADED_DECADES))
    if len(visible) == 0:
        targets.weight[first:stop] = 0.0
        return False
    onset = first + int(visible[0])
    faded = np.flatnonzero(trend[onset:stop] < FADED_DECADES)
    stop = onset + int(faded[0]) if len(faded) else stop
    targets.weight[max(0, min(arrival_block, onset)) : onset] = UNSURE_WEIGHT
    targets.event[onset:stop] = 1.0
    if arrival_block >= -1:  # else the record begins inside the event, and this is no onset
        targets.onset[onset : min(n, onset + round(ONSET_S / block_s))] = 1.0
    return True

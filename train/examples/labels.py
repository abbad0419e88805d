"""Targets and weights, block by block: when an event is in progress and when it begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.train.configuration.body_scales import Scales

Float = npt.NDArray[np.float64]

UNSURE_WEIGHT = 0.2  # between a catalogued arrival and the visible onset


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


def mark(
    targets: Targets, excess: Float, arrival_block: int, block_s: float, scales: Scales, search_before_s: float = 0.0
) -> bool:
    """Mark one event in `targets`, in place; return whether it is visible.

    Parameters
    ----------
    excess : decades of power over the background, shape (n_blocks,).
    arrival_block : block of the arrival (catalogued or exact); may lie before the first block.
    block_s : duration of a block.
    scales : what the body's events are like.
    search_before_s : how far before the arrival the visible onset may lie.

    An event that never rises above the background, or that has no visible onset near its arrival, weighs nothing for
    as long as it might have lasted: nobody can say what the right answer is there.
    """
    n = len(excess)
    first = max(0, arrival_block - round(search_before_s / block_s))
    stop = min(n, max(arrival_block, 0) + round(scales.max_event_s / block_s))
    if stop <= first:
        return False
    rise, trend = smooth(excess, 3), smooth(excess, 15)
    search_stop = min(stop, max(arrival_block, 0) + round(scales.search_s / block_s) + 1)
    risen, lasting = rise[first:search_stop] >= scales.visible_decades, trend[first:search_stop] >= scales.faded_decades
    visible = np.flatnonzero(risen & lasting)
    if len(visible) == 0:
        targets.weight[first:stop] = 0.0
        return False
    onset = first + int(visible[0])
    stop = _fading(rise[:stop] >= scales.visible_decades, trend[:stop] >= scales.faded_decades, onset, scales, block_s)
    targets.weight[max(0, min(arrival_block, onset)) : onset] = UNSURE_WEIGHT
    targets.event[onset:stop] = 1.0
    if arrival_block >= -1:  # else the record begins inside the event, and this is no onset
        targets.onset[onset : min(n, onset + round(scales.onset_s / block_s))] = 1.0
    return True


def loudest_bands(excess: npt.NDArray[np.floating[Any]], n_best: int) -> Float:
    """Return the mean over the loudest run of `n_best` neighbouring bands, block by block.

    Parameters
    ----------
    excess : decades above the background, shape (n_blocks, n_bands); with all bands asked for it is their plain mean.

    A quake of one octave would drown in the mean over all bands. Bands are smoothed before they are compared, for the
    loudest of several noisy values is loud even where there is nothing.
    """
    n_bands = excess.shape[1]
    if n_best >= n_bands:
        return np.asarray(np.mean(excess, axis=1), np.float64)
    calm = np.stack([smooth(band, 3) for band in excess.T])
    runs = [calm[i : i + n_best].mean(axis=0) for i in range(n_bands - n_best + 1)]
    return np.asarray(np.max(runs, axis=0), np.float64)


def _fading(
    visible: npt.NDArray[np.bool_], lasting: npt.NDArray[np.bool_], onset: int, scales: Scales, block_s: float
) -> int:
    """Return the block in which an event has faded and stays faded for `rejoin_s`."""
    faded = onset
    while True:
        gone = np.flatnonzero(~lasting[faded:])
        if len(gone) == 0:
            return len(lasting)
        faded += int(gone[0])
        again = np.flatnonzero((visible & lasting)[faded : faded + round(scales.rejoin_s / block_s)])
        if len(again) == 0:
            return faded
        faded += int(again[0])

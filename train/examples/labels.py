"""Targets and weights of each block: whether an event is in progress, and whether it has just begun."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.train.configuration.body_scales import Scales

Float = npt.NDArray[np.float64]

UNCERTAIN_WEIGHT = 0.2  # of blocks between a catalogued arrival and the visible onset


@dataclass(frozen=True)
class Targets:
    """The targets of a sequence and their weights.

    Attributes
    ----------
    onset, event : float32, shape (n_blocks,), 0 or 1.
    weight : float32, shape (n_blocks,), 0 where the right answer is unknown.
    """

    onset: npt.NDArray[np.float32]
    event: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]

    @classmethod
    def quiet(cls, n_blocks: int) -> Targets:
        """Return targets without any event."""
        return cls(np.zeros(n_blocks, np.float32), np.zeros(n_blocks, np.float32), np.ones(n_blocks, np.float32))


def smooth(values: Float, n_blocks: int) -> Float:
    """Return the centred running mean over `n_blocks` (odd), over fewer values near both ends."""
    kernel = np.ones(n_blocks)
    total = np.convolve(values, kernel, "same")
    return np.asarray(total / np.convolve(np.ones_like(values), kernel, "same"), np.float64)


def mark_event(
    targets: Targets,
    excess: Float,
    arrival_block: int,
    block_s: float,
    scales: Scales,
    search_before_s: float = 0.0,
    search_after_s: float = 0.0,
    *,
    onset_known: bool = True,
) -> bool:
    """Mark one event in `targets`, in place; return whether it is visible.

    An event is invisible if it never rises above the background or has no visible onset near its arrival. Its weight is
    then 0 for the longest time that it may have lasted, because the right answer is unknown.

    Parameters
    ----------
    excess : decades of power over the background, shape (n_blocks,).
    arrival_block : block of the arrival (catalogued or exact); may lie before the first block.
    search_before_s : the visible onset may precede the arrival by this much.
    onset_known : False: the event may have begun before the first block. What it looks like there would teach that
        records begin with an onset, so nothing is learned until its onset would be over.
    search_after_s : the visible onset may follow the arrival by this much, and by `scales.search_s` in any case.
    """
    n = len(excess)
    first = max(0, arrival_block - round(search_before_s / block_s))
    stop = min(n, arrival_block + round(scales.max_event_s / block_s))
    if stop <= first:
        return False
    rise, trend = smooth(excess, 3), smooth(excess, 15)
    search_s = max(scales.search_s, search_after_s)
    search_stop = min(stop, max(arrival_block, 0) + round(search_s / block_s) + 1)
    risen, lasting = rise[first:search_stop] >= scales.visible_decades, trend[first:search_stop] >= scales.faded_decades
    visible = np.flatnonzero(risen & lasting)
    if len(visible) == 0:
        targets.weight[first:stop] = 0.0
        return False
    onset = first + int(visible[0])
    stop = _fading(rise[:stop] >= scales.visible_decades, trend[:stop] >= scales.faded_decades, onset, scales, block_s)
    targets.weight[max(0, min(arrival_block, onset)) : onset] = UNCERTAIN_WEIGHT
    targets.event[onset:stop] = 1.0
    onset_stop = min(n, onset + round(scales.onset_s / block_s))
    if not onset_known:
        targets.weight[:onset_stop] = 0.0
    elif arrival_block >= -1:  # otherwise the record begins inside the event, and its first block is no onset
        targets.onset[onset:onset_stop] = 1.0
    return True


def doubt(targets: Targets, excess: Float, scales: Scales) -> None:
    """Give no weight to blocks that are visibly louder than the background and in no event, in place.

    They may be events without a label. excess : as for `mark_event`.
    """
    loud = (smooth(excess, 3) >= scales.visible_decades) | (smooth(excess, 15) >= scales.faded_decades)
    targets.weight[loud & (targets.event == 0)] = 0.0


def loudest_bands(excess: npt.NDArray[np.floating[Any]], n_best: int) -> Float:
    """Return, for each block, the mean over the loudest run of `n_best` neighbouring bands.

    The mean over all bands would hide a quake of one octave. Bands are smoothed before they are compared, because the
    largest of several noisy values is large even in quiet time. If `n_best` is the number of bands, the result is the
    plain mean.

    Parameters
    ----------
    excess : decades above the background, shape (n_blocks, n_bands).
    """
    n_bands = excess.shape[1]
    if n_best >= n_bands:
        return np.asarray(np.mean(excess, axis=1), np.float64)
    smoothed = np.stack([smooth(band, 3) for band in excess.T])
    runs = [smoothed[i : i + n_best].mean(axis=0) for i in range(n_bands - n_best + 1)]
    return np.asarray(np.max(runs, axis=0), np.float64)


def _fading(
    visible: npt.NDArray[np.bool_], lasting: npt.NDArray[np.bool_], onset: int, scales: Scales, block_s: float
) -> int:
    """Return the first block after which an event has faded and does not return within `rejoin_s`."""
    faded = onset
    while True:
        quiet = np.flatnonzero(~lasting[faded:])
        if len(quiet) == 0:
            return len(lasting)
        faded += int(quiet[0])
        again = np.flatnonzero((visible & lasting)[faded : faded + round(scales.rejoin_s / block_s)])
        if len(again) == 0:
            return faded
        faded += int(again[0])

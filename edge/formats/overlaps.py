"""Traces of one channel that overlap in time: the samples that both have, and whether they are equal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.edge.formats.waveforms import NS_PER_S, Trace


def common_samples(trace: Trace, other: Trace) -> tuple[slice, slice] | None:
    """Return which samples of two traces are at the same times, within half a sample; None where there are none."""
    offset = round((other.start_ns - trace.start_ns) * trace.sampling_rate_hz / NS_PER_S)
    first, stop = max(0, offset), min(len(trace.samples), offset + len(other.samples))
    if first >= stop or abs(other.sampling_rate_hz / trace.sampling_rate_hz - 1.0) * (stop - first) > 0.5:
        return None
    return slice(first, stop), slice(first - offset, stop - offset)


def are_equal(samples: npt.NDArray[Any], others: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which samples are equal; all NaN are."""
    equal: npt.NDArray[np.bool_] = (samples == others) | ((samples != samples) & (others != others))
    return equal


def n_differing(trace: Trace, earlier: Iterable[Trace]) -> int:
    """Return how many samples of a trace differ from those at the same times in earlier traces, the first of these.

    earlier : of the same channel, in the order in which they were read.
    """
    is_known = np.zeros(len(trace.samples), np.bool_)
    differs = np.zeros(len(trace.samples), np.bool_)
    for other in earlier:
        common = common_samples(trace, other)
        if common is not None:
            mine, theirs = common
            differs[mine] |= ~is_known[mine] & ~are_equal(trace.samples[mine], other.samples[theirs])
            is_known[mine] = True
    return int(np.count_nonzero(differs))

"""Traces of one channel that overlap in time: the samples that both have, and whether they are equal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns

_SAME_TIME = 0.45  # of a sampling interval: clocks jitter, and traces are joined where they fit within half of one


def common_samples(trace: Trace, other: Trace) -> tuple[slice, slice] | None:
    """Return which samples of two traces are at the same times; None where there are none, or the times are between."""
    exact = (other.start_ns - trace.start_ns) * trace.sampling_rate_hz / NS_PER_S
    offset = round(exact)
    first, stop = max(0, offset), min(len(trace.samples), offset + len(other.samples))
    if first >= stop or abs(exact - offset) > _SAME_TIME:
        return None
    if abs(other.sampling_rate_hz / trace.sampling_rate_hz - 1.0) * (stop - first) > _SAME_TIME:
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


def new_parts(trace: Trace, others: Iterable[Trace]) -> list[Trace]:
    """Return the parts of a trace that no other trace of its channel has.

    A trace has samples where all that are common with the other are equal; single values may be equal by chance.
    """
    stored = np.zeros(len(trace.samples), np.bool_)
    for other in others:
        common = common_samples(trace, other)
        if common is not None and are_equal(trace.samples[common[0]], other.samples[common[1]]).all():
            stored[common[0]] = True
    if not stored.any():
        return [trace]
    edges = np.flatnonzero(np.diff(np.concatenate([[True], stored, [True]])))
    return [_part(trace, int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _part(trace: Trace, first: int, stop: int) -> Trace:
    start_ns = trace.start_ns + duration_ns(first, trace.sampling_rate_hz)
    return replace(trace, start_ns=start_ns, samples=trace.samples[first:stop])

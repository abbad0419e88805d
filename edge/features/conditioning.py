"""Conditioning of one channel: gaps interpolated or cut, spikes removed, the sampling rate reduced.

Everything works on contiguous runs and keeps a tail of samples between calls, so any block size gives the same bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.checkpoint import State
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.manifest.tables import FrontEndConfig

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]
Int = npt.NDArray[np.int64]

_LARGEST = 1e100  # no ground motion in any unit; the power of larger values would overflow
# Samples despiked at a time. Larger temporary arrays leave the processor's cache, and glibc returns the memory of each
# to the system, whose page faults then take as much time as the filter.
_BLOCK_SAMPLES = 2048
# Scales a median absolute deviation to the standard deviation of a normal distribution: 1 / norm.ppf(3/4).
MAD_TO_STANDARD_DEVIATION = 1.4826


@dataclass(frozen=True)
class ContiguousRun:
    """Samples of one channel at consecutive grid positions.

    Attributes
    ----------
    first : grid position of the first sample.
    values : shape (n_samples,), missing samples interpolated.
    valid : shape (n_samples,), False where a sample was interpolated.
    fresh : True where the run does not continue the one before: every filter starts anew.
    """

    first: int
    values: Float
    valid: Bool
    fresh: bool


def join_runs(runs: Iterable[ContiguousRun]) -> list[ContiguousRun]:
    """Return runs with each joined to the fresh one that it continues."""
    groups: list[list[ContiguousRun]] = []
    for run in runs:
        if run.fresh or not groups:
            groups.append([])
        groups[-1].append(run)
    return [
        ContiguousRun(g[0].first, np.concatenate([r.values for r in g]), np.concatenate([r.valid for r in g]), True)
        for g in groups
    ]


@dataclass
class GapCounts:
    """Counts of the gaps and unusable samples of a channel."""

    bridged_samples: int = 0
    bridged_gaps: int = 0
    restarts: int = 0
    fill_samples: int = 0
    not_finite_samples: int = 0
    overlap_samples: int = 0


class GapBridge:
    """The gap rule: turns samples at grid positions into contiguous runs.

    A sample is missing when its position is skipped, when it is not finite (or absurdly large), or, in integer
    records, when it is one of `fill_values` and lies at least `fill_min_jump` counts from the last true sample (so that
    a record whose mean is near zero does not lose its zeros). A gap of at most `max_bridge_samples` is interpolated
    linearly once the next sample is known; a longer one begins a fresh run. Positions that have passed are dropped as
    overlap.
    """

    def __init__(self, max_bridge_samples: int, fill_values: tuple[int, ...], fill_min_jump: int) -> None:
        self._max_bridge = max_bridge_samples
        self._fill_values = fill_values
        self._fill_min_jump = fill_min_jump
        self._last: tuple[int, float] | None = None  # position and value of the last true sample
        self._last_certain: float | None = None  # value of the last sample that is no fill value
        self.counts = GapCounts()

    def state(self) -> State:
        last = None if self._last is None else list(self._last)
        return {"last": last, "last_certain": self._last_certain, "counts": dict(vars(self.counts))}

    def restore(self, state: State) -> None:
        self._last = None if state["last"] is None else (state["last"][0], state["last"][1])
        self._last_certain = state["last_certain"]
        self.counts = GapCounts(**state["counts"])

    @property
    def last_position(self) -> int | None:
        """Grid position of the last true sample, None before the first."""
        return None if self._last is None else self._last[0]

    def push(self, *parts: tuple[int, npt.NDArray[Any]]) -> list[ContiguousRun]:
        """Take parts (grid position of the first sample, samples) in order; return the runs that are certain now.

        The parts are of one dtype and do not overlap; many at once cost little more than one.
        """
        samples = parts[0][1] if len(parts) == 1 else np.concatenate([part for _, part in parts])
        positions = np.concatenate([np.arange(first, first + len(part), dtype=np.int64) for first, part in parts])
        usable = self._usable(samples)
        positions, values = positions[usable], samples[usable].astype(np.float64)
        if self._last is not None:
            new = positions > self._last[0]
            self.counts.overlap_samples += int(len(new) - new.sum())
            positions, values = positions[new], values[new]
        if len(positions) == 0:
            return []
        carried = self._last is not None
        if self._last is not None:
            positions = np.concatenate([np.array([self._last[0]], np.int64), positions])
            values = np.concatenate([np.array([self._last[1]], np.float64), values])
        self._last = (int(positions[-1]), float(values[-1]))
        return self._split(positions, values, carried)

    def _split(self, positions: Int, values: Float, carried: bool) -> list[ContiguousRun]:
        """Cut at gaps too long to interpolate; `carried`: the first sample is the last one of the run before."""
        cuts = np.flatnonzero(np.diff(positions) > self._max_bridge + 1) + 1
        runs = []
        for i, (p, v) in enumerate(zip(np.split(positions, cuts), np.split(values, cuts), strict=True)):
            continues = carried and i == 0
            skip = 1 if continues else 0  # the carried sample has been returned before
            self.counts.restarts += 0 if continues or (i == 0 and not carried) else 1
            if len(p) > skip:
                runs.append(self._fill(p, v, skip, fresh=not continues))
        return runs

    def _fill(self, positions: Int, values: Float, skip: int, fresh: bool) -> ContiguousRun:
        first, n_grid = int(positions[0]), int(positions[-1] - positions[0]) + 1
        if n_grid == len(positions):
            return ContiguousRun(first + skip, values[skip:], np.ones(n_grid - skip, np.bool_), fresh)
        offsets = positions - first
        valid = np.zeros(n_grid, np.bool_)
        valid[offsets] = True
        self.counts.bridged_samples += n_grid - len(positions)
        self.counts.bridged_gaps += int(np.sum(np.diff(positions) > 1))
        bridged = np.interp(np.arange(n_grid, dtype=np.float64), offsets.astype(np.float64), values)
        bridged[offsets] = values  # exact, whatever the interpolation rounds
        return ContiguousRun(first + skip, bridged[skip:], valid[skip:], fresh)

    def _usable(self, samples: npt.NDArray[Any]) -> Bool:
        if samples.dtype.kind == "f":
            finite = np.abs(samples.astype(np.float64)) < _LARGEST  # False for NaN and infinity
            self.counts.not_finite_samples += int(len(finite) - finite.sum())
            return np.asarray(finite, np.bool_)
        candidate = np.zeros(len(samples), np.bool_)
        for value in self._fill_values:
            candidate |= samples == value
        usable = ~candidate
        if candidate.any():
            usable |= ~self._far_from_last_true(samples, candidate)
            self.counts.fill_samples += int(len(usable) - usable.sum())
        true = np.flatnonzero(~candidate)
        if len(true):
            self._last_certain = float(samples[true[-1]])
        return usable

    def _far_from_last_true(self, samples: npt.NDArray[Any], candidate: Bool) -> Bool:
        """Return whether each sample lies `fill_min_jump` or more from the last one that is no candidate."""
        last_true = np.maximum.accumulate(np.where(candidate, -1, np.arange(len(samples))))
        before = samples[np.maximum(last_true, 0)].astype(np.float64)
        carried = np.inf if self._last_certain is None else self._last_certain
        before = np.where(last_true >= 0, before, carried)
        return np.asarray(np.abs(samples - before) >= self._fill_min_jump, np.bool_)


def gap_bridge(config: FrontEndConfig, sampling_rate_hz: float) -> GapBridge:
    """Return the gap rule of a front end for a channel."""
    return GapBridge(round(config.bridge_s * sampling_rate_hz), config.fill_values, config.fill_min_jump)


def bridged_runs(
    config: FrontEndConfig, traces: Iterable[Trace], t0_ns: int, sampling_rate_hz: float
) -> Iterator[ContiguousRun]:
    """Yield the runs of one channel's traces by a front end's gap rule, on the grid that starts at `t0_ns`."""
    bridge = gap_bridge(config, sampling_rate_hz)
    for trace in traces:
        yield from bridge.push((round((trace.start_ns - t0_ns) / NS_PER_S * sampling_rate_hz), trace.samples))


class TailedFilter:
    """Base of streaming filters: keeps the last samples of a run and puts them in front of the next run."""

    def __init__(self) -> None:
        self._tail: ContiguousRun | None = None

    def _join(self, run: ContiguousRun) -> ContiguousRun:
        """Return the run with the kept tail in front, or the run alone when it is fresh."""
        tail = self._tail
        if run.fresh or tail is None:
            return run
        values, valid = np.concatenate([tail.values, run.values]), np.concatenate([tail.valid, run.valid])
        return ContiguousRun(tail.first, values, valid, tail.fresh)

    def _keep(self, joined: ContiguousRun, n_used: int, fresh: bool) -> None:
        """Keep what lies after the first `n_used` samples; `fresh` while nothing has been returned yet."""
        # Copies: a view would keep the whole block alive.
        values, valid = joined.values[n_used:].copy(), joined.valid[n_used:].copy()
        self._tail = ContiguousRun(joined.first + n_used, values, valid, fresh)

    def state(self) -> State:
        return {"tail": None if self._tail is None else dict(vars(self._tail))}

    def restore(self, state: State) -> None:
        self._tail = None if state["tail"] is None else ContiguousRun(**state["tail"])


def _median_of_five(a: Float, b: Float, c: Float, d: Float, e: Float) -> Float:
    """Return the element-wise median of five arrays, by comparisons alone: exact, and cheap on a small processor."""
    low = np.maximum(np.minimum(a, b), np.minimum(c, d))
    high = np.minimum(np.maximum(a, b), np.maximum(c, d))
    small, large = np.minimum(low, high), np.maximum(low, high)
    result: Float = np.maximum(small, np.minimum(large, e))
    return result


class Despike(TailedFilter):
    """Five-sample Hampel filter: a sample far from the median of its neighbourhood becomes that median.

    "Far" is more than `threshold` robust standard deviations (1.4826 times the median absolute deviation of the five
    samples). It lags by two samples; the first and the last two samples of a run are not returned.

    References
    ----------
    Hampel, F. R. (1974), The influence curve and its role in robust estimation, JASA 69, 383-393,
    doi:10.1080/01621459.1974.10482962.
    """

    LAG = 2

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self._limit = threshold * MAD_TO_STANDARD_DEVIATION

    def push(self, run: ContiguousRun) -> ContiguousRun | None:
        """Take a run; return the despiked samples that are certain now, or None."""
        joined = self._join(run)
        n_out = len(joined.values) - 2 * self.LAG
        if n_out <= 0:
            self._keep(joined, 0, joined.fresh)
            return None
        self._keep(joined, n_out, False)
        valid = joined.valid[self.LAG : self.LAG + n_out]
        return ContiguousRun(joined.first + self.LAG, self._despiked(joined.values), valid, joined.fresh)

    def _despiked(self, values: Float) -> Float:
        n_out = len(values) - 2 * self.LAG
        out = np.empty(n_out, np.float64)
        for first in range(0, n_out, _BLOCK_SAMPLES):
            n = min(_BLOCK_SAMPLES, n_out - first)
            a, b, c, d, e = (values[first + i : first + i + n] for i in range(5))
            median = _median_of_five(a, b, c, d, e)
            deviation = _median_of_five(*(np.abs(part - median) for part in (a, b, c, d, e)))
            out[first : first + n] = np.where(np.abs(c - median) > self._limit * deviation, median, c)
        return out

"""The gap rule: one channel's traces on an even grid, short tears bridged and flagged, long ones a new stretch.

Streaming filters over stretches of samples: despiking and exact decimation.

Both are finite in memory and keep a tail of samples between calls, so any block size gives the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.checkpoint import State

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]
Int = npt.NDArray[np.int64]

_LARGEST = 1e100  # no ground motion in any unit; the power of larger values would overflow


@dataclass(frozen=True)
class ContiguousRun:
    """Samples at consecutive grid positions.

    Attributes
    ----------
    first : grid position of the first sample.
    values : shape (n_samples,), bridged samples interpolated.
    valid : shape (n_samples,), False where a sample was bridged.
    fresh : True when nothing before it belongs to it: every filter starts anew.
    """

    first: int
    values: Float
    valid: Bool
    fresh: bool


def stretch_state(stretch: ContiguousRun | None) -> State | None:
    """Return a stretch as plain values."""
    return None if stretch is None else dict(vars(stretch))


def stretch_of(state: State | None) -> ContiguousRun | None:
    """Return the stretch that `stretch_state` was given."""
    return None if state is None else ContiguousRun(**state)


@dataclass
class GapCounts:
    """What the gap rule met."""

    bridged_samples: int = 0
    bridged_tears: int = 0
    restarts: int = 0
    fill_samples: int = 0
    not_finite_samples: int = 0
    overlap_samples: int = 0


class GapBridge:
    """Turn samples at grid positions into stretches without holes.

    A sample is missing when its position never comes, when it is not finite (or absurdly large), or, in integer
    records, when it is one of `fill_values` and lies at least `fill_min_jump` counts from the last true sample (so that
    a record whose mean is near zero does not lose its zeros). A hole of at most `max_bridge_samples` is interpolated
    linearly once the next sample is known; a longer one begins a fresh stretch. Positions already seen are dropped as
    overlap.
    """

    def __init__(self, max_bridge_samples: int, fill_values: tuple[int, ...], fill_min_jump: int) -> None:
        self._max_bridge = max_bridge_samples
        self._fill_values = fill_values
        self._fill_min_jump = fill_min_jump
        self._last: tuple[int, float] | None = None  # position and value of the last true sample
        self._beyond_doubt: float | None = None  # the last one that does not look like a fill value
        self.counts = GapCounts()

    def state(self) -> State:
        """Return what `restore` goes on from."""
        last = None if self._last is None else list(self._last)
        return {"last": last, "beyond_doubt": self._beyond_doubt, "counts": dict(vars(self.counts))}

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        self._last = None if state["last"] is None else (state["last"][0], state["last"][1])
        self._beyond_doubt = state["beyond_doubt"]
        self.counts = GapCounts(**state["counts"])

    @property
    def last_position(self) -> int | None:
        """Grid position of the last true sample, None before the first."""
        return None if self._last is None else self._last[0]

    def push(self, first: int, samples: npt.NDArray[Any]) -> list[ContiguousRun]:
        """Take samples whose first lies at grid position `first`; return what can be said now."""
        return self.push_parts([(first, samples)])

    def push_parts(self, parts: Sequence[tuple[int, npt.NDArray[Any]]]) -> list[ContiguousRun]:
        """Take samples of one dtype in parts (first, samples) that do not overlap, in order; many cost little more."""
        samples = parts[0][1] if len(parts) == 1 else np.concatenate([part for _, part in parts])
        usable = self._usable(samples)
        positions = np.concatenate([np.arange(first, first + len(part), dtype=np.int64) for first, part in parts])[
            usable
        ]
        values = samples[usable].astype(np.float64)
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
        """Cut at holes too long to bridge; the first part goes on from the carried sample, if there is one."""
        cuts = np.flatnonzero(np.diff(positions) > self._max_bridge + 1) + 1
        stretches = []
        for i, (p, v) in enumerate(zip(np.split(positions, cuts), np.split(values, cuts), strict=True)):
            goes_on = carried and i == 0
            skip = 1 if goes_on else 0  # the carried sample was given out before
            self.counts.restarts += 0 if goes_on or (i == 0 and not carried) else 1
            if len(p) > skip:
                stretches.append(self._fill(p, v, skip, fresh=not goes_on))
        return stretches

    def _fill(self, positions: Int, values: Float, skip: int, fresh: bool) -> ContiguousRun:
        first, n_grid = int(positions[0]), int(positions[-1] - positions[0]) + 1
        if n_grid == len(positions):
            return ContiguousRun(first + skip, values[skip:], np.ones(n_grid - skip, np.bool_), fresh)
        offsets = positions - first
        valid = np.zeros(n_grid, np.bool_)
        valid[offsets] = True
        self.counts.bridged_samples += n_grid - len(positions)
        self.counts.bridged_tears += int(np.sum(np.diff(positions) > 1))
        bridged = np.interp(np.arange(n_grid, dtype=np.float64), offsets.astype(np.float64), values)
        bridged[offsets] = values  # exactly, whatever the interpolation rounds
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
            self._beyond_doubt = float(samples[true[-1]])
        return usable

    def _far_from_last_true(self, samples: npt.NDArray[Any], candidate: Bool) -> Bool:
        """Whether each sample lies fill_min_jump or more from the last one that is no candidate."""
        last_true = np.maximum.accumulate(np.where(candidate, -1, np.arange(len(samples))))
        before = samples[np.maximum(last_true, 0)].astype(np.float64)
        carried = np.inf if self._beyond_doubt is None else self._beyond_doubt
        before = np.where(last_true >= 0, before, carried)
        return np.asarray(np.abs(samples - before) >= self._fill_min_jump, np.bool_)


# Scales a median absolute deviation to the standard deviation of a normal distribution: 1 / norm.ppf(3/4).
MAD_TO_STANDARD_DEVIATION = 1.4826


class _Tail:
    """The last samples of a stretch, put in front of what comes next."""

    def __init__(self) -> None:
        self._kept: ContiguousRun | None = None

    def join(self, stretch: ContiguousRun) -> ContiguousRun:
        """Return the stretch with the kept tail in front, or the stretch alone when it is fresh."""
        kept = self._kept
        if stretch.fresh or kept is None:
            return stretch
        values = np.concatenate([kept.values, stretch.values])
        return ContiguousRun(kept.first, values, np.concatenate([kept.valid, stretch.valid]), kept.fresh)

    def keep(self, joined: ContiguousRun, n_used: int, fresh: bool) -> None:
        """Keep what lies after the first `n_used` samples; `fresh` while nothing was given out yet."""
        # Copies: a view would keep the whole block alive.
        values, valid = joined.values[n_used:].copy(), joined.valid[n_used:].copy()
        self._kept = ContiguousRun(joined.first + n_used, values, valid, fresh)

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

    def push(self, stretch: ContiguousRun) -> ContiguousRun | None:
        """Take a stretch, return the despiked samples that are certain now, or None."""
        joined = self._tail.join(stretch)
        n_given = len(joined.values) - 2 * self.LAG
        if n_given <= 0:
            self._tail.keep(joined, 0, joined.fresh)
            return None
        self._tail.keep(joined, n_given, False)
        valid = joined.valid[self.LAG : self.LAG + n_given]
        return ContiguousRun(joined.first + self.LAG, self._despiked(joined.values), valid, joined.fresh)

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

    def push(self, stretch: ContiguousRun) -> ContiguousRun | None:
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
        return ContiguousRun(first, filtered, valid, joined.fresh)

"""Samples of one channel onto the model's grid of samples, whatever their sampling rate and however their clock drifts.

On the grid nothing changes; at an integer multiple of its rate the manifest's decimator acts. Anywhere else samples are
interpolated by a low-pass filter whose taps are polynomials of the fraction of a sample at which an output lies (the
structure of Farrow). It is within 1e-4 of the ideal up to 0.7 of the model's Nyquist frequency, and what would fold
into that band from above is suppressed as much.

References
----------
Farrow, C. W. (1988), A continuously variable digital delay element, Proc. IEEE ISCAS, 2641-2645,
doi:10.1109/ISCAS.1988.15483.
Kaiser, J. F. (1974), Nonrecursive digital filter design using the I0-sinh window function, Proc. IEEE ISCAS, 20-23.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.constants import constant
from edgequake.edge.features.channel_clock import ChannelClock, TimeMap, forget_maps_before
from edgequake.edge.features.conditioning import ContiguousRun, Despike, GapBridge, TailedFilter, gap_bridge
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns
from edgequake.edge.manifest.tables import FrontEndConfig, decimation_factor, require_rate

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]
Int = npt.NDArray[np.int64]

_N_POWERS = 7  # coefficients of a tap's polynomial
_UNITY = 1.03  # up to this ratio of rates nothing above the model's Nyquist frequency need be suppressed
_UNITY_HALF, _UNITY_BETA = 10, 9.0  # samples on either side, and the shape of Kaiser's window
_CUTOFF = 0.85  # -6 dB, in Nyquist frequencies of the model: beyond that ratio
_HALF_PER_RATIO, _BETA = 18.0, 8.5
_LARGEST_DENOMINATOR = 128  # of a ratio of rates whose fractions of a sample recur
_BLOCK_OUTPUTS = 32  # that are computed together where they recur
_BLOCK_VALUES = 1 << 15  # of windows at a time: a BLAS does not spread products so small over threads
_SPARE = 1.02  # a clock may turn out to be faster than the header says, and then the filter is longer


@dataclass(frozen=True)
class Kernel:
    """Interpolating taps; tap i of an output acts on sample ``floor(position) + 1 - half + i``."""

    half: int  # samples on either side of the output
    powers: Float  # (_N_POWERS, 2 * half): polynomials of the output's fraction, -1/2 to 1/2, the constant first

    def taps(self, fraction: float) -> Float:
        """Return the taps, shape (2 * half,), of outputs at a fraction."""
        return np.asarray(fraction ** np.arange(_N_POWERS) @ self.powers, np.float64)


@lru_cache(maxsize=16)
def interpolation_kernel(ratio: float) -> Kernel:
    """Return the filter for `ratio` input samples per output sample."""
    is_near = ratio <= _UNITY
    half = _half(ratio)
    cutoff, beta = (1.0, _UNITY_BETA) if is_near else (_CUTOFF / ratio, _BETA)
    # Polynomials through Chebyshev's nodes, which is close to the best for all fractions.
    fraction = np.cos((2.0 * np.arange(_N_POWERS) + 1.0) * np.pi / (2.0 * _N_POWERS)) / 2.0
    at = fraction[:, np.newaxis] + half - 0.5 - np.arange(2 * half)
    taps = np.sinc(cutoff * at) * np.i0(beta * np.sqrt(np.maximum(0.0, 1.0 - (at / half) ** 2)))
    taps /= taps.sum(axis=1, keepdims=True)  # a constant stays as it is
    return Kernel(half, constant(np.linalg.solve(np.vander(fraction, _N_POWERS, increasing=True), taps)))


def forget_kernels() -> None:
    """Compute the filters anew when they are next needed: those in memory are damaged."""
    interpolation_kernel.cache_clear()


class _Interpolator:
    """The outputs that follow from one map."""

    def __init__(self, time_map: TimeMap, model_rate_hz: float, origin_ns: int) -> None:
        self._anchor, self._ratio = time_map.anchor, time_map.rate_hz / model_rate_hz
        self._anchor_output = (time_map.anchor_ns - origin_ns) * model_rate_hz / NS_PER_S
        self._kernel = interpolation_kernel(self._ratio)
        self._recurring = _recurring(self._ratio)
        self._block: tuple[int, int, int, Float] | None = None
        self.reach = _half(self._ratio * _SPARE) + 2  # samples before an output that may be needed

    def output_at(self, position: float) -> int:
        """Return the first output at or after a position."""
        return math.ceil(self._anchor_output + (position - self._anchor) / self._ratio)

    def position_of(self, output: int) -> int:
        """Return the last position at or before an output."""
        return math.floor(self._anchor + (output - self._anchor_output) * self._ratio)

    def certain(self, first: int, stop: int) -> tuple[int, int]:
        """Return the outputs [low, high) for which samples at positions [first, stop) suffice."""
        half = self._kernel.half
        low, high = self.output_at(first + half - 1), self.output_at(stop - half)
        while self.position_of(low) - half + 1 < first:
            low += 1
        while self.position_of(high - 1) + half >= stop:
            high -= 1
        return low, high

    def outputs(self, run: ContiguousRun, low: int, high: int) -> tuple[Float, Bool]:
        """Return the values of outputs [low, high), and whether the sample nearest to each is valid."""
        at = self._anchor + (np.arange(low, high) - self._anchor_output) * self._ratio
        whole = np.floor(at).astype(np.int64)
        if run.valid.all():
            valid = np.ones(high - low, np.bool_)
        else:
            valid = run.valid[np.clip(np.rint(at).astype(np.int64) - run.first, 0, len(run.valid) - 1)]
        n_before = run.first - (int(whole[0]) - self._kernel.half + 1)
        values, first = run.values, run.first
        if n_before > 0:  # a map that begins with the run
            values, first = np.concatenate([np.full(n_before, values[0]), values]), first - n_before
        if self._recurring is not None:
            return self._by_blocks(values, first, low, high), valid
        return self._by_polynomials(values, first, whole, at - whole - 0.5), valid

    def _by_polynomials(self, values: Float, first: int, whole: Int, fraction: Float) -> Float:
        n_taps, powers = 2 * self._kernel.half, self._kernel.powers
        start = whole - (self._kernel.half - 1) - first
        out = np.empty(len(whole), np.float64)
        n = max(1, _BLOCK_VALUES // n_taps)
        for i in range(0, len(whole), n):
            part = start[i : i + n]
            begin, n_windows = int(part[0]), int(part[-1] - part[0]) + 1
            if self._ratio <= _UNITY:  # nearly every window is needed
                terms = powers @ np.ascontiguousarray(_windows(values[begin:], n_windows, n_taps).T)
                if n_windows != len(part):  # one is skipped here and there, or used twice
                    terms = terms.take(part - begin, axis=1)
            else:
                terms = powers @ _windows(values[begin:], n_windows, n_taps)[part - begin].T
            out[i : i + n] = _polynomial(terms, fraction[i : i + n])
        return out

    def _by_blocks(self, values: Float, first: int, low: int, high: int) -> Float:
        """Compute blocks of outputs, with the same taps in every block."""
        n_outputs, n_samples, start, taps = self._block or self._make_block()
        block, stop_block = low // n_outputs, -(-high // n_outputs)
        from_sample = start + block * n_samples
        to_sample = start + (stop_block - 1) * n_samples + len(taps)
        inside = values[max(from_sample - first, 0) : max(to_sample - first, 0)]
        padded = np.zeros(to_sample - from_sample, np.float64)  # what is missing belongs to outputs not asked for
        offset = max(first - from_sample, 0)
        padded[offset : offset + len(inside)] = inside
        frames = _windows(padded, len(padded) - len(taps) + 1, len(taps))[::n_samples]
        outputs = (np.ascontiguousarray(frames) @ taps).ravel()
        return outputs[low - block * n_outputs : high - block * n_outputs]

    def _make_block(self) -> tuple[int, int, int, Float]:
        """Return outputs and samples per block, the first sample of block 0, and taps (samples of a block, outputs)."""
        assert self._recurring is not None
        numerator, denominator = self._recurring
        n_times = -(-_BLOCK_OUTPUTS // denominator)
        n_outputs, n_samples = n_times * denominator, n_times * numerator
        at = self._anchor - self._anchor_output * self._ratio
        start = math.floor(at) - (self._kernel.half - 1)
        from_start = at - math.floor(at) + np.arange(n_outputs) * (numerator / denominator)
        n_window = math.floor(from_start[-1]) + 2 * self._kernel.half
        taps = np.zeros((n_window, n_outputs), np.float64)
        for i, position in enumerate(from_start):
            whole = math.floor(position)
            taps[whole : whole + 2 * self._kernel.half, i] = self._kernel.taps(position - whole - 0.5)
        self._block = (n_outputs, n_samples, start, constant(taps))
        return self._block


class _OnGrid:
    """The outputs of a map on the grid: the samples themselves, or those of the decimator."""

    def __init__(self, factor: int, taps: tuple[float, ...] | None, offset: int = 0) -> None:
        """`offset`: position of output 0."""
        self._factor, self._offset = factor, offset
        self._taps = None if taps is None else constant(np.asarray(taps, np.float64))
        self._half = 0 if taps is None else len(taps) // 2
        self.reach = max(self._half, _half(factor * _SPARE) + 2)

    def output_at(self, position: float) -> int:
        return math.ceil((position - self._offset) / self._factor)

    def position_of(self, output: int) -> int:
        return output * self._factor + self._offset

    def certain(self, first: int, stop: int) -> tuple[int, int]:
        first, stop = first - self._offset, stop - self._offset
        return -(-(first + self._half) // self._factor), (stop - 1 - self._half) // self._factor + 1

    def outputs(self, run: ContiguousRun, low: int, high: int) -> tuple[Float, Bool]:
        factor, half = self._factor, self._half
        start, last = self.position_of(low) - run.first, self.position_of(high - 1) - run.first
        valid = run.valid[start : last + 1 : factor]
        if self._taps is None:
            return run.values[start : last + 1], valid
        return np.convolve(run.values[start - half : last + half + 1], self._taps, "valid")[::factor], valid


class _ToGrid(TailedFilter):
    """Takes contiguous runs at the positions of a channel's clock; returns them on a grid.

    Output k is the value at the time ``origin + k / rate_hz`` by the map in force at its position; it is returned once
    the samples on both sides of it are there. It does not depend on how the samples are cut.
    """

    def __init__(self, maps: list[TimeMap], on_grid: _OnGrid | None, rate_hz: float, origin_ns: int) -> None:
        """Use up `maps`; `on_grid` serves those that need no interpolation, None: all are interpolated."""
        super().__init__()
        self._maps, self._on_grid = maps, on_grid
        self._rate_hz, self._origin_ns = rate_hz, origin_ns
        self._interpolator: tuple[TimeMap, _Interpolator] | None = None  # of the map in force
        self._next: int | None = None  # output after the last one returned; None at the beginning of a run

    def push(self, run: ContiguousRun) -> ContiguousRun | None:
        """Take a run; return the outputs that are certain now, or None."""
        if run.fresh:
            self._next = None
            forget_maps_before(self._maps, run.first)
        joined = self._join(run)
        parts = list(self._parts(joined))
        n_used = 0
        if self._next is not None:
            chosen = self._in_force()
            n_used = chosen.position_of(self._next) - chosen.reach - joined.first
        self._keep(joined, min(max(n_used, 0), len(joined.values)), joined.fresh and not parts)
        if not parts:
            return None
        values, valid = zip(*(outputs for _, outputs in parts), strict=True)
        if len(parts) == 1:
            return ContiguousRun(parts[0][0], values[0], valid[0], joined.fresh)
        return ContiguousRun(parts[0][0], np.concatenate(values), np.concatenate(valid), joined.fresh)

    def state(self) -> State:
        return {**super().state(), "next": self._next}

    def restore(self, state: State) -> None:
        super().restore(state)
        self._next = state["next"]

    def _parts(self, run: ContiguousRun) -> Iterator[tuple[int, tuple[Float, Bool]]]:
        """Yield the outputs that are certain, map by map: the number of the first, values and validity."""
        stop = run.first + len(run.values)
        while True:
            chosen, maps = self._in_force(), self._maps
            low, high = chosen.certain(run.first, stop)
            low = low if self._next is None else self._next
            end = chosen.output_at(maps[1].first) if len(maps) > 1 else None
            high = high if end is None else min(high, end)
            if high > low:
                yield low, chosen.outputs(run, low, high)
                low = self._next = high
            if end is None or low < end:
                return
            maps.pop(0)

    def _in_force(self) -> _OnGrid | _Interpolator:
        time_map = self._maps[0]
        if time_map.on_grid and self._on_grid is not None:
            return self._on_grid
        if self._interpolator is None or self._interpolator[0] is not time_map:
            self._interpolator = (time_map, _Interpolator(time_map, self._rate_hz, self._origin_ns))
        return self._interpolator[1]


class ToModelGrid(_ToGrid):
    """Takes contiguous runs at the positions of a channel's clock, which it makes; returns them on the model's grid."""

    def __init__(
        self, config: FrontEndConfig, model_rate_hz: float, sampling_rate_hz: float, origin_ns: int, start_ns: int
    ) -> None:
        """Begin a channel at `start_ns`; the model's grid begins at `origin_ns`.

        Raises
        ------
        DataError
            The model does not take the sampling rate.
        """
        require_rate(config, model_rate_hz, sampling_rate_hz)
        factor = decimation_factor(config, model_rate_hz, sampling_rate_hz)
        if factor is None:
            self.clock = ChannelClock(sampling_rate_hz, start_ns, on_grid=False)
        else:
            self.clock = ChannelClock(factor * model_rate_hz, origin_ns, on_grid=True)
        factor = factor or 1
        on_grid = _OnGrid(factor, config.decimators.get(str(factor)))
        super().__init__(self.clock.maps, on_grid, model_rate_hz, origin_ns)

    def state(self) -> State:
        return {**super().state(), "clock": self.clock.state()}

    def restore(self, state: State) -> None:
        super().restore(state)
        self.clock.restore(state["clock"])


class ToFasterGrid(_ToGrid):
    """Takes the same runs as a channel's `ToModelGrid`; returns them on a second grid, of another rate and origin."""

    def __init__(self, clock: ChannelClock, rate_hz: float, origin_ns: int, offset: int) -> None:
        """The second grid begins `offset` samples of its own after `origin_ns`, where the model's begins."""
        maps = clock.copy_of_maps()
        # What the clock has on the model's grid is on this one too, if it is the faster by as much.
        on_grid = _OnGrid(1, None, offset) if abs(maps[0].rate_hz / rate_hz - 1.0) < 1e-9 else None
        super().__init__(maps, on_grid, rate_hz, origin_ns + duration_ns(offset, rate_hz))


def on_model_grid(
    config: FrontEndConfig, model_rate_hz: float, traces: Iterable[Trace], origin_ns: int, despiked: bool = False
) -> Iterator[ContiguousRun]:
    """Yield the runs of one channel's traces by a front end's gap rule, on the model's grid that begins at `origin_ns`.

    despiked : by the front end's spike filter too.

    Raises
    ------
    DataError
        The model does not take the sampling rate.
    """
    bridge: GapBridge | None = None
    for trace in traces:
        if bridge is None:
            bridge = gap_bridge(config, trace.sampling_rate_hz)
            despike = Despike(config.despike_threshold) if despiked and config.despike_threshold > 0 else None
            grid = ToModelGrid(config, model_rate_hz, trace.sampling_rate_hz, origin_ns, trace.start_ns)
        position = grid.clock.place(trace.start_ns, len(trace.samples), trace.sampling_rate_hz)
        for run in bridge.push((position, trace.samples)):
            clean = run if despike is None else despike.push(run)
            if clean is not None and (outputs := grid.push(clean)) is not None:
                yield outputs


def _windows(values: Float, n_windows: int, n_taps: int) -> Float:
    """Return a view of the windows that begin at each of the first values, 50 times faster than numpy's own."""
    step = values.strides[0]
    return np.ndarray((n_windows, n_taps), np.float64, values, 0, (step, step))


def _polynomial(terms: Float, at: Float) -> Float:
    """Return polynomials, the constant term first, shape (powers, n), each at its own argument."""
    total: Float = terms[-1]
    for term in terms[-2::-1]:
        total = total * at + term
    return total


def _half(ratio: float) -> int:
    return _UNITY_HALF if ratio <= _UNITY else math.ceil(_HALF_PER_RATIO * ratio)


def _recurring(ratio: float) -> tuple[int, int] | None:
    """Return a ratio as numerator and denominator, where the denominator is small."""
    from fractions import Fraction  # a lander that needs no interpolation does without

    fraction = Fraction(ratio).limit_denominator(_LARGEST_DENOMINATOR)
    is_equal = abs(float(fraction) / ratio - 1.0) < 1e-12
    return (fraction.numerator, fraction.denominator) if is_equal else None

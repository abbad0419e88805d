"""Onset refinement: the onset of an event and its uncertainty, from the samples around the trigger's onset.

The network decides once per frame, so the trigger's onset is as coarse as its frames, and late by the network's delay.
Here the samples around it are band-passed, cut into short frames, and split at the instant that best separates a quiet
part from a louder one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from edgequake.edge.features.channel_clock import ChannelClock
from edgequake.edge.features.conditioning import ContiguousRun, Despike, gap_bridge, join_runs
from edgequake.edge.features.resampling import on_model_grid
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns
from edgequake.edge.manifest.manifest import Manifest
from edgequake.edge.manifest.tables import HIGHEST_SHARE, FrontEndConfig, OnsetConfig, decimation_factor, takes_rate

Float = npt.NDArray[np.float64]

_CONTEXT_SAMPLES = 64  # before those examined: they tell whether a value that may be a fill value is one
_FARTHEST = 1 << 62  # samples: no limit


@dataclass(frozen=True)
class Onset:
    """Refined onset of an event."""

    onset_ns: int
    sigma_s: float  # about two thirds of all onsets lie within this of the true one
    refined: bool  # False: the trigger's onset is kept


Refine = Callable[[Iterable[Trace], int], Onset]  # takes raw traces of the station and the trigger's onset (ns)


def refiner(manifest: Manifest) -> Refine | None:
    """Return the function that refines a model's onsets; None where the trigger's are kept."""
    if manifest.onset is None:
        return None
    return partial(
        refine_onset,
        manifest.onset,
        manifest.front_end,
        lag_s=manifest.trigger.onset_lag_s,
        model_rate_hz=manifest.sampling_rate_hz,
    )


def refine_onset(
    config: OnsetConfig,
    front_end: FrontEndConfig,
    traces: Iterable[Trace],
    coarse_ns: int,
    lag_s: float = 0.0,
    model_rate_hz: float | None = None,
) -> Onset:
    """Return the refined onset of the event that the trigger placed at `coarse_ns`.

    The amplitudes of the band-passed frames before and after a split are modelled as draws from two exponential
    distributions. The likelihood of every split over all channels, times the probability of that delay of the trigger
    (a Cauchy distribution), is the distribution of the onset: its median is the onset, half the width of its middle two
    thirds the uncertainty. A second search, up to shortly after that onset, finds a weak beginning before a loud later
    phase. Only samples within [rise - reach_before_s, rise + reach_after_s) are used, with `resampling_s` more on both
    sides where they are resampled, so the result does not depend on how the record was cut. Samples are counted from
    the rise; the onset lies a whole number of the model's samples from it, and the uncertainty is rounded to 1 ms.

    Parameters
    ----------
    front_end : for its rule for gaps and spikes.
    traces : raw samples of one station, those of a channel in time order; samples outside the reach are ignored.
    lag_s : the trigger has subtracted it from the rise of the probability; the search is around the rise itself.
    model_rate_hz : samples of other rates are first put on a grid of this rate, if it can carry the band: the onset is
        then the same at every sampling rate. None: every record at its own rate.

    References
    ----------
    Maeda, N. (1985), A method for reading and checking phase times in autoprocessing system of seismic wave data,
    Zisin 38, 365-379, doi:10.4294/zisin1948.38.3_365: the split of least AIC, there of normal samples.
    """
    rise_ns = coarse_ns + round(lag_s * NS_PER_S)
    channels = _channels(config, front_end, traces, rise_ns, model_rate_hz)
    split = _split(config, channels)
    if split is None:
        return Onset(coarse_ns, config.coarse_sigma_s, False)
    n_frames = split.frame + tail_frames(config)
    split = _split(config, [channel.first(n_frames) for channel in channels]) or split
    sigma_s = split_sigma_s(config, split.width)
    if sigma_s is None:
        return Onset(coarse_ns, config.coarse_sigma_s, False)
    shift_s = config.frame_s * split.frame - config.before_s
    if model_rate_hz is None:
        return Onset(rise_ns + round(shift_s * NS_PER_S), sigma_s, True)
    return Onset(rise_ns + duration_ns(round(shift_s * model_rate_hz), model_rate_hz), sigma_s, True)


def tail_frames(config: OnsetConfig) -> int:
    """Return after how many frames behind the onset of the first search the second one stops."""
    return int(np.ceil(config.tail_s / config.frame_s))


def split_sigma_s(config: OnsetConfig, width: int) -> float | None:
    """Return the uncertainty, to 1 ms, of a split whose middle two thirds are `width` frames; None if it is too large.

    The scatter of the clearest picks adds to it.
    """
    sigma_s = float(np.hypot(config.frame_s * width / 2.0, config.min_sigma_s))
    return None if sigma_s > config.max_sigma_s else round(sigma_s, 3)


@dataclass(frozen=True)
class _Frames:
    """Frames of one channel; the first starts `before_s` before the rise of the probability."""

    amplitude: Float  # (n_frames,), root mean square of the band-passed samples; 0 where there are none
    weight: Float  # (n_frames,), recorded share of the frame, 0..1
    freedom: float  # independent values in a frame: twice its length times the band's width

    def first(self, n_frames: int) -> _Frames:
        return _Frames(self.amplitude[:n_frames], self.weight[:n_frames], self.freedom)


@dataclass(frozen=True)
class _Split:
    frame: int  # the first of the louder ones
    width: int  # frames in which the middle two thirds of the probability lie


def _split(config: OnsetConfig, channels: list[_Frames]) -> _Split | None:
    """Return where the frames become louder, or None where that is not certain."""
    if not channels or len(channels[0].weight) < 2:
        return None
    gain = config.evidence * np.sum([_gain(channel) for channel in channels], axis=0)  # (n_frames - 1,)
    frame = np.arange(1, len(gain) + 1, dtype=np.int64)
    recorded = np.cumsum(np.max([channel.weight for channel in channels], axis=0))[:-1]
    allowed = recorded * config.frame_s >= config.min_quiet_s
    gain, frame = gain[allowed], frame[allowed]
    if len(gain) == 0 or gain.max() < config.min_gain:
        return None
    late = (config.before_s - config.frame_s * frame - config.late_s) / config.late_spread_s
    chance = np.cumsum(np.exp(gain - gain.max()) / (1.0 + late * late))
    low, middle, high = (int(i) for i in np.searchsorted(chance, chance[-1] * np.array([1.0, 3.0, 5.0]) / 6.0))
    if middle == 0:  # the earliest split allowed: it began before the record shows it
        return None
    return _Split(int(frame[middle]), high - low)


def _gain(channel: _Frames) -> Float:
    """Return how much likelier than no rise, in nats, a rise at each of the n_frames - 1 edges is."""
    weight, amplitude = channel.weight, channel.amplitude
    recorded, summed = np.cumsum(weight), np.cumsum(amplitude * weight)
    n_before, n_after = recorded[:-1], recorded[-1] - recorded[:-1]
    some = (n_before > 0) & (n_after > 0)
    before = summed[:-1] / np.where(some, n_before, 1.0)
    after = (summed[-1] - summed[:-1]) / np.where(some, n_after, 1.0)
    rises = some & (after > before) & (before > 0)
    gain = np.zeros_like(before)
    mean = summed[-1] / (recorded[-1] or 1.0)
    gain[rises] = n_before[rises] * np.log(mean / before[rises]) + n_after[rises] * np.log(mean / after[rises])
    return np.asarray(channel.freedom * gain, np.float64)


def _channels(
    config: OnsetConfig, front_end: FrontEndConfig, traces: Iterable[Trace], rise_ns: int, model_rate_hz: float | None
) -> list[_Frames]:
    """Return the frames of every usable channel."""
    of_channel: dict[str, list[Trace]] = {}
    for trace in traces:
        of_channel.setdefault(trace.source_id, []).append(trace)
    found = []
    for name in sorted(of_channel):
        whole = of_channel[name]
        header_hz = whole[0].sampling_rate_hz
        if model_rate_hz is not None and _is_resampled(config, front_end, header_hz, model_rate_hz):
            rate_hz, (runs, floor) = model_rate_hz, _resampled(config, front_end, whole, rise_ns, model_rate_hz)
        else:
            rate_hz = _nominal_rate_hz(front_end, header_hz, model_rate_hz)
            first, stop = reach_samples(config, rate_hz)
            runs = _conditioned(front_end, whole, rise_ns, rate_hz, first, stop)
            floor = _rounding_variance(runs)
        frames = None if floor is None else _frames(config, runs, rate_hz, floor)
        found += [] if frames is None else [frames]
    return found


def reach_samples(config: OnsetConfig, rate_hz: float) -> tuple[int, int]:
    """Return the samples [first, stop) from the rise that are examined, where they are not resampled."""
    return -int(config.reach_before_s * rate_hz), int(config.reach_after_s * rate_hz)


def pass_band(config: OnsetConfig, rate_hz: float) -> tuple[float, Float] | None:
    """Return the width of the pass band (Hz) at a sampling rate and its filter's taps; None if the rate is too low."""
    high_hz = min(config.high_hz, HIGHEST_SHARE * rate_hz)
    if high_hz <= config.low_hz:
        return None
    return high_hz - config.low_hz, band_pass(config.low_hz, high_hz, config.filter_cycles, rate_hz)


def _frames(config: OnsetConfig, runs: list[ContiguousRun], rate_hz: float, floor: float) -> _Frames | None:
    """Return a channel's frames; None if it is too slow for the band, or never long enough for the filter.

    floor : of the power: the variance of rounding.
    """
    band = pass_band(config, rate_hz)
    if band is None:
        return None
    width_hz, taps = band
    half, n_frames = len(taps) // 2, round((config.before_s + config.after_s) / config.frame_s)
    power, count = np.zeros(n_frames, np.float64), np.zeros(n_frames, np.float64)
    for run in runs:
        if len(run.values) < len(taps):
            continue
        filtered = np.convolve(run.values - np.mean(run.values), taps, "valid")
        position = run.first + half + np.arange(len(filtered), dtype=np.int64)
        frame = np.floor((position / rate_hz + config.before_s) / config.frame_s).astype(np.int64)
        used = run.valid[half : half + len(filtered)] & (frame >= 0) & (frame < n_frames)
        power += np.bincount(frame[used], filtered[used] ** 2 + floor, n_frames)
        count += np.bincount(frame[used], minlength=n_frames)
    if not count.any():
        return None
    amplitude = np.sqrt(power / np.where(count > 0, count, 1.0))
    weight = np.minimum(count / (config.frame_s * rate_hz), 1.0)
    return _Frames(amplitude, weight, 2.0 * width_hz * config.frame_s)


def _nominal_rate_hz(front_end: FrontEndConfig, rate_hz: float, model_rate_hz: float | None) -> float:
    """Return the exact multiple of the model's rate that a header means, or the header's."""
    factor = None if model_rate_hz is None else decimation_factor(front_end, model_rate_hz, rate_hz)
    return rate_hz if model_rate_hz is None or factor is None else factor * model_rate_hz


def _is_resampled(config: OnsetConfig, front_end: FrontEndConfig, rate_hz: float, model_rate_hz: float) -> bool:
    """Return whether samples are examined at the model's rate: not those at that rate, nor for a band beyond it."""
    return (
        config.is_within(model_rate_hz)
        and takes_rate(front_end, model_rate_hz, rate_hz)
        and decimation_factor(front_end, model_rate_hz, rate_hz) != 1
    )


def _resampled(
    config: OnsetConfig, front_end: FrontEndConfig, traces: list[Trace], rise_ns: int, model_rate_hz: float
) -> tuple[list[ContiguousRun], float | None]:
    """Return one channel's samples on the model's grid, and the floor of their power by the samples as recorded."""
    more_s = config.resampling_s(model_rate_hz)
    start_ns = rise_ns - round((config.reach_before_s + more_s) * NS_PER_S)
    stop_ns = rise_ns + round((config.reach_after_s + more_s) * NS_PER_S)
    parts = [part for trace in traces if len((part := trace.between(start_ns, stop_ns)).samples)]
    if not parts:
        return [], None
    recorded = _conditioned(front_end, parts, rise_ns, parts[0].sampling_rate_hz, -_FARTHEST, _FARTHEST)
    on_grid = on_model_grid(front_end, model_rate_hz, parts, rise_ns, despiked=True)
    return join_runs(on_grid), _rounding_variance(recorded)


def _conditioned(
    front_end: FrontEndConfig, traces: list[Trace], rise_ns: int, rate_hz: float, first: int, stop: int
) -> list[ContiguousRun]:
    """Return one channel's samples [first, stop) from the rise by the front end's rule for gaps and spikes.

    They are cut only at long gaps. A gap that is interpolated lies between two of these samples.
    """
    clock, bridge = ChannelClock(rate_hz, rise_ns, on_grid=True), gap_bridge(front_end, rate_hz)
    context_ns = duration_ns(_CONTEXT_SAMPLES, rate_hz)
    start_ns, stop_ns = (rise_ns + duration_ns(n, rate_hz) for n in (first - 1, stop + 1))
    runs: list[ContiguousRun] = []
    for trace in traces:
        if trace.stop_ns < start_ns - context_ns or trace.start_ns > stop_ns:
            continue
        position = clock.place(trace.start_ns, len(trace.samples), trace.sampling_rate_hz)
        samples = trace.samples[max(first - _CONTEXT_SAMPLES - position, 0) : max(stop - position, 0)]
        if len(samples):
            runs += bridge.push((max(first - _CONTEXT_SAMPLES, position), samples))
    inside = (_between_true(run, first, stop) for run in join_runs(runs))
    despiked = (None if run is None else _despiked(front_end, run) for run in inside)
    return [run for run in despiked if run is not None]


def _between_true(run: ContiguousRun, first: int, stop: int) -> ContiguousRun | None:
    """Return a run from the first to the last of its true samples in [first, stop)."""
    low = max(first - run.first, 0)
    true = low + np.flatnonzero(run.valid[low : max(stop - run.first, 0)])
    if not len(true):
        return None
    part = slice(int(true[0]), int(true[-1]) + 1)
    return ContiguousRun(run.first + part.start, run.values[part], run.valid[part], True)


def _despiked(front_end: FrontEndConfig, run: ContiguousRun) -> ContiguousRun | None:
    if front_end.despike_threshold <= 0:
        return run
    return Despike(front_end.despike_threshold).push(run)


def _rounding_variance(runs: list[ContiguousRun]) -> float | None:
    """Return the variance of rounding to the record's quantum, as a floor of the power; None for a flat channel.

    The quantum is taken as the smallest change between recorded neighbours.
    """
    changes = [np.abs(np.diff(run.values))[run.valid[1:] & run.valid[:-1]] for run in runs]
    changes = [change[change > 0.0] for change in changes]
    smallest = min((float(change.min()) for change in changes if len(change)), default=None)
    return None if smallest is None else max(smallest * smallest / 12.0, 1e-60)


def band_pass(low_hz: float, high_hz: float, cycles: float, rate_hz: float) -> Float:
    """Return symmetric taps of a band-pass `cycles` periods of `low_hz` long: a windowed sinc, no gain at 0 Hz."""
    half = max(2, round(cycles * rate_hz / low_hz / 2.0))
    time_s = np.arange(-half, half + 1, dtype=np.float64) / rate_hz
    window = np.hanning(2 * half + 3)[1:-1]  # Hann, without the zeros at its ends
    wide, narrow = (2.0 * edge * np.sinc(2.0 * edge * time_s) for edge in (high_hz, low_hz))
    taps = (wide - narrow) * window / rate_hz
    return np.asarray(taps - window * (np.sum(taps) / np.sum(window)), np.float64)

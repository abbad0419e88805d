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

from edgequake.edge.features.conditioning import ContiguousRun, Despike, bridged_runs, join_runs
from edgequake.edge.features.resampling import on_model_grid
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.manifest.manifest import Manifest
from edgequake.edge.manifest.tables import FrontEndConfig, OnsetConfig, decimation_factor, takes_rate

Float = npt.NDArray[np.float64]

_HIGHEST_SHARE = 0.45  # of the sampling rate: the slope of the band-pass must end below half the rate
_RESAMPLER_REACH = 20  # samples of the model that resampling and the spike filter use up on either side: at most 19.3


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
    phase. Only samples within [rise - reach_before_s, rise + reach_after_s) are used, so the result does not depend
    on how the record was cut.

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
    n_frames = int(np.ceil((split.offset_s + config.tail_s) / config.frame_s))
    split = _split(config, [channel.first(n_frames) for channel in channels]) or split
    sigma_s = float(np.hypot(split.sigma_s, config.min_sigma_s))
    if sigma_s > config.max_sigma_s:
        return Onset(coarse_ns, config.coarse_sigma_s, False)
    return Onset(rise_ns + round((split.offset_s - config.before_s) * NS_PER_S), sigma_s, True)


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
    offset_s: float  # from the start of the first frame
    sigma_s: float


def _split(config: OnsetConfig, channels: list[_Frames]) -> _Split | None:
    """Return where the frames become louder, or None where that is not certain."""
    if not channels or len(channels[0].weight) < 2:
        return None
    gain = config.evidence * np.sum([_gain(channel) for channel in channels], axis=0)  # (n_frames - 1,)
    offset_s = config.frame_s * np.arange(1, len(gain) + 1, dtype=np.float64)
    recorded = np.cumsum(np.max([channel.weight for channel in channels], axis=0))[:-1]
    allowed = recorded * config.frame_s >= config.min_quiet_s
    gain, offset_s = gain[allowed], offset_s[allowed]
    if len(gain) == 0 or gain.max() < config.min_gain:
        return None
    late = (config.before_s - offset_s - config.late_s) / config.late_spread_s
    chance = np.cumsum(np.exp(gain - gain.max()) / (1.0 + late * late))
    low, middle, high = np.searchsorted(chance, chance[-1] * np.array([1.0, 3.0, 5.0]) / 6.0)
    if middle == 0:  # the earliest split allowed: it began before the record shows it
        return None
    return _Split(float(offset_s[middle]), float(offset_s[high] - offset_s[low]) / 2.0)


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
    start_ns = rise_ns - round(config.reach_before_s * NS_PER_S)
    stop_ns = rise_ns + round(config.reach_after_s * NS_PER_S)
    parts: dict[str, list[Trace]] = {}
    for trace in traces:
        more_ns = 0
        if model_rate_hz is not None and _is_resampled(config, front_end, trace.sampling_rate_hz, model_rate_hz):
            more_ns = round(_RESAMPLER_REACH * NS_PER_S / model_rate_hz)
        part = trace.between(start_ns - more_ns, stop_ns + more_ns)
        if len(part.samples):
            parts.setdefault(part.source_id, []).append(part)
    first_frame_ns = rise_ns - round(config.before_s * NS_PER_S)
    channels = (_frames(config, front_end, parts[name], first_frame_ns, model_rate_hz) for name in sorted(parts))
    return [channel for channel in channels if channel is not None]


def _frames(
    config: OnsetConfig,
    front_end: FrontEndConfig,
    traces: list[Trace],
    first_frame_ns: int,
    model_rate_hz: float | None,
) -> _Frames | None:
    """Return one channel's frames; None if it is flat, too slow for the band, or never long enough for the filter."""
    rate_hz, t0_ns = traces[0].sampling_rate_hz, traces[0].start_ns
    runs = _runs(front_end, traces)
    floor = _rounding_variance(runs)
    if model_rate_hz is not None and _is_resampled(config, front_end, rate_hz, model_rate_hz):
        rate_hz = model_rate_hz
        runs = join_runs(on_model_grid(front_end, rate_hz, traces, t0_ns, despiked=True))
    high_hz = min(config.high_hz, _HIGHEST_SHARE * rate_hz)
    if high_hz <= config.low_hz or floor is None:
        return None
    taps = band_pass(config.low_hz, high_hz, config.filter_cycles, rate_hz)
    half, n_frames = len(taps) // 2, round((config.before_s + config.after_s) / config.frame_s)
    power, count = np.zeros(n_frames, np.float64), np.zeros(n_frames, np.float64)
    for run in runs:
        if len(run.values) < len(taps):
            continue
        filtered = np.convolve(run.values - np.mean(run.values), taps, "valid")
        position = run.first + half + np.arange(len(filtered), dtype=np.int64)
        time_s = (t0_ns - first_frame_ns) / NS_PER_S + position / rate_hz
        frame = np.floor(time_s / config.frame_s).astype(np.int64)
        used = run.valid[half : half + len(filtered)] & (frame >= 0) & (frame < n_frames)
        power += np.bincount(frame[used], filtered[used] ** 2 + floor, n_frames)
        count += np.bincount(frame[used], minlength=n_frames)
    if not count.any():
        return None
    amplitude = np.sqrt(power / np.where(count > 0, count, 1.0))
    weight = np.minimum(count / (config.frame_s * rate_hz), 1.0)
    return _Frames(amplitude, weight, 2.0 * (high_hz - config.low_hz) * config.frame_s)


def _is_resampled(config: OnsetConfig, front_end: FrontEndConfig, rate_hz: float, model_rate_hz: float) -> bool:
    """Return whether samples are examined at the model's rate: not those at that rate, nor for a band beyond it."""
    return (
        config.high_hz <= _HIGHEST_SHARE * model_rate_hz
        and takes_rate(front_end, model_rate_hz, rate_hz)
        and decimation_factor(front_end, model_rate_hz, rate_hz) != 1
    )


def _runs(front_end: FrontEndConfig, traces: list[Trace]) -> list[ContiguousRun]:
    """Return one channel's samples by the front end's rule for gaps and spikes, cut only at long gaps."""
    runs = bridged_runs(front_end, traces, traces[0].start_ns, traces[0].sampling_rate_hz)
    if front_end.despike_threshold <= 0:
        return join_runs(runs)
    despike = Despike(front_end.despike_threshold)
    return join_runs(clean for run in runs if (clean := despike.push(run)) is not None)


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

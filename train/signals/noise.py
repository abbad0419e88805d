"""Components of synthetic ground motion (slow curves, envelopes, random counts), and measures of amplitude.

Amplitudes are measured in the band of the quakes, because noise below that band masks none of them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, sosfiltfilt

Float = npt.NDArray[np.float64]
ORDER = 3  # of the Butterworth band-pass, applied forward and backward


def wandering(rng: np.random.Generator, n_samples: int, rate_hz: float, correlation_s: float) -> Float:
    """Return a slow random curve of unit variance, linear between knots `correlation_s` apart."""
    n_knots = int(n_samples / rate_hz / correlation_s) + 3
    place = np.arange(n_samples) / (rate_hz * correlation_s) + rng.random()
    return np.interp(place, np.arange(n_knots), rng.standard_normal(n_knots))


def bump(frequency_hz: Float, peak_hz: float, width: float) -> Float:
    """Return a Gaussian over the logarithm of frequency; `width` is in natural-log units."""
    return np.asarray(np.exp(-0.5 * np.square(np.log(frequency_hz / peak_hz) / width)), np.float64)


def rise_and_decay(n_samples: int, rate_hz: float, rise_s: float, decay_s: float) -> Float:
    """Return an envelope with a maximum of 1: a smooth rise within about `rise_s` and an exponential decay."""
    time_s = np.arange(1, n_samples + 1) / rate_hz
    envelope = (1.0 - np.exp(-np.square(2.0 * time_s / rise_s))) * np.exp(-time_s / decay_s)
    return np.asarray(envelope / envelope.max(), np.float64)


def add_at(channel: Float, start: int, wave: Float, gain: float = 1.0) -> None:
    """Add a wave to a channel from sample `start` on, in place; samples outside the channel are dropped."""
    low, high = max(start, 0), min(start + len(wave), len(channel))
    if low < high:
        channel[low:high] += gain * wave[low - start : high - start]


def n_events(rng: np.random.Generator, per_hour: float, n_samples: int, rate_hz: float) -> int:
    """Draw the number of events in a record from a Poisson distribution with a mean rate per hour."""
    return int(rng.poisson(per_hour * n_samples / rate_hz / 3600.0))


def in_band(channels: Float, band_hz: tuple[float, ...], rate_hz: float) -> Float:
    """Return channels, shape (..., n_samples), band-passed with zero phase; unchanged if the band is empty."""
    if not band_hz or channels.shape[-1] <= 6 * (2 * ORDER + 1):  # shorter than the filter's own padding
        return channels
    sections = butter(ORDER, band_hz, "bandpass", fs=rate_hz, output="sos")
    return np.asarray(sosfiltfilt(sections, channels, axis=-1), np.float64)


def robust_rms(channels: Float) -> Float:
    """Return the rms of each channel, shape (n_channels,), from its median deviation: a few loud minutes do not count.

    The median deviation of a record quantized to a few levels is 0: a fifth of its root mean square is used instead.
    """
    deviation = 1.4826 * np.median(np.abs(channels), axis=1)
    return np.asarray(np.maximum(deviation, 0.2 * np.std(channels, axis=1)) + 1e-30, np.float64)

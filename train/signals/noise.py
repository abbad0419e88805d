"""Small pieces that synthetic motion is made of: coloured noise, slow curves, one-sided pulses.

How loud noise and quakes are, in the band where quakes are: a rumble below it drowns nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, sosfiltfilt

Float = npt.NDArray[np.float64]
Spectrum = Callable[[Float], Float]  # amplitude at each frequency in Hz, in any unit


def coloured(rng: np.random.Generator, n_samples: int, rate_hz: float, spectrum: Spectrum) -> Float:
    """Return Gaussian noise of unit variance with an amplitude spectrum, shape (n_samples,)."""
    n_padded = 1 << max(int(n_samples) - 1, 1).bit_length()  # powers of two: the transform of a prime length is slow
    frequencies_hz = np.fft.rfftfreq(n_padded, 1.0 / rate_hz)
    weights = np.zeros(len(frequencies_hz))
    weights[1:] = spectrum(frequencies_hz[1:])
    weights *= np.sqrt(0.5 * n_padded / (np.sum(np.square(weights)) + 1e-300))
    return np.fft.irfft(np.fft.rfft(rng.standard_normal(n_padded)) * weights, n_padded)[:n_samples]


def wandering(rng: np.random.Generator, n_samples: int, rate_hz: float, correlation_s: float) -> Float:
    """Return a slow random curve of unit variance, straight between knots `correlation_s` apart."""
    n_knots = int(n_samples / rate_hz / correlation_s) + 3
    place = np.arange(n_samples) / (rate_hz * correlation_s) + rng.random()
    return np.interp(place, np.arange(n_knots), rng.standard_normal(n_knots))


def bump(frequency_hz: Float, peak_hz: float, width: float) -> Float:
    """Return a bell over the logarithm of frequency; `width` in natural-log units."""
    return np.asarray(np.exp(-0.5 * np.square(np.log(frequency_hz / peak_hz) / width)), np.float64)


def rise_and_decay(n_samples: int, rate_hz: float, rise_s: float, decay_s: float) -> Float:
    """Return an envelope with a maximum of 1: a smooth rise in about `rise_s`, an exponential tail."""
    time_s = np.arange(1, n_samples + 1) / rate_hz
    envelope = (1.0 - np.exp(-np.square(2.0 * time_s / rise_s))) * np.exp(-time_s / decay_s)
    return np.asarray(envelope / envelope.max(), np.float64)


def add_at(channel: Float, start: int, wave: Float, gain: float = 1.0) -> None:
    """Add a wave to a channel from sample `start` on, in place; what lies outside is left out."""
    low, high = max(start, 0), min(start + len(wave), len(channel))
    if low < high:
        channel[low:high] += gain * wave[low - start : high - start]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw evenly over the logarithm of [low, high)."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def n_events(rng: np.random.Generator, per_hour: float, n_samples: int, rate_hz: float) -> int:
    """Draw how many events of a mean rate fall into a record."""
    return int(rng.poisson(per_hour * n_samples / rate_hz / 3600.0))


ORDER = 3  # Butterworth, applied forward and backward


def in_band(channels: Float, band_hz: tuple[float, ...], rate_hz: float) -> Float:
    """Return channels, shape (..., n_samples), without what lies outside a band; as they are with an empty one."""
    if not band_hz or channels.shape[-1] <= 6 * (2 * ORDER + 1):  # shorter than the filter's own padding
        return channels
    sections = butter(ORDER, band_hz, "bandpass", fs=rate_hz, output="sos")
    return np.asarray(sosfiltfilt(sections, channels, axis=-1), np.float64)


def robust_rms(channels: Float) -> Float:
    """Return each channel's scale, shape (n_channels,), which a few loud minutes leave alone.

    A staircase's median deviation is 0: then a fifth of the root mean square.
    """
    deviation = 1.4826 * np.median(np.abs(channels), axis=1)
    return np.asarray(np.maximum(deviation, 0.2 * np.std(channels, axis=1)) + 1e-30, np.float64)


def peak_rms(wave: Float, level_s: float, rate_hz: float) -> float:
    """Return the root mean square of a wave's loudest stretch of `level_s`."""
    n = int(level_s * rate_hz)
    padded = np.pad(wave, (0, -len(wave) % n))
    return float(np.sqrt(np.max(np.mean(np.square(padded.reshape(-1, n)), axis=1)))) + 1e-30

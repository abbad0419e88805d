"""How loud noise and quakes are, in the band where quakes are: a rumble below it drowns nothing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, sosfiltfilt

Float = npt.NDArray[np.float64]

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

"""The spectrogram of one channel of an event."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.report.recording.samples import Floats, Samples, even

DEFAULT_WINDOW_SAMPLES = 128  # without a model, which gives the length of its spectra
DEFAULT_BRIDGE_S = 60.0  # without a model, which gives the gaps that it interpolates
MIN_WINDOW_SAMPLES = 16
MAX_SPECTRA = 900
BLOCK = 128  # spectra that are computed at once


@dataclass(frozen=True)
class Spectrogram:
    """Power in decibels; shape (n_frequencies, n_spectra), NaN where samples are missing."""

    decibels: Floats
    edges_hz: Floats  # (n_frequencies + 1,)
    edges_ns: npt.NDArray[np.int64]  # (n_spectra + 1,)


def spectrogram_of(samples: Samples, rate_hz: float, window_samples: int, bridge_s: float) -> Spectrogram | None:
    """Return the spectrogram of one channel in decibels of 1 (unit of the record)² / Hz.

    Gaps up to `bridge_s` are interpolated linearly, as in the runner; longer ones stay NaN. None where there are too
    few samples, or all have one value.
    """
    grid = even(samples, rate_hz, bridge_s)
    if grid is None or not samples.live:
        return None
    n = len(grid.values)
    window = min(window_samples, 1 << max(0, (n // 8).bit_length() - 1))
    if window < MIN_WINDOW_SAMPLES:
        return None
    step = min(window, max(window // 4, -(-n // MAX_SPECTRA)))
    power = _power(grid.values, rate_hz, window, step)
    frequencies_hz: Floats = np.fft.rfftfreq(window, 1.0 / rate_hz)
    decibels: Floats = 10.0 * np.log10(np.maximum(power, power[power > 0].min(initial=1.0)))
    for i in range(power.shape[1]):
        if grid.missing[i * step : i * step + window].any():
            decibels[:, i] = np.nan
    half_hz = frequencies_hz[1] / 2
    edges_hz = np.concatenate([[0.0], frequencies_hz[1:] - half_hz, [frequencies_hz[-1]]])
    # A spectrum represents the hop in the middle of its window.
    firsts = np.arange(power.shape[1] + 1) * step + (window - step) / 2
    edges_ns = grid.start_ns + np.round(firsts * NS_PER_S / rate_hz).astype(np.int64)
    return Spectrogram(decibels, edges_hz, edges_ns) if np.isfinite(decibels).any() else None


def _power(values: Floats, rate_hz: float, window: int, step: int) -> Floats:
    """Return the one-sided power spectral density of each window, shape (window // 2 + 1, n_windows).

    As `matplotlib.mlab.specgram` with detrend="linear": Hann windows, each without its own linear trend. Here without
    matplotlib, which takes more memory than the whole server of a station's page.
    """
    windows = np.lib.stride_tricks.sliding_window_view(values, window)[::step]
    time = np.arange(window) - (window - 1) / 2.0
    hann = np.hanning(window)
    power = np.empty((window // 2 + 1, len(windows)))
    for i in range(0, len(windows), BLOCK):  # a copy of the windows takes several times the memory of the samples
        part = windows[i : i + BLOCK]
        slopes = (part @ time) / (time @ time)
        spectra = np.fft.rfft((part - part.mean(1, keepdims=True) - slopes[:, np.newaxis] * time) * hann, axis=1)
        power[:, i : i + BLOCK] = (spectra.real**2 + spectra.imag**2).T / (rate_hz * float(hann @ hann))
    power[1 : -1 if window % 2 == 0 else None] *= 2.0  # of the negative frequencies
    return power

"""Log power in bands of short-time spectra, above the running background: the default front end."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgequake.edge.background import Background
from edgequake.edge.blocks import Windows
from edgequake.edge.manifest import BackgroundConfig, SpectrogramConfig

Float = npt.NDArray[np.float64]


class BandPower:
    """Mean one-sided power spectral density in bands of one window.

    The same quantity as ``scipy.signal.spectrogram(detrend="linear", window="hann", scaling="density")``, averaged
    over the bins of each band.
    """

    def __init__(self, config: SpectrogramConfig, sampling_rate_hz: float) -> None:
        n = config.window_samples
        self._taper = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n, dtype=np.float64) / n)  # periodic Hann
        self._ramp = np.arange(n, dtype=np.float64) - (n - 1) / 2.0
        self._ramp_power = float(np.sum(self._ramp * self._ramp))
        self._density = 2.0 / (sampling_rate_hz * float(np.sum(self._taper * self._taper)))
        frequencies_hz = np.arange(n // 2 + 1, dtype=np.float64) * sampling_rate_hz / n
        self._starts = np.searchsorted(frequencies_hz, np.asarray(config.band_edges_hz, np.float64))
        self._n_bins = np.diff(self._starts).astype(np.float64)
        if np.any(self._n_bins < 1) or self._starts[0] < 1 or config.band_edges_hz[-1] > sampling_rate_hz / 2:
            raise ValueError(
                f"band_edges_hz must keep at least one spectral line in every band, above 0 and up to "
                f"{sampling_rate_hz / 2} Hz; lines lie {sampling_rate_hz / n:.4g} Hz apart"
            )

    def __call__(self, windows: Float) -> Float:
        """Return power densities, shape (n_windows, n_bands), in units squared per Hz."""
        # Sums along the contiguous axis, never a matrix product: BLAS sums in an order that depends on how many
        # windows come at once, and the same window must give the same bits in any block.
        mean = np.mean(windows, axis=1, keepdims=True)
        slope = np.sum(windows * self._ramp, axis=1, keepdims=True) / self._ramp_power
        spectrum = np.fft.rfft((windows - mean - slope * self._ramp) * self._taper, axis=1)
        power = (spectrum.real**2 + spectrum.imag**2) * self._density  # (n_windows, n_lines)
        total = np.add.reduceat(power[:, : self._starts[-1]], self._starts[:-1], axis=1)
        return np.asarray(total / self._n_bins, np.float64)


class SpectrogramFeatures:
    """Windows of one channel to rows of features: decades above the background, clipped and rounded."""

    def __init__(self, config: SpectrogramConfig, background: BackgroundConfig, sampling_rate_hz: float) -> None:
        self._config = config
        self._power = BandPower(config, sampling_rate_hz)
        self._background = Background(background)
        self._sampling_rate_hz = sampling_rate_hz
        self._floor = 0.0

    def __call__(self, windows: Windows, integer_samples: bool) -> npt.NDArray[np.float32]:
        """Return features, float32, shape (n_blocks, 1, n_bands).

        `integer_samples` says that the record holds counts, whose quantum is 1.
        """
        if windows.fresh:
            self._background.restart()
            self._floor = quantization_density(windows.values[0], integer_samples, self._sampling_rate_hz)
        config = self._config
        levels = np.log10(self._power(windows.values) + self._floor)
        excess = self._background.excess(levels, windows.live)
        steps = config.steps_per_decade
        rounded = np.rint(np.clip(excess, config.clip_low, config.clip_high) * steps) / steps
        return np.asarray(rounded[:, np.newaxis, :], np.float32)


def quantization_density(window: Float, integer_samples: bool, sampling_rate_hz: float) -> float:
    """Power density of rounding to the record's quantum: what lies under it says nothing.

    Rounding noise has variance quantum^2 / 12, spread evenly up to half the sampling rate (Bennett 1948,
    doi:10.1002/j.1538-7305.1948.tb01340.x). The quantum of counts is 1; that of a float record is taken as the
    smallest change between neighbours in its first window, so that counts scaled to any unit are treated alike and a
    filtered record gets next to no floor. Never 0, so that silence has a logarithm.
    """
    quantum = 1.0
    if not integer_samples:
        changes = np.abs(np.diff(window))
        changes = changes[changes > 0.0]
        quantum = float(changes.min()) if len(changes) else 0.0
    return max(quantum * quantum / (6.0 * sampling_rate_hz), 1e-60)

"""Power in bands of short-time spectra: the default front end."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgequake.edge.front_end_config import SpectrogramConfig

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

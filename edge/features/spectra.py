"""Windows of samples and their power spectral density, in bands of a short-time spectrum or of Morlet wavelets.

The densities are functions of one window alone. Sums run along the contiguous axis and never through a matrix product:
BLAS sums in an order that depends on how many windows come at once, and the same window must give the same bits in any
block.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.constants import constant
from edgequake.edge.features.conditioning import ContiguousRun, TailedFilter
from edgequake.edge.manifest.tables import ScalogramConfig, SpectrogramConfig


@dataclass(frozen=True)
class WindowBatch:
    """Consecutive windows of samples, one per block.

    Attributes
    ----------
    first_block : index of the first window; window k covers positions [k * hop, k * hop + window).
    values : float64, shape (n_blocks, window_samples).
    valid : shape (n_blocks,); False where too much was interpolated or the channel is stuck.
    fresh : True where the first window does not continue the ones before.
    """

    first_block: int
    values: npt.NDArray[np.float64]
    valid: npt.NDArray[np.bool_]
    fresh: bool


class Windower(TailedFilter):
    """Cuts a stream into windows of `window_samples`, one every `hop_samples`, on the stream's grid."""

    def __init__(self, window_samples: int, hop_samples: int, max_gap_fraction: float, stuck_blocks: int) -> None:
        super().__init__()
        self._window = window_samples
        self._hop = hop_samples
        self._max_gaps = max_gap_fraction * window_samples
        self._stuck_blocks = stuck_blocks
        self._n_flat = 0  # consecutive windows without any change, up to now

    def state(self) -> State:
        return {**super().state(), "n_flat": self._n_flat}

    def restore(self, state: State) -> None:
        super().restore(state)
        self._n_flat = state["n_flat"]

    @property
    def next_block(self) -> int:
        """Index of the next window to be returned."""
        return 0 if self._tail is None else -(-self._tail.first // self._hop)

    def push(self, run: ContiguousRun) -> WindowBatch | None:
        """Take a run; return the windows that are complete now, or None."""
        joined = self._join(run)
        block = -(-joined.first // self._hop)
        offset = block * self._hop - joined.first  # samples before the first whole window are never used
        n_blocks = max(0, (len(joined.values) - offset - self._window) // self._hop + 1)
        self._keep(joined, offset + n_blocks * self._hop if n_blocks else 0, joined.fresh and n_blocks == 0)
        if n_blocks == 0:
            return None
        return self._windows(block, n_blocks, joined.values[offset:], joined.valid[offset:], joined.fresh)

    def _windows(
        self, block: int, n_blocks: int, values: npt.NDArray[np.float64], valid: npt.NDArray[np.bool_], fresh: bool
    ) -> WindowBatch:
        view = np.lib.stride_tricks.sliding_window_view
        windows = np.ascontiguousarray(view(values, self._window)[:: self._hop][:n_blocks])
        n_interpolated = np.sum(~view(valid, self._window)[:: self._hop][:n_blocks], axis=1)
        is_valid = (n_interpolated <= self._max_gaps) & ~self._stuck(windows, fresh)
        return WindowBatch(block, windows, is_valid, fresh)

    def _stuck(self, windows: npt.NDArray[np.float64], fresh: bool) -> npt.NDArray[np.bool_]:
        """Return whether each window is the last of at least `stuck_blocks` windows without any change in value."""
        flat = windows.max(axis=1) == windows.min(axis=1)
        index = np.arange(len(flat))
        last_change = np.maximum.accumulate(np.where(flat, -1, index))
        carried = 0 if fresh else self._n_flat
        run = np.where(last_change >= 0, index - last_change, carried + index + 1)
        self._n_flat = int(run[-1])
        return np.asarray(run >= self._stuck_blocks, np.bool_)


Float = npt.NDArray[np.float64]

# Windows transformed at once: 1 MB of spectra stays in a processor's cache, and a day in one trace takes no memory.
_CHUNK_WINDOWS = 256


class BandPower:
    """Mean one-sided power spectral density in frequency bands: the default front end.

    The same quantity as ``scipy.signal.spectrogram(detrend="linear", window="hann", scaling="density")``, averaged
    over the bins of each band.
    """

    def __init__(self, config: SpectrogramConfig, sampling_rate_hz: float) -> None:
        n = config.window_samples
        self._taper = constant(0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n, dtype=np.float64) / n))  # periodic Hann
        self._ramp = constant(np.arange(n, dtype=np.float64) - (n - 1) / 2.0)
        self._ramp_power = float(np.sum(self._ramp * self._ramp))
        self._density = 2.0 / (sampling_rate_hz * float(np.sum(self._taper * self._taper)))
        frequencies_hz = np.arange(n // 2 + 1, dtype=np.float64) * sampling_rate_hz / n
        self._starts = constant(np.searchsorted(frequencies_hz, np.asarray(config.band_edges_hz, np.float64)))
        self._n_bins = constant(np.diff(self._starts).astype(np.float64))
        if np.any(self._n_bins < 1) or self._starts[0] < 1 or config.band_edges_hz[-1] > sampling_rate_hz / 2:
            raise ValueError(
                f"band_edges_hz must keep at least one spectral line in every band, above 0 and up to "
                f"{sampling_rate_hz / 2} Hz; lines lie {sampling_rate_hz / n:.4g} Hz apart"
            )

    @property
    def line_starts(self) -> list[int]:
        """First spectral line of each band, and the line after the last band."""
        return [int(start) for start in self._starts]

    @property
    def density_per_power(self) -> float:
        """Power density of a line of squared magnitude 1."""
        return self._density

    @property
    def ramp_power(self) -> float:
        """Sum of squares of the ramp whose multiple is taken away."""
        return self._ramp_power

    def __call__(self, windows: Float) -> Float:
        """Return power densities, shape (n_windows, n_bands), in units squared per Hz."""
        mean = np.mean(windows, axis=1, keepdims=True)
        slope = np.sum(windows * self._ramp, axis=1, keepdims=True) / self._ramp_power
        spectrum = np.fft.rfft((windows - mean - slope * self._ramp) * self._taper, axis=1)
        power = (spectrum.real**2 + spectrum.imag**2) * self._density  # (n_windows, n_lines)
        total = np.add.reduceat(power[:, : self._starts[-1]], self._starts[:-1], axis=1)
        return np.asarray(total / self._n_bins, np.float64)


def morlet(centre_hz: float, config: ScalogramConfig, sampling_rate_hz: float) -> npt.NDArray[np.complex128]:
    """Return the taps of one wavelet, an odd number with the middle one at time 0.

    With the scale s = cycles / (2 pi centre_hz), the standard deviation of the envelope in seconds::

        psi(t) = exp(-t^2 / 2 s^2) * (exp(2 pi i centre_hz t) - a - i b t),    |t| <= support_scales * s

    a and b remove the response of the truncated wavelet to a constant and to a straight line, so that a record's
    offset and drift, thousands of times its noise, do not leak in. The energy is 2 / sampling_rate_hz: white noise of
    the one-sided power density S gives the mean power S.

    References
    ----------
    Torrence, C. & Compo, G. P. (1998), A practical guide to wavelet analysis, Bull. Amer. Meteor. Soc. 79, 61-78,
    doi:10.1175/1520-0477(1998)079<0061:APGTWA>2.0.CO;2: the Morlet wavelet, its scale and its peak frequency
    (equation 1, table 1; omega_0 is `cycles`). The constant a is Farge's (1992) admissibility term.
    """
    angular_hz = 2.0 * np.pi * centre_hz
    scale_s = config.cycles / angular_hz
    half = _half_taps(centre_hz, config, sampling_rate_hz)
    time_s = np.arange(-half, half + 1, dtype=np.float64) / sampling_rate_hz
    envelope = np.exp(-0.5 * (time_s / scale_s) ** 2)
    cosine, sine = np.cos(angular_hz * time_s), np.sin(angular_hz * time_s)
    offset = np.sum(envelope * cosine) / np.sum(envelope)
    drift = np.sum(envelope * time_s * sine) / max(float(np.sum(envelope * time_s * time_s)), 1e-300)
    taps = envelope * (cosine - offset + 1j * (sine - drift * time_s))
    energy = float(np.sum(taps.real**2 + taps.imag**2))
    if not energy > 1e-12 * float(np.sum(envelope)):
        raise ValueError(f"the wavelet at {centre_hz:g} Hz has too few samples: raise cycles or support_scales")
    return np.asarray(taps * np.sqrt(2.0 / (sampling_rate_hz * energy)), np.complex128)


class WaveletPower:
    """Mean power of each wavelet's output over one block, as one-sided power spectral density.

    The newest output of every wavelet uses the window's newest samples: short wavelets are not delayed until the
    longest is centred on the same time, because they time the onsets, and a network's context corrects the delays.
    So wavelet i, of n_i taps, measures the `hop_samples` samples that stop (n_i - 1) / 2 samples before the window
    does; that is its latency.
    """

    def __init__(self, config: ScalogramConfig, hop_samples: int, sampling_rate_hz: float) -> None:
        if config.centre_frequencies_hz[-1] >= sampling_rate_hz / 2:
            raise ValueError(
                f"centre_frequencies_hz must lie below {sampling_rate_hz / 2:g} Hz, half the sampling rate"
            )
        centres, n = config.centre_frequencies_hz, config.window_samples
        needed = hop_samples + 2 * _half_taps(centres[0], config, sampling_rate_hz)
        if n < needed:  # checked first: a mistaken centre frequency would take memory for its taps
            raise ValueError(f"window_samples must be at least {needed}, a hop and the longest wavelet, got {n}")
        bank = [morlet(centre_hz, config, sampling_rate_hz) for centre_hz in centres]
        self._hop = hop_samples
        self._halves = [len(taps) // 2 for taps in bank]
        # A wavelet is conjugate symmetric about time 0, so its spectrum is real. Each value is stored twice, for the
        # real and the imaginary part that it multiplies.
        self._responses = [constant(np.repeat(_response(taps, n), 2)) for taps in bank]  # (2 * n,) each

    def __call__(self, windows: Float) -> Float:
        """Return power densities, shape (n_windows, n_wavelets), in units squared per Hz."""
        out = np.empty((len(windows), len(self._halves)), np.float64)
        for start in range(0, len(windows), _CHUNK_WINDOWS):
            out[start : start + _CHUNK_WINDOWS] = self._powers(windows[start : start + _CHUNK_WINDOWS])
        return out

    def _powers(self, windows: Float) -> Float:
        # The wavelets do not respond to the mean; removing it reduces rounding.
        n = windows.shape[1]
        spectra = np.fft.fft(windows - np.mean(windows, axis=1, keepdims=True), axis=1).view(np.float64)
        out = np.empty((len(windows), len(self._halves)), np.float64)
        for i, (response, half) in enumerate(zip(self._responses, self._halves, strict=True)):
            outputs = np.fft.ifft((spectra * response).view(np.complex128), axis=1).view(np.float64)
            # Outputs at least half a wavelet from both sides are free of circular wrap-around.
            newest = np.ascontiguousarray(outputs[:, 2 * (n - half - self._hop) : 2 * (n - half)])  # real, imaginary
            out[:, i] = np.sum(newest * newest, axis=1) / np.float64(self._hop)
        return out


def _half_taps(centre_hz: float, config: ScalogramConfig, sampling_rate_hz: float) -> int:
    """Return the number of taps on either side of a wavelet's middle one."""
    return int(config.support_scales * config.cycles / (2.0 * np.pi * centre_hz) * sampling_rate_hz)


def _response(taps: npt.NDArray[np.complex128], n: int) -> Float:
    """Return the spectrum of the wavelet centred on time 0, shape (n,)."""
    around_zero = np.zeros(n, np.complex128)
    half = len(taps) // 2
    around_zero[: half + 1] = taps[half:]
    around_zero[n - half :] = taps[:half]
    return np.ascontiguousarray(np.fft.fft(around_zero).real)

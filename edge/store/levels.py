"""How loud a signal is: its rms in three bands, frame by frame of UTC time."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.edge.piece import NS_PER_S

Float = npt.NDArray[np.float64]

WINDOW = 256  # samples of one spectrum
HOP = 128
# Edges of the bands in bins, [4, 12), [12, 38), [38, 116): 1/64 to 0.45 of the sampling rate in three equal ratios.
# Below, a Hann window lets slow drift through; above is what recorders' anti-alias filters cut.
BAND_EDGES = (4, 12, 38, 116)
N_BANDS = len(BAND_EDGES) - 1
_LEAST_SAMPLES = 790  # of a frame: five windows; with fewer, values would take more than 1 % of what they describe
_DAY_S = 86_400
_HANN: Float = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(WINDOW, dtype=np.float64) / WINDOW)
_SCALE = 2.0 / (WINDOW * float(np.sum(_HANN**2)))  # |bin|² to mean square; twice, for the negative frequencies


@lru_cache(maxsize=64)
def frame_s(sampling_rate_hz: float) -> int:
    """Return the length of a frame: the shortest part of a day in whole seconds that holds enough samples."""
    least_s = _LEAST_SAMPLES / sampling_rate_hz
    return next((s for s in range(1, _DAY_S) if s >= least_s and _DAY_S % s == 0), _DAY_S)


def band_powers(samples: npt.NDArray[Any], starts: npt.NDArray[np.int64]) -> Float:
    """Return the mean square of `samples` in each band, for each window that begins at one of `starts`.

    This is the sum over the band's bins of `scipy.signal.periodogram(..., window="hann", scaling="density")`, times a
    bin's width: steady noise gives its mean square in the band.

    Returns
    -------
    float64, shape (n_starts, 3), not finite where a sample is not.
    """
    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[starts]  # (n_starts, 256)
    with np.errstate(invalid="ignore", over="ignore"):  # samples that are not finite make powers that are not
        return _band_sums(windows)


def _band_sums(windows: npt.NDArray[Any]) -> Float:
    # Real and imaginary parts side by side, so that squares and sums are over contiguous values.
    parts = np.fft.rfft(windows * _HANN, axis=-1).view(np.float64)  # (n_starts, 2 * n_bins)
    parts = parts[:, 2 * BAND_EDGES[0] : 2 * BAND_EDGES[-1]]
    edges = [2 * (edge - BAND_EDGES[0]) for edge in BAND_EDGES[:-1]]
    bands: Float = np.add.reduceat(parts * parts, edges, axis=1) * _SCALE  # (n_starts, 3)
    return bands


class FrameGrid:
    """The frames of one stretch of samples: which windows of which frame lie where in it."""

    def __init__(self, start_ns: int, sampling_rate_hz: float, n_samples: int) -> None:
        self._start_ns, self._rate_hz, self._n_samples = start_ns, sampling_rate_hz, n_samples
        self._frame_s = frame_s(sampling_rate_hz)
        self.frame_ns = self._frame_s * NS_PER_S
        self.n_windows = max(1, (int(self._frame_s * sampling_rate_hz) - WINDOW) // HOP + 1)  # of a frame
        self.first = (
            start_ns + round(1e-3 * NS_PER_S / sampling_rate_hz)
        ) // self.frame_ns  # frame of the first sample

    def index(self, frame: int) -> int:
        """Return the index of a frame's first sample; negative where the stretch begins within the frame."""
        exact = (frame * self.frame_ns - self._start_ns) * self._rate_hz / NS_PER_S
        return int(np.ceil(exact - 1e-3))

    def n_whole(self) -> int:
        """Return how many frames, counted from the first, the stretch reaches to the end of."""
        past = (self._start_ns + round((self._n_samples + 1e-3) * NS_PER_S / self._rate_hz)) // self.frame_ns
        return past - self.first

    def window_starts(self, n_frames: int) -> npt.NDArray[np.int64]:
        """Return the index of each window's first sample, shape (n_frames, n_windows)."""
        firsts = np.array([self.index(self.first + i) for i in range(n_frames)], np.int64)
        return firsts[:, None] + HOP * np.arange(self.n_windows, dtype=np.int64)

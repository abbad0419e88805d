"""Log-mel rows: the logarithm of the energy in triangular bands that are evenly spaced on the mel scale.

The bands of librosa, torchaudio, tf.signal and YAMNet differ in four choices, which `MelConfig` names; docs/manifest.md
says what each library takes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.constants import constant
from edgequake.edge.features.spectra import WindowBatch
from edgequake.edge.manifest.tables import MelConfig

Float = npt.NDArray[np.float64]

# Slaney, M. (1998), Auditory Toolbox, technical report 1998-010, Interval Research: linear below 1 kHz, where 3 mel are
# 200 Hz, and 27 mel for each factor of 6.4 above.
_SLANEY_HZ_PER_MEL, _SLANEY_KNEE_HZ, _SLANEY_MEL_PER_E = 200.0 / 3.0, 1000.0, 27.0 / np.log(6.4)
# O'Shaughnessy, D. (1987), Speech communication; the constants of HTK (The HTK Book, 5.6).
_HTK_MEL_PER_DECADE, _HTK_KNEE_HZ = 2595.0, 700.0


def mel_of(frequency_hz: Float, scale: str) -> Float:
    """Return frequencies in mel, on the scale "slaney" or "htk"."""
    if scale == "htk":
        return np.asarray(_HTK_MEL_PER_DECADE * np.log10(1.0 + frequency_hz / _HTK_KNEE_HZ))
    above = np.maximum(frequency_hz, _SLANEY_KNEE_HZ) / _SLANEY_KNEE_HZ
    linear = np.minimum(frequency_hz, _SLANEY_KNEE_HZ) / _SLANEY_HZ_PER_MEL
    return np.asarray(linear + _SLANEY_MEL_PER_E * np.log(above))


def hz_of(mel: Float, scale: str) -> Float:
    """Return the frequencies in Hz of values in mel."""
    if scale == "htk":
        return np.asarray(_HTK_KNEE_HZ * (10.0 ** (mel / _HTK_MEL_PER_DECADE) - 1.0))
    knee = _SLANEY_KNEE_HZ / _SLANEY_HZ_PER_MEL
    return np.asarray(
        np.minimum(mel, knee) * _SLANEY_HZ_PER_MEL * np.exp(np.maximum(mel - knee, 0.0) / _SLANEY_MEL_PER_E)
    )


def mel_weights(config: MelConfig, sampling_rate_hz: float) -> Float:
    """Return the weight of each spectral line in each band, shape (n_mels, fft_samples // 2 + 1).

    A band narrower than the distance of the lines may hold none: its feature is that of the floor, as in librosa, which
    warns of it. A network that was trained on such rows needs them.

    Raises
    ------
    ValueError
        The bands do not fit below half the sampling rate.
    """
    lines_hz = np.arange(config.fft_samples // 2 + 1, dtype=np.float64) * sampling_rate_hz / config.fft_samples
    if config.high_hz > sampling_rate_hz / 2:
        raise ValueError(f"high_hz must be at most {sampling_rate_hz / 2:g} Hz, half the sampling rate")
    ends = mel_of(np.array([config.low_hz, config.high_hz]), config.scale)
    corners_mel = np.linspace(ends[0], ends[1], config.n_mels + 2)
    corners_hz = hz_of(corners_mel, config.scale)
    corners, lines = (
        (corners_hz, lines_hz) if config.linear_in == "hz" else (corners_mel, mel_of(lines_hz, config.scale))
    )
    left, centre, right = (corners[i : config.n_mels + i, np.newaxis] for i in range(3))
    weights = np.maximum(0.0, np.minimum((lines - left) / (centre - left), (right - lines) / (right - centre)))
    if config.equal_area:
        weights *= (2.0 / (corners_hz[2:] - corners_hz[:-2]))[:, np.newaxis]
    return weights


class MelFeatures:
    """Turns windows of one channel into rows of log-mel features. A row depends on its window alone: no state."""

    def __init__(self, config: MelConfig, sampling_rate_hz: float) -> None:
        """Raise ValueError as `mel_weights`."""
        n = config.window_samples
        self._config = config
        self._taper = constant(0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n, dtype=np.float64) / n))  # periodic Hann
        self._bands = [_used(band) for band in mel_weights(config, sampling_rate_hz)]

    def state(self) -> State:
        return {}

    def restore(self, state: State) -> None:
        """Nothing is carried from window to window."""

    def __call__(self, windows: WindowBatch, integer_samples: bool) -> npt.NDArray[np.float32]:
        """Return features, float32, shape (n_blocks, 1, n_mels)."""
        config = self._config
        values = windows.values
        if config.remove_mean:
            values = values - np.mean(values, axis=1, keepdims=True)
        spectrum = np.fft.rfft(values * self._taper, config.fft_samples, axis=1)
        lines = spectrum.real**2 + spectrum.imag**2
        if config.power == 1:
            lines = np.sqrt(lines)
        out = np.empty((len(lines), len(self._bands)), np.float64)
        for i, (first, weights) in enumerate(self._bands):  # no matrix product, see edge/features/spectra.py
            out[:, i] = np.sum(lines[:, first : first + len(weights)] * weights, axis=1)
        level = np.log(out + config.floor) if config.log == "ln" else 10.0 * np.log10(np.maximum(out, config.floor))
        return np.asarray((np.rint(level * config.steps_per_unit) / config.steps_per_unit)[:, np.newaxis], np.float32)


def _used(band: Float) -> tuple[int, Float]:
    """Return the first line that a band uses, and the weights from there to the last."""
    lines = np.flatnonzero(band)
    first, stop = (int(lines[0]), int(lines[-1]) + 1) if len(lines) else (0, 0)
    return first, constant(band[first:stop])

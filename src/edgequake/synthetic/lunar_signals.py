"""Simulated records of the Apollo seismometers: noise, moonquakes and glitches.

Amplitudes are in counts of the long-period channels. The model is deliberately small; each constant states its
source. All randomness comes from the `numpy.random.Generator` that is passed in.

References
----------
Latham, G. V. et al. (1970). Passive seismic experiment. Science 167, 455-457. doi:10.1126/science.167.3918.455
    (emergent onsets, codas of up to hours: intense scattering, very low absorption).
Nakamura, Y. (1977). Seismic energy transmission in an intensively scattering environment. Journal of Geophysics 43,
    389-399 (diffusion of energy: the gradual rise and the exponential tail).
Nakamura, Y. and Koyama, J. (1982). Seismic Q of the lunar upper mantle. Journal of Geophysical Research 87,
    4855-4861. doi:10.1029/JB087iB06p04855 (Q of several thousand).
Nunn, C. et al. (2020). Lunar seismology: a data and instrumentation review. Space Science Reviews 216, 89.
    doi:10.1007/s11214-020-00709-3 (10-bit samples, 6.625 Hz, peaked response near 0.45 Hz, glitches, gaps).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Spectrum = Callable[[Floats], Floats]  # amplitude at each frequency in Hz, in any unit

# Resonance of the long-period seismometers in their peaked mode (Nunn et al. 2020, section 3): both noise and quakes
# are strongest around it.
NOISE_PEAK_HZ = 0.45
NOISE_WIDTH = 0.45  # natural-log units of frequency; quiet Apollo spectra fall tenfold from 0.45 Hz to 2 Hz
NOISE_FLOOR = 0.25  # amplitude far from the peak, as a share of the amplitude at the peak
LEVEL_SWING = 0.2  # standard deviation of the noise level's natural logarithm
LEVEL_CORRELATION_S = 1800.0  # time scale of level changes (thermal and instrumental)

# Amplitude falls as exp(-pi f t / Q): Q = 1000..4000 at 0.7 Hz gives e-folding times of 450..1800 s; shorter times are
# included because the coda of small events ends in the noise.
DECAY_RANGE_S = (300.0, 1500.0)
RISE_RANGE_S = (40.0, 300.0)  # from the first motion to the maximum: gradual by scattering (Latham et al. 1970)
QUAKE_PEAK_RANGE_HZ = (0.4, 1.2)
QUAKE_WIDTH = 0.35  # natural-log units of frequency
QUAKE_BAND_HZ = (0.3, 2.0)
FADE_HZ = 0.1  # width of the tapers at the edges of the band
CODA_DECADES = 2.0  # the waveform ends where its envelope has fallen by this many decades


@dataclass(frozen=True)
class QuakeShape:
    """The properties that the components of one moonquake share."""

    rise_s: float  # approximate time from the onset to the peak amplitude
    decay_s: float  # e-folding time of the coda's amplitude
    peak_hz: float  # peak frequency of the spectrum


def draw_shape(rng: np.random.Generator, rise_s: float | None = None, decay_s: float | None = None) -> QuakeShape:
    """Draw a moonquake's shape, log-uniform over the ranges above; values that are given are used."""
    return QuakeShape(
        rise_s=log_uniform(rng, *RISE_RANGE_S) if rise_s is None else rise_s,
        decay_s=log_uniform(rng, *DECAY_RANGE_S) if decay_s is None else decay_s,
        peak_hz=log_uniform(rng, *QUAKE_PEAK_RANGE_HZ),
    )


def quake_envelope(shape: QuakeShape, sampling_rate_hz: float) -> Floats:
    """Return the amplitude envelope from the onset, shape (n_samples,), with a maximum of 1."""
    duration_s = shape.rise_s + CODA_DECADES * np.log(10.0) * shape.decay_s
    time_s = np.arange(1, int(duration_s * sampling_rate_hz) + 1, dtype=np.float64) / sampling_rate_hz
    rise = 1.0 - np.exp(-((2.0 * time_s / shape.rise_s) ** 1.5))
    envelope: Floats = rise * np.exp(-time_s / shape.decay_s)
    envelope /= envelope.max()
    return envelope


def quake_component(rng: np.random.Generator, shape: QuakeShape, sampling_rate_hz: float) -> Floats:
    """Return one component from the onset: noise with the quake's spectrum and envelope, independent per component.

    The envelope is the local root mean square; its maximum is 1.
    """
    envelope = quake_envelope(shape, sampling_rate_hz)
    scattered = coloured(rng, envelope.size, sampling_rate_hz, lambda f: _quake_spectrum(f, shape.peak_hz))
    return scattered * envelope


def quiet_noise(rng: np.random.Generator, n_samples: int, sampling_rate_hz: float, level_counts: float) -> Floats:
    """Return noise with a root mean square near `level_counts`, a peak near 0.45 Hz and a slowly varying level.

    At levels well under one count, the digitised signal alternates between two or three values, as Apollo's does.
    """
    noise = coloured(rng, n_samples, sampling_rate_hz, _noise_spectrum)
    noise *= level_counts * np.exp(LEVEL_SWING * _level_curve(rng, n_samples, sampling_rate_hz))
    return noise


def add_glitches(
    rng: np.random.Generator,
    samples: Floats,
    sampling_rate_hz: float,
    spikes_per_hour: float = 6.0,
    steps_per_day: float = 4.0,
) -> Floats:
    """Return a copy of one channel with one-sample spikes (3 to 400 counts) and steps (1 to 4), of either sign."""
    glitched = samples.copy()
    hours = samples.size / sampling_rate_hz / 3600.0
    for index in rng.integers(0, samples.size, rng.poisson(spikes_per_hour * hours)):
        glitched[index] += rng.choice((-1.0, 1.0)) * log_uniform(rng, 3.0, 400.0)
    for index in rng.integers(0, samples.size, rng.poisson(steps_per_day * hours / 24.0)):
        glitched[index:] += rng.choice((-1.0, 1.0)) * rng.uniform(1.0, 4.0)
    return glitched


def _noise_spectrum(frequency_hz: Floats) -> Floats:
    """Return the noise's amplitude spectrum: a peak on a constant floor."""
    bump: Floats = np.exp(-0.5 * (np.log(frequency_hz / NOISE_PEAK_HZ) / NOISE_WIDTH) ** 2)
    return NOISE_FLOOR + bump


def _quake_spectrum(frequency_hz: Floats, peak_hz: float) -> Floats:
    """Return a quake's amplitude spectrum: a peak at `peak_hz`, zero outside the band."""
    bump = np.exp(-0.5 * (np.log(frequency_hz / peak_hz) / QUAKE_WIDTH) ** 2)
    low, high = QUAKE_BAND_HZ
    faded: Floats = bump * np.clip(np.minimum(frequency_hz - low, high - frequency_hz) / FADE_HZ, 0.0, 1.0)
    return faded


def coloured(rng: np.random.Generator, n_samples: int, sampling_rate_hz: float, spectrum: Spectrum) -> Floats:
    """Return Gaussian noise of unit variance with an amplitude spectrum, shape (n_samples,)."""
    n_padded = 1 << max(int(n_samples) - 1, 1).bit_length()  # a power of two: transforms of prime length are slow
    frequencies_hz = np.fft.rfftfreq(n_padded, 1.0 / sampling_rate_hz)
    weights = np.zeros(frequencies_hz.size, dtype=np.float64)
    weights[1:] = spectrum(frequencies_hz[1:])  # zero mean
    weights *= np.sqrt(0.5 * n_padded / (np.sum(weights**2) + 1e-300))
    white = np.fft.rfft(rng.standard_normal(n_padded))
    noise: Floats = np.fft.irfft(white * weights, n_padded)[:n_samples]
    return noise


def _level_curve(rng: np.random.Generator, n_samples: int, sampling_rate_hz: float) -> Floats:
    """Return a slowly varying random curve of unit variance, linear between knots one correlation time apart."""
    knots_s = np.arange(0.0, n_samples / sampling_rate_hz + 2 * LEVEL_CORRELATION_S, LEVEL_CORRELATION_S)
    values = rng.standard_normal(knots_s.size)
    curve: Floats = np.interp(np.arange(n_samples) / sampling_rate_hz, knots_s, values)
    return curve


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw from [low, high), uniformly in the logarithm."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))

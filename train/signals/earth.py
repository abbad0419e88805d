"""Synthetic signals of a short-period or broadband station on Earth: noise, local and regional quakes, human noise.

Amplitudes are in units of the quiet noise of a channel. The model is deliberately simple.

References
----------
Peterson, J. (1993), Observations and modeling of seismic background noise, USGS Open-File Report 93-322,
    doi:10.3133/ofr93322 (microseisms below 1 Hz, human noise of 1-20 Hz in daytime).
Brune, J. N. (1970), Tectonic stress and the spectra of seismic shear waves from earthquakes, Journal of Geophysical
    Research 75, 4997-5009, doi:10.1029/JB075i026p04997 (velocity is flat up to a corner, higher for small quakes).
Aki, K. & Chouet, B. (1975), Origin of coda waves, Journal of Geophysical Research 80, 3322-3342,
    doi:10.1029/JB080i023p03322 (scattered codas that outlast the direct waves).
Meng, H. & Ben-Zion, Y. (2018), Characteristics of airplanes and helicopters recorded by a dense seismic array near
    Anza California, doi:10.1029/2017JB015240 (signals of aircraft at the stations of the records used here).
"""

from __future__ import annotations

from functools import partial

import numpy as np

from edgequake.synthetic.lunar_signals import coloured, log_uniform
from edgequake.train.configuration.body_scales import Scales
from edgequake.train.signals.noise import Float, add_at, bump, n_events, rise_and_decay, wandering

S_AFTER_P_S = (0.8, 40.0)
CODA_DECAYS = 4.0  # a phase is cut off after this many e-folding times
BURSTS_PER_HOUR = (2.0, 80.0)
PASSING_PER_HOUR, PULSES_PER_HOUR, STEPS_PER_HOUR = 6.0, 1.0, 1.0


def earth_noise(rng: np.random.Generator, n_channels: int, n_samples: int, rate_hz: float) -> Float:
    """Return microseisms, white noise and a hum, shape (n_channels, n_samples), of about unit scale."""
    slope, floor = rng.uniform(0.5, 3.0), 10.0 ** rng.uniform(-2.0, 0.3)
    hum_hz, hum = log_uniform(rng, 1.5, 9.0), 10.0 ** rng.uniform(-2.0, 0.7)
    swing = np.exp(rng.uniform(0.0, 0.4) * wandering(rng, n_samples, rate_hz, log_uniform(rng, 10.0, 300.0)))

    def spectrum(hz: Float) -> Float:
        return np.asarray((1.0 + (hz / 0.3) ** 2) ** (-slope / 2.0) + floor + hum * bump(hz, hum_hz, 0.3), np.float64)

    return np.stack([swing * coloured(rng, n_samples, rate_hz, spectrum) for _ in range(n_channels)])


def earthquake(rng: np.random.Generator, scales: Scales, n_channels: int, rate_hz: float) -> list[Float]:
    """Return a local or regional quake from its P arrival on, one wave for each channel: sharp P, larger S, a coda."""
    s_after_p_s = log_uniform(rng, *S_AFTER_P_S)
    corners_hz = [log_uniform(rng, 1.5, 15.0)]
    corners_hz.append(corners_hz[0] * rng.uniform(0.4, 1.0))  # the corner of S is lower
    rises = [log_uniform(rng, *scales.rise_s) for _ in range(2)]
    shortest_s = max(scales.decay_s[0], 0.3 * s_after_p_s)
    decays = [log_uniform(rng, min(shortest_s, scales.decay_s[1] / 2), scales.decay_s[1]) for _ in range(2)]
    s_gain = 10.0 ** rng.uniform(0.0, 0.8)
    n_samples = int((s_after_p_s + CODA_DECAYS * max(decays)) * rate_hz)
    phases = zip((0.0, s_after_p_s), (1.0, s_gain), corners_hz, rises, decays, strict=True)
    drawn = [(int(start_s * rate_hz), *rest) for start_s, *rest in phases]
    waves = []
    for _ in range(n_channels):
        wave = np.zeros(n_samples)
        for start, gain, corner_hz, rise_s, decay_s in drawn:
            n = min(int(CODA_DECAYS * decay_s * rate_hz), n_samples - start)
            phase = _phase(rng, n, rate_hz, corner_hz, rise_s, decay_s)
            add_at(wave, start, phase, gain * np.exp(rng.normal(0.0, 0.3)))
        waves.append(wave)
    return waves


def earth_disturbances(rng: np.random.Generator, noise: Float, rate_hz: float) -> Float:
    """Return noise with footsteps and knocks, passing traffic, calibration pulses and steps, as hard negatives."""
    out = noise.copy()
    n = out.shape[1]
    for _ in range(n_events(rng, log_uniform(rng, *BURSTS_PER_HOUR), n, rate_hz)):
        _add_to_all(rng, out, int(rng.integers(n)), knock(rng, rate_hz), 10.0 ** rng.uniform(0.3, 2.0))
    for _ in range(n_events(rng, PASSING_PER_HOUR, n, rate_hz)):
        wave = _passing(rng, rate_hz)
        _add_to_all(rng, out, int(rng.integers(-len(wave) // 2, n)), wave, 10.0 ** rng.uniform(-0.3, 1.0))
    for _ in range(n_events(rng, PULSES_PER_HOUR, n, rate_hz)):
        _add_to_all(rng, out, int(rng.integers(n)), calibration_pulse(rng, rate_hz), 10.0 ** rng.uniform(0.5, 3.0))
    for index in rng.integers(0, n, n_events(rng, STEPS_PER_HOUR, n, rate_hz)):
        out[int(rng.integers(len(out))), index:] += rng.choice((-1.0, 1.0)) * 10.0 ** rng.uniform(0.0, 3.0)
    return out


def knock(rng: np.random.Generator, rate_hz: float) -> Float:
    """Return one to eight short bursts in a row, 0.3 to 4 s in all: footsteps, a door, a telemetry error."""
    n_knocks = int(rng.integers(1, 9)) if rng.random() < 0.5 else 1
    spacing = int(rng.uniform(0.3, 0.6) * rate_hz)
    length = int(log_uniform(rng, 0.1, 1.0) * rate_hz) + 2
    spectrum = partial(bump, peak_hz=log_uniform(rng, 1.0, 9.5), width=0.5)
    decay = np.exp(-5.0 * np.arange(length) / length)
    out = np.zeros(spacing * (n_knocks - 1) + length)
    for i in range(n_knocks):
        add_at(out, i * spacing, decay * coloured(rng, length, rate_hz, spectrum), rng.uniform(0.5, 1.0))
    return out


def calibration_pulse(rng: np.random.Generator, rate_hz: float) -> Float:
    """Return a decaying or a square pulse of 1 to 40 s, positive or negative."""
    n = int(log_uniform(rng, 1.0, 40.0) * rate_hz)
    pulse = np.exp(-5.0 * np.arange(n) / n) if rng.random() < 0.6 else np.ones(n)
    return np.asarray(rng.choice((-1.0, 1.0)) * pulse, np.float64)


def _passing(rng: np.random.Generator, rate_hz: float) -> Float:
    """Return 4 to 60 s of noise around one frequency that rises and falls: traffic, aircraft."""
    n = int(log_uniform(rng, 4.0, 60.0) * rate_hz)
    spectrum = partial(bump, peak_hz=log_uniform(rng, 2.0, 9.0), width=rng.uniform(0.15, 0.5))
    return np.hanning(n) ** rng.uniform(0.7, 2.0) * coloured(rng, n, rate_hz, spectrum)


def _phase(
    rng: np.random.Generator, n_samples: int, rate_hz: float, corner_hz: float, rise_s: float, decay_s: float
) -> Float:
    low_hz = 0.1 * corner_hz

    def spectrum(hz: Float) -> Float:
        return np.asarray((hz / low_hz) / (1.0 + hz / low_hz) / (1.0 + (hz / corner_hz) ** 2), np.float64)

    return coloured(rng, n_samples, rate_hz, spectrum) * rise_and_decay(n_samples, rate_hz, rise_s, decay_s)


def _add_to_all(rng: np.random.Generator, channels: Float, start: int, wave: Float, gain: float) -> None:
    """Add a wave to every channel with different gains, or to a single one, in place."""
    alone = int(rng.integers(len(channels))) if rng.random() < 0.2 else None
    for i, channel in enumerate(channels):
        if alone in (None, i):
            add_at(channel, start, wave, gain * float(np.exp(rng.normal(0.0, 0.4))))

"""Synthetic signals of the InSight broadband seismometer: noise and wind, marsquakes, glitches.

Amplitudes are in units of the quiet noise of a channel. The model is deliberately simple.

References
----------
Giardini, D. et al. (2020), The seismicity of Mars, Nature Geoscience 13, 205-212, doi:10.1038/s41561-020-0539-8
    (low-frequency and broadband quakes of 0.1-1 and up to 2.4 Hz, P and S minutes apart; the 2.4 Hz resonance).
Clinton, J. F. et al. (2021), The Marsquake catalogue from InSight, sols 0-478, Physics of the Earth and Planetary
    Interiors 310, 106595, doi:10.1016/j.pepi.2020.106595 (families; high-frequency events of 5 to 15 minutes).
Scholz, J.-R. et al. (2020), Detection, analysis, and removal of glitches from InSight's seismic data from Mars, Earth
    and Space Science 7, e2020EA001317, doi:10.1029/2020EA001317 (one-sided pulses of about 25 s, the response to a
    step in acceleration, some with a sharp precursor; several per hour, on one axis or on all).
Banerdt, W. B. et al. (2020), Initial results from the InSight mission on Mars, Nature Geoscience 13, 183-189,
    doi:10.1038/s41561-020-0544-y (pressure drops of passing convective vortices tilt the ground for some ten seconds).
Ceylan, S. et al. (2021), Companion guide to the Marsquake catalog from InSight, doi:10.1016/j.pepi.2020.106597
    (lander resonances at 1.6, 3.3, 4.1, 6.8 and 8.6 Hz that follow the wind).
"""

from __future__ import annotations

from functools import partial

import numpy as np

from edgequake.synthetic.lunar_signals import Spectrum, coloured, log_uniform
from edgequake.train.configuration.body_scales import Scales
from edgequake.train.signals.noise import Float, add_at, bump, n_events, rise_and_decay, wandering

LANDER_HZ = (1.6, 3.3, 4.1, 6.8, 8.6)  # resonances of the lander
GROUND_HZ = 2.4  # resonance of the ground
S_AFTER_P_S = (40.0, 300.0)
FAMILY_SHARES = {"low": 0.35, "broad": 0.3, "2.4 Hz": 0.15, "high": 0.2}
LOWEST_HZ = 0.1
CODA_DECAYS = 4.0  # a phase is cut off after this many e-folding times
GLITCH_DECAY_S = (1.2, 4.0)  # of the pulse t exp(-t / decay), which falls below the noise within 10-25 s
GLITCHES_PER_HOUR = (0.5, 20.0)
GUST_S = (40.0, 600.0)
VORTEX_S = (4.0, 40.0)  # width of a pressure drop at half its depth
GUSTS_PER_HOUR, BURSTS_PER_HOUR, STEPS_PER_HOUR, VORTICES_PER_HOUR = 1.5, 0.5, 0.3, 0.7


def mars_noise(rng: np.random.Generator, n_channels: int, n_samples: int, rate_hz: float) -> Float:
    """Return quiet noise and wind, shape (n_channels, n_samples), of about unit scale."""
    slope, floor = rng.uniform(0.8, 2.0), 10.0 ** rng.uniform(-1.5, 0.0)
    lines = [(hz, 10.0 ** rng.uniform(-1.5, 0.7)) for hz in (*LANDER_HZ, GROUND_HZ)]
    wind_level = 10.0 ** rng.uniform(-1.5, 0.5)
    # All channels record the same wind.
    gusts = np.exp(rng.uniform(0.1, 0.9) * wandering(rng, n_samples, rate_hz, log_uniform(rng, *GUST_S)))
    swing = np.exp(0.15 * wandering(rng, n_samples, rate_hz, 900.0))

    def background(hz: Float) -> Float:
        return np.asarray(np.minimum((hz / 0.3) ** -slope, 30.0) + floor, np.float64)

    def windy(hz: Float) -> Float:
        return np.asarray(0.3 * hz**0.5 + sum(gain * bump(hz, at, 0.03) for at, gain in lines), np.float64)

    return np.stack(
        [
            swing * coloured(rng, n_samples, rate_hz, background)
            + wind_level * gusts * coloured(rng, n_samples, rate_hz, windy)
            for _ in range(n_channels)
        ]
    )


def marsquake(rng: np.random.Generator, scales: Scales, layout: str, rate_hz: float) -> list[Float]:
    """Return a marsquake from its P arrival on, one wave for each channel: P and S, each with a coda."""
    family = str(rng.choice(list(FAMILY_SHARES), p=list(FAMILY_SHARES.values())))
    spectrum = _spectrum(rng, family)
    s_after_p_s = log_uniform(rng, *S_AFTER_P_S)
    slowness = 3.0 if family == "high" else 1.0  # high-frequency events rise for about a minute
    rises = [min(slowness * log_uniform(rng, *scales.rise_s), 90.0) for _ in range(2)]
    decays = [log_uniform(rng, *scales.decay_s) for _ in range(2)]
    s_gain = 10.0 ** rng.uniform(-0.2, 0.6)
    n_samples = int((s_after_p_s + CODA_DECAYS * max(decays)) * rate_hz)
    waves = []
    for _ in layout:
        wave = np.zeros(n_samples)
        balance = np.exp(rng.normal(0.0, 0.3, 2))  # of P and S, which differs between components
        for start_s, gain, rise_s, decay_s in zip((0.0, s_after_p_s), (1.0, s_gain), rises, decays, strict=True):
            n = min(int(CODA_DECAYS * decay_s * rate_hz), n_samples - int(start_s * rate_hz))
            phase = coloured(rng, n, rate_hz, spectrum) * rise_and_decay(n, rate_hz, rise_s, decay_s)
            add_at(wave, int(start_s * rate_hz), phase, gain * float(balance[int(start_s > 0)]))
        waves.append(wave)
    return waves


def mars_disturbances(rng: np.random.Generator, noise: Float, rate_hz: float) -> Float:
    """Return noise with glitches, gusts, pressure drops, short bursts and steps of the mean, as hard negatives."""
    out = noise.copy()
    n = out.shape[1]
    for _ in range(n_events(rng, log_uniform(rng, *GLITCHES_PER_HOUR), n, rate_hz)):
        _add_to_some(rng, out, int(rng.integers(n)), glitch(rng, rate_hz), 10.0 ** rng.uniform(0.3, 2.5))
    for _ in range(n_events(rng, GUSTS_PER_HOUR, n, rate_hz)):
        _add_gust(rng, out, rate_hz)
    for _ in range(n_events(rng, VORTICES_PER_HOUR, n, rate_hz)):
        _add_pressure_drop(rng, out, rate_hz)
    for _ in range(n_events(rng, BURSTS_PER_HOUR, n, rate_hz)):
        _add_to_some(rng, out, int(rng.integers(n)), _burst(rng, rate_hz), 10.0 ** rng.uniform(0.0, 1.5))
    for index in rng.integers(0, n, n_events(rng, STEPS_PER_HOUR, n, rate_hz)):
        out[int(rng.integers(len(out))), index:] += rng.choice((-1.0, 1.0)) * 10.0 ** rng.uniform(0.0, 2.0)
    return out


def glitch(rng: np.random.Generator, rate_hz: float) -> Float:
    """Return a one-sided pulse of 10 to 25 s with a maximum of 1; some have a sharp precursor at the start.

    t exp(-t / decay) is the response of a critically damped seismometer to a step in acceleration.
    """
    decay_s = log_uniform(rng, *GLITCH_DECAY_S)
    time_s = np.arange(int(10.0 * decay_s * rate_hz)) / rate_hz
    pulse = time_s / decay_s * np.exp(1.0 - time_s / decay_s)
    if rng.random() < 0.4:
        n = int(0.5 * rate_hz)
        pulse[:n] += rng.uniform(-1.0, 1.0) * np.exp(-np.arange(n) / (0.1 * rate_hz)) * (-1.0) ** np.arange(n)
    return np.asarray(pulse, np.float64)


def _add_gust(rng: np.random.Generator, channels: Float, rate_hz: float) -> None:
    """Add wind of a few minutes, smooth or irregular, to every channel in place."""
    n = int(log_uniform(rng, *GUST_S) * rate_hz)
    shape = np.sin(np.pi * np.linspace(0.0, 1.0, n)) ** rng.uniform(0.3, 2.0)
    shape *= np.exp(0.5 * wandering(rng, n, rate_hz, 15.0))
    shape /= shape.max()
    start, gain = int(rng.integers(-n // 2, channels.shape[1])), 10.0 ** rng.uniform(-0.3, 1.0)
    spectrum = partial(_above, corner_hz=log_uniform(rng, 0.3, 3.0))  # weak wind exceeds the noise only above a corner
    for channel in channels:
        wind = shape * coloured(rng, n, rate_hz, spectrum)
        add_at(channel, start, wind, gain * float(np.exp(rng.normal(0.0, 0.3))))


def _add_pressure_drop(rng: np.random.Generator, channels: Float, rate_hz: float) -> None:
    """Add the passage of a convective vortex to every channel in place: a tilt, and wind while it lasts.

    The pressure is a Lorentzian in time; the ground tilts as it changes, so that motion follows it or its derivative.
    """
    width_s = log_uniform(rng, *VORTEX_S)
    n = int(16.0 * width_s * rate_hz)
    time = (np.arange(n) - n / 2) / (0.5 * width_s * rate_hz)
    drop = 1.0 / (1.0 + time**2)
    tilt = drop if rng.random() < 0.5 else 1.5 * time * drop**2
    tilt = tilt * np.hanning(n)  # the wings of a Lorentzian never end
    start, gain = int(rng.integers(-n // 2, channels.shape[1])), 10.0 ** rng.uniform(0.3, 2.3)
    wind_gain = 10.0 ** rng.uniform(-1.0, 0.8)
    spectrum = partial(_above, corner_hz=log_uniform(rng, 0.5, 5.0))
    for channel in channels:
        add_at(channel, start, tilt, gain * float(rng.uniform(-1.0, 1.0)))
        wind = drop * coloured(rng, n, rate_hz, spectrum)
        add_at(channel, start, wind, wind_gain * float(np.exp(rng.normal(0.0, 0.3))))


def _burst(rng: np.random.Generator, rate_hz: float) -> Float:
    """Return 2 to 40 s of noise around one frequency: operations of arm and camera, dust devils."""
    n = int(rng.uniform(2.0, 40.0) * rate_hz)
    return np.hanning(n) * coloured(rng, n, rate_hz, partial(bump, peak_hz=log_uniform(rng, 0.5, 8.0), width=0.6))


def _spectrum(rng: np.random.Generator, family: str) -> Spectrum:
    """Draw the amplitude spectrum of a quake of the given family."""
    if family == "2.4 Hz":
        return partial(bump, peak_hz=GROUND_HZ, width=0.12)
    if family == "high":
        return partial(_quake_spectrum, peak_hz=log_uniform(rng, 3.0, 6.0), width=rng.uniform(0.3, 0.6), resonance=1.0)
    if family == "low":
        return partial(_quake_spectrum, peak_hz=log_uniform(rng, 0.3, 0.7), width=0.35, resonance=0.0)
    resonance = 10.0 ** rng.uniform(-1.0, 0.3)
    return partial(_quake_spectrum, peak_hz=log_uniform(rng, 0.4, 1.5), width=0.7, resonance=resonance)


def _quake_spectrum(frequency_hz: Float, peak_hz: float, width: float, resonance: float) -> Float:
    """Return a Gaussian over log frequency plus the resonance of the ground, and zero below 0.1 Hz."""
    both = bump(frequency_hz, peak_hz, width) + resonance * bump(frequency_hz, GROUND_HZ, 0.1)
    return np.asarray(both * np.clip((frequency_hz - LOWEST_HZ) / LOWEST_HZ, 0.0, 1.0), np.float64)


def _above(frequency_hz: Float, corner_hz: float) -> Float:
    return np.asarray(1.0 / (1.0 + (corner_hz / frequency_hz) ** 2), np.float64)


def _add_to_some(rng: np.random.Generator, channels: Float, start: int, wave: Float, gain: float) -> None:
    """Add a wave to one channel, or to all with different gains and signs, in place."""
    chosen = range(len(channels)) if rng.random() < 0.5 else [int(rng.integers(len(channels)))]
    for i in chosen:
        add_at(channels[i], start, wave, gain * float(rng.choice((-1.0, 1.0)) * rng.uniform(0.3, 1.0)))

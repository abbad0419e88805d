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
Bormann, P. (2012), New Manual of Seismological Observatory Practice (NMSOP-2), chapter 11, doi:10.2312/GFZ.NMSOP-2:
    P shakes the vertical component more than the horizontal ones, S the reverse; distant quakes begin below 2 Hz.
Meng, H. & Ben-Zion, Y. (2018), Characteristics of airplanes and helicopters recorded by a dense seismic array near
    Anza California, doi:10.1029/2017JB015240 (signals of aircraft at the stations of the records used here).
"""

from __future__ import annotations

from functools import partial

import numpy as np

from edgequake.synthetic.lunar_signals import coloured, log_uniform
from edgequake.train.configuration.body_scales import Scales
from edgequake.train.signals.noise import Float, add_at, bump, n_events, rise_and_decay, wandering

S_AFTER_P_S = (0.5, 40.0)
CODA_DECAYS = 4.0  # a phase is cut off after this many e-folding times
DISTANT_SHARE = 0.2  # of the quakes: only their P is within the record, and it may grow for many seconds
DISTANT_CORNER_HZ, DISTANT_RISE_S, DISTANT_DECAY_S = (0.4, 2.0), (1.0, 20.0), (10.0, 60.0)
CORNER_HZ = (1.5, 30.0)
P_ON_HORIZONTAL, S_ON_VERTICAL = (0.2, 0.9), (0.3, 1.0)  # amplitude, in that on the component it shakes most
BURSTS_PER_HOUR = (2.0, 300.0)
PACKETS_PER_HOUR = (5.0, 300.0)  # of a record in soft ground
SOFT_SHARE = 0.3  # of the records
THUMPS_PER_HOUR = (1.0, 60.0)  # of a record near a road or machines
ROAD_SHARE = 0.5  # of the records
PASSING_PER_HOUR, PULSES_PER_HOUR, STEPS_PER_HOUR = (2.0, 40.0), 1.0, 1.0


def earth_noise(rng: np.random.Generator, n_channels: int, n_samples: int, rate_hz: float) -> Float:
    """Return microseisms, white noise and a hum, shape (n_channels, n_samples), of about unit scale."""
    slope, floor = rng.uniform(0.5, 3.0), 10.0 ** rng.uniform(-2.0, 0.3)
    hums = [(log_uniform(rng, 1.5, 0.45 * rate_hz), 10.0 ** rng.uniform(-2.0, 0.7)) for _ in range(2)]
    swing = np.exp(rng.uniform(0.0, 0.4) * wandering(rng, n_samples, rate_hz, log_uniform(rng, 10.0, 300.0)))

    def spectrum(hz: Float) -> Float:
        hum = sum(gain * bump(hz, at_hz, 0.3) for at_hz, gain in hums)
        return np.asarray((1.0 + (hz / 0.3) ** 2) ** (-slope / 2.0) + floor + hum, np.float64)

    return np.stack([swing * coloured(rng, n_samples, rate_hz, spectrum) for _ in range(n_channels)])


def earthquake(rng: np.random.Generator, scales: Scales, layout: str, rate_hz: float) -> list[Float]:
    """Return a quake from its P arrival on, one wave for each channel: P, a larger S, a coda; or a distant one's P."""
    if rng.random() < DISTANT_SHARE:
        return _distant(rng, layout, rate_hz)
    s_after_p_s = log_uniform(rng, *S_AFTER_P_S)
    corners_hz = [log_uniform(rng, *CORNER_HZ)]
    corners_hz.append(corners_hz[0] * rng.uniform(0.4, 1.0))  # the corner of S is lower
    rises = [log_uniform(rng, scales.rise_s[0], min(scales.rise_s[1], s_after_p_s)), log_uniform(rng, *scales.rise_s)]
    shortest_s = max(scales.decay_s[0], 0.3 * s_after_p_s)
    decays = [log_uniform(rng, min(shortest_s, scales.decay_s[1] / 2), scales.decay_s[1]) for _ in range(2)]
    s_gain = 10.0 ** rng.uniform(0.0, 0.8)
    n_samples = int((s_after_p_s + CODA_DECAYS * max(decays)) * rate_hz)
    phases = zip((0.0, s_after_p_s), (1.0, s_gain), corners_hz, rises, decays, strict=True)
    drawn = [(int(start_s * rate_hz), *rest) for start_s, *rest in phases]
    p_on_horizontal, s_on_vertical = rng.uniform(*P_ON_HORIZONTAL), rng.uniform(*S_ON_VERTICAL)
    shares = {"V": (1.0, s_on_vertical), "H": (p_on_horizontal, 1.0)}
    shares["?"] = shares[str(rng.choice(("V", "H")))]
    waves = []
    for kind in layout:
        wave = np.zeros(n_samples)
        for share, (start, gain, corner_hz, rise_s, decay_s) in zip(shares[kind], drawn, strict=True):
            n = min(int(CODA_DECAYS * decay_s * rate_hz), n_samples - start)
            phase = _phase(rng, n, rate_hz, corner_hz, rise_s, decay_s)
            add_at(wave, start, phase, share * gain * np.exp(rng.normal(0.0, 0.3)))
        waves.append(wave)
    return waves


def _distant(rng: np.random.Generator, layout: str, rate_hz: float) -> list[Float]:
    """Return the P of a large distant quake: low, on the vertical component first of all, emergent."""
    corner_hz, rise_s = log_uniform(rng, *DISTANT_CORNER_HZ), log_uniform(rng, *DISTANT_RISE_S)
    decay_s, on_horizontal = log_uniform(rng, *DISTANT_DECAY_S), rng.uniform(*P_ON_HORIZONTAL)
    n_samples = int(CODA_DECAYS * decay_s * rate_hz)
    wave = partial(_phase, rng, n_samples, rate_hz, corner_hz, rise_s, decay_s)
    return [(on_horizontal if kind == "H" else 1.0) * wave() * np.exp(rng.normal(0.0, 0.2)) for kind in layout]


def earth_disturbances(rng: np.random.Generator, noise: Float, rate_hz: float) -> Float:
    """Return noise with footsteps and knocks, traffic, packets of soft ground, pulses and steps, as hard negatives."""
    out = noise.copy()
    n = out.shape[1]
    for _ in range(n_events(rng, log_uniform(rng, *BURSTS_PER_HOUR), n, rate_hz)):
        _add_to_all(rng, out, int(rng.integers(n)), knock(rng, rate_hz), 10.0 ** rng.uniform(0.2, 1.6))
    for _ in range(n_events(rng, log_uniform(rng, *PASSING_PER_HOUR), n, rate_hz)):
        wave = _passing(rng, rate_hz)
        _add_to_all(rng, out, int(rng.integers(-len(wave) // 2, n)), wave, 10.0 ** rng.uniform(-0.3, 1.3))
    if rng.random() < SOFT_SHARE:
        peak_hz = log_uniform(rng, 0.8, 4.0)  # that of the ground under this station
        for _ in range(n_events(rng, log_uniform(rng, *PACKETS_PER_HOUR), n, rate_hz)):
            _add_to_all(rng, out, int(rng.integers(n)), packet(rng, rate_hz, peak_hz), 10.0 ** rng.uniform(-0.3, 1.5))
    if rng.random() < ROAD_SHARE:
        for _ in range(n_events(rng, log_uniform(rng, *THUMPS_PER_HOUR), n, rate_hz)):
            _add_to_all(rng, out, int(rng.integers(n)), thump(rng, rate_hz), 10.0 ** rng.uniform(-0.2, 1.3))
    for _ in range(n_events(rng, PULSES_PER_HOUR, n, rate_hz)):
        _add_to_all(rng, out, int(rng.integers(n)), calibration_pulse(rng, rate_hz), 10.0 ** rng.uniform(0.3, 2.0))
    for index in rng.integers(0, n, n_events(rng, STEPS_PER_HOUR, n, rate_hz)):
        out[int(rng.integers(len(out))), index:] += rng.choice((-1.0, 1.0)) * 10.0 ** rng.uniform(0.0, 2.0)
    return out


def knock(rng: np.random.Generator, rate_hz: float) -> Float:
    """Return one to eight short bursts in a row, 0.3 to 4 s in all: footsteps, a door, a telemetry error."""
    n_knocks = int(rng.integers(1, 9)) if rng.random() < 0.5 else 1
    spacing = int(rng.uniform(0.3, 0.6) * rate_hz)
    length = int(log_uniform(rng, 0.1, 1.0) * rate_hz) + 2
    spectrum = partial(bump, peak_hz=log_uniform(rng, 1.0, 0.475 * rate_hz), width=0.5)
    decay = np.exp(-5.0 * np.arange(length) / length)
    out = np.zeros(spacing * (n_knocks - 1) + length)
    for i in range(n_knocks):
        add_at(out, i * spacing, decay * coloured(rng, length, rate_hz, spectrum), rng.uniform(0.5, 1.0))
    return out


def thump(rng: np.random.Generator, rate_hz: float) -> Float:
    """Return one to four bursts that ring for 1 to 10 s each: axles on a joint, vehicles in a row, a falling weight.

    Two of them seconds apart are the hardest: they look like P and S of a quake near by.
    """
    n_thumps, decay_s = int(rng.integers(1, 5)), log_uniform(rng, 0.2, 2.0)
    n, spacing = int(5.0 * decay_s * rate_hz) + 2, int(log_uniform(rng, 0.2, 6.0) * rate_hz)
    spectrum = partial(bump, peak_hz=log_uniform(rng, 1.0, 0.45 * rate_hz), width=rng.uniform(0.2, 1.0))
    out = np.zeros(n + spacing * (n_thumps - 1))
    for i in range(n_thumps):
        wave = coloured(rng, n, rate_hz, spectrum) * rise_and_decay(n, rate_hz, rng.uniform(0.02, 1.0), decay_s)
        add_at(out, i * spacing, wave, rng.uniform(0.3, 1.0))
    return out


def packet(rng: np.random.Generator, rate_hz: float, peak_hz: float) -> Float:
    """Return a wave packet of 2 to 6 s around one frequency: traffic and machines heard through soft ground."""
    n = int(rng.uniform(2.0, 6.0) * rate_hz)
    own_hz = peak_hz * np.exp(rng.normal(0.0, 0.15))
    return np.hanning(n) * coloured(rng, n, rate_hz, partial(bump, peak_hz=own_hz, width=rng.uniform(0.1, 0.3)))


def calibration_pulse(rng: np.random.Generator, rate_hz: float) -> Float:
    """Return a decaying or a square pulse of 1 to 40 s, positive or negative."""
    n = int(log_uniform(rng, 1.0, 40.0) * rate_hz)
    pulse = np.exp(-5.0 * np.arange(n) / n) if rng.random() < 0.6 else np.ones(n)
    return np.asarray(rng.choice((-1.0, 1.0)) * pulse, np.float64)


def _passing(rng: np.random.Generator, rate_hz: float) -> Float:
    """Return 3 to 60 s of noise around one frequency that rises and falls, or around two: traffic, aircraft."""
    n = int(log_uniform(rng, 3.0, 60.0) * rate_hz)
    wave = np.zeros(n)
    for _ in range(int(rng.integers(1, 3))):  # the ground's own low frequency, and the engine's
        spectrum = partial(bump, peak_hz=log_uniform(rng, 2.0, 0.45 * rate_hz), width=rng.uniform(0.15, 0.6))
        wave += np.hanning(n) ** rng.uniform(0.7, 3.0) * coloured(rng, n, rate_hz, spectrum) * rng.uniform(0.3, 1.0)
    return wave


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

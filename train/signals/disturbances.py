"""Disturbances of the lunar instruments, as hard negatives in synthetic records.

| disturbance | function |
|---|---|
| spikes of one sample, steps of the mean | `synthetic.lunar_signals.add_glitches`, every channel |
| bursts and swings of 2 to 50 s, changes of level | `lunar_disturbances` |
| a glitching channel: swings and steps every few seconds to minutes, for minutes to hours | `glitching` |
| a channel that is dead all the time or for a while | `ten_bit_counts`, `processed_floats` |
| 10-bit counts: a staircase in quiet time, clipping at large amplitudes | `ten_bit_counts` |
| single lost samples marked -1 | `ten_bit_counts` |
| tapers at both ends, a zeroed start, a low-pass filter, another unit | `processed_floats` |
| gaps: samples missing between records | `with_gaps`, for all bodies |

Spacecraft landings are in the recorded noise (`edgequake.train.data.noise_bank`). All randomness comes from `rng`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, sosfilt

from edgequake.edge.features.contrast import VERTICAL
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns
from edgequake.synthetic.lunar_signals import add_glitches, log_uniform
from edgequake.train.signals.noise import Float, n_events

START_NS = 1_000_000_000 * NS_PER_S  # of synthetic records: 2001-09-09, a date of no recorded lunar or Martian event
GLITCHING_SHARE = 0.15  # share of synthetic records with a glitching channel
GLITCH_SPACING_S = (15.0, 300.0)
DEAD_SHARE = 0.1  # of the channels after the first are dead throughout, and as many for a while
SPIKES_PER_HOUR = (0.5, 80.0)
TAPER_S = (60.0, 1800.0)  # those of the packet take 5 % of a part-day, 15 to 20 minutes


def lunar_disturbances(rng: np.random.Generator, noise: Float, rate_hz: float) -> Float:
    """Return noise with short bursts, decaying swings, changes of level and perhaps a glitching channel.

    noise : shape (n_channels, n_samples), of unit scale; the result has the same shape.
    """
    out = noise.copy()
    n = out.shape[1]
    if rng.random() < 0.3:  # thermal and instrumental changes of level, in steps
        for index in rng.integers(0, n, rng.poisson(1.5)):
            out[:, index:] *= 10.0 ** rng.uniform(-0.3, 0.3)
    for _ in range(n_events(rng, 0.5, n, rate_hz)):
        length = int(rng.uniform(2.0, 50.0) * rate_hz)
        start = int(rng.integers(0, n))
        stop = min(start + length, n)
        is_burst = rng.random() < 0.5
        shape = np.hanning(length)[: stop - start] if is_burst else np.exp(-4 * np.arange(stop - start) / length)
        for channel in out if rng.random() < 0.5 else out[:1]:
            channel[start:stop] += 10.0 ** rng.uniform(0.3, 2.0) * shape * rng.standard_normal(stop - start)
    if rng.random() < GLITCHING_SHARE:
        channel = out[int(rng.integers(len(out)))]
        channel += glitching(rng, n, rate_hz)
    return out


def glitching(rng: np.random.Generator, n_samples: int, rate_hz: float) -> Float:
    """Return the signal of a faulty channel for 10 minutes to 3 hours: decaying swings, and steps that creep back."""
    out = np.zeros(n_samples)
    length = int(log_uniform(rng, 600.0, 10_800.0) * rate_hz)
    first = int(rng.integers(-length // 2, n_samples - length // 2))
    spacing_s, loudest = log_uniform(rng, *GLITCH_SPACING_S), 10.0 ** rng.uniform(0.7, 2.0)
    for start in first + rng.integers(0, length, rng.poisson(length / rate_hz / spacing_s) + 1):
        if not 0 <= start < n_samples:
            continue
        decay_s = log_uniform(rng, 0.5, 20.0)
        time_s = np.arange(min(int(6.0 * decay_s * rate_hz) + 1, n_samples - start)) / rate_hz
        swing_hz = 0.0 if rng.random() < 0.5 else rng.uniform(0.2, 1.5)
        shape = np.exp(-time_s / decay_s) * np.cos(2.0 * np.pi * swing_hz * time_s)
        out[start : start + len(shape)] += rng.choice((-1.0, 1.0)) * rng.uniform(0.1, 1.0) * loudest * shape
    return out


def ten_bit_counts(rng: np.random.Generator, motion: Float, rate_hz: float) -> list[npt.NDArray[np.int32]]:
    """Return motion in 10-bit counts around 512, with spikes, steps, single lost samples and dead channels."""
    spikes_per_hour = log_uniform(rng, *SPIKES_PER_HOUR)
    channels = []
    for i, row in enumerate(motion):
        row = add_glitches(rng, row, rate_hz, spikes_per_hour)
        counts = np.clip(np.rint(row + 512.0 + rng.uniform(-20.0, 20.0)), 0, 1023).astype(np.int32)
        dead = _dead(rng, len(counts)) if i > 0 else slice(0, 0)
        counts[dead] = counts[dead.start]
        if rng.random() < 0.4:
            counts[rng.random(len(counts)) < 10.0 ** rng.uniform(-4.0, -1.5)] = -1
        channels.append(counts)
    return channels


def processed_floats(rng: np.random.Generator, motion: Float, rate_hz: float) -> list[Float]:
    """Return motion as processed records hold it: in an arbitrary unit, some low-passed, tapered or zeroed at first."""
    if rng.random() < 0.3:  # filtered from counts that hardly change: their quiet time is decades below the signal
        motion = np.rint(motion * 10.0 ** rng.uniform(-0.6, 0.6))
    if rng.random() < 0.6:
        corner_hz = rng.uniform(1.2, 2.5)
        leak = 10.0 ** rng.uniform(-3.5, -1.0)
        motion = sosfilt(butter(4, corner_hz, fs=rate_hz, output="sos"), motion, axis=1) + leak * motion
    if rng.random() < 0.5:
        n = min(int(rng.uniform(*TAPER_S) * rate_hz), motion.shape[1] // 2)
        taper = np.sin(0.5 * np.pi * np.linspace(0.0, 1.0, n)) ** 2
        zeroed = int(n * max(0.0, rng.uniform(-1.0, 0.5)))
        motion = motion.copy()
        motion[:, :n] *= taper
        motion[:, motion.shape[1] - n :] *= taper[::-1]
        motion[:, :zeroed] *= 1e-6
    unit = 10.0 ** rng.uniform(-11.0, 3.0)
    channels = [add_glitches(rng, row, rate_hz, 0.3) * unit for row in motion]
    for channel in channels[1:]:
        channel[_dead(rng, len(channel))] = 0.0
    return channels


def _dead(rng: np.random.Generator, n_samples: int) -> slice:
    """Draw the samples in which a channel is dead: mostly none, sometimes all, sometimes an interval."""
    draw = rng.random()
    if draw < DEAD_SHARE:
        return slice(0, n_samples)
    if draw < 2 * DEAD_SHARE:
        start, stop = np.sort(rng.integers(0, n_samples, 2))
        return slice(int(start), int(stop))
    return slice(0, 0)


def with_gaps(
    rng: np.random.Generator, channels: Sequence[npt.NDArray[Any]], rate_hz: float, layout: str
) -> list[Trace]:
    """Return the channels as traces; in a third of the records with gaps, which are the same in all channels.

    layout : the kind of each channel's component: V is coded Z, all others by their number.
    """
    codes = [VERTICAL if kind == "V" else str(i + 1) for i, kind in enumerate(layout)]
    n = len(channels[0])
    spans = [(0, n)]
    if rng.random() < 0.35:
        starts = np.sort(rng.integers(1, n, n_events(rng, 8.0, n, rate_hz)))
        lost = np.maximum(1, (rng.exponential(1.0, len(starts)) ** 2 * 4.0 * rate_hz).astype(int))
        firsts = [0, *np.minimum(starts + lost, n).tolist()]
        spans = [(a, b) for a, b in zip(firsts, [*starts.tolist(), n], strict=True) if b > a]
    return [
        Trace(f"FDSN:XX_SYNTH_00_M_H_{code}", START_NS + duration_ns(a, rate_hz), rate_hz, channel[a:b])
        for a, b in spans
        for code, channel in zip(codes, channels, strict=True)
    ]

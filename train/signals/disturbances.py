"""What goes wrong on a real instrument, and is no quake: the hard negatives of made records.

| what | where |
|---|---|
| one-sample spikes, steps of the mean | every channel, `add_glitches` |
| bursts and swings of 2 to 50 s, changes of level | `bursts` |
| a glitching channel: swings and steps every few seconds to minutes, for minutes to hours | `bursts` |
| a channel that is dead, all the time or for a while | `counts_of`, `floats_of` |
| 10-bit counts: a staircase when it is quiet, clipping when it is loud | `counts_of` |
| single lost samples marked -1 | `counts_of` |
| tapers at both ends, a zeroed start, a low-pass, another unit | `floats_of` |
| tears: samples missing between records | `torn` |

Landing spacecraft are heard in real records (`edgequake.train.data.noise_bank`). All randomness comes from `rng`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, sosfilt

from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns
from edgequake.synthetic.lunar_signals import add_glitches

Float = npt.NDArray[np.float64]

START_NS = 1_000_000_000 * NS_PER_S  # made records need a time; no real one lies at 2001-09-09 in this data
GLITCHING_SHARE = 0.15  # of made records have a glitching channel
GLITCH_SPACING_S = (15.0, 300.0)
DEAD_SHARE = 0.1  # of channels but the first are dead throughout, as many again for a while


def bursts(rng: np.random.Generator, noise: Float, rate_hz: float) -> Float:
    """Add short bursts, decaying swings, changes of level and a glitching channel: what is loud and no quake.

    noise : shape (n_channels, n_samples), of unit scale; so is what is returned.
    """
    out = noise.copy()
    n = out.shape[1]
    if rng.random() < 0.3:  # thermal and instrumental changes of level, in steps
        for index in rng.integers(0, n, rng.poisson(1.5)):
            out[:, index:] *= 10.0 ** rng.uniform(-0.3, 0.3)
    for _ in range(rng.poisson(0.5 * n / rate_hz / 3600.0)):
        length = int(rng.uniform(2.0, 50.0) * rate_hz)
        start = int(rng.integers(0, n))
        stop = min(start + length, n)
        shape = (
            np.hanning(length)[: stop - start] if rng.random() < 0.5 else np.exp(-4 * np.arange(stop - start) / length)
        )
        for channel in out if rng.random() < 0.5 else out[:1]:
            channel[start:stop] += 10.0 ** rng.uniform(0.3, 2.0) * shape * rng.standard_normal(stop - start)
    if rng.random() < GLITCHING_SHARE:
        channel = out[int(rng.integers(len(out)))]
        channel += glitching(rng, n, rate_hz)
    return out


def glitching(rng: np.random.Generator, n_samples: int, rate_hz: float) -> Float:
    """Return what a bad channel adds for 10 minutes to 3 hours: decaying swings and steps that creep back."""
    out = np.zeros(n_samples)
    stretch = int(_log_uniform(rng, 600.0, 10_800.0) * rate_hz)
    first = int(rng.integers(-stretch // 2, n_samples - stretch // 2))
    spacing_s, loudest = _log_uniform(rng, *GLITCH_SPACING_S), 10.0 ** rng.uniform(0.7, 2.0)
    for start in first + rng.integers(0, stretch, rng.poisson(stretch / rate_hz / spacing_s) + 1):
        if not 0 <= start < n_samples:
            continue
        decay_s = _log_uniform(rng, 0.5, 20.0)
        time_s = np.arange(min(int(6.0 * decay_s * rate_hz) + 1, n_samples - start)) / rate_hz
        swing_hz = 0.0 if rng.random() < 0.5 else rng.uniform(0.2, 1.5)
        shape = np.exp(-time_s / decay_s) * np.cos(2.0 * np.pi * swing_hz * time_s)
        out[start : start + len(shape)] += rng.choice((-1.0, 1.0)) * rng.uniform(0.1, 1.0) * loudest * shape
    return out


def counts_of(rng: np.random.Generator, motion: Float, rate_hz: float) -> list[npt.NDArray[np.int32]]:
    """Round to 10-bit counts around 512, with spikes, steps, single lost samples and dead channels."""
    spikes_per_hour = float(np.exp(rng.uniform(np.log(0.5), np.log(80.0))))
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


def floats_of(rng: np.random.Generator, motion: Float, rate_hz: float) -> list[Float]:
    """Processed records: an arbitrary unit, sometimes band-limited, tapered, or zeroed at the start."""
    if rng.random() < 0.3:  # made from counts that hardly toggle: filtered, their quiet is decades deep
        motion = np.rint(motion * 10.0 ** rng.uniform(-0.6, 0.6))
    if rng.random() < 0.6:
        corner_hz = rng.uniform(1.2, 2.5)
        leak = 10.0 ** rng.uniform(-3.5, -1.0)
        motion = sosfilt(butter(4, corner_hz, fs=rate_hz, output="sos"), motion, axis=1) + leak * motion
    if rng.random() < 0.5:
        n = min(int(rng.uniform(60.0, 900.0) * rate_hz), motion.shape[1] // 2)
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
    """Draw when a channel is dead: mostly never, sometimes always, sometimes for a while."""
    draw = rng.random()
    if draw < DEAD_SHARE:
        return slice(0, n_samples)
    if draw < 2 * DEAD_SHARE:
        start, stop = np.sort(rng.integers(0, n_samples, 2))
        return slice(int(start), int(stop))
    return slice(0, 0)


def torn(rng: np.random.Generator, channels: Sequence[npt.NDArray[Any]], rate_hz: float) -> list[Trace]:
    """Cut the channels at tears, the same for all of them."""
    n = len(channels[0])
    cuts = [(0, n)]
    if rng.random() < 0.35:
        starts = np.sort(rng.integers(1, n, rng.poisson(8.0 * n / rate_hz / 3600.0)))
        lost = np.maximum(1, (rng.exponential(1.0, len(starts)) ** 2 * 4.0 * rate_hz).astype(int))
        firsts = [0, *np.minimum(starts + lost, n).tolist()]
        cuts = [(a, b) for a, b in zip(firsts, [*starts.tolist(), n], strict=True) if b > a]
    return [
        Trace(f"FDSN:XX_MADE_00_M_H_{i + 1}", START_NS + duration_ns(a, rate_hz), rate_hz, channel[a:b])
        for a, b in cuts
        for i, channel in enumerate(channels)
    ]


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))

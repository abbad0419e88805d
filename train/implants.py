"""Made records: quakes added to quiet time, then everything that goes wrong on a real instrument."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, resample, sosfilt

from edgequake.edge.manifest import SpectrogramConfig
from edgequake.edge.piece import NS_PER_S, Piece, duration_ns
from edgequake.edge.spectrogram import BandPower, quantization_density
from edgequake.lunar_signals import add_glitches, draw_shape, quake_component, quiet_noise
from edgequake.train.quiet import Bank
from edgequake.train.recipe import ExamplesRecipe

Float = npt.NDArray[np.float64]

START_NS = 1_000_000_000 * NS_PER_S  # made records need a time; no real one lies at 2001-09-09 in this data
LABEL_BANDS_HZ = (0.35, 0.7, 1.0, 1.5)  # where moonquakes are; excess for the labels is the mean over these bands
MIN_SPACING_S = 1800.0


@dataclass(frozen=True)
class MadeRecord:
    """A made station record, and the truth about it.

    Attributes
    ----------
    pieces : the record, as it would be read.
    arrivals_s : exact arrivals, seconds from the start.
    excess : decades of the quakes' power over the noise, one value a block of `hop` samples.
    """

    pieces: tuple[Piece, ...]
    arrivals_s: tuple[float, ...]
    excess: Float


def make_record(
    rng: np.random.Generator, bank: Bank, recipe: ExamplesRecipe, n_samples: int, hop: int, rate_hz: float
) -> MadeRecord:
    """Make one record of `n_samples` samples; everything is drawn from `rng`."""
    noise = _noise(rng, bank, recipe, n_samples, rate_hz)  # (n_channels, n_samples), unit robust scale
    quakes = np.zeros_like(noise)
    arrivals_s = _arrivals(rng, recipe, n_samples / rate_hz)
    for arrival_s in arrivals_s:
        _add_quake(rng, bank, recipe, quakes, arrival_s, rate_hz)
    noise = _bursts(rng, noise, rate_hz)
    channels: Sequence[npt.NDArray[Any]]
    if rng.random() < recipe.integer_share:
        level = float(np.exp(rng.uniform(np.log(0.25), np.log(6.0))))  # counts: a staircase up to a loud hour
        channels, floor = _counts(rng, level * (noise + quakes), rate_hz), quantization_density(noise[0], True, rate_hz)
        excess = _excess(level * quakes, level * noise, floor, hop, rate_hz)
    else:
        channels = _floats(rng, noise + quakes, rate_hz)
        excess = _excess(quakes, noise, 0.0, hop, rate_hz)
    return MadeRecord(tuple(_pieces(rng, channels, rate_hz)), tuple(arrivals_s), excess)


def _noise(rng: np.random.Generator, bank: Bank, recipe: ExamplesRecipe, n_samples: int, rate_hz: float) -> Float:
    n_channels = int(rng.choice((1, 1, 2, 3)))
    if not bank.noise or rng.random() < recipe.synthetic_noise_share:
        return np.stack([quiet_noise(rng, n_samples, rate_hz, 1.0) for _ in range(n_channels)])
    # Long records are rare: choose parts by the square root of their length, so that each of the many short ones
    # is heard too.
    lengths = np.sqrt([part.shape[1] for part in bank.noise])
    part = bank.noise[int(rng.choice(len(bank.noise), p=lengths / lengths.sum()))]
    rows = rng.permutation(len(part))[:n_channels]
    scale = np.maximum(1.4826 * np.median(np.abs(part[rows]), axis=1), 0.2 * np.std(part[rows], axis=1)) + 1e-30
    start = int(rng.integers(0, max(1, part.shape[1] - n_samples)))
    looped = np.stack([_looped(part[row, start:], n_samples) for row in rows])
    return np.asarray(looped / scale[:, np.newaxis] * rng.choice((-1.0, 1.0)), np.float64)


def _looped(values: Float, n_samples: int) -> Float:
    """Repeat forward and backward: no jump where the parts meet."""
    there_and_back = np.concatenate([values, values[::-1]])
    return np.resize(there_and_back, n_samples).astype(np.float64)


def _arrivals(rng: np.random.Generator, recipe: ExamplesRecipe, duration_s: float) -> list[float]:
    drawn = np.sort(rng.uniform(-1200.0, duration_s, rng.poisson(recipe.quakes_per_example)))
    kept: list[float] = []
    for arrival_s in drawn:
        if not kept or arrival_s - kept[-1] > MIN_SPACING_S:
            kept.append(float(arrival_s))
    return kept


def _add_quake(
    rng: np.random.Generator, bank: Bank, recipe: ExamplesRecipe, quakes: Float, arrival_s: float, rate_hz: float
) -> None:
    n_channels, n_samples = quakes.shape
    if not bank.quakes or rng.random() < recipe.synthetic_quake_share:
        rise_s = float(np.exp(rng.uniform(np.log(8.0), np.log(300.0))))
        shape = draw_shape(rng, rise_s=rise_s, decay_s=float(np.exp(rng.uniform(np.log(150.0), np.log(1500.0)))))
        waves = [quake_component(rng, shape, rate_hz) for _ in range(n_channels)]
        lead_s = 0.0
    else:
        real = bank.quakes[int(rng.integers(len(bank.quakes)))]
        n_stretched = int(real.shape[1] * rng.uniform(0.75, 1.35))
        rows = rng.integers(0, len(real), n_channels)
        waves = [np.asarray(resample(real[row], n_stretched), np.float64) for row in rows]
        lead_s = 30.0 * n_stretched / real.shape[1]  # the part begins this long before its arrival
    low_decades, high_decades = recipe.excess_decades
    decades = rng.uniform(low_decades, high_decades)
    peak = max(_peak_rms(wave, rate_hz) for wave in waves)
    amplitude = np.sqrt(10.0**decades - 1.0) / peak
    first = round((arrival_s - lead_s) * rate_hz)
    for channel, wave in zip(quakes, waves, strict=True):
        gain = amplitude * np.exp(rng.normal(0.0, 0.25))
        low, high = max(first, 0), min(first + len(wave), n_samples)
        if low < high:
            channel[low:high] += gain * wave[low - first : high - first]


def _peak_rms(wave: Float, rate_hz: float) -> float:
    n = int(60 * rate_hz)
    padded = np.pad(wave, (0, -len(wave) % n))
    return float(np.sqrt(np.max(np.mean(np.square(padded.reshape(-1, n)), axis=1)))) + 1e-30


def _bursts(rng: np.random.Generator, noise: Float, rate_hz: float) -> Float:
    """Add short bursts, decaying swings, steps and slow changes of level: what is loud and no quake."""
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
    return out


def _counts(rng: np.random.Generator, motion: Float, rate_hz: float) -> list[npt.NDArray[np.int32]]:
    """Round to 10-bit counts around 512, with spikes, steps, single lost samples and dead channels."""
    spikes_per_hour = float(np.exp(rng.uniform(np.log(0.5), np.log(80.0))))
    channels = []
    for i, row in enumerate(motion):
        row = add_glitches(rng, row, rate_hz, spikes_per_hour)
        counts = np.clip(np.rint(row + 512.0 + rng.uniform(-20.0, 20.0)), 0, 1023).astype(np.int32)
        if i > 0 and rng.random() < 0.1:
            counts[:] = counts[0]  # a dead component
        if rng.random() < 0.4:
            counts[rng.random(len(counts)) < 10.0 ** rng.uniform(-4.0, -1.5)] = -1
        channels.append(counts)
    return channels


def _floats(rng: np.random.Generator, motion: Float, rate_hz: float) -> list[Float]:
    """Processed records: an arbitrary unit, sometimes band-limited, tapered, or zeroed at the start."""
    if rng.random() < 0.6:
        corner_hz = rng.uniform(1.2, 2.5)
        leak = 10.0 ** rng.uniform(-3.5, -1.0)
        motion = sosfilt(butter(4, corner_hz, fs=rate_hz, output="sos"), motion, axis=1) + leak * motion
    if rng.random() < 0.5:
        n = int(rng.uniform(60.0, 900.0) * rate_hz)
        taper = np.sin(0.5 * np.pi * np.linspace(0.0, 1.0, n)) ** 2
        zeroed = int(n * max(0.0, rng.uniform(-1.0, 0.5)))
        motion = motion.copy()
        motion[:, :n] *= taper
        motion[:, :zeroed] *= 1e-6
    unit = 10.0 ** rng.uniform(-11.0, 3.0)
    return [np.asarray(add_glitches(rng, row, rate_hz, 0.3) * unit, np.float64) for row in motion]


def _pieces(rng: np.random.Generator, channels: Sequence[npt.NDArray[Any]], rate_hz: float) -> list[Piece]:
    """Cut the channels at tears, the same for all of them."""
    n = len(channels[0])
    cuts = [(0, n)]
    if rng.random() < 0.35:
        starts = np.sort(rng.integers(1, n, rng.poisson(8.0 * n / rate_hz / 3600.0)))
        lost = np.maximum(1, (rng.exponential(1.0, len(starts)) ** 2 * 4.0 * rate_hz).astype(int))
        firsts = [0, *np.minimum(starts + lost, n).tolist()]
        cuts = [(a, b) for a, b in zip(firsts, [*starts.tolist(), n], strict=True) if b > a]
    return [
        Piece(f"FDSN:XX_MADE_00_M_H_{i + 1}", START_NS + duration_ns(a, rate_hz), rate_hz, channel[a:b])
        for a, b in cuts
        for i, channel in enumerate(channels)
    ]


def _excess(quakes: Float, noise: Float, floor: float, hop: int, rate_hz: float) -> Float:
    """Return decades of (quake + noise) power over the usual noise, a block each, mean over bands and channels."""
    config = SpectrogramConfig(2 * hop, LABEL_BANDS_HZ, -1.0, 3.0, 64)
    power = BandPower(config, rate_hz)
    view = np.lib.stride_tricks.sliding_window_view
    decades = []
    for quake, quiet in zip(quakes, noise, strict=True):
        usual = np.median(power(np.ascontiguousarray(view(quiet, 2 * hop)[::hop])), axis=0) + floor + 1e-60
        decades.append(np.log10(1.0 + power(np.ascontiguousarray(view(quake, 2 * hop)[::hop])) / usual))
    return np.asarray(np.mean(decades, axis=(0, 2)), np.float64)

"""Made records: quakes added to quiet time, then everything that goes wrong on a real instrument.

What is drawn for which body is in `edgequake.train.signals.bodies`; landing spacecraft are in the bank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter
from scipy.signal import resample

from edgequake.edge.features.normalization import quantization_density
from edgequake.edge.features.spectra import BandPower
from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.manifest.front_end_config import SpectrogramConfig
from edgequake.train.bandpower import draw_modulation
from edgequake.train.configuration.body_scales import Scales
from edgequake.train.configuration.recipe import ExamplesRecipe
from edgequake.train.data.noise_bank import NoiseBank
from edgequake.train.earth import draw_factor, stretched
from edgequake.train.examples.labels import loudest_bands
from edgequake.train.signals.bodies import WORLDS
from edgequake.train.signals.disturbances import torn
from edgequake.train.signals.noise import in_band, peak_rms, robust_rms

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MadeRecord:
    """A made station record, and the truth about it.

    Attributes
    ----------
    pieces : the record, as it would be read.
    arrivals_s : exact arrivals, seconds from the start.
    excess : decades of the quakes' power over the noise, one value a block of `hop` samples.
    """

    traces: tuple[Trace, ...]
    arrivals_s: tuple[float, ...]
    excess: Float


def make_record(
    rng: np.random.Generator, bank: NoiseBank, recipe: ExamplesRecipe, n_samples: int, hop: int, rate_hz: float
) -> MadeRecord:
    """Make one record of `n_samples` samples; everything is drawn from `rng`."""
    world, scales = WORLDS[recipe.signals], recipe.scales
    noise = _noise(rng, bank, recipe, n_samples, rate_hz)  # (n_channels, n_samples), unit robust scale
    quakes = np.zeros_like(noise)
    arrivals_s = _arrivals(rng, recipe, n_samples / rate_hz)
    for arrival_s in arrivals_s:
        _add_quake(rng, bank, recipe, quakes, arrival_s, rate_hz)
    noise = world.disturb(rng, noise, rate_hz)
    channels: Sequence[npt.NDArray[Any]]
    if rng.random() < recipe.integer_share:
        level = float(np.exp(rng.uniform(*np.log(world.noise_counts))))
        channels = world.counts(rng, level * (noise + quakes), rate_hz)
        floor = quantization_density(noise[0], True, rate_hz)
        excess = _excess(level * quakes, level * noise, floor, hop, rate_hz, scales)
    else:
        channels = world.floats(rng, noise + quakes, rate_hz)
        excess = _excess(quakes, noise, 0.0, hop, rate_hz, scales)
    return MadeRecord(tuple(torn(rng, channels, rate_hz)), tuple(arrivals_s), excess)


def _noise(rng: np.random.Generator, bank: NoiseBank, recipe: ExamplesRecipe, n_samples: int, rate_hz: float) -> Float:
    n_channels = int(rng.choice((1, 1, 2, 3)))
    if not bank.noise or rng.random() < recipe.synthetic_noise_share:
        noise = _unit_loud(WORLDS[recipe.signals].noise(rng, n_channels, n_samples, rate_hz), recipe.scales, rate_hz)
        if bank.curves and recipe.bandpower_share and rng.random() < recipe.bandpower_share:
            noise *= draw_modulation(rng, bank.curves, n_samples, rate_hz)
        return noise
    # Long records are rare: choose parts by the square root of their length, so that each of the many short ones
    # is heard too.
    lengths = np.sqrt([part.shape[1] for part in bank.noise])
    part = bank.noise[int(rng.choice(len(bank.noise), p=lengths / lengths.sum()))]
    rows = rng.permutation(len(part))[:n_channels]
    scale = robust_rms(in_band(part[rows], recipe.scales.loudness_band_hz, rate_hz))
    start = int(rng.integers(0, max(1, part.shape[1] - n_samples)))
    looped = np.stack([_looped(part[row, start:], n_samples) for row in rows])
    return np.asarray(looped / scale[:, np.newaxis] * rng.choice((-1.0, 1.0)), np.float64)


def _unit_loud(noise: Float, scales: Scales, rate_hz: float) -> Float:
    """Give noise unit scale in the band where loudness is measured; over all frequencies it is drawn so."""
    if not scales.loudness_band_hz:
        return noise
    return noise / robust_rms(in_band(noise, scales.loudness_band_hz, rate_hz))[:, np.newaxis]


def _looped(values: Float, n_samples: int) -> Float:
    """Repeat forward and backward: no jump where the parts meet."""
    there_and_back = np.concatenate([values, values[::-1]])
    return np.resize(there_and_back, n_samples).astype(np.float64)


def _arrivals(rng: np.random.Generator, recipe: ExamplesRecipe, duration_s: float) -> list[float]:
    drawn = np.sort(rng.uniform(-recipe.scales.before_start_s, duration_s, rng.poisson(recipe.quakes_per_example)))
    kept: list[float] = []
    for arrival_s in drawn:
        if not kept or arrival_s - kept[-1] > recipe.scales.min_spacing_s:
            kept.append(float(arrival_s))
    return kept


def _add_quake(
    rng: np.random.Generator, bank: NoiseBank, recipe: ExamplesRecipe, quakes: Float, arrival_s: float, rate_hz: float
) -> None:
    n_channels, n_samples = quakes.shape
    waves, lead_s, most_decades = _waves(rng, bank, recipe, n_channels, rate_hz)
    low_decades, high_decades = recipe.excess_decades
    decades = min(rng.uniform(low_decades, high_decades), most_decades)
    scales = recipe.scales
    peak = max(peak_rms(in_band(wave, scales.loudness_band_hz, rate_hz), scales.level_s, rate_hz) for wave in waves)
    amplitude = np.sqrt(10.0**decades - 1.0) / peak
    first = round((arrival_s - lead_s) * rate_hz)
    for channel, wave in zip(quakes, waves, strict=True):
        gain = amplitude * np.exp(rng.normal(0.0, 0.25))
        low, high = max(first, 0), min(first + len(wave), n_samples)
        if low < high:
            channel[low:high] += gain * wave[low - first : high - first]


def _waves(
    rng: np.random.Generator, bank: NoiseBank, recipe: ExamplesRecipe, n_channels: int, rate_hz: float
) -> tuple[list[Float], float, float]:
    """Draw a quake: a wave a channel, the seconds from their start to the arrival, and how clear it may be made."""
    scales = recipe.scales
    if bank.earth and recipe.earth_quake_share and rng.random() < recipe.earth_quake_share:
        slowed = bank.earth[int(rng.integers(len(bank.earth)))]
        wave, lead_s = stretched(
            slowed, draw_factor(rng, slowed, recipe.earth_stretch, scales.label_bands_hz[-1]), rate_hz
        )
        return [wave * rng.choice((-1.0, 1.0)) for _ in range(n_channels)], lead_s, np.inf
    if not bank.quakes or rng.random() < recipe.synthetic_quake_share:
        return WORLDS[recipe.signals].quake(rng, scales, n_channels, rate_hz), 0.0, np.inf
    quake = bank.quakes[int(rng.integers(len(bank.quakes)))]
    real = quake.channels
    n_stretched = int(real.shape[1] * rng.uniform(0.75, 1.35))
    rows = rng.integers(0, len(real), n_channels)
    lead_s = scales.quake_lead_s * n_stretched / real.shape[1]
    most_decades = quake.clear_decades + scales.headroom_decades
    return [np.asarray(resample(real[row], n_stretched), np.float64) for row in rows], lead_s, most_decades


def _excess(quakes: Float, noise: Float, floor: float, hop: int, rate_hz: float, scales: Scales) -> Float:
    """Return decades of (quake + noise) power over the usual noise, a block each, mean over channels.

    Usual is the record's median, or what there is for minutes on end where that is more: a quake under a glitching
    channel or a swell of noise is no clearer than it looks.
    """
    config = SpectrogramConfig(2 * hop, scales.label_bands_hz, -1.0, 3.0, 64)
    power = BandPower(config, rate_hz)
    view = np.lib.stride_tricks.sliding_window_view
    decades = []
    for quake, quiet in zip(quakes, noise, strict=True):
        noise_power = power(np.ascontiguousarray(view(quiet, 2 * hop)[::hop]))  # (n_blocks, n_bands)
        lasting = median_filter(noise_power, (round(scales.lasting_s * rate_hz / hop) | 1, 1), mode="nearest")
        usual = np.maximum(np.median(noise_power, axis=0), lasting) + floor + 1e-60
        decades.append(np.log10(1.0 + power(np.ascontiguousarray(view(quake, 2 * hop)[::hop])) / usual))
    return loudest_bands(np.mean(decades, axis=0), scales.label_best_bands)

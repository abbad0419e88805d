"""Waveform injection: quakes are added to quiet time, then the faults of real instruments to both.

`edgequake.train.signals.bodies` says how each body's signals are drawn.
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
from edgequake.edge.manifest.tables import SpectrogramConfig
from edgequake.synthetic.lunar_signals import log_uniform
from edgequake.train.configuration.body_scales import Scales
from edgequake.train.configuration.recipe import ExamplesRecipe
from edgequake.train.data.noise_bank import NoiseBank
from edgequake.train.examples.labels import loudest_bands
from edgequake.train.signals.bodies import BODY_SIGNALS
from edgequake.train.signals.disturbances import with_gaps
from edgequake.train.signals.noise import Float, add_at, in_band, peak_rms, robust_rms


@dataclass(frozen=True)
class InjectedRecord:
    """A station record with injected quakes, and the truth about them.

    Attributes
    ----------
    traces : the record as a reader returns it.
    arrivals_s : exact arrivals, seconds from the start.
    excess : decades of the quakes' power over the noise, one value for each block of `hop` samples.
    """

    traces: tuple[Trace, ...]
    arrivals_s: tuple[float, ...]
    excess: Float


def injected_record(
    rng: np.random.Generator, bank: NoiseBank, recipe: ExamplesRecipe, n_samples: int, hop: int, rate_hz: float
) -> InjectedRecord:
    """Return one record of `n_samples` samples; everything is drawn from `rng`."""
    signals, scales = BODY_SIGNALS[recipe.signals], recipe.scales
    noise = _noise(rng, bank, recipe, n_samples, rate_hz)  # (n_channels, n_samples), unit robust scale
    quakes = np.zeros_like(noise)
    arrivals_s = _arrivals(rng, recipe, n_samples / rate_hz)
    for arrival_s in arrivals_s:
        _add_quake(rng, bank, recipe, quakes, arrival_s, rate_hz)
    noise = signals.disturb(rng, noise, rate_hz)
    channels: Sequence[npt.NDArray[Any]]
    if rng.random() < recipe.integer_share:
        level = log_uniform(rng, *signals.noise_counts)
        channels = signals.counts(rng, level * (noise + quakes), rate_hz)
        floor = quantization_density(noise[0], True, rate_hz)
        excess = _excess(level * quakes, level * noise, floor, hop, rate_hz, scales)
    else:
        channels = signals.floats(rng, noise + quakes, rate_hz)
        excess = _excess(quakes, noise, 0.0, hop, rate_hz, scales)
    return InjectedRecord(tuple(with_gaps(rng, channels, rate_hz)), tuple(arrivals_s), excess)


def _noise(rng: np.random.Generator, bank: NoiseBank, recipe: ExamplesRecipe, n_samples: int, rate_hz: float) -> Float:
    n_channels, band_hz = int(rng.choice((1, 1, 2, 3))), recipe.scales.loudness_band_hz
    if not bank.noise or rng.random() < recipe.synthetic_noise_share:
        noise = BODY_SIGNALS[recipe.signals].noise(rng, n_channels, n_samples, rate_hz)
        # Drawn with unit scale over all frequencies; scaled again where amplitudes are measured in a band.
        return noise / robust_rms(in_band(noise, band_hz, rate_hz))[:, np.newaxis] if band_hz else noise
    # Long records are rare: parts are drawn in proportion to the square root of their length, so that the many short
    # ones are used too.
    lengths = np.sqrt([part.shape[1] for part in bank.noise])
    part = bank.noise[int(rng.choice(len(bank.noise), p=lengths / lengths.sum()))]
    rows = rng.permutation(len(part))[:n_channels]
    scale = robust_rms(in_band(part[rows], band_hz, rate_hz))
    start = int(rng.integers(0, max(1, part.shape[1] - n_samples)))
    looped = np.stack([_looped(part[row, start:], n_samples) for row in rows])
    return np.asarray(looped / scale[:, np.newaxis] * rng.choice((-1.0, 1.0)), np.float64)


def _looped(values: Float, n_samples: int) -> Float:
    """Repeat forward and backward in turn, so that the ends meet without a step."""
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
    waves, lead_s, max_decades = _waves(rng, bank, recipe, len(quakes), rate_hz)
    low_decades, high_decades = recipe.excess_decades
    decades = min(rng.uniform(low_decades, high_decades), max_decades)
    scales = recipe.scales
    peak = max(peak_rms(in_band(wave, scales.loudness_band_hz, rate_hz), scales.level_s, rate_hz) for wave in waves)
    amplitude = np.sqrt(10.0**decades - 1.0) / peak
    for channel, wave in zip(quakes, waves, strict=True):
        add_at(channel, round((arrival_s - lead_s) * rate_hz), wave, amplitude * np.exp(rng.normal(0.0, 0.25)))


def _waves(
    rng: np.random.Generator, bank: NoiseBank, recipe: ExamplesRecipe, n_channels: int, rate_hz: float
) -> tuple[list[Float], float, float]:
    """Draw a quake: one wave for each channel, the seconds from their start to the arrival, and its largest excess."""
    scales = recipe.scales
    if not bank.quakes or rng.random() < recipe.synthetic_quake_share:
        return BODY_SIGNALS[recipe.signals].quake(rng, scales, n_channels, rate_hz), 0.0, np.inf
    quake = bank.quakes[int(rng.integers(len(bank.quakes)))]
    recorded = quake.channels
    n_stretched = int(recorded.shape[1] * rng.uniform(0.75, 1.35))
    rows = rng.integers(0, len(recorded), n_channels)
    lead_s = scales.quake_lead_s * n_stretched / recorded.shape[1]
    max_decades = quake.clear_decades + scales.headroom_decades
    return [np.asarray(resample(recorded[row], n_stretched), np.float64) for row in rows], lead_s, max_decades


def _excess(quakes: Float, noise: Float, floor: float, hop: int, rate_hz: float, scales: Scales) -> Float:
    """Return decades of (quake + noise) power over the usual noise for each block, averaged over the channels.

    The usual noise is the median of the record, or the noise that lasts for minutes where that is larger: a quake
    during a glitching hour or strong wind counts as visible only as far as it exceeds them.
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

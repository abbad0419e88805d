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

from edgequake.edge.features.contrast import VERTICAL
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
from edgequake.train.signals.noise import Float, add_at, in_band, robust_rms


@dataclass(frozen=True)
class InjectedRecord:
    """A station record with injected quakes, and the truth about them.

    Attributes
    ----------
    traces : the record as a reader returns it.
    arrivals_s : exact arrivals, seconds from the start; without those that the coda of another quake hides.
    excess : decades of the quakes' power over the noise, one value for each block of `hop` samples.
    """

    traces: tuple[Trace, ...]
    arrivals_s: tuple[float, ...]
    excess: Float


def injected_record(
    rng: np.random.Generator,
    bank: NoiseBank,
    recipe: ExamplesRecipe,
    n_samples: int,
    hop: int,
    rate_hz: float,
    with_early: bool = False,
) -> InjectedRecord:
    """Return one record of `n_samples` samples; everything is drawn from `rng`.

    with_early : a quake comes within `recipe.early_s` of the record's start.
    """
    signals, scales = BODY_SIGNALS[recipe.signals], recipe.scales
    layout = _layout(rng, recipe)
    noise = _noise(rng, bank, recipe, layout, n_samples, rate_hz)  # (n_channels, n_samples), unit robust scale
    noise = signals.disturb(rng, noise, rate_hz)
    early_s = float(rng.uniform(recipe.early_s[0], recipe.early_s[1])) if with_early else None
    arrivals_s = _arrivals(rng, recipe, n_samples / rate_hz, early_s)
    loudness = Loudness(noise, hop, rate_hz, scales)
    waves = [_quake(rng, bank, recipe, layout, noise.shape, arrival_s, loudness) for arrival_s in arrivals_s]
    quakes = np.sum(waves, axis=0) if waves else np.zeros_like(noise)
    if scales.overlap_decades > 0 and len(waves) > 1:
        arrivals_s = [arrivals_s[i] for i in loudness.heard(waves, arrivals_s)]
    channels: Sequence[npt.NDArray[Any]]
    if rng.random() < recipe.integer_share:
        level = log_uniform(rng, *signals.noise_counts)
        channels = signals.counts(rng, level * (noise + quakes), rate_hz)
        # The rounding counts as noise, in units of the noise.
        floor = quantization_density(noise[0], True, rate_hz) / level**2
    else:
        channels = signals.floats(rng, noise + quakes, rate_hz)
        floor = 0.0
    excess = loudness.decades(quakes, floor)
    return InjectedRecord(tuple(with_gaps(rng, channels, rate_hz, layout)), tuple(arrivals_s), excess)


def _layout(rng: np.random.Generator, recipe: ExamplesRecipe) -> str:
    """Draw the components of a record, a letter each: V vertical, H horizontal, ? whatever comes."""
    if not recipe.components:
        return "?" * int(rng.choice((1, 1, 2, 3)))
    return str(rng.choice(recipe.components))


def _serves(components: str, layout: str) -> bool:
    """Return whether a station's components serve a layout; unnamed ones may serve several times."""
    n_vertical = components.count(VERTICAL)
    n_horizontal = len(components) - n_vertical
    return n_vertical >= layout.count("V") and n_horizontal >= layout.count("H")


def _rows_for(rng: np.random.Generator, components: str, layout: str) -> list[int]:
    """Draw the channels that serve a layout, each once as far as there are enough."""
    order = [int(i) for i in rng.permutation(len(components))]
    kinds = {"V": [i for i in order if components[i] == VERTICAL], "H": [i for i in order if components[i] != VERTICAL]}
    kinds["?"] = order
    taken = dict.fromkeys(kinds, 0)
    chosen = []
    for kind in layout:
        chosen.append(kinds[kind][taken[kind] % len(kinds[kind])])
        taken[kind] += 1
    return chosen


def _noise(
    rng: np.random.Generator, bank: NoiseBank, recipe: ExamplesRecipe, layout: str, n_samples: int, rate_hz: float
) -> Float:
    band_hz = recipe.scales.loudness_band_hz
    fitting = [part for part in bank.noise if _serves(part.components, layout)]
    if not fitting or rng.random() < recipe.synthetic_noise_share:
        noise = BODY_SIGNALS[recipe.signals].noise(rng, len(layout), n_samples, rate_hz)
        # Drawn with unit scale over all frequencies; scaled again where amplitudes are measured in a band.
        return noise / robust_rms(in_band(noise, band_hz, rate_hz))[:, np.newaxis] if band_hz else noise
    # Long records are rare: parts are drawn in proportion to the square root of their length, so that the many short
    # ones are used too.
    lengths = np.sqrt([part.channels.shape[1] for part in fitting])
    part = fitting[int(rng.choice(len(fitting), p=lengths / lengths.sum()))]
    channels = part.channels[_rows_for(rng, part.components, layout)]
    start = int(rng.integers(0, max(1, channels.shape[1] - n_samples)))
    channels = channels[:, start : start + n_samples]
    scale = robust_rms(in_band(channels, band_hz, rate_hz))
    if recipe.components:
        scale = np.full_like(scale, np.median(scale))  # the components of a station keep their proportions
    looped = np.stack([_looped(row, n_samples) for row in channels])
    return np.asarray(looped / scale[:, np.newaxis] * rng.choice((-1.0, 1.0)), np.float64)


def _looped(values: Float, n_samples: int) -> Float:
    """Repeat forward and backward in turn, so that the ends meet without a step."""
    there_and_back = np.concatenate([values, values[::-1]])
    return np.resize(there_and_back, n_samples).astype(np.float64)


def _arrivals(
    rng: np.random.Generator, recipe: ExamplesRecipe, duration_s: float, early_s: float | None
) -> list[float]:
    """Draw arrivals that keep their distance; `early_s`, if given, is the first of them."""
    drawn = np.sort(rng.uniform(-recipe.scales.before_start_s, duration_s, rng.poisson(recipe.quakes_per_example)))
    kept: list[float] = [] if early_s is None else [early_s]
    for arrival_s in drawn:
        if not kept or arrival_s - kept[-1] > recipe.scales.min_spacing_s:
            kept.append(float(arrival_s))
    return kept


def _quake(
    rng: np.random.Generator,
    bank: NoiseBank,
    recipe: ExamplesRecipe,
    layout: str,
    shape: tuple[int, ...],
    arrival_s: float,
    loudness: Loudness,
) -> Float:
    """Return a quake of a drawn power alone, shape (n_channels, n_samples) of the record."""
    rate_hz = loudness.rate_hz
    waves, lead_s, max_decades = _waves(rng, bank, recipe, layout, rate_hz)
    low_decades, high_decades = recipe.excess_decades
    # Small quakes are the many, and the hard ones: half of all lie in the lowest third.
    share = rng.uniform(0.0, 1.0) if rng.random() < 0.5 else rng.uniform(0.0, 1.0 / 3.0)
    decades = min(low_decades + share * (high_decades - low_decades), max_decades)
    placed = np.zeros(shape)
    for channel, wave in zip(placed, waves, strict=True):
        add_at(channel, round((arrival_s - lead_s) * rate_hz), wave, np.exp(rng.normal(0.0, 0.25)))
    return np.asarray(loudness.amplitude(placed, decades) * placed, np.float64)


def _waves(
    rng: np.random.Generator, bank: NoiseBank, recipe: ExamplesRecipe, layout: str, rate_hz: float
) -> tuple[list[Float], float, float]:
    """Draw a quake: one wave for each channel, the seconds from their start to the arrival, and its largest excess."""
    scales = recipe.scales
    fitting = [quake for quake in bank.quakes if _serves(quake.components, layout)]
    if not fitting or rng.random() < recipe.synthetic_quake_share:
        return BODY_SIGNALS[recipe.signals].quake(rng, scales, layout, rate_hz), 0.0, np.inf
    quake = fitting[int(rng.integers(len(fitting)))]
    recorded = quake.channels
    n_stretched = int(recorded.shape[1] * rng.uniform(0.75, 1.35))
    rows = _rows_for(rng, quake.components, layout)
    lead_s = scales.quake_lead_s * n_stretched / recorded.shape[1]
    max_decades = quake.clear_decades + scales.headroom_decades
    return [np.asarray(resample(recorded[row], n_stretched), np.float64) for row in rows], lead_s, max_decades


class Loudness:
    """Measures quakes against the usual noise of a record, in blocks and bands.

    The usual noise is the median of the record, or the noise that lasts for minutes where that is larger: a quake
    during a glitching hour or strong wind counts as visible only as far as it exceeds them.
    """

    def __init__(self, noise: Float, hop: int, rate_hz: float, scales: Scales) -> None:
        self.rate_hz, self._hop, self._n_best, self._scales = rate_hz, hop, scales.label_best_bands, scales
        config = SpectrogramConfig(2 * hop, scales.label_bands_at(rate_hz), -1.0, 3.0, 64)
        self._power = BandPower(config, rate_hz)
        n_lasting = round(scales.lasting_s * rate_hz / hop) | 1
        power = self._powers(noise)
        lasting = median_filter(power, (1, n_lasting, 1), mode="nearest")
        self._usual = np.maximum(np.median(power, axis=1, keepdims=True), lasting)

    def decades(self, quakes: Float, floor: float) -> Float:
        """Return decades of (quake + noise) power over the usual noise for each block, averaged over the channels."""
        return self._over(self._powers(quakes), self._usual + floor)

    def amplitude(self, quake: Float, decades: float) -> float:
        """Return the factor by which a quake must be amplified to reach `decades` in its loudest block and bands."""
        ratio = np.mean(self._powers(quake) / (self._usual + 1e-60), axis=0)  # (n_blocks, n_bands)
        n_bands = ratio.shape[1]
        n_best = min(self._n_best, n_bands)
        best = np.max([ratio[:, i : i + n_best].mean(axis=1) for i in range(n_bands - n_best + 1)], axis=0)
        return float(np.sqrt((10.0**decades - 1.0) / (best.max() + 1e-30)))

    def heard(self, waves: Sequence[Float], arrivals_s: Sequence[float]) -> list[int]:
        """Return which quakes stand out, while they rise, from the others by `overlap_decades` or most of their own.

        waves : each quake alone, shape (n_channels, n_samples).
        """
        powers = [self._powers(wave) for wave in waves]
        found = []
        for i, (own, arrival_s) in enumerate(zip(powers, arrivals_s, strict=True)):
            others = np.sum([power for j, power in enumerate(powers) if j != i], axis=0)
            first = max(0, int(arrival_s * self.rate_hz / self._hop) - 1)
            rise = slice(first, first + 2 + round(self._scales.onset_s * self.rate_hz / self._hop))
            alone, over = (self._over(own, noise)[rise] for noise in (self._usual, self._usual + others))
            if len(over) == 0 or over.max() >= min(self._scales.overlap_decades, 0.7 * alone.max()):
                found.append(i)
        return found

    def _over(self, power: Float, noise: Float) -> Float:
        """Return the decades that a power adds to a noise in each block, as `decades` does."""
        decades = np.log10(1.0 + power / (noise + 1e-60))
        return loudest_bands(np.mean(decades, axis=0), self._n_best)

    def _powers(self, channels: Float) -> Float:
        """Return the power of each channel in blocks and bands, shape (n_channels, n_blocks, n_bands)."""
        view, n = np.lib.stride_tricks.sliding_window_view, 2 * self._hop
        return np.stack([self._power(np.ascontiguousarray(view(row, n)[:: self._hop])) for row in channels])

"""How the synthetic signals of each body are drawn: noise, quakes, disturbances, and the form of its records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, sosfilt

from edgequake.synthetic.lunar_signals import draw_shape, log_uniform, quake_component, quiet_noise
from edgequake.train.configuration.body_scales import Scales
from edgequake.train.signals.disturbances import lunar_disturbances, processed_floats, ten_bit_counts
from edgequake.train.signals.earth import earth_disturbances, earth_noise, earthquake
from edgequake.train.signals.mars import mars_disturbances, mars_noise, marsquake
from edgequake.train.signals.noise import Float, n_events

Counts = npt.NDArray[np.int32]

SPIKES_PER_HOUR = 0.5
FILTERED_SHARE = 0.4  # share of float records that were filtered before publication


@dataclass(frozen=True)
class BodySignals:
    """How a body's synthetic records are drawn; `motion` has shape (n_channels, n_samples), and so have the results.

    Attributes
    ----------
    noise : (rng, n_channels, n_samples, rate_hz) -> quiet noise of about unit scale.
    quake : (rng, scales, layout, rate_hz) -> a quake from its arrival on, in any unit, one wave for each channel; the
        letters of `layout` are V for a vertical component, H for a horizontal one, ? for any.
    disturb : (rng, noise, rate_hz) -> noise with hard negatives added.
    counts : (rng, motion, rate_hz) -> motion in counts, as a digitiser writes it.
    floats : (rng, motion, rate_hz) -> motion in an arbitrary unit, as processed records hold it.
    noise_counts : [lowest, highest] scale of the noise in records of counts.
    """

    noise: Callable[[np.random.Generator, int, int, float], Float]
    quake: Callable[[np.random.Generator, Scales, str, float], list[Float]]
    disturb: Callable[[np.random.Generator, Float, float], Float]
    counts: Callable[[np.random.Generator, Float, float], list[Counts]]
    floats: Callable[[np.random.Generator, Float, float], list[Float]]
    noise_counts: tuple[float, float]


def moonquake(rng: np.random.Generator, scales: Scales, layout: str, rate_hz: float) -> list[Float]:
    """Return a moonquake from its first motion on, one wave for each channel."""
    rise_s, decay_s = log_uniform(rng, *scales.rise_s), log_uniform(rng, *scales.decay_s)
    shape = draw_shape(rng, rise_s=rise_s, decay_s=decay_s)
    return [quake_component(rng, shape, rate_hz) for _ in layout]


def lunar_noise(rng: np.random.Generator, n_channels: int, n_samples: int, rate_hz: float) -> Float:
    """Return noise of the long-period seismometers."""
    return np.stack([quiet_noise(rng, n_samples, rate_hz, 1.0) for _ in range(n_channels)])


def wide_counts(rng: np.random.Generator, motion: Float, rate_hz: float) -> list[Counts]:
    """Return motion in 24-bit counts around an offset, with spikes."""
    offset = rng.choice((-1.0, 1.0)) * 10.0 ** rng.uniform(0.0, 4.0)
    rows = [_with_spikes(rng, row, rate_hz) for row in motion]
    return [np.clip(np.rint(row + offset), -(2**23), 2**23 - 1).astype(np.int32) for row in rows]


def wide_floats(
    rng: np.random.Generator,
    motion: Float,
    rate_hz: float,
    low_hz: tuple[float, float],
    high_hz: tuple[float, float],
) -> list[Float]:
    """Return motion in an arbitrary unit with spikes, at times band-passed between corners drawn from two ranges."""
    if rng.random() < FILTERED_SHARE:
        band_hz = (rng.uniform(*low_hz), rng.uniform(*high_hz))
        sections = butter(2, band_hz, "bandpass", fs=rate_hz, output="sos")
        motion = np.asarray(sosfilt(sections, motion, axis=1), np.float64)
    unit = 10.0 ** rng.uniform(-12.0, 3.0)
    return [_with_spikes(rng, row, rate_hz) * unit for row in motion]


def _with_spikes(rng: np.random.Generator, row: Float, rate_hz: float) -> Float:
    out = row.copy()
    scale = float(np.median(np.abs(row))) + 1e-30
    for index in rng.integers(0, len(row), n_events(rng, SPIKES_PER_HOUR, len(row), rate_hz)):
        out[index] += rng.choice((-1.0, 1.0)) * scale * 10.0 ** rng.uniform(1.0, 4.0)
    return out


_MARS_FLOATS = partial(wide_floats, low_hz=(0.03, 0.12), high_hz=(1.8, 9.0))


def _earth_floats(rng: np.random.Generator, motion: Float, rate_hz: float) -> list[Float]:
    return wide_floats(rng, motion, rate_hz, low_hz=(0.05, 1.0), high_hz=(8.0, 0.49 * rate_hz))


BODY_SIGNALS = {
    "moon": BodySignals(lunar_noise, moonquake, lunar_disturbances, ten_bit_counts, processed_floats, (0.25, 6.0)),
    "mars": BodySignals(mars_noise, marsquake, mars_disturbances, wide_counts, _MARS_FLOATS, (3.0, 3000.0)),
    "earth": BodySignals(earth_noise, earthquake, earth_disturbances, wide_counts, _earth_floats, (3.0, 3000.0)),
}

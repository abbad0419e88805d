"""Whose signals made records imitate: for each body how noise, quakes and disturbances are drawn and written down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, sosfilt

from edgequake.synthetic.lunar_signals import draw_shape, quake_component, quiet_noise
from edgequake.train.configuration.body_scales import Scales
from edgequake.train.signals import disturbances
from edgequake.train.signals.earth import earth_disturbances, earth_noise, earthquake
from edgequake.train.signals.mars import mars_disturbances, mars_noise, marsquake
from edgequake.train.signals.noise import n_events

Float = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int32]

SPIKES_PER_HOUR = 0.5
FILTERED_SHARE = 0.4  # of float records were filtered before they were published


class Noise(Protocol):
    """Quiet noise of about unit scale, shape (n_channels, n_samples)."""

    def __call__(self, rng: np.random.Generator, n_channels: int, n_samples: int, rate_hz: float) -> Float: ...


class Quake(Protocol):
    """A quake from its arrival on in any unit, a wave a channel, all of one length."""

    def __call__(self, rng: np.random.Generator, scales: Scales, n_channels: int, rate_hz: float) -> list[Float]: ...


class Disturb(Protocol):
    """Noise with hard negatives added, shape (n_channels, n_samples)."""

    def __call__(self, rng: np.random.Generator, noise: Float, rate_hz: float) -> Float: ...


class ToCounts(Protocol):
    """Motion in counts, shape (n_channels, n_samples), as a digitiser would write it."""

    def __call__(self, rng: np.random.Generator, motion: Float, rate_hz: float) -> list[Counts]: ...


class ToFloats(Protocol):
    """Motion in an arbitrary unit, as processed records hold it."""

    def __call__(self, rng: np.random.Generator, motion: Float, rate_hz: float) -> list[Float]: ...


@dataclass(frozen=True)
class BodySignals:
    """How a body's made records are drawn."""

    noise: Noise
    quake: Quake
    disturb: Disturb
    counts: ToCounts
    floats: ToFloats
    noise_counts: tuple[float, float]  # [lowest, highest] scale of the noise in records of counts


def moonquake(rng: np.random.Generator, scales: Scales, n_channels: int, rate_hz: float) -> list[Float]:
    """Return a moonquake from its first motion on, a wave a channel."""
    rise_s = float(np.exp(rng.uniform(*np.log(scales.rise_s))))
    shape = draw_shape(rng, rise_s=rise_s, decay_s=float(np.exp(rng.uniform(*np.log(scales.decay_s)))))
    return [quake_component(rng, shape, rate_hz) for _ in range(n_channels)]


def lunar_noise(rng: np.random.Generator, n_channels: int, n_samples: int, rate_hz: float) -> Float:
    """Return noise of the long-period seismometers."""
    return np.stack([quiet_noise(rng, n_samples, rate_hz, 1.0) for _ in range(n_channels)])


def wide_counts(rng: np.random.Generator, motion: Float, rate_hz: float) -> list[Counts]:
    """Round to 24-bit counts around an offset, with spikes."""
    offset = rng.choice((-1.0, 1.0)) * 10.0 ** rng.uniform(0.0, 4.0)
    rows = [_spiked(rng, row, rate_hz) for row in motion]
    return [np.clip(np.rint(row + offset), -(2**23), 2**23 - 1).astype(np.int32) for row in rows]


class WideFloats:
    """Float records in an arbitrary unit, some of them band-passed between corners drawn from two ranges (Hz)."""

    def __init__(self, low_hz: tuple[float, float], high_hz: tuple[float, float]) -> None:
        self._low_hz, self._high_hz = low_hz, high_hz

    def __call__(self, rng: np.random.Generator, motion: Float, rate_hz: float) -> list[Float]:
        """Filter, add spikes, scale."""
        if rng.random() < FILTERED_SHARE:
            band_hz = (rng.uniform(*self._low_hz), rng.uniform(*self._high_hz))
            sections = butter(2, band_hz, "bandpass", fs=rate_hz, output="sos")
            motion = np.asarray(sosfilt(sections, motion, axis=1), np.float64)
        unit = 10.0 ** rng.uniform(-12.0, 3.0)
        return [_spiked(rng, row, rate_hz) * unit for row in motion]


def _spiked(rng: np.random.Generator, row: Float, rate_hz: float) -> Float:
    out = row.copy()
    scale = float(np.median(np.abs(row))) + 1e-30
    for index in rng.integers(0, len(row), n_events(rng, SPIKES_PER_HOUR, len(row), rate_hz)):
        out[index] += rng.choice((-1.0, 1.0)) * scale * 10.0 ** rng.uniform(1.0, 4.0)
    return out


WORLDS = {
    "moon": BodySignals(
        lunar_noise, moonquake, disturbances.bursts, disturbances.counts_of, disturbances.floats_of, (0.25, 6.0)
    ),
    "mars": BodySignals(
        mars_noise, marsquake, mars_disturbances, wide_counts, WideFloats((0.03, 0.12), (1.8, 9.0)), (3.0, 3000.0)
    ),
    "earth": BodySignals(
        earth_noise, earthquake, earth_disturbances, wide_counts, WideFloats((0.05, 1.0), (8.0, 9.8)), (3.0, 3000.0)
    ),
}

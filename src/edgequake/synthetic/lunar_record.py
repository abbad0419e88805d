"""One synthetic record of three components, and the truth about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgequake.synthetic.lunar_signals import add_glitches, draw_shape, quake_component, quiet_noise

# Apollo long-period data (Nunn et al. 2020, doi:10.1007/s11214-020-00709-3): 10 bits, zero motion near the middle.
SAMPLING_RATE_HZ = 6.625
MAX_COUNTS = 1023
CENTRE_COUNTS = 512
GAP_COUNTS = -1  # how archived Apollo files mark samples that were lost

CHANNELS = ("MH1", "MH2", "MHZ")
COMPONENT_GAINS = (1.0, 0.85, 0.5)  # horizontals see more of a scattered wave field than the vertical
NETWORK, STATION, LOCATION = "XX", "LUN", "00"  # XX is no network that ever recorded on the Moon

DAY_START_NS = 1_893_456_000_000_000_000  # 2030-01-01T00:00:00Z: no real record lies there


@dataclass(frozen=True)
class SyntheticRecord:
    """One record of one station, and the truth about it."""

    source_ids: tuple[str, ...]  # one per channel, for example FDSN:XX_LUN_00_M_H_Z
    start_ns: int  # of the first sample, nanoseconds since 1970 UTC
    sampling_rate_hz: float
    samples: npt.NDArray[np.int32]  # (n_channels, n_samples), counts; -1 where samples were lost and marked
    onsets_ns: tuple[int, ...]  # first motion of each moonquake, rising
    gaps: tuple[tuple[int, int], ...]  # [start, stop) in samples: left out of the written file, as lost and unmarked
    fills: tuple[tuple[int, int], ...]  # [start, stop) in samples: -1 in every channel

    @property
    def duration_s(self) -> float:
        """Length in seconds, tears included."""
        return self.samples.shape[1] / self.sampling_rate_hz

    def sample_time_ns(self, index: int) -> int:
        """Return a sample's time, to the microsecond that miniSEED 2 holds."""
        return self.start_ns + round(index * 1e6 / self.sampling_rate_hz) * 1000


def synthetic_record(
    rng: np.random.Generator,
    duration_s: float,
    onsets_s: Sequence[float] = (),
    *,
    ratios: Sequence[float] | None = None,
    noise_counts: float | None = None,
    start_ns: int = DAY_START_NS,
    station: str = STATION,
    channels: Sequence[str] = CHANNELS,
    spikes_per_hour: float = 6.0,
    tears_per_hour: float = 3.0,
    fills_per_hour: float = 0.3,
) -> SyntheticRecord:
    """Synthesise one record.

    Parameters
    ----------
    duration_s : length of the record.
    onsets_s : first motion of each moonquake, seconds from the start, rising.
    ratios : largest amplitude of each moonquake over the noise's; drawn from 3..30 where not given.
    noise_counts : root mean square of the noise, in counts of the first component; drawn from 0.3..1 where not given.
    channels : codes of three letters; the first three take the gains of two horizontals and a vertical.
    tears_per_hour : mean rate of stretches of 0.6 to 10 s missing between records.
    fills_per_hour : mean rate of stretches of 2 to 40 s marked with -1.

    Raises
    ------
    ValueError
        A length that is not positive, onsets that do not rise or lie outside, or ratios that do not match them.
    """
    n_samples = int(duration_s * SAMPLING_RATE_HZ)
    if n_samples < 1 or any(not 0 <= onset < duration_s for onset in onsets_s):
        raise ValueError(f"expected a positive duration and onsets inside it, got {duration_s} s and {list(onsets_s)}")
    if ratios is None:
        ratios = np.exp(rng.uniform(np.log(3.0), np.log(30.0), len(onsets_s))).tolist()
    if len(ratios) != len(onsets_s):
        raise ValueError(f"expected one ratio for each of {len(onsets_s)} onsets, got {len(ratios)}")
    level = float(np.exp(rng.uniform(np.log(0.3), np.log(1.0)))) if noise_counts is None else noise_counts
    if list(onsets_s) != sorted(onsets_s):
        raise ValueError(f"expected rising onsets, got {list(onsets_s)}")
    starts = [int(onset * SAMPLING_RATE_HZ) for onset in onsets_s]
    shapes = [draw_shape(rng) for _ in starts]
    gaps = _intervals(rng, n_samples, tears_per_hour, (0.6, 10.0))
    fills = _intervals(rng, n_samples, fills_per_hour, (2.0, 40.0))
    samples = np.empty((len(channels), n_samples), dtype=np.int32)
    for row, gain in zip(samples, (COMPONENT_GAINS * len(channels))[: len(channels)], strict=True):
        motion = quiet_noise(rng, n_samples, SAMPLING_RATE_HZ, level * gain)
        for start, shape, ratio in zip(starts, shapes, ratios, strict=True):
            wave = quake_component(rng, shape, SAMPLING_RATE_HZ)[: n_samples - start]
            motion[start : start + wave.size] += ratio * level * gain * wave
        motion = add_glitches(rng, motion, SAMPLING_RATE_HZ, spikes_per_hour)
        centre = CENTRE_COUNTS + rng.uniform(-20.0, 20.0)
        row[:] = np.clip(np.rint(motion + centre), 0, MAX_COUNTS).astype(np.int32)
        for start, stop in fills:
            row[start:stop] = GAP_COUNTS
    ids = tuple(f"FDSN:{NETWORK}_{station}_{LOCATION}_{'_'.join(channel)}" for channel in channels)
    onsets_ns = tuple(start_ns + round(start * 1e6 / SAMPLING_RATE_HZ) * 1000 for start in starts)
    return SyntheticRecord(ids, start_ns, SAMPLING_RATE_HZ, samples, onsets_ns, gaps, fills)


def _intervals(
    rng: np.random.Generator, n_samples: int, per_hour: float, length_range_s: tuple[float, float]
) -> tuple[tuple[int, int], ...]:
    """Draw disjoint stretches [start, stop) in samples, log-uniform in length, inside the record."""
    hours = n_samples / SAMPLING_RATE_HZ / 3600.0
    drawn: list[tuple[int, int]] = []
    low, high = np.log(length_range_s)
    for start in np.sort(rng.integers(1, max(n_samples, 2), rng.poisson(per_hour * hours))).tolist():
        stop = start + max(1, round(float(np.exp(rng.uniform(low, high))) * SAMPLING_RATE_HZ))
        if stop < n_samples and (not drawn or start > drawn[-1][1]):
            drawn.append((start, stop))
    return tuple(drawn)

"""Durations, thresholds and frequency bands of one body's quakes: the table `[examples.scales]` of a recipe.

A moonquake rises for minutes and its coda lasts an hour, a marsquake lasts a quarter of an hour, and a local earthquake
is over within a minute. Times are in seconds; decades are of power.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Scales:
    """Durations, thresholds and bands of one body.

    Raises ValueError for a negative duration or threshold and for an unusable range or band.
    """

    # Targets (train/examples/labels.py). The visible part of an event begins when its smoothed power first rises above
    # `visible_decades` over the background, and ends when it falls below `faded_decades`.
    onset_s: float  # blocks up to this long after the visible onset have the target "onset"
    max_event_s: float
    search_s: float  # the visible onset may follow a catalogued arrival by this much (emergent events)
    coarse_label_s: float  # labels of this precision or worse ...
    search_before_s: float  # ... may be late by this much
    visible_decades: float
    faded_decades: float
    rejoin_s: float  # power that rises again within this time belongs to the same event: S long after a weak P
    label_bands_hz: tuple[float, ...]  # rising edges of the bands in which quakes are visible
    label_best_bands: int  # targets use the mean excess of the loudest run of this many neighbouring bands
    # Recorded noise and quakes (train/data/noise_bank.py, train/examples/examples.py).
    before_event_s: float  # quiet time ends this long before a catalogued arrival, because labels may be late ...
    after_event_s: float  # ... and begins again this long after it: the longest codas
    min_quiet_s: float
    lead_s: float  # a random start lies at least this long before the arrival ...
    approach_s: float  # ... and at most this much longer
    min_rest_s: float  # a random start anywhere in a record leaves at least this much of it
    # Recorded quakes for injection are cut from `quake_lead_s` before the arrival, fade in over that time and fade out
    # over the last `quake_fade_s`. Cuts shorter than `min_quake_s` are not used.
    quake_lead_s: float
    quake_s: float
    min_quake_s: float
    quake_fade_s: float
    level_s: float  # the amplitude of a quake is the rms of its loudest interval of this length
    clear_decades: float  # a recorded quake is used if its power exceeds the noise of its record by this much ...
    headroom_decades: float  # ... and is amplified by at most this much, because that noise is amplified with it
    # Synthetic records (train/examples/augmentation.py).
    min_spacing_s: float  # between two quakes of a record
    before_start_s: float  # a record may begin this long after a quake did
    lasting_s: float  # a quake must exceed noise that lasts for half of this
    rise_s: tuple[float, ...]  # [shortest, longest] rise of synthetic quakes
    decay_s: tuple[float, ...]  # [shortest, longest] e-folding time of a synthetic quake's amplitude
    # A synthetic quake in the coda of another has an onset of its own if it exceeds that by this much in power.
    # 0: always, which suits quakes that are far apart.
    overlap_decades: float = 0.0
    # Amplitudes of noise and quakes are measured in this band [low, high); empty: over all frequencies.
    loudness_band_hz: tuple[float, ...] = ()
    # ... or, of quakes that are louder there, in this one, where the sampling rate allows; empty: there is none.
    high_loudness_band_hz: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name.endswith(("_s", "_decades")) and not isinstance(value, tuple) and value < 0:
                raise ValueError(f"{name} must not be negative, got {value:g}")
        for name in ("rise_s", "decay_s"):
            ends = getattr(self, name)
            if len(ends) != 2 or not 0 < ends[0] <= ends[1]:
                raise ValueError(f"{name} must be [shortest, longest] with 0 < shortest <= longest, got {list(ends)}")
        if len(self.label_bands_hz) < 2 or not _rise(self.label_bands_hz):
            raise ValueError(f"label_bands_hz must be two rising frequencies or more, got {list(self.label_bands_hz)}")
        if not 1 <= self.label_best_bands < len(self.label_bands_hz):
            raise ValueError(f"label_best_bands must be 1 up to the number of bands, got {self.label_best_bands}")
        for name in ("loudness_band_hz", "high_loudness_band_hz"):
            band_hz = getattr(self, name)
            if len(band_hz) not in (0, 2) or not _rise(band_hz):
                raise ValueError(f"{name} must be [low, high] or empty, got {list(band_hz)}")

    def loudness_bands_hz(self, rate_hz: float) -> tuple[tuple[float, ...], ...]:
        """Return the bands in which a quake may be loudest, at a sampling rate."""
        high_hz = self.high_loudness_band_hz
        return (self.loudness_band_hz, high_hz) if high_hz and high_hz[1] < rate_hz / 2 else (self.loudness_band_hz,)

    def label_bands_at(self, rate_hz: float) -> tuple[float, ...]:
        """Return the edges of the bands in which quakes are visible at a sampling rate."""
        return tuple(edge for edge in self.label_bands_hz if edge <= rate_hz / 2)


def _rise(frequencies_hz: tuple[float, ...]) -> bool:
    return all(0 < a < b for a, b in pairwise(frequencies_hz))

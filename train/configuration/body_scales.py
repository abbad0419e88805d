"""How long things last on a body, and in which bands its quakes are: what differs between worlds in making examples.

A moonquake rises for minutes and scatters for an hour, a marsquake lasts a quarter of one, and a local earthquake is
over in a minute (`[examples.scales]` of each recipe says so in numbers). Times are in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Scales:
    """Durations, thresholds and bands of one body."""

    # Targets (train/examples/labels.py). The visible part of an event: its power, in decades over the background and smoothed,
    # first rises above `visible_decades` and goes on until it has fallen under `faded_decades`.
    onset_s: float  # blocks up to this long after the visible onset say "onset"
    max_event_s: float
    search_s: float  # the visible onset may lie this long after a catalogued arrival (emergent events)
    coarse_label_s: float  # labels whose precision is this or worse ...
    search_before_s: float  # ... may be late by this much
    visible_decades: float
    faded_decades: float
    rejoin_s: float  # power that rises again within this time is still the same event: S long after a weak P
    label_bands_hz: tuple[float, ...]  # rising edges of bands: where quakes are
    label_best_bands: int  # the excess for the labels is the mean over the loudest run of this many of them
    # Real records (train/data/noise_bank.py, train/examples/examples.py).
    before_event_s: float  # quiet time keeps this far from a catalogued arrival: labels may be late ...
    after_event_s: float  # ... and this far behind it: the longest codas
    min_quiet_s: float
    lead_s: float  # a random start lies at least this long before the arrival ...
    approach_s: float  # ... and at most this much longer
    min_rest_s: float  # a random start anywhere leaves at least this much of the record
    # Real quakes cut out for implanting: from `quake_lead_s` before the arrival on, faded in, and out over the last
    # `quake_fade_s`. A shorter part than `min_quake_s` is of no use.
    quake_lead_s: float
    quake_s: float
    min_quake_s: float
    quake_fade_s: float
    level_s: float  # a quake is as loud as its loudest stretch of this length
    clear_decades: float  # a real quake is used where its power stands this far above its own record's noise ...
    headroom_decades: float  # ... and is made at most this much clearer than it is there: that noise comes along
    # Made records (train/examples/augmentation.py).
    min_spacing_s: float  # between two quakes of a record
    before_start_s: float  # a record may begin this long after a quake did
    lasting_s: float  # noise that goes on for half of this is what a quake must stand out of
    rise_s: tuple[float, ...]  # [shortest, longest] of synthetic quakes
    decay_s: tuple[float, ...]  # [shortest, longest] e-folding time of a synthetic quake's amplitude
    # How loud noise and quakes are is measured in this band [low, high); empty: over all frequencies.
    loudness_band_hz: tuple[float, ...] = ()

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
        if len(self.loudness_band_hz) not in (0, 2) or not _rise(self.loudness_band_hz):
            raise ValueError(f"loudness_band_hz must be [low, high] or empty, got {list(self.loudness_band_hz)}")


def _rise(frequencies_hz: tuple[float, ...]) -> bool:
    return all(0 < a < b for a, b in pairwise(frequencies_hz))

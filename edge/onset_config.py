"""The constants of onset refinement, as a manifest's table `onset` holds them."""

from __future__ import annotations

from dataclasses import dataclass

_LARGEST = 1e6  # seconds, Hz or nats: beyond that a number is a slip


@dataclass(frozen=True)
class OnsetConfig:
    """How onsets are refined; `edge/onset.py` states the rule, docs/onsets.md the evidence for each body's numbers."""

    low_hz: float  # pass band; its upper edge is lowered to 0.45 of the sampling rate of a slower channel
    high_hz: float
    filter_cycles: float  # length of the band-pass in periods of low_hz
    frame_s: float  # the onset lies between two frames of this length
    before_s: float  # searched: from so long before the rise of the probability
    after_s: float  # until so long after it
    tail_s: float  # a second look stops so long after the onset of the first
    min_quiet_s: float  # an onset needs so much record before it
    min_gain: float  # nats by which a rise must be likelier than none, else the trigger's own onset stays
    evidence: float  # share of the theoretical evidence that uneven ground motion carries, 0..1
    late_s: float  # how late the rise usually is
    late_spread_s: float  # half of all rises lie within this of it
    min_sigma_s: float  # what picks of the clearest events scatter by
    max_sigma_s: float  # a rise vaguer than this says less than the trigger, whose own onset then stays
    coarse_sigma_s: float  # uncertainty of the trigger's own onset

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            smallest = -_LARGEST if name == "late_s" else 0.0
            if not smallest < value < _LARGEST:
                raise ValueError(f"{name} must lie between {smallest:g} and {_LARGEST:g}, got {value:g}")
        if self.high_hz <= self.low_hz or self.evidence > 1:
            raise ValueError("expected low_hz < high_hz and evidence <= 1")
        if self.frame_s + self.min_quiet_s > self.before_s:
            raise ValueError("before_s must hold min_quiet_s and a frame")

    @property
    def reach_before_s(self) -> float:
        """Samples are used from so long before the rise."""
        return self.before_s + self._half_filter_s

    @property
    def reach_after_s(self) -> float:
        """Samples are used until so long after the rise."""
        return self.after_s + self._half_filter_s

    @property
    def _half_filter_s(self) -> float:
        return self.filter_cycles / self.low_hz / 2.0

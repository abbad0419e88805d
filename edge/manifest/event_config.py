"""The constants of event classes, as a manifest's table `classes` holds them.

The constants of onset refinement, as a manifest's table `onset` holds them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

INPUTS = ("pitch", "spread", "loudness", "duration")  # what a class may be told by; see edge/detection/event_class.py
_LONGEST_S = 1e5  # a longer duration is a slip, and would take the lander's memory


@dataclass(frozen=True)
class ClassConfig:
    """A linear softmax over the standardised inputs; `edge/detection/event_class.py` states the rule.

    Attributes
    ----------
    names : what the catalogue's `mq_type` says of each class.
    inputs : which of `INPUTS` the classes are told by.
    spectrum_s : the event's spectrum is the mean over so long after its onset.
    smooth_s : its loudness is a running mean over so long.
    min_live_s : with fewer live rows than this nothing is told.
    max_event_s : what comes later in an event is not looked at.
    mean, scale : of each input, where the classes were learned.
    weights : one row a class, one number an input.
    bias : one number a class.
    min_probability : a class that is less probable than this is not told.
    max_deviation : nor is any class when an input lies further than this from `mean`, in units of `scale`.
    """

    names: tuple[str, ...]
    inputs: tuple[str, ...]
    spectrum_s: float
    smooth_s: float
    min_live_s: float
    max_event_s: float
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]
    min_probability: float
    max_deviation: float

    def __post_init__(self) -> None:
        n_classes, n_inputs = len(self.names), len(self.inputs)
        if n_classes < 2 or len(set(self.names)) < n_classes or not all(self.names):
            raise ValueError(f"names must be two classes or more, all different and none blank, got {list(self.names)}")
        if not self.inputs or len(set(self.inputs)) < n_inputs or not set(self.inputs) <= set(INPUTS):
            raise ValueError(f"inputs must be one or more of {', '.join(INPUTS)}, got {list(self.inputs)}")
        if len(self.mean) != n_inputs or len(self.scale) != n_inputs:
            raise ValueError(f"mean and scale must hold one number for each of the inputs, {', '.join(self.inputs)}")
        if len(self.weights) != n_classes or any(len(row) != n_inputs for row in self.weights):
            raise ValueError(f"weights must be {n_classes} rows of {n_inputs} numbers")
        if len(self.bias) != n_classes:
            raise ValueError(f"bias must hold {n_classes} numbers, one a class")
        numbers = (*self.mean, *self.scale, *self.bias, *(number for row in self.weights for number in row))
        if not all(math.isfinite(number) for number in numbers) or min(self.scale) <= 0:
            raise ValueError("mean, scale, weights and bias must be finite, and scale above 0")
        if not 0 < self.smooth_s <= self.spectrum_s <= self.max_event_s <= _LONGEST_S:
            raise ValueError(f"expected 0 < smooth_s <= spectrum_s <= max_event_s <= {_LONGEST_S:g}")
        if not 0 <= self.min_live_s <= self.spectrum_s:
            raise ValueError("expected 0 <= min_live_s <= spectrum_s")
        if not 0 < self.min_probability <= 1 or not self.max_deviation > 0:
            raise ValueError("expected 0 < min_probability <= 1 and max_deviation > 0")


_LARGEST = 1e6  # seconds, Hz or nats: beyond that a number is a slip


@dataclass(frozen=True)
class OnsetConfig:
    """How onsets are refined; `edge/detection/onset.py` states the rule, docs/onsets.md the evidence for each body's numbers."""

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

"""The manifest's tables `onset` and `classes`: how onsets are refined and events are classified."""

from __future__ import annotations

import math
from dataclasses import dataclass

INPUTS = ("pitch", "spread", "loudness", "duration")  # features for the classes; see edge/detection/event_class.py
_LONGEST_S = 1e5  # a longer duration is a mistake, and would take the lander's memory
_LARGEST = 1e6  # seconds, Hz or nats: a larger number is a mistake


@dataclass(frozen=True)
class OnsetConfig:
    """How onsets are refined: rule in `edge/detection/onset.py`, evidence for each body's numbers in docs/onsets.md."""

    low_hz: float  # pass band; its upper edge is lowered to 0.45 of the sampling rate of a slower channel
    high_hz: float
    filter_cycles: float  # length of the band-pass in periods of low_hz
    frame_s: float  # the onset lies between two frames of this length
    before_s: float  # the search begins this long before the rise of the probability
    after_s: float  # ... and stops this long after it
    tail_s: float  # the second search stops this long after the onset of the first
    min_quiet_s: float  # an onset needs this much record before it
    min_gain: float  # nats by which a rise must be likelier than none, else the trigger's onset is kept
    evidence: float  # share of the theoretical evidence that real, uneven ground motion carries, 0..1
    late_s: float  # usual delay of the rise of the probability
    late_spread_s: float  # half of all delays lie within this of it
    min_sigma_s: float  # scatter of the picks of the clearest events
    max_sigma_s: float  # with a larger uncertainty the trigger's onset is kept
    coarse_sigma_s: float  # uncertainty of the trigger's onset

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
        """The samples used begin this long before the rise."""
        return self.before_s + self._half_filter_s

    @property
    def reach_after_s(self) -> float:
        """The samples used stop this long after the rise."""
        return self.after_s + self._half_filter_s

    @property
    def _half_filter_s(self) -> float:
        return self.filter_cycles / self.low_hz / 2.0


@dataclass(frozen=True)
class ClassConfig:
    """A linear softmax over standardised features; `edge/detection/event_class.py` states the rule.

    Attributes
    ----------
    names : value of the catalogue's `mq_type` for each class.
    inputs : the features used, some of `INPUTS`.
    spectrum_s : the event's spectrum is the mean over this time after its onset.
    smooth_s : its loudness is a running mean over this time.
    min_live_s : an event with less valid data than this is not classified.
    max_event_s : later parts of an event are ignored.
    mean, scale : of each feature in the training events.
    weights : one row per class, one number per feature.
    bias : one number per class.
    min_probability : a less probable class is left blank.
    max_deviation : so is the class of an event with a feature further than this from `mean`, in units of `scale`.
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
            raise ValueError(f"bias must hold {n_classes} numbers, one per class")
        numbers = (*self.mean, *self.scale, *self.bias, *(number for row in self.weights for number in row))
        if not all(math.isfinite(number) for number in numbers) or min(self.scale) <= 0:
            raise ValueError("mean, scale, weights and bias must be finite, and scale above 0")
        if not 0 < self.smooth_s <= self.spectrum_s <= self.max_event_s <= _LONGEST_S:
            raise ValueError(f"expected 0 < smooth_s <= spectrum_s <= max_event_s <= {_LONGEST_S:g}")
        if not 0 <= self.min_live_s <= self.spectrum_s:
            raise ValueError("expected 0 <= min_live_s <= spectrum_s")
        if not 0 < self.min_probability <= 1 or not self.max_deviation > 0:
            raise ValueError("expected 0 < min_probability <= 1 and max_deviation > 0")

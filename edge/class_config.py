"""The constants of event classes, as a manifest's table `classes` holds them."""

from __future__ import annotations

import math
from dataclasses import dataclass

INPUTS = ("pitch", "spread", "loudness", "duration")  # what a class may be told by; see edge/event_class.py
_LONGEST_S = 1e5  # a longer duration is a slip, and would take the lander's memory


@dataclass(frozen=True)
class ClassConfig:
    """A linear softmax over the standardised inputs; `edge/event_class.py` states the rule.

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

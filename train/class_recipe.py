"""The table `[classes]` of a recipe: which catalogue labels make which event class, and how classes are learned."""

from __future__ import annotations

from dataclasses import dataclass

from edgequake.edge.class_config import INPUTS


@dataclass(frozen=True)
class ClassesRecipe:
    """Event classes to learn; a body whose catalogue tells none has no such table."""

    labels: dict[str, tuple[str, ...]]  # class as the catalogue's mq_type shall say it -> patterns of event types
    repeating: tuple[str, ...]  # patterns of event types whose events are one source's: they count as one family
    inputs: tuple[str, ...]  # these four: see edgequake.edge.class_config
    spectrum_s: float
    smooth_s: float
    min_live_s: float
    n_starts: int  # random starts of each record
    onset_error_s: tuple[float, ...]  # [earliest, latest]: a trigger's onset, measured from the visible one
    stop_error_s: tuple[float, ...]  # [earliest, latest]: its stop
    ridge: float  # weight of the squared weights beside the mean cross-entropy
    least_probability: float  # a class that is less probable is never told ...
    min_right: float  # ... and of the classes told of events not learned from, at least this share shall be right

    def __post_init__(self) -> None:
        if len(self.labels) < 2 or any(not patterns for patterns in self.labels.values()):
            raise ValueError("labels must name two classes or more, each with a pattern of event types or more")
        if not self.inputs or not set(self.inputs) <= set(INPUTS):
            raise ValueError(f"inputs must be one or more of {', '.join(INPUTS)}, got {list(self.inputs)}")
        for name in ("onset_error_s", "stop_error_s"):
            ends = getattr(self, name)
            if len(ends) != 2 or ends[0] > ends[1]:
                raise ValueError(f"{name} must be [earliest, latest] with earliest <= latest, got {list(ends)}")
        if not 0 < self.least_probability < 1:
            raise ValueError(f"least_probability must lie between 0 and 1, got {self.least_probability:g}")
        if self.n_starts < 1 or self.ridge <= 0 or not 0 < self.min_right <= 1:
            raise ValueError("expected n_starts >= 1, ridge > 0 and 0 < min_right <= 1")

"""Operating points and how they were chosen: the reports of `edgequake tune` and `bench folds`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgequake.data.selection import Fold
from edgequake.edge.manifest.manifest import TriggerConfig
from edgequake.results.accuracy import RateFigures, ScoreSummary, Spread
from edgequake.results.provenance import ModelIdentity, Provenance, Report


@dataclass(frozen=True, order=True)
class Setting:
    """The searched parameters of the trigger."""

    threshold: float
    min_duration_s: float
    event_threshold: float

    def apply(self, trigger: TriggerConfig) -> TriggerConfig:
        """Return the trigger's settings with this duration and this event threshold."""
        return dataclasses.replace(trigger, min_duration_s=self.min_duration_s, event_threshold=self.event_threshold)


@dataclass(frozen=True)
class GridPoint:
    """One setting of the trigger, and its figures over the records."""

    setting: Setting
    figures: RateFigures


@dataclass(frozen=True)
class ThresholdIntervals:
    """How far a choice can be trusted: 90 % intervals by the bootstrap over records; None where they show too little.

    Attributes
    ----------
    threshold : of the threshold that the rule chooses on the records drawn.
    recall, false_per_day : at the threshold that was chosen.
    """

    threshold: tuple[float, float] | None
    recall: tuple[float, float] | None
    false_per_day: tuple[float, float] | None


class Tuning(Report):
    """Base class of what tuning found; its JSON lies beside the tuned manifest."""

    kind_field = "tuned"
    manifest: Path  # the copy that was written
    intervals: dict[str, ThresholdIntervals]  # sensitivity -> intervals; empty where they were not asked for

    def to_json(self) -> dict[str, Any]:
        """Return the report as values that JSON can hold, without intervals where there are none."""
        fields = super().to_json()
        return fields if self.intervals else {name: value for name, value in fields.items() if name != "intervals"}

    def derived(self) -> dict[str, Any]:
        """Return the manifest as text."""
        return {"manifest": str(self.manifest)}


@dataclass(frozen=True)
class LabelTuning(Tuning):
    """A trigger chosen on labelled records."""

    kind = "by labels"

    body: str
    part: str  # the split or fold
    stations: tuple[str, ...]  # requested; none: all
    seeds: tuple[int, ...]
    prefer: str
    n_records: int
    n_arrivals: int
    data_sha256: str
    model: ModelIdentity
    provenance: Provenance
    manifest: Path
    before: dict[str, RateFigures]  # sensitivity -> figures with the model's own trigger
    after: dict[str, RateFigures]  # ... and with the one chosen
    trigger_before: TriggerConfig
    trigger: TriggerConfig
    grid: tuple[GridPoint, ...]
    intervals: dict[str, ThresholdIntervals] = field(default_factory=dict)


@dataclass(frozen=True)
class RatePoint:
    """False alarms at one onset threshold."""

    threshold: float
    n_false: float  # mean over the random starts of labelled records, as all below
    quiet_days: float
    false_per_day: float
    recall: float | None  # of the labelled arrivals, where there are any


@dataclass(frozen=True)
class ChosenRate:
    """A threshold and the rate it was chosen for."""

    asked_per_day: float
    threshold: float
    n_false: float
    false_per_day: float
    false_per_day_upper: float  # upper bound of the 90 % Poisson interval
    recall: float | None


@dataclass(frozen=True)
class QuietRecords:
    """The records on which false alarms were counted."""

    labelled: bool  # False: every detection counts as false
    part: str  # the split or fold, "all" where there is none
    stations: tuple[str, ...]
    quiet_days: float  # unlabelled: all recorded time
    data_sha256: str
    points: tuple[RatePoint, ...]  # falling thresholds, down to the first that exceeds every requested rate
    warnings: tuple[str, ...]  # files that could not be used


@dataclass(frozen=True)
class RateTuning(Tuning):
    """Onset thresholds chosen for a rate of false alarms."""

    kind = "by rate"

    asked_per_day: float
    chosen: dict[str, ChosenRate]  # low, normal, high
    quiet: QuietRecords
    unresolved: str | None  # if the quiet time is too short to resolve the rate: what it does show
    body: str
    seeds: tuple[int, ...]  # random starts of labelled records; unlabelled ones are run whole
    model: ModelIdentity
    provenance: Provenance
    manifest: Path
    trigger: TriggerConfig
    intervals: dict[str, ThresholdIntervals] = field(default_factory=dict)


@dataclass(frozen=True)
class FoldChoice:
    """The operating point of a fold, chosen on the others."""

    fold: Fold
    model: ModelIdentity
    n_records: int
    threshold: float
    trigger: TriggerConfig


@dataclass(frozen=True)
class RoundResult:
    """One model for each fold, all held-out records pooled."""

    summary: ScoreSummary
    folds: tuple[FoldChoice, ...]
    curve: dict[float, RateFigures]  # onset threshold in every fold -> figures; durations as chosen
    recall_at_one_false: float | None  # best of the curve with at most one false alarm per quiet day
    missed: dict[str, float]  # file -> primary arrivals not recalled, mean over passes; the others miss none
    false_alarms: dict[str, float]  # file -> false alarms, mean over passes


@dataclass(frozen=True)
class CrossValidation(Report):
    """All rounds of a cross-validation, and their spread."""

    kind = "folds"

    body: str
    seeds: tuple[int, ...]  # of the random starts
    n_folds: int
    n_records: int
    n_arrivals: int
    n_groups: int
    data_sha256: str
    provenance: Provenance
    rounds: tuple[RoundResult, ...]
    spreads: dict[str, Spread]  # field of Score -> mean and deviation of the rounds' means
    group_recall_interval: tuple[float, float]  # Wilson, 90 %, of the mean over rounds
    group_captured_interval: tuple[float, float]

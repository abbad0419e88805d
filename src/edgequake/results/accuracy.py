"""How well detectors find events: the reports of `bench accuracy` and `bench budget`, and the scores in them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from edgequake.results.provenance import ModelIdentity, Provenance, Report

MODEL = "model"  # name of the model that an accuracy report is about, among its detectors
BLANK, NOT_FOUND, NO_EVENT = "blank", "not found", "no event"  # beside the classes, in a confusion table


@dataclass(frozen=True)
class Spread:
    """Mean over random starts and standard deviation between them (n - 1; 0 for a single start)."""

    mean: float
    deviation: float


@dataclass(frozen=True)
class Score:
    """One pass over a set of records. Rates are None where there is nothing to divide by."""

    n_records: int
    n_arrivals: int  # primary ones, here and below
    n_recalled: int
    n_captured: int
    n_fixed: int  # arrivals in records whose start could not be moved: the time since the start gives these away
    n_fixed_recalled: int
    n_false: int
    n_extra: int
    record_days: float
    quiet_days: float
    recall: float | None
    precision: float | None
    f1: float | None
    kept: float | None
    kept_long: float | None  # on records of at least 10 h
    wasted: float | None
    false_per_quiet_day: float | None
    n_groups: int  # distinct events
    groups_recalled: int  # with at least one of their arrivals recalled
    groups_captured: int
    group_recall: float | None  # mean over groups of the share of their arrivals that are recalled
    group_captured: float | None
    onset_errors_s: tuple[float, ...]  # of the recalled arrivals, detection minus arrival

    @property
    def onset_error_s(self) -> float | None:
        """Median of the absolute onset errors."""
        return statistics.median(map(abs, self.onset_errors_s)) if self.onset_errors_s else None

    @property
    def mean_onset_error_s(self) -> float | None:
        """Mean of the absolute onset errors."""
        return statistics.fmean(map(abs, self.onset_errors_s)) if self.onset_errors_s else None


@dataclass(frozen=True)
class ScoreSummary:
    """One detector over several random starts."""

    scores: tuple[Score, ...]
    spreads: dict[str, Spread]  # field of Score -> spread; without fields that were None for any start
    group_recall_interval: tuple[float, float]  # Wilson, 90 %, of the mean share over the groups
    group_captured_interval: tuple[float, float]
    false_per_quiet_day_upper: float | None  # upper bound of the 90 % Poisson interval of the mean count

    def mean(self, name: str) -> float | None:
        """Return the mean of a field of `Score`; None where it could not be divided."""
        spread = self.spreads.get(name)
        return None if spread is None else spread.mean


@dataclass(frozen=True)
class RateFigures:
    """Means over passes; rates are None where there is nothing to divide by."""

    recall: float | None
    captured: float | None  # share of the arrivals
    precision: float | None
    f1: float | None
    n_false: float
    false_per_quiet_day: float | None
    false_per_quiet_day_upper: float | None  # upper bound of the 90 % Poisson interval of the mean count
    quiet_days: float
    kept: float | None
    kept_long: float | None  # on records of at least 10 h
    wasted: float | None

    @property
    def kept_judged(self) -> float:
        """The share kept of long records, which is what a lander would keep; of all records where none is long."""
        return (self.kept if self.kept_long is None else self.kept_long) or 0.0

    @classmethod
    def mean_of(cls, points: Sequence[RateFigures]) -> RateFigures:
        """Return the field-wise mean of several figures."""
        values = {field.name: [getattr(point, field.name) for point in points] for field in fields(cls)}
        means: dict[str, Any] = {name: None if None in of else statistics.fmean(of) for name, of in values.items()}
        return cls(**means)


@dataclass(frozen=True)
class Part:
    """The arrivals of one class, or the records of one station."""

    n_records: int
    n_arrivals: int
    n_groups: int
    spreads: dict[str, Spread]  # field of Score -> mean and deviation; without those that were None for any start
    group_recall_interval: tuple[float, float]  # Wilson, 90 %
    false_per_quiet_day_upper: float | None  # None for a class


@dataclass(frozen=True)
class WindowFigures:
    """Means over the random starts; a rate is None where there is nothing to divide by in any of them."""

    window_s: float
    n_event: float  # windows, mean over the starts
    n_quiet: float
    n_left_out: float
    accuracy: Spread | None
    precision: Spread | None
    recall: Spread | None
    f1: Spread | None
    auc: Spread | None


@dataclass(frozen=True)
class Breakdown:
    """One detector in detail; means over the random starts."""

    onset_within: dict[str, Spread]  # "5" and so on, seconds -> share of the primary arrivals
    by_class: dict[str, Part]
    by_station: dict[str, Part]
    confusion: dict[str, dict[str, float]] | None  # label -> class assigned -> arrivals; None: no class is assigned
    windows: WindowFigures


@dataclass(frozen=True)
class DetectorResult:
    """One detector on the records."""

    name: str  # `MODEL` for the one that the report is about
    settings: str
    summary: ScoreSummary
    breakdown: Breakdown | None = None  # None in files that are older than breakdowns


@dataclass(frozen=True)
class CurvePoint:
    """Recall against the share kept at one threshold, means over the random starts."""

    threshold: float
    recall: float
    captured: float  # share of the arrivals
    kept: float
    kept_long: float | None  # None without records of at least 10 h
    f1: float
    false_per_quiet_day: float


@dataclass(frozen=True)
class PeerResult:
    """The cost of one of SeisBench's pickers."""

    name: str
    weights: str | None  # None: not available, so measured untrained, and by cost alone
    parameters: int
    us_per_signal_s: float  # median of `n_runs`
    signal_s: float  # in one run
    n_runs: int
    n_threads: int
    versions: dict[str, str]
    note: str


@dataclass(frozen=True, kw_only=True)
class AccuracyReport(Report):
    """Detectors side by side, and the source of the figures."""

    kind = "accuracy"

    body: str
    split: str  # "val", "fold 0/3", or "all" of a data set without splits
    seeds: tuple[int, ...]  # of the random starts; none: every record from its own start
    n_records: int
    n_arrivals: int
    n_groups: int
    n_fixed: int  # arrivals in records whose start could not be moved
    data_sha256: str
    model: ModelIdentity | None
    also: dict[str, ModelIdentity] = field(default_factory=dict)  # further models, by the names of their results
    provenance: Provenance
    results: tuple[DetectorResult, ...]
    curves: dict[str, tuple[CurvePoint, ...]]  # detector -> recall against the share kept
    peers: tuple[PeerResult, ...] = ()  # cost of SeisBench's models, whether their weights are available or not

    @property
    def where(self) -> str:
        """Body and split."""
        return f"{self.body.capitalize()} {self.split}"

    @property
    def title(self) -> str:
        """Body, split and what there was to find."""
        return f"{self.where}: {self.n_arrivals} arrivals of {self.n_groups} events"

    @property
    def kept_field(self) -> str:
        """The share kept that the curves show: of records of at least 10 h where there are such, else of all."""
        points = (point for points in self.curves.values() for point in points)
        return "kept" if any(point.kept_long is None for point in points) else "kept_long"

    def detector_title(self, name: str) -> str:
        """Return the name of a detector; the model has its own."""
        return self.model.title if name == MODEL and self.model else name

    def model_of(self, name: str) -> ModelIdentity | None:
        """Return the graph behind the name of a detector; None for one that is not a model."""
        return self.model if name == MODEL else self.also.get(name)


@dataclass(frozen=True)
class BudgetPoint:
    """The result of one budget; shares of the primary arrivals, means over the random starts."""

    budget_bytes: int  # of a UTC day
    delivered: Spread
    delivered_long: Spread | None  # in records of at least 10 h, where other events compete; None without such
    told: Spread  # the event report was sent
    whole: Spread
    events: Spread  # mean over the event groups of the share of their arrivals that are delivered
    events_interval: tuple[float, float]  # Wilson, 90 %
    bytes_a_day: Spread  # sent, mean over the days of all missions
    largest_day_bytes: int  # of any mission


@dataclass(frozen=True)
class BudgetCurve:
    """One detector under every budget."""

    name: str
    settings: str
    recalled: Spread  # share of the arrivals, whatever the budget
    n_events: Spread  # found in all records
    points: tuple[BudgetPoint, ...]


@dataclass(frozen=True)
class BudgetReport(Report):
    """Detectors side by side under each budget, and the source of the figures."""

    kind = "budget"

    body: str
    split: str
    seeds: tuple[int, ...]  # of the random starts; none: every record from its own start
    pass_s: float
    n_records: int
    n_arrivals: int
    n_long_arrivals: int  # in records of at least 10 h
    n_groups: int
    n_days: float  # UTC days that the missions of one pass touch, mean over the random starts
    data_sha256: str
    model: ModelIdentity
    provenance: Provenance
    curves: tuple[BudgetCurve, ...]

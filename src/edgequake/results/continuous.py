"""How detectors do on continuous hours: the report of `bench accuracy --continuous`."""

from __future__ import annotations

from dataclasses import dataclass

from edgequake.results.provenance import ModelIdentity, Provenance, Report


@dataclass(frozen=True)
class StratumLine:
    """What a line of the measure is about; `edgequake.benchmarks.scoring.strata` defines the strata."""

    name: str
    kind: str  # hours, arrivals or kept
    part: str  # split or fold of the records
    asked: bool  # False: not of the split that was asked for but of train, so not held out
    n_records: int
    hours: float  # recorded, of all stations
    n_arrivals: int


@dataclass(frozen=True)
class StratumPoint:
    """One detector on one stratum at one threshold, means over the random starts; None: nothing to divide by."""

    n_uncatalogued: float  # events that match no row of the catalogue
    events_per_day: float | None
    kept: float | None  # share of the time
    n_found: float  # recalled arrivals, or kept ones for the kind kept
    found: float | None  # share of the arrivals


@dataclass(frozen=True)
class BinFigures:
    """The arrivals of a range of signal-to-noise ratio, S - P or magnitude."""

    n_arrivals: float
    n_found: float


@dataclass(frozen=True)
class OnsetQuartiles:
    """Onset minus an analyst's pick, seconds; None without a recalled arrival."""

    n: int
    lower: float | None
    median: float | None
    upper: float | None
    median_size: float | None  # of the absolute errors


@dataclass(frozen=True)
class SweptResult:
    """One detector at all of its thresholds; details are those of its normal threshold."""

    name: str
    settings: str
    normal: float  # the threshold to which bins and onsets belong
    points: dict[str, dict[str, StratumPoint]]  # threshold, as text -> stratum -> figures
    bins: dict[str, dict[str, BinFigures]]  # quantity -> range -> figures, over all strata of local quakes
    onsets: OnsetQuartiles  # of the stratum with analysts' picks
    unread: dict[str, int]  # stratum -> records that the detector refused, such as those of too low a rate


@dataclass(frozen=True)
class CostOfPicker:
    """What PhaseNet costs here."""

    name: str
    parameters: int
    size_bytes: int  # of the file of weights
    macs_per_signal_s: float  # as it is used: windows that overlap by half
    cpu_us_per_signal_s: float  # one thread
    note: str


@dataclass(frozen=True, kw_only=True)
class ContinuousReport(Report):
    """Detectors side by side on continuous hours, and the source of the figures."""

    kind = "continuous"

    body: str
    split: str
    seeds: tuple[int, ...]
    data_sha256: str
    model: ModelIdentity | None
    provenance: Provenance
    strata: tuple[StratumLine, ...]
    results: tuple[SweptResult, ...]
    cost: CostOfPicker | None = None

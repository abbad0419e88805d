"""Onset thresholds for an asked rate of false alarms, chosen on quiet records, labelled or not.

The rule. False alarms are counted at every onset threshold of a fine grid. The threshold for a rate is the lowest one
at which, and at every higher one, the observed rate is at most the one asked. `normal` is asked the rate itself, `low`
half of it and `high` twice. The observed rate comes with the upper bound of its 90 % Poisson interval, for a few events
are weak evidence.

Tune a model's onset thresholds to an asked rate of false alarms on one's own records, labelled or not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgequake.benchmarks.detectors.replay import DecisionTracer, StreamDecisionTrace, events_of, trace_records
from edgequake.benchmarks.scoring.pooling import Counts, add, figures, poisson
from edgequake.benchmarks.tuning.operating_point import Passes, score_traces
from edgequake.benchmarks.tuning.tuned_manifest import require_other_folder, write_tuned
from edgequake.benchmarks.tuning.unlabelled import trace_folder
from edgequake.benchmarks.tuning_tables import rate_tuning_table
from edgequake.data.dataset import data_hash, is_labelled
from edgequake.data.selection import Selection
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.manifest.manifest import TriggerConfig
from edgequake.results.provenance import ModelIdentity, Provenance, identify, provenance

Progress = Callable[[float], None]  # takes the share done, 0..1

THRESHOLDS = (*(round(0.01 * i, 2) for i in range(2, 100)), 0.995)
SHARES = {"low": 0.5, "normal": 1.0, "high": 2.0}  # of the asked rate


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


def count_labelled(passes: Passes, trigger: TriggerConfig, threshold: float) -> RatePoint:
    """Count the detections outside all labelled spans; quiet time is what lies there.

    Raises
    ------
    ConfigError
        There is no quiet time.
    """
    seen = figures([add(map(Counts.of, score_traces(traces, trigger, threshold))) for traces in passes])
    if seen.false_per_quiet_day is None:
        raise ConfigError("the records have no quiet time outside labelled arrivals and their codas; give more records")
    return RatePoint(threshold, seen.n_false, seen.quiet_days, seen.false_per_quiet_day, seen.recall)


def count_unlabelled(
    streams: Iterable[StreamDecisionTrace], recorded_days: float, trigger: TriggerConfig, threshold: float
) -> RatePoint:
    """Count every detection as false, and all recorded time as quiet."""
    n_false = sum(len(events_of(run, trigger, threshold)) for stream in streams for run in stream.runs)
    return RatePoint(threshold, float(n_false), recorded_days, n_false / recorded_days, None)


def sweep(count: Callable[[float], RatePoint], asked_per_day: float, progress: Progress) -> list[RatePoint]:
    """Count at falling thresholds until the rate exceeds every one asked for: the rule looks no further."""
    points: list[RatePoint] = []
    for threshold in sorted(THRESHOLDS, reverse=True):
        points.append(count(threshold))
        progress(len(points) / len(THRESHOLDS))
        if points[-1].false_per_day > asked_per_day * max(SHARES.values()):
            break
    return points


def choose_rates(points: Sequence[RatePoint], asked_per_day: float) -> dict[str, ChosenRate]:
    """Apply the rule that this module states: low, normal and high.

    Raises
    ------
    ConfigError
        Even the highest threshold has a higher rate than the one asked.
    """
    falling = sorted(points, key=lambda point: -point.threshold)
    return {name: _lowest(falling, asked_per_day * share) for name, share in SHARES.items()}


def resolution(chosen: ChosenRate, quiet_days: float) -> str | None:
    """Say in one line that the quiet time is too short to show the asked rate; None where it is not."""
    if chosen.asked_per_day * quiet_days >= 1:
        return None
    return (
        f"{quiet_days:.2g} quiet days are too few to see {chosen.asked_per_day:g} false alarms per day: fewer than one "
        f"is expected, and the {chosen.n_false:g} seen show only that the rate is below "
        f"{chosen.false_per_day_upper:.2g} per day (90 % interval)"
    )


def _lowest(falling: Sequence[RatePoint], asked_per_day: float) -> ChosenRate:
    reached = None
    for point in falling:
        if point.false_per_day > asked_per_day:
            break
        reached = point
    if reached is None:
        highest = falling[0]
        raise ConfigError(
            f"even at onset threshold {highest.threshold:g} the model raises {highest.false_per_day:.3g} false alarms "
            f"per day on these records, more than the {asked_per_day:g} that one of its sensitivities is asked; ask "
            f"for a higher --false-per-day, or train on such records"
        )
    return ChosenRate(
        asked_per_day=asked_per_day,
        threshold=reached.threshold,
        n_false=reached.n_false,
        false_per_day=reached.false_per_day,
        false_per_day_upper=poisson(reached.n_false)[1] / reached.quiet_days,
        recall=reached.recall,
    )


@dataclass(frozen=True)
class Quiet:
    """What false alarms were counted on."""

    labelled: bool  # False: every detection counts as false
    part: str  # the split or fold, "all" where there is none
    stations: tuple[str, ...]
    quiet_days: float  # unlabelled: all recorded time
    data_sha256: str
    points: tuple[RatePoint, ...]  # falling thresholds, down to the first with more than was asked of any
    warnings: tuple[str, ...]  # files that could not be used


@dataclass(frozen=True)
class RateTuning:
    """Onset thresholds chosen for a rate of false alarms."""

    asked_per_day: float
    chosen: dict[str, ChosenRate]  # low, normal, high
    quiet: Quiet
    unresolved: str | None  # where the quiet time is too short to show the rate: what it does show
    body: str
    seeds: tuple[int, ...]  # random starts of labelled records; unlabelled ones are run whole
    model: ModelIdentity
    provenance: Provenance
    manifest: Path  # the copy that was written
    trigger: TriggerConfig

    def table(self) -> str:
        """Return the result for people."""
        return rate_tuning_table(self)

    def to_json(self) -> dict[str, Any]:
        """Return the result as values that JSON can hold."""
        return {"tuned": "by rate", **dataclasses.asdict(self), "manifest": str(self.manifest)}


def tune_to_rate(
    model: str,
    data: Path,
    out: Path,
    selection: Selection,
    false_per_day: float,
    *,
    variant: str | None = None,
    seeds: int = 5,
    progress: Progress | None = None,
) -> RateTuning:
    """Choose the onset thresholds by the rule of `edgequake.benchmarks.tuning.false_alarm_tuning`, and write the copy into `out`.

    Parameters
    ----------
    model : shipped name or path of a manifest.
    data : folder of records. With labels only what lies outside the labelled spans counts; without, everything does.
    false_per_day : asked of the normal sensitivity, per day of quiet time.
    seeds : random starts of labelled records.

    Raises
    ------
    ConfigError
        A rate that cannot be asked or reached, no quiet time, or `out` is the model's own folder.
    DataError, ManifestError, ModelError
        Records or a model that cannot be used.
    """
    if not 0 < false_per_day < float("inf"):
        raise ConfigError(f"false-per-day {false_per_day:g}: expected a rate above 0")
    tell = progress or (lambda share, doing: None)
    tracer = DecisionTracer(model, variant)
    require_other_folder(tracer.folder, out)
    if is_labelled(data):
        quiet = _labelled(tracer, data, selection, range(seeds), false_per_day, tell)
    else:
        quiet = _unlabelled(tracer, data, selection, false_per_day, tell)
    chosen = choose_rates(quiet.points, false_per_day)
    manifest = tracer.manifest
    thresholds = {name: rate.threshold for name, rate in chosen.items()}
    result = RateTuning(
        asked_per_day=false_per_day,
        chosen=chosen,
        quiet=quiet,
        unresolved=resolution(chosen["normal"], quiet.quiet_days),
        body=manifest.body,
        seeds=tuple(range(seeds)) if quiet.labelled else (),
        model=identify(model, variant)[0],
        provenance=provenance(),
        manifest=out / f"{manifest.name}.json",
        trigger=dataclasses.replace(manifest.trigger, onset_thresholds=thresholds),
    )
    write_tuned(manifest, tracer.folder, result.trigger, _provenance(result), out, result.to_json())
    return result


def _labelled(
    tracer: DecisionTracer, data: Path, selection: Selection, seeds: range, asked_per_day: float, tell: Progress
) -> Quiet:
    records = selection.records(data, tracer.manifest.body)
    passes = trace_records(tracer, records, seeds, lambda share: tell(0.5 * share, "network"))
    points = sweep(
        lambda threshold: count_labelled(passes, tracer.manifest.trigger, threshold),
        asked_per_day,
        lambda share: tell(0.5 + 0.5 * share, "trigger"),
    )
    stations = tuple(sorted({record.station_id for record in records}))
    return Quiet(
        True, selection.words(data), stations, points[0].quiet_days, data_hash(records), tuple(points), warnings=()
    )


def _unlabelled(
    tracer: DecisionTracer, data: Path, selection: Selection, asked_per_day: float, tell: Progress
) -> Quiet:
    if selection.split or selection.fold:
        raise ConfigError(f"{data} has no records.csv, so no splits or folds; leave out --split and --fold")
    traced = trace_folder(tracer, data, selection, lambda share: tell(0.9 * share, "network"))
    points = sweep(
        lambda threshold: count_unlabelled(traced.streams, traced.recorded_days, tracer.manifest.trigger, threshold),
        asked_per_day,
        lambda share: tell(0.9 + 0.1 * share, "trigger"),
    )
    return Quiet(
        False, "all", traced.stations, traced.recorded_days, traced.data_sha256, tuple(points), traced.warnings
    )


def _provenance(result: RateTuning) -> dict[str, Any]:
    """Return what the copy's manifest says of its thresholds."""
    return {
        "by": "rate of false alarms",
        "rule": __name__,
        "asked_per_day": result.asked_per_day,
        "labelled": result.quiet.labelled,
        "part": result.quiet.part,
        "stations": list(result.quiet.stations),
        "quiet_days": result.quiet.quiet_days,
        "seeds": list(result.seeds),
        "data_sha256": result.quiet.data_sha256,
        "variant": result.model.variant,
        "chosen": {name: dataclasses.asdict(rate) for name, rate in result.chosen.items()},
    }

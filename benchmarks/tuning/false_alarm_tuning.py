"""Choose a model's onset thresholds for a requested rate of false alarms, on records with labels or without.

The rule. False alarms are counted at falling onset thresholds. The threshold for a rate is the lowest one at which,
and at every higher one, the observed rate is at most the requested one. `normal` gets the requested rate, `low` half of
it and `high` twice. The observed rate comes with the upper bound of its 90 % Poisson interval, because a few events are
weak evidence.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgequake.benchmarks.detectors.replay import DecisionTracer, StreamDecisionTrace, events_of
from edgequake.benchmarks.scoring.pooling import Counts, mean_rates, poisson
from edgequake.benchmarks.scoring.random_starts import run_passes
from edgequake.benchmarks.tuning.operating_point import Passes, count_passes
from edgequake.benchmarks.tuning.threshold_intervals import count_table, threshold_intervals
from edgequake.benchmarks.tuning.tuned_manifest import require_other_folder, write_tuned
from edgequake.benchmarks.tuning.unlabelled import trace_folder
from edgequake.data.dataset import data_hash, is_labelled
from edgequake.data.selection import Selection
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.manifest.manifest import TriggerConfig
from edgequake.results.accuracy import RateFigures
from edgequake.results.progress import Progress, part_of, silent
from edgequake.results.provenance import identify, provenance
from edgequake.results.tuning import ChosenRate, QuietRecords, RatePoint, RateTuning, ThresholdIntervals

RULE = "edgequake.benchmarks.false_rate"  # the rule's name in manifests, which outlives this module's
THRESHOLDS = (*(round(0.01 * i, 2) for i in range(2, 100)), 0.995)
SHARES = {"low": 0.5, "normal": 1.0, "high": 2.0}  # of the requested rate


def tune_to_rate(
    model: str,
    data: Path,
    out: Path,
    selection: Selection,
    false_per_day: float,
    *,
    variant: str | None = None,
    seeds: int = 5,
    intervals: bool = False,
    progress: Progress = silent,
) -> RateTuning:
    """Choose the onset thresholds by the rule that this module states, and write the tuned copy into `out`.

    Parameters
    ----------
    model : shipped name or path of a manifest.
    data : folder of records. With labels, only what lies outside the labelled spans counts; without, all detections.
    false_per_day : requested of the normal sensitivity, per day of quiet time.
    seeds : random starts of labelled records.
    intervals : also say how far the choice can be trusted, by the bootstrap over labelled records.

    Raises
    ------
    ConfigError
        A rate that makes no sense or cannot be reached, no quiet time, or `out` is the model's own folder.
    DataError, ManifestError, ModelError
        Unusable records, or an unusable model.
    """
    if not 0 < false_per_day < float("inf"):
        raise ConfigError(f"false-per-day {false_per_day:g}: expected a rate above 0")
    tracer = DecisionTracer(model, variant)
    require_other_folder(tracer.folder, out)
    passes: Passes = ()
    if is_labelled(data):
        quiet, passes = _labelled(tracer, data, selection, range(seeds), false_per_day, progress)
    else:
        quiet = _unlabelled(tracer, data, selection, false_per_day, progress)
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
        intervals=_intervals(passes, manifest.trigger, quiet.points, thresholds, false_per_day) if intervals else {},
    )
    write_tuned(tracer, out, result, _provenance(result))
    return result


def _labelled(
    tracer: DecisionTracer, data: Path, selection: Selection, seeds: range, asked_per_day: float, progress: Progress
) -> tuple[QuietRecords, Passes]:
    records = selection.records(data, tracer.manifest.body)
    passes = run_passes(tracer, records, seeds, part_of(progress, 0, 0.5, "network"))
    points = sweep(
        lambda threshold: count_labelled(passes, tracer.manifest.trigger, threshold),
        asked_per_day,
        part_of(progress, 0.5, 1),
    )
    quiet = QuietRecords(
        labelled=True,
        part=selection.describe(data),
        stations=tuple(sorted({record.station_id for record in records})),
        quiet_days=points[0].quiet_days,
        data_sha256=data_hash(records),
        points=tuple(points),
        warnings=(),
    )
    return quiet, passes


def _intervals(
    passes: Passes,
    trigger: TriggerConfig,
    points: Sequence[RatePoint],
    chosen: dict[str, float],
    asked_per_day: float,
) -> dict[str, ThresholdIntervals]:
    """Return the intervals of the thresholds; records without labels give none.

    Thresholds below the last that was counted are not looked at: an interval that reaches it may reach further.
    """
    if not passes:
        return {}

    def rule(counts: Mapping[float, Counts]) -> dict[str, float]:
        drawn = [_point(threshold, mean_rates([of])) for threshold, of in counts.items()]
        return {name: rate.threshold for name, rate in choose_rates(drawn, asked_per_day).items()}

    return threshold_intervals(count_table(passes, trigger, [one.threshold for one in points]), chosen, rule)


def _unlabelled(
    tracer: DecisionTracer, data: Path, selection: Selection, asked_per_day: float, progress: Progress
) -> QuietRecords:
    if selection.split or selection.fold:
        raise ConfigError(f"{data} has no records.csv, so no splits or folds; leave out --split and --fold")
    traced = trace_folder(tracer, data, selection, part_of(progress, 0, 0.9))
    points = sweep(
        lambda threshold: count_unlabelled(traced.streams, traced.recorded_days, tracer.manifest.trigger, threshold),
        asked_per_day,
        part_of(progress, 0.9, 1),
    )
    return QuietRecords(
        labelled=False,
        part="all",
        stations=traced.stations,
        quiet_days=traced.recorded_days,
        data_sha256=traced.data_sha256,
        points=tuple(points),
        warnings=traced.warnings,
    )


def sweep(count: Callable[[float], RatePoint], asked_per_day: float, progress: Progress = silent) -> list[RatePoint]:
    """Count at falling thresholds until the rate exceeds every requested one: the rule needs no further counts."""
    points: list[RatePoint] = []
    for threshold in sorted(THRESHOLDS, reverse=True):
        points.append(count(threshold))
        progress(len(points) / len(THRESHOLDS), "trigger")
        if points[-1].false_per_day > asked_per_day * max(SHARES.values()):
            break
    return points


def count_labelled(passes: Passes, trigger: TriggerConfig, threshold: float) -> RatePoint:
    """Count the detections outside all labelled spans, over the quiet time there.

    Raises
    ------
    ConfigError
        There is no quiet time.
    """
    return _point(threshold, mean_rates(count_passes(passes, trigger, threshold)))


def _point(threshold: float, figures: RateFigures) -> RatePoint:
    if figures.false_per_quiet_day is None:
        raise ConfigError("the records have no quiet time outside labelled arrivals and their codas; give more records")
    return RatePoint(threshold, figures.n_false, figures.quiet_days, figures.false_per_quiet_day, figures.recall)


def count_unlabelled(
    streams: Iterable[StreamDecisionTrace], recorded_days: float, trigger: TriggerConfig, threshold: float
) -> RatePoint:
    """Count every detection as false, and all recorded time as quiet."""
    n_false = sum(len(events_of(run, trigger, threshold)) for stream in streams for run in stream.runs)
    return RatePoint(threshold, float(n_false), recorded_days, n_false / recorded_days, None)


def choose_rates(points: Sequence[RatePoint], asked_per_day: float) -> dict[str, ChosenRate]:
    """Apply the rule that this module states: return the thresholds low, normal and high.

    Raises
    ------
    ConfigError
        Even the highest threshold has a higher rate than the requested one.
    """
    falling = sorted(points, key=lambda point: -point.threshold)
    return {name: _lowest(falling, asked_per_day * share) for name, share in SHARES.items()}


def resolution(chosen: ChosenRate, quiet_days: float) -> str | None:
    """Return one line if the quiet time is too short to show the requested rate, else None."""
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
            f"per day on these records, more than the {asked_per_day:g} that one of its sensitivities may raise; ask "
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


def _provenance(result: RateTuning) -> dict[str, Any]:
    """Return what the copy's manifest records of its thresholds' source."""
    return {
        "by": "rate of false alarms",
        "rule": RULE,
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

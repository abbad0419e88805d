"""Onset thresholds for an asked rate of false alarms, chosen on quiet records, labelled or not.

The rule. False alarms are counted at every onset threshold of a fine grid. The threshold for a rate is the lowest one
at which, and at every higher one, the observed rate is at most the one asked. `normal` is asked the rate itself, `low`
half of it and `high` twice. The observed rate comes with the upper bound of its 90 % Poisson interval, for a few events
are weak evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from edgequake.benchmarks.intervals import poisson
from edgequake.benchmarks.operating_point import Passes, score_traces
from edgequake.benchmarks.replay import StreamTrace, events_of
from edgequake.benchmarks.tally import Tally, add, figures
from edgequake.edge.errors import ConfigError
from edgequake.edge.manifest import TriggerConfig

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
    seen = figures([add(map(Tally.of, score_traces(traces, trigger, threshold))) for traces in passes])
    if seen.false_per_quiet_day is None:
        raise ConfigError("the records have no quiet time outside labelled arrivals and their codas; give more records")
    return RatePoint(threshold, seen.n_false, seen.quiet_days, seen.false_per_quiet_day, seen.recall)


def count_unlabelled(
    streams: Iterable[StreamTrace], recorded_days: float, trigger: TriggerConfig, threshold: float
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

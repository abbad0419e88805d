"""The operating point of a model: the settings of its trigger, chosen on labelled records by a rule.

The rule. A grid of onset thresholds, shortest rises (`min_duration_s`) and event thresholds is replayed over the
records from several random starts; the other settings of the trigger stay those of the manifest. Every point is judged
by the mean of itself and its two neighbours in onset threshold, so that no narrow peak is chosen; the lowest and
highest threshold serve only as neighbours.

- **normal** is the point of the highest mean F1. Points within `SAME_F1` of it count as equal. Among these, the
  preference `QUIET` takes the one with the fewest false alarms per quiet day, as suits an alarm that wakes somebody.
  `RECALL` takes the one with the highest recall, then the fewest false alarms, as suits a lander with room in its
  downlink, for which a quake left behind is lost. Then the one that keeps least is taken (of records of 10 h or more
  if there are any), then the highest thresholds.
- **low** (fewer alarms) is the highest onset threshold with at least `LOW_RECALL` of the normal recall; **high** (more
  recall) is the lowest with at least `HIGH_PRECISION` of the normal precision that keeps at most `HIGH_KEPT` times as
  much as the normal one. The same must hold for every threshold in between; the durations are the normal ones. If no
  threshold qualifies, they equal the normal one.
- **onset_lag_s** is the lag with the least mean absolute onset error over the recalled arrivals, in steps of
  `LAG_STEP_S`: found at the manifest's own normal threshold before the grid is scored, and again at the point chosen.
  Onsets that are refined from the samples do not depend on it; if none are, it makes the median lateness zero.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from edgequake.benchmarks.detectors.replay import DecisionTrace, replay
from edgequake.benchmarks.scoring.pooling import Counts
from edgequake.benchmarks.scoring.scoring import RecordScore, score_record
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.manifest.manifest import TriggerConfig
from edgequake.results.accuracy import RateFigures
from edgequake.results.progress import Progress, silent
from edgequake.results.tuning import Setting

RULE = "edgequake.benchmarks.operating_point"  # the rule's name in manifests, which outlives this module's

Passes = Sequence[Sequence[DecisionTrace]]  # one sequence of traces for each seed of random starts

SAME_F1 = 0.01  # with two dozen arrivals, one of them in one pass of five changes F1 by about this much
QUIET, RECALL = "quiet", "recall"
LOW_RECALL = 0.9
HIGH_PRECISION = 0.9
HIGH_KEPT = 1.5
LAG_TRIALS = 16
LAG_STEP_S = {"moon": 1.0, "mars": 1.0, "earth": 0.1}

THRESHOLDS = (*(round(0.05 * i, 2) for i in range(1, 20)), 0.98)
MIN_DECISIONS = (1, 2, 4, 6)  # shortest rise, in decisions of the network; the manifest's own is added
EVENT_THRESHOLDS = (0.3, 0.5, 0.7)  # the manifest's own is added


@dataclass(frozen=True)
class Choice:
    """The three operating points."""

    normal: Setting
    low: float  # onset thresholds
    high: float

    def apply(self, trigger: TriggerConfig) -> TriggerConfig:
        """Return the trigger's settings with this choice."""
        thresholds = {"low": self.low, "normal": self.normal.threshold, "high": self.high}
        return dataclasses.replace(self.normal.apply(trigger), onset_thresholds=thresholds)

    def at(self, threshold: float) -> Setting:
        """Return the normal setting with another onset threshold."""
        return dataclasses.replace(self.normal, threshold=threshold)


def grid(trigger: TriggerConfig, decision_s: float, thresholds: Sequence[float] = THRESHOLDS) -> list[Setting]:
    """Return the settings to try for a model that makes a decision every `decision_s` seconds."""
    # Rounded down: a rise of n decisions must not miss the duration by a rounding error.
    durations_s = {n: int(100 * n * decision_s) / 100 for n in MIN_DECISIONS}
    durations_s[max(1, math.ceil(trigger.min_duration_s / decision_s))] = trigger.min_duration_s
    event_thresholds = {*EVENT_THRESHOLDS, trigger.event_threshold}
    return [
        Setting(threshold, duration_s, event_threshold)
        for duration_s in sorted(durations_s.values())
        for event_threshold in sorted(event_thresholds)
        for threshold in sorted(thresholds)
    ]


def decision_s(passes: Passes) -> float:
    """Return the time from one decision of the network to the next, in seconds; 0 without any decision."""
    runs = (run for traces in passes for trace in traces for stream in trace.streams for run in stream.runs)
    return next((int(run.stop_ns[0] - run.start_ns[0]) / NS_PER_S for run in runs), 0.0)


def score_traces(traces: Iterable[DecisionTrace], trigger: TriggerConfig, threshold: float) -> list[RecordScore]:
    """Score every trace with these settings of the trigger."""
    return [score_record(trace.record, trace.start_ns, replay(trace, trigger, threshold)) for trace in traces]


def count_passes(passes: Passes, trigger: TriggerConfig, threshold: float) -> tuple[Counts, ...]:
    """Return the counts of each pass with these settings of the trigger."""
    return tuple(Counts.of(score_traces(traces, trigger, threshold)) for traces in passes)


def count_grid(
    passes: Passes, trigger: TriggerConfig, settings: Sequence[Setting], progress: Progress = silent
) -> dict[Setting, tuple[Counts, ...]]:
    """Return the counts of each pass with each setting."""
    counts: dict[Setting, tuple[Counts, ...]] = {}
    for setting in settings:
        counts[setting] = count_passes(passes, setting.apply(trigger), setting.threshold)
        progress(len(counts) / len(settings), "trigger")
    return counts


def choose(points: Mapping[Setting, RateFigures], prefer: str = QUIET) -> Choice:
    """Apply the rule that this module states to the figures of a grid; `prefer` is `QUIET` or `RECALL`.

    Raises
    ------
    ValueError
        Fewer than three thresholds for every combination of the others.
    """
    judged = _smoothed(points)
    if not judged:
        raise ValueError("expected at least three onset thresholds to choose from")
    best_f1 = max(_f1(figures) for figures in judged.values())
    equal = [setting for setting, figures in judged.items() if _f1(figures) >= best_f1 - SAME_F1]
    normal = min(equal, key=lambda setting: _cost(setting, judged[setting], prefer))
    choice = Choice(normal, normal.threshold, normal.threshold)
    line = {at.threshold: judged[at] for at in sorted(judged) if at == choice.at(at.threshold)}  # rising thresholds
    return dataclasses.replace(choice, low=_low(normal.threshold, line), high=_high(normal.threshold, line))


def with_lag(passes: Passes, trigger: TriggerConfig, threshold: float) -> TriggerConfig:
    """Return the settings with the lag of least mean absolute onset error at this threshold, rounded to a step."""
    errors_s = _onset_errors_s(passes, trigger, threshold)
    if not errors_s:
        return trigger
    step_s = LAG_STEP_S[passes[0][0].record.body]

    def lagged(late_s: float) -> TriggerConfig:
        return dataclasses.replace(
            trigger, onset_lag_s=round(step_s * round((trigger.onset_lag_s + late_s) / step_s), 3)
        )

    if not any(stream.refine for traces in passes for trace in traces for stream in trace.streams):
        return lagged(statistics.median(errors_s))  # all onsets shift together: the median has the least mean error
    cuts = statistics.quantiles(errors_s, n=LAG_TRIALS) if len(errors_s) > 1 else errors_s
    tried = {config.onset_lag_s: config for config in map(lagged, (0.0, *cuts))}
    errors = {lag_s: _onset_errors_s(passes, config, threshold) or [math.inf] for lag_s, config in tried.items()}
    return tried[min(tried, key=lambda lag_s: (statistics.fmean(map(abs, errors[lag_s])), lag_s))]


def _onset_errors_s(passes: Passes, trigger: TriggerConfig, threshold: float) -> list[float]:
    scores = (score for traces in passes for score in score_traces(traces, trigger, threshold))
    errors = (row.onset_error_s for score in scores for row in score.primary)
    return [error for error in errors if error is not None]


def _smoothed(points: Mapping[Setting, RateFigures]) -> dict[Setting, RateFigures]:
    """Return the mean of each point and its two neighbours in onset threshold, without the outermost thresholds."""
    lines: dict[tuple[float, float], list[Setting]] = {}
    for setting in sorted(points):
        lines.setdefault((setting.min_duration_s, setting.event_threshold), []).append(setting)
    return {
        here: RateFigures.mean_of([points[before], points[here], points[after]])
        for line in lines.values()
        for before, here, after in zip(line, line[1:], line[2:], strict=False)
    }


def _f1(figures: RateFigures) -> float:
    return figures.f1 or 0.0


def _cost(setting: Setting, figures: RateFigures, prefer: str) -> tuple[float, ...]:
    return (
        -(figures.recall or 0.0) if prefer == RECALL else 0.0,
        figures.false_per_quiet_day or 0.0, figures.kept_judged,
        -setting.threshold, -setting.event_threshold, -setting.min_duration_s,
    )  # fmt: skip


def _low(normal: float, line: Mapping[float, RateFigures]) -> float:
    wanted = LOW_RECALL * (line[normal].recall or 0.0)
    return _last(normal, [t for t in line if t > normal], lambda t: (line[t].recall or 0.0) >= wanted)


def _high(normal: float, line: Mapping[float, RateFigures]) -> float:
    kept, precision = HIGH_KEPT * line[normal].kept_judged, HIGH_PRECISION * (line[normal].precision or 0.0)

    def holds(threshold: float) -> bool:
        return line[threshold].kept_judged <= kept and (line[threshold].precision or 0.0) >= precision

    return _last(normal, [t for t in sorted(line, reverse=True) if t < normal], holds)


def _last(normal: float, thresholds: Iterable[float], holds: Callable[[float], bool]) -> float:
    """Return the last threshold, going away from the normal one, up to which the condition holds."""
    reached = normal
    for threshold in thresholds:
        if not holds(threshold):
            break
        reached = threshold
    return reached

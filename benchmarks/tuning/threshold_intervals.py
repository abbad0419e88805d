"""How far chosen thresholds can be trusted: the rule that chose them, on records drawn again with replacement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from edgequake.benchmarks.scoring.bootstrap import bootstrap_interval
from edgequake.benchmarks.scoring.pooling import Counts, mean_rates
from edgequake.benchmarks.tuning.operating_point import THRESHOLDS, Passes, choose, score_traces
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.manifest.manifest import SENSITIVITIES, TriggerConfig
from edgequake.results.tuning import Setting, ThresholdIntervals

N_DRAWS = 200  # of the rule, which is applied anew to each
Table = Mapping[float, Sequence[Counts]]  # threshold -> counts of each record
Rule = Callable[[Mapping[float, Counts]], Mapping[str, float]]  # counts at each threshold -> sensitivity -> threshold


def count_table(passes: Passes, trigger: TriggerConfig, thresholds: Sequence[float]) -> dict[float, list[Counts]]:
    """Return the counts of each record at each threshold, all random starts of a record together."""
    table: dict[float, list[Counts]] = {}
    for threshold in thresholds:
        of_passes = [[Counts.of([score]) for score in score_traces(traces, trigger, threshold)] for traces in passes]
        table[threshold] = [Counts.total(starts) for starts in zip(*of_passes, strict=True)]
    return table


def threshold_intervals(table: Table, chosen: Mapping[str, float], rule: Rule) -> dict[str, ThresholdIntervals]:
    """Return the intervals of each sensitivity's threshold, and of its rates.

    chosen : sensitivity -> threshold, one of the table's.
    rule : raises a ConfigError where it can choose none; such draws are left out.
    """
    n_records = len(next(iter(table.values())))
    ruled: dict[tuple[int, ...], Mapping[str, float] | None] = {}

    def rule_on(index: Sequence[int]) -> Mapping[str, float] | None:
        key = tuple(index)
        if key not in ruled:  # the same draws for each sensitivity
            counts = {threshold: Counts.total([of[i] for i in index]) for threshold, of in table.items()}
            try:
                ruled[key] = rule(counts)
            except ConfigError:
                ruled[key] = None
        return ruled[key]

    def threshold_of(name: str) -> Callable[[Sequence[int]], float | None]:
        return lambda index: None if (found := rule_on(index)) is None else found[name]

    def rate_of(rate: str, threshold: float) -> Callable[[Sequence[int]], float | None]:
        return lambda index: Counts.total([table[threshold][i] for i in index]).rates()[rate]

    return {
        name: ThresholdIntervals(
            bootstrap_interval(n_records, threshold_of(name), n_draws=N_DRAWS),
            bootstrap_interval(n_records, rate_of("recall", threshold)),
            bootstrap_interval(n_records, rate_of("false_per_quiet_day", threshold)),
        )
        for name, threshold in chosen.items()
    }


def label_intervals(passes: Passes, trigger: TriggerConfig, prefer: str) -> dict[str, ThresholdIntervals]:
    """Return the intervals of thresholds that `operating_point.choose` has chosen; the durations stay as chosen."""
    table = count_table(passes, trigger, sorted({*THRESHOLDS, *trigger.onset_thresholds.values()}))

    def rule(counts: Mapping[float, Counts]) -> dict[str, float]:
        points = {
            Setting(threshold, trigger.min_duration_s, trigger.event_threshold): mean_rates([of])
            for threshold, of in counts.items()
        }
        choice = choose(points, prefer)
        return {"low": choice.low, "normal": choice.normal.threshold, "high": choice.high}

    chosen = {name: trigger.onset_thresholds[name] for name in SENSITIVITIES}
    return threshold_intervals(table, chosen, rule)

"""Tuning and cross-validation as tables."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from edgequake.edge.manifest.manifest import SENSITIVITIES
from edgequake.results.accuracy import RateFigures
from edgequake.results.tables.accuracy_tables import KEPT_LONG, by_events, count, false_rate, spread_cell, starts
from edgequake.results.tables.table import Table
from edgequake.results.tuning import CrossValidation, LabelTuning, RateTuning
from edgequake.results.words import NONE, percent, plural, rate, seconds

FIGURES = (
    "recall", "captured", "precision", "F1", "false alarms per quiet day", KEPT_LONG, "kept", "quiet time kept",
)  # fmt: skip
OVER_ROUNDS = {
    "recall": "recall", "n_captured": "captured", "f1": "F1", "n_false": "false alarms",
    "false_per_quiet_day": "false alarms per quiet day", "kept_long": KEPT_LONG, "wasted": "quiet time kept",
    "onset_error_s": "onset error [s]",
}  # fmt: skip
BOUND = "<: upper bound of the 90 % Poisson interval."


def label_tuning_table(result: LabelTuning) -> Table:
    """Return the three operating points, before and after."""
    trigger = result.trigger
    sides = (("", trigger, result.after), (", before", result.trigger_before, result.before))
    rows = tuple(
        (f"{name}{side}", f"{config.onset_thresholds[name]:g}", *_figure_cells(figures[name]))
        for side, config, figures in sides
        for name in SENSITIVITIES
    )
    stations = f" of station {', '.join(result.stations)}" if result.stations else ""
    title = (
        f"{result.model.title} on {result.body} {result.part}{stations}: {result.n_records} records, "
        f"{result.n_arrivals} arrivals, {starts(result.seeds)}"
    )
    settings = (
        f"min_duration_s {trigger.min_duration_s:g}, event_threshold {trigger.event_threshold:g}, onset_lag_s "
        f"{trigger.onset_lag_s:g}. {BOUND}"
    )
    return Table(title, ("sensitivity", "threshold", *FIGURES), rows, (settings, f"written: {result.manifest}"))


def rate_tuning_table(result: RateTuning) -> Table:
    """Return the thresholds, the rates they were chosen for, and the observed rates."""
    quiet = result.quiet
    recall = ("recall",) if quiet.labelled else ()
    rows = tuple(
        (
            name, f"{chosen.asked_per_day:g}", f"{chosen.threshold:g}", f"{chosen.n_false:g}",
            _bounded(chosen.false_per_day, chosen.false_per_day_upper), *(rate(chosen.recall) for _ in recall),
        )
        for name, chosen in ((name, result.chosen[name]) for name in SENSITIVITIES)
    )  # fmt: skip
    counted = (
        f"outside the labelled arrivals and their codas in {quiet.part}, {starts(result.seeds)}"
        if quiet.labelled
        else "no labels: everything recorded counts as quiet, every detection as a false alarm"
    )
    title = (
        f"{result.model.title} on station {', '.join(quiet.stations)}: {quiet.quiet_days:.2f} quiet days ({counted})"
    )
    notes = [BOUND, *([result.unresolved] if result.unresolved else [])]
    notes += [*(f"warning: {warning}" for warning in quiet.warnings), f"written: {result.manifest}"]
    columns = ("sensitivity", "requested per day", "threshold", "false alarms", "per day", *recall)
    return Table(title, columns, rows, tuple(notes))


def interval_tables(result: LabelTuning | RateTuning) -> list[Table]:
    """Return how far the thresholds can be trusted, where that was asked for."""
    if not result.intervals:
        return []
    rows = tuple(
        (name, *(_range(one) for one in (of.threshold, of.recall, of.false_per_day)))
        for name, of in result.intervals.items()
    )
    title = "90 % intervals by the bootstrap over records: hours drawn again with their events"
    columns = ("sensitivity", "threshold chosen on them", "recall", "false alarms per quiet day")
    return [Table(title, columns, rows)]


def _range(interval: tuple[float, float] | None) -> str:
    return NONE if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"


def cross_validation_tables(result: CrossValidation) -> list[Table]:
    """Return the rounds side by side, their mean, the operating points chosen, and the curve."""
    title = (
        f"{result.body.capitalize()}: {result.n_folds} folds, {result.n_records} held-out records, "
        f"{result.n_arrivals} arrivals of {result.n_groups} events, {starts(result.seeds)}, "
        f"{plural(len(result.rounds), 'round')}"
    )
    data = (f"Data sha256 {result.data_sha256[:12]}. {BOUND}",)
    return [
        Table(title, *_rounds(result), data),
        _over_rounds(result),
        _chosen(result),
        _curve(result),
        _failures(result),
    ]


def _rounds(result: CrossValidation) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    columns = ("round", "recalled", "fixed", "recall by events (90 % interval)", "extra", "onset error", *FIGURES)
    rows = []
    for i, one in enumerate(result.rounds, 1):
        summary = one.summary
        several = len(summary.scores) > 1
        rows.append(
            (
                str(i), *(count(summary, name) for name in ("n_recalled", "n_fixed_recalled")), by_events(summary),
                count(summary, "n_extra"), seconds(summary.mean("onset_error_s")),
                spread_cell(summary.spreads.get("recall"), several), count(summary, "n_captured"),
                *(spread_cell(summary.spreads.get(name), several) for name in ("precision", "f1")),
                false_rate(summary),
                *(percent(summary.mean(name)) for name in ("kept_long", "kept", "wasted")),
            )
        )  # fmt: skip
    return columns, tuple(rows)


def _over_rounds(result: CrossValidation) -> Table:
    found = [(title, result.spreads[name]) for name, title in OVER_ROUNDS.items() if name in result.spreads]
    low, high = result.group_recall_interval
    best = [one.recall_at_one_false for one in result.rounds if one.recall_at_one_false is not None]
    rows = (
        *((title, f"{spread.mean:.3g} ± {spread.deviation:.2g}") for title, spread in found),
        ("recall by events, 90 % interval", f"{low:.2f} to {high:.2f}"),
        ("recall at ≤ 1 false alarm per quiet day", f"{statistics.fmean(best):.2f}" if best else NONE),
    )
    return Table("Mean over rounds, ± deviation between them", ("figure", "value"), rows)


def _chosen(result: CrossValidation) -> Table:
    rows = tuple(
        (
            f"{fold.fold.index}/{fold.fold.count}", str(i), f"{fold.threshold:g}", f"{fold.trigger.min_duration_s:g}",
            f"{fold.trigger.event_threshold:g}", f"{fold.trigger.onset_lag_s:g}", str(fold.n_records),
        )
        for i, one in enumerate(result.rounds, 1)
        for fold in one.folds
    )  # fmt: skip
    columns = ("fold", "round", "threshold", "min_duration_s", "event_threshold", "onset_lag_s", "records")
    return Table("Chosen for each fold on the others", columns, rows)


def _curve(result: CrossValidation) -> Table:
    rows = tuple(
        (f"{threshold:g}", *_figure_cells(RateFigures.mean_of([one.curve[threshold] for one in result.rounds])))
        for threshold in result.rounds[0].curve
    )
    title = "Recall against kept, the same threshold in every fold, mean over rounds"
    return Table(title, ("threshold", *FIGURES), rows)


def _failures(result: CrossValidation) -> Table:
    missed = _mean_by_file([one.missed for one in result.rounds])
    false_alarms = _mean_by_file([one.false_alarms for one in result.rounds])
    found = [(file, missed.get(file, 0.0), false_alarms.get(file, 0.0)) for file in {*missed, *false_alarms}]
    found.sort(key=lambda one: (-one[1], -one[2], one[0]))
    rows = tuple((file, f"{n_missed:.1f}", f"{n_false:.1f}") for file, n_missed, n_false in found)
    return Table("Missed and false, mean over rounds and starts", ("record", "missed", "false alarms"), rows)


def _mean_by_file(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {
        file: statistics.fmean(one.get(file, 0.0) for one in rounds) for file in {key for one in rounds for key in one}
    }


def _figure_cells(figures: RateFigures) -> list[str]:
    """Return figures as cells under `FIGURES`."""
    return [
        *map(rate, (figures.recall, figures.captured, figures.precision, figures.f1)),
        _bounded(figures.false_per_quiet_day, figures.false_per_quiet_day_upper),
        *map(percent, (figures.kept_long, figures.kept, figures.wasted)),
    ]


def _bounded(value: float | None, upper: float | None) -> str:
    return NONE if value is None or upper is None else f"{value:.2f} (< {upper:.2f})"

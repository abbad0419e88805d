"""What tuning found, as plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgequake.benchmarks.text_tables import align, percent
from edgequake.edge.manifest.manifest import SENSITIVITIES

if TYPE_CHECKING:
    from edgequake.benchmarks.scoring.pooling import RateFigures
    from edgequake.benchmarks.tuning.false_alarm_tuning import RateTuning
    from edgequake.benchmarks.tuning.label_tuning import LabelTuning

FIGURE_TITLES = (
    "recall", "captured", "precision", "F1", "false/quiet day", "kept, >= 10 h", "kept", "wasted"
)  # fmt: skip


def figure_cells(figures: RateFigures) -> list[str]:
    """Return figures as cells under `FIGURE_TITLES`."""
    return [
        *(_number(value) for value in (figures.recall, figures.captured, figures.precision, figures.f1)),
        _rate(figures.false_per_quiet_day, figures.false_per_quiet_day_upper),
        *(percent(share) for share in (figures.kept_long, figures.kept, figures.wasted)),
    ]


def label_tuning_table(result: LabelTuning) -> str:
    """Return the three operating points, before and after."""
    header = ["", "threshold", *FIGURE_TITLES]
    trigger = result.trigger
    sides = (("", trigger, result.after), (", before", result.trigger_before, result.before))
    rows = [
        [f"{name}{mark}", f"{side.onset_thresholds[name]:g}", *figure_cells(seen[name])]
        for mark, side, seen in sides
        for name in SENSITIVITIES
    ]
    stations = f" of station {', '.join(result.stations)}" if result.stations else ""
    starts = f"{len(result.seeds)} random starts each" if result.seeds else "each from its own start"
    return "\n".join(
        [
            f"{result.model.name} {result.model.variant} on {result.body} {result.part}{stations}: {result.n_records} "
            f"records, {result.n_arrivals} arrivals, {starts}",
            "",
            align([header, *rows]),
            "",
            f"min_duration_s {trigger.min_duration_s:g}, event_threshold {trigger.event_threshold:g}, "
            f"onset_lag_s {trigger.onset_lag_s:g}; < : upper bound of the 90 % Poisson interval",
            f"written: {result.manifest}",
        ]
    )


def rate_tuning_table(result: RateTuning) -> str:
    """Return the thresholds, and the rates that they were chosen for and by."""
    quiet = result.quiet
    rows = [["", "asked/day", "threshold", "false alarms", "per day"] + (["recall"] if quiet.labelled else [])]
    for name in SENSITIVITIES:
        rate = result.chosen[name]
        rows.append(
            [name, f"{rate.asked_per_day:g}", f"{rate.threshold:g}", f"{rate.n_false:g}",
             _rate(rate.false_per_day, rate.false_per_day_upper)] + ([_number(rate.recall)] if quiet.labelled else [])
        )  # fmt: skip
    counted = (
        f"outside the labelled arrivals and their codas in {quiet.part}, {len(result.seeds) or 'no'} random starts"
        if quiet.labelled
        else "no labels: everything recorded counts as quiet, every detection as a false alarm"
    )
    lines = [
        f"{result.model.name} {result.model.variant} on station {', '.join(quiet.stations)}: "
        f"{quiet.quiet_days:.2f} quiet days ({counted})",
        "",
        align(rows),
        "",
        "< : upper bound of the 90 % Poisson interval",
    ]
    lines += [result.unresolved] if result.unresolved else []
    lines += [f"warning: {warning}" for warning in quiet.warnings]
    return "\n".join([*lines, f"written: {result.manifest}"])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _rate(rate: float | None, upper: float | None) -> str:
    return "-" if rate is None or upper is None else f"{rate:.2f} (< {upper:.2f})"

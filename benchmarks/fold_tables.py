"""A cross-validation as plain text."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from edgequake.benchmarks.scoring.pooling import mean_figures
from edgequake.benchmarks.tables import SUMMARY_COLUMNS
from edgequake.benchmarks.text_tables import align
from edgequake.benchmarks.tuning_tables import FIGURE_TITLES, figure_cells

if TYPE_CHECKING:
    from edgequake.benchmarks.tuning.cross_validation import CrossValidation

OVER_ROUNDS = (
    ("recall", "recall"), ("n_captured", "captured"), ("f1", "F1"), ("n_false", "false alarms"),
    ("false_per_quiet_day", "false/quiet day"), ("kept_long", "kept, >= 10 h"), ("wasted", "wasted"),
    ("onset_error_s", "onset error, s"),
)  # fmt: skip


def cross_validation_table(result: CrossValidation) -> str:
    """Return the rounds side by side, their mean, what was chosen, and the curve."""
    rows = [[""] + [title for title, _ in SUMMARY_COLUMNS]]
    rows += [
        [f"round {i}"] + [cell(one.summary) for _, cell in SUMMARY_COLUMNS] for i, one in enumerate(result.rounds, 1)
    ]
    parts = [_title(result), align(rows), _over_rounds(result), _chosen(result), _curve(result)]
    return "\n\n".join(parts)


def _title(result: CrossValidation) -> str:
    n_seeds = len(result.seeds)
    starts = f"{n_seeds} random starts each" if n_seeds else "each from its own start"
    return (
        f"{result.body}: {result.n_folds} folds, {result.n_records} held-out records, {result.n_arrivals} arrivals of "
        f"{result.n_groups} events, {starts}, {len(result.rounds)} round(s); data sha256 {result.data_sha256[:12]}"
    )


def _over_rounds(result: CrossValidation) -> str:
    seen = [(title, result.spreads[name]) for name, title in OVER_ROUNDS if name in result.spreads]
    lines = [[f"{title}:", f"{spread.mean:.3g} ± {spread.deviation:.2g}"] for title, spread in seen]
    low, high = result.group_recall_interval
    lines.append(["events recalled, 90 % interval:", f"{low:.2f}-{high:.2f}"])
    best = [one.recall_at_one_false for one in result.rounds if one.recall_at_one_false is not None]
    lines.append(["recall at <= 1 false/quiet day:", f"{statistics.fmean(best):.2f}" if best else "-"])
    return "over rounds (± deviation between them)\n" + align(lines)


def _chosen(result: CrossValidation) -> str:
    rows = [["fold", "round", "threshold", "min_duration_s", "event_threshold", "onset_lag_s", "records"]]
    for i, one in enumerate(result.rounds, 1):
        for fold in one.folds:
            trigger = fold.trigger
            rows.append(
                [f"{fold.fold.index}/{fold.fold.count}", str(i), f"{fold.threshold:g}", f"{trigger.min_duration_s:g}",
                 f"{trigger.event_threshold:g}", f"{trigger.onset_lag_s:g}", str(fold.n_records)]
            )  # fmt: skip
    return "chosen for each fold on the others\n" + align(rows)


def _curve(result: CrossValidation) -> str:
    rows = [["threshold", *FIGURE_TITLES]]
    for threshold in result.rounds[0].curve:
        rows.append([f"{threshold:g}", *figure_cells(mean_figures([one.curve[threshold] for one in result.rounds]))])
    return "recall against kept, the same threshold in every fold, mean over rounds\n" + align(rows)

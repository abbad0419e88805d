"""Reports as plain text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from edgequake.benchmarks.pooling import Summary

if TYPE_CHECKING:
    from edgequake.benchmarks.accuracy import AccuracyReport

Column = tuple[str, Callable[[Summary], str]]


def align(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as columns: the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )


def accuracy_table(report: AccuracyReport) -> str:
    """Return the accuracy of all detectors side by side, with the curves below where there are any."""
    rows = [[""] + [title for title, _ in SUMMARY_COLUMNS]]
    rows += [[result.name] + [cell(result.summary) for _, cell in SUMMARY_COLUMNS] for result in report.results]
    parts = [_title(report), align(rows), _notes(report)]
    for name, points in report.curves.items():
        header = ["threshold", "recall", "captured", "kept, >= 10 h", "kept", "F1", "false/quiet day"]
        lines = [
            [f"{point.threshold:g}", f"{point.recall:.2f}", f"{point.captured:.2f}", percent(point.kept_long),
             percent(point.kept), f"{point.f1:.2f}", f"{point.false_per_quiet_day:.1f}"]
            for point in points
        ]  # fmt: skip
        parts.append(f"{name}: recall against kept\n{align([header, *lines])}")
    return "\n\n".join(parts)


def _title(report: AccuracyReport) -> str:
    n_seeds = len(report.seeds)
    starts = f"{n_seeds} random start{'s' if n_seeds > 1 else ''} each" if n_seeds else "each from its own start"
    model = report.model
    named = f"; model {model.name}, {model.variant}, sha256 {model.sha256[:12]}" if model else ""
    return (
        f"{report.body} {report.split}: {report.n_records} records, {report.n_arrivals} arrivals of {report.n_groups} "
        f"events, {starts}; data sha256 {report.data_sha256[:12]}{named}"
    )


def _notes(report: AccuracyReport) -> str:
    notes = [
        "± is the deviation between random starts. events: mean over events of the share of their arrivals recalled, "
        "and its 90 % Wilson interval. < : upper bound of the 90 % Poisson interval. error: median, absolute."
    ]
    if report.seeds and report.n_fixed:
        notes.append(
            f"{report.n_fixed} of the arrivals come too soon after their record's start for it to be moved: there the "
            "clock still knows the answer. fixed: how many of those are recalled."
        )
    return "\n".join(notes)


def _spread(name: str, digits: int = 2) -> Callable[[Summary], str]:
    def cell(summary: Summary) -> str:
        spread = summary.spreads.get(name)
        if spread is None:
            return "-"
        text = f"{spread.mean:.{digits}f}"
        return f"{text} ± {spread.deviation:.{digits}f}" if len(summary.scores) > 1 else text

    return cell


def _share(name: str) -> Callable[[Summary], str]:
    return lambda summary: percent(summary.spreads[name].mean if name in summary.spreads else None)


def percent(share: float | None) -> str:
    """Return a share as a cell."""
    return "-" if share is None else f"{100 * share:.1f} %"


def _events(summary: Summary) -> str:
    spread = summary.spreads.get("group_recall")
    low, high = summary.group_recall_interval
    return "-" if spread is None else f"{spread.mean:.2f} ({low:.2f}-{high:.2f})"


def _count(name: str) -> Callable[[Summary], str]:
    def cell(summary: Summary) -> str:
        mean = summary.spreads[name].mean
        return f"{mean:g}" if mean == round(mean) else f"{mean:.1f}"

    return cell


def _false_rate(summary: Summary) -> str:
    spread, upper = summary.spreads.get("false_per_quiet_day"), summary.false_per_quiet_day_upper
    return "-" if spread is None or upper is None else f"{spread.mean:.1f} (< {upper:.1f})"


def _onset_error(summary: Summary) -> str:
    spread = summary.spreads.get("onset_error_s")
    return "-" if spread is None else f"{spread.mean:.0f} s" if spread.mean >= 10 else f"{spread.mean:.1f} s"


SUMMARY_COLUMNS: tuple[Column, ...] = (
    ("recall", _spread("recall")),
    ("recalled", _count("n_recalled")),
    ("fixed", _count("n_fixed_recalled")),
    ("events", _events),
    ("captured", _count("n_captured")),
    ("precision", _spread("precision")),
    ("F1", _spread("f1")),
    ("false/quiet day", _false_rate),
    ("extra", _count("n_extra")),
    ("kept, >= 10 h", _share("kept_long")),
    ("kept", _share("kept")),
    ("wasted", _share("wasted")),
    ("error", _onset_error),
)

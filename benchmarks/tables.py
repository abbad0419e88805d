"""Reports as plain text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgequake.benchmarks.breakdown_tables import breakdown_texts, peer_texts
from edgequake.benchmarks.scoring.pooling import ScoreSummary
from edgequake.benchmarks.text_tables import align, count, percent, seconds, spread_cell

if TYPE_CHECKING:
    from edgequake.benchmarks.accuracy.accuracy import AccuracyReport

Column = tuple[str, Callable[[ScoreSummary], str]]


def accuracy_table(report: AccuracyReport) -> str:
    """Return the accuracy of all detectors side by side, with the curves below where there are any."""
    rows = [[""] + [title for title, _ in SUMMARY_COLUMNS]]
    rows += [[result.name] + [cell(result.summary) for _, cell in SUMMARY_COLUMNS] for result in report.results]
    parts = [_title(report), align(rows), _notes(report), *breakdown_texts(report), *peer_texts(report)]
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
    named += "".join(f"; {name}, sha256 {one.sha256[:12]}" for name, one in report.also.items())
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


def _spread(name: str) -> Callable[[ScoreSummary], str]:
    return lambda summary: spread_cell(summary.spreads.get(name), len(summary.scores) > 1)


def _share(name: str) -> Callable[[ScoreSummary], str]:
    return lambda summary: percent(summary.spreads[name].mean if name in summary.spreads else None)


def _events(summary: ScoreSummary) -> str:
    spread = summary.spreads.get("group_recall")
    low, high = summary.group_recall_interval
    return "-" if spread is None else f"{spread.mean:.2f} ({low:.2f}-{high:.2f})"


def _count(name: str) -> Callable[[ScoreSummary], str]:
    return lambda summary: count(summary.spreads[name].mean)


def _false_rate(summary: ScoreSummary) -> str:
    spread, upper = summary.spreads.get("false_per_quiet_day"), summary.false_per_quiet_day_upper
    return "-" if spread is None or upper is None else f"{spread.mean:.1f} (< {upper:.1f})"


def _seconds(name: str) -> Callable[[ScoreSummary], str]:
    return lambda summary: seconds(summary.spreads[name].mean if name in summary.spreads else None)


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
    ("error", _seconds("onset_error_s")),
)

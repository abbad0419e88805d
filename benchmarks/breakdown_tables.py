"""The details of an accuracy report as plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgequake.benchmarks.accuracy.breakdown import BLANK, NO_EVENT, NOT_FOUND, ONSET_WITHIN_S, Part
from edgequake.benchmarks.text_tables import NONE, align, count, percent, seconds, spread_cell

if TYPE_CHECKING:
    from edgequake.benchmarks.accuracy.accuracy import AccuracyReport, DetectorResult


def breakdown_texts(report: AccuracyReport) -> list[str]:
    """Return onset errors, windows, classes, stations and confusions, a text each."""
    return [
        _onsets(report),
        _windows(report),
        _parts(report, "class of the label", [result.breakdown.by_class for result in report.results]),
        _parts(report, "station", [result.breakdown.by_station for result in report.results]),
        *_confusions(report),
    ]


def peer_texts(report: AccuracyReport) -> list[str]:
    """Return what the peers cost, where any were asked for."""
    if not report.peers:
        return []
    rows = [["peer", "weights", "parameters", "us per second of signal", ""]]
    rows += [
        [peer.name, peer.weights or "untrained", str(peer.parameters), f"{peer.us_per_signal_s:.0f}", peer.note]
        for peer in report.peers
    ]
    return [f"SeisBench's models, three components, one thread, through annotate\n{align(rows)}"]


def _onsets(report: AccuracyReport) -> str:
    rows = [["", "median error", "mean error", *(f"within {within_s} s" for within_s in ONSET_WITHIN_S)]]
    for result in report.results:
        spreads = result.summary.spreads
        errors = [spreads.get("onset_error_s"), spreads.get("mean_onset_error_s")]
        within = result.breakdown.onset_within
        shares = [within[f"{within_s}"].mean for within_s in ONSET_WITHIN_S]
        rows.append([result.name, *(seconds(one.mean if one else None) for one in errors), *map(percent, shares)])
    return (
        "onsets: absolute errors of the recalled arrivals; share of all arrivals with an onset of their own within so "
        f"long of the label\n{align(rows)}"
    )


def _windows(report: AccuracyReport) -> str:
    rows = [["", "accuracy", "precision", "recall", "F1", "AUC"]]
    for result in report.results:
        figures = result.breakdown.windows
        rates = (figures.accuracy, figures.precision, figures.recall, figures.f1, figures.auc)
        rows.append([result.name, *(spread_cell(rate, len(report.seeds) > 1) for rate in rates)])
    first = report.results[0].breakdown.windows
    return (
        f"windows of {first.window_s:g} s: {count(first.n_event)} with an event, {count(first.n_quiet)} quiet, "
        f"{count(first.n_left_out)} left out (codas and edges), means over the starts\n{align(rows)}"
    )


def _parts(report: AccuracyReport, what: str, parts: list[dict[str, Part]]) -> str:
    """Return recall of each part, a row a part and a column a detector."""
    rows = [["", "arrivals", "events", *(result.name for result in report.results)]]
    for name, first in parts[0].items():
        cells = [_recall(one[name]) for one in parts]
        rows.append([name, str(first.n_arrivals), str(first.n_groups), *cells])
    has_rates = any(part.false_per_quiet_day_upper is not None for part in parts[0].values())
    rates = "; behind it, false alarms per quiet day" if has_rates else ""
    return f"recall by {what}{rates}\n{align(rows)}"


def _recall(part: Part) -> str:
    recall, rate = part.spreads.get("recall"), part.spreads.get("false_per_quiet_day")
    found = NONE if recall is None else f"{recall.mean:.2f}"
    return found if rate is None else f"{found}, {rate.mean:.1f}"


def _confusions(report: AccuracyReport) -> list[str]:
    return [_confusion(result) for result in report.results if result.breakdown.confusion is not None]


def _confusion(result: DetectorResult) -> str:
    table = result.breakdown.confusion or {}
    told = told_columns(table)
    rows = [["label", *told]]
    labels = [label for label in table if label != NO_EVENT] + [label for label in table if label == NO_EVENT]
    rows += [[label, *(count(table[label].get(name, 0.0)) for name in told)] for label in labels]
    return f"{result.name}: class told of each arrival, and of false alarms ({NO_EVENT})\n{align(rows)}"


def told_columns(table: dict[str, dict[str, float]]) -> list[str]:
    """Return what was told, classes first, then blank and not found."""
    seen = {name for row in table.values() for name in row}
    return [*sorted(seen - {BLANK, NOT_FOUND}), BLANK, NOT_FOUND]

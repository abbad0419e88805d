"""Accuracy as tables: detectors side by side, their details and curves, other pickers, and the downlink budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from edgequake.results.accuracy import (
    BLANK,
    NO_EVENT,
    NOT_FOUND,
    AccuracyReport,
    Breakdown,
    BudgetCurve,
    BudgetPoint,
    BudgetReport,
    DetectorResult,
    Part,
    ScoreSummary,
    Spread,
)
from edgequake.results.tables.table import Table
from edgequake.results.words import NONE, percent, plural, rate, seconds, thousands

KEPT_LONG = "kept of records ≥ 10 h"

Detailed = Sequence[tuple[DetectorResult, Breakdown]]


def detectors_table(report: AccuracyReport, file: str = "") -> Table:
    """Return the detectors of a report side by side; `file` is the one that holds the report, where there is one."""
    columns = (
        "detector", "recall", "recall by events (90 % interval)", "captured", "precision", "F1",
        "false alarms per quiet day (90 % bound)", KEPT_LONG, "kept of all", "quiet time kept", "median onset error",
    )  # fmt: skip
    models = {report.detector_title(result.name): report.model_of(result.name) for result in report.results}
    graphs = "".join(f" Graph of {title}: sha256 {model.sha256[:12]}." for title, model in models.items() if model)
    note = (
        f"{report.n_records} records, {starts(report.seeds)}; ± is the deviation between starts. Data sha256 "
        f"{report.data_sha256[:12]}.{graphs}{f' From {file}.' if file else ''}"
    )
    return Table(report.title, columns, tuple(_detector_row(report, result) for result in report.results), (note,))


def counts_table(report: AccuracyReport) -> Table:
    """Return the counts behind the rates of each detector."""
    names = ("n_recalled", "n_fixed_recalled", "n_captured", "n_false", "n_extra")
    columns = ("detector", "recalled", "fixed", "captured", "false alarms", "extra")
    rows = tuple(
        (report.detector_title(result.name), *(count(result.summary, name) for name in names))
        for result in report.results
    )
    notes = [
        "Means over the random starts. Recall by events: mean over events of the share of their arrivals recalled, and "
        "its 90 % Wilson interval. The bound of the false alarms: upper end of the 90 % Poisson interval. Onset errors "
        "are absolute."
    ]
    if report.seeds and report.n_fixed:
        notes.append(
            f"{report.n_fixed} of the arrivals come too soon after the start of their record for it to be moved, so "
            "that the time since the start still gives them away. Fixed: how many of these are recalled."
        )
    return Table("Counts", columns, rows, tuple(notes))


def detail_tables(report: AccuracyReport) -> list[Table]:
    """Return onset errors, windows, classes, stations and confusions; none for a file that is older than these."""
    found = [(result, result.breakdown) for result in report.results if result.breakdown]
    if not found:
        return []
    by_class = _part_table(report, f"{report.where}: recall by class of the label", "class", found)
    title = f"{report.where}: recall and false alarms per quiet day by station"
    by_station = _part_table(report, title, "station", found)
    parts = [table for table in (by_class, by_station) if table.rows]
    confusions = [
        _confusion(f"{report.where}: classes told by {report.detector_title(result.name)}", details.confusion)
        for result, details in found
        if details.confusion
    ]
    return [_onsets(report, found), _windows(report, found), *parts, *confusions]


def curve_tables(report: AccuracyReport, every_column: bool = False) -> list[Table]:
    """Return the points of each curve; with `every_column` also what the chart does not show."""
    columns: dict[str, Callable[[Mapping[str, float | None]], str]] = {
        "threshold": lambda point: f"{point['threshold']:g}",
        "recall": lambda point: rate(point["recall"]),
    }
    if every_column:
        columns |= {
            "captured": lambda point: rate(point["captured"]),
            KEPT_LONG: lambda point: percent(point["kept_long"]),
            "kept": lambda point: percent(point["kept"]),
            "F1": lambda point: rate(point["f1"]),
            "false alarms per quiet day": lambda point: f"{point['false_per_quiet_day']:.1f}",
        }
    else:
        kept = report.kept_field
        columns[KEPT_LONG if kept == "kept_long" else kept] = lambda point: percent(point[kept])
    return [
        Table(
            f"{report.where}, {report.detector_title(name)}: recall against kept",
            tuple(columns),
            tuple(tuple(cell(vars(point)) for cell in columns.values()) for point in points),
        )
        for name, points in report.curves.items()
    ]


def peers_table(reports: Iterable[AccuracyReport]) -> Table | None:
    """Return the cost of SeisBench's models, or None where none were measured; of a model measured twice, the last."""
    peers = {(peer.name, peer.weights): (peer, report) for report in reports for peer in report.peers}
    if not peers:
        return None
    columns = ("model", "weights", "parameters", "environment", "us per second of signal", "note")
    rows = tuple(
        (
            peer.name, peer.weights or "untrained", thousands(peer.parameters),
            ", ".join([report.provenance.computer, plural(peer.n_threads, "thread"),
                       *(f"{name} {version}" for name, version in peer.versions.items())]),
            f"{peer.us_per_signal_s:.0f}", peer.note or NONE,
        )
        for peer, report in peers.values()
    )  # fmt: skip
    note = "Wall time of SeisBench's annotate over three components at the model's rate, reading not counted."
    return Table("What other pickers cost", columns, rows, (note,))


def budget_tables(report: BudgetReport) -> list[Table]:
    """Return a table for each detector, a row for each budget."""
    model = report.model
    title = (
        f"{report.body.capitalize()} {report.split}: {report.n_records} records, {report.n_arrivals} arrivals of "
        f"{report.n_groups} events, {starts(report.seeds)}, {report.n_days:g} mission days; a pass each "
        f"{report.pass_s:g} s; data sha256 {report.data_sha256[:12]}; model {model.title}, sha256 {model.sha256[:12]}"
    )
    note = (
        "Each record from each start is a mission of its own, which ends at the following UTC midnight. Delivered: the "
        "arrival is recalled, and records that were sent overlap its onset. Reported: the event report of that "
        "detection was sent. Whole onset: delivered, with all records around the detection, from a sixth of the window "
        "before to the window after. Events: mean over events of the share of their arrivals delivered, and its 90 % "
        f"Wilson interval. {report.n_long_arrivals} of the arrivals lie in records of 10 h or more; in a short one an "
        "event has a day's budget almost to itself. Sent and used: over all days that missions touch."
    )
    tables = [_budget_table(curve, several=len(report.seeds) > 1) for curve in report.curves]
    return [Table(title, (), ()), *tables, Table("", (), (), (note,))]


def starts(seeds: Sequence[int]) -> str:
    """Return where the records begin, in words."""
    return f"{len(seeds)} random starts of each record" if seeds else "every record from its own start"


def spread_cell(spread: Spread | None, several: bool = True) -> str:
    """Return a mean, with its deviation where it is of several random starts."""
    if spread is None:
        return NONE
    return f"{spread.mean:.2f} ± {spread.deviation:.2f}" if several else f"{spread.mean:.2f}"


def count(summary: ScoreSummary, name: str) -> str:
    """Return a count, mean over the random starts."""
    return f"{summary.spreads[name].mean:.4g}"


def by_events(summary: ScoreSummary) -> str:
    """Return the recall by events, and its interval."""
    mean, (low, high) = summary.mean("group_recall"), summary.group_recall_interval
    return NONE if mean is None else f"{mean:.2f} ({low:.2f} to {high:.2f})"


def false_rate(summary: ScoreSummary) -> str:
    """Return the false alarms per quiet day, and the upper bound of their interval."""
    mean, upper = summary.mean("false_per_quiet_day"), summary.false_per_quiet_day_upper
    return NONE if mean is None or upper is None else f"{mean:.1f} (< {upper:.1f})"


def _detector_row(report: AccuracyReport, result: DetectorResult) -> tuple[str, ...]:
    summary = result.summary
    captured, several = summary.mean("n_captured"), len(summary.scores) > 1
    recall, precision, f1 = (spread_cell(summary.spreads.get(name), several) for name in ("recall", "precision", "f1"))
    return (
        report.detector_title(result.name),
        recall,
        by_events(summary),
        NONE if captured is None else f"{captured:.3g} of {report.n_arrivals}",
        precision,
        f1,
        false_rate(summary),
        *(percent(summary.mean(name)) for name in ("kept_long", "kept", "wasted")),
        seconds(summary.mean("onset_error_s")),
    )


def _onsets(report: AccuracyReport, found: Detailed) -> Table:
    within = tuple(found[0][1].onset_within)
    columns = ("detector", "median error", "mean error", *(f"within {name} s" for name in within))
    rows = tuple(
        (
            report.detector_title(result.name),
            *(seconds(result.summary.mean(name)) for name in ("onset_error_s", "mean_onset_error_s")),
            *(percent(details.onset_within[name].mean) for name in within),
        )
        for result, details in found
    )
    note = (
        "Errors are absolute and of the recalled arrivals. Within: share of all arrivals with an onset of their own so "
        "near the label, whatever the tolerance of recall is."
    )
    return Table(f"{report.where}: how near the onsets are", columns, rows, (note,))


def _windows(report: AccuracyReport, found: Detailed) -> Table:
    first, several = found[0][1].windows, len(report.seeds) > 1
    columns = {"accuracy": "accuracy", "precision": "precision", "recall": "recall", "F1": "f1", "AUC": "auc"}
    rows = tuple(
        (
            report.detector_title(result.name),
            *(spread_cell(getattr(details.windows, name), several) for name in columns.values()),
        )
        for result, details in found
    )
    note = (
        f"{first.n_event:.3g} windows with an event and {first.n_quiet:.3g} quiet ones, means over the random starts; "
        f"{first.n_left_out:.3g} in codas and at the edges of events are left out. AUC: chance that a window with an "
        "event scores higher than a quiet one."
    )
    return Table(f"{report.where}: by windows of {first.window_s:g} s", ("detector", *columns), rows, (note,))


def _part_table(report: AccuracyReport, title: str, what: str, found: Detailed) -> Table:
    """Return the recall of each part, a row for each class or station and a column for each detector."""
    parts: list[dict[str, Part]] = [getattr(details, f"by_{what}") for _, details in found]
    rows = tuple(
        (name, str(first.n_arrivals), str(first.n_groups), *(_part_cell(of_detector[name]) for of_detector in parts))
        for name, first in parts[0].items()
    )
    names = (report.detector_title(result.name) for result, _ in found)
    return Table(title, (what, "arrivals", "events", *names), rows)


def _part_cell(part: Part) -> str:
    recall, false = part.spreads.get("recall"), part.spreads.get("false_per_quiet_day")
    found = rate(None if recall is None else recall.mean)
    return found if false is None else f"{found}, {false.mean:.1f}"


def _confusion(title: str, counts: Mapping[str, Mapping[str, float]]) -> Table:
    last = (BLANK, NOT_FOUND)  # what takes the place of a class
    told = [*sorted({name for row in counts.values() for name in row} - set(last)), *last]
    labels = sorted(counts, key=lambda label: (label == NO_EVENT, label))
    rows = tuple((label, *(f"{counts[label].get(name, 0.0):.3g}" for name in told)) for label in labels)
    note = f"Arrivals, means over the random starts; '{NO_EVENT}' are false alarms. Blank: an event without a class."
    return Table(title, ("label", *told), rows, (note,))


def _budget_table(curve: BudgetCurve, several: bool) -> Table:
    columns = (
        "B/day", "delivered", "events", "reported", "whole onset", "delivered, ≥ 10 h", "sent B/day", "largest day",
        "used",
    )  # fmt: skip
    title = f"{curve.name}: recall {curve.recalled.mean:.2f} whatever the budget, {curve.n_events.mean:.4g} events"
    return Table(title, columns, tuple(_budget_row(point, several) for point in curve.points))


def _budget_row(point: BudgetPoint, several: bool) -> tuple[str, ...]:
    low, high = point.events_interval
    return (
        str(point.budget_bytes),
        spread_cell(point.delivered, several),
        f"{point.events.mean:.2f} ({low:.2f} to {high:.2f})",
        rate(point.told.mean),
        rate(point.whole.mean),
        spread_cell(point.delivered_long, several),
        f"{point.bytes_a_day.mean:.0f}",
        str(point.largest_day_bytes),
        percent(point.bytes_a_day.mean / point.budget_bytes),
    )

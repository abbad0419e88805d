"""The report of `edgequake bench budget` as plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgequake.benchmarks.text_tables import NONE, align, count, percent, spread_cell

if TYPE_CHECKING:
    from edgequake.benchmarks.downlink.budget import BudgetCurve, BudgetReport
    from edgequake.benchmarks.downlink.budget_points import BudgetPoint

HEADER = [
    "B/day",
    "delivered",
    "events",
    "told",
    "whole onset",
    "delivered, >= 10 h",
    "sent B/day",
    "largest day",
    "used",
]


def budget_table(report: BudgetReport) -> str:
    """Return one block for each detector, a line for each budget."""
    blocks = [f"{_heading(curve)}\n{align([HEADER, *_lines(report, curve)])}" for curve in report.curves]
    return "\n\n".join([_title(report), *blocks, _notes(report)])


def _title(report: BudgetReport) -> str:
    n_seeds = len(report.seeds)
    starts = f"{n_seeds} random start{'s'[: n_seeds > 1]} each" if n_seeds else "each from its own start"
    model = report.model
    return (
        f"{report.body} {report.split}: {report.n_records} records, {report.n_arrivals} arrivals of {report.n_groups} "
        f"events, {starts}, {report.n_days:g} mission days; a pass each {report.pass_s:g} s; data sha256 "
        f"{report.data_sha256[:12]}; model {model.name}, {model.variant}, sha256 {model.sha256[:12]}"
    )


def _heading(curve: BudgetCurve) -> str:
    return f"{curve.name}: recall {curve.recalled.mean:.2f} whatever the budget, {count(curve.n_events.mean)} events"


def _lines(report: BudgetReport, curve: BudgetCurve) -> list[list[str]]:
    return [_line(point, several=len(report.seeds) > 1) for point in curve.points]


def _line(point: BudgetPoint, several: bool) -> list[str]:
    low, high = point.events_interval
    return [
        str(point.budget_bytes),
        spread_cell(point.delivered, several),
        f"{point.events.mean:.2f} ({low:.2f}-{high:.2f})",
        f"{point.told.mean:.2f}",
        f"{point.whole.mean:.2f}",
        NONE if point.delivered_long is None else spread_cell(point.delivered_long, several),
        f"{point.bytes_a_day.mean:.0f}",
        str(point.largest_day_bytes),
        percent(point.bytes_a_day.mean / point.budget_bytes),
    ]


def _notes(report: BudgetReport) -> str:
    return (
        "Each record from each start is a mission of its own, which ends at the UTC midnight after it. delivered: the "
        "arrival is recalled, and records that were handed over meet its onset. told: the notice of that detection was "
        "handed over. whole onset: delivered, with all records around the detection, from a sixth of the window before "
        "to the window after. events: mean over events of the share of their arrivals delivered, and its 90 % Wilson "
        f"interval. {report.n_long_arrivals} of the arrivals lie in records of 10 h or more; in a short one an event "
        "has a day's budget nearly to itself. sent, used: over all days that missions touch."
    )

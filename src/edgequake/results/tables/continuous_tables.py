"""The measure on continuous hours as tables: strata, each detector's curve, and the details at its threshold."""

from __future__ import annotations

from edgequake.results.continuous import ContinuousReport, StratumLine, StratumPoint, SweptResult
from edgequake.results.tables.table import Table

NONE = "–"


def continuous_tables(report: ContinuousReport) -> list[Table]:
    """Return everything that a report says."""
    tables = [_strata(report), *(_curve(report, result) for result in report.results), _details(report)]
    if report.cost:
        tables.append(_cost(report))
    return tables


def _strata(report: ContinuousReport) -> Table:
    rows = tuple(
        (
            line.name,
            line.part + ("" if line.asked else "*"),
            str(line.n_records),
            f"{line.hours:.1f}",
            str(line.n_arrivals),
        )
        for line in report.strata
    )
    note = "* no record of the split: measured on train, so not held out from a model trained on it."
    title = f"{_where(report)}, continuous hours"
    return Table(
        title, ("records", "part", "files", "hours", "P"), rows, () if all(a.asked for a in report.strata) else (note,)
    )


def _curve(report: ContinuousReport, result: SweptResult) -> Table:
    columns = ("threshold", *(_head(line) for line in report.strata))
    rows = tuple(
        (f"{float(threshold):g}", *(_cell(line, points.get(line.name)) for line in report.strata))
        for threshold, points in result.points.items()
    )
    unread = [f"{n} records of '{name}' not read: rate too low." for name, n in result.unread.items()]
    note = "Hours: events a day without a catalogue row, and the share kept. Others: share of the arrivals found."
    return Table(f"{_where(report)}: {result.name}", columns, rows, (note, *unread))


def _where(report: ContinuousReport) -> str:
    return f"{report.body.capitalize()} {report.split}"


def _head(line: StratumLine) -> str:
    return line.name + ("" if line.asked else "*")


def _cell(line: StratumLine, point: StratumPoint | None) -> str:
    if point is None:
        return NONE
    if line.kind == "hours":
        return NONE if point.events_per_day is None else f"{point.events_per_day:.1f}, {100 * (point.kept or 0):.2f} %"
    return NONE if point.found is None else f"{point.found:.2f}"


def _details(report: ContinuousReport) -> Table:
    ranges = [(quantity, name) for quantity, bins in report.results[0].bins.items() for name in bins]
    heads = tuple(f"{quantity} {name}" for quantity, name in ranges)
    rows = []
    for result in report.results:
        found = [result.bins.get(quantity, {}).get(name) for quantity, name in ranges]
        cells = [f"{b.n_found:.1f}/{b.n_arrivals:.0f}" if b else NONE for b in found]
        onsets = result.onsets
        quartiles = (onsets.lower, onsets.median, onsets.upper, onsets.median_size)
        rows.append(
            (result.name, f"{result.normal:g}", *cells, *(NONE if q is None else f"{q:+.2f}" for q in quartiles))
        )
    columns = (
        "detector",
        "threshold",
        *heads,
        "onset error: lower quartile, s",
        "median",
        "upper quartile",
        "median size",
    )
    title = f"{_where(report)}: local quakes found by range, and onsets against analysts"
    return Table(title, columns, tuple(rows))


def _cost(report: ContinuousReport) -> Table:
    cost = report.cost
    assert cost is not None
    row = (
        cost.name,
        f"{cost.parameters}",
        f"{cost.size_bytes}",
        f"{cost.macs_per_signal_s:.0f}",
        f"{cost.cpu_us_per_signal_s:.0f}",
    )
    columns = ("picker", "weights", "file, bytes", "MACs per signal second", "CPU µs per signal second")
    return Table(f"{_where(report)}: cost of {cost.name}", columns, (row,), (cost.note,))

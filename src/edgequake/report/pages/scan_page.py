"""The report of a scan: its figures, what is covered, events a day, the slowest shards and those that have failed."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from edgequake.report.charts.coverage import coverage_figure, events_figure
from edgequake.report.charts.images import svg_uri
from edgequake.report.pages.page import render
from edgequake.results.tables.table import Table
from edgequake.results.words import percent, plural, thousands
from edgequake.scan.scan_results import ScanResult, read_days, read_totals
from edgequake.scan.storage.scan_folder import ScanFolder

_MOST_ROWS = 50  # of a table: a page for people, the files have all


def scan_report(path: Path) -> str:
    """Return the report of a scan as one HTML page.

    Raises
    ------
    DataError
        No scan has come to its end there, or a file cannot be read.
    """
    folder = ScanFolder(path)
    totals, days = read_totals(folder), read_days(folder)
    covered: dict[str, dict[np.datetime64, float]] = defaultdict(dict)
    n_events: dict[np.datetime64, float] = defaultdict(float)
    n_recorded: dict[np.datetime64, float] = defaultdict(float)
    for row in days:
        day = np.datetime64(row["date"], "D")
        covered[_name(row)][day] = row["recorded_s"]
        n_events[day] += row["n_events"]
        n_recorded[day] += row["recorded_s"] > 0
    dates = sorted(n_recorded)
    return render(
        "scan.html.j2",
        title=f"edgequake: a scan of {plural(totals.n_stations, 'station')}, {plural(totals.n_events, 'event')}",
        facts=_facts(totals),
        notes=totals.warnings[:_MOST_ROWS],
        n_more_notes=max(0, len(totals.warnings) - _MOST_ROWS),
        coverage=svg_uri(coverage_figure(covered)) if covered else None,
        coverage_alt=f"Days with records of {plural(len(covered), 'station')}, {_span(dates)}",
        events=svg_uri(events_figure(dates, [n_events[day] for day in dates], [n_recorded[day] for day in dates]))
        if dates
        else None,
        events_alt=f"Events a day and station, {_span(dates)}: {totals.n_events} in all",
        stations=_stations(days),
        failed=_failed(totals),
        slowest=_slowest(totals),
    )


def _name(row: dict[str, Any]) -> str:
    return ".".join(filter(None, (row["station_id"].replace("_", ".", 1), row["location"])))


def _span(dates: list[np.datetime64]) -> str:
    return f"{dates[0]} to {dates[-1]}" if dates else "none"


def _facts(totals: ScanResult) -> list[tuple[str, str]]:
    facts = [
        ("events", thousands(totals.n_events)),
        ("shards", f"{totals.n_done} of {totals.n_shards} done, {len(totals.failed)} failed"),
        ("record", f"{totals.record_s / 86_400:.1f} days on {totals.station_days} station-days"),
        ("kept", f"{totals.kept_s / 3600:.1f} h = {percent(totals.kept_s / max(1e-9, totals.record_s))} of the time"),
        ("cost", f"{totals.cpu_s:.1f} s on processors, of these {totals.read_cpu_s:.1f} s reading"),
    ]
    return facts if totals.seams is None else [*facts, ("boundaries of shards", totals.seams.text())]


def _stations(days: list[dict[str, Any]]) -> Table:
    by_name: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in days:
        by_name[_name(row)].append(row)
    rows = []
    for name, own in sorted(by_name.items()):
        recorded_s, events = sum(row["recorded_s"] for row in own), sum(row["n_events"] for row in own)
        kept_s, gaps = sum(row["kept_s"] for row in own), sum(row["n_gaps"] for row in own)
        rate = events / max(1e-9, recorded_s / 86_400)
        cells = (f"{recorded_s / 86_400:.1f}", f"{events:.0f}", f"{rate:.2f}", percent(kept_s / max(1e-9, recorded_s)))
        rows.append((name, *cells, f"{gaps:.0f}"))
    notes = (f"{len(rows) - _MOST_ROWS} more, in summary.csv",) if len(rows) > _MOST_ROWS else ()
    columns = ("station", "days of record", "events", "events a day", "kept", "gaps")
    return Table("Stations", columns, tuple(rows[:_MOST_ROWS]), notes)


def _failed(totals: ScanResult) -> Table:
    rows = tuple((one["title"], one["id"], one["why"]) for one in totals.failed[:_MOST_ROWS])
    more = len(totals.failed) - _MOST_ROWS
    return Table("Failed shards", ("shard", "id", "reason"), rows, (f"{more} more, in failed/",) if more > 0 else ())


def _slowest(totals: ScanResult) -> Table:
    rows = tuple((one["title"], one["id"], f"{one['cpu_s']:.2f}") for one in totals.slowest)
    return Table("Slowest shards", ("shard", "id", "seconds on a processor"), rows)

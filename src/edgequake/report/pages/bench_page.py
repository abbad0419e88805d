"""The report of measurements: curves, detectors beside each other, latency, and where the figures come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgequake.report.charts.curves import curves_figure, latency_figure, same_records
from edgequake.report.charts.images import svg_uri
from edgequake.report.cost_tables import energy_tables, footprint_tables, latency_table, run_tables
from edgequake.report.costs import BaselineCost, Energy, Footprint, Installed, Latency
from edgequake.report.detail_tables import detail_tables, peer_table
from edgequake.report.pages.page import render
from edgequake.report.provenances import Provenance
from edgequake.report.result_tables import accuracy_tables, curve_tables, other_tables
from edgequake.report.results import Accuracy, Result, read_results
from edgequake.results.tables.table import Table


def bench_report(paths: Sequence[Path]) -> str:
    """Return results of `edgequake bench` as one HTML page.

    Raises
    ------
    DataError
        As `read_results`.
    """
    results = read_results(paths)
    accuracy = [result for result in results if isinstance(result, Accuracy)]
    latency = [result for result in results if isinstance(result, Latency)]
    groups = [group for group in same_records(accuracy) if any(result.curves for result in group)]
    return render(
        "bench.html.j2",
        title=f"edgequake: {_subjects(results)}",
        curves=svg_uri(curves_figure(groups)) if groups else None,
        curves_alt=_curves_alt(groups),
        curve_tables=curve_tables(results),
        accuracy=accuracy_tables(results),
        details=detail_tables(results),
        peers=peer_table(results),
        latency=svg_uri(latency_figure(latency)) if latency else None,
        latency_alt=_latency_alt(latency),
        latency_table=latency_table(results),
        runs=run_tables(results),
        footprint=footprint_tables(results),
        energy=energy_tables(results),
        others=other_tables(results),
        provenance=provenance_table([result.provenance for result in results]),
    )


def _subjects(results: Sequence[Result]) -> str:
    """Return what was measured, in a few words."""
    names_splits = sum(isinstance(result, Accuracy) for result in results) <= 2
    return ", ".join(dict.fromkeys(_kind(result, names_splits) for result in results)) or "measurements"


def provenance_table(provenances: Sequence[Provenance]) -> Table:
    """Return where each file's figures were measured, each file once."""
    rows = tuple(
        (
            where.file,
            where.measured_at,
            where.computer,
            ", ".join([f"python {where.python}", *(f"{name} {version}" for name, version in where.versions.items())]),
        )
        for where in {where.file: where for where in provenances}.values()
    )
    return Table("Where the figures come from", ("file", "measured at (UTC)", "machine", "versions"), rows)


def _kind(result: Result, names_split: bool) -> str:
    if isinstance(result, Accuracy):
        return f"accuracy on {result.body.capitalize()}{f' {result.split}' if names_split else ''}"
    if isinstance(result, (Latency, BaselineCost)):
        return "latency"
    if isinstance(result, (Footprint, Installed)):
        return "footprint"
    return "energy" if isinstance(result, Energy) else result.kind


def _curves_alt(groups: Sequence[Sequence[Accuracy]]) -> str:
    """Say in words what the curves show; their points stand in tables."""
    parts = []
    for group in groups:
        names = dict.fromkeys(result.detector_title(name) for result in group for name in result.curves)
        parts.append(f"{group[0].title}: {', '.join(names)}")
    return f"Recall against the share kept. {'; '.join(parts)}. The tables below hold every point."


def _latency_alt(results: Sequence[Latency]) -> str:
    rows = (
        f"{result.model.title} p50 {result.percentiles_us['p50']:.0f}, p95 {result.percentiles_us['p95']:.0f}, p99 "
        f"{result.percentiles_us['p99']:.0f} us"
        for result in results
    )
    return f"Wall time of a step: {'; '.join(rows)}"

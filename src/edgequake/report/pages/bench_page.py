"""The report of measurements: the same tables as one HTML page, with charts, and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.errors import DataError
from edgequake.report.charts.curves import curves_figure, latency_figure, same_records
from edgequake.report.charts.images import svg_uri
from edgequake.report.pages.page import render
from edgequake.results.accuracy import AccuracyReport
from edgequake.results.continuous import ContinuousReport
from edgequake.results.cost import EnergyReport, FootprintReport, LatencyReport
from edgequake.results.missions import MissionReport
from edgequake.results.reader import OtherReport, ResultFile, read_results
from edgequake.results.tables.accuracy_tables import curve_tables, detail_tables, detectors_table, peers_table
from edgequake.results.tables.brief import brief_table
from edgequake.results.tables.continuous_tables import continuous_tables
from edgequake.results.tables.cost_tables import energy_tables, footprint_tables, run_tables, steps_table
from edgequake.results.tables.headline import headline_table
from edgequake.results.tables.mission_tables import mission_tables
from edgequake.results.tables.table import Table

BEGIN, STOP = "<!-- results:begin -->", "<!-- results:end -->"
SECTIONS = {
    "accuracy": "Accuracy",
    "details": "Onsets, windows, classes and stations",
    "curves": "Recall against what is kept",
    "hours": "Continuous hours",
    "latency": "Latency",
    "footprint": "Footprint",
    "energy": "Energy",
    "peers": "Other pickers",
    "missions": "Missions",
    "others": "Further measurements",
    "provenance": "Where the figures come from",
}


def bench_report(paths: Sequence[Path]) -> str:
    """Return results of `edgequake bench` as one HTML page.

    Raises
    ------
    DataError
        As `read_results`.
    """
    files = read_results(paths)
    accuracy = [file.report for file in files if isinstance(file.report, AccuracyReport)]
    latency = [file.report for file in files if isinstance(file.report, LatencyReport) and file.report.models]
    groups = [group for group in same_records(accuracy) if any(report.curves for report in group)]
    return render(
        "bench.html.j2",
        title=f"edgequake: {_subjects(files)}",
        curves_chart=svg_uri(curves_figure(groups)) if groups else None,
        curves_alt=_curves_alt(groups),
        latency_chart=svg_uri(latency_figure(latency)) if latency else None,
        latency_alt=_latency_alt(latency),
        **result_tables(files),
    )


def results_page(paths: Sequence[Path]) -> str:
    """Return results as a Markdown page.

    Raises
    ------
    DataError
        As `read_results`.
    """
    files = read_results(paths)
    names = ", ".join(dict.fromkeys(file.name for file in files))
    parts = ["# Results", f"Written by `edgequake report --markdown` from {names}: do not edit by hand."]
    if (every := headline_table([file.report for file in files])) is not None:
        parts += ["## All detectors, with their costs", every.markdown()]
    for name, tables in result_tables(files).items():
        title = SECTIONS[name]
        parts += [f"## {title}", *(_markdown(table, title) for table in tables)] if tables else []
    return "\n\n".join(parts) + "\n"


def headline(paths: Sequence[Path]) -> str:
    """Return the table that a README shows, as Markdown with its note.

    Raises
    ------
    DataError
        As `read_results`; or none of the files is a result of `bench accuracy`.
    """
    table = brief_table([file.report for file in read_results(paths)])
    if table is None:
        raise DataError("the headline table needs a result of `bench accuracy`: none of the files is one")
    return "\n\n".join([table.markdown(), *table.notes])


def result_tables(files: Sequence[ResultFile]) -> dict[str, list[Table]]:
    """Return the tables of each of the `SECTIONS`, in their order."""
    reports = [file.report for file in files]
    accuracy = [report for report in reports if isinstance(report, AccuracyReport)]
    latency = [report for report in reports if isinstance(report, LatencyReport)]
    steps, peers = steps_table(latency), peers_table(accuracy)
    return {
        "accuracy": [detectors_table(f.report, f.name) for f in files if isinstance(f.report, AccuracyReport)],
        "details": [table for report in accuracy for table in detail_tables(report)],
        "curves": [table for report in accuracy for table in curve_tables(report)],
        "hours": [table for r in reports if isinstance(r, ContinuousReport) for table in continuous_tables(r)],
        "latency": [*([steps] if steps else []), *run_tables(latency)],
        "footprint": footprint_tables([report for report in reports if isinstance(report, FootprintReport)]),
        "energy": energy_tables([report for report in reports if isinstance(report, EnergyReport)]),
        "peers": [peers] if peers else [],
        "missions": [
            table for report in reports if isinstance(report, MissionReport) for table in mission_tables(report)
        ],
        "others": [_other_table(file.report, file.name) for file in files if isinstance(file.report, OtherReport)],
        "provenance": [_provenance_table(files)],
    }


def filled(text: str, table: str, where: str) -> str:
    """Return a text with a table between its two marks.

    Raises
    ------
    DataError
        `text` does not have both marks, once and in order; `where` names it.
    """
    before, begin, rest = text.partition(BEGIN)
    _, stop, after = rest.partition(STOP)
    if not (begin and stop) or BEGIN in after or STOP in after:
        raise DataError(f"{where}: expected one line {BEGIN} and, after it, one line {STOP}; put them where it goes")
    return f"{before}{BEGIN}\n{table}\n{STOP}{after}"


def fill_file(path: Path, table: str) -> None:
    """Put a table between the marks of a file.

    Raises
    ------
    DataError
        The file cannot be read or written, or does not have the marks.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as problem:
        raise DataError(f"{path} cannot be read: {problem}") from problem
    write_bytes_atomically(path, filled(text, table, str(path)).encode())


def _markdown(table: Table, section: str) -> str:
    head = [f"### {table.title}"] if table.title != section else []
    return "\n\n".join([*head, table.markdown(), *table.notes])


def _other_table(report: OtherReport, file: str) -> Table:
    title = f"{report.kind}{f' of {report.model.title}' if report.model else ''}"
    return Table(title, ("figure", "value"), report.figures, (f"From {file}.",))


def _provenance_table(files: Sequence[ResultFile]) -> Table:
    """Return where each file's figures were measured, each file once."""
    rows = tuple(
        (
            name,
            where.measured_at,
            where.computer,
            ", ".join([f"python {where.python}", *(f"{package} {at}" for package, at in where.versions.items())]),
        )
        for name, where in {file.name: file.report.provenance for file in files}.items()
    )
    return Table(SECTIONS["provenance"], ("file", "measured at (UTC)", "machine", "versions"), rows)


def _subjects(files: Sequence[ResultFile]) -> str:
    """Return what was measured, in a few words."""
    names_splits = sum(isinstance(file.report, AccuracyReport) for file in files) <= 2
    names = []
    for report in (file.report for file in files):
        if isinstance(report, AccuracyReport):
            names.append(f"accuracy on {report.where if names_splits else report.body.capitalize()}")
        else:
            names.append(report.kind)
    return ", ".join(dict.fromkeys(names)) or "measurements"


def _curves_alt(groups: Sequence[Sequence[AccuracyReport]]) -> str:
    """Say in words what the curves show; their points stand in tables."""
    parts = []
    for group in groups:
        names = dict.fromkeys(report.detector_title(name) for report in group for name in report.curves)
        parts.append(f"{group[0].title}: {', '.join(names)}")
    return f"Recall against the share kept. {'; '.join(parts)}. The tables below hold every point."


def _latency_alt(reports: Sequence[LatencyReport]) -> str:
    rows = (
        f"{model.model.title} "
        + ", ".join(f"{name} {step.us_per_step[name].value:.0f}" for name in ("p50", "p95", "p99"))
        + " us"
        for report in reports
        for model in report.models
        for step in model.steps
    )
    return f"Wall time of a step: {'; '.join(rows)}"

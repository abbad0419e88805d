"""Results as Markdown: a page of tables, and the headline table between two marks of another file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.errors import DataError
from edgequake.report.cost_tables import energy_tables, footprint_tables, latency_table, run_tables
from edgequake.report.detail_tables import detail_tables, peer_table
from edgequake.report.headline import headline_table
from edgequake.report.pages.bench_page import provenance_table
from edgequake.report.result_tables import accuracy_tables, curve_tables, other_tables
from edgequake.report.results import read_results
from edgequake.results.tables.table import Table

BEGIN, STOP = "<!-- results:begin -->", "<!-- results:end -->"


def results_page(paths: Sequence[Path]) -> str:
    """Return results as a Markdown page.

    Raises
    ------
    DataError
        As `edgequake.report.results.read_results`.
    """
    results = read_results(paths)
    latency, peers = latency_table(results), peer_table(results)
    names = ", ".join(dict.fromkeys(result.provenance.file for result in results))
    parts = ["# Results", f"Written by `edgequake report --markdown` from {names}: do not edit by hand."]
    sections = (
        ("Accuracy", accuracy_tables(results)),
        ("Onsets, windows, classes and stations", detail_tables(results)),
        ("Recall against what is kept", curve_tables(results)),
        ("Latency", [*([latency] if latency else []), *run_tables(results)]),
        ("Footprint", footprint_tables(results)),
        ("Energy", energy_tables(results)),
        ("Other pickers", [peers] if peers else []),
        ("Further measurements", other_tables(results)),
        ("Where the figures come from", [provenance_table([result.provenance for result in results])]),
    )
    for title, tables in sections:
        parts += [f"## {title}", *(_section(table, title) for table in tables)] if tables else []
    return "\n\n".join(parts) + "\n"


def headline(paths: Sequence[Path]) -> str:
    """Return the headline table: what a README shows.

    Raises
    ------
    DataError
        As `edgequake.report.results.read_results`; or no result of `bench accuracy` among them.
    """
    table = headline_table(read_results(paths))
    if table is None:
        raise DataError("the headline table needs a result of `bench accuracy`: none of the files is one")
    return table.markdown()


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


def _section(table: Table, section: str) -> str:
    head = [f"### {table.title}"] if table.title != section else []
    return "\n\n".join([*head, table.markdown(), *table.notes])

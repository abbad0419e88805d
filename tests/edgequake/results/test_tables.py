"""Tables as text, and the text of every kind of report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgequake.edge.base.errors import DataError
from edgequake.edge.manifest.schema import build
from edgequake.results import robustness, tuning
from edgequake.results.accuracy import AccuracyReport, BudgetReport
from edgequake.results.cost import EnergyReport, FootprintReport, LatencyReport
from edgequake.results.provenance import Report
from edgequake.results.reader import OtherReport
from edgequake.results.tables.report_text import TABLES, report_text
from edgequake.results.tables.table import Table

WRITTEN = {
    report.kind: report for report in (AccuracyReport, BudgetReport, EnergyReport, FootprintReport, LatencyReport)
}


def test_figures_are_aligned_to_the_right_and_long_heads_take_several_lines() -> None:
    table = Table("title", ("name", "some long head", "note"), (("a", "1", "x"), ("bcd", "– ", "none")), ("a note",))
    assert table.text().splitlines() == [
        "title",
        "          some",
        "          long",
        "name      head  note",
        "a            1  x",
        "bcd         –   none",
        "a note",
    ]


def test_a_table_without_rows_is_its_title_and_notes() -> None:
    assert Table("title", ("a", "b"), (), ("note",)).text() == "title\nnote"


def test_every_kind_of_report_has_a_text() -> None:
    kinds, bases = [Report], {Report, tuning.Tuning, robustness.FaultTest, OtherReport}
    for kind in kinds:
        kinds += kind.__subclasses__()
    assert {kind for kind in kinds if kind.__module__.startswith("edgequake.")} - bases == set(TABLES)


@pytest.mark.parametrize("name", ["moon-val", "moon-val-budget", "latency", "footprint", "energy"])
def test_committed_results_are_written_back_unchanged_and_have_a_text(name: str, root: Path) -> None:
    values = json.loads((root / "docs" / "results" / f"{name}.json").read_text())
    kind = WRITTEN[values["benchmark"]]
    report = build(kind, {key: value for key, value in values.items() if key != "benchmark"}, name, DataError)
    assert json.loads(json.dumps(report.to_json())) == values
    text = report_text(report)
    names = {"latency": "Cold start", "footprint": "Packages", "energy": "Constants"}
    assert names.get(name, values.get("data_sha256", "")[:12]) in text

"""Results as charts and tables: each figure compared with the JSON that it came from."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgequake.edge.base.errors import DataError
from edgequake.report.charts.curves import curves_figure, same_records
from edgequake.report.pages.bench_page import BEGIN, STOP, bench_report, filled, headline, results_page
from edgequake.results.accuracy import AccuracyReport
from edgequake.results.reader import read_results
from edgequake.results.tables.accuracy_tables import detectors_table

from .cost_files import WHERE, identity, read
from .legibility import cut_off, overlaps, words


@pytest.fixture
def files(root: Path) -> list[Path]:
    return sorted((root / "docs" / "results").glob("*.json"))


@pytest.fixture
def val(root: Path) -> Path:
    return root / "docs" / "results" / "moon-val.json"


def changed(path: Path, to: Path, **fields: Any) -> Path:
    """Copy a file of results, with the fields under dotted names (a__b) changed."""
    values = json.loads(path.read_text())
    for name, value in fields.items():
        *tables, last = name.split("__")
        table = values
        for one in tables:
            table = table[one]
        table[last] = value
    to.write_text(json.dumps(values))
    return to


def test_docs_results_are_what_the_command_writes(root: Path, files: list[Path]) -> None:
    written = (root / "docs" / "results.md").read_text(encoding="utf-8")
    again = "edgequake report --markdown docs/results/*.json --out docs/results.md"
    assert written == results_page(files), f"docs/results.md has drifted: {again}"


def test_readme_s_table_is_what_the_command_writes(root: Path, files: list[Path]) -> None:
    readme = (root / "README.md").read_text(encoding="utf-8")
    if BEGIN not in readme:
        assert STOP not in readme
        return
    again = "edgequake report docs/results/*.json --readme README.md"
    assert readme == filled(readme, headline(files), "README.md"), f"README.md has drifted: {again}"


def test_accuracy_table_holds_the_figures_of_the_file(val: Path) -> None:
    values = json.loads(val.read_text())
    table = detectors_table(*read(AccuracyReport, val))
    rows = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert len(rows) == len(values["results"])
    for result in values["results"]:
        row = rows["moon int8" if result["name"] == "model" else result["name"]]
        spreads = result["summary"]["spreads"]
        low, high = result["summary"]["group_recall_interval"]
        assert row["recall"] == f"{spreads['recall']['mean']:.2f} ± {spreads['recall']['deviation']:.2f}"
        interval = f"{spreads['group_recall']['mean']:.2f} ({low:.2f} to {high:.2f})"
        assert row["recall by events (90 % interval)"] == interval
        assert row["kept of records ≥ 10 h"] == f"{100 * spreads['kept_long']['mean']:.1f} %"
        assert (
            f"(< {result['summary']['false_per_quiet_day_upper']:.1f})"
            in row["false alarms per quiet day (90 % bound)"]
        )
    assert values["data_sha256"][:12] in table.notes[0] and values["model"]["sha256"][:12] in table.notes[0]


def test_curves_are_the_points_of_the_file(val: Path) -> None:
    values = json.loads(val.read_text())
    (axes,) = curves_figure([read(AccuracyReport, val)]).axes
    lines = {str(line.get_label()): line for line in axes.get_lines()}
    for name, points in values["curves"].items():
        line = lines["moon int8" if name == "model" else name]
        np.testing.assert_allclose(line.get_xdata(), [100 * point["kept_long"] for point in points])
        np.testing.assert_allclose(line.get_ydata(), [point["recall"] for point in points])
    clock = next(one["summary"]["spreads"] for one in values["results"] if one["name"] == "clock")
    assert lines["clock"].get_xdata()[0] == pytest.approx(100 * clock["kept_long"]["mean"])
    looks = [(line.get_color(), line.get_marker()) for line in axes.get_lines()]
    assert len({colour for colour, _ in looks}) == len({marker for _, marker in looks}) == len(looks)


def test_two_models_on_the_same_records_share_axes(val: Path, tmp_path: Path) -> None:
    other = changed(val, tmp_path / "other.json", model__name="lunar-two")
    (group,) = same_records(read(AccuracyReport, val, other))
    (axes,) = curves_figure([group]).axes
    labels = [str(line.get_label()) for line in axes.get_lines()]
    assert {"moon int8", "lunar-two int8"} < set(labels)
    assert len(labels) == len(set(labels))  # each baseline once
    apart = changed(val, tmp_path / "apart.json", data_sha256="0" * 64)
    assert len(same_records(read(AccuracyReport, val, apart))) == 2


def test_without_long_records_the_curves_are_of_all(val: Path, tmp_path: Path) -> None:
    values = json.loads(val.read_text())
    for points in values["curves"].values():
        for point in points:
            point["kept_long"] = None
    short = tmp_path / "short.json"
    short.write_text(json.dumps(values))
    (axes,) = curves_figure([read(AccuracyReport, short)]).axes
    np.testing.assert_allclose(
        axes.get_lines()[0].get_xdata(), [100 * one["kept"] for one in values["curves"]["model"]]
    )
    assert "record time" in axes.get_xlabel()


def test_texts_of_the_charts_do_not_overlap(val: Path, tmp_path: Path) -> None:
    paths = [val, *(changed(val, tmp_path / f"{i}.json", split=f"fold {i}", data_sha256=str(i)) for i in range(4))]
    figure = curves_figure(same_records(read(AccuracyReport, *paths)))
    texts = words(figure)
    assert overlaps(texts) == [] and cut_off(figure, texts) == []


def test_another_kind_of_result_is_shown_figure_by_figure(tmp_path: Path) -> None:
    other = {"benchmark": "shine", "provenance": WHERE, "model": identity(), "arena": {"bytes": 12345, "all": [1, 2]}}
    (tmp_path / "shine.json").write_text(json.dumps(other))
    page = bench_report([tmp_path / "shine.json"])
    assert "shine of moon int8" in page and "arena.bytes" in page and "12345" in page
    assert "arena.all" not in page


def test_names_are_escaped(val: Path, tmp_path: Path) -> None:
    values = json.loads(val.read_text())
    values["results"][1]["name"] = "<script>alert(1)</script> | x"
    hostile = tmp_path / "hostile.json"
    hostile.write_text(json.dumps(values))
    page = bench_report([hostile])
    assert "<script" not in page and "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    lines = [line for line in results_page([hostile]).splitlines() if "alert(1)" in line]
    assert all(r"\| x" in line for line in lines) and lines
    assert not any("<script>" in line for line in lines)


def test_table_between_the_marks() -> None:
    text = f"before\n{BEGIN}\nold\n{STOP}\nafter\n"
    assert filled(text, "new", "x") == f"before\n{BEGIN}\nnew\n{STOP}\nafter\n"
    for bad in ("", f"{STOP}\n{BEGIN}", f"{BEGIN}\n", f"{text}{text}"):
        with pytest.raises(DataError, match="README: expected one line"):
            filled(bad, "new", "README")


@pytest.mark.parametrize("field", ["curves", "results", "provenance", "data_sha256"])
def test_results_that_lack_a_field_are_refused(field: str, val: Path, tmp_path: Path) -> None:
    values = copy.deepcopy(json.loads(val.read_text()))
    del values[field]
    (tmp_path / "bad.json").write_text(json.dumps(values))
    with pytest.raises(DataError, match=f"no whole result of `bench accuracy`: field '{field}' is missing"):
        read_results([tmp_path / "bad.json"])

"""Onsets, windows, classes, stations and peers: from what `bench accuracy` writes to tables, and files without them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from edgequake import cli
from edgequake.edge.base.errors import DataError
from edgequake.report.charts.curves import STYLES, curves_figure
from edgequake.report.pages.bench_page import bench_report, results_page
from edgequake.results.accuracy import AccuracyReport
from edgequake.results.reader import read_results
from edgequake.results.tables.accuracy_tables import detail_tables, detectors_table, peers_table
from edgequake.results.tables.headline import headline_table
from edgequake.results.tables.table import Table
from edgequake.synthetic.synthetic_dataset import write_dataset

from .cost_files import read

PEERS = [
    {"name": "PhaseNet", "weights": None, "parameters": 268443, "us_per_signal_s": 206.6, "signal_s": 600.0,
     "n_runs": 5, "n_threads": 1, "versions": {"seisbench": "0.12.6", "torch": "2.13.0"}, "note": "by cost only"},
    {"name": "PhaseNet", "weights": "stead", "parameters": 268443, "us_per_signal_s": 210.4, "signal_s": 600.0,
     "n_runs": 5, "n_threads": 2, "versions": {"seisbench": "0.12.6"}, "note": ""},
]  # fmt: skip
BREAKDOWN = {
    "onset_within": {"5": {"mean": 0.25, "deviation": 0.0}, "320": {"mean": 0.9, "deviation": 0.1}},
    "by_class": {
        "deep_mq": {
            "n_records": 9, "n_arrivals": 5, "n_groups": 3, "spreads": {"recall": {"mean": 0.8, "deviation": 0.0}},
            "group_recall_interval": [0.5, 0.9], "false_per_quiet_day_upper": None,
        },
        "shallow_mq": {
            "n_records": 9, "n_arrivals": 1, "n_groups": 1, "spreads": {}, "group_recall_interval": [0.0, 1.0],
            "false_per_quiet_day_upper": None,
        },
    },
    "by_station": {
        "S12": {
            "n_records": 9, "n_arrivals": 6, "n_groups": 3,
            "spreads": {
                "recall": {"mean": 0.75, "deviation": 0.0}, "false_per_quiet_day": {"mean": 1.25, "deviation": 0.0}
            },
            "group_recall_interval": [0.5, 0.9], "false_per_quiet_day_upper": 4.0,
        },
    },
    "confusion": {
        "deep_mq": {"deep_mq": 2.5, "blank": 1.5, "not found": 1.0},
        "no event": {"impact_mq": 0.5},
        "zoo_mq": {"impact_mq": 1.0},
    },
    "windows": {
        "window_s": 900.0, "n_event": 16.0, "n_quiet": 67.4, "n_left_out": 63.0, "precision": None,
        **{name: {"mean": mean, "deviation": 0.02} for name, mean in
           (("accuracy", 0.96), ("recall", 0.88), ("f1", 0.9), ("auc", 0.99))},
    },
}  # fmt: skip


@pytest.fixture
def values(root: Path) -> dict[str, Any]:
    """Return a result with details, peers and a further model, made from a committed one."""
    found: dict[str, Any] = json.loads((root / "docs" / "results" / "moon-val.json").read_text())
    further = found.pop("also", {})
    found["results"] = [result for result in found["results"] if result["name"] not in further]
    found["curves"] = {name: curve for name, curve in found["curves"].items() if name not in further}
    for result in found["results"]:
        result["breakdown"] = copy.deepcopy(BREAKDOWN)
        if result["name"] != "model":
            result["breakdown"]["confusion"] = None
    seed = {**copy.deepcopy(found["results"][0]), "name": "seed float32"}
    found["results"].append(seed)
    found["also"] = {"seed float32": {**found["model"], "name": "seed", "sha256": "5eed" * 16, "size_bytes": 650_000}}
    found["peers"] = PEERS
    return found


def written(values: dict[str, Any], folder: Path, name: str = "moon-val.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(values))
    return path


def table_of(tables: list[Table], words: str) -> Table:
    (found,) = [table for table in tables if words in table.title]
    return found


def row_of(table: Table, name: str) -> dict[str, str]:
    (row,) = [row for row in table.rows if row[0] == name]
    return dict(zip(table.columns, row, strict=True))


def test_tables_hold_the_figures_of_the_file(values: dict[str, Any], tmp_path: Path) -> None:
    values["results"][0]["summary"]["spreads"]["mean_onset_error_s"] = {"mean": 57.3, "deviation": 1.0}
    tables = detail_tables(*read(AccuracyReport, written(values, tmp_path)))
    onsets = row_of(table_of(tables, "how near the onsets are"), "moon int8")
    assert (onsets["within 5 s"], onsets["within 320 s"], onsets["mean error"]) == ("25.0 %", "90.0 %", "57 s")
    windows = table_of(tables, "by windows of 900 s")
    assert row_of(windows, "moon int8") == {
        "detector": "moon int8", "accuracy": "0.96 ± 0.02", "precision": "–", "recall": "0.88 ± 0.02",
        "F1": "0.90 ± 0.02", "AUC": "0.99 ± 0.02",
    }  # fmt: skip
    assert "16 windows with an event and 67.4 quiet ones" in windows.notes[0]
    classes = table_of(tables, "by class")
    assert row_of(classes, "deep_mq")["seed float32"] == "0.80"
    assert (row_of(classes, "shallow_mq")["moon int8"], row_of(classes, "shallow_mq")["arrivals"]) == ("–", "1")
    assert row_of(table_of(tables, "by station"), "S12")["clock"] == "0.75, 1.2"


def test_a_confusion_has_blank_and_not_found_last_and_false_alarms_below(
    values: dict[str, Any], tmp_path: Path
) -> None:
    tables = detail_tables(*read(AccuracyReport, written(values, tmp_path)))
    confusion = table_of(tables, "classes told by moon int8")
    assert confusion.columns == ("label", "deep_mq", "impact_mq", "blank", "not found")
    assert confusion.rows == (
        ("deep_mq", "2.5", "0", "1.5", "1"),
        ("zoo_mq", "0", "1", "0", "0"),
        ("no event", "0", "0.5", "0", "0"),
    )
    assert len([table for table in tables if "classes told" in table.title]) == 2  # the baselines tell none


def test_files_older_than_the_details_are_read_and_have_none(values: dict[str, Any], tmp_path: Path) -> None:
    for result in values["results"]:
        del result["breakdown"]
    del values["also"], values["peers"]
    (report,) = read(AccuracyReport, written(values, tmp_path))
    assert detail_tables(report) == [] and peers_table([report]) is None
    assert "Onsets, windows" not in results_page([tmp_path / "moon-val.json"])
    assert "recall by class" not in bench_report([tmp_path / "moon-val.json"])


def test_a_detector_without_details_beside_one_with_details(values: dict[str, Any], tmp_path: Path) -> None:
    del values["results"][1]["breakdown"], values["also"], values["peers"]
    (report,) = read(AccuracyReport, written(values, tmp_path))
    names = [row[0] for row in table_of(detail_tables(report), "by windows").rows]
    assert "clock" not in names and "moon int8" in names
    assert peers_table([report]) is None


def test_incomplete_details_are_refused(values: dict[str, Any], tmp_path: Path) -> None:
    del values["results"][0]["breakdown"]["windows"]["auc"]
    with pytest.raises(
        DataError,
        match=r"no whole result of `bench accuracy`\.results\[0\]\.breakdown\.windows: field 'auc' is missing",
    ):
        read_results([written(values, tmp_path)])


def test_a_further_model_has_its_own_size_and_hash(values: dict[str, Any], tmp_path: Path) -> None:
    (report,) = read(AccuracyReport, written(values, tmp_path))
    headline = headline_table([report])
    assert headline is not None
    assert row_of(headline, "seed float32")["graph"] == "650 kB"
    assert row_of(headline, "clock")["graph"] == "–"
    assert "Graph of seed float32: sha256 5eed5eed5eed." in detectors_table(report).notes[0]


def test_peers_are_listed_with_their_environment(values: dict[str, Any], tmp_path: Path) -> None:
    table = peers_table(read(AccuracyReport, written(values, tmp_path), written(values, tmp_path, "again.json")))
    assert table is not None
    assert [row[:3] for row in table.rows] == [("PhaseNet", "untrained", "268 443"), ("PhaseNet", "stead", "268 443")]
    cells = row_of(Table("", table.columns, table.rows[:1]), "PhaseNet")
    assert "1 thread, seisbench 0.12.6, torch 2.13.0" in cells["environment"]
    assert (cells["us per second of signal"], cells["note"]) == ("207", "by cost only")
    assert "2 threads" in table.rows[1][3] and table.rows[1][5] == "–"


def test_the_pages_show_them(values: dict[str, Any], tmp_path: Path) -> None:
    path = written(values, tmp_path)
    page, html = results_page([path]), bench_report([path])
    for words in ("how near the onsets are", "by windows of 900 s", "What other pickers cost", "seed float32"):
        assert words in page and words in html
    assert "## Onsets, windows, classes and stations" in page


def test_more_detectors_than_colours_can_be_distinguished(values: dict[str, Any], tmp_path: Path) -> None:
    for i in range(len(STYLES)):
        values["results"].append({**copy.deepcopy(values["results"][0]), "name": f"further {i}"})
    reports = read(AccuracyReport, written(values, tmp_path))
    looks = [(line.get_color(), line.get_marker()) for line in curves_figure([reports]).axes[0].get_lines()]
    assert len(set(looks)) == len(looks) > len(STYLES)


def test_a_detector_looks_the_same_on_all_axes(values: dict[str, Any], tmp_path: Path) -> None:
    alone = copy.deepcopy(values)
    alone["results"].pop()
    alone["data_sha256"] = "0" * 64
    alone["model"]["name"] = "other"
    reports = read(AccuracyReport, written(values, tmp_path), written(alone, tmp_path, "alone.json"))
    panels = curves_figure([[one] for one in reports]).axes
    first, second = (
        {str(line.get_label()): (line.get_color(), line.get_marker()) for line in axes.get_lines()} for axes in panels
    )
    assert first["moon int8"] == second["other int8"]
    assert first["clock"] == second["clock"] and first["STA/LTA, tuned on val"] == second["STA/LTA, tuned on val"]
    assert "seed float32" in first and "seed float32" not in second
    assert len(set(first.values())) == len(first)


@pytest.mark.slow
def test_a_written_report_is_read_back_unchanged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_dataset(tmp_path / "data", seed=1, n_train=1, n_val=1, n_test=1)
    kept = tmp_path / "results.json"
    arguments = ["bench", "accuracy", "--data", str(data), "--seeds", "1", "--out", str(kept), "--also", "moon"]
    assert cli.main(arguments) == 0
    assert "how near the onsets are" in capsys.readouterr().out
    (report,) = read(AccuracyReport, kept)
    names = [result.name for result in report.results]
    assert names[:2] == ["model", "moon int8 (moon)"] and len(names) == 7
    assert json.loads(json.dumps(report.to_json())) == json.loads(kept.read_text())
    assert all(result.breakdown and result.breakdown.windows.window_s == 900.0 for result in report.results)
    assert report.model_of("moon int8 (moon)") == report.model
    assert cli.main(["report", str(kept), "--out", str(tmp_path / "page.html")]) == 0

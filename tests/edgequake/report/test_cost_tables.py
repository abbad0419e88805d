"""Costs as tables, chart and headline: each figure compared with the JSON that it came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgequake.edge.base.errors import DataError
from edgequake.report.charts.curves import latency_figure
from edgequake.report.pages.bench_page import bench_report, results_page
from edgequake.results.cost import EnergyReport, FootprintReport, LatencyReport
from edgequake.results.reader import read_results
from edgequake.results.tables.cost_tables import energy_tables, footprint_tables, run_tables, steps_table
from edgequake.results.tables.headline import headline_table
from edgequake.results.tables.table import Table

from .cost_files import (
    LABEL,
    LITERT,
    TFLITE,
    baseline_entry,
    identity,
    model_entry,
    read,
    read_all,
    write_energy,
    write_footprint,
    write_latency,
)
from .legibility import cut_off, overlaps, words


def cells(table: Table, row: int = 0) -> dict[str, str]:
    return dict(zip(table.columns, table.rows[row], strict=True))


@pytest.fixture
def val(root: Path) -> Path:
    return root / "docs" / "results" / "moon-val.json"


def test_steps_have_their_spread_for_each_number_of_threads(tmp_path: Path) -> None:
    results = read(LatencyReport, write_latency(tmp_path / "l.json", [model_entry()]))
    table = steps_table(results)
    assert table is not None and len(table.rows) == 2
    one, two = cells(table, 0), cells(table, 1)
    assert (one["model"], one["runtime"], one["threads"]) == ("moon int8", TFLITE, "1")
    assert f"Toy 1 (toy64) with {TFLITE}, python 3.11.7, numpy 1.26.4." in table.notes[0]
    assert one["p99 [us]"] == "60.0 (54.0 to 66.0)" and two["p50 [us]"] == "40.0 (36.0 to 44.0)"
    assert one["us per second of signal"] == "2.4"  # mean of 24 us for 10 s
    assert two["threads"] == "2"
    assert steps_table([]) is None


def test_parts_processes_and_start_are_those_of_one_thread(tmp_path: Path) -> None:
    windows = model_entry(mode="windowed")
    path = write_latency(tmp_path / "l.json", [model_entry(), windows], [baseline_entry()])
    parts, processes, starts = run_tables(read(LatencyReport, path))
    assert len(parts.rows) == 2 and cells(parts, 1)["model"] == "moon int8, by windows"
    told = cells(parts)
    assert (told["read [us]"], told["front end [us]"], told["graph [us]"]) == ("2.00", "3.00", "4.00")
    assert told["detection in all [us]"] == "12.0 (10.8 to 13.2)"
    assert [row[0] for row in processes.rows] == ["moon int8", "moon int8, by windows", "STA/LTA, tuned on val, moon"]
    baseline = cells(processes, 2)
    assert baseline["runtime"] == "obspy 1.5.1" and baseline["wall [s]"] == "2.50 (2.25 to 2.75)"
    assert cells(starts)["first samples processed [ms]"] == "300 (270 to 330)"


def test_the_note_on_a_busy_machine_appears_once(tmp_path: Path) -> None:
    path = write_latency(tmp_path / "l.json", [model_entry()])
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"notes": ["the machine was busy"]}))
    table = steps_table(read(LatencyReport, path))
    assert table is not None and table.notes[1:] == ("the machine was busy",)


def test_a_result_may_hold_steps_alone(tmp_path: Path) -> None:
    path = write_latency(tmp_path / "l.json", [model_entry(day=None, process=None, cold_start=None)])
    results = read(LatencyReport, path)
    assert steps_table(results) is not None and run_tables(results) == []


def test_sizes_of_models_and_packages(tmp_path: Path) -> None:
    model, installed = footprint_tables(read(FootprintReport, write_footprint(tmp_path / "f.json")))
    told = cells(model)
    assert (told["graph"], told["state"], told["arena"]) == ("22.2 kB", "164 bytes", "1056 bytes")
    assert told["sha256"] == "ab" * 6
    assert told["most in a run"] == "51 MB (45.9 MB to 56.1 MB)" and told["loaded"] == "46 MB"
    assert "told by addresses" in model.notes[0]
    assert [row[:2] for row in installed.rows] == [(TFLITE, "82 MB"), ("none: obspy", "143 MB")]


def test_energy_is_called_an_estimate_in_title_and_note(tmp_path: Path) -> None:
    (table,) = energy_tables(read(EnergyReport, write_energy(tmp_path / "e.json")))
    assert table.title == "Estimate, not measured: Toy M4" and LABEL in table.notes[0]
    told = cells(table)
    assert (told["awake"], told["awake [J/day]"], told["mean power [mW]"]) == ("1.23 %", "1.50", "0.022")
    assert told["awake, as Python [J/day]"] == "–"


def test_page_and_markdown_hold_all_tables(tmp_path: Path) -> None:
    paths = [
        write_latency(tmp_path / "latency.json", [model_entry()], [baseline_entry()]),
        write_footprint(tmp_path / "footprint.json"),
        write_energy(tmp_path / "energy.json"),
    ]
    page, markdown = bench_report(paths), results_page(paths)
    for words_ in ("Where the time of a run goes", "Cold start", "What is installed", "Estimate, not measured: Toy M4"):
        assert words_ in page and f"### {words_}" in markdown
    assert "<title>edgequake: latency, footprint, energy</title>" in page
    sources = markdown.partition("## Where the figures come from")[2]
    assert [sources.count(path.name) for path in paths] == [1, 1, 1]  # each file once, however many rows it has


def test_marks_of_the_chart_are_those_of_the_file(tmp_path: Path) -> None:
    reports = read(LatencyReport, write_latency(tmp_path / "l.json", [model_entry(threads=(1,))]))
    marks = [line.get_xdata()[0] for line in latency_figure(reports).axes[0].get_lines() if len(line.get_xdata()) == 1]
    assert marks == pytest.approx([20.0, 40.0, 60.0])


@pytest.mark.parametrize("n_entries", [1, 2, 8])
def test_texts_of_the_chart_do_not_overlap(n_entries: int, tmp_path: Path) -> None:
    entries = [
        model_entry(5.0 * 3**i, (TFLITE, LITERT)[i % 2], model=identity(variant=("int8", "float32")[i // 2 % 2]))
        for i in range(n_entries)
    ]
    drawn = latency_figure(read(LatencyReport, write_latency(tmp_path / "l.json", entries)))
    texts = words(drawn)
    assert overlaps(texts) == [] and cut_off(drawn, texts) == []
    assert "[us]" in " ".join(text for text, _ in texts)


def test_headline_joins_models_by_their_graph_and_baselines_by_name_and_body(val: Path, tmp_path: Path) -> None:
    sha256 = json.loads(val.read_text())["model"]["sha256"]
    for flown, us, peak in ((sha256, "12.0", "51 MB"), ("0" * 64, "–", "–")):
        entries = [model_entry(runtime=runtime, model=identity(flown)) for runtime in (TFLITE, LITERT)]
        costs = write_latency(tmp_path / "l.json", entries, [baseline_entry(), baseline_entry(body="mars")])
        table = headline_table(read_all(val, costs, write_footprint(tmp_path / "f.json", flown)))
        assert table is not None
        first, second, obspy = (name for name in table.columns if name.startswith("detection, us per second of signal"))
        assert TFLITE in first and LITERT in second and "obspy 1.5.1" in obspy and "1 thread" in first
        rows = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
        model, clock = rows["**moon int8**"], rows["clock"]
        memory = next(name for name in table.columns if name.startswith("peak memory"))
        installed = next(name for name in table.columns if name.startswith("installed"))
        assert (model[first], model[second], model[obspy], model[memory]) == (us, us, "–", peak)
        assert model[installed] == "82 MB"
        baseline = rows["STA/LTA, tuned on val"]
        assert (baseline[first], baseline[obspy], baseline[memory]) == ("–", "7.00", "50 MB")
        assert baseline[installed] == "143 MB" and baseline["graph"] == "–"
        assert {clock[name] for name in (first, second, obspy, memory, "graph", installed)} == {"–"}


def test_headline_is_of_the_records_held_out_for_the_test_where_there_are_such(val: Path) -> None:
    both = headline_table(read_all(val, val.with_name("moon-test.json")))
    alone = headline_table(read_all(val))
    assert both is not None and alone is not None
    assert both.rows[0][0].startswith("**Moon test**") and alone.rows[0][0].startswith("**Moon val**")
    assert not any("val**" in row[0] for row in both.rows)


def test_headline_needs_accuracy(tmp_path: Path) -> None:
    assert headline_table(read_all(write_footprint(tmp_path / "f.json"))) is None


@pytest.mark.parametrize(
    ("field", "words_"), [("models", "field 'models' is missing"), ("provenance", "field 'provenance' is missing")]
)
def test_costs_that_lack_a_field_are_refused(field: str, words_: str, tmp_path: Path) -> None:
    path = write_latency(tmp_path / "l.json", [model_entry()])
    values: dict[str, Any] = json.loads(path.read_text())
    del values[field]
    path.write_text(json.dumps(values))
    with pytest.raises(DataError, match=f"no whole result of `bench latency`: {words_}"):
        read_results([path])

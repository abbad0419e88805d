"""`edgequake report`: its pages, and the input that it refuses."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgequake import cli
from edgequake.edge.formats.waveforms import format_time
from edgequake.edge.manifest.manifest import load_manifest, shipped_models
from edgequake.edge.results.catalog import read_catalog
from edgequake.report.pages.bench_page import BEGIN, STOP

from ..refusals import refused


def without_pictures(page: str) -> str:
    return re.sub(r"data:image/[^\"]+", "", page)


@pytest.mark.slow
def test_report_of_a_run_holds_its_figures(own_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", str(own_run)]) == 0
    said = capsys.readouterr()
    assert str(own_run / "report.html") in said.out and said.err == ""
    whole = (own_run / "report.html").read_text(encoding="utf-8")
    assert len(whole) < 5_000_000
    page = without_pictures(whole)
    summary = json.loads((own_run / "summary.json").read_text())
    assert summary["graph_sha256"] in page
    assert f"{summary['bytes_in'] - summary['bytes_kept']:,}".replace(",", " ") + " bytes" in page
    assert f"{100 * summary['kept_fraction']:.1f} % of the time" in page
    assert "record.mseed" in page and summary["runtime"] in page
    for row in read_catalog(own_run / "catalog.csv"):
        assert row.evid in page and row.segment in page
    assert "computed again from the records that were run; they lead to 2 of the 2 events" in page
    manifest, _ = load_manifest("moon")
    assert manifest.training["data_sha256"] in page
    thresholds = ", ".join(f"{name} {value:g}" for name, value in manifest.trigger.onset_thresholds.items())
    for words in ("7 858", "6.625 Hz", "probability rms error", thresholds, "gaps interpolated"):
        assert words in page, words
    assert "://" not in page and "<script" not in page


def test_report_without_the_records_has_a_note(own_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = own_run / "summary.json"
    summary.write_text(summary.read_text().replace("record.mseed", "gone.mseed"))
    assert cli.main(["report", str(own_run), "--out", str(own_run / "x" / "page.html")]) == 0
    assert "gone.mseed) are not available" in capsys.readouterr().err
    page = without_pictures((own_run / "x" / "page.html").read_text(encoding="utf-8"))
    assert "from each kept segment alone" in page and "only the kept segments are drawn" in page
    assert page.count("<img") == 3


@pytest.mark.slow
def test_report_without_the_model_has_a_note_and_draws_the_rest(
    own_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil_summary(own_run, model="lost")
    assert cli.main(["report", str(own_run)]) == 0
    assert "No probabilities and no model card: no model 'lost'" in capsys.readouterr().err
    page = without_pictures((own_run / "report.html").read_text(encoding="utf-8"))
    assert "manifest is not available" in page and page.count("<img") == 3
    assert cli.main(["report", str(own_run), "--model", str(shipped_models()["moon"])]) == 0
    assert "7 858" in (own_run / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_report_of_a_run_whose_segments_were_sent(own_run: Path) -> None:
    shutil.rmtree(own_run / "segments")
    assert cli.main(["report", str(own_run)]) == 0
    page = without_pictures((own_run / "report.html").read_text(encoding="utf-8"))
    assert page.count("no longer in the run&#39;s folder: drawn from the records") == 2
    assert page.count("<img") == 3
    summary = own_run / "summary.json"
    summary.write_text(summary.read_text().replace("record.mseed", "gone.mseed"))
    assert cli.main(["report", str(own_run)]) == 0
    page = without_pictures((own_run / "report.html").read_text(encoding="utf-8"))
    assert page.count("Its samples are neither in") == 2 and "<img" in page  # the day has its shades and marks


@pytest.mark.slow
def test_a_long_table_goes_over_several_pages(own_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgequake.report.pages.run_page.ROWS_A_PAGE", 1)
    out = own_run / "x.html"
    assert cli.main(["report", str(own_run), "--limit", "1", "--out", str(out)]) == 0
    first, second = (without_pictures(path.read_text(encoding="utf-8")) for path in (out, own_run / "x-2.html"))
    assert not (own_run / "x-3.html").exists()
    best = max(read_catalog(own_run / "catalog.csv"), key=lambda row: row.priority)
    assert first.count('<article id="event-') == 1 and best.evid in first
    assert "The 1 events of highest priority are drawn, of 2." in first
    assert first.count("<tr id=") == second.count("<tr id=") == 1 and first.count('class="line"') == 1
    targets = {"x.html": first, "x-2.html": second}
    for name, page in targets.items():  # each link leads somewhere
        for file, place in re.findall(r'href="([^"#:]*)#([^"]+)"', page):
            assert f'id="{place}"' in targets[file or name], (file, place)


def test_earlier_events_can_be_left_out(own_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = read_catalog(own_run / "catalog.csv")
    since = format_time(second.onset_ns - 10**9)
    assert cli.main(["report", str(own_run), "--since", since, "--limit", "0"]) == 0
    page = without_pictures((own_run / "report.html").read_text(encoding="utf-8"))
    assert page.count("<tr id=") == 1 and "<article" not in page and "1 event at XX LUN" in page
    assert second.evid not in page and first.evid not in page and format_time(second.onset_ns)[:10] in page
    assert "Left out: 1 event(s) before " in page and "Left out: 1 event(s)" in capsys.readouterr().err
    # The run is of another year: an hour counts from its last event, which began longer after the first.
    assert cli.main(["report", str(own_run), "--since", "1h", "--limit", "0"]) == 0
    assert without_pictures((own_run / "report.html").read_text(encoding="utf-8")).count("<tr id=") == 1
    capsys.readouterr()
    assert "--since yesterday: expected a time in UTC" in refused(
        ["report", str(own_run), "--since", "yesterday"], capsys
    )


def test_a_run_that_goes_on_is_reported_and_plotted(own_run: Path) -> None:
    """Its folder has a status in place of a summary; here it has no archive, so its segments are drawn."""
    summary = json.loads((own_run / "summary.json").read_text())
    status = {name: summary[name] for name in ("edgequake_version", "model", "graph_sha256", "onset_threshold")}
    status |= {"state": "running", "written_at": "2024-01-01T00:00:00Z", "heard_at": None, "stall_after_s": None,
               "checkpoint_every_s": 60.0, "last_sample": {"FDSN:XX_LUN_00_M_H_Z": "2024-01-01T00:00:00Z"},
               "samples_in": 4711, "events": 2, "rises_let_go": 0, "peak_memory_bytes": 5, "downlink": None,
               "warnings": ["a warning"]}  # fmt: skip
    (own_run / "status.json").write_text(json.dumps(status))
    (own_run / "summary.json").unlink()
    assert cli.main(["report", str(own_run), "--limit", "1"]) == 0
    page = without_pictures((own_run / "report.html").read_text(encoding="utf-8"))
    assert "2; the run goes on" in page and "4 711 samples so far" in page and "a warning" in page
    assert page.count('<article id="event-') == 1 and 'href="#faults"' not in page
    assert cli.main(["plot", str(own_run)]) == 0
    assert (own_run / "picture.png").stat().st_size > 10_000


def test_report_of_a_run_without_events(own_run: Path) -> None:
    catalog = own_run / "catalog.csv"
    catalog.write_text(catalog.read_text().splitlines()[0] + "\n")
    spoil_summary(own_run, segments=[], bytes_kept=0, samples_kept=0, kept_s=0.0, kept_fraction=0.0)
    assert cli.main(["report", str(own_run)]) == 0
    page = without_pictures((own_run / "report.html").read_text(encoding="utf-8"))
    assert "No event was detected." in page and page.count("<img") == 1


@pytest.mark.slow
def test_names_in_a_run_are_escaped(own_run: Path, finished_run: Path) -> None:
    name = own_run / "<b onload=alert(1)>&.mseed"
    shutil.copy(finished_run.parent / "record.mseed", name)
    spoil_summary(own_run, inputs=[str(name)], warnings=["<script>alert(2)</script>"])
    assert cli.main(["report", str(own_run)]) == 0
    page = (own_run / "report.html").read_text(encoding="utf-8")
    assert "<b onload" not in page and "<script" not in page
    assert "&lt;b onload=alert(1)&gt;&amp;.mseed" in page


def test_report_of_results_beside_the_file(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(root / "docs" / "results" / "moon-val.json", tmp_path / "val.json")
    assert cli.main(["report", str(tmp_path / "val.json")]) == 0
    assert str(tmp_path / "val.html") in capsys.readouterr().out
    page = (tmp_path / "val.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/svg+xml;base64,') == 1 and "STA/LTA, tuned on val" in page


def test_markdown_to_the_terminal_to_a_file_and_into_a_readme(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(path) for path in sorted((root / "docs" / "results").glob("*.json"))]
    assert cli.main(["report", "--markdown", *files]) == 0
    printed = capsys.readouterr().out
    readme = tmp_path / "README.md"
    readme.write_text(f"# x\n{BEGIN}\n{STOP}\ny\n")
    out = tmp_path / "results.md"
    assert cli.main(["report", "--markdown", *files, "--out", str(out), "--readme", str(readme)]) == 0
    assert out.read_text(encoding="utf-8") == printed
    filled = readme.read_text(encoding="utf-8")
    assert filled.startswith(f"# x\n{BEGIN}\n|  | recall |") and filled.endswith(f"\n{STOP}\ny\n")


def spoil_summary(run_dir: Path, **fields: object) -> None:
    path = run_dir / "summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def no_summary(run_dir: Path) -> None:
    (run_dir / "summary.json").unlink()


def no_json(run_dir: Path) -> None:
    (run_dir / "summary.json").write_text("{")


def a_list(run_dir: Path) -> None:
    (run_dir / "summary.json").write_text("[]")


def field_missing(run_dir: Path) -> None:
    values = json.loads((run_dir / "summary.json").read_text())
    del values["bytes_kept"]
    (run_dir / "summary.json").write_text(json.dumps(values))


def field_of_another_type(run_dir: Path) -> None:
    spoil_summary(run_dir, bytes_kept="many")


def no_catalog(run_dir: Path) -> None:
    (run_dir / "catalog.csv").unlink()


def other_segments(run_dir: Path) -> None:
    (run_dir / "catalog.check").unlink()
    spoil_summary(run_dir, segments=[])


def damaged_segment(run_dir: Path) -> None:
    next((run_dir / "segments").iterdir()).write_bytes(b"no record at all" * 100)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (no_summary, "no run has finished in that folder"),
        (no_json, "cannot be read as a run's summary"),
        (a_list, "is no run's summary"),
        (field_missing, "field 'bytes_kept' is missing"),
        (field_of_another_type, "bytes_kept: expected int"),
        (no_catalog, "catalog.csv cannot be read"),
        (other_segments, "the two are of different runs"),
        (damaged_segment, "is not miniSEED"),
    ],
)
def test_runs_that_are_refused(
    spoil: Callable[[Path], None], words: str, own_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(own_run)
    assert words in refused(["report", str(own_run)], capsys)
    assert not (own_run / "report.html").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--input", "nowhere.mseed"], "nowhere.mseed is no file or folder"),
        (["--model", "venus"], "no model 'venus'"),
        (["--markdown"], "a run is reported alone and as HTML"),
    ],
)
def test_options_that_are_refused(
    options: list[str], words: str, own_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in refused(["report", str(own_run), *options], capsys)


def test_a_model_of_another_graph_is_refused(own_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil_summary(own_run, graph_sha256="0" * 64)
    assert "is not the one that was run" in refused(["report", str(own_run), "--model", "moon"], capsys)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read as results"),
        ("{", "cannot be read as results"),
        ("[]", "is no result of `edgequake bench`"),
        ('{"benchmark": "latency"}', "field 'provenance' is missing"),
        ('{"benchmark": "accuracy", "curves": 3}', "is no whole result of `bench accuracy`"),
    ],
)
def test_results_that_are_refused(
    content: str | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "results.json"
    if content is not None:
        path.write_text(content)
    assert words in refused(["report", str(path)], capsys)
    assert not (tmp_path / "results.html").exists()


def test_files_and_options_that_cannot_be_combined(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(path) for path in sorted((root / "docs" / "results").glob("*.json"))]
    assert "name the page with --out" in refused(["report", *files], capsys)
    assert "need the folder of a run" in refused(["report", files[0], "--model", "moon"], capsys)
    (tmp_path / "README.md").write_text("no marks")
    assert "expected one line" in refused(["report", *files, "--readme", str(tmp_path / "README.md")], capsys)
    latency = str(root / "docs" / "results" / "latency.json")
    assert "needs a result of `bench accuracy`" in refused(
        ["report", latency, "--readme", str(tmp_path / "x.md")], capsys
    )
    assert cli.main(["report"]) == 2

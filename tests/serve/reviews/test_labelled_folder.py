"""Reviews as a labelled data folder: what becomes a record, an arrival or a false alarm, and of which samples."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import obspy
import pytest

from edgequake import cli
from edgequake.benchmarks.detectors.model_detector import ModelDetector
from edgequake.benchmarks.scoring.scoring import score_record
from edgequake.data.dataset import load
from edgequake.data.tables import UNREVIEWED
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.results.catalog import CatalogRow
from edgequake.serve.reviews.labelled_folder import export_reviews, reviewed_spans, table_of_reviews
from edgequake.serve.reviews.review_log import ACCEPT, CLASS, NOTE, REJECT
from edgequake.serve.reviews.review_store import ReviewStore

H = 3600


def spans(*events: tuple[float, float, bool], body: str = "earth") -> list[tuple[float, float]]:
    """Return reviewed spans in seconds."""
    found = reviewed_spans([(round(a * NS_PER_S), round(b * NS_PER_S), judged) for a, b, judged in events], body)
    return [(start / NS_PER_S, stop / NS_PER_S) for start, stop in found]


def test_hours_with_reviewed_events_and_the_empty_ones_between_are_spans() -> None:
    # 1:10 reviewed, 2 h empty, 3 h with an event that nobody has looked at, 5:20 one of each.
    events = ((1.1 * H, 1.1 * H + 9, True), (3.5 * H, 3.5 * H + 9, False), (5.3 * H, 5.3 * H + 9, False))
    assert spans(*events, (5.5 * H, 5.5 * H + 9, True)) == [
        (1 * H, 2 * H),
        (2 * H, 3 * H),
        (4 * H, 5 * H),
        (5 * H, 6 * H),
    ]
    assert spans(*events) == [(1 * H, 2 * H)]
    assert spans((1.0 * H, 1.1 * H, False)) == []


def test_spans_are_cut_between_events() -> None:
    # From 1:59:50 to 2:00:20, and another before its coda of 60 s is over: cut a minute after that ends.
    events = ((2 * H - 10, 2 * H + 20, True), (2 * H + 70, 2 * H + 90, True))
    assert spans(*events) == [(1 * H, 2 * H + 150)]
    assert spans(*events, (3.5 * H, 3.5 * H + 1, True))[1][0] == 2 * H + 150


def test_accepted_events_are_arrivals_rejected_ones_are_not_and_open_ones_are_neither(
    reviewed: ReviewStore, rows: list[CatalogRow], tmp_path: Path
) -> None:
    reviewed.review(CLASS, [rows[0].evid], "ann", "deep")
    reviewed.move_onset(rows[3].evid, rows[3].onset_ns + 5 * NS_PER_S, "ann")
    reviewed.review(NOTE, [rows[1].evid], "bob", "=a step, not a quake")
    written = export_reviews(reviewed, tmp_path / "labelled")

    assert (written.body, written.n_accepted, written.n_rejected) == ("moon", 2, 1)
    assert (written.n_unreviewed, written.n_left_out) == (1, 0)
    records = load(tmp_path / "labelled", "moon", "val")
    assert len(records) == written.n_records == 2
    arrivals = [arrival for record in records for arrival in record.arrivals]
    assert [(one.event, one.event_type, one.primary) for one in arrivals] == [
        (rows[0].evid, "deep", True), (rows[2].evid, UNREVIEWED, False), (rows[3].evid, "quake", True),
    ]  # fmt: skip
    assert [one.time_ns - row.onset_ns for one, row in zip(arrivals, (rows[0], rows[2], rows[3]), strict=True)] == [
        0, 0, 5 * NS_PER_S,
    ]  # fmt: skip
    assert all(one.precision_s >= 60.0 for one in arrivals)
    assert arrivals[0].label_source.startswith("reviewed by ann 20")
    with (tmp_path / "labelled" / "reviews.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["verdict"] for row in table] == [ACCEPT, REJECT, "", ACCEPT]
    assert table[1]["note"] == "'=a step, not a quake"  # no formula for a spreadsheet
    verdicts = [verdict for events in table_of_reviews(tmp_path / "labelled").values() for _, verdict in events]
    assert verdicts == [ACCEPT, REJECT, "", ACCEPT]


def test_records_hold_the_archives_samples(reviewed: ReviewStore, tmp_path: Path) -> None:
    export_reviews(reviewed, tmp_path / "labelled")
    archived = obspy.Stream([t for path in (reviewed.run / "archive").rglob("*.D.*") for t in obspy.read(str(path))])
    for record in load(tmp_path / "labelled"):
        for trace in obspy.read(str(record.file)):
            same = archived.select(id=trace.id).slice(trace.stats.starttime, trace.stats.endtime)
            found = [one for one in same if one.stats.starttime == trace.stats.starttime]
            assert len(found) == 1 and np.array_equal(found[0].data, trace.data)


def test_scoring_counts_rejected_events_as_false_and_open_ones_not(reviewed: ReviewStore, tmp_path: Path) -> None:
    export_reviews(reviewed, tmp_path / "labelled")
    scores = [score_record(r, r.start_ns, ModelDetector("moon")(r, r.start_ns)) for r in load(tmp_path / "labelled")]

    assert sum(row.recalled for score in scores for row in score.primary) == 2
    assert sum(len(score.false_ns) for score in scores) == 1


def test_without_an_archive_the_records_are_the_segments_of_reviewed_events(
    reviewed: ReviewStore, rows: list[CatalogRow], tmp_path: Path
) -> None:
    shutil.rmtree(reviewed.run / "archive")
    written = export_reviews(reviewed, tmp_path / "labelled")

    assert (written.n_records, written.n_unreviewed, written.n_left_out) == (3, 0, 0)
    names = {record.file.name for record in load(tmp_path / "labelled")}
    assert names == {Path(rows[i].segment).name for i in (0, 1, 3)}
    (reviewed.run / rows[1].segment).unlink()  # sent, and deleted
    again = export_reviews(reviewed, tmp_path / "labelled")
    assert (again.n_records, again.n_left_out) == (2, 1)
    assert len(list((tmp_path / "labelled" / "records").iterdir())) == 2


def test_a_catalogue_cannot_name_files_elsewhere(reviewed: ReviewStore, rows: list[CatalogRow], tmp_path: Path) -> None:
    shutil.rmtree(reviewed.run / "archive")
    (tmp_path / "secret.mseed").write_bytes((reviewed.run / rows[0].segment).read_bytes())
    catalog = reviewed.run / "catalog.csv"
    catalog.write_text(catalog.read_text().replace(rows[0].segment, "segments/../../secret.mseed"))

    written = export_reviews(reviewed, tmp_path / "labelled", "moon")
    assert written.n_left_out == 1 and "secret.mseed" not in {path.name for path in tmp_path.rglob("records/*")}


def test_what_cannot_be_exported_is_refused(reviewed: ReviewStore, run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected one of moon"):
        export_reviews(reviewed, tmp_path / "labelled", "venus")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(ConfigError, match="no folder of exported reviews"):
        export_reviews(reviewed, tmp_path / "mine")
    reviewed.undo("bob")
    reviewed.undo("ann")
    with pytest.raises(DataError, match="accept or reject some first"):
        export_reviews(reviewed, tmp_path / "labelled")


def test_the_command_writes_the_folder_and_bench_accuracy_reads_it(
    reviewed: ReviewStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "labelled"
    assert cli.main(["export", str(reviewed.run), "--labels", "--out", str(folder)]) == 0
    assert "2 accepted and 1 rejected" in capsys.readouterr().out
    command = ["bench", "accuracy", "--data", str(folder), "--seeds", "0", "--no-baselines", "--json"]
    assert cli.main(command) == 0
    (score,) = json.loads(capsys.readouterr().out)["results"][0]["summary"]["scores"]
    assert (score["n_recalled"], score["n_false"]) == (2, 1)


def test_tune_reads_reviews_and_says_how_far_to_trust_the_choice(
    reviewed: ReviewStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tuned"
    command = ["tune", "--reviewed", str(reviewed.folder), "--out", str(out), "--false-per-day", "20", "--seeds", "0"]
    assert cli.main(command) == 0
    assert "90 % intervals by the bootstrap over records" in capsys.readouterr().out
    tuned = json.loads((out / "tuning.json").read_text())
    assert set(tuned["intervals"]) == {"low", "normal", "high"}
    low, high = tuned["intervals"]["normal"]["threshold"]
    assert low <= tuned["chosen"]["normal"]["threshold"] <= high
    assert json.loads((out / "moon.json").read_text())["training"]["tuning"]["by"] == "rate of false alarms"


def test_commands_without_data_or_reviews_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("EDGEQUAKE_DATA", raising=False)
    for command in (["tune", "--out", "x"], ["train", "tiny", "--out", "x"]):
        assert cli.main(command) == 2
        assert "name a folder of records" in capsys.readouterr().err
    assert cli.main(["export", str(tmp_path), "--labels", "--out", "x"]) == 1
    assert "is no folder of reviews" in capsys.readouterr().err
    assert cli.main(["train", "earth", "--reviewed", str(tmp_path), "--out", "x", "--fold", "0/2"]) == 2

"""Events that a run has missed: added, taken back, and missed by whatever is measured with them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edgequake.benchmarks.scoring.scoring import Detections, score_record
from edgequake.data.dataset import load
from edgequake.data.tables import UNREVIEWED
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.results.catalog import CatalogRow
from edgequake.serve.reviews.added_event import AddedEvent
from edgequake.serve.reviews.labelled_folder import export_reviews
from edgequake.serve.reviews.review_log import CLASS, REJECT
from edgequake.serve.reviews.review_store import ReviewStore

QUIET_S = 20_000  # between the first two quakes of the day, after the onset of the first


def missed(row: CatalogRow, after_s: float = QUIET_S) -> AddedEvent:
    onset_ns = row.onset_ns + round(after_s * NS_PER_S)
    return AddedEvent(row.station_id, onset_ns, onset_ns + 600 * NS_PER_S, "deep_mq", "clear on MHZ")


def test_an_added_event_is_accepted_until_it_is_taken_back(run_folder: Path, rows: list[CatalogRow]) -> None:
    store, event = ReviewStore.beside(run_folder), missed(rows[0])
    store.add(event, "ann")
    store.review(CLASS, [event.evid], "bob", "shallow_mq")
    (other,) = ReviewStore.beside(run_folder).added()  # another process
    assert (other.added, other.verdict, other.mq_type, other.judge) == (event, "accept", "shallow_mq", "bob")
    assert other.note == "clear on MHZ" and store.counts() == {"accept": 1, "reject": 0}
    store.undo("bob")
    assert [(one.mq_type, one.judge) for one in store.added()] == [("deep_mq", "ann")]
    store.undo("ann")
    assert store.added() == [] and store.of(event.evid).verdict is None


def test_what_is_no_event_is_not_added(run_folder: Path, rows: list[CatalogRow]) -> None:
    event, store = missed(rows[0]), ReviewStore.beside(run_folder)
    for change in (
        {"station_id": ""},
        {"stop_ns": event.onset_ns - 1},
        {"stop_ns": event.onset_ns + 90_000 * NS_PER_S},
    ):
        with pytest.raises(ConfigError):
            replace(event, **change)  # type: ignore[arg-type]
    store.add(event, "ann")
    log = store.folder / "reviews.jsonl"
    line = json.loads(log.read_text())
    for value in ("", "[]", event.text()[:-2], line["value"].replace("XX_", "YY_")):
        with log.open("a") as file:
            file.write(json.dumps({**line, "value": value, "key": "0" * 16}) + "\n")
    damaged = ReviewStore.beside(run_folder)
    assert damaged.n_damaged == 4 and len(damaged.added()) == 1


def test_it_is_an_arrival_that_the_run_misses(reviewed: ReviewStore, rows: list[CatalogRow], tmp_path: Path) -> None:
    """Beside an event of the run it is that one; rejected by somebody else it is none."""
    reviewed.add(missed(rows[0]), "ann")
    reviewed.add(missed(rows[0], 30.0), "ann")  # at an accepted one
    reviewed.add(missed(rows[2], -100.0), "ann")  # at one that nobody has reviewed
    reviewed.add(missed(rows[0], 2 * QUIET_S + 3600), "ann")
    reviewed.review(REJECT, [missed(rows[0], 2 * QUIET_S + 3600).evid], "bob")
    written = export_reviews(reviewed, tmp_path / "labelled")
    assert (written.n_accepted, written.n_added, written.n_rejected, written.n_unreviewed) == (4, 1, 1, 0)
    assert "4 accepted (1 of them added: missed by the run) and 1 rejected" in written.text()
    records = load(tmp_path / "labelled")
    arrivals = [arrival for record in records for arrival in record.arrivals]
    expected = [rows[0].onset_ns, missed(rows[0]).onset_ns, rows[2].onset_ns - 100 * NS_PER_S, rows[3].onset_ns]
    assert sorted(one.time_ns for one in arrivals) == expected
    assert all(one.primary and one.event_type != UNREVIEWED for one in arrivals)
    scores = []
    for record in records:
        inside = tuple(row.onset_ns for row in rows if record.start_ns <= row.onset_ns < record.stop_ns)
        scores.append(score_record(record, record.start_ns, Detections(inside, ())))
    assert sum(row.recalled for score in scores for row in score.primary) == 3
    assert sum(len(score.primary) for score in scores) == 4


def test_without_an_archive_its_samples_come_from_the_monitor(
    run_folder: Path, rows: list[CatalogRow], tmp_path: Path
) -> None:
    """Whose files are the archive's here, named as the monitor names them."""
    event = missed(rows[0])
    for path in (run_folder / "archive").rglob("*.D.*"):
        folder = run_folder / "monitor" / "samples" / path.name.partition(".D.")[0]
        folder.mkdir(parents=True)
        hour = str(event.row().evid).rpartition("_")[2][:11]
        shutil.copyfile(path, folder / f"{hour}.mseed")
    shutil.rmtree(run_folder / "archive")
    store = ReviewStore.beside(run_folder)
    store.add(event, "ann")
    written = export_reviews(store, tmp_path / "labelled")
    assert (written.body, written.n_records, written.n_added, written.n_left_out) == ("moon", 1, 1, 0)
    (record,) = load(tmp_path / "labelled")
    assert record.start_ns < event.onset_ns < record.stop_ns

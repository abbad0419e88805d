"""Folders with records.csv and catalog.csv."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from edgequake.data.dataset import data_hash, load, read_dataset
from edgequake.edge.base.errors import DataError

RECORDS = """split,body,group,file,station,channel,sampling_rate_hz,start,duration_s,n_samples,units,source,note
val,moon,G1,moon/b.mseed,S12,MH2,6.625,1971-04-13T02:00:00.500000Z,3600.0,23851,counts,here,"noise, no quake"
val,moon,G1,moon/b.mseed,S12,MH1,6.625,1971-04-13T02:00:00.000000Z,3600.2,23852,counts,here,"noise, no quake"
train,mars,G2,a.mseed,ELYSE,BHV,20.0,2019-05-23T02:00:00.032000Z,59.95,1200,counts,here,
"""
CATALOG = """split,body,group,file,event,event_type,time_abs,time_rel_s,precision_s,primary,label_source
val,moon,G1,moon/b.mseed,E2,"deep, A1",1971-04-13T02:50:00.250000Z,3000.25,60,1,levent
val,moon,G0,moon/b.mseed,E1,unclassified,1971-04-13T02:10:00.000000Z,600.0,60,0,levent
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "moon").mkdir()
    (tmp_path / "moon" / "b.mseed").write_bytes(b"bee")
    (tmp_path / "a.mseed").write_bytes(b"ay")
    (tmp_path / "records.csv").write_text(RECORDS)
    (tmp_path / "catalog.csv").write_text(CATALOG)
    return tmp_path


def test_a_file_becomes_one_record_with_all_its_channels(folder: Path) -> None:
    moon, mars = read_dataset(folder)
    assert (moon.file, moon.body, moon.split, moon.group) == (folder / "moon/b.mseed", "moon", "val", "G1")
    assert (moon.station_id, moon.channels, moon.sampling_rate_hz) == ("S12", ("MH2", "MH1"), 6.625)
    assert moon.note == "noise, no quake"
    # 1971-04-13T02:00:00Z is 40 356 000 s after 1970 began (date -u +%s)
    assert moon.start_ns == 40_356_000 * 10**9
    # the later stop of the two: 0.5 s + 3600.0 s + 1/6.625 s
    assert moon.stop_ns == moon.start_ns + 3_600_650_943_396
    assert (mars.channels, mars.arrivals) == (("BHV",), ())


def test_arrivals_are_in_time_order_with_their_own_group(folder: Path) -> None:
    moon = read_dataset(folder, body="moon")[0]
    assert [(arrival.event, arrival.primary, arrival.group) for arrival in moon.arrivals] == [
        ("E1", False, "G0"),
        ("E2", True, "G1"),
    ]
    assert moon.arrivals[1].time_ns == moon.start_ns + 3_000_250_000_000
    assert (moon.arrivals[1].precision_s, moon.arrivals[1].event_type) == (60.0, "deep, A1")


def test_a_label_by_the_cut_of_its_record_is_taken_for_uncertain(folder: Path) -> None:
    table = CATALOG.replace("60,1,levent", '60,1,"cut convention: a pick 1801-1841 s after the start"')
    (folder / "catalog.csv").write_text(table.replace("60,0,levent", "900,0,cut convention"))
    arrivals = read_dataset(folder, body="moon")[0].arrivals
    assert [arrival.precision_s for arrival in arrivals] == [900.0, 300.0]


def test_records_are_selected_by_body_and_split(folder: Path) -> None:
    assert [record.body for record in load(folder, split="train")] == ["mars"]
    with pytest.raises(DataError, match="no record of body 'earth' and split 'any'; bodies are moon, mars, earth"):
        load(folder, body="earth")


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        ("records.csv", "sampling_rate_hz", "rate", "has no column 'sampling_rate_hz': it has split, body"),
        ("records.csv", "20.0", "fast", "records.csv, a.mseed: expected a number, got 'fast'"),
        ("records.csv", "20.0", "0", "expected one positive sampling_rate_hz for all channels"),
        ("records.csv", "MH1,6.625", "MH1,53.0", r"expected one positive sampling_rate_hz .* got \[6.625, 53.0\]"),
        ("records.csv", "2019-05-23T", "23 May 2019 ", "records.csv, a.mseed: time '23 May 2019 .*expected ISO 8601"),
        ("records.csv", "a.mseed", "gone.mseed", "gone.mseed: file .* does not exist"),
        ("records.csv", "59.95,1200,counts,here,", "59.95", "row 4: expected 13 fields, got fewer"),
        ("catalog.csv", "60,0,", "60,maybe,", "row 3: expected primary to be 0 or 1, got 'maybe'"),
        ("catalog.csv", "02:50:00.250000Z", "2:50 pm", "row 2: time .* expected ISO 8601"),
    ],
)
def test_an_error_names_table_and_row(folder: Path, table: str, old: str, new: str, message: str) -> None:
    text = (folder / table).read_text()
    assert old in text
    (folder / table).write_text(text.replace(old, new))
    with pytest.raises(DataError, match=message):
        read_dataset(folder)


def test_an_error_names_a_missing_table(folder: Path) -> None:
    (folder / "catalog.csv").unlink()
    with pytest.raises(DataError, match=r"catalog\.csv cannot be read"):
        read_dataset(folder)


def test_the_hash_depends_on_names_and_contents_and_not_on_order(folder: Path) -> None:
    records = read_dataset(folder)
    expected = hashlib.sha256()
    for name, content in (("a.mseed", b"ay"), ("b.mseed", b"bee")):
        expected.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    assert data_hash(records) == data_hash(records[::-1]) == expected.hexdigest()
    records[0].file.write_bytes(b"bzz")
    assert data_hash(records) != expected.hexdigest()


@pytest.mark.records
def test_the_recorded_data_have_the_documented_numbers_of_arrivals(records_dir: Path) -> None:
    counts = {}
    for split in ("val", "test"):
        for body in ("moon", "mars"):
            arrivals = [
                row for record in read_dataset(records_dir, body, split) for row in record.arrivals if row.primary
            ]
            counts[body, split] = (len(arrivals), len({arrival.group for arrival in arrivals}))
    assert counts["moon", "val"] == (16, 7)
    assert counts["moon", "test"] == (9, 7)
    assert counts["mars", "val"] == (6, 4)
    assert counts["mars", "test"] == (5, 3)


@pytest.mark.records
def test_spans_of_recorded_data_are_those_that_obspy_reads(records_dir: Path) -> None:
    obspy = pytest.importorskip("obspy")
    for record in read_dataset(records_dir, "moon", "val"):
        stream = obspy.read(str(record.file), headonly=True)
        used = [trace.stats for trace in stream if trace.stats.channel in record.channels]
        assert {stats.channel for stats in used} == set(record.channels)
        assert abs(min(stats.starttime.ns for stats in used) - record.start_ns) < 10**7
        last_ns = max(stats.endtime.ns for stats in used)
        assert abs(last_ns + 10**9 / record.sampling_rate_hz - record.stop_ns) < 2e7

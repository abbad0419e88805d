"""`edgequake fetch` against a local FDSN service: samples, layout, and how it continues."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import obspy
import pytest

from edgequake import cli
from edgequake.data import dataset
from edgequake.edge.formats.waveforms import parse_time

from .fdsn_service import FdsnService

DAYS = ("1971-04-17", "1971-04-18", "1971-04-19")
NAMES = [f"xa.s12.00.mh.6.625hz.{day}.mseed" for day in DAYS]


def fetch(service: FdsnService, data: Path, *options: str, start: str = DAYS[0], stop: str = "1971-04-20") -> int:
    arguments = ["fetch", "moon", "--start", start, "--stop", stop, "--out", str(data), "--base-url", service.url]
    return cli.main([*arguments, *options])


def test_samples_are_those_of_the_data_centre(service: FdsnService, data: Path, recorded: obspy.Stream) -> None:
    assert fetch(service, data) == 0
    assert sorted(path.name for path in (data / "moon").iterdir()) == NAMES
    fetched = obspy.Stream()
    for name, day in zip(NAMES, DAYS, strict=True):
        part = obspy.read(str(data / "moon" / name))
        assert all(str(trace.stats.starttime.date) == str(trace.stats.endtime.date) == day for trace in part)
        fetched += part
    fetched.merge(-1)  # joins what was cut at midnight, nothing else
    expected = recorded.copy().sort(["channel", "starttime"])
    fetched.sort(["channel", "starttime"])
    assert len(fetched) == len(expected)
    for trace, original in zip(fetched, expected, strict=True):
        assert trace.id == original.id and abs(trace.stats.starttime - original.stats.starttime) < 1e-5
        np.testing.assert_array_equal(trace.data, original.data)


def test_the_folder_is_read_by_the_other_commands(service: FdsnService, data: Path, recorded: obspy.Stream) -> None:
    assert fetch(service, data) == 0
    records = dataset.load(data, "moon", "unlabelled")
    assert [record.file.name for record in records] == NAMES
    assert [record.group for record in records] == list(DAYS)
    for record in records:
        assert record.station_id == "S12" and record.channels == ("MH1", "MH2", "MHZ")
        assert record.arrivals == () and record.sampling_rate_hz == 6.625
        part = obspy.read(str(record.file))
        start, stop = min(trace.stats.starttime for trace in part), max(trace.stats.endtime for trace in part)
        assert abs(record.start_ns - start.ns) < 1000
        assert abs(record.stop_ns - stop.ns - round(1e9 / 6.625)) < 2000
    rows = dataset.read_table(data / "records.csv", dataset.RECORD_COLUMNS)
    assert sum(int(row["n_samples"]) for row in rows) == sum(trace.stats.npts for trace in recorded)
    assert (data / "catalog.csv").read_text().count("\n") == 1
    for split in ("train", "val", "test"):
        with pytest.raises(dataset.DataError, match="holds no record"):
            dataset.load(data, "moon", split)


def test_fetched_days_can_be_run(service: FdsnService, data: Path, tmp_path: Path) -> None:
    assert fetch(service, data, stop="1971-04-18") == 0
    assert cli.main(["run", str(data / "moon"), "--out", str(tmp_path / "run")]) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["stations"] == ["XA_S12"] and summary["unreadable_bytes"] == 0
    assert summary["record_s"] == pytest.approx(12 * 3600, rel=1e-3)


def test_fetched_days_are_not_requested_again(
    service: FdsnService, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch(service, data, stop=DAYS[1]) == 0
    assert "fetched 1 day(s) of XA.S12.*.MH?" in capsys.readouterr().out
    first = (data / "moon" / NAMES[0]).stat().st_mtime_ns
    service.requests.clear()
    assert fetch(service, data) == 0
    assert service.days_requested == list(DAYS[1:])
    assert "1 day(s) had been fetched before" in capsys.readouterr().out
    assert (data / "moon" / NAMES[0]).stat().st_mtime_ns == first
    assert len(dataset.load(data)) == 3
    service.requests.clear()
    assert fetch(service, data, "--json") == 0
    assert service.requests == []
    assert json.loads(capsys.readouterr().out)["days_there"] == list(DAYS)


def test_a_day_whose_file_is_missing_is_requested_again(service: FdsnService, data: Path) -> None:
    assert fetch(service, data) == 0
    (data / "moon" / NAMES[1]).unlink()
    service.requests.clear()
    assert fetch(service, data) == 0
    assert service.days_requested == [DAYS[1]]
    assert len(dataset.load(data)) == 3


def test_force_requests_all_days_again(service: FdsnService, data: Path) -> None:
    assert fetch(service, data) == 0
    table = (data / "records.csv").read_text()
    (data / "moon" / NAMES[1]).write_bytes(b"damaged")
    service.requests.clear()
    assert fetch(service, data, "--force") == 0
    assert service.days_requested == list(DAYS)
    assert (data / "records.csv").read_text() == table
    assert len(obspy.read(str(data / "moon" / NAMES[1]))) >= 3


def test_days_without_data_are_listed(service: FdsnService, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    service.faults[DAYS[1]] = ["empty"]
    assert (
        fetch(
            service,
            data,
            start="1971-04-16",
            stop="1971-04-22",
        )
        == 0
    )
    assert "no data on 4 day(s): 1971-04-16, 1971-04-18, 1971-04-20, 1971-04-21" in capsys.readouterr().out
    assert [record.group for record in dataset.load(data)] == [DAYS[0], DAYS[2]]


def test_times_within_a_day_select_the_whole_day(service: FdsnService, data: Path) -> None:
    assert fetch(service, data, start="1971-04-18T13:00:00", stop="1971-04-18T14:00:00") == 0
    (query,) = service.requests
    assert query["starttime"] == "1971-04-18T00:00:00.000000"
    assert query["endtime"] == "1971-04-18T23:59:59.999999"  # a sample at midnight is the next day's
    (record,) = dataset.load(data)
    assert record.stop_ns - record.start_ns == pytest.approx(86_400e9, rel=1e-4)


def test_records_that_extend_beyond_the_day_are_cut_at_the_sample(service: FdsnService, data: Path) -> None:
    assert fetch(service, data) == 0
    expected = [obspy.read(str(data / "moon" / name)).merge(-1) for name in NAMES]
    service.faults = {day: ["wide"] for day in DAYS}
    assert fetch(service, data, "--force") == 0
    for name, before in zip(NAMES, expected, strict=True):
        after = obspy.read(str(data / "moon" / name)).merge(-1)
        assert len(after) == len(before)
        for trace, original in zip(after.sort(), before.sort(), strict=True):
            assert abs(trace.stats.starttime - original.stats.starttime) < 1e-5
            np.testing.assert_array_equal(trace.data, original.data)


def test_each_instrument_and_location_has_its_own_file(
    service: FdsnService, data: Path, recorded: obspy.Stream
) -> None:
    short = recorded.select(channel="MHZ").slice(obspy.UTCDateTime("1971-04-18"), obspy.UTCDateTime("1971-04-18T01"))
    fast, other = short.copy(), short.copy()
    for trace in fast:
        trace.stats.channel, trace.stats.sampling_rate = "SHZ", 53.0
    for trace in other:
        trace.stats.location = ""
    service.stream = recorded + fast + other
    assert fetch(service, data, "--channel", "?H?", start=DAYS[1], stop=DAYS[2]) == 0
    files = sorted(path.name for path in (data / "moon").iterdir())
    assert files == [
        "xa.s12.--.mh.6.625hz.1971-04-18.mseed",
        "xa.s12.00.mh.6.625hz.1971-04-18.mseed",
        "xa.s12.00.sh.53hz.1971-04-18.mseed",
    ]
    assert sorted(record.sampling_rate_hz for record in dataset.load(data)) == [6.625, 6.625, 53.0]


def test_rows_and_labels_of_the_user_are_kept(service: FdsnService, data: Path) -> None:
    assert fetch(service, data, stop=DAYS[1]) == 0
    label = f"train,moon,{DAYS[0]},moon/{NAMES[0]},q1,deep,{DAYS[0]}T20:00:00,1.0,60,1,mine\n"
    with (data / "catalog.csv").open("a") as table:
        table.write(label)
    rows = (data / "records.csv").read_text().replace("unlabelled", "train")
    (data / "records.csv").write_text(rows)
    assert fetch(service, data) == 0
    (record,) = dataset.load(data, split="train")
    assert record.arrivals[0].time_ns == parse_time(f"{DAYS[0]}T20:00:00")
    assert [record.split for record in dataset.load(data)] == ["train", "unlabelled", "unlabelled"]


def test_mars_has_its_own_network(service: FdsnService, data: Path, recorded: obspy.Stream) -> None:
    martian = recorded.select(channel="MHZ").copy()
    for trace in martian:
        trace.stats.network, trace.stats.station, trace.stats.location, trace.stats.channel = "XB", "ELYSE", "02", "BHU"
        trace.stats.sampling_rate, trace.stats.starttime = 20.0, obspy.UTCDateTime("2019-05-23T02:00:00")
    service.stream = martian[:1]
    arguments = ["--start", "2019-05-23", "--stop", "2019-05-24", "--out", str(data), "--base-url", service.url]
    assert cli.main(["fetch", "mars", *arguments]) == 0
    assert [path.name for path in (data / "mars").iterdir()] == ["xb.elyse.02.bh.20hz.2019-05-23.mseed"]
    (record,) = dataset.load(data, "mars")
    assert record.station_id == "ELYSE" and record.channels == ("BHU",) and record.sampling_rate_hz == 20.0
    (query,) = service.requests
    assert (query["network"], query["location"], query["channel"]) == ("XB", "02", "BH?")

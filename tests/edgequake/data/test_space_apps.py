"""The NASA Space Apps packet's layout, with its known defects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pymseed
import pytest

from edgequake.data.dataset import load
from edgequake.data.space_apps import read_packet
from edgequake.edge.base.errors import DataError

HEADER = "filename,time_abs(%Y-%m-%dT%H:%M:%S.%f),time_rel(sec),evid,mq_type\n"
LUNAR = (
    HEADER
    + "xa.s12.00.mhz.1970-01-19HR00_evid00002,1970-01-19T20:25:00.000000,73500.0,evid00002,impact_mq\n"
    # a defect of the packet: the file is named HR02; its relative time counts from midnight
    + "xa.s12.00.mhz.1971-04-13HR00_evid00029,1971-04-13T12:55:00.000000,46500.0,evid00029,deep_mq\n"
)
START_NS = 40_358_568_990_062_000  # 1971-04-13T02:42:48.990062Z, as in the packet


def write_mseed(path: Path, start_ns: int, n_samples: int, source_id: str, rate_hz: float) -> None:
    traces = pymseed.MS3TraceList()
    traces.add_data(source_id, np.arange(n_samples, dtype=np.float64), "d", rate_hz, starttime=start_ns)
    traces.to_file(path, overwrite=True, format_version=2, max_record_length=512)


@pytest.fixture
def lunar(tmp_path: Path) -> Path:
    data = tmp_path / "data" / "S12_GradeA"
    data.mkdir(parents=True)
    (tmp_path / "catalogs").mkdir()
    (tmp_path / "catalogs" / "apollo12_catalog_GradeA_final.csv").write_text(LUNAR)
    write_mseed(data / "xa.s12.00.mhz.1971-04-13HR02_evid00029.mseed", START_NS, 2000, "FDSN:XA_S12_00_M_H_Z", 6.625)
    (data / "xa.s12.00.mhz.1970-01-19HR00_evid00002.csv").write_text(
        "time_abs(%Y-%m-%dT%H:%M:%S.%f),time_rel(sec),velocity(m/s)\n"
        + "".join(f"1970-01-19T00:00:{0.665 + i / 6.625:09.6f},{i / 6.625!r},-6.1e-14\n" for i in range(300))
    )
    return tmp_path


def test_names_without_extension_match_miniseed_and_csv(lunar: Path) -> None:
    first, second = read_packet(lunar)
    assert first.file.name == "xa.s12.00.mhz.1970-01-19HR00_evid00002.csv"
    assert (first.body, first.station_id, first.channels) == ("moon", "XA_S12", ("MHZ",))
    assert first.sampling_rate_hz == pytest.approx(6.625)
    assert first.start_ns == (18 * 86_400 * 1000 + 665) * 10**6
    assert first.stop_ns - first.start_ns == pytest.approx(300 / 6.625 * 1e9, abs=1000)
    assert (second.station_id, second.channels, second.sampling_rate_hz) == ("XA_S12", ("MHZ",), 6.625)
    assert second.start_ns == START_NS
    assert second.stop_ns - START_NS == pytest.approx(2000 / 6.625 * 1e9, abs=1000)


def test_a_name_without_file_is_found_by_its_event_number(lunar: Path) -> None:
    second = read_packet(lunar)[1]
    assert second.file.name == "xa.s12.00.mhz.1971-04-13HR02_evid00029.mseed"
    assert (second.group, second.arrivals[0].event_type) == ("evid00029", "deep_mq")


def test_absolute_times_are_used_not_those_since_midnight(lunar: Path) -> None:
    second = read_packet(lunar)[1]
    # 12:55:00 less 02:42:48.990062
    assert second.arrivals[0].time_ns - second.start_ns == 36_731_009_938_000
    assert second.arrivals[0].precision_s == 60.0


def test_miniseed_is_preferred_to_its_csv_copy_and_martian_names_end_in_csv(tmp_path: Path) -> None:
    name = "XB.ELYSE.02.BHV.2022-02-03HR08_evid0005"
    (tmp_path / "Mars_InSight_training_catalog_final.csv").write_text(
        HEADER + f"{name}.csv,2022-02-03T08:08:27.000000,507.0,evid0005,\n"
    )
    (tmp_path / f"{name}.csv").write_text("time(%Y-%m-%dT%H:%M:%S.%f),rel_time(sec),velocity(c/s)\n")
    write_mseed(tmp_path / f"{name}.mseed", 1_643_875_200_009_000_000, 400, "FDSN:XB_ELYSE_02_B_H_V", 20.0)
    (record,) = load(tmp_path, body="mars")
    assert (record.file.suffix, record.body, record.station_id) == (".mseed", "mars", "XB_ELYSE")
    assert record.split == "train"
    with pytest.raises(DataError, match="no record of body 'moon'"):
        load(tmp_path, body="moon")


def test_two_rows_of_one_file_are_one_record(lunar: Path) -> None:
    catalog = lunar / "catalogs" / "apollo12_catalog_GradeA_final.csv"
    catalog.write_text(LUNAR + "xa.s12.00.mhz.1970-01-19HR00_evid00002,1970-01-19T10:00:00.0,36000,evid00003,deep_mq\n")
    records = read_packet(lunar)
    assert [len(record.arrivals) for record in records] == [2, 1]
    assert [arrival.event for arrival in records[0].arrivals] == ["evid00003", "evid00002"]


def test_a_row_without_a_file_is_an_error(lunar: Path) -> None:
    catalog = lunar / "catalogs" / "apollo12_catalog_GradeA_final.csv"
    catalog.write_text(LUNAR.replace("evid00029", "evid00030"))
    with pytest.raises(DataError, match=r"no file for 'xa.*evid00030' \(evid00030\) .* got 0"):
        read_packet(lunar)


def test_a_folder_in_neither_layout_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no records: expected records\.csv, or a catalogue CSV"):
        load(tmp_path)


def test_a_file_that_is_not_miniseed_is_an_error(lunar: Path) -> None:
    next(lunar.rglob("*.mseed")).write_bytes(b"not miniSEED" * 100)
    with pytest.raises(DataError, match=r"evid00029\.mseed is not miniSEED"):
        read_packet(lunar)


def test_a_csv_without_samples_is_an_error(lunar: Path) -> None:
    next(lunar.rglob("*evid00002.csv")).write_text("time_abs,time_rel(sec),velocity(m/s)\n")
    with pytest.raises(DataError, match="holds no sample"):
        read_packet(lunar)

"""PhaseNet's .npz files with manual picks are converted to miniSEED sample for sample."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import obspy
import pytest

from edgequake.data.phasenet import convert_phasenet, phasenet_split, read_phasenet
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.miniseed import index_file, read_indexed

NAME = "BG_ACR_2012120413330715"


def write(folder: Path, name: str = NAME, **changes: Any) -> Path:
    """Write a file in PhaseNet's layout."""
    data = np.random.default_rng(7).standard_normal((9001, 3))
    arrays: dict[str, Any] = {"data": data, "itp": 3000, "its": 3094, "channels": "DPE_DPN_DPZ"} | changes
    path = folder / f"{name}.npz"
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


def test_samples_times_and_picks_are_preserved_bit_for_bit(tmp_path: Path) -> None:
    data = np.load(write(tmp_path))["data"]
    (record,) = convert_phasenet(tmp_path, tmp_path / "mseed")
    stream = obspy.read(str(record.file))
    assert record.channels == ("DPE", "DPN", "DPZ")
    for column, code in enumerate(record.channels):
        (trace,) = stream.select(network="BG", station="ACR", channel=code)
        assert trace.data.dtype == np.float64
        np.testing.assert_array_equal(trace.data, data[:, column])
        assert trace.stats.starttime == obspy.UTCDateTime("2012-12-04T13:33:07.15")
        assert record.start_ns == trace.stats.starttime.ns
        assert record.stop_ns == trace.stats.endtime.ns + 10_000_000
    (arrival,) = record.arrivals
    assert arrival.time_ns - record.start_ns == 30_000_000_000
    assert arrival.primary
    assert record.note == "S picked 0.94 s after P"


def test_the_runner_reads_the_converted_file(tmp_path: Path) -> None:
    data = np.load(write(tmp_path))["data"]
    (record,) = convert_phasenet(tmp_path, tmp_path / "mseed")
    index = index_file(record.file)
    vertical = [trace.samples for trace in read_indexed(index, index.headers) if trace.source_id.endswith("D_P_Z")]
    np.testing.assert_array_equal(np.concatenate(vertical), data[:, 2])


def test_a_single_channel_is_the_last_column(tmp_path: Path) -> None:
    data = np.zeros((9001, 3))
    data[:, 2] = np.arange(9001.0)
    read = read_phasenet(write(tmp_path, data=data, channels="EHZ"))
    assert read.channels == ("EHZ",)
    np.testing.assert_array_equal(read.samples, data[:, 2:].T)


def test_the_split_depends_on_the_name_alone(tmp_path: Path) -> None:
    names = [f"NC_MMS_20091224020657{i:02d}" for i in range(40)]
    paths = [write(tmp_path, name) for name in names]
    wanted = {path.stem for path in paths if zlib.crc32(path.name.encode()) % 5 == 0}
    found = {record.group for record in convert_phasenet(tmp_path, tmp_path / "mseed", "val")}
    assert found == wanted
    assert 0 < len(found) < 40
    splits = [phasenet_split(path.name) for path in paths]
    assert {split: splits.count(split) for split in ("val", "test")} == {
        "val": len(wanted),
        "test": sum(zlib.crc32(path.name.encode()) % 5 == 1 for path in paths),
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"itp": None}, "itp"),
        ({"data": np.zeros((9001, 2))}, r"\(9001, 2\)"),
        ({"data": np.array([{}], dtype=object)}, "cannot be read"),
        ({"its": 2000}, "3000 and 2000"),
        ({"channels": "EHE_EHZ"}, "EHE, EHZ"),
    ],
)
def test_other_layouts_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write(tmp_path, **changes)
    with pytest.raises(DataError, match=message):
        convert_phasenet(tmp_path, tmp_path / "mseed")


def test_other_names_damaged_files_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no \.npz file"):
        convert_phasenet(tmp_path, tmp_path / "mseed")
    with pytest.raises(DataError, match="expected a name such as"):
        read_phasenet(write(tmp_path, "quake"))
    with pytest.raises(DataError, match="ISO 8601"):
        read_phasenet(write(tmp_path, "BG_ACR_2012139913330715"))
    (tmp_path / f"{NAME}.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(DataError, match="cannot be read as a PhaseNet file"):
        read_phasenet(tmp_path / f"{NAME}.npz")


@pytest.mark.records
def test_recorded_files_against_numpy(records_dir: Path, tmp_path: Path) -> None:
    folder = records_dir / "earth" / "phasenet"
    records = convert_phasenet(folder, tmp_path, "val")
    assert len(records) == sum(zlib.crc32(path.name.encode()) % 5 == 0 for path in folder.glob("*.npz"))
    for record in records:
        with np.load(folder / f"{record.group}.npz") as arrays:
            data, p_sample = arrays["data"], int(arrays["itp"])
        (arrival,) = record.arrivals
        assert arrival.time_ns == record.start_ns + p_sample * 10_000_000
        stream = obspy.read(str(record.file))
        recorded = data[:, data.any(axis=0)]
        assert recorded.shape[1] <= len(record.channels) == len(stream)
        vertical = stream.select(channel="??Z")[0]
        np.testing.assert_array_equal(vertical.data, data[:, 2])

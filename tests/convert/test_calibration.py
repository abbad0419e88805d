"""Calibration rows: their sources, how they are cut, and the errors for unsuitable ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgequake.convert import calibration
from edgequake.convert.calibration import InputLayout
from edgequake.data import dataset
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.features.front_end import station_rows
from edgequake.edge.formats.miniseed import index_file, read_indexed
from edgequake.edge.manifest import schema
from edgequake.edge.manifest.tables import FrontEndConfig
from edgequake.synthetic import synthetic_dataset

CONTINUOUS = InputLayout("continuous", 5, None)
WINDOWED = InputLayout("windowed", 5, 30)
CHANNELS = ("MH?",)


def numbered(n_sequences: int, n_rows: int) -> Any:
    """Return rows whose first feature counts through them all."""
    rows = np.zeros((n_sequences, n_rows, 5), np.float32)
    rows[:, :, 0] = np.arange(n_sequences * n_rows).reshape(n_sequences, n_rows)
    return rows


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_dataset.write_dataset(
        tmp_path_factory.mktemp("records") / "data", seed=1, n_train=2, n_val=1, n_test=1
    )


@pytest.fixture(scope="module")
def front_end(make_partial: Callable[..., dict[str, Any]]) -> FrontEndConfig:
    values = make_partial("continuous", 1, ["event"])["front_end"]
    return schema.build(FrontEndConfig, values, "front_end", ConfigError)


def test_continuous_rows_are_concatenated_and_every_third_part_is_reserved(tmp_path: Path) -> None:
    np.savez(tmp_path / "calibration.npz", rows=numbered(9, 512))
    got = calibration.from_file(tmp_path / "calibration.npz", CONTINUOUS)
    assert got.source == "calibration.npz"
    assert got.calibration.shape == (1, 6 * 512, 5)
    parts = got.calibration[0, ::512, 0] / 512
    assert parts.tolist() == [0, 1, 3, 4, 6, 7]
    assert got.parts == tuple((0, 512 * part) for part in (0, 1, 3, 4, 6, 7)) and got.part_rows == 512
    # 3 * 512 rows are too few to compare on, so they are repeated up to 2000
    assert got.verification.shape == (1, 2000, 5)
    assert (got.verification[0, [0, 512, 1024, 1536], 0] / 512).tolist() == [2, 5, 8, 2]


def test_the_rows_of_a_strided_network_are_counted_in_steps(tmp_path: Path) -> None:
    np.savez(tmp_path / "calibration.npz", rows=numbered(9, 2048))
    got = calibration.from_file(tmp_path / "calibration.npz", InputLayout("continuous", 5, None, 4))
    assert got.part_rows == 2048  # 512 steps, as many as for a network of one row per step
    assert (got.calibration[0, ::2048, 0] / 2048).tolist() == [0, 1, 3, 4, 6, 7]
    assert got.verification.shape == (1, 4 * 2000, 5)


def test_windows_are_cut_within_sequences(tmp_path: Path) -> None:
    np.savez(tmp_path / "calibration.npz", rows=numbered(3, 70))
    got = calibration.from_file(tmp_path / "calibration.npz", WINDOWED)
    assert got.calibration[:, 0, 0].tolist() == [
        0,
        30,
        70 + 30,
        140,
    ]  # without 70 and 170, which are reserved for the comparison
    assert got.parts == ((0, 0), (0, 30), (1, 30), (2, 0)) and got.part_rows == 30
    assert got.verification.shape == (67, 30, 5)  # 2000 rows in whole windows
    assert set(got.verification[:, 0, 0].tolist()) == {70, 170}


def test_short_material_is_used_for_both(tmp_path: Path) -> None:
    np.savez(tmp_path / "calibration.npz", rows=numbered(1, 30))
    got = calibration.from_file(tmp_path / "calibration.npz", WINDOWED)
    assert got.calibration.shape == (1, 30, 5)
    assert set(got.verification[:, 0, 0].tolist()) == {0}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"other": numbered(3, 40)}, "cannot be read: expected an .npz with the array 'rows'"),
        (
            {"rows": numbered(3, 40)[..., :4]},
            r"expected finite rows of shape \(n_sequences, n_rows, 5\), got \(3, 40, 4\)",
        ),
        ({"rows": np.full((3, 40, 5), np.nan)}, "expected finite rows"),
        ({"rows": numbered(3, 20)}, "too few: expected at least 30 consecutive rows"),
    ],
)
def test_unsuitable_files_are_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "calibration.npz", **arrays)
    with pytest.raises(ConfigError, match=message):
        calibration.from_file(tmp_path / "calibration.npz", WINDOWED)


def test_rows_with_a_gap_flag_that_the_network_does_not_take_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", rows=np.pad(numbered(3, 60), ((0, 0), (0, 0), (0, 1))))
    with pytest.raises(ConfigError, match=r"6 features and the network takes 5; .* front_end\.gap_flag = false"):
        calibration.from_file(tmp_path / "rows.npz", WINDOWED)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "calibration.npz", rows=numbered(3, 40))
    whole = (tmp_path / "calibration.npz").read_bytes()
    (tmp_path / "calibration.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match=r"calibration.npz cannot be read: expected an .npz"):
        calibration.from_file(tmp_path / "calibration.npz", WINDOWED)


def test_a_data_folder_yields_the_front_end_s_rows_of_its_train_split(records: Path, front_end: FrontEndConfig) -> None:
    got = calibration.from_records(records, "moon", CHANNELS, front_end, 6.625, CONTINUOUS)
    first = dataset.load(records, "moon", "train")[0]
    index = index_file(first.file)
    expected = station_rows(front_end, 6.625, read_indexed(index, index.headers)).rows.reshape(-1, 5)
    np.testing.assert_array_equal(got.calibration[0, :1024], expected[:1024])
    # 12 h and 3 h to 5 h of 9.66 s frames are 5590 to 6335 rows, 10 to 12 parts of 512, of which 3 or 4 are reserved
    assert got.calibration.shape[1] in (7 * 512, 8 * 512)


def test_a_folder_of_plain_miniseed_files_is_read_too(records: Path, front_end: FrontEndConfig, tmp_path: Path) -> None:
    source = dataset.load(records, "moon", "train")[0].file
    (tmp_path / "copy.mseed").write_bytes(source.read_bytes())
    (tmp_path / "notes.txt").write_text("not a record")
    got = calibration.from_records(tmp_path, "moon", CHANNELS, front_end, 6.625, CONTINUOUS)
    assert got.calibration.shape == (1, 6 * 512, 5)  # 12 h are 4472 rows, 8 parts, of which 2 are reserved


def test_folders_without_records_are_refused(front_end: FrontEndConfig, records: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"calibration folder .* does not exist"):
        calibration.from_records(tmp_path / "none", "moon", CHANNELS, front_end, 6.625, CONTINUOUS)
    with pytest.raises(ConfigError, match=r"holds no record with channels like MH\? at a rate that the model takes"):
        calibration.from_records(tmp_path, "moon", CHANNELS, front_end, 6.625, CONTINUOUS)
    with pytest.raises(ConfigError, match=r"holds no record with channels like MH\? at a rate that the model takes"):
        calibration.from_records(records, "moon", CHANNELS, front_end, 20.0, CONTINUOUS)
    with pytest.raises(DataError, match="holds no record of body 'mars'"):
        calibration.from_records(records, "mars", CHANNELS, front_end, 6.625, CONTINUOUS)


def test_seeded_noise_replaces_missing_records(front_end: FrontEndConfig) -> None:
    first, second = calibration.synthetic(CONTINUOUS), calibration.synthetic(CONTINUOUS)
    np.testing.assert_array_equal(first.verification, second.verification)
    assert first.verification.shape[1] >= 2000
    assert first.source == "seeded noise"

"""Splits consist of whole event groups: those of the tables, or groups held out of the NASA packet."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from edgequake.data.dataset import load
from edgequake.edge.base.errors import DataError
from edgequake.synthetic.synthetic_dataset import write_dataset
from edgequake.train.data.records import train_and_val
from edgequake.train.trainer import train

HEADER = ["filename", "time_abs(%Y-%m-%dT%H:%M:%S.%f)", "time_rel(sec)", "evid", "mq_type"]


@pytest.fixture(scope="module")
def packet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return synthetic records in the layout of the packet: data files and a catalogue, no splits."""
    source = write_dataset(tmp_path_factory.mktemp("own") / "data", 5, n_train=8, n_val=1, n_test=1)
    folder = tmp_path_factory.mktemp("packet")
    (folder / "data").mkdir()
    with (folder / "catalog.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(HEADER)
        for record in load(source, "moon"):
            shutil.copy(record.file, folder / "data" / record.file.name)
    with (source / "catalog.csv").open() as labels, (folder / "catalog.csv").open("a", newline="") as file:
        for number, row in enumerate(csv.DictReader(labels)):
            name = Path(row["file"]).stem
            csv.writer(file).writerow(
                [name, row["time_abs"].removesuffix("Z"), row["time_rel_s"], f"evid{number:05}", "deep_mq"]
            )
    return folder


def test_the_splits_of_the_tables_are_kept(data: Path) -> None:
    train_records, val_records = train_and_val(data, "moon")
    assert {record.split for record in train_records} == {"train"}
    assert {record.split for record in val_records} == {"val"}
    assert (len(train_records), len(val_records)) == (4, 2)


def test_every_fifth_group_of_a_packet_is_held_out(packet: Path) -> None:
    train_records, val_records = train_and_val(packet, "moon")
    groups = sorted({record.group for record in (*train_records, *val_records)})
    assert len(groups) >= 5
    assert sorted({record.group for record in val_records}) == groups[::5]
    assert not {record.group for record in train_records} & set(groups[::5])
    assert len(train_records) + len(val_records) == len(load(packet, "moon"))


@pytest.mark.slow
def test_a_packet_can_be_trained_on(packet: Path, tmp_path: Path) -> None:
    plan = {
        "examples.n_examples": 16,
        "examples.n_blocks": 100,
        "examples.max_front_blocks": 10,
        "fit.steps": 4,
        "fit.batch": 4,
        "fit.crop_blocks": 64,
    }
    result = train("tiny", packet, tmp_path, plan)
    assert result.keras_file.is_file() and result.n_val_records >= 1
    assert result.n_train_records + result.n_val_records == len(load(packet, "moon"))


def test_a_single_group_cannot_be_split(packet: Path, tmp_path: Path) -> None:
    lines = (packet / "catalog.csv").read_text().splitlines()
    (tmp_path / "catalog.csv").write_text("\n".join(lines[:2]) + "\n")
    name = lines[1].split(",")[0]
    shutil.copy(packet / "data" / f"{name}.mseed", tmp_path / f"{name}.mseed")
    with pytest.raises(DataError, match="has one event group and no val split; expected two groups or more"):
        train_and_val(tmp_path, "moon")


def test_data_without_training_records_are_refused(data: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(data, tmp_path / "data"))
    table = (folder / "records.csv").read_text().replace("train,", "val,")
    (folder / "records.csv").write_text(table)
    with pytest.raises(DataError, match="holds no record of body 'moon' in split 'train'"):
        train_and_val(folder, "moon")

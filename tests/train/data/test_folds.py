"""Cross-validation: records that a fold holds out are validated on and never learned from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgequake import cli
from edgequake.data.dataset import load
from edgequake.data.selection import Fold, split_fold
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.train import trainer
from edgequake.train.data import training_data
from edgequake.train.trainer import train

FAST = {
    "examples.n_examples": 12,
    "examples.n_blocks": 120,
    "examples.max_front_blocks": 20,
    "examples.real_share": 0.5,
    "fit.steps": 4,
    "fit.batch": 4,
    "fit.crop_blocks": 96,
    "fit.time_budget_s": 1e9,
}


def weights(path: Path) -> list[np.ndarray]:
    return list(keras.saving.load_model(path).get_weights())


@pytest.mark.usefixtures("no_fit")
def test_held_out_files_are_validated_on_and_the_others_learned_from(
    short_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned: set[str] = set()
    cut: list[set[str]] = []
    build_bank, recorded_examples = training_data.build_bank, trainer.recorded_examples

    def spy_bank(records: list[Any], *rest: Any) -> Any:
        learned.update(record.file.name for record in records)
        return build_bank(records, *rest)

    def spy_examples(recipe: Any, records: list[Any], *rest: Any) -> Any:
        cut.append({record.file.name for record in records})
        return recorded_examples(recipe, records, *rest)

    monkeypatch.setattr(training_data, "build_bank", spy_bank)
    monkeypatch.setattr(trainer, "recorded_examples", spy_examples)
    result = train("tiny", short_data, tmp_path, FAST, fold="1/3")
    held = {record.file.name for record in split_fold(short_data, "moon", Fold(1, 3))[1]}
    everything = {record.file.name for record in load(short_data, "moon") if record.split != "test"}
    assert held and cut == [everything - held, held]
    assert learned == everything - held
    assert (result.n_train_records, result.n_val_records) == (len(everything - held), len(held))


@pytest.mark.slow
def test_the_samples_of_held_out_files_influence_no_weight(short_data: Path, tmp_path: Path) -> None:
    other = tmp_path / "data"
    shutil.copytree(short_data, other)
    learned, held = split_fold(other, "moon", Fold(0, 3))
    (test,) = (record for record in load(other, "moon") if record.split == "test")
    for record in (*held, test):
        shutil.copy(learned[0].file, record.file)
    first = train("tiny", short_data, tmp_path / "first", FAST, fold="0/3")
    second = train("tiny", other, tmp_path / "second", FAST, fold="0/3")
    for a, b in zip(weights(first.keras_file), weights(second.keras_file), strict=True):
        np.testing.assert_array_equal(a, b)
    assert first.history[-1].val_loss != second.history[-1].val_loss


@pytest.mark.usefixtures("no_fit")
def test_the_written_files_and_the_text_of_the_result_name_the_fold(
    short_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "tiny", "--data", str(short_data), "--out", str(tmp_path), "--fold", "2/3"]
    assert cli.main([*arguments, *(word for name, value in FAST.items() for word in ("--set", f"{name}={value}"))]) == 0
    described = json.loads((tmp_path / "train.json").read_text())
    assert described["fold"] == described["manifest"]["training"]["fold"] == "2/3"
    assert "val records of fold 2/3)" in capsys.readouterr().out


def test_an_unfinished_training_of_another_fold_is_refused(data: Path, tmp_path: Path) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(share: float | None, doing: str) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        train("tiny", data, tmp_path, FAST, interrupt, fold="0/3")
    with pytest.raises(ConfigError, match="holds an unfinished training of another recipe, fold or data"):
        train("tiny", data, tmp_path, FAST, fold="1/3")


@pytest.mark.parametrize(("fold", "error"), [("3/3", ConfigError), ("one", ConfigError), ("0/9", DataError)])
def test_impossible_folds_are_refused(data: Path, tmp_path: Path, fold: str, error: type[Exception]) -> None:
    with pytest.raises(error, match="expected"):
        train("tiny", data, tmp_path / "out", FAST, fold=fold)
    assert not (tmp_path / "out").exists()

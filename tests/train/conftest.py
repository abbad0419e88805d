"""Synthetic records shared by the tests of training, and a way to train without the optimisation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgequake.data.dataset import load
from edgequake.data.tables import LabelledRecord
from edgequake.synthetic.synthetic_dataset import write_dataset
from edgequake.train import trainer
from edgequake.train.fitting import Epoch

from ..short_records import without_long_records


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of synthetic lunar records; tests that change files copy it."""
    return write_dataset(tmp_path_factory.mktemp("train") / "data", 7, n_train=4, n_val=2, n_test=1)


@pytest.fixture(scope="session")
def short_data(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return that folder without the records of 12 h: three records to learn from and one to validate on."""
    return without_long_records(data, tmp_path_factory.mktemp("short"))


@pytest.fixture(scope="session")
def records(short_data: Path) -> list[LabelledRecord]:
    """Return the training records of that folder."""
    return load(short_data, "moon", "train")


@pytest.fixture
def no_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the network of `train` as it is initialised: everything else of a training happens."""

    def skip(network: Any, recipe: Any, *rest: Any) -> list[Epoch]:
        return [Epoch(recipe.fit.steps, 1.0, 0.5, 0.5, recipe.fit.learning_rate)]

    monkeypatch.setattr(trainer, "fit", skip)

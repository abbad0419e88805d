"""The files of a training, found in a data folder for one recipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgequake.data.dataset import hash_files
from edgequake.data.selection import Fold, split_fold
from edgequake.data.tables import LabelledRecord
from edgequake.train.configuration.recipe import Recipe
from edgequake.train.data.noise_bank import NoiseBank, build_bank
from edgequake.train.data.records import phasenet_records, train_and_val


@dataclass(frozen=True)
class TrainingData:
    """The files of a training; `train` and `val` share no event group."""

    train: list[LabelledRecord]
    val: list[LabelledRecord]  # with a fold: the records that it holds out
    nakamura_catalog: Path | None

    def sha256(self) -> str:
        """Return a hash of all records; the catalogue is not included."""
        return hash_files(record.file for record in (*self.train, *self.val))

    def banks(self, recipe: Recipe) -> dict[float, NoiseBank]:
        """Cut recorded noise and quakes for waveform injection out of the training records, at each rate of a recipe.

        Raises
        ------
        DataError
            A file cannot be read, or holds none of the listed channels.
        """
        scales, rates_hz = recipe.examples.scales, set(recipe.examples.rates_hz) or {recipe.sampling_rate_hz}
        return {
            rate_hz: build_bank(self.train, recipe.front_end, rate_hz, scales, self.nakamura_catalog)
            for rate_hz in sorted(rates_hz)
        }


def find_training_data(recipe: Recipe, folder: Path, fold: str | None) -> TrainingData:
    """Return the files that a recipe needs; a fold "K/N" splits them by `edgequake.data.selection`.

    Raises
    ------
    ConfigError
        An unusable fold.
    DataError
        Files that the recipe needs are missing, or the records cannot be split.
    """
    if fold is None:
        train, val = train_and_val(folder, recipe.body)
    else:
        train, val = split_fold(folder, recipe.body, Fold.parse(fold))
    if recipe.examples.picked_records:
        train, val = train + phasenet_records(folder, "train"), val + phasenet_records(folder, "val")
    train = [record for record in train if recipe.examples.emphasis_of(record.file.name) > 0]
    val = [record for record in val if recipe.examples.emphasis_of(record.file.name) > 0]
    catalog = folder / "levent.csv"
    return TrainingData(train, val, catalog if recipe.body == "moon" and catalog.is_file() else None)

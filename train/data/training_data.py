"""What a training needs from the data folder: which files, and what is cut out of them to make examples of."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from edgequake.data.dataset import hash_files, load
from edgequake.data.folds import Fold, split_fold
from edgequake.data.tables import LabelledRecord
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.train.bandpower import read_quiet_curves
from edgequake.train.configuration.recipe import Recipe
from edgequake.train.data.noise_bank import NoiseBank, build_bank, read_levent
from edgequake.train.data.records import picked_records, train_and_val
from edgequake.train.earth import earth_quake_records, read_earth_quakes

BANDPOWER_FILES = ("moon_bandpower.csv", "moon_bandpower.npz")


@dataclass(frozen=True)
class TrainingData:
    """The files of a training; `train` and `val` share no event group."""

    folder: Path
    train: list[LabelledRecord]  # to learn from
    val: list[LabelledRecord]  # to watch; with a fold, what it holds out
    earth: list[LabelledRecord]  # whose quakes are implanted; empty where the recipe asks for none
    bandpower: tuple[Path, ...]  # lunar days whose level synthetic noise follows; empty where the recipe asks for none
    levent: Path | None  # Nakamura's catalogue, where there is one

    def sha256(self) -> str:
        """Return a hash over all files but the catalogue."""
        records = [record.file for record in (*self.train, *self.val, *self.earth)]
        return hash_files([*records, *self.bandpower])

    def bank(self, recipe: Recipe) -> NoiseBank:
        """Read and cut what examples are made of; nothing of `val` is in it.

        Raises
        ------
        DataError
            A file cannot be read, or holds nothing of use.
        """
        bank = build_bank(self.train, recipe.front_end, recipe.sampling_rate_hz, recipe.examples.scales, self.levent)
        if self.earth:
            bank = dataclasses.replace(bank, earth=read_earth_quakes(self.earth))
        if self.bandpower and self.levent:
            kept_out = [record for record in load(self.folder, recipe.body) if record.split != "train"]
            curves = read_quiet_curves(self.folder, [*kept_out, *self.val], read_levent(self.levent))
            bank = dataclasses.replace(bank, curves=curves)
        return bank


def find_materials(recipe: Recipe, folder: Path, fold: str | None) -> TrainingData:
    """Return the files of a recipe; with a fold "K/N" the split is that of `edgequake.data.folds`.

    Raises
    ------
    ConfigError
        An unusable fold, or band powers for another body than the Moon.
    DataError
        Files that the recipe needs are missing, or records cannot be split.
    """
    train, val = train_and_val(folder, recipe.body) if fold is None else _fold(folder, recipe, fold)
    if recipe.examples.picked_records:
        train, val = train + picked_records(folder, "train"), val + picked_records(folder, "val")
    levent = folder / "levent.csv"
    return TrainingData(
        folder,
        train,
        val,
        earth_quake_records(folder) if recipe.examples.earth_quake_share > 0 else [],
        _bandpower(folder, recipe.body) if recipe.examples.bandpower_share > 0 else (),
        levent if recipe.body == "moon" and levent.is_file() else None,
    )


def _fold(folder: Path, recipe: Recipe, fold: str) -> tuple[list[LabelledRecord], list[LabelledRecord]]:
    return split_fold(folder, recipe.body, Fold.parse(fold))


def _bandpower(folder: Path, body: str) -> tuple[Path, ...]:
    if body != "moon":
        raise ConfigError(
            f"examples.bandpower_share: band powers are of lunar days, this recipe is for '{body}'; use 0"
        )
    missing = [name for name in (*BANDPOWER_FILES, "levent.csv") if not (folder / name).is_file()]
    if missing:
        raise DataError(
            f"examples.bandpower_share needs {', '.join(missing)} in {folder}; add them, or set the share to 0"
        )
    return tuple(folder / name for name in BANDPOWER_FILES)

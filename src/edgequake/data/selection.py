"""Which part of a data folder to use: a split, the records that a cross-validation fold holds out, or some stations."""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgequake.data.dataset import load
from edgequake.data.tables import LabelledRecord
from edgequake.edge.base.errors import ConfigError, DataError


@dataclass(frozen=True)
class Fold:
    """Fold `index` of `count`, counted from 0: its groups are held out, and training uses the groups of the others."""

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count or self.count < 2:
            raise ConfigError(f"fold {self.index}/{self.count}: expected K/N with 0 <= K < N and N >= 2")

    @classmethod
    def parse(cls, text: str) -> Fold:
        """Read "K/N".

        Raises
        ------
        ConfigError
            The text has another form, or K is not below N.
        """
        match = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text)
        if match is None:
            raise ConfigError(f"fold '{text}': expected K/N, for example 0/3 for the first of three folds")
        return cls(int(match[1]), int(match[2]))


def split_fold(folder: Path, body: str, fold: Fold) -> tuple[list[LabelledRecord], list[LabelledRecord]]:
    """Return (the training records, the held-out records) of a fold of the `train` and `val` records.

    Training and scoring divide the records in the same way. No record of `test` is in either part.

    Raises
    ------
    DataError
        No records of this body, or fewer groups than folds.
    """
    records = [record for record in load(folder, body) if record.split in ("train", "val")]
    fold_of = assign_folds(records, fold.count)
    if len(fold_of) < fold.count:
        raise DataError(
            f"{folder} has {len(fold_of)} event groups of body '{body}' outside test; expected {fold.count}"
        )
    held_out = [record for record in records if fold_of[record.group] == fold.index]
    return [record for record in records if fold_of[record.group] != fold.index], held_out


def assign_folds(records: Sequence[LabelledRecord], n_folds: int) -> dict[str, int]:
    """Return the fold of every event group.

    Groups are assigned in turn, those with most primary arrivals first and groups with equally many in a
    pseudo-random order that depends on their names only, so that folds have similar numbers of groups and arrivals.
    """
    n_arrivals: dict[str, int] = defaultdict(int)
    for record in records:
        n_arrivals[record.group] += sum(arrival.primary for arrival in record.arrivals)
    order = sorted(n_arrivals, key=lambda group: (-n_arrivals[group], zlib.crc32(group.encode()), group))
    return {group: place % n_folds for place, group in enumerate(order)}


@dataclass(frozen=True)
class Selection:
    """Which part of a data folder to use."""

    split: str | None = None  # None: val, or all records of a packet, which has no splits
    fold: Fold | None = None  # use the records that this fold holds out, instead of a split
    stations: tuple[str, ...] = ()  # STA or NET_STA; empty: all stations

    def __post_init__(self) -> None:
        if self.split and self.fold:
            raise ConfigError("a split and a fold were named; choose one of --split and --fold")

    def includes(self, station_id: str) -> bool:
        """Whether a station is selected, by NET_STA or by STA."""
        return not self.stations or station_id in self.stations or station_id.partition("_")[2] in self.stations

    def describe(self, folder: Path) -> str:
        """Return the name of the split or fold."""
        if self.fold:
            return f"fold {self.fold.index}/{self.fold.count}"
        return self._split(folder) or "all"

    def records(self, folder: Path, body: str) -> list[LabelledRecord]:
        """Return the selected records.

        Raises
        ------
        DataError
            No record of this body, split, fold or station; tables that cannot be read.
        """
        if self.fold:
            found = split_fold(folder, body, self.fold)[1]
        else:
            found = load(folder, body, self._split(folder))
        selected = [record for record in found if self.includes(record.station_id)]
        if not selected:
            there = sorted({record.station_id for record in found})
            raise DataError(f"{folder} has no record of station {', '.join(self.stations)}; it has {', '.join(there)}")
        return selected

    def _split(self, folder: Path) -> str | None:
        return self.split or ("val" if (folder / "records.csv").is_file() else None)

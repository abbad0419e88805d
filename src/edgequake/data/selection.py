"""Which part of a data folder to use: a split, what a fold holds out, or some stations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgequake.data.dataset import load
from edgequake.data.folds import Fold, split_fold
from edgequake.data.tables import LabelledRecord
from edgequake.edge.base.errors import ConfigError, DataError


@dataclass(frozen=True)
class Selection:
    """Which part of a data folder to use."""

    split: str | None = None  # None: val, or all of a packet, which has no splits
    fold: Fold | None = None  # what this fold holds out, instead of a split
    stations: tuple[str, ...] = ()  # STA or NET_STA; none: all

    def __post_init__(self) -> None:
        if self.split and self.fold:
            raise ConfigError("a split and a fold were named; choose one of --split and --fold")

    def takes(self, station_id: str) -> bool:
        """Tell whether a station is asked for, by its whole name or without the network."""
        return not self.stations or station_id in self.stations or station_id.partition("_")[2] in self.stations

    def words(self, folder: Path) -> str:
        """Return the split or fold in words."""
        if self.fold:
            return f"fold {self.fold.index}/{self.fold.count}"
        return self._split(folder) or "all"

    def records(self, folder: Path, body: str) -> list[LabelledRecord]:
        """Return the labelled records asked for.

        Raises
        ------
        DataError
            None of this body, split or fold, or station; or tables that cannot be read.
        """
        if self.fold:
            found = split_fold(folder, body, self.fold)[1]
        else:
            found = load(folder, body, self._split(folder))
        return self._of_stations(found, folder)

    def _split(self, folder: Path) -> str | None:
        return self.split or ("val" if (folder / "records.csv").is_file() else None)

    def _of_stations(self, records: list[LabelledRecord], folder: Path) -> list[LabelledRecord]:
        kept = [record for record in records if self.takes(record.station_id)]
        if not kept:
            there = sorted({record.station_id for record in records})
            raise DataError(f"{folder} has no record of station {', '.join(self.stations)}; it has {', '.join(there)}")
        return kept

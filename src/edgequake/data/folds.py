"""Cross-validation folds: whole event groups of train and val, dealt out the same way for training and for scoring."""

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
    """Fold `index` of `count`, counted from 0: its groups are held out, those of the others are learned from."""

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
            The text is no such pair, or K is not below N.
        """
        match = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text)
        if match is None:
            raise ConfigError(f"fold '{text}': expected K/N, for example 0/3 for the first of three folds")
        return cls(int(match[1]), int(match[2]))


def split_fold(folder: Path, body: str, fold: Fold) -> tuple[list[LabelledRecord], list[LabelledRecord]]:
    """Return (the records to learn from, the records held out) of a fold of the `train` and `val` records.

    Groups are dealt out one after another, those with most primary arrivals first and equal ones in an order drawn
    from their names, so that folds hold about as many groups and arrivals each. No record of `test` is in either part.

    Raises
    ------
    DataError
        No records of this body, or fewer groups than folds.
    """
    records = [record for record in load(folder, body) if record.split in ("train", "val")]
    place = deal_groups(records, fold.count)
    if len(place) < fold.count:
        raise DataError(f"{folder} has {len(place)} event groups of body '{body}' outside test; expected {fold.count}")
    held = [record for record in records if place[record.group] == fold.index]
    return [record for record in records if place[record.group] != fold.index], held


def deal_groups(records: Sequence[LabelledRecord], n_folds: int) -> dict[str, int]:
    """Return the fold of every event group."""
    n_arrivals: dict[str, int] = defaultdict(int)
    for record in records:
        n_arrivals[record.group] += sum(arrival.primary for arrival in record.arrivals)
    order = sorted(n_arrivals, key=lambda group: (-n_arrivals[group], zlib.crc32(group.encode()), group))
    return {group: place % n_folds for place, group in enumerate(order)}

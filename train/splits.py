"""Which records to learn from and which to watch: always whole event groups."""

from __future__ import annotations

from pathlib import Path

from edgequake.dataset import Record, load
from edgequake.edge.errors import DataError

HELD_OUT = 5  # where the data names no val split, every fifth event group is held out


def train_and_val(folder: Path, body: str) -> tuple[list[Record], list[Record]]:
    """Return the records to train on and those to validate on; no event group is in both.

    The splits are the data's own. The NASA packet's layout has none: then every fifth event group, in the order of
    their names, is held out for validation.

    Raises
    ------
    DataError
        No records of this body, no train records, too few groups to hold one out, or a group in both splits.
    """
    records = load(folder, body)
    train = [record for record in records if record.split == "train"]
    val = [record for record in records if record.split == "val"]
    if not train:
        raise DataError(f"{folder} holds no record of body '{body}' in split 'train'; expected some to learn from")
    if not val:
        return _hold_out(train, folder)
    shared = {record.group for record in train} & {record.group for record in val}
    if shared:
        raise DataError(f"event group '{min(shared)}' is in both train and val; give each group to one split")
    return train, val


def _hold_out(records: list[Record], folder: Path) -> tuple[list[Record], list[Record]]:
    groups = sorted({record.group for record in records})
    if len(groups) < 2:
        raise DataError(f"{folder} has one event group and no val split; expected two groups or more, to hold one out")
    held = set(groups[::HELD_OUT])
    train = [record for record in records if record.group not in held]
    return train, [record for record in records if record.group in held]

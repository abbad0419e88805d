"""Folds consist of whole groups; each group is held out once, and folds have similar numbers of arrivals."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgequake.data.dataset import load
from edgequake.data.selection import Fold, assign_folds, split_fold
from edgequake.data.tables import Arrival, LabelledRecord
from edgequake.edge.base.errors import ConfigError


def record(name: str, group: str, n_arrivals: int) -> LabelledRecord:
    arrivals = tuple(Arrival(i, 1.0, True, name, "impact", group) for i in range(n_arrivals))
    return LabelledRecord(Path(name), "moon", "train", group, "S12", ("MHZ",), 0, 10, 6.625, arrivals, "")


def test_whole_groups_are_assigned_evenly() -> None:
    records = [record(f"r{i}", f"g{i // 2}", i % 3) for i in range(40)]
    place = assign_folds(records, 4)
    assert set(place) == {f"g{i}" for i in range(20)}
    assert [sum(fold == k for fold in place.values()) for k in range(4)] == [5, 5, 5, 5]
    arrivals = [sum(len(r.arrivals) for r in records if place[r.group] == k) for k in range(4)]
    assert max(arrivals) - min(arrivals) <= 2
    assert assign_folds(records[::-1], 4) == place


@pytest.mark.parametrize("text", ["3/3", "0/1", "1", "a/b", "-1/3", "1/2/3"])
def test_a_malformed_fold_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected K/N"):
        Fold.parse(text)


@pytest.mark.records
def test_every_group_of_train_and_val_is_held_out_once_and_none_of_test(records_dir: Path) -> None:
    known = {r.file for r in load(records_dir, "moon") if r.split in ("train", "val")}
    seen: list[Path] = []
    for k in range(3):
        learned, held = split_fold(records_dir, "moon", Fold(k, 3))
        assert {r.group for r in learned}.isdisjoint({r.group for r in held})
        assert {r.file for r in learned} | {r.file for r in held} == known
        seen += [r.file for r in held]
    assert sorted(seen) == sorted(known)

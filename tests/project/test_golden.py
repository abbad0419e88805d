"""The output of edgequake for fixed inputs is unchanged; golden.py explains how it is compared and renewed."""

from __future__ import annotations

from pathlib import Path

import pytest

from .golden import GROUPS, SLOW, collect, compare, read_golden, skipped


@pytest.mark.parametrize(
    "group", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in GROUPS]
)
def test_a_group_is_unchanged(group: str, tmp_path: Path) -> None:
    golden_machine, expected = read_golden()
    if reason := skipped(golden_machine).get(group):
        pytest.skip(f"{group}: not the same here as where the hashes were made: {reason}")
    assert compare(expected, collect(tmp_path, [group]), [group]) == []

"""The output of edgequake for fixed inputs is unchanged; golden.py explains how it is compared and renewed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .golden import GROUPS, SLOW, collect, compare, read_golden, skipped

# TensorFlow's work and the measurements take most of the time, and other tests compare what they make.
LONG = (
    "convert", "train", "accuracy", "exports", "pages", "tune", "store-files", "store-live", "bodies", "stdin",
    "shake", "encodings",
)  # fmt: skip


@pytest.mark.parametrize(
    "group", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in GROUPS]
)
def test_a_group_is_unchanged(group: str, tmp_path: Path) -> None:
    if group in LONG and "EDGEQUAKE_LONG_GOLDEN" not in os.environ:
        pytest.skip(f"{group}: make golden")
    golden_machine, expected = read_golden()
    if reason := skipped(golden_machine).get(group):
        pytest.skip(f"{group}: not the same here as where the hashes were made: {reason}")
    assert compare(expected, collect(tmp_path, [group]), [group]) == []

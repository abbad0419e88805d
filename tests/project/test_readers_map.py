"""The reader's map of CONTRIBUTING.md: every file of it is there, and a sample goes the way that it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgequake.synthetic.synthetic_dataset import synthetic_record, write_miniseed

MOST_FILES_ON_A_SAMPLE_S_WAY = 36
TRACER = Path(__file__).with_name("trace_sample.py")


@pytest.fixture(scope="module")
def text(root: Path) -> str:
    return (root / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_every_file_that_is_named_is_there(text: str, root: Path) -> None:
    named = set(re.findall(r"`((?:[\w.]+/)+[\w.]+\.(?:py|json|md|sh))`", text))
    assert len(named) > 50
    assert [name for name in sorted(named) if not (root / name).exists()] == []


def test_a_sample_enters_the_files_of_the_map(text: str, tmp_path: Path) -> None:
    record = synthetic_record(np.random.default_rng(11), 9000.0, (4000.0,), ratios=(25.0,), noise_counts=0.5)
    path = write_miniseed(record, tmp_path / "quake.mseed")
    command = [sys.executable, str(TRACER), str(path), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    entered = {f"edge/{line}" for line in done.stdout.splitlines() if line.endswith(".py")}
    assert len((tmp_path / "out" / "catalog.csv").read_text().splitlines()) == 2
    section = text.partition("### One sample")[2].partition("###")[0]
    assert entered == set(re.findall(r"^\d+\. `(edge/[\w/]+\.py)`", section, re.MULTILINE))
    assert len(entered) <= MOST_FILES_ON_A_SAMPLE_S_WAY

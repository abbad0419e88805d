"""The reader's map of CONTRIBUTING.md: all of its files exist, and a sample passes through those that it lists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgequake.synthetic.synthetic_dataset import synthetic_record, write_miniseed

MAX_FILES_OF_A_SAMPLE = 37
TRACER = Path(__file__).with_name("trace_sample.py")


@pytest.fixture(scope="module")
def text(root: Path) -> str:
    return (root / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_every_file_that_is_named_exists(text: str, root: Path) -> None:
    named = set(re.findall(r"`((?:[\w.]+/)+[\w.]+\.(?:py|json|md|sh))`", text))
    assert len(named) > 50
    missing = [name for name in sorted(named) if not any((root / top / name).exists() for top in ("", "edge"))]
    assert missing == []


def test_every_path_has_its_steps_numbered(text: str) -> None:
    paths = text.partition("## Reader's map")[2].partition("\n## ")[0].split("### ")[1:]
    assert len(paths) == 5
    for path in paths:
        numbers = re.findall(r"^(\d+)\. `", path, re.MULTILINE)
        assert numbers == [str(number) for number in range(1, len(numbers) + 1)] and len(numbers) > 7, path[:40]


def test_a_sample_passes_through_the_files_of_the_map(text: str, tmp_path: Path) -> None:
    record = synthetic_record(np.random.default_rng(11), 9000.0, (4000.0,), ratios=(25.0,), noise_counts=0.5)
    path = write_miniseed(record, tmp_path / "quake.mseed")
    command = [sys.executable, str(TRACER), str(path), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len((tmp_path / "out" / "catalog.csv").read_text().splitlines()) == 2
    before, sample = (part.split() for part in done.stdout.partition("__main__.py\n")[2].split("\n\n"))
    section, _, preparation = text.partition("### A sample")[2].partition("###")[0].partition("Before the first sample")
    assert re.findall(r"^\d+\. `edge/([\w/]+\.py)`", section, re.MULTILINE) == sample
    assert set(re.findall(r"`edge/([\w/]+\.py)`", preparation)) == {"__main__.py", *before} - set(sample)
    assert len(sample) <= MAX_FILES_OF_A_SAMPLE

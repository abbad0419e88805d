"""Fixtures that every folder of tests may use."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from edgequake.edge.detection.network import import_runtime

import_runtime()  # before any test imports TensorFlow: after it, tflite-runtime fails with "vector::reserve"

# A shell that starts the tests in the background has them ignore Ctrl-C, and every process that they start too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def records_dir() -> Path:
    """Return the folder of real records, named by EDGEQUAKE_DATA; the test is skipped where there is none."""
    folder = ROOT / os.environ.get("EDGEQUAKE_DATA", "../shared/data")
    if not (folder / "records.csv").is_file():
        pytest.skip(f"no real records in {folder}: name their folder with EDGEQUAKE_DATA")
    return folder

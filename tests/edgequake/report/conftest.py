"""A run with two events, made once: three hours of a synthesised Moon through the shipped model."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from edgequake.edge.runner import RunConfig, run
from edgequake.synthetic import synthetic_dataset

HOUR_S = 3600.0
ONSETS_S = (1.5 * HOUR_S, 4.0 * HOUR_S)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished run; its record lies beside it. Not to be changed: see `own_run`."""
    folder = tmp_path_factory.mktemp("finished")
    rng = np.random.default_rng(4)
    record = synthetic_dataset.synthetic_record(
        rng,
        5.5 * HOUR_S,
        ONSETS_S,
        ratios=(20.0, 25.0),
        noise_counts=0.6,
        start_ns=synthetic_dataset.DAY_START_NS + 10**12,
    )
    path = synthetic_dataset.write_miniseed(record, folder / "record.mseed")
    summary = run(RunConfig(inputs=(str(path),), out=folder / "run", model="moon"))
    assert len(summary.events) == len(ONSETS_S)
    return folder / "run"


@pytest.fixture
def own_run(finished_run: Path, tmp_path: Path) -> Path:
    """Return a copy of the run that a test may damage; its summary names the record of the original."""
    return Path(shutil.copytree(finished_run, tmp_path / "run"))

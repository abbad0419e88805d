"""A run of the lunar model with an archive, over a day with quakes, and reviews of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from edgequake.edge.results.catalog import CatalogRow, read_catalog
from edgequake.edge.runner import RunConfig, run
from edgequake.serve.reviews.review_log import ACCEPT, REJECT
from edgequake.serve.reviews.review_store import ReviewStore
from edgequake.synthetic import synthetic_dataset

QUAKES_S = (9000.0, 30_000.0, 52_000.0, 66_000.0)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run over 20 h from midnight with four quakes; tests must not change it."""
    folder = tmp_path_factory.mktemp("reviewed")
    made = synthetic_dataset.synthetic_record(
        np.random.default_rng(3), 72_000.0, QUAKES_S, ratios=(40.0,) * 4, noise_counts=0.5, spikes_per_hour=0.0
    )
    record = synthetic_dataset.write_miniseed(made, folder / "day.mseed")
    summary = run(RunConfig((str(record),), folder / "run", "moon", channels=("MHZ",), archive_bytes=1 << 30))
    assert summary.n_events == len(QUAKES_S)
    return folder / "run"


@pytest.fixture
def run_folder(finished_run: Path, tmp_path: Path) -> Path:
    """Return a copy of the run of one's own."""
    return Path(shutil.copytree(finished_run, tmp_path / "run"))


@pytest.fixture
def rows(run_folder: Path) -> list[CatalogRow]:
    """Return the events of the run, by time."""
    return read_catalog(run_folder / "catalog.csv")


@pytest.fixture
def reviewed(run_folder: Path, rows: list[CatalogRow]) -> ReviewStore:
    """Return reviews: the first and the last event accepted, the second rejected, the third left open."""
    store = ReviewStore.beside(run_folder)
    store.review(ACCEPT, [rows[0].evid, rows[3].evid], "ann")
    store.review(REJECT, [rows[1].evid], "bob")
    return store

"""A scan on a Dask cluster of processes: a worker that is killed loses nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from edgequake.edge.base.control import Control
from edgequake.scan.driving import Progress
from edgequake.scan.engines import DaskEngine
from edgequake.scan.preparation import ScanConfig
from edgequake.scan.scanning import scan

from .nights import catalog_of, serial_catalog


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_nothing(copied: Callable[..., Path], tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    archive, out = copied(1), tmp_path / "out"
    engine, killed = DaskEngine(1), list[int]()

    def kill_one(progress: Progress) -> None:
        if progress.n_done == 1 and not killed:
            killed.extend(engine.worker_pids)
            os.kill(killed[0], signal.SIGKILL)

    result = scan(ScanConfig(str(archive), out, model="moon", shard_days=1, n_seams=1), Control(), kill_one, engine)
    assert killed and killed[0] != os.getpid()
    assert result.n_done == result.n_shards == 4
    assert result.seams is not None and result.seams.n_unequal == 0
    assert catalog_of(out) == serial_catalog(archive, tmp_path / "serial")

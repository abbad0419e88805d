"""A local data centre with three days of synthetic Apollo records."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import obspy
import pytest

from edgequake.edge.formats.waveforms import parse_time
from edgequake.fetch import data_centre
from edgequake.synthetic import synthetic_dataset

from .fdsn_service import FdsnService

FIRST_DAY = "1971-04-17"
HOURS = 60  # from noon of the first day: the last day is complete, and nothing follows


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> obspy.Stream:
    """Return 60 h of three channels at S12 with some gaps, from noon on 17 April to midnight after the 19th."""
    start_ns = parse_time(f"{FIRST_DAY}T12:00:00.030000")
    record = synthetic_dataset.synthetic_record(
        np.random.default_rng(3), HOURS * 3600.0, [30_000.0], start_ns=start_ns, gaps_per_hour=0.5
    )
    path = synthetic_dataset.write_miniseed(record, tmp_path_factory.mktemp("archive") / "record.mseed")
    stream = obspy.read(str(path))
    for trace in stream:
        trace.stats.network, trace.stats.station = "XA", "S12"
    return stream


@pytest.fixture
def service(recorded: obspy.Stream, monkeypatch: pytest.MonkeyPatch) -> Iterator[FdsnService]:
    """Serve the records; the client repeats a failed request at once."""
    monkeypatch.setattr(data_centre, "RETRY_WAITS_S", (0.0, 0.0))
    with FdsnService(recorded, {"XA": ("S12", "S14"), "XB": ("ELYSE",)}).served() as served:
        yield served


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return the data folder to fetch into; it does not exist yet."""
    return tmp_path / "data"

"""A run with two events that keeps everything a page can show, and a browser's client of its server."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgequake.edge.runner import RunConfig, run
from edgequake.serve.reviews.review_store import ReviewStore
from edgequake.serve.web.context import Context
from edgequake.serve.web.routes import make_site
from edgequake.serve.web.sessions import Sessions
from edgequake.synthetic import synthetic_dataset

HOUR_S = 3600.0
ONSETS_S = (1.2 * HOUR_S, 2.6 * HOUR_S)
HOST = "127.0.0.1"


@pytest.fixture(scope="session")
def finished_station(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run folder with archive, SSAM channels, monitor and outbox. Not to be changed: see `station`."""
    folder = tmp_path_factory.mktemp("station")
    record = synthetic_dataset.synthetic_record(
        np.random.default_rng(4), 3.5 * HOUR_S, ONSETS_S, ratios=(20.0, 25.0), noise_counts=0.6,
        start_ns=synthetic_dataset.DAY_START_NS,
    )  # fmt: skip
    path = synthetic_dataset.write_miniseed(record, folder / "record.mseed")
    config = RunConfig(
        inputs=(str(path),), out=folder / "run", model="moon",
        archive_bytes=10**8, summary_channel=True, monitor_h=24.0, budget_bytes=20_000,
    )  # fmt: skip
    assert len(run(config).events) == len(ONSETS_S)
    return folder / "run"


@pytest.fixture
def station(finished_station: Path, tmp_path: Path) -> Path:
    """Return a copy of the run that a test may change."""
    return Path(shutil.copytree(finished_station, tmp_path / "run"))


@dataclass
class Visitor:
    """A browser of the server, with what it keeps: cookies, and the secret of its forms."""

    client: Any  # starlette.testclient.TestClient
    context: Context
    logged: list[str] = field(default_factory=list)

    def get(self, address: str, **headers: str) -> Any:
        return self.client.get(address, headers=headers, follow_redirects=False)

    def secret(self) -> str:
        found = re.search(r'name="secret" value="([0-9a-f]{64})"', self.get("/events").text)
        assert found is not None
        return found[1]

    def post(self, address: str, fields: Any = (), secret: str | None = None, **headers: str) -> Any:
        given = [*(fields.items() if isinstance(fields, dict) else fields)]
        given.append(("secret", self.secret() if secret is None else secret))
        data: dict[str, Any] = {}
        for name, value in given:
            data.setdefault(name, []).append(value)
        return self.client.post(address, data=data, headers=headers, follow_redirects=False)

    def evids(self) -> list[str]:
        self.context.refresh()
        return [row.evid for row in self.context.index.rows(range(len(self.context.index)))]


def visit(run_folder: Path, token: str | None = None, names: tuple[str, ...] = (HOST,)) -> Visitor:
    """Return a new browser of a new server."""
    from starlette.testclient import TestClient

    logged: list[str] = []
    context = Context(run_folder, ReviewStore.beside(run_folder), Sessions(token), logged.append)
    client = TestClient(make_site(context, names), base_url=f"http://{HOST}", client=("198.51.100.7", 4000))
    return Visitor(client, context, logged)


@pytest.fixture
def visitor(station: Path) -> Visitor:
    return visit(station)


@pytest.fixture(scope="session")
def reader(finished_station: Path) -> Visitor:
    """Return a browser of a server that no test changes anything by, but what is logged."""
    return visit(finished_station)

"""A small archive for scans: two stations, three nights of three hours that span midnight, and a serial run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from .nights import NIGHTS, scan_here, serial_catalog, write_night


@pytest.fixture(scope="session")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the archive; tests do not change it."""
    folder = tmp_path_factory.mktemp("nights")
    for station in ("S12", "S15"):
        for night in range(NIGHTS):
            write_night(folder, station, night)
    return folder


@pytest.fixture(scope="session")
def serial_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the serial run on the archive is written."""
    return tmp_path_factory.mktemp("serial") / "run"


@pytest.fixture(scope="session")
def serial(nights: Path, serial_run: Path) -> str:
    """Return the rows of the catalogue of a serial run on the archive."""
    return serial_catalog(nights, serial_run)


@pytest.fixture(scope="session")
def scanned(nights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a scan of the archive in shards of a day, with its segments."""
    out = tmp_path_factory.mktemp("scanned") / "out"
    scan_here(nights, out, keeps_segments=True)
    return out


@pytest.fixture
def copied(nights: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return what makes an archive of the first so many nights, of one station or all."""

    def copy(n_nights: int, station: str = "") -> Path:
        folder = tmp_path / "archive"
        folder.mkdir(exist_ok=True)
        for path in nights.glob(f"{station}*"):
            if int(path.name.split(".")[1]) < n_nights and not (folder / path.name).exists():
                shutil.copy2(path, folder)
        return folder

    return copy

"""Fixtures that every folder of tests may use."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

# The tests run side by side: matrix products on all cores would only get in each other's way. Before numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from edgequake.edge.detection.network import import_runtime

import_runtime()  # before any test imports TensorFlow: after it, tflite-runtime fails with "vector::reserve"

# Runs sync each file, and would wait for a disk; what tests check does not depend on it, except those marked `disk`.
DISK = os.environ.setdefault("EDGEQUAKE_TESTS_ON_DISK", tempfile.gettempdir())  # for the processes of pytest-xdist, too
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 4 << 30  # free ones, several times what the tests write


def has_room_in_memory() -> bool:
    """Whether there is a folder in memory that the tests may fill, and from which libraries can be loaded."""
    if not os.access(MEMORY, os.W_OK) or os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
        return False
    return shutil.disk_usage(MEMORY).free > MEMORY_BYTES


if "TMPDIR" not in os.environ and has_room_in_memory():
    os.environ["TMPDIR"] = str(MEMORY)
    tempfile.tempdir = None  # look again

# A shell that starts the tests in the background has them ignore Ctrl-C, and every process that they start too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the tests marked `long` to `make long`."""
    if "EDGEQUAKE_LONG" not in os.environ:
        for item in items:
            if item.get_closest_marker("long") is not None:
                item.add_marker(pytest.mark.skip(reason="long: make long"))


@pytest.fixture(scope="module", autouse=True)
def older_objects_are_left_alone() -> None:
    """Have the collector of garbage look at what this module's tests make, not at all that TensorFlow is made of."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def tmp_path(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Return a folder of this test alone; on a disk for tests marked `disk`."""
    if request.node.get_closest_marker("disk") is None:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="edgequake-test-", dir=DISK) as name:
        yield Path(name)


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


@pytest.fixture
def worker_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convert within this process, where TensorFlow is loaded already, and compare on a tenth of the rows.

    tests/convert/test_converter.py has conversions in a process of their own, compared on all rows.
    """
    from edgequake.convert import calibration, launcher, worker

    class EndedWorker:
        """Stands for the worker's process, which has ended before anybody waits for it."""

        def __init__(self, command: list[str], **options: object) -> None:
            self.returncode = worker.main(command[-1:])

        def wait(self, timeout_s: float | None = None) -> int:
            return self.returncode

        def kill(self) -> None:
            pass

    monkeypatch.setattr(calibration, "MIN_VERIFIED_ROWS", calibration.MIN_VERIFIED_ROWS // 10)
    monkeypatch.setattr(worker, "_limit_memory", lambda limit_bytes: None)  # of this process
    monkeypatch.setattr(worker, "_quieten", lambda: None)  # it changes the environment of later tests
    names = {"DEVNULL": subprocess.DEVNULL, "TimeoutExpired": subprocess.TimeoutExpired}
    monkeypatch.setattr(launcher, "subprocess", SimpleNamespace(Popen=EndedWorker, **names))

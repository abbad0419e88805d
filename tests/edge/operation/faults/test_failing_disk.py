"""Live runs in processes of their own whose system calls fail: one by one, and for hours."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import subprocess
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edgequake.benchmarks.robustness.call_faults import FAULTS, CallFaultTest, compile_shim, live_record
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.base.layout import HEARTBEAT
from edgequake.edge.formats.miniseed import index_file
from edgequake.edge.operation.status import read_status
from edgequake.edge.results.catalog import read_catalog
from edgequake.synthetic import synthetic_dataset

from ...live_command import live_command

PATIENCE_S = 120.0  # of a test, not of the program


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return two and a half hours of records in the order of time, with a quake."""
    return live_record(tmp_path_factory.mktemp("day"), 0, 11)


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the library that has system calls fail."""
    try:
        return compile_shim(tmp_path_factory.mktemp("shim"))
    except ConfigError as problem:
        pytest.skip(str(problem))


@pytest.mark.slow
def test_failing_system_calls_lose_nothing(shim: Path, tmp_path: Path) -> None:
    """`edgequake bench faults --calls N` does more of them."""
    test, rng = CallFaultTest(tmp_path), np.random.default_rng(4)
    for fault in (FAULTS[4], FAULTS[6]):
        assert test.run(fault, int(rng.integers(1, test.n_calls))) == ()


@contextmanager
def live_process(out: Path, shim: Path, marker: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a live run whose folder is read-only as long as a file exists."""
    environment = {"LD_PRELOAD": str(shim), "FAIL_ROOT": str(out), "FAIL_WHILE": str(marker)}
    with subprocess.Popen(
        live_command(out, "--resume", "--spool-bytes", "0", *options),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**os.environ, **environment, "FAIL_ERRNO": str(errno.EROFS), "FAIL_READS": "0"},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_line(process: subprocess.Popen[bytes], text: str) -> str:
    """Return the next line on stderr that contains a text."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line.decode():
            return line.decode()
    raise AssertionError(f"the run ended without saying: {text}")


def day_of_quakes(folder: Path) -> bytes:
    """Return ten hours of records in the order of time, with five quakes."""
    onsets_s = (3000.0, 9000.0, 15_000.0, 21_000.0, 27_000.0)
    made = synthetic_dataset.synthetic_record(
        np.random.default_rng(3), 36_000.0, onsets_s, ratios=(25.0,) * 5, noise_counts=0.5
    )
    path = synthetic_dataset.write_miniseed(made, folder / "day.mseed")
    data = path.read_bytes()
    return b"".join(data[one.offset : one.offset + one.size_bytes] for one in index_file(path).headers)


@pytest.mark.long
def test_a_spell_of_hours_in_which_the_folder_is_read_only(shim: Path, tmp_path: Path) -> None:
    """The events of the spell are in the catalogue when it is over, in order; commands run after their rows."""
    data = day_of_quakes(tmp_path)
    alone, out, marker, heard = (tmp_path / name for name in ("alone", "out", "marker", "heard"))
    with live_process(alone, shim, marker, "--checkpoint-every", "1e9") as process:
        process.communicate(data, PATIENCE_S)
        assert process.returncode == 0
    whole = read_catalog(alone / "catalog.csv")
    assert len(whole) == 5
    part = len(data) // 512 // 10 * 512  # an hour
    hook = f"sh -c 'test $EDGEQUAKE_PHASE = onset || wc -l < {out}/catalog.csv >> {heard}'"
    with live_process(out, shim, marker, "--checkpoint-every", "1e9", "--on-event", hook) as process:
        assert process.stdin is not None
        process.stdin.write(data[: 2 * part])
        process.stdin.flush()
        wait_until(lambda: (out / "catalog.csv").exists() and len(read_catalog(out / "catalog.csv")) == 1, process)
        wait_until(lambda: read_status(out)["events"] == 1, process)
        marker.touch()
        before = changes(out)
        # What is written beyond the pipe's 64 kB has been taken by the run: the events of six hours among it.
        process.stdin.write(data[2 * part :])
        process.stdin.flush()
        # With a hook the checkpoint that remembers an event's onset comes first.
        assert "checkpoint cannot be written: Read-only file system" in wait_for_line(process, "degraded: ")
        wait_until(lambda: is_drained(process), process)
        assert changes(out) == before
        marker.unlink()
        assert "everything that waited is written" in wait_for_line(process, "no longer degraded")
        wait_until(lambda: len(read_catalog(out / "catalog.csv")) >= 4, process)
        wait_until(lambda: read_status(out)["health"] == "well", process)
        process.stdin.close()
        assert process.wait(PATIENCE_S) == 0
    assert [row.evid for row in read_catalog(out / "catalog.csv")] == [row.evid for row in whole]
    for row in whole:
        assert (out / row.segment).read_bytes() == (alone / row.segment).read_bytes()
    n_rows = [int(line) - 1 for line in heard.read_text().split()]
    assert len(n_rows) == 5 and all(n >= i + 1 for i, n in enumerate(n_rows))


def changes(out: Path) -> dict[Path, int]:
    """Return when each file was last changed, but for the sign of life, which is no data."""
    return {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.name != HEARTBEAT}


def is_drained(process: subprocess.Popen[bytes]) -> bool:
    """Whether the run has read all that was sent to it."""
    assert process.stdin is not None
    waiting = fcntl.ioctl(process.stdin.fileno(), termios.FIONREAD, bytes(4))
    return struct.unpack("i", waiting)[0] == 0


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Wait for a condition as long as the process lives."""
    while not condition():
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05)


@pytest.mark.slow
def test_the_end_of_a_run_that_cannot_write_is_one_line(shim: Path, day: bytes, tmp_path: Path) -> None:
    out, marker = tmp_path / "out", tmp_path / "marker"
    with live_process(out, shim, marker) as process:
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write(day[:512])
        process.stdin.flush()
        wait_until(lambda: (out / "status.json").exists(), process)
        marker.touch()
        process.stdin.write(day[512:])
        process.stdin.close()
        said = process.stderr.read().decode()
        assert process.wait(PATIENCE_S) == 1
    last = said.splitlines()[-1]
    assert last.startswith("edgequake-edge: error: the run ends while its folder cannot be written: cannot write ")
    assert last.endswith("; 1 event(s) are lost") and said.count("error") == 1

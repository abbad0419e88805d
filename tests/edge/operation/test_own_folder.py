"""A run folder belongs to one runner at a time; its files have modes of their own."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.base.own_folder import OwnFolder
from edgequake.edge.operation.degraded import Degraded
from edgequake.edge.runner import RunConfig, run

from ..live_command import live_command

Write = Callable[..., Path]
HOLD = (
    "import sys; from pathlib import Path; from edgequake.edge.base.own_folder import OwnFolder\n"
    "with OwnFolder(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
)


def holder(out: Path) -> subprocess.Popen[str]:
    """Start a process that holds a folder until its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_a_second_runner_is_refused_by_name_and_the_first_is_left_alone(tmp_path: Path) -> None:
    with holder(tmp_path / "out") as first:
        with pytest.raises(ConfigError, match=rf"is in use by another run \(process {first.pid}\); stop that one"):
            OwnFolder(tmp_path / "out").__enter__()
        assert (tmp_path / "out" / ".lock").read_text() == f"{first.pid}\n"
        assert first.communicate("")[0] == "" and first.returncode == 0
    assert not (tmp_path / "out").exists()  # nothing was written there
    with OwnFolder(tmp_path / "out"):
        pass


def test_a_killed_runner_leaves_no_lock_that_holds(tmp_path: Path) -> None:
    with holder(tmp_path / "out") as first:
        first.kill()
        first.wait()
    assert (tmp_path / "out" / ".lock").exists()
    with OwnFolder(tmp_path / "out"):
        assert (tmp_path / "out" / ".lock").read_text() == f"{os.getpid()}\n"


def test_a_run_in_a_folder_that_is_held_touches_nothing(write: Write, noise: np.ndarray, tmp_path: Path) -> None:
    record, out = write("a.mseed", noise), tmp_path / "out"
    out.mkdir()
    (out / "catalog.csv").write_text("another run's")
    with OwnFolder(out), pytest.raises(ConfigError, match="is in use"):
        run(RunConfig((str(record),), out, force=True))
    assert [path.name for path in out.iterdir()] == ["catalog.csv"]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_modes_do_not_depend_on_the_umask(umask: int, quake_file: Path, tmp_path: Path) -> None:
    out, before = tmp_path / "new" / "out", os.umask(umask)
    try:
        run(RunConfig((str(quake_file),), out, archive_bytes=10**6, budget_bytes=10**5, summary_channel=True))
        assert os.umask(umask) == umask  # as it was
    finally:
        os.umask(before)
    found = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new", *(tmp_path / "new").rglob("*"))}
    assert {mode for path, mode in found.items() if path.is_dir()} == {0o750}
    assert {mode for path, mode in found.items() if path.is_file()} == {0o640} and len(found) > 12


def test_the_names_of_new_folders_are_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr("edgequake.edge.base.own_folder.sync", synced.append)
    with OwnFolder(tmp_path / "a" / "b"):
        assert synced == [tmp_path / "a", tmp_path]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    umask = os.umask(0o022)
    with pytest.raises(DataError, match=r"cannot use output folder .*Not a directory"):
        OwnFolder(tmp_path / "file" / "out").__enter__()
    assert os.umask(umask) == 0o022


@pytest.mark.slow
def test_of_runners_that_start_together_one_is_left(quake_file: Path, tmp_path: Path) -> None:
    command = live_command(tmp_path / "out", "--resume")
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    until_s = time.monotonic() + 60
    while sum(process.poll() is None for process in processes) > 1 and time.monotonic() < until_s:
        time.sleep(0.02)
    (last,) = [process for process in processes if process.poll() is None]
    for process in processes:
        said = process.communicate(quake_file.read_bytes() if process is last else None, timeout=60)[1]
        assert process.returncode == (0 if process is last else 1)
        assert process is last or said.count(b"is in use by another run") == 1


@pytest.mark.parametrize("other", [None, "catalog.csv"])
def test_a_heartbeat_alone_does_not_keep_a_folder(other: str | None, tmp_path: Path) -> None:
    """A run that is refused after a second has one: the self-test of a model takes as long."""
    out = tmp_path / "new" / "out"
    with OwnFolder(out):
        (out / "heartbeat").write_text("1\n")
        if other is not None:
            (out / other).write_text("")
    assert out.exists() == (other is not None)
    assert (tmp_path / "new").exists() == (other is not None)


def test_a_folder_that_was_there_is_left_with_its_heartbeat(tmp_path: Path) -> None:
    (tmp_path / "heartbeat").write_text("1\n")
    with OwnFolder(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["heartbeat"]


@pytest.mark.parametrize("change", ["another folder", "a link", "no lock"])
def test_what_stands_in_the_place_of_the_folder_is_held_too(change: str, tmp_path: Path) -> None:
    out, others = tmp_path / "out", tmp_path / "others"
    others.mkdir()
    with OwnFolder(out) as own:
        assert own.hold_again() is False
        if change == "no lock":
            (out / ".lock").unlink()
        else:
            out.rename(tmp_path / "moved")
            assert own.hold_again() is False and not out.exists()  # nothing stands there
            out.mkdir() if change == "another folder" else out.symlink_to(others)
        assert own.hold_again() is True and own.hold_again() is False
        with pytest.raises(ConfigError, match=f"in use by another run .process {os.getpid()}"):
            OwnFolder(out).__enter__()
    assert not (out / ".lock").exists()


def test_a_folder_of_another_runner_in_its_place_is_left_alone(tmp_path: Path) -> None:
    """A live run degrades; at its end, and when the other has ended, the lock is whose it was."""
    out, said = tmp_path / "out", list[str]()
    with OwnFolder(out) as own:
        degraded = Degraded(True, Diagnostics(), said.append, now_s=iter(range(0, 10**6, 10**4)).__next__, own=own)
        out.rename(tmp_path / "moved")
        with holder(out) as other:
            assert not degraded.attempt("checkpoint", lambda: (out / "written").touch())
            assert f"in use by another run (process {other.pid})" in said[0] and not (out / "written").exists()
            assert (out / ".lock").read_text() == f"{other.pid}\n"
            (out / "kept").touch()
            other.communicate("")
        assert degraded.attempt("checkpoint", lambda: (out / "written").touch()) and (out / "written").exists()
        assert "removed or replaced" in said[1] and "no longer degraded" in said[2]
    assert not (out / ".lock").exists()


@pytest.mark.skipif(os.name != "posix", reason="folders that are in use cannot be moved")
def test_a_run_whose_folder_is_moved_away_leaves_the_lock_of_another_runner(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with OwnFolder(out):
        out.rename(tmp_path / "moved")
        other = holder(out)
    with other:
        assert (out / ".lock").read_text() == f"{other.pid}\n"
        other.communicate("")

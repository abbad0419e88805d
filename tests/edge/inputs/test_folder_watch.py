"""Looks at followed folders: what is found, and what a look costs."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from edgequake.edge.inputs import folder_watch
from edgequake.edge.inputs.folder_watch import FolderWatch

from .following import renew_time

pytestmark = pytest.mark.disk  # whose inodes are used again


class Looker:
    """Counts the calls for the status of a file."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *inputs: Path, out: Path | None = None) -> None:
        self.n_status = 0
        self.said: list[tuple[str, str | None]] = []
        real_stat = os.stat

        def counted(path: Any, *args: Any, **kwargs: Any) -> os.stat_result:
            self.n_status += 1
            return real_stat(path, *args, **kwargs)

        monkeypatch.setattr(folder_watch.os, "stat", counted)
        self.watch = FolderWatch(inputs, out, lambda path, problem: self.said.append((path, problem and "problem")))

    def look(self) -> list[str]:
        return [Path(sighting.path).name for sighting in self.watch.look()]


def make_files(folder: Path, n: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        os.close(os.open(f"{folder}/{i:06d}.mseed", os.O_CREAT | os.O_WRONLY))


def test_new_grown_and_renamed_files_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looker = Looker(monkeypatch, tmp_path)
    make_files(tmp_path / "a" / "b", 2)
    assert looker.look() == ["000000.mseed", "000001.mseed"] and looker.look() == []
    (tmp_path / "a" / "b" / "000001.mseed").write_bytes(b"x")
    (tmp_path / ".hidden").write_bytes(b"x")
    assert looker.look() == ["000001.mseed"]
    (tmp_path / "a" / "b" / "000000.mseed").rename(tmp_path / "c.mseed")
    assert looker.look() == ["c.mseed"]
    (tmp_path / "c.mseed").unlink()
    (tmp_path / "a").rename(tmp_path / "d")
    assert looker.look() == ["000001.mseed"] and looker.look() == [] and looker.said == []


def test_files_below_the_output_folder_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "in" / "out"
    make_files(out / "segments", 3)
    (tmp_path / "in" / "soft.mseed").symlink_to(out / "segments" / "000000.mseed")
    make_files(tmp_path / "in" / "outer", 1)
    assert Looker(monkeypatch, tmp_path / "in", out=out).look() == ["000000.mseed"]


def test_a_missing_file_is_said_once_and_found_when_it_appears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.mseed"
    looker = Looker(monkeypatch, path)
    assert looker.look() == looker.look() == [] and looker.said == [(str(path), "problem")]
    path.write_bytes(b"x")
    assert looker.look() == ["a.mseed"] and looker.said[1:] == [(str(path), None)]


def test_every_cold_file_is_looked_at_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound of docs/live.md: number of files / 2000 looks, here with a tenth of both numbers."""
    monkeypatch.setattr(folder_watch, "_N_HOT", 100)
    monkeypatch.setattr(folder_watch, "_N_COLD", 200)
    make_files(tmp_path, 2000)
    looker = Looker(monkeypatch, tmp_path)
    looker.look()
    for name in ("000000.mseed", "000777.mseed", "001500.mseed"):
        renew_time(tmp_path / name)
        found = [looker.look() for _ in range(2000 // 200 + 1)]
        assert [name] in found


def test_a_look_costs_as_much_for_many_files_as_for_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_watch, "_TICK_S", 0.0)
    monkeypatch.setattr(folder_watch, "_N_HOT", 10)
    monkeypatch.setattr(folder_watch, "_N_COLD", 20)
    make_files(tmp_path, 1000)
    looker = Looker(monkeypatch, tmp_path)
    looker.look()
    looker.look()

    def no_listing(path: object) -> None:
        raise AssertionError(f"{path} is listed although it is unchanged")

    monkeypatch.setattr(folder_watch.os, "scandir", no_listing)
    before = looker.n_status
    assert looker.look() == []
    assert looker.n_status - before <= 10 + 20 + 2


@pytest.mark.long
def test_a_look_at_100_000_files_takes_less_than_50_ms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_files(tmp_path, 100_000)
    monkeypatch.setattr(folder_watch, "_TICK_S", 0.0)
    watch = FolderWatch((tmp_path,), None, lambda path, problem: None)
    assert len(watch.look()) == 100_000
    watch.look()
    cpu_s = []
    for _ in range(20):
        begun_s = time.process_time()
        assert watch.look() == []
        cpu_s.append(time.process_time() - begun_s)
    assert sorted(cpu_s)[10] < 0.05

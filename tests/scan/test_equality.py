"""A scan in shards finds what one serial run finds, row by row, whatever is cut, killed, added or shared out."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgequake.edge.base import atomic_files
from edgequake.edge.base.control import Control
from edgequake.edge.base.errors import ConfigError, DataError, GateError, Stopped
from edgequake.scan import scanning
from edgequake.scan.engines import InProcess
from edgequake.scan.preparation import ScanConfig
from edgequake.scan.scan_results import ScanResult
from edgequake.scan.storage.scan_folder import ScanFolder

from .nights import catalog_of, rows_of, scan_here, serial_catalog


def test_shards_of_a_day_are_the_serial_run(scanned: Path, serial: str) -> None:
    assert catalog_of(scanned) == serial
    assert len(ScanFolder(scanned).done()) == 8  # four UTC days of each station


def test_longer_shards_give_the_same_catalogue_and_the_same_days(
    nights: Path, scanned: Path, serial: str, tmp_path: Path
) -> None:
    result = scan_here(nights, tmp_path / "out", shard_days=3, n_seams=1)
    assert catalog_of(tmp_path / "out") == serial
    assert (tmp_path / "out" / "summary.csv").read_text() == (scanned / "summary.csv").read_text()
    assert result.seams is not None and result.seams.n_seams == 1 and result.seams.n_unequal == 0
    assert result.seams.n_events >= 4


class Killed(BaseException):
    """The end of a process: nothing catches it."""


@pytest.mark.slow
def test_a_kill_at_each_write_loses_nothing_and_does_nothing_twice(
    copied: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, out = copied(1), tmp_path / "out"
    expected = serial_catalog(archive, tmp_path / "serial")
    write_durably, n_left, n_kills = atomic_files.write_durably, [0], 0

    def write_or_die(path: Path, parts: Any) -> int:
        n_left[0] -= 1
        if n_left[0] == 0:
            raise Killed
        return write_durably(path, parts)

    monkeypatch.setattr(atomic_files, "write_durably", write_or_die)
    for n_writes in range(1, 60):
        n_left[0] = n_writes
        try:
            scan_here(archive, out)
            break
        except Killed:
            n_kills += 1
    assert n_kills >= 8
    assert catalog_of(out) == expected


def test_a_scan_that_is_stopped_goes_on(nights: Path, serial: str, tmp_path: Path) -> None:
    control, out = Control(), tmp_path / "out"
    config = ScanConfig(str(nights), out, model="moon", shard_days=1, n_seams=0)

    def stop_after_three(progress: scanning.Progress) -> None:
        control.terminated = progress.n_done >= 3

    with pytest.raises(Stopped, match="the same command goes on"):
        scanning.scan(config, control, stop_after_three, InProcess())
    assert 3 <= len(ScanFolder(out).done()) < 8
    assert not list((out / "leases").glob("[!.]*"))
    scan_here(nights, out)
    assert catalog_of(out) == serial


@pytest.mark.slow
def test_two_drivers_share_the_work(nights: Path, serial: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, run_shard, n_runs = tmp_path / "out", scanning.run_shard, Counter[str]()
    both, begun, results = threading.Barrier(2, timeout=300), set[int](), list[ScanResult]()

    def counted(task: Any, shard: Any) -> dict[str, Any]:
        n_runs[shard.id] += 1
        return run_shard(task, shard)

    def wait_for_the_other(progress: scanning.Progress) -> None:
        if threading.get_ident() not in begun:  # each with the shards that it could take
            begun.add(threading.get_ident())
            both.wait()

    def drive() -> None:
        results.append(scanning.scan(config, Control(), wait_for_the_other, InProcess()))

    monkeypatch.setattr(scanning, "run_shard", counted)
    config = ScanConfig(str(nights), out, model="moon", shard_days=1, n_seams=0)
    drivers = [threading.Thread(target=drive) for _ in range(2)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    assert [result.n_done for result in results] == [8, 8]
    assert sorted(n_runs.values()) == [1] * 8
    assert catalog_of(out) == serial


def test_what_is_done_stays_done_when_the_archive_grows(
    copied: Callable[..., Path], serial: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    scan_here(copied(2, "S12"), out)
    before = {path.name: path.stat().st_mtime_ns for path in (out / "shards").iterdir()}
    scan_here(copied(3, "S12"), out)
    after = {path.name: path.stat().st_mtime_ns for path in (out / "shards").iterdir()}
    assert catalog_of(out) == rows_of(serial, "XX_S12")
    kept = [name for name in before if after.get(name) == before[name]]
    assert len(before) == 3 and len(kept) == 2  # the last day was the end of its record
    n_read = len(list((out / "plan").glob("*.jsonl")))
    assert n_read == 2  # both plans are there


@pytest.mark.slow
def test_states_that_were_lost_are_made_again(copied: Callable[..., Path], serial: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    scan_here(copied(2, "S12"), out)
    for path in (out / "states").iterdir():
        path.unlink()
    scan_here(copied(3, "S12"), out)
    assert catalog_of(out) == rows_of(serial, "XX_S12")


@pytest.mark.slow
def test_a_failed_shard_is_told_and_tried_again_when_asked(copied: Callable[..., Path], tmp_path: Path) -> None:
    archive, out = copied(3), tmp_path / "out"
    config = ScanConfig(str(archive), out, model="moon", shard_days=1, n_seams=0)
    gone, aside = archive / "S12.1.mseed", tmp_path / "aside.mseed"

    def lose(progress: scanning.Progress) -> None:
        if gone.exists():
            gone.rename(aside)

    with pytest.raises(GateError, match=r"1 shard\(s\) have failed, and 2 wait for them: XX.S12.00 2030-01-02"):
        scanning.scan(config, Control(), lose, InProcess())
    aside.rename(gone)
    with pytest.raises(GateError, match="--retry-failed"):
        scan_here(archive, out)
    assert scan_here(archive, out, retries_failed=True).n_done == 8


def test_other_options_need_another_folder(nights: Path, scanned: Path) -> None:
    with pytest.raises(ConfigError, match="belongs to another scan, with another threshold: go on"):
        scan_here(nights, scanned, keeps_segments=True, threshold=0.7)


def test_an_archive_that_the_model_does_not_take_is_refused_by_its_name(nights: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no channel that model earth takes: it has FDSN:.* \(--model moon takes it\)"):
        scan_here(nights, tmp_path / "out", model="earth")


def test_an_archive_without_records_is_refused(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "notes.txt").write_text("no records")
    with pytest.raises(DataError, match=r"no channel that the scan can use; the first file left out was .*notes.txt"):
        scan_here(tmp_path / "archive", tmp_path / "out")

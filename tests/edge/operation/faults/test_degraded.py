"""A live run whose folder cannot be written goes on in memory, says so, and catches up."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgequake.benchmarks.robustness.call_faults import live_record
from edgequake.edge.__main__ import main
from edgequake.edge.base import atomic_files
from edgequake.edge.base.atomic_files import FIRST_PAUSE_S, LONGEST_PAUSE_S, Backoff, DiskReserve
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.detection.detector import Detector
from edgequake.edge.operation.degraded import Degraded
from edgequake.edge.operation.status import read_status
from edgequake.edge.results import ledger as ledgers
from edgequake.edge.results.catalog import CatalogRow, Segment, read_catalog
from edgequake.edge.results.catalog_files import CatalogFiles
from edgequake.edge.results.ledger import Ledger

PATIENCE_S = 120.0  # of a test, not of the program


class Clock:
    """A monotonic clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def bad_disk(error: int = errno.EROFS) -> DataError:
    problem = DataError("cannot write /somewhere")
    problem.__cause__ = OSError(error, os.strerror(error))
    return problem


# --- the parts -------------------------------------------------------------------------------------------------------


def test_the_pause_between_two_tries_doubles_up_to_a_limit() -> None:
    clock = Clock()
    backoff, pauses_s = Backoff(clock), []
    for _ in range(8):
        assert not backoff.is_pausing
        backoff.failed()
        begun_s = clock.now_s
        while backoff.is_pausing:
            clock.now_s += 0.25
        pauses_s.append(clock.now_s - begun_s)
    assert pauses_s == [FIRST_PAUSE_S, 1.0, 2.0, 4.0, 8.0, LONGEST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_PAUSE_S]
    backoff.succeeded()
    assert not backoff.is_pausing


def test_a_condition_is_said_once_with_each_reason_and_once_at_its_end() -> None:
    clock, said, diagnostics = Clock(), list[str](), Diagnostics()
    degraded, problem, tries = Degraded(True, diagnostics, said.append, clock), bad_disk(), []

    def write() -> None:
        tries.append(clock.now_s)
        if problem is not None:
            raise problem

    assert degraded.text is None
    for clock.now_s in np.arange(0.0, 60.0, 0.1):
        assert not degraded.attempt("catalogue", write)
        degraded.note("archive", bad_disk())
    assert len(tries) == 10 and len(said) == 1 and "Read-only file system" in said[0]  # at 0, 0.5, 1.5, 3.5, 7.5 ...
    assert degraded.text is not None and degraded.text.startswith("cannot write archive, catalogue since 20")
    degraded.note("archive", bad_disk(errno.EIO))
    assert len(said) == 2 and "Input/output error" in said[1]
    problem, clock.now_s = None, 100.0
    assert degraded.attempt("catalogue", write) and len(said) == 2  # the archive still fails
    degraded.note("archive", None)
    assert degraded.text is None and said[2:] == [
        "no longer degraded: everything that waited is written, after 1 min 40 s"
    ]
    assert diagnostics.texts() == ["1 time(s) the run could not write to its folder, and went on in memory"]


def test_a_run_over_files_ends_at_the_first_failure() -> None:
    def write() -> None:
        raise bad_disk()

    with pytest.raises(DataError):
        Degraded(False, Diagnostics(), print).attempt("catalogue", write)


def segment_of(i: int, priority: float, size_bytes: int = 1000) -> tuple[Segment, tuple[CatalogRow, ...], bytes]:
    name, start_ns = f"segments/{i:04d}.mseed", i * 10**9
    row = CatalogRow(
        filename="-", onset_ns=start_ns, time_rel_s=0.0, evid=f"{i:04d}", mq_type="", station_id="XX_LUN",
        channels=("MHZ",), stop_ns=start_ns + 1, peak_probability=0.9, priority=priority, segment=name, n_samples=1,
        size_bytes=size_bytes,
    )  # fmt: skip
    return Segment(name, "XX_LUN", start_ns, start_ns + 1, 1, size_bytes), (row,), bytes([i % 256]) * size_bytes


@pytest.mark.parametrize(("size_bytes", "most"), [(1000, 64), (1 << 20, 32)])
def test_the_best_events_wait_in_bounded_memory_and_are_written_in_order(
    size_bytes: int, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise bad_disk()

    files = CatalogFiles(tmp_path)
    files.open()
    ledger, rng = Ledger(files), np.random.default_rng(3)
    ledger.may_wait = True
    priorities = [float(one) for one in rng.permutation(100) / 100]
    with monkeypatch.context() as patch:
        patch.setattr(ledgers, "write_bytes_atomically", fail)
        for i, priority in enumerate(priorities):
            segment, rows, data = segment_of(i, priority, size_bytes)
            ledger.write_segment(tmp_path, segment.file, data)
            ledger.add(segment, rows)
            with pytest.raises(DataError):
                ledger.write()
            assert ledger.is_behind and ledger.take_new() == []
    assert ledger.n_dropped == 100 - most and ledger.n_rows == ledger.n_segments == most
    ledger.write()
    best = sorted(sorted(range(100), key=lambda i: priorities[i])[100 - most :])
    assert [row.evid for row in read_catalog(tmp_path / "catalog.csv")] == [f"{i:04d}" for i in best]
    assert [entry.rows[0].evid for entry in ledger.take_new()] == [f"{i:04d}" for i in best]
    for i in best:
        assert (tmp_path / f"segments/{i:04d}.mseed").read_bytes() == bytes([i]) * size_bytes
    assert not ledger.is_behind and len(list((tmp_path / "segments").iterdir())) == most


@pytest.mark.parametrize("way", ["a folder", "too long", "a bad block"])
def test_a_segment_that_can_never_be_written_does_not_hold_up_the_others(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is entered under another name; where the disk takes no file at all, everything waits under its own."""
    files = CatalogFiles(tmp_path)
    files.open()
    ledger, write = Ledger(files), ledgers.write_bytes_atomically
    ledger.may_wait, is_read_only = True, True
    entries = [segment_of(i, 0.5) for i in range(3)]
    if way == "too long":
        name = f"segments/{'0' * 300}.mseed"
        entries[0] = replace(entries[0][0], file=name), (replace(entries[0][1][0], segment=name),), entries[0][2]
    bad_name = entries[0][0].file
    if way == "a folder":
        (tmp_path / bad_name / "in it").mkdir(parents=True)

    def write_or_fail(path: Path, data: bytes, make_room: object = None) -> None:
        if is_read_only or (way == "a bad block" and path == tmp_path / bad_name):
            raise bad_disk()
        write(path, data)

    monkeypatch.setattr(ledgers, "write_bytes_atomically", write_or_fail)
    for segment, rows, data in entries:
        ledger.write_segment(tmp_path, segment.file, data)
        ledger.add(segment, rows)
    for _ in range(10):
        with pytest.raises(DataError, match="cannot write"):
            ledger.write()
    assert ledger.n_renamed == 0 and ledger.is_behind
    is_read_only = False
    while ledger.is_behind:
        with suppress(DataError):
            ledger.write()
    found = read_catalog(tmp_path / "catalog.csv")
    assert [row.evid for row in found] == ["0000", "0001", "0002"] and ledger.n_renamed == 1
    assert [row.segment for row in found[1:]] == ["segments/0001.mseed", "segments/0002.mseed"] != bad_name
    assert [(tmp_path / row.segment).read_bytes() for row in found] == [data for _, _, data in entries]
    assert [entry.segment.file for entry in ledger.take_new()] == [row.segment for row in found]
    assert not ledger.is_behind


def test_rows_wait_for_the_catalogue_when_their_line_is_in_the_check_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fails between the two files: nothing is written twice, and nobody learns of the event before its row."""
    files = CatalogFiles(tmp_path)
    files.open()
    ledger = Ledger(files)
    for i in range(3):
        segment, rows, _ = segment_of(i, 0.5)
        ledger.add(segment, rows)
        with monkeypatch.context() as patch:
            patch.setattr(files, "_append_rows", lambda data: (_ for _ in ()).throw(bad_disk()))
            with pytest.raises(DataError):
                ledger.write()
        assert ledger.is_behind and ledger.take_new() == []
    ledger.write()
    assert len(ledger.take_new()) == 3 and not ledger.is_behind
    assert [row.evid for row in read_catalog(tmp_path / "catalog.csv")] == ["0000", "0001", "0002"]
    again = CatalogFiles(tmp_path)
    assert again.open() and again.n_restored == 0 and len(again.blocks(0)) == 3


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="needs posix_fallocate")
def test_the_reserve_gives_space_piece_by_piece_and_takes_it_back(tmp_path: Path) -> None:
    path = tmp_path / ".reserve"
    kept = DiskReserve(path)
    assert not kept.give(1000)
    kept.fill()
    size_bytes = path.stat().st_size
    assert path.stat().st_blocks * 512 >= size_bytes > 0
    assert kept.give(100_000) and path.stat().st_size < size_bytes - 100_000
    assert kept.give(1 << 30, atomic_files.LEFT_BY_SEGMENTS_BYTES)
    assert path.stat().st_size == atomic_files.LEFT_BY_SEGMENTS_BYTES
    assert not kept.give(1, atomic_files.LEFT_BY_SEGMENTS_BYTES)
    assert kept.give(1 << 30) and path.stat().st_size == 0
    kept.fill()
    assert path.stat().st_size == size_bytes
    kept.release()
    assert not path.exists()


# --- whole runs ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return two and a half hours of records in the order of time, with a quake."""
    return live_record(tmp_path_factory.mktemp("day"), 0, 11)


def run_live(data: bytes, out: Path, patch: pytest.MonkeyPatch, *options: str) -> int:
    patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    return main(["run", "-", "--out", str(out), "--resume", "--spool-bytes", "0", *options])


def test_a_fault_that_nobody_has_foreseen_costs_its_batch_and_restarts_its_station(
    day: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    push, n_pushed = Detector.push, 0

    def fail_once(detector: Detector, *traces: Any) -> Any:
        nonlocal n_pushed
        n_pushed += 1
        if n_pushed == 3:
            raise ZeroDivisionError("division by\nzero")
        return push(detector, *traces)

    monkeypatch.setattr(Detector, "push", fail_once)
    assert run_live(day, tmp_path / "out", monkeypatch) == 0
    said = capsys.readouterr().err
    line = "batch(es) of XX_LUN left out: ZeroDivisionError: division by zero"
    assert said.count(line) == 2 and "Traceback" not in said  # as it happens, and as a warning of the summary
    assert len(read_catalog(tmp_path / "out" / "catalog.csv")) == 1
    (kept,) = (tmp_path / "out" / "set-aside").iterdir()
    assert (
        kept.read_bytes()[:6].isdigit()
        and f"1 {line}" in json.loads((tmp_path / "out/summary.json").read_text())["warnings"]
    )
    assert main(["status", str(tmp_path / "out")]) == 0


SERVICES = (
    "archive.archive.Archive.push",
    "archive.ssam.SsamWriter.push",
    "downlink.downlink.Downlink.run_pass",
    "downlink.request_queue.RequestQueue.items",
)


@pytest.mark.parametrize("service", SERVICES)
def test_a_fault_in_a_service_leaves_detection_alone(
    service: str, day: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: object) -> None:
        raise AttributeError("no such thing")

    monkeypatch.setattr(f"edgequake.edge.{service}", fail)
    options = ("--archive-bytes", "300000", "--summary-channel", "--budget", "100000")
    assert run_live(day, tmp_path / "out", monkeypatch, *options) == 0
    said = capsys.readouterr().err
    assert "AttributeError: no such thing" in said and len(read_catalog(tmp_path / "out" / "catalog.csv")) == 1
    assert len(list((tmp_path / "out").glob("set-aside/*"))) <= 10


def test_a_source_that_fails_goes_on_and_one_that_always_fails_ends_the_run_in_a_line(
    day: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from edgequake.edge.inputs.live import LiveSource

    batches, n_begun = LiveSource.batches, 0

    def fail_after(source: LiveSource, n_batches: int = 50) -> Iterator[object]:
        nonlocal n_begun
        n_begun += 1
        for i, batch in enumerate(batches(source)):
            yield batch
            if i == n_batches and n_begun < 4:
                raise RuntimeError("the receiver is broken")

    def fail(source: LiveSource) -> Iterator[object]:
        raise RuntimeError("the receiver is broken")
        yield

    monkeypatch.setattr(LiveSource, "batches", fail_after)
    assert run_live(day, tmp_path / "out", monkeypatch) == 0 and n_begun == 4
    assert "input left out: RuntimeError: the receiver is broken" in capsys.readouterr().err
    assert len(read_catalog(tmp_path / "out" / "catalog.csv")) == 1
    monkeypatch.setattr(LiveSource, "batches", fail)
    assert run_live(day, tmp_path / "other", monkeypatch) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == (
        "edgequake-edge: error: RuntimeError: the receiver is broken (a defect of edgequake; EDGEQUAKE_TRACEBACK=1 "
        "shows where)"
    )
    monkeypatch.setenv("EDGEQUAKE_TRACEBACK", "1")
    with pytest.raises(RuntimeError):
        run_live(day, tmp_path / "third", monkeypatch)


@pytest.mark.parametrize("part", ["source", "stations", "services", "n_resumed", "ledger"])
def test_a_checkpoint_that_cannot_be_continued_from_is_set_aside(
    part: str, day: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from edgequake.edge.base.checkpoint import Checkpoint, read_checkpoint, write_checkpoint

    out = tmp_path / "out"
    assert run_live(day, out, monkeypatch, "--budget", "10000") == 0
    found = read_checkpoint(out / "checkpoint.edgequake")
    write_checkpoint(out / "checkpoint.edgequake", Checkpoint(found.identity, {**found.state, part: {"odd": [1]}}))
    capsys.readouterr()
    later = live_record(tmp_path, 1, 11)
    assert run_live(later, out, monkeypatch, "--budget", "10000") == 0
    said = capsys.readouterr().err
    assert "cannot be continued from" in said and "set aside as checkpoint.edgequake.set-aside-1" in said
    assert "Traceback" not in said and len(read_catalog(out / "catalog.csv")) == 2


def test_a_full_disk_leaves_room_for_the_status(
    day: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Segments cannot be written, smaller files can: the alarm is in the status while the run goes on."""
    seen: list[str] = []
    write = ledgers.write_bytes_atomically

    def full(path: Path, data: bytes, make_room: object = None) -> None:
        if not seen:
            seen.append("")
            raise bad_disk(errno.ENOSPC)
        if len(seen) == 1:
            seen.append(read_status(tmp_path / "out")["health"])
        write(path, data, None)

    monkeypatch.setattr(ledgers, "write_bytes_atomically", full)
    assert run_live(day, tmp_path / "out", monkeypatch) == 0
    assert seen[1].startswith("degraded: cannot write catalogue since 20") and seen[1].endswith(
        "No space left on device"
    )
    assert len(read_catalog(tmp_path / "out" / "catalog.csv")) == 1
    assert capsys.readouterr().err.count("degraded: ") == 2

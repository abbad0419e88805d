"""Kills at any instant: archive and SSAM channels of a replay end as if undisturbed; live, nothing is lost."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import obspy
import pytest

from edgequake.edge.archive.archive import Archive
from edgequake.edge.archive.ssam import SsamWriter
from edgequake.edge.base.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.formats.miniseed import index_file, read_indexed
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns, parse_time

T0_NS = parse_time("2030-01-01T15:00:00")
MOON = "FDSN:XX_LUN_00_M_H_Z"
RATE_HZ = 6.625
LONG = "EDGEQUAKE_LONG_ARCHIVE" in os.environ  # `make archive`
ONE_KILL = 40 if LONG else 4  # runs that are killed once
MANY_KILLS = 20 if LONG else 8  # of one run
Traces = Callable[..., list[Trace]]
Tree = dict[str, bytes]
Make = Callable[[], "Archive | SsamWriter"]


class Killed(BaseException):
    """The process has been killed."""


class Killer:
    """Kills the process at a chosen one of the system calls that change a disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.n_left: int | None = None
        self.n_calls = 0
        for owner, name in [(os, "fsync"), (os, "truncate"), (os, "ftruncate"), (Path, "replace"), (Path, "unlink"),
                            (Path, "mkdir"), (Path, "rmdir")]:  # fmt: skip
            monkeypatch.setattr(owner, name, self._dying(getattr(owner, name)))
        self._real_write = os.write
        monkeypatch.setattr(os, "write", self._write)

    def _is_last(self) -> bool:
        self.n_calls += 1
        if self.n_left is None:
            return False
        if self.n_left < 0:
            raise Killed
        self.n_left -= 1
        return self.n_left < 0

    def _dying(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if self._is_last():
                if self.n_calls % 2:
                    real(*arguments, **options)
                raise Killed
            return real(*arguments, **options)

        return call

    def _write(self, descriptor: int, data: bytes) -> int:
        if self._is_last():
            self._real_write(descriptor, data[: (37 * self.n_calls) % len(data)])
            raise Killed
        return self._real_write(descriptor, data)


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Killer:
    return Killer(monkeypatch)


def tree(folder: Path) -> Tree:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stream(days_of_noise: np.ndarray, traces: Traces) -> list[Trace]:
    """Two channels over three days with gaps, repeats, a clock set back and a second version of some hours."""
    z = traces(days_of_noise[:400_000], start_ns=T0_NS, n_each=[400, 771, 5])
    n = traces(days_of_noise[300_000:600_000], start_ns=T0_NS + 5 * NS_PER_S, source_id=MOON[:-1] + "N", n_each=600)
    both = sorted([*z, *n], key=lambda trace: trace.start_ns)
    del both[100:103], both[500:700]
    version = days_of_noise[:60_000].copy()
    version[:20_000] += 1
    second = traces(version, start_ns=T0_NS, n_each=800)
    return [*both[:300], *both[290:], *second]


def run(make: Make, traces: list[Trace], checkpoint: Path, every: int, replayed: bool = True) -> None:
    """Push traces with a checkpoint after every so many, from the last checkpoint on if there is one."""
    writer, first = make(), 0
    if checkpoint.exists():
        state = read_checkpoint(checkpoint).state
        writer.restore(state["writer"], replayed)
        first = state["n_taken"]
    for i, trace in enumerate(traces[first:], first):
        if i % every == 0:
            writer.sync()
            write_checkpoint(checkpoint, Checkpoint({}, {"writer": writer.state(), "n_taken": i}))
        writer.push(trace)
    writer.close()


@pytest.mark.parametrize("kind", ["no cap", "some days", "a part of a day", "small blocks", "summary"])
def test_a_replay_ends_as_if_undisturbed(
    kind: str, days_of_noise: np.ndarray, traces: Traces, tmp_path: Path, killer: Killer
) -> None:
    cap_bytes = {"some days": 300_000, "a part of a day": 90_000}.get(kind)
    block = 700 if kind == "small blocks" else 4096

    def make(folder: str) -> Archive | SsamWriter:
        diagnostics = Diagnostics()
        return SsamWriter(tmp_path / folder, diagnostics) if kind == "summary" else Archive(
            tmp_path / folder, cap_bytes, diagnostics, block
        )  # fmt: skip

    cut = stream(days_of_noise, traces)
    killer.n_calls = 0
    run(lambda: make("undisturbed"), cut, tmp_path / "checkpoint-1", 97)
    n_calls = killer.n_calls
    expected = tree(tmp_path / "undisturbed")

    rng = np.random.default_rng(7)
    for n_kills, n_runs in ((1, ONE_KILL), (MANY_KILLS, 1)):
        for i in range(n_runs):
            folder, checkpoint = f"killed-{n_kills}-{i}", tmp_path / f"checkpoint-{n_kills}-{i}"
            for _ in range(n_kills):
                killer.n_left = int(rng.integers(n_calls if n_kills == 1 else n_calls // 6))
                with pytest.raises(Killed):
                    run(lambda: make(folder), cut, checkpoint, 97)  # noqa: B023
                    raise Killed  # the run had ended before
                killer.n_left = None
                checkpoint.with_name(f".{checkpoint.name}.part").unlink(missing_ok=True)
            run(lambda: make(folder), cut, checkpoint, 97)  # noqa: B023
            found = tree(tmp_path / folder)
            assert sorted(found) == sorted(expected)
            assert found == expected


def samples_of(folder: Path) -> Iterator[Trace]:
    for path in sorted(folder.rglob("*.D.*")):
        if path.is_file():
            index = index_file(path)
            yield from read_indexed(index, index.headers)


def test_live_nothing_on_disk_is_lost_or_stored_twice(
    days_of_noise: np.ndarray, traces: Traces, tmp_path: Path, killer: Killer
) -> None:
    """The stream does not wait for the next process: what was pushed before the last checkpoint is stored."""
    cut = traces(days_of_noise[:600_000], start_ns=T0_NS)
    rng = np.random.default_rng(11)
    archive, safe, i, n_kills = Archive(tmp_path / "archive", None, Diagnostics(), 1024), set[int](), 0, 0
    since: list[int] = []
    while i < len(cut):
        killer.n_left = int(rng.integers(25)) if rng.random() < 0.5 else None
        try:
            for j in range(i, min(len(cut), i + 60)):
                i = j + 1
                since.append(j)
                archive.push(cut[j])
                if j % 20 == 0:
                    archive.sync()
                    write_checkpoint(tmp_path / "checkpoint", Checkpoint({}, {"archive": archive.state()}))
                    safe.update(since)
                    since.clear()
        except Killed:
            n_kills += 1
            killer.n_left = None
            since.clear()
            i += int(rng.integers(3))  # missed meanwhile
            archive = Archive(tmp_path / "archive", None, Diagnostics(), 1024)
            if (tmp_path / "checkpoint").exists():
                archive.restore(read_checkpoint(tmp_path / "checkpoint").state["archive"], replayed=False)
        killer.n_left = None
    archive.close()

    times = np.zeros(len(days_of_noise), np.int64)
    for trace in samples_of(tmp_path / "archive"):
        first = round((trace.start_ns - T0_NS) * RATE_HZ / NS_PER_S)
        np.testing.assert_array_equal(trace.samples, days_of_noise[first : first + len(trace.samples)])
        times[first : first + len(trace.samples)] += 1
    assert n_kills > 8
    assert times.max() == 1
    assert all(times[400 * j : 400 * j + 400].all() for j in safe)


@pytest.mark.parametrize("damage", ["empty", "zeros"])
def test_live_a_lost_newest_file_has_nothing_of_the_day_before_stored_twice(
    damage: str, days_of_noise: np.ndarray, traces: Traces, tmp_path: Path
) -> None:
    """A power loss leaves the name of the new day's file, but no data; what the checkpoint buffers is on disk."""
    cut = traces(days_of_noise[:300_000], start_ns=T0_NS)
    archive = Archive(tmp_path, None, Diagnostics())
    state = None
    for trace in cut:
        is_first_day = trace.stop_ns < parse_time("2030-01-02T00:00:00")
        if is_first_day:
            state = archive.state()
        elif state is not None and len(tree(tmp_path)) > 1:
            break
        archive.push(trace)
    first, newest = sorted(path for path in tmp_path.rglob("*.D.*") if path.is_file())
    before = first.read_bytes()
    newest.write_bytes(b"" if damage == "empty" else bytes(newest.stat().st_size))

    again = Archive(tmp_path, None, Diagnostics())
    assert state is not None and state["channels"][MOON][1] is not None
    again.restore(state, replayed=False)
    again.close()
    assert first.read_bytes() == before


@pytest.mark.parametrize("n_zeros", [1, 40, 300])
def test_live_a_last_record_that_ends_with_zeros_is_cut_off_at_the_start(
    n_zeros: int, days_of_noise: np.ndarray, traces: Traces, tmp_path: Path
) -> None:
    """Its header is whole, its samples are not: they would be taken for other samples of the same time."""
    archive = Archive(tmp_path, None, Diagnostics(), may_drop=True)
    for trace in traces(days_of_noise[:50_000]):
        archive.push(trace)
    archive.sync()
    (path,) = (path for path in tmp_path.rglob("*.D.*") if path.is_file())
    whole = path.read_bytes()
    path.write_bytes(whole[:-n_zeros] + bytes(n_zeros))

    Archive(tmp_path, None, Diagnostics(), may_drop=True)  # nothing is pushed
    assert path.read_bytes() == (whole if whole[-n_zeros:] == bytes(n_zeros) else whole[:-512])
    assert any(whole[-300:])


@pytest.mark.parametrize("kind", ["float32", "float64", "whole floats", "wide integers"])
@pytest.mark.parametrize("n_zeros", [0, 1, 3, 40, 300, 700])
def test_live_samples_without_a_check_value_are_each_there_once_after_zeros_at_the_end(
    n_zeros: int, kind: str, traces: Traces, tmp_path: Path
) -> None:
    """What was written after the checkpoint may end with zeros; what the checkpoint buffers is stored once, unchanged.

    As a float, a sample of zeros is as good as any other, and it would stand beside the true one of the same time.
    """
    noise = np.random.default_rng(n_zeros).normal(0.0, 1e3, 20_000)
    samples = {
        "float32": noise.astype(np.float32),
        "float64": noise,
        "whole floats": noise.round().astype(np.float32),
        "wide integers": (noise * 2**20).clip(-(2**31), 2**31 - 1).astype(np.int32),
    }[kind]
    archive = Archive(tmp_path, None, Diagnostics(), may_drop=True)
    cut = traces(samples, n_each=300)
    for trace in cut[:25]:
        archive.push(trace)
    archive.sync()
    state = archive.state()
    write_checkpoint(tmp_path / "checkpoint", Checkpoint({}, state))
    (path,) = (path for path in tmp_path.rglob("*.D.*") if path.is_file())
    durable = path.read_bytes()
    for trace in cut[25:33]:
        archive.push(trace)
    whole = path.read_bytes()
    assert len(whole) > len(durable) + 1024 and len(durable) % 512 == 0
    if n_zeros:
        path.write_bytes(whole[:-n_zeros] + bytes(n_zeros))

    again = Archive(tmp_path, None, Diagnostics(), may_drop=True)
    again.restore(read_checkpoint(tmp_path / "checkpoint").state, replayed=False)
    kept = path.read_bytes()
    assert kept == whole[: len(kept)] and len(kept) >= len(whole) // 512 * 512 - 512 * (2 if n_zeros > 512 else 1)
    again.close()
    times = np.zeros(len(samples), np.int64)
    for trace in samples_of(tmp_path):
        first = round((trace.start_ns - cut[0].start_ns) * RATE_HZ / NS_PER_S)
        np.testing.assert_array_equal(trace.samples, samples[first : first + len(trace.samples)])
        times[first : first + len(trace.samples)] += 1
    assert times.max() == 1 and times[: 25 * 300].all()


def test_live_a_durable_last_record_that_ends_with_zeros_stays(traces: Traces, tmp_path: Path) -> None:
    """A dead channel of floats: at each start its last record is as the checkpoint knows it."""
    archive = Archive(tmp_path, None, Diagnostics(), may_drop=True)
    for trace in traces(np.zeros(3000, np.float32)):
        archive.push(trace)
    archive.close()
    (path,) = (path for path in tmp_path.rglob("*.D.*") if path.is_file())
    whole = path.read_bytes()
    again = Archive(tmp_path, None, Diagnostics(), may_drop=True)
    again.restore(archive.state(), replayed=False)
    assert path.read_bytes() == whole and not any(whole[-200:])


@pytest.mark.parametrize("damage", ["half a record", "zeros", "nothing but zeros"])
def test_an_incomplete_last_record_is_cut_off_and_the_file_continued(
    damage: str, days_of_noise: np.ndarray, traces: Traces, tmp_path: Path
) -> None:
    cut = traces(days_of_noise[:50_000])
    first = Archive(tmp_path, None, Diagnostics())
    for trace in cut[:60]:
        first.push(trace)
    first.sync()
    (path,) = (path for path in tmp_path.rglob("*.D.*") if path.is_file())
    whole = path.read_bytes()
    path.write_bytes({"half a record": whole + whole[512:700], "zeros": whole + bytes(1024)}.get(damage, bytes(4096)))

    diagnostics = Diagnostics()
    again = Archive(tmp_path, None, diagnostics)
    for trace in cut:
        again.push(trace)
    again.close()

    assert any("cut back to their last whole record" in text for text in diagnostics.texts())
    assert again.total_bytes == path.stat().st_size == len(path.read_bytes()) // 512 * 512
    found = np.concatenate([trace.samples for trace in samples_of(tmp_path)])
    np.testing.assert_array_equal(found, days_of_noise[:50_000])


def test_files_that_were_removed_do_no_harm(days_of_noise: np.ndarray, traces: Traces, tmp_path: Path) -> None:
    cut = traces(days_of_noise[:100_000])
    archive = Archive(tmp_path, 10**6, Diagnostics(), 1024)
    for trace in cut[:100]:
        archive.push(trace)
    (path,) = (path for path in tmp_path.rglob("*.D.*") if path.is_file())
    path.unlink()
    for trace in cut[100:]:
        archive.push(trace)
    archive.close()

    found = np.concatenate([trace.samples for trace in samples_of(tmp_path)])
    np.testing.assert_array_equal(found, days_of_noise[100_000 - len(found) : 100_000])
    assert len(found) > 55_000


def test_a_state_fits_into_a_checkpoint_and_does_not_depend_on_the_folder(
    days_of_noise: np.ndarray, traces: Traces, tmp_path: Path
) -> None:
    archive = Archive(tmp_path / "a", None, Diagnostics())
    for trace in traces(days_of_noise[:10_000]):
        archive.push(trace)
    write_checkpoint(tmp_path / "checkpoint", Checkpoint({}, archive.state()))

    (tmp_path / "a").rename(tmp_path / "b")
    moved = Archive(tmp_path / "b", None, Diagnostics())
    moved.restore(read_checkpoint(tmp_path / "checkpoint").state, replayed=True)
    for trace in traces(
        days_of_noise[10_000:20_000], start_ns=T0_NS - 15 * 3600 * NS_PER_S + duration_ns(10_000, RATE_HZ)
    ):
        moved.push(trace)
    moved.close()

    found = np.concatenate([trace.samples for trace in samples_of(tmp_path / "b")])
    np.testing.assert_array_equal(found, days_of_noise[:20_000])


@pytest.mark.parametrize("cap_bytes", [40_000, 59_000, 60_000, 100_000])
def test_a_limit_below_a_day_keeps_its_half_over_restarts(
    cap_bytes: int, days_of_noise: np.ndarray, traces: Traces, tmp_path: Path
) -> None:
    """The first append after a restart may be the one that meets the limit; what is kept then must stay as it is."""
    parts = traces(days_of_noise[:200_000], n_each=400)
    rng, first = np.random.default_rng(cap_bytes), 0
    while first < len(parts):
        n_parts = int(rng.integers(1, 60))
        diagnostics = Diagnostics()
        archive = Archive(tmp_path, cap_bytes, diagnostics)
        for trace in parts[first : first + n_parts]:
            archive.push(trace)
        archive.close()
        first += n_parts
        (path,) = (path for path in tmp_path.rglob("*.D.*") if path.is_file())
        assert diagnostics.texts() == [] and path.stat().st_size <= cap_bytes
        (kept,) = obspy.read(str(path)).merge(method=-1)
        stop = min(400 * first, 200_000)
        np.testing.assert_array_equal(kept.data, days_of_noise[stop - len(kept) : stop])
        assert path.stat().st_size > cap_bytes / 3 or stop < 60_000

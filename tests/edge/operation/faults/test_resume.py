"""Power loss, stops and full disks: no catalogued event is lost, and the run continues where it was."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgequake.benchmarks.robustness.crash_recovery import contents, kill_and_resume
from edgequake.edge.__main__ import main
from edgequake.edge.base.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from edgequake.edge.base.control import Control
from edgequake.edge.base.errors import ConfigError, Stopped
from edgequake.edge.formats.miniseed import index_file
from edgequake.edge.operation import run_folder
from edgequake.edge.results.catalog import read_catalog
from edgequake.edge.runner import RunConfig, run
from edgequake.synthetic import synthetic_dataset

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two stations of three channels each, and a copy of one file: three streams."""
    folder = tmp_path_factory.mktemp("records")
    for seed, station in enumerate(("AAA", "BBB")):
        rng = np.random.default_rng(30 + seed)
        record = synthetic_dataset.synthetic_record(
            rng, 18_000.0, (3000.0, 12_000.0), ratios=(25.0, 12.0), noise_counts=0.5
        )
        whole = synthetic_dataset.write_miniseed(record, folder / f"{station}.mseed")
        data = bytearray(whole.read_bytes())
        for first in range(0, len(data), 512):
            data[first + 8 : first + 13] = f"{station:5s}".encode()
        data[7 * 512 + 64 : 8 * 512] = rng.bytes(448)  # a damaged record
        whole.write_bytes(data)
    shutil.copy(folder / "AAA.mseed", folder / "AAA_again.mseed")
    return folder


@pytest.fixture(scope="module")
def undisturbed(records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an undisturbed run."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    assert len(run(RunConfig((str(records),), out)).events) >= 4
    return out


def summary_of(out: Path) -> dict[str, Any]:
    """Return a summary without what may differ: times, memory, and how often the run was resumed."""
    summary: dict[str, Any] = json.loads((out / "summary.json").read_text())
    return {name: value for name, value in summary.items() if name not in
            ("wall_s", "cpu_s", "peak_memory_bytes", "resumed")}  # fmt: skip


@pytest.mark.slow
def test_kills_at_random_instants_leave_no_trace(records: Path, tmp_path: Path) -> None:
    kills = kill_and_resume((str(records),), tmp_path, n_kills=5, seed=3)
    assert kills.n_kills == 5 and kills.identical and kills.lost_rows == 0 and kills.partial_files == 0


def stop_after(n_batches: int) -> tuple[Control, Callable[[float], None]]:
    """Return a control and a progress callback that stops the run after some batches."""
    control, left = Control(), [n_batches]

    def progress(share: float) -> None:
        left[0] -= 1
        control.terminated = left[0] <= 0

    return control, progress


def test_a_run_over_files_that_is_stopped_continues(records: Path, undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    config = RunConfig((str(records),), out, resume=True)
    for n_batches in (3, 5, 2):
        control, progress = stop_after(n_batches)
        with pytest.raises(Stopped, match="go on with --resume"):
            run(config, progress, control)
        assert (out / "checkpoint.edgequake").exists() and not (out / "summary.json").exists()
    assert run(config).resumed == 3
    assert contents(out) == contents(undisturbed) and summary_of(out) == summary_of(undisturbed)
    assert not (out / "checkpoint.edgequake").exists()


def test_a_finished_run_is_not_run_again(records: Path, undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(undisturbed, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    summary = run(RunConfig((str(records),), out, resume=True))
    assert json.loads(summary.to_json()) == json.loads((undisturbed / "summary.json").read_text())
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    with pytest.raises(ConfigError, match="contains the results of another run"):
        run(RunConfig((str(records / "AAA.mseed"),), out, resume=True))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"threshold": 0.2}, "threshold"),
        ({"stop_ns": 2 * 10**18}, "start and stop"),
        ({"channels": ("MHZ",)}, "channels"),
        ({"inputs": "AAA.mseed"}, "inputs"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(
    change: dict[str, Any], named: str, records: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    control, progress = stop_after(3)
    with pytest.raises(Stopped):
        run(RunConfig((str(records),), out), progress, control)
    before = (out / "checkpoint.edgequake").read_bytes()
    if "inputs" in change:
        change = {"inputs": (str(records / change["inputs"]),)}
    with pytest.raises(
        ConfigError, match=rf"belongs to another run: .*{named}.* differ; resume it with the options it was begun with"
    ):
        run(RunConfig(**{"inputs": (str(records),), "out": out, "resume": True, **change}))
    assert (out / "checkpoint.edgequake").read_bytes() == before
    with pytest.raises(ConfigError, match="an unfinished one: --resume continues it"):
        run(RunConfig((str(records),), out))


@pytest.mark.parametrize("field", ["edgequake", "graph", "manifest"])
def test_a_live_run_sets_the_checkpoint_of_another_model_aside(
    field: str, quake_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, said = tmp_path / "out", []
    live = RunConfig(("-",), out, model="moon", resume=True)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(quake_file.read_bytes()[:51_200])))
    run(live)
    path = out / "checkpoint.edgequake"
    checkpoint = read_checkpoint(path)
    write_checkpoint(path, Checkpoint({**checkpoint.identity, field: "other"}, checkpoint.state))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(quake_file.read_bytes()[51_200:76_800])))
    run(live, control=Control(log=said.append))
    assert len(said) == 2 and ": event from " in said[1]
    assert f"{field} differ; set aside as checkpoint.edgequake.set-aside-1" in said[0]
    assert (out / "checkpoint.edgequake.set-aside-1").exists() and (out / "summary.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["damaged", "old"])
def test_an_unusable_checkpoint_is_set_aside_and_the_run_starts_over(
    kind: str, records: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """`old`: a checkpoint of another format version, which an earlier edgequake wrote."""
    out, said = tmp_path / "out", []
    control, progress = stop_after(6)
    with pytest.raises(Stopped):
        run(RunConfig((str(records),), out), progress, control)
    path = out / "checkpoint.edgequake"
    data = bytearray(path.read_bytes())
    if kind == "old":
        assert data.startswith(b"edgequake checkpoint 5\n")
        data[21:22] = b"2"
    else:
        data[len(data) // 2] ^= 1
    path.write_bytes(data)
    summary = run(RunConfig((str(records),), out, resume=True), control=Control(log=said.append))
    reason = {
        "damaged": "is damaged: ",
        "old": f"{path} is no checkpoint that this edgequake reads: expected 'edgequake checkpoint 5', got "
        f"'edgequake checkpoint 2'; ",
    }[kind]
    assert len(said) == 3 and "\n" not in said[0] and reason in said[0] and summary.resumed == 0
    assert "set aside as checkpoint.edgequake.set-aside-1: the run starts over from its input" in said[0]
    assert path.with_name("checkpoint.edgequake.set-aside-1").read_bytes() == data
    assert contents(out) == contents(undisturbed) and summary_of(out) == summary_of(undisturbed)


def test_a_run_over_files_that_have_changed_is_not_continued(records: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    shutil.copytree(records, folder)
    control, progress = stop_after(3)
    with pytest.raises(Stopped):
        run(RunConfig((str(folder),), tmp_path / "out"), progress, control)
    with (folder / "AAA.mseed").open("ab") as file:
        file.write((folder / "BBB.mseed").read_bytes()[:512])
    with pytest.raises(ConfigError, match="inputs differ"):
        run(RunConfig((str(folder),), tmp_path / "out", resume=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "free the disk, then go on with --resume"), (errno.EROFS, "mount the disk writable")],
)
def test_a_full_or_read_only_disk_is_reported_and_loses_nothing(
    number: int, remedy: str, records: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / "out"
    command = ["run", str(records), "--out", str(out), "--resume", "--checkpoint-every", "0"]
    acknowledged: set[str] = set()
    n_failed = 0
    for n_syncs in (5, 9, 8, 9, 10):
        left = [n_syncs]

        def fsync(descriptor: int, left: list[int] = left, before: Any = os.fsync) -> None:
            left[0] -= 1
            if left[0] <= 0:
                raise OSError(number, os.strerror(number))
            before(descriptor)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            if main(command) == 0:
                break
        n_failed += 1
        said = capsys.readouterr().err
        said = "".join(line for line in said.splitlines(keepends=True) if ": model moon (" not in line)
        assert said.count("\n") == 1 and "cannot write" in said and remedy in said
        rows = {row.evid for row in read_catalog(out / "catalog.csv")} if (out / "catalog.csv").exists() else set()
        assert acknowledged <= rows
        acknowledged = rows
        assert not list(out.rglob(".*.part"))
    assert n_failed >= 3 and main(command) == 0
    assert contents(out) == contents(undisturbed) and summary_of(out) == summary_of(undisturbed)


@pytest.mark.slow
def test_checkpoints_take_a_limited_share_of_the_time(records: Path, tmp_path: Path, monkeypatch: Any) -> None:
    written = []
    before = run_folder.write_checkpoint
    monkeypatch.setattr(run_folder, "write_checkpoint", lambda *a: written.append(before(*a)))
    run(RunConfig((str(records),), tmp_path / "a", checkpoint_s=0.0))
    often = len(written)
    written.clear()
    run(RunConfig((str(records),), tmp_path / "b", checkpoint_s=1e-9))  # the share of the time is the limit
    assert often > 10 and 1 <= len(written) < often and max(written or [0]) < 2_000_000


def test_a_live_run_continues_after_a_clean_end(
    quake_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two parts of a stream, the second hours after the quake: one catalogue, and the detector starts warm."""
    headers = index_file(quake_file).headers
    data = quake_file.read_bytes()
    records = [data[header.offset : header.offset + header.size_bytes] for header in headers]
    out = tmp_path / "out"
    for part in (records[:-40], records[-40:]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"".join(part))))
        summary = run(RunConfig(("-",), out, resume=True))
    whole = run(RunConfig((str(quake_file),), tmp_path / "whole"))
    assert (summary.resumed, summary.restarts) == (1, 0)
    assert len(whole.events) == 1 and contents(out).keys() >= contents(tmp_path / "whole").keys()
    for name in ("samples_in", "record_s", "tears_bridged", "fill_samples", "samples_bridged"):
        assert getattr(summary, name) == getattr(whole, name), name


def test_an_unusable_earlier_catalogue_is_set_aside_and_reported(quake_file: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "catalog.csv").write_text("mine\n")
    said: list[str] = []
    summary = run(RunConfig((str(quake_file),), tmp_path / "out", resume=True), control=Control(log=said.append))
    assert (tmp_path / "out" / "catalog.csv.set-aside-1").read_text() == "mine\n"
    assert summary.n_events == len(read_catalog(tmp_path / "out" / "catalog.csv")) == 1
    assert any("was damaged or incomplete and has been repaired" in line for line in said)

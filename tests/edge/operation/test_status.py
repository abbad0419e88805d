"""The output of `status` against the files of the run."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import obspy
import pytest

from edgequake import __version__
from edgequake.edge.__main__ import main
from edgequake.edge.base.process_identity import process_identity
from edgequake.edge.formats.waveforms import NS_PER_S, format_time
from edgequake.edge.manifest.manifest import shipped_models
from edgequake.edge.operation.status import read_status
from edgequake.edge.results.catalog import read_catalog
from edgequake.synthetic import synthetic_dataset

from ..live_command import live_command

EVERYTHING = ("--archive-bytes", "400000", "--summary-channel", "--budget", "20000", "--pass-every", "900")


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of nine hours with two quakes."""
    made = synthetic_dataset.synthetic_record(
        np.random.default_rng(5), 32_400.0, (6000.0, 20_000.0), ratios=(25.0, 15.0), noise_counts=0.5
    )
    return synthetic_dataset.write_miniseed(made, tmp_path_factory.mktemp("record") / "day.mseed")


@pytest.fixture(scope="module")
def done(record: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run with all services."""
    out = tmp_path_factory.mktemp("done") / "out"
    assert main(["run", str(record), "--out", str(out), *EVERYTHING]) == 0
    return out


def test_it_agrees_with_the_files(done: Path, record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["status", str(done), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    rows = read_catalog(done / "catalog.csv")
    source = obspy.read(str(record), headonly=True)
    stop_ns = max((trace.stats.endtime + trace.stats.delta).ns for trace in source)
    manifest = json.loads(shipped_models()["moon"].read_text())
    graph = shipped_models()["moon"].parent / manifest["variants"][manifest["default_variant"]]["file"]
    outbox = [path.stat().st_size for path in (done / "outbox").iterdir()]
    archive = [path for path in (done / "archive").rglob("*") if path.is_file()]
    stored = obspy.Stream()
    for path in archive:
        stored += obspy.read(str(path))
    waiting = sum(row.size_bytes for row in rows) - sum(
        path.stat().st_size for path in (done / "outbox").glob("*.mseed") if b"LUN  L0" not in path.read_bytes()
    )

    assert len(rows) == 2 and status["events"] == 2 and status["health"] == status["state"] == "ended"
    assert (status["edgequake_version"], status["model"]) == (__version__, "moon")
    assert status["graph_sha256"] == hashlib.sha256(graph.read_bytes()).hexdigest()
    assert abs(obspy.UTCDateTime(status["mission_time"]).ns - stop_ns) < NS_PER_S
    assert set(status["last_sample"]) == {f"FDSN:XX_LUN_00_M_H_{code}" for code in "12Z"}
    assert max(status["last_sample"].values()) == status["mission_time"]
    assert status["samples_in"] == sum(trace.stats.npts for trace in source)
    assert status["outbox"] == {"files": len(outbox), "size_bytes": sum(outbox)}
    downlink = status["downlink"]
    assert (downlink["budget_bytes"], downlink["day"]) == (20_000, "2030-01-01")
    assert downlink["spent_bytes"] == downlink["handed_bytes"] == sum(outbox) <= 20_000 * 9 / 24
    assert downlink["segments_waiting"] == downlink["segments_begun"] == 2
    assert downlink["bytes_waiting"] == waiting == 512 * downlink["records_waiting"]
    ranks = [segment["rank"] for segment in downlink["next"]]
    assert ranks == sorted(ranks, reverse=True) and {s["segment"] for s in downlink["next"]} == {
        r.segment for r in rows
    }
    assert status["archive"]["files"] == len(archive)
    assert status["archive"]["size_bytes"] == sum(path.stat().st_size for path in archive)
    first, last = (obspy.UTCDateTime(status["archive"][name]) for name in ("first_sample", "last_sample"))
    assert abs(first - min(trace.stats.starttime for trace in stored)) < 1e-3
    assert abs(last - max(trace.stats.endtime + trace.stats.delta for trace in stored)) < 1e-3
    assert (
        status["rises_let_go"] >= 0
        and status["warnings"] == json.loads((done / "summary.json").read_text())["warnings"]
    )


def test_its_text(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["status", str(done)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("ended, as of ") and "2 event(s), " in said
    for word in ("queue: 2 segment(s)", "budget: ", "outbox: ", "archive: ", "last sample of FDSN:XX_LUN_00_M_H_Z"):
        assert word in said


def test_a_runner_that_writes_nothing_any_more(done: Path, tmp_path: Path) -> None:
    status = json.loads((done / "status.json").read_text())
    for state, age_s, heard_s, expected in (
        ("running", 5.0, 5.0, "well"),
        ("running", 1000.0, 1000.0, "dead or hanging: nothing written for 16 min 40 s"),
        ("running", 5.0, 700.0, "stalled: no samples for 11 min 40 s"),
        ("ended", 1e6, 1e6, "ended"),
    ):
        heard_at = f"{format_time(time.time_ns() - round(heard_s * NS_PER_S))}Z"
        (tmp_path / "status.json").write_text(
            json.dumps({**status, "state": state, "stall_after_s": 600.0, "heard_at": heard_at})
        )
        os.utime(tmp_path / "status.json", (time.time() - age_s, time.time() - age_s))
        assert read_status(tmp_path)["health"] == expected


@pytest.mark.skipif(not Path("/proc/self/ns/pid").exists(), reason="Linux tells which processes live")
@pytest.mark.parametrize("ahead_s", [-20.0, 0.0, 5e7])
def test_a_killed_run_is_never_well_whatever_the_clock_says(record: Path, tmp_path: Path, ahead_s: float) -> None:
    command = live_command(tmp_path / "out", "--spool-bytes", "0")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        process.stdin.write(record.read_bytes()[:51_200])
        process.stdin.flush()
        deadline_s = time.monotonic() + 60
        while not (tmp_path / "out" / "status.json").exists() and time.monotonic() < deadline_s:
            time.sleep(0.02)
        assert read_status(tmp_path / "out")["health"] == "well"
        process.kill()
    now_s = time.time() + ahead_s
    os.utime(tmp_path / "out" / "status.json", (now_s, now_s))
    status = read_status(tmp_path / "out")
    assert status["health"] == f"dead or hanging: its process {process.pid} has ended" and status["age_s"] >= 0
    # After a restart of the machine its process number may be another's.
    saved = json.loads((tmp_path / "out" / "status.json").read_text())
    saved["process"] = {**saved["process"], "boot": ["another", saved["process"]["boot"][1]], "pid": os.getpid()}
    (tmp_path / "out" / "status.json").write_text(json.dumps(saved))
    assert read_status(tmp_path / "out")["health"] == "dead or hanging: the machine was started again since"
    (tmp_path / "out" / "status.json").write_text(json.dumps({**saved, "host": "another"}))
    assert read_status(tmp_path / "out")["health"] == "well"  # nothing here knows the processes there


def test_a_run_that_hangs_is_found_although_the_clock_was_set_back(done: Path, tmp_path: Path) -> None:
    status = json.loads((done / "status.json").read_text())
    process = {**process_identity(), "at_s": process_identity()["at_s"] - 1000.0}
    (tmp_path / "status.json").write_text(json.dumps({**status, "state": "running", "process": process}))
    os.utime(tmp_path / "status.json", (time.time() + 5e7, time.time() + 5e7))
    assert read_status(tmp_path)["health"] == "dead or hanging: nothing written for 16 min 40 s"


def test_a_folder_without_a_status_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(tmp_path)]) == 1
    assert f"{tmp_path} has neither status.json nor summary.json: expected the --out" in capsys.readouterr().err
    (tmp_path / "status.json").write_text("{")
    assert main(["status", str(tmp_path)]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_a_run_over_files_is_told_from_its_summary(
    done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = json.loads((done / "summary.json").read_text())
    (tmp_path / "checkpoint.edgequake").write_bytes(b"")
    assert main(["status", str(tmp_path)]) == 0 and "--resume continues it" in capsys.readouterr().out
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    assert main(["status", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"state": "ended", "health": "ended", **summary}
    assert main(["status", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("ended at 20") and summary["inputs"][0] in said.splitlines()[0]
    assert f"{summary['n_events']} event(s) in 9 h 00 min of XX_LUN" in said
    (tmp_path / "summary.json").write_text("{}")
    assert main(["status", str(tmp_path)]) == 1 and "summary.json" in capsys.readouterr().err


def test_rises_too_short_for_an_event_are_counted() -> None:
    """Drawn by hand: two rises of 20 s where 60 s are required, one that becomes an event, one while not armed."""
    from edgequake.edge.detection.trigger import Decision, Trigger
    from edgequake.edge.manifest.manifest import TriggerConfig

    config = TriggerConfig(
        onset_thresholds={"low": 0.9, "normal": 0.6, "high": 0.4}, rearm_ratio=0.5, event_threshold=0.5,
        min_duration_s=60.0, hold_s=30.0, merge_s=10.0, max_event_s=500.0, onset_lag_s=0.0, pre_roll_s=10.0,
        post_roll_s=5.0,
    )  # fmt: skip
    trigger = Trigger(config, 0.6)
    onsets = [0.1, 0.7, 0.7, 0.1, 0.8, 0.8, 0.2, *[0.9] * 7, 0.4, 0.7, 0.1, 0.1]
    for i, onset in enumerate(onsets):
        trigger.push(Decision(i * 10 * NS_PER_S, (i + 1) * 10 * NS_PER_S, onset, onset))
    assert trigger.n_short_rises == 2
    other = Trigger(config, 0.6)
    other.restore(trigger.state())
    assert other.n_short_rises == 2

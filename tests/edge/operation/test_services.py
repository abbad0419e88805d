"""Whole runs with archive, SSAM channels and downlink: power losses, full disks and unusable options."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import obspy
import pytest

from edgequake.benchmarks.robustness.crash_recovery import contents, kill_and_resume
from edgequake.benchmarks.robustness.fault_reports import SERVICE_OPTIONS
from edgequake.edge.__main__ import main
from edgequake.edge.archive.extract import Span
from edgequake.edge.base.control import Control
from edgequake.edge.base.errors import ConfigError, Stopped
from edgequake.edge.downlink.journal import Pass, read_journal
from edgequake.edge.downlink.requests import Request
from edgequake.edge.formats.miniseed import index_file
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.results.catalog import read_catalog
from edgequake.edge.runner import RunConfig, run
from edgequake.synthetic import synthetic_dataset

from ..live_command import live_command

S = NS_PER_S
BUDGET = 20_000


def everything(inputs: tuple[str, ...], out: Path, **changes: Any) -> RunConfig:
    values: dict[str, Any] = {
        "archive_bytes": 300_000, "summary_channel": True, "budget_bytes": BUDGET, "pass_s": 900.0, "checkpoint_s": 0.0,
    }  # fmt: skip
    return RunConfig(inputs, out, model="moon", **{**values, **changes})


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of eight hours over midnight, three channels, two quakes."""
    made = synthetic_dataset.synthetic_record(
        np.random.default_rng(5), 28_800.0, (6000.0, 20_000.0), ratios=(25.0, 15.0), noise_counts=0.5,
        start_ns=synthetic_dataset.DAY_START_NS + 20 * 3600 * S,
    )  # fmt: skip
    return synthetic_dataset.write_miniseed(made, tmp_path_factory.mktemp("record") / "day.mseed")


@pytest.fixture(scope="module")
def undisturbed(record: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an undisturbed run with all services."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    assert len(run(everything((str(record),), out)).events) == 2
    return out


def journal(out: Path) -> list[Pass]:
    return list(read_journal(out / "downlink.log"))


def require_kept_budget(out: Path) -> None:
    spent: dict[int, int] = {}
    for done in journal(out):
        spent[done.day] = spent.get(done.day, 0) + done.size_bytes
    assert spent and all(n_bytes <= BUDGET for n_bytes in spent.values())


def require_nothing_twice(out: Path) -> None:
    """Check that the units of each source follow one another without a repeat."""
    until: dict[str, int] = {}
    for done in journal(out):
        for part in done.sent:
            assert part.first == until.get(part.source, part.first) and part.stop > part.first
            until[part.source] = part.stop


def test_all_services_together(undisturbed: Path, record: Path) -> None:
    require_kept_budget(undisturbed)
    require_nothing_twice(undisturbed)
    assert {path.name for path in undisturbed.iterdir()} == {
        "archive", "continuous", "outbox", "segments", "catalog.check", "catalog.csv", "downlink.log", "status.json",
        "summary.json",
    }  # fmt: skip
    sources = {part.source.partition("/")[0] for done in journal(undisturbed) for part in done.sent}
    assert "segments" in sources
    handed = sum(path.stat().st_size for path in (undisturbed / "outbox").iterdir())
    assert handed == sum(done.size_bytes for done in journal(undisturbed)) > BUDGET / 3
    plain = run(RunConfig((str(record),), undisturbed.parent / "plain"))
    assert [row.evid for row in plain.events] == [row.evid for row in read_catalog(undisturbed / "catalog.csv")]


def test_a_run_that_is_stopped_repeatedly_leaves_no_trace(record: Path, undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for n_batches in (1, 3, 1, 2, 4):
        control, left = Control(), [n_batches]

        def progress(share: float, control: Control = control, left: list[int] = left) -> None:
            left[0] -= 1
            control.terminated = left[0] <= 0

        with pytest.raises(Stopped):
            run(everything((str(record),), out, resume=True), progress, control)
    run(everything((str(record),), out, resume=True))
    assert contents(out) == contents(undisturbed)


@pytest.mark.slow
def test_kills_at_random_instants_leave_no_trace(record: Path, tmp_path: Path) -> None:
    kills = kill_and_resume((str(record),), tmp_path, n_kills=4, seed=2, options=SERVICE_OPTIONS)
    assert kills.n_kills == 4 and kills.passed and kills.handed_twice == 0


@pytest.mark.parametrize("version", [2, 3])
def test_an_unusable_checkpoint_starts_over_and_still_nothing_is_sent_twice(
    version: int, record: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """A checkpoint of an older format, and a damaged one of the present format."""
    out, said, control, left = tmp_path / "out", [], Control(), [14]

    def progress(share: float) -> None:
        left[0] -= 1
        control.terminated = left[0] <= 0

    with pytest.raises(Stopped):
        run(everything((str(record),), out), progress, control)
    n_passes = len(journal(out))
    assert n_passes > 3
    (out / "checkpoint.edgequake").write_bytes(b"edgequake checkpoint %d\n" % version + b"0" * 100)
    run(everything((str(record),), out, resume=True), control=Control(log=said.append))
    assert len(said) == 1 and "the run starts over" in said[0]
    found, expected = contents(out), contents(undisturbed)
    assert {name: sha for name, sha in found.items() if "set-aside" not in name} == expected


def test_a_request_is_served_the_same_after_stops(record: Path, tmp_path: Path) -> None:
    start_ns = synthetic_dataset.DAY_START_NS + 21 * 3600 * S
    folders = (tmp_path / "undisturbed", tmp_path / "killed")
    for out in folders:
        Request("a", Span(start_ns, start_ns + 1200 * S, None, ("MHZ",))).write(out / "requests")
    run(everything((str(record),), folders[0]))
    for n_batches in (2, 1, 3):
        control, left = Control(), [n_batches]

        def progress(share: float, control: Control = control, left: list[int] = left) -> None:
            left[0] -= 1
            control.terminated = left[0] <= 0

        with pytest.raises(Stopped):
            run(everything((str(record),), folders[1], resume=True), progress, control)
    run(everything((str(record),), folders[1], resume=True))
    assert contents(folders[0]) == contents(folders[1])
    parts = [part for done in journal(folders[0]) for part in done.sent]
    assert "requests/a.mseed" in {part.source for part in parts}
    assert all(part.again for part in parts if part.source == "requests/a.mseed")


# --- live ------------------------------------------------------------------------------------------------------------


def records_of(path: Path) -> list[bytes]:
    data = path.read_bytes()
    return [data[header.offset : header.offset + header.size_bytes] for header in index_file(path).headers]


def is_written_after(path: Path, time_s: float) -> bool:
    return path.exists() and path.stat().st_mtime > time_s


LIVE = ("--budget", str(BUDGET), "--pass-every", "600", "--archive-bytes", "300000", "--summary-channel", "--resume")


def records_in(path: Path) -> list[bytes]:
    """Return the records of a file, of whatever length; those of SSAM channels may be of 256 bytes."""
    data = path.read_bytes()
    return [data[header.offset : header.offset + header.size_bytes] for header in index_file(path).headers]


@pytest.mark.slow
def test_live_with_kills_no_catalogued_event_is_lost_and_nothing_is_sent_twice(record: Path, tmp_path: Path) -> None:
    """A process is killed in the middle of the stream repeatedly; the next one gets what arrives then."""
    out = tmp_path / "out"
    records = records_of(record)
    rng = np.random.default_rng(7)
    cuts = np.sort(rng.choice(len(records), 3, replace=False)).tolist()
    command = live_command(out, *LIVE, "--checkpoint-every", "0.5")
    rows: set[str] = set()
    for first, stop in zip([0, *cuts], [*cuts, len(records)], strict=True):
        begun_s = time.time()
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
            assert process.stdin is not None
            if stop == len(records):
                process.communicate(b"".join(records[first:stop]), timeout=120)
                assert process.returncode == 0
            else:
                process.stdin.write(b"".join(records[first:stop]))
                process.stdin.flush()
                until_s = time.monotonic() + 60
                while not is_written_after(out / "status.json", begun_s) and time.monotonic() < until_s:
                    time.sleep(0.01)
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(timeout=float(rng.uniform(0.0, 0.8)))
                process.kill()
        now = {row.evid for row in read_catalog(out / "catalog.csv")} if (out / "catalog.csv").exists() else set()
        assert rows <= now
        rows = now
    require_kept_budget(out)
    require_nothing_twice(out)
    outbox = {path.name for path in (out / "outbox").iterdir()}
    assert outbox == {file.name for done in journal(out) for file in done.files}
    kept = [path for name in ("segments", "continuous") for path in (out / name).rglob("*") if path.is_file()]
    known = {record for path in kept for record in records_in(path)}
    sent = [record for path in (out / "outbox").glob("*.mseed") for record in records_in(path)]
    assert len(sent) == len(set(sent)) > 0 and set(sent) <= known
    for path in (out / "archive").rglob("*.D.*"):
        for trace in obspy.read(str(path)) if path.is_file() else ():
            assert len(trace) > 0


@pytest.mark.slow
def test_live_the_budget_may_change_from_one_process_to_the_next(
    record: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, said = tmp_path / "out", []
    records = records_of(record)
    for part, budget in ((records[:500], 5000), (records[500:], 9000)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"".join(part))))
        run(
            everything(("-",), out, budget_bytes=budget, resume=True, checkpoint_s=60.0),
            control=Control(log=said.append),
        )
    assert all(": event from " in line for line in said)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    run(RunConfig(("-",), out, "moon", resume=True), control=Control(log=said.append))  # and it may be left out
    assert (
        all(": event from " in line for line in said)
        and json.loads((out / "status.json").read_text())["downlink"] is None
    )


# --- disks and options -----------------------------------------------------------------------------------------------


def test_on_a_full_disk_the_archive_is_evicted_and_no_event_is_lost(
    record: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quota on the run folder, enforced where data are synced: far less than the archive's size limit."""
    out, before = tmp_path / "out", os.fsync

    def fsync(descriptor: int) -> None:
        size_bytes = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        if size_bytes > 330_000 and any(path.is_file() for path in (out / "archive").rglob("*")):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        before(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    config = everything((str(record),), out, archive_bytes=1_000_000, checkpoint_s=1e9)
    summary = run(config)
    assert any("because the disk was full" in text for text in summary.warnings)
    mine, theirs = contents(out), contents(undisturbed)
    for name in theirs:
        if name.startswith(("segments/", "outbox/", "catalog", "downlink")):
            assert mine[name] == theirs[name], name


def test_force_deletes_everything_of_an_earlier_run(record: Path, undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(everything((str(record),), out, start_ns=synthetic_dataset.DAY_START_NS + 21 * 3600 * S))
    with pytest.raises(ConfigError, match="contains the results of an earlier run"):
        run(everything((str(record),), out))
    run(everything((str(record),), out, force=True))
    assert contents(out) == contents(undisturbed)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--budget", "1000"], "--budget 1000: expected at least 1024 bytes a day"),
        (["--archive-bytes", "100"], "an archive of 100 bytes is too small"),
        (["--budget", "5000", "--pass-every", "0"], "--pass-every 0: expected 1 to 86400 seconds"),
        (["--priority", "math:nothing"], "--priority math:nothing"),
        (["--on-event", "/no/such/program"], "there is no program"),
    ],
)
def test_an_unusable_option_is_refused_before_anything_is_written(
    options: list[str], said: str, record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "catalog.csv").write_text("mine\n")
    assert main(["run", str(record), "--out", str(out), "--force", *options]) == 1
    assert said in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["catalog.csv"] and (out / "catalog.csv").read_text() == "mine\n"


def test_a_run_without_services_imports_none_of_them(record: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from edgequake.edge.__main__ import main; main(sys.argv[1:]);"
        "print(*(name for name in sys.modules if name.startswith('edgequake.edge.') and name.count('.') == 3))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "run", str(record), "--out", str(tmp_path / "out")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = {name.removeprefix("edgequake.edge.") for name in done.stdout.splitlines()[-1].split()}
    unwanted = ("archive.", "downlink.", "operation.event_hook", "operation.status", "inputs.live", "inputs.udp")
    assert "operation.services" in loaded
    assert not [name for name in loaded if name.startswith(unwanted)]


def test_a_function_of_the_user_ranks_events(record: Path, tmp_path: Path) -> None:
    summary = run(everything((str(record),), tmp_path / "out", priority=lambda facts: facts.onset_ns % 10**6 / 10**6))
    assert [row.priority for row in summary.events] == pytest.approx(
        [row.onset_ns % 10**6 / 10**6 for row in summary.events], abs=1e-3
    )  # the catalogue has microseconds
    assert len({row.priority for row in summary.events}) == 2


def test_the_hook_gets_each_event_once_also_after_a_stop(record: Path, tmp_path: Path) -> None:
    reported = tmp_path / "reported"
    hook = f"sh -c 'cat >> {reported}'"
    control, left = Control(), [5]

    def progress(share: float) -> None:
        left[0] -= 1
        control.terminated = left[0] <= 0

    with pytest.raises(Stopped):
        run(everything((str(record),), tmp_path / "out", on_event=hook), progress, control)
    summary = run(everything((str(record),), tmp_path / "out", on_event=hook, resume=True))
    told = [json.loads(line) for line in reported.read_text().splitlines()]
    assert [one["evid"] for one in told if one["phase"] == "final"] == [row.evid for row in summary.events]
    alarms = {one["alarm"]: one["phase"] for one in told}
    assert list(alarms.values()) == ["final", "final"] and len(told) == 4  # each was told at its onset first

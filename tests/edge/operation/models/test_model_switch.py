"""The switch to a new model in a running run: against runs of the old and of the new model alone."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from edgequake.edge.__main__ import main
from edgequake.edge.base.control import Control
from edgequake.edge.base.errors import Stopped
from edgequake.edge.detection import follower
from edgequake.edge.formats.miniseed import index_file
from edgequake.edge.formats.waveforms import parse_time
from edgequake.edge.operation import model_check, model_switch
from edgequake.edge.operation.install import stage
from edgequake.edge.operation.model_check import read_candidate
from edgequake.edge.operation.model_store import ModelStore
from edgequake.edge.operation.run_models import RunModels
from edgequake.edge.operation.status import read_status
from edgequake.edge.results.catalog import CatalogRow, read_catalog
from edgequake.edge.results.catalog_files import CatalogFiles
from edgequake.edge.runner import RunConfig, run
from edgequake.synthetic.synthetic_dataset import write_day

from ...live_command import live_command
from ...power_loss import PowerLossError, lose_power_after
from .other_models import moon_model, other_graph, write_model

DISK_CALLS = ((os, "fsync"), (Path, "replace"), (ModelStore, "_delete"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return manifests: another network, the shipped one with a high threshold, and one with another front end."""
    folder = tmp_path_factory.mktemp("models")
    manifest, _, graph = moon_model()
    trigger = dataclasses.replace(manifest.trigger, onset_thresholds={"low": 0.999, "normal": 0.998, "high": 0.997})
    deaf = dataclasses.replace(manifest, trigger=trigger)
    background = dataclasses.replace(manifest.front_end.background, step=0.003)
    front_end = dataclasses.replace(manifest.front_end, background=background)
    return {
        "other": write_model(folder / "other", manifest, other_graph(graph, 10), name="moon2"),
        "deaf": write_model(folder / "deaf", deaf, graph, name="moon3"),
        "front end": write_model(
            folder / "front_end",
            dataclasses.replace(manifest, front_end=front_end),
            other_graph(graph, 10),
            name="moon4",
        ),
    }


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a synthetic lunar day with four quakes."""
    return write_day(tmp_path_factory.mktemp("day"), seed=1)


@pytest.fixture(scope="module")
def alone(
    day: Path, models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], list[CatalogRow]]:
    """Return a function that returns the rows of a run of one model over the day."""
    folder, found = tmp_path_factory.mktemp("alone"), {}

    def rows(name: str) -> list[CatalogRow]:
        if name not in found:
            run(RunConfig((str(day),), folder / name, model=str(models.get(name, name))))
            found[name] = read_catalog(folder / name / "catalog.csv")
        return found[name]

    return rows


def offering(out: Path, model: Path, share: float) -> Callable[[float], None]:
    """Return a function for the progress of a run that offers a model once, after a share of the samples."""
    candidate, left = read_candidate(model), [share]

    def show(done: float) -> None:
        if left and done >= left[0]:
            left.clear()
            stage(out, candidate)

    return show


def switch_ns(out: Path) -> int:
    """Return the time from which on the new model has detected."""
    (entry,) = json.loads((out / "models" / "active.json").read_text())["moon"]["history"]
    return parse_time(entry["from"]["XX_LUN"])


def found(rows: list[CatalogRow]) -> list[tuple[str, int, float]]:
    return [(row.evid, row.stop_ns, row.peak_probability) for row in rows]


def require_each_sample_once(out: Path) -> None:
    """Compare the intervals of the segments of each channel: none overlaps another."""
    intervals: dict[str, list[tuple[int, int]]] = {}
    for path in (out / "segments").glob("*.mseed"):
        for header in index_file(path).headers:
            intervals.setdefault(header.source_id, []).append((header.start_ns, header.stop_ns))
    assert intervals
    for spans in intervals.values():
        spans.sort()
        assert all(a[1] <= b[0] + 1_000_000 for a, b in pairwise(spans))  # times are rounded


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.1, *(pytest.param(share, marks=pytest.mark.long) for share in (0.2, 0.37)), 0.55])
@pytest.mark.parametrize("name", ["other", "front end"])
def test_before_the_switch_the_events_are_the_old_models_and_after_it_the_new_ones(
    name: str,
    share: float,
    day: Path,
    models: dict[str, Path],
    alone: Callable[[str], list[CatalogRow]],
    tmp_path: Path,
) -> None:
    """The stops of the events tell the two models apart: from zero state on they differ in every event."""
    out, log = tmp_path / "run", []
    summary = run(
        RunConfig((str(day),), out, model="moon"), offering(out, models[name], share), Control(log=log.append)
    )
    at_ns, old, new = switch_ns(out), alone("moon"), alone(name)
    assert not {row.stop_ns for row in old} & {row.stop_ns for row in new}
    rows = read_catalog(out / "catalog.csv")
    if name == "other":
        expected = [row for row in old if row.onset_ns < at_ns] + [row for row in new if row.onset_ns >= at_ns]
        assert found(rows) == found(expected)
    else:  # its rows begin when it does, not with the record: onsets and stops differ by up to a row of 9.7 s
        near = [abs(a.onset_ns - b.onset_ns) < 10e9 for a, b in zip(rows, new, strict=True)]
        assert all(near)
        n_old = sum(row.onset_ns < at_ns for row in old)
        assert found(rows)[:n_old] == found(old)[:n_old]
        assert not {row.stop_ns for row in rows[n_old:]} & {row.stop_ns for row in old}
    assert 0 < sum(row.onset_ns < at_ns for row in rows) < len(rows)
    assert all(not row.onset_ns <= at_ns < row.stop_ns for row in [*old, *new])
    require_each_sample_once(out)
    assert summary.samples_in == run(RunConfig((str(day),), tmp_path / "again", model="moon")).samples_in
    marks = {block.rows[0].evid: block.found_by for block in CatalogFiles(out).blocks(0)}
    mark = {"other": "moon2", "front end": "moon4"}[name]
    assert [bool(marks[row.evid]) for row in rows] == [row.onset_ns >= at_ns for row in rows]
    assert {one.partition(" ")[0] for one in marks.values() if one} == {mark} and summary.model == mark
    assert sum("detects from now on" in line for line in log) == 1


def test_settling_is_what_the_models_do_not_share() -> None:
    """Worked out by hand for the shipped lunar model: rows of 64 samples at 6.625 Hz."""
    manifest, _, _ = moon_model()
    row_s = 64 / 6.625
    longer = dataclasses.replace(manifest, trigger=dataclasses.replace(manifest.trigger, pre_roll_s=200.0))
    other = dataclasses.replace(manifest.front_end, bridge_s=manifest.front_end.bridge_s + 1)
    assert follower.settling_s(manifest, manifest, True) == 0.0
    assert follower.settling_s(manifest, longer, True) == 200.0 - manifest.trigger.pre_roll_s
    assert follower.settling_s(manifest, manifest, False) == pytest.approx(1500 * row_s)
    window_s = manifest.front_end.window_samples / 6.625
    fresh = dataclasses.replace(manifest, front_end=other)
    assert follower.settling_s(manifest, fresh, True) == pytest.approx(1500 * row_s + window_s)


def test_thresholds_alone_need_no_warm_up(quake_file: Path, models: dict[str, Path], tmp_path: Path) -> None:
    """At the first batch the deaf model takes over, so that the quake of the second batch is not declared."""
    out, log = tmp_path / "run", []
    run(RunConfig((str(quake_file),), out, model="moon"), offering(out, models["deaf"], 0.05), Control(log=log.append))
    assert "fed beside the present one for 0 s" in log[0] and "detects from now on" in log[1]
    assert read_catalog(out / "catalog.csv") == []
    assert len(read_catalog(run(RunConfig((str(quake_file),), tmp_path / "alone")).out / "catalog.csv")) == 1


def test_sensitivity_goes_through_the_same_door(quake_file: Path, tmp_path: Path) -> None:
    """A shipped model by name, with another threshold, before the first start; and back again."""
    out = tmp_path / "run"
    assert main(["install", "moon", "--out", str(out), "--threshold", "0.999"]) == 0
    assert run(RunConfig((str(quake_file),), out)).n_events == 0
    assert main(["install", "moon", "--out", str(out), "--sensitivity", "high"]) == 0
    summary = run(RunConfig((str(quake_file),), out, force=True))
    assert summary.n_events == 1 and summary.onset_threshold == 0.25
    again = run(RunConfig((str(quake_file),), out, force=True))  # what is installed stays
    assert again.n_events == 1 and again.onset_threshold == 0.25


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_a_switch_waits_for_the_end_of_an_event(
    share: float, quake_file: Path, models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offered while the quake goes on, the model takes over after it, and the quake is the old model's, whole."""
    monkeypatch.setattr(follower, "NETWORK_ROWS", 30)
    old, new = (
        read_catalog(run(RunConfig((str(quake_file),), tmp_path / str(i), model=model)).out / "catalog.csv")
        for i, model in enumerate(("moon", str(models["other"])))
    )
    out = tmp_path / "run"
    run(RunConfig((str(quake_file),), out, model="moon"), offering(out, models["other"], share))
    rows = read_catalog(out / "catalog.csv")
    assert old[0].stop_ns != new[0].stop_ns
    assert len(rows) == 1 and [block.found_by[:5] for block in CatalogFiles(out).blocks(0)] == [
        "moon2" if share < 0.1 else ""
    ]
    if share > 0.1 and (out / "models" / "active.json").exists():
        assert switch_ns(out) > old[0].stop_ns


@pytest.mark.slow
@pytest.mark.parametrize("first", [1, 4])
def test_power_may_fail_at_every_step(
    first: int, quake_file: Path, models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Power fails once, before or after each call that changes the disk from the offer on; then the run is resumed."""
    monkeypatch.setattr(follower, "NETWORK_ROWS", 30)
    marks, n_losses = set(), 0
    for n_calls in range(first, 400, 6):
        out = tmp_path / str(n_calls)
        config = RunConfig((str(quake_file),), out, model="moon", resume=True, checkpoint_s=0.0)
        offer = offering(out, models["other"], 0.05)
        with monkeypatch.context() as patch:

            def arm(done: float, offer=offer, patch=patch, n=n_calls, out=out) -> None:  # type: ignore[no-untyped-def]
                if done >= 0.05 and not (out / "armed").exists():
                    (out / "armed").touch()
                    lose_power_after(patch, n, DISK_CALLS)
                elif done > 0.7:
                    patch.undo()
                offer(done)

            try:
                run(config, arm)
                break
            except PowerLossError:
                n_losses += 1
        started = RunModels(config, lambda line: None).of("XX_LUN").mark
        marks.add(started)
        run(config)
        rows = read_catalog(out / "catalog.csv")
        assert len(rows) == 1, n_calls
        assert len({row.evid for row in rows}) == len(rows)
        require_each_sample_once(out)
        if ModelStore(out).outcome() is not None:
            assert ModelStore(out).offer() is None and ModelStore(out).slots()["moon"].next is None
    assert n_losses > 5
    assert {mark.partition(" ")[0] for mark in marks} == {"", "moon2"}


def test_a_model_that_kills_its_process_again_and_again_is_given_up(
    quake_file: Path, models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three processes die while they feed it; the fourth refuses it, and goes on with the old model."""
    out, log = tmp_path / "run", []
    config = RunConfig((str(quake_file),), out, model="moon", resume=True, checkpoint_s=0.0)
    stage(out, read_candidate(models["other"]))
    for _ in range(3):
        with monkeypatch.context() as patch:
            patch.setattr(model_switch.ModelSwitch, "_follow", lambda self: (_ for _ in ()).throw(PowerLossError()))
            with pytest.raises(PowerLossError):
                run(config)
    summary = run(config, None, Control(log=log.append))
    assert summary.n_events == 1 and summary.model == "moon"
    assert any("3 processes ended while they tried it; the present model goes on" in line for line in log)
    assert any("3 processes ended" in warning for warning in summary.warnings)


def test_a_model_that_ends_live_processes_after_the_switch_is_taken_back(
    quake_file: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    """Each start of a model on trial counts; the run starts with the one before it at the fourth."""
    out = tmp_path / "run"
    offer = stage(out, read_candidate(models["other"]))
    run(RunConfig((str(quake_file),), out, model="moon"))
    store, log = ModelStore(out), []
    from edgequake.edge.operation.model_store import Trial

    store.write_trial(Trial(offer.id, 1))
    config = RunConfig((str(quake_file),), out, model="moon", force=True)
    marks = [RunModels(config, log.append).of("XX_LUN").mark.partition(" ")[0] for _ in range(4)]
    assert marks == ["moon2", "moon2", "", ""] and len(log) == 1 and "is taken back: 3 processes" in log[0]
    assert store.outcome()["state"] == "rolled back" and store.trial() is None  # type: ignore[index]


def test_damaged_files_of_the_installed_model_give_the_one_before(
    quake_file: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    """A bit of the graph flips on the disk after the switch: the next start says so and uses the run's own model."""
    out, log = tmp_path / "run", []
    stage(out, read_candidate(models["deaf"]))
    assert run(RunConfig((str(quake_file),), out, model="moon")).n_events == 0
    (graph,) = (out / "models").glob("*/*.tflite")
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 4
    graph.write_bytes(data)
    summary = run(RunConfig((str(quake_file),), out, model="moon", force=True), None, Control(log=log.append))
    assert summary.n_events == 1 and "cannot be used" in log[0] and "the one before it is" in log[0]


def live_records(day: Path, hours: float) -> tuple[list[bytes], list[int]]:
    """Return the records of the first hours of the day, and their starts, in order of time."""
    data, headers = day.read_bytes(), sorted(index_file(day).headers, key=lambda header: header.start_ns)
    until_ns = headers[0].start_ns + round(hours * 3600e9)
    taken = [header for header in headers if header.start_ns < until_ns]
    records = [data[header.offset : header.offset + header.size_bytes] for header in taken]
    return records, [header.start_ns for header in taken]


@pytest.mark.long
def test_live_the_run_switches_while_samples_come(day: Path, models: dict[str, Path], tmp_path: Path) -> None:
    """Two hours come, the model is installed, and when it is being fed, the rest of the half day comes."""
    records, starts_ns = live_records(day, 12.0)
    alone = []
    for name in ("moon", str(models["other"])):
        command = live_command(tmp_path / Path(name).stem, "--spool-bytes", "0", "--model", name)
        subprocess.run(command, input=b"".join(records), check=True, capture_output=True)
        alone.append(read_catalog(tmp_path / Path(name).stem / "catalog.csv"))
    out, n_first = tmp_path / "run", sum(start_ns < starts_ns[0] + 2 * 3600 * 10**9 for start_ns in starts_ns)
    command = live_command(out, "--spool-bytes", "0", "--model", "moon")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write(b"".join(records[:n_first]))
        process.stdin.flush()
        while not (out / "status.json").exists():
            assert process.poll() is None
        assert main(["install", str(models["other"]), "--out", str(out)]) == 0
        for line in process.stderr:
            if b"has passed its self-test" in line:
                break
        process.stdin.write(b"".join(records[n_first:]))
        process.stdin.close()
        rest = process.stderr.read().decode()
        assert process.wait() == 0, rest
    assert rest.count("detects from now on") == 1
    at_ns, (old, new) = switch_ns(out), alone
    rows = read_catalog(out / "catalog.csv")
    expected = [row for row in old if row.onset_ns < at_ns] + [row for row in new if row.onset_ns >= at_ns]
    assert found(rows) == found(expected) and len(rows) == 2
    assert [block.found_by[:5] for block in CatalogFiles(out).blocks(0)] == ["", "moon2"]
    require_each_sample_once(out)
    status = read_status(out)
    assert status["installation"]["state"] == "switched" and status["model"] == "moon2"


def test_a_stopped_run_keeps_the_offer_for_the_next_start(day: Path, models: dict[str, Path], tmp_path: Path) -> None:
    """Stopped while the model is fed, the run goes on with the old one, feeds it again and switches."""
    out, control = tmp_path / "run", Control()
    config = RunConfig((str(day),), out, model="moon", resume=True)
    offer = offering(out, models["other"], 0.05)

    def show(done: float) -> None:
        offer(done)
        control.terminated = done > 0.1

    with pytest.raises(Stopped):
        run(config, show, control)
    store = ModelStore(out)
    assert store.offer() is not None and store.trial() is None and store.outcome() is None
    assert run(config).model == "moon2" and store.offer() is None


def test_the_self_test_is_watched(
    models: dict[str, Path], quake_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A self-test that hangs, and one that is killed, are refusals of the model."""
    for code, words in (
        ("while True: pass", "took too long"),
        ("import os; os.kill(os.getpid(), 11)", "ended the process of its self-test (signal 11)"),
        ("print('nonsense')", "ended the process of its self-test (exit code 0)"),
    ):
        monkeypatch.setattr(model_check, "COMMAND", ("-c", code))
        monkeypatch.setattr(model_check, "TIME_LIMIT_S", 1.0)
        monkeypatch.setattr(model_check, "_passed", set())
        out, log = tmp_path / words[-9:], []
        stage(out, read_candidate(models["other"]))
        summary = run(RunConfig((str(quake_file),), out, model="moon"), None, Control(log=log.append))
        assert summary.n_events == 1 and summary.model == "moon" and words in log[0]
        outcome = ModelStore(out).outcome()
        assert outcome is not None and outcome["state"] == "refused" and words in outcome["why"]

"""Runs that choose the models: each station as in a run of its own with that model named, byte for byte."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edgequake.edge.__main__ import main
from edgequake.edge.base.control import Control
from edgequake.edge.base.errors import ConfigError, DataError, Stopped
from edgequake.edge.operation.run_models import LoadedModel
from edgequake.edge.operation.status import read_status
from edgequake.edge.results.summary import Summary
from edgequake.edge.runner import RunConfig, run

from ....project import golden_inputs as inputs

QUAKES = {
    "moon": (7200.0, ((3600.0, 25.0),)),
    "mars": (4000.0, ((1500.0, 20.0),)),
    "earth": (300.0, ((100.0, 30.0), (200.0, 50.0))),
}
STATIONS = {"XX_LUN": "moon", "XB_RED": "mars", "AM_R0E05": "earth"}
SERVICES = {"summary_channel": True, "archive_bytes": 10**7, "budget_bytes": 10**7}


def records_of(name: str) -> list[bytes]:
    """Return a body's records in order; InSight's are under its own network."""
    body, (duration_s, quakes) = inputs.BODIES[name], QUAKES[name]
    records = inputs.body_records(body, inputs.signal(body, 3, duration_s, quakes))
    return [data[:18] + b"XB" + data[20:] for data in records] if name == "mars" else records


@pytest.fixture(scope="module")
def records() -> dict[str, list[bytes]]:
    return {name: records_of(name) for name in QUAKES}


@pytest.fixture(scope="module")
def folder(records: dict[str, list[bytes]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a file for each body and one without anything usable."""
    folder = tmp_path_factory.mktemp("bodies")
    for name, own in records.items():
        (folder / f"{name}.mseed").write_bytes(b"".join(own))
    slow = inputs.records("FDSN:XX_LUN_00_L_O_G", 1.0, np.arange(1000, dtype=np.int32) % 7)
    (folder / "slow.mseed").write_bytes(b"".join(data for _, data in slow))
    return folder


@pytest.fixture(scope="module")
def named(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the output of a run of its own for each body, with its model named."""
    out = tmp_path_factory.mktemp("named")
    for name in QUAKES:
        run(RunConfig((str(folder / f"{name}.mseed"),), out / name, model=name))
    return {name: out / name for name in QUAKES}


def rows_of(out: Path, drop: tuple[str, ...] = ()) -> list[dict[str, str]]:
    with (out / "catalog.csv").open(newline="") as file:
        return [{key: cell for key, cell in row.items() if key not in drop} for row in csv.DictReader(file)]


def segments_of(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "segments").iterdir()}


def contents(out: Path) -> dict[str, bytes]:
    """Return the files of a run without those that hold times and memory."""
    paths = (path for path in out.rglob("*") if path.is_file() and path.name not in ("summary.json", "status.json"))
    return {str(path.relative_to(out)): path.read_bytes() for path in paths}


def assert_same(out: Path, named: dict[str, Path], drop: tuple[str, ...] = ()) -> None:
    """Compare catalogue and segments with those of the runs with named models."""
    expected = [row for name in QUAKES for row in rows_of(named[name], drop)]
    assert sorted(rows_of(out, drop), key=str) == sorted(expected, key=str) and len(expected) >= 4
    assert segments_of(out) == {k: v for name in QUAKES for k, v in segments_of(named[name]).items()}


def models_in(found: dict[str, object]) -> dict[str, str]:
    """Return the model of each station in summary.json or status.json."""
    models: list[dict[str, object]] = found["models"]  # type: ignore[assignment]
    return {station: str(one["name"]) for one in models for station in one["stations"]}  # type: ignore[attr-defined]


def test_a_folder_of_several_bodies(folder: Path, named: dict[str, Path], tmp_path: Path) -> None:
    said: list[str] = []
    summary = run(RunConfig((str(folder),), tmp_path / "out"), control=Control(log=said.append))
    assert_same(tmp_path / "out", named)
    values = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert models_in(values) == STATIONS
    assert values["model"] == "earth, mars, moon" and values["variant"] == "int8"
    assert values["onset_threshold"] is None
    for one in values["models"]:
        alone = json.loads((named[one["name"]] / "summary.json").read_text())
        assert {key: one[key] for key in ("variant", "graph_sha256", "onset_threshold")} == {
            key: alone[key] for key in ("variant", "graph_sha256", "onset_threshold")
        }
        assert "models" not in alone and alone["model"] == one["name"]
    assert sorted(line.partition(" (")[0] for line in said) == [
        f"{station}: model {name}" for station, name in sorted(STATIONS.items())
    ]
    assert any("slow.mseed has no channel that matches" in text for text in summary.warnings)
    assert Summary.read(tmp_path / "out" / "summary.json") == summary


def test_only_the_models_that_are_needed_are_loaded(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    load = LoadedModel.load.__func__  # type: ignore[attr-defined]

    def watched(cls: type[LoadedModel], config: RunConfig, log: Callable[[str], None]) -> LoadedModel:
        loaded.append(config.model)
        return load(cls, config, log)  # type: ignore[no-any-return]

    monkeypatch.setattr(LoadedModel, "load", classmethod(watched))
    run(RunConfig((str(folder / "mars.mseed"),), tmp_path / "out"))
    assert loaded == ["mars"]


@pytest.mark.parametrize("options", [{"threshold": 0.3}, {"sensitivity": "high"}, {"channels": ("?HZ", "BHU")}])
def test_options_apply_to_every_model(options: dict[str, object], folder: Path, tmp_path: Path) -> None:
    run(RunConfig((str(folder),), tmp_path / "out", **options))  # type: ignore[arg-type]
    named = {}
    for name in QUAKES:
        run(RunConfig((str(folder / f"{name}.mseed"),), tmp_path / name, model=name, **options))  # type: ignore[arg-type]
        named[name] = tmp_path / name
    assert_same(tmp_path / "out", named)


@pytest.mark.slow
@pytest.mark.parametrize("services", [{}, SERVICES])
def test_a_run_over_files_that_is_stopped_continues(services: dict[str, object], folder: Path, tmp_path: Path) -> None:
    config = RunConfig((str(folder),), tmp_path / "out", resume=True, checkpoint_s=0.0, **services)  # type: ignore[arg-type]
    run(RunConfig((str(folder),), tmp_path / "whole", **services))  # type: ignore[arg-type]
    for n_batches in (2, 3, 2):
        control, left = Control(), [n_batches]

        def progress(share: float, control: Control = control, left: list[int] = left) -> None:
            left[0] -= 1
            control.terminated = left[0] <= 0

        with pytest.raises(Stopped):
            run(config, progress, control)
    assert run(config).resumed == 3
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert run(config).resumed == 3  # it is finished
    with pytest.raises(ConfigError, match="the results of another run"):
        run(RunConfig((str(folder),), tmp_path / "out", "earth", resume=True))


@pytest.fixture
def mixed(records: dict[str, list[bytes]]) -> list[bytes]:
    """Return the records of all stations, mixed; each station's in order."""
    keyed = [((i + 0.5) / len(own), data) for own in records.values() for i, data in enumerate(own)]
    return [data for _, data in sorted(keyed, key=lambda one: one[0])]


def over_stdin(monkeypatch: pytest.MonkeyPatch, data: bytes, config: RunConfig, said: list[str]) -> Summary:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    return run(config, control=Control(log=said.append))


@pytest.mark.slow
def test_a_stream_of_several_bodies_in_three_processes(
    mixed: list[bytes], named: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The choice is state: a process that resumes restores each detector with its own model."""
    out, said = tmp_path / "out", list[str]()
    config = RunConfig(("-",), out, resume=True)
    cuts = [0, len(mixed) // 4, len(mixed) // 2, len(mixed)]  # not in the half minute in which an onset is refined
    for first, stop in pairwise(cuts):
        summary = over_stdin(monkeypatch, b"".join(mixed[first:stop]), config, said)
    assert summary.resumed == 2 and summary.restarts == 0
    # Each process closes at its end the events that are open, so only the onsets are those of the undisturbed runs.
    expected = {row["evid"] for name in QUAKES for row in rows_of(named[name])}
    assert {row["evid"] for row in rows_of(out)} == expected
    assert models_in(json.loads((out / "status.json").read_text())) == STATIONS


@pytest.mark.slow
def test_a_stream_and_a_followed_folder_give_what_the_files_give(
    mixed: list[bytes], folder: Path, named: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over_stdin(monkeypatch, b"".join(mixed), RunConfig(("-",), tmp_path / "stream"), [])
    run(RunConfig((str(folder),), tmp_path / "followed", follow=True, poll_s=0.02, idle_stop_s=0.1))
    assert_same(tmp_path / "stream", named, ("filename", "time_rel(sec)"))
    assert_same(tmp_path / "followed", named)


def test_the_checkpoint_of_another_graph_is_set_aside(
    mixed: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgequake.edge.base.checkpoint import Checkpoint, read_checkpoint, write_checkpoint

    out, said = tmp_path / "out", list[str]()
    config = RunConfig(("-",), out, resume=True)
    over_stdin(monkeypatch, b"".join(mixed[:100]), config, said)
    path = out / "checkpoint.edgequake"
    checkpoint = read_checkpoint(path)
    assert sorted(checkpoint.identity["graph"]) == ["earth", "mars", "moon"]
    graphs = {**checkpoint.identity["graph"], "mars": "other"}
    write_checkpoint(path, Checkpoint({**checkpoint.identity, "graph": graphs}, checkpoint.state))
    said.clear()
    assert over_stdin(monkeypatch, b"".join(mixed[100:150]), config, said).resumed == 0
    assert "graph differ; set aside as checkpoint.edgequake.set-aside-1" in said[0]
    over_stdin(monkeypatch, b"", config, said)  # and the next process continues


def test_thresholds_are_reloaded_for_the_models_in_use(
    mixed: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    control = Control(log=said.append)

    class Telling(io.BytesIO):
        n_reads = 0

        def read1(self, size: int | None = -1, /) -> bytes:
            self.n_reads += 1
            control.reload = self.n_reads in (1, 20)
            return super().read1(8192)

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Telling(b"".join(mixed[:400]))))
    run(RunConfig(("-",), tmp_path / "out"), control=control)
    reloaded = [line for line in said if "thresholds reloaded" in line]
    assert "model moon: thresholds reloaded: onset probability 0.5 declares an event" in reloaded
    assert "model earth: thresholds reloaded: onset probability 0.95 declares an event" in reloaded


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"model_copy": "moon"}, "--model-copy is the copy of one model, got --model auto: name that model with"),
        ({"threshold": 1.5}, "threshold 1.5: expected a probability"),
        ({"sensitivity": "vast"}, "sensitivity 'vast': expected one of low, normal, high"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_any_sample(
    options: dict[str, object], expected: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=expected):
        run(RunConfig(("-",), tmp_path / "out", **options))  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_a_file_that_the_named_model_does_not_take(folder: Path, tmp_path: Path) -> None:
    config = RunConfig((str(folder / "earth.mseed"),), tmp_path / "out", model="moon")
    with pytest.raises(DataError, match=r"FDSN:AM_R0E05_00_E_H_Z at 100 Hz \(--model earth takes it\)"):
        run(config)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Return a run with the model of the Moon that listens to a Shake, and its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "edgequake.edge", "run", f"shake://127.0.0.1:{port}/AM_R0E05", "--model", "moon"]
    with subprocess.Popen([*command, "--out", str(tmp_path / "out")], stderr=subprocess.PIPE) as process:
        yield process, port
        process.kill()


def test_the_status_of_a_deaf_run(live: tuple[subprocess.Popen[bytes], int], tmp_path: Path) -> None:
    process, port = live
    assert process.stderr is not None and b"listening" in process.stderr.readline()
    stop = threading.Event()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outlet:
            for i in range(4000):
                outlet.sendto(b"{'EHZ', %.3f, 1, 2, 3, 4}" % (1e9 + 0.04 * i), ("127.0.0.1", port))
                if stop.wait(0.001):
                    return

    thread = threading.Thread(target=send)
    thread.start()
    try:
        said = process.stderr.readline().decode()
        for _ in range(100):
            health = read_status(tmp_path / "out")["health"]
            if health != "well":
                break
            time.sleep(0.05)
    finally:
        stop.set()
        thread.join()
        os.kill(process.pid, signal.SIGTERM)
    expected = "FDSN:AM_R0E05_00_E_H_Z at 100 Hz (--model earth takes it)"
    assert said == f"edgequake-edge: data come, but none that this run can use: {expected}\n"
    assert health == f"deaf: {expected}"


def test_the_status_names_the_models(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(folder), "--out", str(tmp_path / "out"), "--summary-channel"]) == 0
    capsys.readouterr()
    assert main(["status", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert (
        "model earth " in said and "onset 0.95, for AM_R0E05; model mars " in said and "for XX_LUN, edgequake" in said
    )

"""Bits that flip in a model's memory are found within the hour, and the catalogue is that of an undamaged run."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgequake.edge import runner
from edgequake.edge.base.constants import are_constants_intact, constant
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import ManifestError
from edgequake.edge.inputs.source import Batch, FileSource
from edgequake.edge.manifest.manifest import load_manifest
from edgequake.edge.operation import run_models
from edgequake.edge.operation.config import RunConfig
from edgequake.edge.operation.run_models import LoadedModel, RunModels
from edgequake.edge.operation.station_run import StationRun


def flip_bits(address: int, n_bytes: int, mask: int = 0x40) -> None:
    """Flip a bit in each of so many bytes of this process's memory."""
    memory = (ctypes.c_ubyte * n_bytes).from_address(address)
    for i in range(n_bytes):
        memory[i] ^= mask


def flip_weights(graph: bytes) -> None:
    """Flip a bit in each byte of a graph's largest constant."""
    at, size = largest_buffer(graph)
    flip_bits(id(graph) + bytes.__basicsize__ - 1 + at, size)


def flip_array(array: np.ndarray[Any, Any]) -> None:
    flip_bits(array.__array_interface__["data"][0] + 6, 1)


def config_of(out: Path, record: Path = Path("x.mseed")) -> RunConfig:
    return RunConfig(inputs=(str(record),), out=out, model="moon")


def probabilities(model: LoadedModel) -> np.ndarray[Any, Any]:
    network = model.manifest.network
    rows = np.random.default_rng(3).normal(0.0, 1.0, (50, network.rows_per_step, network.n_features))
    return model.detector().network.run(rows.astype(np.float32))


def test_the_interpreter_computes_with_the_bytes_that_are_checked(tmp_path: Path) -> None:
    model = LoadedModel.load(config_of(tmp_path), print)
    rows = np.ones((50, model.manifest.network.rows_per_step, model.manifest.network.n_features), np.float32)
    network = model.detector().network
    before = network.run(rows)
    network.reset()
    assert np.array_equal(network.run(rows), before) and model.is_intact
    flip_weights(model.graph)
    network.reset()
    assert not np.array_equal(network.run(rows), before) and not model.is_intact


def largest_buffer(graph: bytes) -> tuple[int, int]:
    """Return offset and size of a graph's largest constant, by the TFLite schema's own reader."""
    from tflite.Model import Model  # type: ignore[import-untyped]

    found = Model.GetRootAsModel(graph, 0)
    sizes = [(found.Buffers(i).DataLength(), i) for i in range(found.BuffersLength())]
    size, i = max(sizes)
    data = found.Buffers(i).DataAsNumpy().tobytes()
    return graph.index(data), size


def test_a_damaged_model_is_loaded_again(tmp_path: Path) -> None:
    model = LoadedModel.load(config_of(tmp_path), print)
    before, good = probabilities(model), bytes(bytearray(model.graph))
    flip_weights(model.graph)
    assert not model.is_intact
    model.load_again(config_of(tmp_path), print)
    assert model.is_intact and model.graph == good and np.array_equal(probabilities(model), before)


def test_a_model_that_was_replaced_on_disk_is_not_taken(tmp_path: Path, moon_path: Path) -> None:
    manifest, folder = load_manifest("moon")
    path = tmp_path / "m.json"
    path.write_text(moon_path.read_text())
    for variant in manifest.variants.values():
        (tmp_path / variant.file).write_bytes((folder / variant.file).read_bytes())
    config = RunConfig(inputs=("x",), out=tmp_path, model=str(path))
    model = LoadedModel.load(config, print)
    values = json.loads(path.read_text())
    values["trigger"]["pre_roll_s"] += 1.0
    path.write_text(json.dumps(values))
    with pytest.raises(ManifestError):
        model.load_again(config, print)
    assert model.is_intact


def test_a_constant_is_a_checked_copy() -> None:
    source = np.arange(6.0).reshape(2, 3).T
    made = constant(source)
    assert np.array_equal(made, source) and made.dtype == source.dtype and not made.flags.writeable
    source[0, 0] = 9.0
    assert made[0, 0] == 0.0 and are_constants_intact()
    flip_array(made)
    assert not are_constants_intact()
    flip_array(made)
    assert are_constants_intact()
    flip_array(made)
    del made
    assert are_constants_intact()  # of those in use


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # of the damaged run
@pytest.mark.parametrize("what", ["graph", "taper"])
def test_a_run_whose_memory_is_damaged_has_the_same_catalogue(
    what: str, quake_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = runner.run(config_of(tmp_path / "good", quake_file))
    models: list[RunModels] = []
    stations: list[StationRun] = []
    note(monkeypatch, RunModels, models)
    note(monkeypatch, StationRun, stations)
    batches = FileSource.batches

    def damaging(source: FileSource) -> Iterator[Batch]:
        for n, batch in enumerate(batches(source)):
            if n == 2:
                damage(what, models[0], stations[0])
                models[0]._next_check_s = 0.0  # the hour is over
            yield batch

    monkeypatch.setattr(FileSource, "batches", damaging)
    mended = runner.run(config_of(tmp_path / "mended", quake_file))
    (warning,) = set(mended.warnings) - set(good.warnings)
    assert warning == "1 time(s) constants of a model had changed in memory and were made anew"
    assert (tmp_path / "mended" / "catalog.csv").read_bytes() == (tmp_path / "good" / "catalog.csv").read_bytes()
    assert len(good.events) == 1

    monkeypatch.setattr(RunModels, "have_changed_in_memory", lambda self, diagnostics: False)
    models.clear()
    stations.clear()
    runner.run(config_of(tmp_path / "damaged", quake_file))
    assert (tmp_path / "damaged" / "catalog.csv").read_bytes() != (tmp_path / "good" / "catalog.csv").read_bytes()


def note(monkeypatch: pytest.MonkeyPatch, kind: type, objects: list[Any]) -> None:
    """Append every new object of a class to a list."""
    init = kind.__init__

    def noting(self: Any, *arguments: Any, **options: Any) -> None:
        init(self, *arguments, **options)
        objects.append(self)

    monkeypatch.setattr(kind, "__init__", noting)


def damage(what: str, models: RunModels, station: StationRun) -> None:
    if what == "graph":
        flip_weights(models.of("XX_LUN").graph)
    else:
        for channel in station.detector.front_end.channels.values():
            taper = channel._features._power._taper
            flip_bits(taper.__array_interface__["data"][0] + 8 * (len(taper) // 2) + 7, 1)


def test_nothing_is_checked_within_the_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [100.0]
    monkeypatch.setattr(run_models.time, "monotonic", lambda: now_s[0])
    models = RunModels(config_of(tmp_path), print)
    flip_weights(models.of("XX_LUN").graph)
    now_s[0] += run_models.CHECK_S - 1.0
    assert not models.have_changed_in_memory(Diagnostics())
    now_s[0] += 1.0
    diagnostics = Diagnostics()
    assert models.have_changed_in_memory(diagnostics) and models.of("XX_LUN").is_intact
    now_s[0] += run_models.CHECK_S
    assert not models.have_changed_in_memory(diagnostics) and len(diagnostics.texts()) == 1

"""`run --core c`: the same catalogue and segments as the runner's own detector, and what it refuses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgequake.cli import main
from edgequake.edge.base.errors import DataError, ModelError
from edgequake.edge.detection.c_core import CDetector
from edgequake.edge.detection.c_library import CLibrary, library_of
from edgequake.edge.detection.detector import Detector
from edgequake.edge.formats.miniseed import encode
from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.manifest.manifest import load_manifest

from .exports import Exported
from .scenes import Scene, traces


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of a damaged record of three channels at mars' rate, with events."""
    manifest, _ = load_manifest("mars")
    path = tmp_path_factory.mktemp("record") / "record.mseed"
    path.write_bytes(encode(traces(Scene(4), manifest)))
    return path


@pytest.mark.slow
def test_catalogue_and_segments_are_the_same(
    record: Path, compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for core in ("python", "c"):
        run = ["run", str(record), "--model", "mars", "--channels", "MH?", "--sensitivity", "high"]
        assert main([*run, "--core", core, "--out", str(tmp_path / core)]) == 0
    assert len((tmp_path / "c" / "catalog.csv").read_text().splitlines()) > 2
    names = [path.relative_to(tmp_path / "c") for path in sorted((tmp_path / "c").rglob("*")) if path.is_file()]
    same = [name for name in names if name.name != "summary.json" and "checkpoint" not in name.name]
    assert any(name.suffix == ".mseed" for name in same)
    for name in same:
        assert (tmp_path / "c" / name).read_bytes() == (tmp_path / "python" / name).read_bytes(), name
    assert '"runtime": "C99"' in (tmp_path / "c" / "summary.json").read_text()
    (built,) = (tmp_path / "cache" / "edgequake").iterdir()
    before = built.stat().st_mtime_ns
    assert main([*run, "--core=c", "--out", str(tmp_path / "again")]) == 0
    assert built.stat().st_mtime_ns == before  # not built again


def test_the_lander_needs_a_library(
    record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgequake.edge.__main__ import main as edge_main

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    run = ["run", str(record), "--model", "mars", "--out", str(tmp_path / "out"), "--core", "c"]
    assert edge_main(run) == 1
    assert "no library of model 'mars' is in" in capsys.readouterr().err
    assert edge_main([*run, "--core-library", str(tmp_path)]) == 1
    assert "holds no library of model 'mars'" in capsys.readouterr().err


def test_a_library_of_another_model_is_refused(exported: object, tmp_path: Path) -> None:
    assert callable(exported)
    model: Exported = exported("moon")
    (tmp_path / "libeq_mars.so").write_bytes((model.folder / "libeq_moon.so").read_bytes())
    manifest, _ = load_manifest("mars")
    with pytest.raises(ModelError, match="is of another model than 'mars'"):
        library_of(tmp_path, manifest, manifest.variants["int8"])
    (tmp_path / "zeros.so").write_bytes(bytes(1000))  # another file: the first is mapped into this process
    with pytest.raises(ModelError, match="is no library of a model in C"):
        CLibrary(tmp_path / "zeros.so")


@pytest.mark.parametrize("extreme", [1 << 31, -(1 << 31) - 1])
def test_samples_beyond_32_bits_are_refused(extreme: int, exported: Callable[[str], Exported]) -> None:
    model = exported("moon")
    rate_hz = model.manifest.sampling_rate_hz
    c = model.c_detector(0.5)
    with pytest.raises(DataError, match=r"XX_ABC.*: samples beyond 32 bits, which the detector in C does not take"):
        c.push(Trace("FDSN:XX_ABC_00_M_H_Z", 0, rate_hz, np.array([0, extreme], np.int64)))
    within = np.array([-(1 << 31), (1 << 31) - 1], np.int64)  # as wide a type, but values that fit
    assert c.push(Trace("FDSN:XX_ABC_00_M_H_Z", 0, rate_hz, within)) == []
    (counts,) = c.counts().values()
    assert counts.overlap_samples == 0


def test_classes_with_the_detector_in_c_are_the_runners(exported: Callable[[str], Exported]) -> None:
    model = exported("moon")
    manifest, _ = load_manifest("moon")
    assert manifest.classes is not None
    told = dataclasses.replace(
        manifest.classes, min_probability=0.5, max_deviation=1e9, untold=()
    )  # none is left blank
    manifest = dataclasses.replace(manifest, classes=told)
    records = traces(Scene(1, 400), manifest)
    threshold = min(manifest.trigger.onset_thresholds.values())
    python = Detector(manifest, model.graph, model.variant, threshold)
    expected = [*python.push(*records), *python.finish()]
    c = CDetector(model.library, threshold, manifest)
    assert [*c.push(*records), *c.finish()] == expected
    assert {event.mq_type for event in expected} - {""}
    plain = CDetector(model.library, threshold)  # without the manifest, as on a board: events without a class
    assert {event.mq_type for event in [*plain.push(*records), *plain.finish()]} == {""}

"""Bad input to every command: a clear error, the right exit code, and no file that looks complete."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pymseed
import pytest

from edgequake import cli
from edgequake.commands.bench_cost import ENVIRONMENTS
from edgequake.edge.manifest.manifest import shipped_models
from edgequake.synthetic import synthetic_dataset

from ..refusals import refused


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Return half an hour without an event."""
    return synthetic_dataset.write_miniseed(
        synthetic_dataset.synthetic_record(np.random.default_rng(1), 1800.0), tmp_path / "a.mseed"
    )


def write_samples(path: Path, samples: np.ndarray, sample_type: str, rate_hz: float) -> Path:
    encoding = pymseed.DataEncoding.STEIM2 if sample_type == "i" else pymseed.DataEncoding.FLOAT32
    traces = pymseed.MS3TraceList()
    traces.add_data("FDSN:XX_LUN_00_M_H_Z", samples, sample_type, rate_hz, starttime=0)
    traces.to_file(path, overwrite=True, encoding=encoding, format_version=2, max_record_length=512)
    return path


def missing(path: Path) -> Path:
    return path.with_name("nowhere.mseed")


def empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def not_miniseed(path: Path) -> Path:
    path.write_bytes(b"a letter home, and no record at all\n" * 100)
    return path


def wrong_rate(path: Path) -> Path:
    return write_samples(path, np.full(20_000, 500, np.int32), "i", 10.0)


def nothing_but_nan(path: Path) -> Path:
    return write_samples(path, np.full(20_000, np.nan, np.float32), "f", 6.625)


def nothing_but_gaps(path: Path) -> Path:
    return write_samples(path, np.full(20_000, -1, np.int32), "i", 6.625)


def empty_folder(path: Path) -> Path:
    folder = path.with_name("empty")
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (missing, "is no file or folder"),
        (empty, "is empty"),
        (not_miniseed, "is not miniSEED"),
        (wrong_rate, "10"),
        (nothing_but_nan, "NaN"),
        (nothing_but_gaps, "fill values"),
        (empty_folder, "holds no usable record"),
    ],
)
def test_run_refuses_records(
    spoil: Callable[[Path], Path], words: str, record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = spoil(record)
    line = refused(["run", str(bad), "--out", str(tmp_path / "out")], capsys)
    assert words in line and bad.name in line
    assert not (tmp_path / "out" / "summary.json").exists()
    assert not (tmp_path / "out" / "catalog.csv").exists()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a copy of the shipped model's manifest, with its graphs beside it."""
    shipped = shipped_models()["moon"]
    for path in shipped.parent.glob("moon.*"):
        shutil.copy(path, tmp_path / path.name)
    return tmp_path / "moon.json"


def change_manifest(path: Path, **fields: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def other_version(manifest: Path) -> None:
    change_manifest(manifest, format_version=99)


def unknown_field(manifest: Path) -> None:
    change_manifest(manifest, colour="grey")


def not_json(manifest: Path) -> None:
    manifest.write_text(manifest.read_text()[:200])


def truncated_graph(manifest: Path) -> None:
    variant = json.loads(manifest.read_text())["default_variant"]
    graph = manifest.with_name(f"moon.{variant}.tflite")
    graph.write_bytes(graph.read_bytes()[:2000])


def missing_graph(manifest: Path) -> None:
    for graph in manifest.parent.glob("*.tflite"):
        graph.unlink()


SPOILT_MODELS = [
    (other_version, "version 99"),
    (unknown_field, "unknown field 'colour'"),
    (not_json, "is not JSON"),
    (truncated_graph, "is damaged or another file"),
    (missing_graph, "cannot be read"),
    (Path.unlink, "no model"),
]


@pytest.mark.parametrize(("spoil", "words"), SPOILT_MODELS)
def test_run_refuses_models(
    spoil: Callable[[Path], None], words: str, record: Path, model: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    spoil(model)
    assert words in refused(["run", "--model", str(model), str(record), "--out", str(tmp_path / "out")], capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("spoil", "words"), SPOILT_MODELS)
@pytest.mark.parametrize("bench", ["accuracy", "latency"])
def test_bench_refuses_models(
    bench: str, spoil: Callable[[Path], None], words: str, model: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delenv(ENVIRONMENTS, raising=False)
    spoil(model)
    data = ["--data", str(tmp_path)] if bench == "accuracy" else []
    assert words in refused(["bench", bench, "--model", str(model), *data], capsys)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--variant", "int3"], "no variant 'int3'"),
        (["--threshold", "7"], "threshold 7"),
        (["--start", "yesterday"], "time 'yesterday'"),
        (["--channels", "BHZ"], "no channel that matches BHZ"),
        (["--start", "2031-01-01"], "no sample"),
    ],
)
def test_run_refuses_options(
    options: list[str], words: str, record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in refused(["run", str(record), "--out", str(tmp_path / "out"), *options], capsys)
    assert not (tmp_path / "out" / "summary.json").exists()


def test_run_without_input_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--out", "x"]) == 2
    assert "usage: edgequake run" in capsys.readouterr().err


def test_run_refuses_a_folder_with_an_earlier_run(
    record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["run", str(record), "--out", str(tmp_path / "out")]
    assert cli.main(arguments) == 0
    capsys.readouterr()
    before = (tmp_path / "out" / "summary.json").read_bytes()
    assert "contains the results of an earlier run" in refused(arguments, capsys)
    assert (tmp_path / "out" / "summary.json").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("records.csv", None, "holds no records"),
        ("records.csv", "a,b\n1,2\n", "records.csv"),
        ("catalog.csv", "a,b\n1,2\n", "catalog.csv"),
        ("moon/synthetic_val_00.mseed", None, "synthetic_val_00.mseed"),
        ("moon/synthetic_val_00.mseed", "no record", "synthetic_val_00.mseed"),
    ],
)
def test_bench_accuracy_refuses_data(
    name: str, text: str | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = synthetic_dataset.write_dataset(tmp_path / "data", seed=1, n_train=1, n_val=1, n_test=1)
    (data / name).unlink()
    if text is not None:
        (data / name).write_text(text)
    arguments = ["bench", "accuracy", "--data", str(data), "--split", "val", "--out", str(tmp_path / "results.json")]
    assert words in refused(arguments, capsys)
    assert not (tmp_path / "results.json").exists()


def test_bench_accuracy_refuses_an_unknown_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = synthetic_dataset.write_dataset(tmp_path / "data", seed=1, n_train=1, n_val=1, n_test=1)
    assert "split" in refused(["bench", "accuracy", "--data", str(data), "--split", "exam"], capsys)


@pytest.mark.parametrize(
    ("recipe", "setting", "words"),
    [
        ("nothing", None, "no recipe 'nothing'"),
        ("tiny", "fit.colour=1", "unknown field 'colour'"),
        ("tiny", "nowhere.steps=1", "no table 'nowhere'"),
        ("tiny", None, "holds no records"),
    ],
)
def test_train_refuses(
    recipe: str, setting: str | None, words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    arguments = ["train", recipe, "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    assert words in refused(arguments + (["--set", setting] if setting else []), capfd)
    assert not list((tmp_path / "out").glob("*.keras"))


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        (None, [], "does not exist"),
        (b"no network", [], "is not a complete .keras file"),
        (None, ["--quantize", "int3"], "unknown quantization 'int3'"),
    ],
)
def test_convert_refuses(
    content: bytes | None, options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keras_file = tmp_path / "net.keras"
    if content is not None:
        keras_file.write_bytes(content)
    assert words in refused(["convert", str(keras_file), "--out", str(tmp_path / "out"), *options], capsys)
    assert not (tmp_path / "out").exists()

"""The whole conversion: the files, the complete manifest, and one clear line for every error."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgequake.convert import converter, launcher
from edgequake.convert.converter import convert_model
from edgequake.convert.inspection.report import ConversionReport, report_of
from edgequake.edge.base.errors import ConfigError, GateError, ModelError
from edgequake.edge.detection.network import StepNetwork
from edgequake.edge.manifest.manifest import load_manifest, parse_manifest, read_graph

ALL = ("float32", "dynamic", "int8", "int16x8")
AGREEMENT = {
    "n_frames",
    "probability_max_error",
    "probability_rms_error",
    "probability_rms_error_third_1",
    "probability_rms_error_third_2",
    "probability_rms_error_third_3",
    "decision_flips",
    "events",
    "events_matched",
    "events_missed",
    "events_extra",
}


@pytest.fixture(scope="module")
def converted(trained_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[ConversionReport, list[str]]:
    stages: list[str] = []
    out = tmp_path_factory.mktemp("converted") / "models"
    return convert_model(trained_folder / "small.keras", out, progress=stages.append), stages


def test_importing_the_package_loads_no_tensorflow() -> None:
    code = "import sys, edgequake.convert; print([m for m in ('tensorflow', 'keras') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.slow
def test_every_variant_is_written_and_described(converted: tuple[ConversionReport, list[str]]) -> None:
    report, stages = converted
    folder = report.manifest.parent
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["small.json", *(f"small.{v}.{end}" for v in ALL for end in ("tflite", "golden.json"))]
    )
    manifest, found_in = load_manifest(report.manifest)
    assert found_in == folder
    assert tuple(manifest.variants) == ALL
    assert manifest.default_variant == report.default_variant == "int8"
    for variant in ALL:
        described, graph = read_graph(manifest, folder, variant)
        network = StepNetwork(manifest, graph, described)
        probabilities = network.step(np.zeros((1, 5), np.float32))
        assert probabilities.shape == (2,) and np.all((probabilities >= 0) & (probabilities <= 1))
        assert described.agreement["n_frames"] >= 2000
        assert set(described.agreement) == AGREEMENT
    assert "converting to int8" in stages and "comparing int8 with Keras" in stages


def _declared(written: dict[str, Any], partial: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a table that training declared; the others are defaults."""
    return {
        name: _declared(written[name], value) if isinstance(value, dict) else written[name]
        for name, value in partial.items()
    }


@pytest.mark.slow
def test_the_manifest_combines_training_and_the_graph(
    converted: tuple[ConversionReport, list[str]], trained_folder: Path
) -> None:
    manifest, _ = load_manifest(converted[0].manifest)
    assert parse_manifest(manifest.to_json(), "again") == manifest
    partial = json.loads((trained_folder / "train.json").read_text())["manifest"]
    written = json.loads(converted[0].manifest.read_text())
    assert _declared(written["front_end"], partial["front_end"]) == partial["front_end"]
    assert _declared(written["trigger"], partial["trigger"]) == partial["trigger"]
    assert {key: written["network"][key] for key in partial["network"]} == partial["network"]
    assert written["training"]["recipe"] == "small"
    assert written["training"]["conversion"]["calibration_source"] == "calibration.npz"
    # two convolutions, one LSTM: 8*5*5+8, 8*3*8+8, 4*12*(8+12+1), 12*2+2
    assert manifest.network.parameters == 208 + 200 + 1008 + 26
    assert [state.kind for state in manifest.network.states] == ["context", "context", "recurrent", "recurrent"]


@pytest.mark.slow
def test_the_report_is_a_table(converted: tuple[ConversionReport, list[str]]) -> None:
    report = converted[0]
    lines = report.table().splitlines()
    assert lines[0].startswith("small: 1442 parameters, 4 states, ")
    first = next(number for number, line in enumerate(lines) if line.startswith("float32 "))
    assert [line.split()[0] for line in lines[first : first + 4]] == list(ALL)
    assert lines[first + 2].split()[1] == str(report.variants[2].file.stat().st_size)
    assert lines[first + 2].endswith("default")
    assert "events: matched-missed+extra of the " in lines[first + 4]
    assert lines[-2] == "invoked in tflite-runtime 2.14.0"
    assert report.variants[0].clipping == () and len(report.variants[2].clipping) > 5
    assert report.variants[0].probability_max_error is not None and report.variants[0].probability_max_error < 1e-5


@pytest.mark.slow
def test_the_report_names_operators_that_depend_on_the_runtime(
    converted: tuple[ConversionReport, list[str]],
    conformance: Any,
    conformance_run: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    worker_here: None,
) -> None:
    report = converted[0]
    assert report.variants[2].rounded_apart == () and "between runtimes" not in report.table()
    architecture = conformance.ARCHITECTURES["SeparableConv1D, GRU"]
    monkeypatch.setattr(conformance_run, "CALIBRATION_ROWS", 200)
    monkeypatch.setitem(converter.QUANTIZE, "all", ("float32", "int8"))
    calibration, _ = conformance_run.calibration_and_rows(conformance, architecture)
    conformance_run.convert(conformance.build("SeparableConv1D, GRU"), architecture, calibration, tmp_path)
    manifest, _ = load_manifest(tmp_path / "manifest.json")
    separable = report_of(manifest, tmp_path, 1.0, {"invoked_in": None})
    assert {item.variant: item.rounded_apart for item in separable.variants if item.rounded_apart} == {
        "int8": ("DEPTHWISE_CONV_2D",)
    }
    assert "\nint8: DEPTHWISE_CONV_2D may differ by its last bit between runtimes\n" in separable.table()


@pytest.mark.slow
@pytest.mark.usefixtures("worker_here")
def test_layers_named_like_operations_are_converted(
    make_partial: Callable[..., Any], write_training_files: Any, tmp_path: Path
) -> None:
    """Keras' default names of an Add and a Concatenate are those of the additions and joins in the step graph, too."""
    import keras
    from keras import layers

    rows = keras.Input((None, 5))
    convolved = layers.Conv1D(5, 3, padding="causal", name="convolution")(rows)
    x = layers.Add(name="add")([rows, convolved])
    x = layers.Concatenate(name="concatenate_1")([x, layers.LSTM(4, return_sequences=True, name="memory")(x)])
    model = keras.Model(rows, layers.Dense(2, activation="sigmoid", name="probability")(x))
    model.save(tmp_path / "small.keras")
    write_training_files(tmp_path, make_partial("continuous", 1, ["onset", "event"]))
    report = convert_model(tmp_path / "small.keras", tmp_path / "out", "float32")
    assert report.n_states == 3


@pytest.mark.slow
@pytest.mark.usefixtures("worker_here")
def test_a_refusal_of_the_worker_is_one_line(
    build_network: Callable[..., Any], make_partial: Callable[..., Any], write_training_files: Any, tmp_path: Path
) -> None:
    model = build_network(
        lambda L: [L.Bidirectional(L.LSTM(4, return_sequences=True), name="both"), L.Dense(2, activation="sigmoid")],
        None,
    )
    model.save(tmp_path / "small.keras")
    write_training_files(tmp_path, make_partial("continuous", 1, ["onset", "event"]))
    with pytest.raises(ModelError, match=r"^layer 'both' \(Bidirectional\) cannot become a one-step graph: "):
        convert_model(tmp_path / "small.keras", tmp_path / "out", "float32")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that replaces the worker by Python code, which gets the job folder as argv[1]."""
    return lambda code: monkeypatch.setattr(launcher, "WORKER_COMMAND", (sys.executable, "-c", code))


STAGE = "import os, sys, time; print('converting to int8', file=open(sys.argv[1] + '/stages.txt', 'w'), flush=True);"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "print('I0000 00:00 chatter'); print('Fatal: no memory', file=sys.stderr, flush=True); os.abort()",
            r"by SIGABRT while converting to int8 \(its last line: Fatal: no memory\); limits are 30 s and 8\.0 GiB",
        ),
        ("os.kill(os.getpid(), 11)", "was stopped by SIGSEGV while converting to int8, without a message; limits"),
        (
            "raise ValueError('strange graph')",
            r"ended with exit code 1 .*\(its last line: ValueError: strange graph\)",
        ),
        (
            "bytearray(10**15)",
            r"ended with exit code 1 while converting to int8 \(its last line: MemoryError\); limits are 30 s",
        ),
        ("sys.exit(0)", "ended with exit code 0 while converting to int8, without a message"),
    ],
)
def test_a_crash_of_the_converter_is_one_line(
    worker: Callable[[str], None], trained_folder: Path, tmp_path: Path, code: str, message: str
) -> None:
    worker(STAGE + code)
    with pytest.raises(ModelError, match=message) as caught:
        convert_model(trained_folder / "small.keras", tmp_path / "out", time_limit_s=30)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_converter_that_hangs_is_killed(worker: Callable[[str], None], trained_folder: Path, tmp_path: Path) -> None:
    worker(STAGE + "open(sys.argv[1] + '/pid', 'w').write(str(os.getpid())); time.sleep(600)")
    with pytest.raises(
        ModelError, match="took more than 1 s while converting to int8, without a message; allow it more"
    ):
        convert_model(trained_folder / "small.keras", tmp_path / "out", time_limit_s=1)


def test_a_failed_gate_keeps_its_error_class(
    worker: Callable[[str], None], trained_folder: Path, tmp_path: Path
) -> None:
    worker(
        "import json, sys; file = open(sys.argv[1] + '/done.json', 'w');"
        "json.dump({'error': 'GateError', 'message': 'too far'}, file); sys.exit(1)"
    )
    with pytest.raises(GateError, match=r"^too far$"):
        convert_model(trained_folder / "small.keras", tmp_path / "out")


def test_too_little_memory_is_one_line(trained_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"^the converter process .* while .*limits are 900 s and 0\.1 GiB: allow"
    ) as caught:
        convert_model(trained_folder / "small.keras", tmp_path / "out", "float32", memory_limit_bytes=100 << 20)
    assert "\n" not in str(caught.value)


def test_files_that_are_not_a_keras_model_are_refused_at_once(trained_folder: Path, tmp_path: Path) -> None:
    for name in ("train.json", "calibration.npz"):
        shutil.copy(trained_folder / name, tmp_path)
    whole = (trained_folder / "small.keras").read_bytes()
    path = tmp_path / "small.keras"
    with pytest.raises(ModelError, match=r"small.keras does not exist; give the .keras or .h5 file that model.save"):
        convert_model(path, tmp_path / "out")
    for content in (
        b"",
        b"not a model",
        whole[:-200],
        whole[: len(whole) // 2],
        (tmp_path / "calibration.npz").read_bytes(),
    ):
        path.write_bytes(content)
        with pytest.raises(
            ModelError, match=rf"not a complete .keras file \({len(content)} bytes\): expected the archive"
        ):
            convert_model(path, tmp_path / "out")


def test_missing_files_next_to_the_network_are_named(trained_folder: Path, tmp_path: Path) -> None:
    keras_file = tmp_path / "small.keras"
    shutil.copy(trained_folder / "small.keras", keras_file)
    with pytest.raises(ConfigError, match=r"train.json is missing: expected the train.json that train writes"):
        convert_model(keras_file, tmp_path / "out")
    (tmp_path / "train.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"train.json contains no manifest .*train again"):
        convert_model(keras_file, tmp_path / "out")
    whole = json.loads((trained_folder / "train.json").read_text())
    lacking = {key: value for key, value in whole["manifest"].items() if key != "trigger"}
    (tmp_path / "train.json").write_text(json.dumps({"manifest": lacking}))
    with pytest.raises(ConfigError, match="the manifest lacks trigger; train again"):
        convert_model(keras_file, tmp_path / "out")
    (tmp_path / "train.json").write_text(json.dumps(whole))
    with pytest.raises(ConfigError, match=r"calibration.npz does not exist; give .* --calibration DIR, or .* float32"):
        convert_model(keras_file, tmp_path / "out", "int8")
    with pytest.raises(ConfigError, match="unknown quantization 'int4': expected one of all, float32"):
        convert_model(keras_file, tmp_path / "out", "int4")

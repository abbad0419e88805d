"""`edgequake inspect` against the interpreter, against counts by hand, and on damaged files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgequake.cli import main
from edgequake.convert.inspection.inspection import Lifetime, inspect_graph, inspect_model, packed_bytes, steps_per_s
from edgequake.edge.base.errors import ModelError
from edgequake.edge.detection.network import load_interpreter
from edgequake.edge.manifest.manifest import load_manifest, read_graph


@pytest.fixture(scope="module")
def shipped() -> tuple[Any, bytes, Path]:
    manifest, folder = load_manifest("moon")
    described, graph = read_graph(manifest, folder)
    return manifest, graph, folder / described.file


def test_tensors_match_those_of_the_interpreter(shipped: tuple[Any, bytes, Path]) -> None:
    _, graph, path = shipped
    interpreter, _ = load_interpreter(graph)
    reported = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    inspected = inspect_model(str(path))
    assert len(inspected.tensors) > 20
    for row in inspected.tensors:
        detail = reported[row.index]
        assert row.name == detail["name"]
        assert row.shape == tuple(detail["shape"])
        assert row.dtype == np.dtype(detail["dtype"]).name
        scales = detail["quantization_parameters"]["scales"]
        assert row.n_scales == len(scales)
        assert row.scale == (scales[0] if len(scales) else None)


def test_sizes_add_up(shipped: tuple[Any, bytes, Path]) -> None:
    manifest, graph, _ = shipped
    inspected = inspect_model("moon")
    parts = (inspected.weights_bytes, inspected.scales_bytes, inspected.names_bytes, inspected.rest_bytes)
    assert sum(parts) == inspected.size_bytes == len(graph)
    assert min(parts) > 0
    assert inspected.weights_bytes >= manifest.network.parameters
    assert set(inspected.states) == {state.name for state in manifest.network.states}


def test_work_and_state_by_hand(
    build_network: Callable[..., Any], convert: Callable[..., Any], make_rows: Callable[..., Any]
) -> None:
    def layers_of(layers: Any) -> list[Any]:
        return [
            layers.Conv1D(8, 5, padding="causal", activation="relu"),
            layers.LSTM(12, return_sequences=True),
            layers.Dense(2, activation="sigmoid"),
        ]

    model = build_network(layers_of, None)
    made = convert(model, "continuous", ["onset", "event"], make_rows(600, 1)[np.newaxis], ("int8",))
    # 8 outputs of 5 rows of 5 features; 4 gates of 12 units from 8 features and 12 of h; 2 outputs of 12
    macs = 8 * 5 * 5 + 4 * 12 * (8 + 12) + 2 * 12
    for variant, state_bytes in (("float32", 4 * (4 * 5 + 12 + 12)), ("int8", 4 * 5 + 12 + 2 * 12)):
        inspected = inspect_graph(made.graphs[variant], variant, made.manifest)
        assert inspected.macs_per_step == macs
        assert inspected.macs_per_s == pytest.approx(macs * 6.625 / 64)
        assert inspected.state_bytes == state_bytes
        assert inspected.oldest_runtime == made.manifest.variants[variant].minimum_runtime
        assert inspected.unsupported == ()
        # every state is an input and an output, and both live throughout
        assert inspected.arena_bytes > 2 * state_bytes
        counted = {(o.operator, o.count) for o in inspected.operators}
        assert {("FULLY_CONNECTED", 3), ("LOGISTIC", 4), ("TANH", 2), ("SPLIT", 1)} <= counted


def test_windows_that_overlap_are_stepped_twice(make_partial: Callable[..., Any], shipped: Any) -> None:
    from dataclasses import replace

    manifest = shipped[0]
    windowed = replace(
        manifest.network, mode="windowed", window_rows=48, window_hop_rows=24, rows_per_step=2, warmup_steps=1
    )
    once = manifest.sampling_rate_hz / manifest.front_end.hop_samples
    assert steps_per_s(replace(manifest, network=windowed)) == pytest.approx(once / 2 * 2)


def test_the_arena_by_hand() -> None:
    """a and b overlap; c follows a and takes its place; d overlaps with b and c, and 48..64 is too small for it."""
    a, b, c, d = Lifetime(64, 0, 1), Lifetime(32, 1, 3), Lifetime(48, 2, 3), Lifetime(20, 3, 3)
    assert packed_bytes([a, b]) == 96
    assert packed_bytes([a, b, c]) == 96
    assert packed_bytes([a, b, c, d]) == 96 + 32
    assert packed_bytes([]) == 0


def test_flex_operators_are_named() -> None:
    """Plain conversion of a Keras LSTM, as TensorFlow advises, needs list operators that the small runtime lacks."""
    import keras
    import tensorflow as tf

    model = keras.Sequential([keras.Input((8, 4), batch_size=1), keras.layers.LSTM(3)])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    converter._experimental_lower_tensor_list_ops = False
    inspected = inspect_graph(converter.convert(), "flex")
    assert inspected.oldest_runtime is None
    assert "TensorFlow's Flex operator FlexTensorListReserve" in inspected.unsupported
    assert "runs in: no tflite-runtime; it needs TensorFlow's Flex operator FlexTensorList" in inspected.table()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"graph\.tflite is empty: expected a \.tflite graph; copy it again"),
        (b"PK\x03\x04" * 100, r"is not a \.tflite graph: expected the identifier 'TFL3' in bytes 4 to 7, got b'PK"),
        (b"\x1c\x00\x00\x00TFL3" + bytes(200), r"is damaged or truncated \(208 bytes; "),
    ],
)
def test_the_error_for_a_bad_file_is_one_line(tmp_path: Path, capsys: Any, content: bytes, message: str) -> None:
    path = tmp_path / "graph.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        inspect_model(str(path))
    assert main(["inspect", str(path)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("edgequake: error: ") and captured.err.count("\n") == 1


def test_every_truncation_is_refused(shipped: tuple[Any, bytes, Path]) -> None:
    graph = shipped[1]
    for length in range(1, len(graph) - 64, 997):
        with pytest.raises(ModelError, match=r"damaged|not a \.tflite graph"):
            inspect_graph(graph[:length], "cut")


def test_changed_bytes_raise_no_other_error(shipped: tuple[Any, bytes, Path]) -> None:
    rng, n_refused = np.random.default_rng(1), 0
    for _ in range(300):
        damaged = bytearray(shipped[1])
        for position in rng.integers(0, 4_000, 8):  # where the tables are
            damaged[position] = rng.integers(256)
        try:
            inspect_graph(bytes(damaged), "damaged").table()
        except ModelError:
            n_refused += 1
    assert n_refused > 50


def test_missing_files_and_variants_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot be read: No such file .* shipped models \(earth, mars, moon"):
        inspect_model(str(tmp_path / "none.tflite"))
    path = tmp_path / "a.tflite"
    path.write_bytes(b"x")
    with pytest.raises(ModelError, match="is one graph and has no variants; give the manifest with --variant"):
        inspect_model(str(path), "int8")


def test_the_command_prints_the_same_as_json(capsys: Any) -> None:
    assert main(["inspect", "moon", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    inspected = inspect_model("moon")
    assert printed["macs_per_step"] == inspected.macs_per_step
    assert len(printed["tensors"]) == len(inspected.tensors)
    assert main(["inspect", "moon"]) == 0
    text = capsys.readouterr().out
    assert f"{inspected.macs_per_step} multiply-accumulates a step, " in text and "a second of signal" in text


def test_no_tensorflow_is_loaded() -> None:
    code = (
        "import sys; from edgequake.convert.inspection.inspection import inspect_model; inspect_model('moon');"
        "print([m for m in ('tensorflow', 'keras', 'tflite_runtime', 'ai_edge_litert') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"

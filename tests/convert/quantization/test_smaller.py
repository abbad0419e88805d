"""Graphs stored in fewer bytes: the same operators on the same numbers, in every runtime that is installed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import numpy as np
import pytest

from edgequake.convert.inspection.inspection import inspect_model
from edgequake.convert.inspection.tflite_reader import read_graph_file
from edgequake.edge.detection.network import StepNetwork

N_STEPS = 3_000
VARIANTS = ("dynamic", "int8", "int16x8")


@pytest.fixture(scope="module")
def made(build_network: Callable[..., Any], convert: Callable[..., Any], make_rows: Callable[..., Any]) -> Any:
    """Return a network in every variant, as TensorFlow writes it."""

    def layers_of(L: Any) -> list[Any]:
        return [
            *(L.Conv1D(8, 5, padding="causal", activation="relu"), L.LSTM(12, return_sequences=True)),
            *(L.LSTM(12, return_sequences=True), L.Dense(2, activation="sigmoid")),
        ]

    calibration = make_rows(1500, 3)[np.newaxis]
    return convert(build_network(layers_of, None), "continuous", ["onset", "event"], calibration, VARIANTS)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["float32", *VARIANTS])
def test_a_smaller_file_gives_the_same_bits(made: Any, make_rows: Callable[..., Any], variant: str) -> None:
    from edgequake.convert.quantization.smaller import smaller

    before = made.graphs[variant]
    after, named = smaller(before), smaller(before, keep_names=True)
    rows = make_rows(N_STEPS, 4)[:, np.newaxis]
    results = []
    for graph in (before, after, named):
        network = StepNetwork(made.manifest, graph, made.manifest.variants[variant])
        results.append([network.run(rows), *network.state()])
    assert float(np.std(results[0][0])) > 0.01
    for other in results[1:]:
        for wanted, got in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(got, wanted)
    for graph in (after, named):  # TensorFlow's own interpreter, without state
        for wanted, got in zip(in_tensorflow(before, rows[:50]), in_tensorflow(graph, rows[:50]), strict=True):
            np.testing.assert_array_equal(got, wanted)
    assert len(after) < len(named) < len(before)
    assert smaller(after) == after


def in_tensorflow(graph: bytes, rows: Any) -> list[Any]:
    """Return the outputs of every step, each from zero state, by name."""
    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        interpreter = tf.lite.Interpreter(
            model_content=graph,
            experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
    interpreter.allocate_tensors()
    ends = {detail["name"]: detail for detail in interpreter.get_input_details()}
    made = []
    for step in rows:
        scale, zero = ends["rows"]["quantization"]
        values = np.rint(step / scale) + zero if scale else step
        for detail in ends.values():  # quantized states of zero are their zero points
            zeros = np.full(detail["shape"], detail["quantization"][1], detail["dtype"])
            interpreter.set_tensor(detail["index"], zeros)
        interpreter.set_tensor(ends["rows"]["index"], values[np.newaxis].astype(ends["rows"]["dtype"]))
        interpreter.invoke()
        for detail in sorted(interpreter.get_output_details(), key=lambda detail: str(detail["name"])):
            made.append(interpreter.get_tensor(detail["index"]))
    return made


@pytest.mark.slow
def test_other_tools_find_inputs_and_outputs_by_the_signature(made: Any) -> None:
    import tensorflow as tf

    from edgequake.convert.quantization.smaller import smaller

    graph = smaller(made.graphs["float32"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        run = tf.lite.Interpreter(model_content=graph).get_signature_runner("serving_default")
    zeros = {name: np.zeros(detail["shape"], np.float32) for name, detail in run.get_input_details().items()}
    assert set(zeros) == {"rows", *(state.name for state in made.manifest.network.states)}
    rows = np.random.default_rng(1).normal(size=zeros["rows"].shape).astype(np.float32)
    network = StepNetwork(made.manifest, graph, made.manifest.variants["float32"])
    np.testing.assert_allclose(run(**{**zeros, "rows": rows})["probabilities"][0], network.step(rows[0]), atol=1e-6)


@pytest.mark.slow
def test_only_inputs_and_outputs_keep_their_names(made: Any, tmp_path: Any) -> None:
    from edgequake.convert.quantization.smaller import smaller

    before = read_graph_file(made.graphs["int8"], "before")
    after = read_graph_file(smaller(made.graphs["int8"]), "after")
    ends = {before.tensors[i].name for i in (*before.inputs, *before.outputs)}
    assert {tensor.name for tensor in after.tensors} == ends | {""}
    assert [operator.name for operator in after.operators] == [operator.name for operator in before.operators]
    constants = [tensor.buffer for tensor in after.tensors if tensor.constant_bytes]
    assert len(set(constants)) == max(constants)  # every stored one is used
    path = tmp_path / "a.tflite"
    path.write_bytes(smaller(made.graphs["int8"]))
    shown = inspect_model(str(path))
    assert 0 < shown.rest_bytes < shown.size_bytes - shown.weights_bytes - shown.scales_bytes


@pytest.mark.slow
def test_the_manifest_describes_the_smaller_files_and_refuses_other_numbers(made: Any, tmp_path: Any) -> None:
    from edgequake.convert.verification import smaller_files
    from edgequake.edge.base.errors import ModelError

    for name, variant in made.manifest.variants.items():
        (tmp_path / variant.file).write_bytes(made.graphs[name])
    manifest = smaller_files.with_smaller_files(made.manifest, tmp_path)
    for name, variant in manifest.variants.items():
        written = (tmp_path / variant.file).read_bytes()
        assert (variant.size_bytes, variant.sha256) == (len(written), sha256(written).hexdigest())
        assert replace(variant, sha256="", size_bytes=0) == replace(
            made.manifest.variants[name], sha256="", size_bytes=0
        )
    assert manifest.variants["int8"].size_bytes <= manifest.network.parameters + 8_000
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(smaller_files, "smaller", lambda content, keep_names: made.graphs["dynamic"])
        with pytest.raises(ModelError, match="graph stored in fewer bytes computes other numbers"):
            smaller_files.with_smaller_files(manifest, tmp_path)

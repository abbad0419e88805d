"""What TensorFlow's own converter makes of the same Keras files: writes the table in docs/convert.md.

    EDGEQUAKE_LANDER_PYTHONS="tflite-runtime=PYTHON" python studies/plain_route.py

The plain route is what the manuals say: TFLiteConverter.from_keras_model(model) with the settings of each variant. It
runs in a process of its own for each graph, because it may end in a segmentation fault; so does the run of what it
made, in tflite-runtime 2.14.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from conformance import ROOT, load

VARIANTS = ("float32", "dynamic", "int8", "int16x8")
NETWORKS = (
    "Conv1D, LSTM",
    "LSTM stateful",
    "GRU reset_after",
    "Conv1D strides 2, LSTM",
    "TimeDistributed Conv1D, MaxPooling1D, Flatten, LSTM",
    "seed network, spectrogram",
)
WORK = ROOT / "out" / "plain-route"
PAGE = ROOT / "docs" / "convert.md"
BEGIN, STOP = "<!-- studies/plain_route.py writes from here -->", "<!-- to here -->"
HEAD = "| network | variant | plain route | runs in tflite-runtime 2.14 | one-step graph | runs there | bytes |\n"
RULE = "|---|---|---|---|---|---|---|\n"
LIMIT_S = 300
KNOWN = {  # in what a process wrote -> what it comes to
    "TensorListReserve": "refused: TensorList operators, which need Flex",
    "TensorList": "refused: TensorList operators, which need Flex",
    "Select TensorFlow op": "refused: operators that need Flex",
    "Didn't find op for builtin opcode": "no: an operator in a newer version",
    "variable != nullptr": "no: READ_VARIABLE, variable != nullptr",
}

CONVERT = """
import json, sys
import numpy as np, keras, tensorflow as tf
model, out, variant, shape = keras.saving.load_model(sys.argv[1]), sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
rows = keras.Input(batch_shape=shape)  # a fixed batch and length: without them the plain route needs Flex for float too
model = keras.Model(rows, model(rows))
converter = tf.lite.TFLiteConverter.from_keras_model(model)
rng = np.random.default_rng(1)
if variant != "float32":
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
if variant in ("int8", "int16x8"):
    converter.representative_dataset = lambda: ([rng.normal(size=shape).astype(np.float32)] for _ in range(50))
    sets = {"int8": "TFLITE_BUILTINS_INT8",
            "int16x8": "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8"}
    converter.target_spec.supported_ops = [getattr(tf.lite.OpsSet, sets[variant])]
open(out, "wb").write(converter.convert())
"""
RUN = """
import json, sys
import numpy as np
from tflite_runtime.interpreter import Interpreter
interpreter = Interpreter(model_path=sys.argv[1])
detail = interpreter.get_input_details()[0]
interpreter.resize_tensor_input(detail["index"], json.loads(sys.argv[2]))
interpreter.allocate_tensors()
interpreter.set_tensor(detail["index"], np.zeros(json.loads(sys.argv[2]), detail["dtype"]))
interpreter.invoke()
print(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).shape)
"""


def main() -> None:
    """Convert every network both ways and write the table."""
    from edgequake.edge.detection.network import import_runtime

    import_runtime()  # before TensorFlow
    conformance, run = load("conformance"), load("conformance_run")
    python = run.interpreters()["tflite-runtime"]
    WORK.mkdir(parents=True, exist_ok=True)
    kept = WORK / "rows.jsonl"
    done = [tuple(json.loads(line)) for line in kept.read_text().splitlines()] if kept.exists() else []
    for name in NETWORKS:
        if any(row[0] == name for row in done):
            continue
        architecture = dataclasses.replace(conformance.ARCHITECTURES[name], variants=VARIANTS)
        model = conformance.build(name)
        model.save(WORK / "network.keras")
        ours = one_step(model, architecture, run, conformance, python)
        shape = [1, architecture.n_rows or 48, *(architecture.input_shape or (0, architecture.n_features))[1:]]
        for variant in VARIANTS:
            row = (name, variant, *plain(variant, shape, python), *ours[variant])
            print(*row, sep=" | ", flush=True)
            done.append(row)
            with kept.open("a") as file:
                file.write(json.dumps(row) + "\n")
    versions = ", ".join(f"{package} {metadata.version(package)}" for package in ("tensorflow", "keras"))
    table = HEAD + RULE + "".join(f"| {' | '.join(map(str, row))} |\n" for row in done)
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.partition(BEGIN)[0], text.partition(STOP)[2]
    PAGE.write_text(
        f"{before}{BEGIN}\n\n{versions}, tflite-runtime 2.14.0.\n\n{table}\n{STOP}{after}", encoding="utf-8"
    )


def plain(variant: str, shape: list[int], python: str) -> tuple[str, str]:
    """Return what the plain route says to a variant, and what the runtime says to its file."""
    file = WORK / f"{variant}.tflite"
    file.unlink(missing_ok=True)
    converted = _process([sys.executable, "-c", CONVERT, str(WORK / "network.keras"), str(file), variant, str(shape)])
    if converted or not file.exists():
        return converted, "-"
    return _operators(file), _process([python, "-c", RUN, str(file), str(shape)]) or "yes"


def one_step(model: Any, architecture: Any, run: Any, conformance: Any, python: str) -> dict[str, tuple[str, str, int]]:
    """Return the operators of our graphs, whether they run, and their sizes."""
    import numpy as np

    from edgequake.convert.streaming.step_model import build_step_graph

    graph = build_step_graph(model, architecture.mode, architecture.n_rows)
    calibration, rows = run._rows(conformance, architecture)
    manifest = run._convert(model, graph, architecture, calibration, WORK / "graphs")
    np.save(WORK / "graphs" / "rows.npy", rows)
    made = run._run(python, "tflite-runtime", WORK / "graphs")
    return {
        name: (_operators(WORK / "graphs" / variant.file), "yes" if name in made else "no", variant.size_bytes)
        for name, variant in manifest.variants.items()
    }


def _operators(file: Path) -> str:
    """Return how many operators a graph has, and those that are the trouble."""
    from tensorflow.lite.tools import flatbuffer_utils

    from edgequake.convert.quantization import flatbuffer

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(file.read_bytes()))
    names = [_name(flatbuffer, model, operator) for subgraph in model.subgraphs for operator in subgraph.operators]
    trouble = sorted({name for name in names if name in ("WHILE", "CALL_ONCE", "READ_VARIABLE") or "Flex" in name})
    return f"{len(names)} operators" + (f" with {', '.join(trouble)}" if trouble else "")


def _name(flat_model: Any, model: Any, operator: Any) -> str:
    code = model.operatorCodes[operator.opcodeIndex]
    return code.customCode.decode() if code.customCode else str(flat_model.operator_name(model, operator))


def _process(command: list[str]) -> str:
    """Run a process and return an empty text, or how it ended."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/", timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        return f"no end after {LIMIT_S} s"
    if done.returncode < 0:
        return f"crashes (signal {-done.returncode})"
    if done.returncode == 0:
        return ""
    return _reason(done.stderr)


def _reason(stderr: str) -> str:
    """Return in a few words what a process said last; the first words that are known tell most."""
    for sign, words in KNOWN.items():
        if sign in stderr:
            return words
    lines = [line.strip() for line in stderr.splitlines() if "rror" in line and "raceback" not in line]
    return (lines or ["fails without a word"])[-1].replace("|", "/")[:160]


if __name__ == "__main__":
    main()

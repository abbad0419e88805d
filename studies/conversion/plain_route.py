"""Convert Keras files with TensorFlow's own converter for comparison, and write the table in docs/convert.md.

    EDGEQUAKE_LANDER_PYTHONS="tflite-runtime=PYTHON" python studies/conversion/plain_route.py [NAME ...]

The plain route follows TensorFlow's manual: TFLiteConverter.from_keras_model(model) with the settings of each variant.
Each conversion runs in a process of its own, because it may end in a segmentation fault; so does the test of its result
in tflite-runtime 2.14. Rows are stored in WORK/rows.jsonl, so that an interrupted run can be continued. For a short
run, give names, --variants, --work and --page.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from studies.conversion.conformance import ROOT, load

VARIANTS = ("float32", "dynamic", "int8", "int16x8")
NETWORKS = (
    "Conv1D, LSTM",
    "LSTM stateful",
    "GRU reset_after",
    "Conv1D strides 2, LSTM",
    "TimeDistributed Conv1D, MaxPooling1D, Flatten, LSTM",
    "seed network, spectrogram",
)
BEGIN, STOP = "<!-- studies/conversion/plain_route.py writes from here -->", "<!-- to here -->"
HEAD = "| network | variant | plain route | runs in tflite-runtime 2.14 | one-step graph | runs there | bytes |\n"
RULE = "|---|---|---|---|---|---|---|\n"
LIMIT_S = 300
KNOWN = {  # text in the output of a process -> the outcome
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
rows = keras.Input(batch_shape=shape)  # a fixed batch and length: without them even float32 needs Flex
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
    """Convert every network by both routes and write the table."""
    from edgequake.edge.detection.network import import_runtime

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", default=NETWORKS, help="by default those of the page")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "plain-route", help="folder for graphs and results")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "convert.md", help="page that holds the table")
    options = parser.parse_args()
    import_runtime()  # before TensorFlow
    conformance, run = load("conformance"), load("conformance_run")
    python = run.interpreters().get("tflite-runtime")
    if python is None:
        sys.exit("EDGEQUAKE_LANDER_PYTHONS names no interpreter with tflite-runtime; use `make conformance`")
    options.work.mkdir(parents=True, exist_ok=True)
    stored = options.work / "rows.jsonl"
    done = [tuple(json.loads(line)) for line in stored.read_text().splitlines()] if stored.exists() else []
    for name in options.names:
        if any(row[0] == name for row in done):
            continue
        architecture = dataclasses.replace(conformance.ARCHITECTURES[name], variants=tuple(options.variants))
        model = conformance.build(name)
        model.save(options.work / "network.keras")
        ours = one_step(model, architecture, run, conformance, python, options.work / "graphs")
        shape = [1, architecture.n_rows or 48, *(architecture.input_shape or (0, architecture.n_features))[1:]]
        for variant in options.variants:
            row = (name, variant, *plain(variant, shape, python, options.work), *ours[variant])
            print(*row, sep=" | ", flush=True)
            done.append(row)
            with stored.open("a") as file:
                file.write(json.dumps(row) + "\n")
    versions = ", ".join(f"{package} {metadata.version(package)}" for package in ("tensorflow", "keras"))
    table = HEAD + RULE + "".join(f"| {' | '.join(map(str, row))} |\n" for row in done)
    text = options.page.read_text(encoding="utf-8")
    before, after = text.partition(BEGIN)[0], text.partition(STOP)[2]
    options.page.write_text(
        f"{before}{BEGIN}\n\n{versions}, tflite-runtime 2.14.0.\n\n{table}\n{STOP}{after}", encoding="utf-8"
    )


def plain(variant: str, shape: list[int], python: str, work: Path) -> tuple[str, str]:
    """Return the outcome of the plain route for a variant, and that of its graph in the runtime."""
    file = work / f"{variant}.tflite"
    file.unlink(missing_ok=True)
    converted = _process([sys.executable, "-c", CONVERT, str(work / "network.keras"), str(file), variant, str(shape)])
    if converted or not file.exists():
        return converted, "-"
    return _operators(file), _process([python, "-c", RUN, str(file), str(shape)]) or "yes"


def one_step(
    model: Any, architecture: Any, run: Any, conformance: Any, python: str, folder: Path
) -> dict[str, tuple[str, str, int]]:
    """Return the operators of the one-step graphs, whether they run, and their sizes, by variant."""
    import numpy as np

    calibration, rows = run.calibration_and_rows(conformance, architecture)
    manifest = run.convert(model, architecture, calibration, folder)
    np.save(folder / "rows.npy", rows)
    made = run.run(python, "tflite-runtime", folder)
    return {
        name: (_operators(folder / variant.file), "yes" if name in made else "no", variant.size_bytes)
        for name, variant in manifest.variants.items()
    }


def _operators(file: Path) -> str:
    """Return how many operators a graph has, loop bodies included, and the names of the problematic ones."""
    from edgequake.convert.quantization import flatbuffer

    model, names = flatbuffer.unpack(file.read_bytes()), []
    for operator in (operator for subgraph in model.subgraphs for operator in subgraph.operators):
        custom = model.operatorCodes[operator.opcodeIndex].customCode
        names.append(custom.decode() if custom else flatbuffer.operator_name(model, operator))
    trouble = sorted({name for name in names if name in ("WHILE", "CALL_ONCE", "READ_VARIABLE") or "Flex" in name})
    return f"{len(names)} operators" + (f" with {', '.join(trouble)}" if trouble else "")


def _process(command: list[str]) -> str:
    """Run a process and return how it failed; an empty text where it did not."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/", timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        return f"does not end within {LIMIT_S} s"
    if done.returncode < 0:
        return f"crashes (signal {-done.returncode})"
    if done.returncode == 0:
        return ""
    return _reason(done.stderr)


def _reason(stderr: str) -> str:
    """Return the reason for a failure in a few words, from the output of the process."""
    for sign, words in KNOWN.items():
        if sign in stderr:
            return words
    lines = [line.strip() for line in stderr.splitlines() if "rror" in line and "raceback" not in line]
    return (lines or ["fails without a message"])[-1].replace("|", "/")[:160]


if __name__ == "__main__":
    main()

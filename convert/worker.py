"""The process that holds TensorFlow: one conversion job, read from a folder and written back to it.

A process of its own, because the converter can end in a segmentation fault or an abort, and because TensorFlow's
590 MB and its messages are not the caller's business. `edgequake.convert.converter` starts it; nobody else needs to:

    python -m edgequake.convert.worker JOB_FOLDER

The folder holds `job.json` (see `Job`) and `rows.npz` (arrays `calibration` and `verification`). On success the worker
leaves NAME.json, the graphs, and `done.json` with {"manifest": file name}; on one of our errors `done.json` holds
{"error": class name, "message": text}. `stages.txt` says what it has begun, a line a stage.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgequake.convert.calibration import FloatArray
from edgequake.edge.base.errors import ConfigError, EdgequakeError, ModelError
from edgequake.edge.detection.network import import_runtime
from edgequake.edge.manifest import schema
from edgequake.edge.manifest.manifest import Manifest

if TYPE_CHECKING:
    from edgequake.convert.quantization.tflite_file import GraphFile
    from edgequake.convert.streaming.step_model import StepGraph


@dataclass(frozen=True)
class Job:
    """What to convert, and how."""

    keras_file: str
    partial: dict[str, Any]  # the manifest as far as training knows it
    described_in: str  # what to call the source of that in messages
    variants: tuple[str, ...]
    verify: bool
    memory_limit_bytes: int


def main(argv: list[str]) -> int:
    """Run the job in the folder named by the only argument and return the exit code."""
    folder = Path(argv[0])
    job = schema.build(Job, json.loads((folder / "job.json").read_text(encoding="utf-8")), "job.json", ConfigError)
    _limit_memory(job.memory_limit_bytes)
    _quieten()
    try:
        if job.verify:
            import_runtime()  # before TensorFlow, see there
        manifest = _convert(job, folder)
        (folder / f"{manifest.name}.json").write_text(manifest.to_json(), encoding="utf-8")
        _finish(folder, {"manifest": f"{manifest.name}.json"})
    except EdgequakeError as problem:
        _finish(folder, {"error": type(problem).__name__, "message": str(problem)})
        return 1
    return 0


def _convert(job: Job, folder: Path) -> Manifest:
    """Load, step, convert and compare; write the graphs and return the manifest."""
    _stage(folder, "loading the network")
    from edgequake.convert import manifest_builder
    from edgequake.convert.streaming import stepping
    from edgequake.convert.streaming.step_model import build_step_graph
    from edgequake.convert.verification import runtime_check
    from edgequake.convert.verification.comparison import Comparison, shortened

    model = _load(Path(job.keras_file))
    network = job.partial["network"]
    graph = build_step_graph(model, network["mode"], network.get("window_rows"))
    partial = manifest_builder.complete(job.partial, graph, job.described_in)
    with np.load(folder / "rows.npz") as arrays:
        calibration, verification = arrays["calibration"], arrays["verification"]
    expected = None
    if job.verify:
        _stage(folder, "comparing the step graph with Keras")
        expected = stepping.sequence_probabilities(model, graph, verification)
        stepping.check_step_graph(graph, *shortened(verification, expected, graph.rows_per_step))
    made = _convert_variants(job, folder, graph, calibration)
    variants = {
        variant: manifest_builder.describe_variant(file, graph, f"{partial['name']}.{variant}.tflite")
        for variant, file in made.items()
    }
    for variant, described in variants.items():
        (folder / described.file).write_bytes(made[variant].graph)
    manifest = manifest_builder.build_manifest(partial, graph, variants)
    _stage(folder, "invoking the graphs in tflite-runtime")
    details: dict[str, Any] = {
        "invoked_in": runtime_check.invoke(folder / described.file for described in variants.values())
    }
    if expected is not None:
        names = [layer.name for layer in model.layers if type(layer).__name__ != "InputLayer"]
        comparison = Comparison(manifest, folder, names, verification, expected)
        manifest = comparison.run(lambda variant: _stage(folder, f"comparing {variant} with Keras"))
        details["clipping"] = comparison.clipping
    (folder / "details.json").write_text(json.dumps(details), encoding="utf-8")
    return manifest


def _convert_variants(job: Job, folder: Path, graph: StepGraph, calibration: FloatArray) -> dict[str, GraphFile]:
    """Return the finished graph of every wanted variant."""
    from edgequake.convert.quantization import quantize, tflite_file
    from edgequake.convert.streaming import stepping

    states = [state.name for state in graph.states]
    _stage(folder, "converting to float32")
    made = {"float32": tflite_file.finish(quantize.convert_variant(graph, "float32", []), states, "float32")}
    samples: list[stepping.Tensors] = []
    if set(job.variants) & set(quantize.CALIBRATED):
        _stage(folder, "stepping through the calibration rows")
        samples = quantize.calibration_samples(graph, made["float32"].graph, calibration)
    for variant in job.variants:
        if variant not in made:
            _stage(folder, f"converting to {variant}")
            made[variant] = tflite_file.finish(quantize.convert_variant(graph, variant, samples), states, variant)
    return {variant: made[variant] for variant in job.variants}


def _load(path: Path) -> Any:
    """Load the .keras file; whatever Keras says about it becomes one line."""
    import keras

    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as problem:  # Keras raises a dozen kinds for a file it cannot take
        reason = " ".join(str(problem).split())[:300]
        raise ModelError(
            f"{path} cannot be loaded as a Keras model: {reason}; save it again with model.save('NAME.keras')"
        ) from problem


def _limit_memory(limit_bytes: int) -> None:
    """Let the system refuse more memory than the limit (POSIX only): so this process ends, and not another."""
    if os.name != "posix":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))


def _quieten() -> None:
    """Keep TensorFlow to its errors; it writes them to standard error, which the parent reads."""
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="0", CUDA_VISIBLE_DEVICES="-1")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def _stage(folder: Path, text: str) -> None:
    with (folder / "stages.txt").open("a", encoding="utf-8") as file:
        file.write(text + "\n")


def _finish(folder: Path, result: dict[str, str]) -> None:
    (folder / "done.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

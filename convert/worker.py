"""The process that holds TensorFlow: it reads one conversion job from a folder and writes the result back to it.

It is a process of its own because TensorFlow's converter can end in a segmentation fault or an abort, and to keep
TensorFlow's 590 MB and its messages away from the caller. `edgequake.convert.converter` starts it:

    python -m edgequake.convert.worker JOB_FOLDER

The folder holds `job.json` (see `Job`) and `rows.npz` (arrays `calibration` and `verification`). On success the worker
leaves NAME.json, the graphs, `details.json` and `done.json` with {"manifest": file name}; on one of our errors
`done.json` holds {"error": class name, "message": text}. `stages.txt` lists the stages begun, one per line.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgequake.edge.base.errors import ConfigError, EdgequakeError, ModelError
from edgequake.edge.detection.network import import_runtime
from edgequake.edge.manifest import schema
from edgequake.edge.manifest.manifest import Manifest


@dataclass(frozen=True)
class Job:
    """A conversion job."""

    keras_file: str
    partial: dict[str, Any]  # the manifest as far as training knows it
    described_in: str  # names the source of the partial manifest in messages
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
        import_runtime()  # before TensorFlow, see its docstring
        manifest = _convert(job, folder)
        (folder / f"{manifest.name}.json").write_text(manifest.to_json(), encoding="utf-8")
        _finish(folder, {"manifest": f"{manifest.name}.json"})
    except EdgequakeError as problem:
        _finish(folder, {"error": type(problem).__name__, "message": str(problem)})
        return 1
    return 0


def _convert(job: Job, folder: Path) -> Manifest:
    """Load the network, build its step graph, convert and compare; write the graphs and return the manifest."""

    def begin(stage: str) -> None:
        with (folder / "stages.txt").open("a", encoding="utf-8") as file:
            file.write(stage + "\n")

    begin("loading the network")
    from edgequake.convert import manifest_builder
    from edgequake.convert.quantization.quantize import convert_variants
    from edgequake.convert.streaming import stepping
    from edgequake.convert.streaming.step_model import build_step_graph
    from edgequake.convert.verification import runtime_check
    from edgequake.convert.verification.comparison import compare_graphs, shortened
    from edgequake.convert.verification.golden_vector import with_golden_vectors

    model = _load(Path(job.keras_file))
    network = job.partial["network"]
    graph = build_step_graph(model, network["mode"], network.get("window_rows"))
    partial = manifest_builder.complete(job.partial, graph, job.described_in)
    with np.load(folder / "rows.npz") as arrays:
        calibration, verification = arrays["calibration"], arrays["verification"]
    expected = None
    if job.verify:
        begin("comparing the step graph with Keras")
        expected = stepping.sequence_probabilities(model, graph, verification)
        stepping.check_step_graph(graph, *shortened(verification, expected, graph.rows_per_step))
    files = convert_variants(graph, job.variants, calibration, begin)
    manifest = manifest_builder.build_manifest(partial, graph, files)
    graphs = {name: folder / variant.file for name, variant in manifest.variants.items()}
    for name, path in graphs.items():
        path.write_bytes(files[name].graph)
    begin("invoking the graphs in tflite-runtime")
    details: dict[str, Any] = {"invoked_in": runtime_check.invoke(graphs.values())}
    if expected is not None:
        layers = [layer.name for layer in model.layers if type(layer).__name__ != "InputLayer"]
        manifest, details["clipping"] = compare_graphs(
            manifest, folder, layers, verification, expected, lambda name: begin(f"comparing {name} with Keras")
        )
    (folder / "details.json").write_text(json.dumps(details), encoding="utf-8")
    return with_golden_vectors(manifest, folder)


def _load(path: Path) -> Any:
    """Load the .keras file; an error of Keras becomes one line."""
    import keras

    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as problem:  # Keras raises a dozen types for a file that it cannot take
        reason = " ".join(str(problem).split())[:300]
        raise ModelError(
            f"{path} cannot be loaded as a Keras model: {reason}; save it again with model.save('NAME.keras')"
        ) from problem
    _reserve_names(model)
    return model


def _reserve_names(model: Any) -> None:
    """Keep Keras from giving an operation of the step graph the name of a layer.

    Keras numbers unnamed operations from 1, but does not count the names of a loaded network: a layer 'add' and the
    addition in an LSTM's step would otherwise both be called 'add', which Keras refuses.
    """
    import keras

    from edgequake.convert.streaming.layer_graph import trace

    for call in trace(model).calls:
        stem, _, number = call.name.rpartition("_")
        stem, last = (stem, int(number)) if stem and number.isdigit() else (call.name, 0)
        while keras.backend.get_uid(stem) <= last:
            pass


def _limit_memory(limit_bytes: int) -> None:
    """Make the system refuse memory beyond the limit (POSIX only), so that this process ends and not another."""
    if os.name != "posix":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))


def _quieten() -> None:
    """Restrict TensorFlow to error messages; it writes them to standard error, which the parent reads."""
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="0", CUDA_VISIBLE_DEVICES="-1")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def _finish(folder: Path, result: dict[str, str]) -> None:
    (folder / "done.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The process that holds TensorFlow: it reads one conversion job from a folder and writes the result back to it.

It is a process of its own because TensorFlow's converter can end in a segmentation fault or an abort, and to keep
TensorFlow's 590 MB and its messages away from the caller. `edgequake.convert.converter` starts it:

    python -m edgequake.convert.worker JOB_FOLDER

The folder holds `job.json` (see `Job`) and `rows.npz` (arrays `calibration` and `verification`). On success the worker
leaves NAME.json, the graphs, `details.json` and `done.json` with {"manifest": file name}; on one of our errors
`done.json` holds {"error": class name, "message": text}. `stages.txt` lists the stages begun, one per line.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgequake.edge.base.errors import ConfigError, EdgequakeError
from edgequake.edge.detection.network import import_runtime
from edgequake.edge.manifest import schema
from edgequake.edge.manifest.manifest import Manifest

# Short windows are many, and all begin alike; Keras takes 1.4 ms a step. The float32 graph is compared on all of them.
MOST_SEQUENCES = 200
DEEPEST = 20_000  # Python's frames: a network of hundreds of layers is traced from its end


@dataclass(frozen=True)
class Job:
    """A conversion job."""

    keras_file: str
    partial: dict[str, Any]  # the manifest as far as training knows it
    described_in: str  # names the source of the partial manifest in messages
    variants: tuple[str, ...]
    verify: bool
    may_leave_out: bool  # a variant that cannot be made, where others can
    keep_names: bool  # of the graphs' inner tensors
    memory_limit_bytes: int


def main(argv: list[str]) -> int:
    """Run the job in the folder named by the only argument and return the exit code."""
    folder = Path(argv[0])
    job = schema.build(Job, json.loads((folder / "job.json").read_text(encoding="utf-8")), "job.json", ConfigError)
    _limit_memory(job.memory_limit_bytes)
    _quieten()
    sys.setrecursionlimit(DEEPEST)
    try:
        import_runtime()  # before TensorFlow, see its docstring
        _import_tensorflow()
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
    from edgequake.convert.loading.network_loader import load_network
    from edgequake.convert.meaning import columns_of
    from edgequake.convert.quantization.quantize import convert_variants
    from edgequake.convert.streaming import masking, stepping
    from edgequake.convert.streaming.layer_graph import trace
    from edgequake.convert.streaming.step_model import build_step_graph
    from edgequake.convert.verification import recommendation, runtime_check, whole_windows
    from edgequake.convert.verification.comparison import compare_graphs, shortened
    from edgequake.convert.verification.golden_vector import with_golden_vectors
    from edgequake.convert.verification.smaller_files import with_smaller_files

    model = load_network(Path(job.keras_file))
    network, layers = job.partial["network"], trace(model)
    has_events = job.partial["front_end"]["kind"] != "rows"
    try:
        columns = columns_of(network, layers.heads, job.described_in, has_events)
    except ConfigError:
        build_step_graph(model, network["mode"], network.get("window_rows"))  # whether it can be stepped comes first
        raise
    graph = build_step_graph(
        model,
        network["mode"],
        network.get("window_rows"),
        columns.activation,
        bool(network.get("one_step")),
        network.get("rows_per_step") if job.described_in != "train.json" else None,  # there it is to be checked
    )
    named = {"outputs": list(columns.outputs), "event_classes": list(columns.event_classes)}
    partial = manifest_builder.complete({**job.partial, "network": {**network, **named}}, graph, job.described_in)
    with np.load(folder / "rows.npz") as arrays:
        calibration, verification = arrays["calibration"], arrays["verification"]
    questions = [columns.question] if columns.question else []
    details: dict[str, Any] = {"remarks": [*questions, *masking.remarks(layers, calibration, verification)]}
    expected = None
    if job.verify:
        begin("comparing the step graph with Keras")
        expected = stepping.sequence_probabilities(model, graph, verification)
        few = shortened(verification, expected, graph.rows_per_step)
        stepping.check_step_graph(graph, *(part[:MOST_SEQUENCES] for part in few))
    left_out: dict[str, str] = {}
    may_leave_out = left_out if job.may_leave_out else None
    files = convert_variants(graph, job.variants, calibration, begin, may_leave_out)
    manifest = manifest_builder.build_manifest(partial, graph, files)
    graphs = {name: folder / variant.file for name, variant in manifest.variants.items()}
    for name, path in graphs.items():
        path.write_bytes(files[name].graph)
    begin("invoking the graphs in tflite-runtime")
    refused: dict[Path, str] = {}
    details["invoked_in"] = runtime_check.invoke(graphs.values(), refused if job.may_leave_out else None)
    left_out.update({name: refused[path] for name, path in graphs.items() if path in refused})
    manifest = manifest_builder.without(manifest, left_out)
    if expected is not None:
        names = [call.safe for call in layers.calls]
        manifest, details["clipping"] = compare_graphs(
            manifest, folder, names, verification, expected, lambda name: begin(f"comparing {name} with Keras"),
            may_leave_out,
        )  # fmt: skip
    begin("storing the graphs in fewer bytes")
    manifest = with_smaller_files(manifest, folder, job.keep_names)
    if expected is not None:
        manifest = manifest_builder.with_default(manifest, stepping.scale_of(expected))
    begin("timing the graphs")
    details["step_us"] = recommendation.step_times_us(manifest, folder)
    details["remarks"] += whole_windows.remarks(model, graph, details["step_us"])
    (folder / "details.json").write_text(json.dumps({**details, "left_out": left_out}), encoding="utf-8")
    return with_golden_vectors(manifest, folder)


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


def _import_tensorflow() -> None:
    """Import what every conversion needs: half a million objects, all of which stay, looked at for garbage in vain."""
    gc.disable()
    try:
        import keras  # noqa: F401
        import tensorflow  # noqa: F401
    finally:
        gc.freeze()
        gc.enable()


def _finish(folder: Path, result: dict[str, str]) -> None:
    (folder / "done.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

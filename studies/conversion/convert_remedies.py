"""Print the table of docs/convert-remedies.md: the gain of each remedy for 8-bit LSTMs on one network.

    python studies/conversion/convert_remedies.py MODEL.keras [--calibration DIR] [--rows N]

The network's train.json must lie next to it, and so must calibration.npz unless a folder of records is given. It takes
about half a minute; --rows shortens it.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")

import numpy as np

from edgequake.convert import calibration
from edgequake.convert.verification.agreement import event_agreement, graph_probabilities, probability_agreement
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.detection.network import import_runtime
from edgequake.edge.manifest import schema
from edgequake.edge.manifest.manifest import Manifest, Variant
from edgequake.edge.manifest.tables import FrontEndConfig

import_runtime()  # before TensorFlow, see its docstring
GATE_LIMITS = (8.0, 6.0)  # a sigmoid of 8 is 0.9997, of 6 0.9975


@dataclass(frozen=True)
class Network:
    """A trained network, ready to be quantized in several ways."""

    graph: Any  # StepGraph
    samples: list[Any]
    partial: dict[str, Any]
    rows: Any
    expected: Any

    def measure(self, variant: str, converted: bytes, only_weights: bool = False) -> str:
        """Return a row of the table: size, errors, events, time of a step.

        With `only_weights`, nothing but the weights is rounded: the best that a bias correction could achieve.
        """
        from edgequake.convert import manifest_builder
        from edgequake.convert.quantization import tflite_file
        from edgequake.convert.quantization.layer_rounding import round_only

        file = tflite_file.finish(converted, self.graph, variant)
        manifest = manifest_builder.build_manifest(self.partial, self.graph, {variant: file})
        if only_weights:
            return self._row(manifest, manifest.variants[variant], round_only(file.graph, set()), size="-")
        return self._row(manifest, manifest.variants[variant], file.graph)

    def _row(self, manifest: Manifest, variant: Variant, graph: bytes, size: str = "") -> str:
        started = time.perf_counter()
        got = graph_probabilities(manifest, graph, variant, self.rows)
        step_us = (time.perf_counter() - started) / got[..., 0].size * 1e6
        error = probability_agreement(got, self.expected, self.rows.shape[1])
        events = event_agreement(manifest, got, self.expected)
        matched, missed, extra = (int(events[f"events_{kind}"]) for kind in ("matched", "missed", "extra"))
        return (
            f"| {size or len(graph)} | {error['probability_rms_error']:.4f} | {error['probability_max_error']:.3f} | "
            f"{int(events['decision_flips'])} | {matched}-{missed}+{extra} | {step_us:.0f} |"
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--calibration", type=Path)
    parser.add_argument("--rows", type=int, help="at most so many rows to calibrate on, and to compare on")
    options = parser.parse_args()
    network = load(options.model, options.calibration, options.rows)
    print(f"{network.rows.size // network.rows.shape[2]} rows that were not used in calibration\n")
    print("| remedy | bytes | rms error | largest | decisions flipped | events | us a step |")
    print("|---|---|---|---|---|---|---|")
    for name, row in rows_of(network):
        print(f"| {name} {row}", flush=True)


def load(keras_file: Path, folder: Path | None, n_rows: int | None) -> Network:
    """Load a network and step through its calibration rows."""
    import keras

    from edgequake.convert import manifest_builder
    from edgequake.convert.quantization import quantize, tflite_file
    from edgequake.convert.streaming import stepping
    from edgequake.convert.streaming.step_model import build_step_graph

    partial = json.loads((keras_file.parent / "train.json").read_text(encoding="utf-8"))["manifest"]
    config = partial["network"]
    layout = calibration.InputLayout(config["mode"], config["n_features"], config.get("window_rows"))
    if folder is None:
        rows = calibration.from_file(keras_file.parent / "calibration.npz", layout)
    else:
        front_end = schema.build(FrontEndConfig, partial["front_end"], "train.json", ConfigError)
        channels, rate_hz = tuple(partial["channels"]), partial["sampling_rate_hz"]
        rows = calibration.from_records(folder, partial["body"], channels, front_end, rate_hz, layout)
    model = keras.saving.load_model(keras_file, compile=False)
    graph = build_step_graph(model, config["mode"], config.get("window_rows"))
    partial = manifest_builder.complete(partial, graph, "train.json")
    exact = tflite_file.finish(quantize.convert_variant(graph, "float32", []), graph, "float32").graph
    samples = quantize.calibration_samples(graph, exact, rows.calibration[:, :n_rows])
    compared = rows.verification[:, :n_rows]
    return Network(graph, samples, partial, compared, stepping.sequence_probabilities(model, graph, compared))


def rows_of(network: Network) -> Any:
    """Yield name and row of every remedy."""
    from edgequake.convert.quantization import quantize, scales

    plain = quantize.convert_variant(network.graph, "int8", network.samples)
    yield "int8 as TensorFlow makes it", network.measure("int8", plain)
    for limit in GATE_LIMITS:
        clipped = clip_gates(plain, limit)
        yield f"gate sums clipped to ±{limit:g}", network.measure("int8", clipped)
    fine, scales.COARSE_STEP = scales.COARSE_STEP, np.inf
    wide = quantize.with_int16_cells(plain, network.graph, network.samples)
    yield "16-bit cells", network.measure("int8", wide)
    for limit in GATE_LIMITS:
        yield f"16-bit cells, gate products clipped to ±{limit:g}", network.measure("int8", clip_gates(wide, limit))
    scales.COARSE_STEP = fine
    both = quantize.with_int16_cells(plain, network.graph, network.samples)
    yield "16-bit cells, a scale for every gate unit (what `int8` is)", network.measure("int8", both)
    yield "of that, the rounding of the weights alone", network.measure("int8", both, only_weights=True)
    sixteen = quantize.convert_variant(network.graph, "int16x8", network.samples)
    yield "int16x8", network.measure("int16x8", sixteen)


def clip_gates(converted: bytes, limit: float) -> bytes:
    """Return a graph whose tensors from the gates' matrix products to their activations end at ±limit."""
    from edgequake.convert.quantization import flatbuffer

    model = flatbuffer.unpack(converted)
    subgraph = model.subgraphs[0]
    maker = {int(t): o for o in subgraph.operators for t in o.outputs}
    pending = [int(o.inputs[1]) for o in subgraph.operators if flatbuffer.operator_name(model, o) == "SPLIT"]
    seen: set[int] = set()
    while pending:
        tensor = pending.pop()
        if tensor in seen or flatbuffer.is_constant(model, tensor):
            continue
        seen.add(tensor)
        if flatbuffer.operator_name(model, maker[tensor]) in ("ADD", "CAST", "RESHAPE"):
            pending += [int(t) for t in maker[tensor].inputs[:2]]
    seen |= {int(t) for o in subgraph.operators if flatbuffer.operator_name(model, o) == "SPLIT" for t in o.outputs}
    for index in seen:
        tensor = subgraph.tensors[index]
        scale = flatbuffer.quantization(tensor).scale
        if scale and scale * 127 > limit:
            flatbuffer.set_quantization(tensor, limit / 127, 0)
    return flatbuffer.pack(model)


if __name__ == "__main__":
    main()

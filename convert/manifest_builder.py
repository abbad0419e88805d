"""Build the manifest of a converted network from its graphs and from the training or a description."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

import keras
import tensorflow as tf

from edgequake.convert.quantization.tflite_file import TfliteFile
from edgequake.convert.streaming.step_model import NEXT, PROBABILITIES, ROWS, StepGraph
from edgequake.edge.base.errors import ConfigError, ModelError
from edgequake.edge.manifest import schema
from edgequake.edge.manifest.manifest import FORMAT, FORMAT_VERSION, Manifest
from edgequake.edge.manifest.tables import FrontEndConfig

# An int8 graph within this of Keras, in units of the outputs' size, is the default: it gives the same bits everywhere.
CLOSE_RMS = 0.01


def complete(partial: dict[str, Any], graph: StepGraph, where: str) -> dict[str, Any]:
    """Return the partial manifest with the fields that a description leaves to the network: rows, features, lag.

    Parameters
    ----------
    partial : the manifest as far as it is known, the outputs included.
    where : names its source in messages.

    Raises
    ------
    ModelError
        Its source says something else than the network.
    """
    network = {name: value for name, value in partial["network"].items() if name != "logits"}
    from_graph = {"rows_per_step": graph.rows_per_step, "n_features": graph.n_features, "lag_rows": graph.lag_rows}
    if graph.mode == "windowed":
        network |= {"window_rows": graph.window_rows, "lag_rows": graph.lag_rows}
    completed = {**partial, "network": {**from_graph, **network}}
    _check_declared(graph, completed, where)
    return completed


def _check_declared(graph: StepGraph, partial: dict[str, Any], where: str) -> None:
    """Compare the network with the fields that the training or a description declares.

    Raises
    ------
    ModelError
        They disagree, or the window is not a whole number of steps, or it ends before the contexts are filled.
    """
    network = partial["network"]
    front_end = schema.build(FrontEndConfig, partial["front_end"], f"{where}: front_end", ConfigError)
    if front_end.n_features != graph.n_features:
        raise ModelError(
            f"{where} describes rows of {front_end.n_features} features"
            f"{_parts(front_end)}, but the network takes "
            f"{graph.n_features}; describe the front end that the network was trained with"
        )
    declared = {**network, "number of outputs": len(network["outputs"])}
    actual = {
        "rows_per_step": graph.rows_per_step,
        "n_features": graph.n_features,
        "number of outputs": graph.n_outputs,
    }
    for name, value in actual.items():
        if declared[name] != value:
            raise ModelError(
                f"{where} and the network disagree on {name}: it says {declared[name]}, the network has {value}; "
                f"keep the network and the {where} of one training together"
            )
    window_rows, warmup_rows = network.get("window_rows") or 0, graph.warmup_steps * graph.rows_per_step
    if graph.mode == "windowed" and window_rows + graph.lag_rows <= warmup_rows:
        raise ModelError(
            f"a window of {window_rows} rows does not suit the network: expected more than {warmup_rows}; train with "
            "such a window_rows"
        )


def _parts(front_end: FrontEndConfig) -> str:
    """Return in brackets what the features of a row are, where that is not plain."""
    parts = [f"of {len(front_end.components)} components"] if front_end.components else []
    parts += ["the last one is the gap flag"] if front_end.gap_flag else []
    return f" ({', '.join(parts)})" if parts else ""


def build_manifest(partial: dict[str, Any], graph: StepGraph, files: dict[str, TfliteFile]) -> Manifest:
    """Complete the manifest that training began; the graphs are not yet compared with Keras.

    Parameters
    ----------
    files : variant -> its finished graph.

    Raises
    ------
    ConfigError
        The partial manifest has unknown, missing or contradictory fields.
    """
    conversion = {
        **partial["training"].get("conversion", {}),
        "versions": {"keras": keras.__version__, "tensorflow": tf.__version__},
    }
    values = {
        **partial,
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "network": {
            **partial["network"],
            "states": [asdict(state) for state in graph.states],
            "parameters": graph.parameters,
            "warmup_steps": graph.warmup_steps,
        },
        "default_variant": default_of({name: len(file.graph) for name, file in files.items()}, {}, 1.0),
        "variants": {name: _variant(file, graph, f"{partial['name']}.{name}.tflite") for name, file in files.items()},
        "training": {**partial["training"], "conversion": conversion},
    }
    # By way of JSON, so that exactly the values that the device will read are checked.
    return schema.build(Manifest, json.loads(json.dumps(values)), "train.json: manifest", ConfigError)


def default_of(size_bytes: dict[str, int], rms_error: dict[str, float], size: float) -> str:
    """Return the variant that is run by default, by error and size alone: the same on every machine that converts.

    Parameters
    ----------
    size_bytes : variant -> bytes of its file.
    rms_error : variant -> rms error against Keras; empty where it was not measured.
    size : of the outputs, 1 for probabilities.
    """
    close = [name for name in size_bytes if rms_error.get(name, 0.0) <= CLOSE_RMS * size] or list(size_bytes)
    return "int8" if "int8" in close else min(close, key=lambda name: size_bytes[name])


def without(manifest: Manifest, left_out: Iterable[str]) -> Manifest:
    """Return the manifest without some variants.

    Raises
    ------
    ModelError
        None is left.
    """
    gone = set(left_out)
    variants = {name: variant for name, variant in manifest.variants.items() if name not in gone}
    if not variants:
        raise ModelError("no variant of the network could be made; convert with --quantize float32 to see why")
    default = manifest.default_variant if manifest.default_variant in variants else next(iter(variants))
    return replace(manifest, variants=variants, default_variant=default)


def with_default(manifest: Manifest, size: float) -> Manifest:
    """Return the compared manifest with its default variant."""
    errors = {name: variant.agreement["probability_rms_error"] for name, variant in manifest.variants.items()}
    sizes = {name: variant.size_bytes for name, variant in manifest.variants.items()}
    return replace(manifest, default_variant=default_of(sizes, errors, size))


def _variant(file: TfliteFile, graph: StepGraph, name: str) -> dict[str, Any]:
    return {
        "file": name,
        "sha256": hashlib.sha256(file.graph).hexdigest(),
        "size_bytes": len(file.graph),
        "minimum_runtime": file.minimum_runtime,
        "frame_tensor": ROWS,
        "probability_tensor": PROBABILITIES,
        "state_inputs": {state.name: state.name for state in graph.states},
        "state_outputs": {state.name: state.name + NEXT for state in graph.states},
        "quantization": {tensor: asdict(form) for tensor, form in file.quantization.items()},
        "agreement": {},
    }

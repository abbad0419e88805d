"""Build the manifest of a converted network from its graphs and from the training or a description."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

import keras
import tensorflow as tf

from edgequake.convert.quantization.tflite_file import TfliteFile
from edgequake.convert.streaming.step_model import NEXT, PROBABILITIES, ROWS, StepGraph
from edgequake.edge.base.errors import ConfigError, ModelError
from edgequake.edge.manifest import schema
from edgequake.edge.manifest.manifest import FORMAT, FORMAT_VERSION, Manifest
from edgequake.edge.manifest.tables import FrontEndConfig

OUTPUTS = {1: ["event"], 2: ["onset", "event"]}


def complete(partial: dict[str, Any], graph: StepGraph, where: str) -> dict[str, Any]:
    """Return the partial manifest with the fields that a description leaves to the network: rows, features, outputs.

    Parameters
    ----------
    partial : the manifest as far as it is known.
    where : names its source in messages.

    Raises
    ------
    ModelError
        The network has more outputs than onset and event, or its source says something else than the network.
    """
    if graph.n_outputs not in OUTPUTS:
        raise ModelError(
            f"the network has {graph.n_outputs} columns of outputs: expected one (the probability of an event) or two "
            "(of its onset, of the event); keep those columns with a last Dense layer, or sum the classes into one"
        )
    from_graph = {
        "rows_per_step": graph.rows_per_step,
        "n_features": graph.n_features,
        "outputs": OUTPUTS[graph.n_outputs],
    }
    completed = {**partial, "network": {**from_graph, **partial["network"]}}
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
            f"{where} describes rows of {front_end.n_features} features (the last one is the gap flag), but the "
            f"network takes {graph.n_features}; describe the front end that the network was trained with"
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
    if graph.mode == "windowed" and (window_rows % graph.rows_per_step or window_rows <= warmup_rows):
        raise ModelError(
            f"a window of {window_rows} rows does not suit the network: expected a multiple of {graph.rows_per_step} "
            f"that is greater than {warmup_rows}; train with such a window_rows"
        )


def build_manifest(partial: dict[str, Any], graph: StepGraph, files: dict[str, TfliteFile]) -> Manifest:
    """Complete the manifest that training began; the graphs are not yet compared with Keras.

    Parameters
    ----------
    files : variant -> its finished graph; the first one is the default variant where there is no int8 graph.

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
        "default_variant": "int8" if "int8" in files else next(iter(files)),
        "variants": {name: _variant(file, graph, f"{partial['name']}.{name}.tflite") for name, file in files.items()},
        "training": {**partial["training"], "conversion": conversion},
    }
    # By way of JSON, so that exactly the values that the device will read are checked.
    return schema.build(Manifest, json.loads(json.dumps(values)), "train.json: manifest", ConfigError)


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

"""A manifest before there is a graph: as far as rows, decisions and trigger need it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from edgequake.edge.base.errors import ConfigError
from edgequake.edge.manifest import schema
from edgequake.edge.manifest.manifest import FORMAT, FORMAT_VERSION, Manifest


def manifest_of(partial: Mapping[str, Any], where: str = "train.json: manifest") -> Manifest:
    """Complete the manifest that training or a description begins, as far as it is needed without a graph.

    Raises
    ------
    ConfigError
        Unknown or missing fields, or contradicting values; `where` names them in the message.
    """
    no_graph = {
        "file": "", "sha256": "", "size_bytes": 0, "minimum_runtime": "", "frame_tensor": "", "probability_tensor": "",
        "state_inputs": {}, "state_outputs": {}, "quantization": {}, "agreement": {},
    }  # fmt: skip
    values = {
        **partial,
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "network": {**partial["network"], "states": [], "parameters": 0, "warmup_steps": 0},
        "default_variant": "keras",
        "variants": {"keras": no_graph},
    }
    return schema.build(Manifest, json.loads(json.dumps(values)), where, ConfigError)

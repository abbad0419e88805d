"""Models to install: the shipped lunar one with other weights, thresholds or files."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np

from edgequake.edge.detection.network import load_interpreter
from edgequake.edge.detection.self_test import golden_vector
from edgequake.edge.manifest.manifest import GoldenVector, Manifest, Variant, load_manifest, read_graph

ROWS = np.random.default_rng(3).normal(0, 0.5, (64, 9)).astype(np.float32)


def moon_model() -> tuple[Manifest, Variant, bytes]:
    """Return the shipped model."""
    manifest, folder = load_manifest("moon")
    return (manifest, *read_graph(manifest, folder))


def other_graph(graph: bytes, shift: int = 6) -> bytes:
    """Return a graph whose largest weights differ by up to `shift` steps: a network that was trained differently."""
    interpreter, _ = load_interpreter(graph)
    constants = [detail for detail in interpreter.get_tensor_details() if detail["dtype"] == np.int8]
    weights = max((interpreter.get_tensor(one["index"]) for one in constants if len(one["shape"]) == 2), key=np.size)
    at = graph.index(weights.tobytes())
    changes = np.random.default_rng(shift).integers(-shift, shift + 1, weights.shape)
    changed = np.clip(weights.astype(np.int64) + changes, -127, 127).astype(np.int8)
    return graph[:at] + changed.tobytes() + graph[at + weights.nbytes :]


def write_model(
    folder: Path, manifest: Manifest, graph: bytes, golden: bytes | None = None, name: str | None = None
) -> Path:
    """Write a model with a graph; `golden`: another golden vector than the graph's own. Return the manifest's path."""
    (old,) = manifest.variants.values()
    folder.mkdir(parents=True, exist_ok=True)
    variant = dataclasses.replace(old, sha256=hashlib.sha256(graph).hexdigest(), size_bytes=len(graph))
    golden = golden_vector(manifest, variant, graph, ROWS) if golden is None else golden
    assert variant.golden is not None
    variant = dataclasses.replace(variant, golden=GoldenVector(variant.golden.file, hashlib.sha256(golden).hexdigest()))
    named = dataclasses.replace(manifest, variants={"int8": variant}, name=name or manifest.name)
    (folder / variant.file).write_bytes(graph)
    (folder / variant.golden.file).write_bytes(golden)
    path = folder / f"{named.name}.json"
    path.write_text(named.to_json(), encoding="utf-8")
    return path

"""The graphs of a conversion stored in fewer bytes, each run against the file that it replaces."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgequake.convert.quantization.smaller import smaller
from edgequake.edge.base.errors import ModelError
from edgequake.edge.detection.network import StepNetwork
from edgequake.edge.manifest.manifest import Manifest, Variant

N_STEPS = 100  # a tensor mistaken for another one shows in the first few


def with_smaller_files(manifest: Manifest, folder: Path, keep_names: bool = False) -> Manifest:
    """Write every graph anew, and return the manifest with the sizes and SHA-256 of the new files.

    Raises
    ------
    ModelError
        A new file does not give the same bits.
    """
    variants = {}
    for name, variant in manifest.variants.items():
        before = (folder / variant.file).read_bytes()
        after = smaller(before, keep_names)
        if outputs(manifest, variant, before) != outputs(manifest, variant, after):
            raise ModelError(
                f"the {name} graph stored in fewer bytes computes other numbers; report this network as a defect of "
                "the converter"
            )
        (folder / variant.file).write_bytes(after)
        variants[name] = replace(variant, sha256=hashlib.sha256(after).hexdigest(), size_bytes=len(after))
    return replace(manifest, variants=variants)


def outputs(manifest: Manifest, variant: Variant, graph: bytes, n_steps: int = N_STEPS) -> list[bytes]:
    """Return the bits of a graph's outputs for noise, and of its states after the last step."""
    shape = (n_steps, manifest.network.rows_per_step, manifest.network.n_features)
    network = StepNetwork(manifest, graph, variant)
    made = network.run(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    return [made.tobytes(), *(state.tobytes() for state in network.state())]

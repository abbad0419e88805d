"""Compute the probabilities of converted graphs on stored rows as the device does; run by a lander's interpreter.

    python lander_probabilities.py FOLDER NAME

FOLDER holds manifest.json, rows.npy and the graphs; NAME.npz is written there: one array per variant, and `runtime`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from edgequake.convert.verification.agreement import graph_probabilities
from edgequake.edge.detection.network import StepNetwork
from edgequake.edge.manifest.manifest import load_manifest, read_graph


def main(folder: Path, name: str) -> None:
    """Step every graph through the rows."""
    manifest, _ = load_manifest(folder / "manifest.json")
    rows = np.load(folder / "rows.npy")
    made = {}
    for variant in manifest.variants:
        described, graph = read_graph(manifest, folder, variant)
        made[variant] = graph_probabilities(manifest, graph, described, rows)
        runtime = StepNetwork(manifest, graph, described).runtime
    np.savez(folder / f"{name}.npz", runtime=np.array(runtime), **made)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

"""How long a step of each graph takes on this machine, which `convert` weighs against error and size."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from edgequake.edge.detection.network import StepNetwork
from edgequake.edge.manifest.manifest import Manifest

N_STEPS = 100
N_ROUNDS = 5  # the graphs in turns; the fastest round is the one that nothing else disturbed
MAX_ROUND_S = 0.5


def step_times_us(manifest: Manifest, folder: Path) -> dict[str, float]:
    """Return variant -> microseconds of processor time a step takes."""
    networks = {
        name: StepNetwork(manifest, (folder / variant.file).read_bytes(), variant)
        for name, variant in manifest.variants.items()
    }
    shape = (N_STEPS, manifest.network.rows_per_step, manifest.network.n_features)
    rows = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    fastest = dict.fromkeys(networks, np.inf)
    for _ in range(N_ROUNDS):
        for name, network in networks.items():
            fastest[name] = min(fastest[name], _per_step_s(network, rows))
    return {name: seconds * 1e6 for name, seconds in fastest.items()}


def _per_step_s(network: StepNetwork, rows: np.ndarray) -> float:  # type: ignore[type-arg]
    network.run(rows[:1])
    started = time.process_time()
    network.run(rows[:1])
    n_steps = max(1, min(len(rows), int(MAX_ROUND_S / max(time.process_time() - started, 1e-6))))
    started = time.process_time()
    network.run(rows[:n_steps])
    return (time.process_time() - started) / n_steps

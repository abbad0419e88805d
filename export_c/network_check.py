"""The check value of a network's self-test in C: what the runner makes of the same 256 rows."""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

from edgequake.edge.detection.network import StepNetwork
from edgequake.edge.manifest.manifest import Manifest, Variant
from edgequake.export_c.network_reader import Network

N_ROWS = 256
_FACTOR, _TERM = 1664525, 1013904223  # Numerical Recipes' generator, as in sources/core/eq_save.c


def check_rows(n_features: int) -> npt.NDArray[np.int8]:
    """Return the rows of the self-test, int8, shape (256, n_features)."""
    noise, values = 1, []
    for _ in range(N_ROWS * n_features):
        noise = (noise * _FACTOR + _TERM) & 0xFFFFFFFF
        values.append((noise >> 24) - 128)
    return np.asarray(values, np.int8).reshape(N_ROWS, n_features)


def network_check(manifest: Manifest, variant: Variant, graph: bytes, network: Network) -> int:
    """Return the CRC-32 of the runner's probabilities for the rows, and of its state after the last."""
    rows = check_rows(manifest.network.n_features).astype(np.float32)
    stepped = StepNetwork(manifest, graph, variant)
    values = (rows - np.float32(network.row_zero)) * np.float32(network.row_scale)
    outputs = stepped.run(values[:, np.newaxis, :])
    steps = np.rint(outputs / np.float32(network.probability_scale)) + np.float32(network.probability_zero)
    crc = zlib.crc32(steps.astype(np.int8).tobytes())
    states = dict(zip((state.name for state in manifest.network.states), stepped.state(), strict=True))
    recurrent = [states[state.name].ravel() for state in manifest.network.states if state.kind == "recurrent"]
    c, h = (next(values for values in recurrent if values.dtype == dtype) for dtype in (np.int16, np.int8))
    for i in range(network.n_units):
        crc = zlib.crc32(c[i : i + 1].astype("<i2").tobytes() + h[i : i + 1].tobytes(), crc)
    return crc

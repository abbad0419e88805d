"""The golden vectors of converted graphs: what each makes of the same 64 rows, for the self-test of the device."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgequake.edge.detection.self_test import golden_vector
from edgequake.edge.manifest.manifest import GoldenVector, Manifest, read_graph

N_ROWS = 64
_SEED = 64
_BURSTS = (16, 40)  # rows where a synthetic quake begins


def golden_rows(manifest: Manifest) -> npt.NDArray[np.float32]:
    """Return rows as the front end makes them, synthetic: noise, two decaying bursts, and gaps.

    float32, shape (n_rows, n_features): 64 rows, rounded up to whole steps of the graph.
    """
    front_end, network = manifest.front_end, manifest.network
    n_rows = -(-N_ROWS // network.rows_per_step) * network.rows_per_step
    rng = np.random.default_rng(_SEED)
    n_values = network.n_features - int(front_end.gap_flag)
    values = rng.normal(0.0, 0.25, (n_rows, n_values))
    row = np.arange(n_rows)[:, np.newaxis]
    shape = rng.uniform(0.3, 1.0, n_values)
    for first in _BURSTS:
        since = row - first * n_rows // N_ROWS
        values += np.where(since >= 0, 1.5 * np.exp(-np.maximum(since, 0) / 8.0), 0.0) * shape
    if front_end.kind == "rows":  # of any scale: taken as standardised
        values, low, high, steps = 2.0 * values, -4.0, 4.0, 64
    elif front_end.mel is not None and front_end.kind == "mel":  # a few nepers or some ten decibels about the level
        values, low, high, steps = 10.0 * values, -100.0, 100.0, front_end.mel.steps_per_unit
    elif front_end.waveform is not None:
        limit = front_end.waveform.clip
        values, low, high, steps = 4.0 * values, -limit, limit, front_end.waveform.steps_per_unit
    else:
        bands = front_end.bands
        assert bands is not None
        low, high, steps = bands.clip_low, bands.clip_high, bands.steps_per_decade
    rows = np.zeros((n_rows, network.n_features), np.float32)
    rows[:, :n_values] = np.rint(np.clip(values, low, high) * steps) / steps
    rows[n_rows // 3 :: 17] = 0.0
    if front_end.gap_flag:
        rows[n_rows // 3 :: 17, -1] = 1.0  # no valid channel
    return rows


def with_golden_vectors(manifest: Manifest, folder: Path) -> Manifest:
    """Write the golden vector of each graph beside it, and return the manifest that names them.

    Raises
    ------
    ModelError
        A graph cannot be run.
    ManifestError
        A graph in the folder is not the one that the manifest describes.
    """
    rows, variants = golden_rows(manifest), {}
    for name in manifest.variants:
        variant, graph = read_graph(manifest, folder, name)
        data = golden_vector(manifest, variant, graph, rows)
        file = f"{manifest.name}.{name}.golden.json"
        (folder / file).write_bytes(data)
        variants[name] = replace(variant, golden=GoldenVector(file, hashlib.sha256(data).hexdigest()))
    return replace(manifest, variants=variants)

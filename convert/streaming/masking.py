"""Masking layers, which are left out of a step: a stream skips no row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgequake.convert.streaming.layer_graph import LayerGraph
from edgequake.edge.base.errors import ModelError

FloatArray = npt.NDArray[np.float32]


def remarks(graph: LayerGraph, *sequences: FloatArray) -> list[str]:
    """Return a line for each Masking layer that is left out.

    Parameters
    ----------
    sequences : rows that the network will get, each of shape (n_sequences, n_rows, n_features).

    Raises
    ------
    ModelError
        Such a layer would skip some of them.
    """
    found = []
    for layer in graph.masking:
        value = float(layer.mask_value)
        masked = [np.all(rows == value, axis=-1) for rows in sequences]
        n_masked, n_rows = sum(int(part.sum()) for part in masked), sum(part.size for part in masked)
        if n_masked:
            raise ModelError(
                f"layer '{layer.name}' (Masking) skips rows of {value:g} throughout, and {n_masked} of {n_rows} rows "
                "are such; a stream skips no row: train without Masking, or with a mask_value that no row has"
            )
        found.append(f"layer '{layer.name}' (Masking) is left out: none of {n_rows} rows is {value:g} throughout")
    return found

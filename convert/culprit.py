"""Which layer makes a quantized graph miss its gate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from tensorflow.lite.tools import flatbuffer_utils

from edgequake.convert import rounding
from edgequake.convert.verify import agreement, graph_probabilities
from edgequake.edge.manifest import Manifest, Variant

FloatArray = npt.NDArray[np.float32]
MAX_STEPS = 4_000  # of the comparison's rows; a layer takes about 0.2 s
WORST_TOLD = 3


def layer_errors(
    manifest: Manifest, graph: bytes, variant: Variant, layers: list[str], rows: FloatArray, expected: FloatArray
) -> dict[str, float]:
    """Return the rms error of the probability that the rounding of each layer makes alone, the largest first.

    Parameters
    ----------
    layers : names of the Keras layers. A recurrent layer's products, gates and states count as one.
    rows, expected : sequences and Keras' probabilities of them, as `graph_probabilities` takes and returns them.

    "the weights" stands for the rounding of all weights, which is part of every other figure too; "the input" for that
    of the rows. What was left out of a graph (16-bit or float parts) counts for nothing.
    """
    tensors = rounding.layers_of(flatbuffer_utils.read_model_from_bytearray(bytearray(graph)), layers)
    groups: dict[str, set[int]] = {rounding.WEIGHTS: set()}
    for tensor, layer in tensors.items():
        groups.setdefault(layer, set()).add(tensor)
    errors = {}
    for layer, group in groups.items():
        alone = graph_probabilities(manifest, rounding.rounded_only(graph, group), variant, rows)
        errors[layer] = agreement(alone, expected, rows.shape[1])["probability_rms_error"]
    return dict(sorted(errors.items(), key=lambda item: -item[1]))


def blame(errors: dict[str, float]) -> str:
    """Return the sentence that names the worst layers."""
    (worst, error), *others = list(errors.items())[:WORST_TOLD]
    rest = ", ".join(f"{_called(layer)} {value:.3f}" for layer, value in others)
    return f"most of it comes from rounding {_called(worst)}: alone it makes {error:.3f} rms ({rest})"


def shortened(rows: FloatArray, expected: FloatArray, rows_per_step: int) -> tuple[FloatArray, FloatArray]:
    """Return the first sequences, or the first part of the only one, about `MAX_STEPS` steps in all."""
    n_sequences, n_rows = rows.shape[:2]
    kept = max(1, MAX_STEPS * rows_per_step // n_rows)
    if kept < n_sequences:
        return rows[:kept], expected[:kept]
    if n_sequences == 1 and expected.shape[1] > MAX_STEPS:
        return rows[:, : MAX_STEPS * rows_per_step], expected[:, :MAX_STEPS]
    return rows, expected


def _called(layer: str) -> str:
    return layer if layer in (rounding.WEIGHTS, rounding.INPUT) else f"layer '{layer}'"

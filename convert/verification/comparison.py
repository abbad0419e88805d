"""Which layer makes a quantized graph miss its gate.

All graphs of a conversion against Keras: errors, events, clipping, and the gate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tensorflow.lite.tools import flatbuffer_utils

from edgequake.convert.quantization import layer_rounding
from edgequake.convert.verification import clipping
from edgequake.convert.verification.agreement import (
    agreement,
    check_agreement,
    event_agreement,
    graph_probabilities,
)
from edgequake.edge.manifest.manifest import Manifest, Variant

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
    tensors = layer_rounding.layers_of(flatbuffer_utils.read_model_from_bytearray(bytearray(graph)), layers)
    groups: dict[str, set[int]] = {layer_rounding.WEIGHTS: set()}
    for tensor, layer in tensors.items():
        groups.setdefault(layer, set()).add(tensor)
    errors = {}
    for layer, group in groups.items():
        alone = graph_probabilities(manifest, layer_rounding.rounded_only(graph, group), variant, rows)
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
    return layer if layer in (layer_rounding.WEIGHTS, layer_rounding.INPUT) else f"layer '{layer}'"


INTEGER = ("int8", "int16x8")


@dataclass
class Comparison:
    """What to compare, and, after `run`, the use of the integer graphs' ranges."""

    manifest: Manifest
    folder: Path  # where the graphs are
    layers: list[str]  # names of the Keras layers
    rows: FloatArray  # (n_sequences, n_rows, n_features)
    expected: FloatArray  # Keras' probabilities, (n_sequences, n_steps, n_outputs)
    clipping: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def run(self, begin: Callable[[str], None]) -> Manifest:
        """Return the manifest with every variant's measured agreement.

        Parameters
        ----------
        begin : called with a variant's name when its turn comes.

        Raises
        ------
        ModelError
            The float graph is not the Keras network.
        GateError
            A quantized graph is too far from it.
        """
        variants = {}
        for name, variant in self.manifest.variants.items():
            begin(name)
            variants[name] = replace(variant, agreement=self._compare(name, variant))
        return replace(self.manifest, variants=variants)

    def _compare(self, name: str, variant: Variant) -> dict[str, float]:
        graph = (self.folder / variant.file).read_bytes()
        got = graph_probabilities(self.manifest, graph, variant, self.rows)
        measured = agreement(got, self.expected, n_rows=self.rows.shape[0] * self.rows.shape[1])
        blame = (lambda: self._blame(graph, variant)) if name in INTEGER else None
        check_agreement(measured, name, blame)
        if name in INTEGER:
            rows, _ = self._shortened()
            uses = clipping.tensor_uses(self.manifest, graph, variant, rows, self.layers)
            self.clipping[name] = [asdict(use) for use in uses]
        return {**measured, **event_agreement(self.manifest, got, self.expected)}

    def _blame(self, graph: bytes, variant: Variant) -> str:
        rows, expected = self._shortened()
        return blame(layer_errors(self.manifest, graph, variant, self.layers, rows, expected))

    def _shortened(self) -> tuple[FloatArray, FloatArray]:
        return shortened(self.rows, self.expected, self.manifest.network.rows_per_step)

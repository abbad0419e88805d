"""All graphs of a conversion against Keras: errors, events, clipping, and the gate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.convert import clipping, culprit, verify
from edgequake.convert.event_agreement import event_agreement
from edgequake.edge.manifest import Manifest, Variant

FloatArray = npt.NDArray[np.float32]
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
        got = verify.graph_probabilities(self.manifest, graph, variant, self.rows)
        measured = verify.agreement(got, self.expected, n_rows=self.rows.shape[0] * self.rows.shape[1])
        blame = (lambda: self._blame(graph, variant)) if name in INTEGER else None
        verify.check_agreement(measured, name, blame)
        if name in INTEGER:
            rows, _ = self._shortened()
            uses = clipping.tensor_uses(self.manifest, graph, variant, rows, self.layers)
            self.clipping[name] = [asdict(use) for use in uses]
        return {**measured, **event_agreement(self.manifest, got, self.expected)}

    def _blame(self, graph: bytes, variant: Variant) -> str:
        rows, expected = self._shortened()
        return culprit.blame(culprit.layer_errors(self.manifest, graph, variant, self.layers, rows, expected))

    def _shortened(self) -> tuple[FloatArray, FloatArray]:
        return culprit.shortened(self.rows, self.expected, self.manifest.network.rows_per_step)

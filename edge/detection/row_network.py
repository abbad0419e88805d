"""A network on rows of any kind, seismic or not: rows go in, outputs come out, the state is kept between calls.

It has no front end, no trigger and no events; what the outputs mean is its user's affair. Each row is computed once::

    network = RowNetwork.load("model/mine.json")
    for rows in blocks:                          # arrays of shape (n_rows, n_features), of any length
        for output in network.push(rows):
            print(output.start_row, output.stop_row, dict(zip(network.outputs, output.values)))
    for output in network.finish():              # those of the last rows, where the network reads rows to come
        print(output)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.errors import DataError
from edgequake.edge.detection.network import StepNetwork
from edgequake.edge.detection.stepper import Outcome, make_stepper
from edgequake.edge.manifest.manifest import Manifest, Variant, load_manifest, read_graph


@dataclass(frozen=True)
class RowOutput:
    """One output of the network, and the rows [start_row, stop_row) that it is about, counted from the restart."""

    start_row: int
    stop_row: int
    values: tuple[float, ...]  # one per name in `outputs`


class RowNetwork:
    """Steps rows through a converted network of any front end; `kind = "rows"` is the one without."""

    def __init__(self, manifest: Manifest, graph: bytes, variant: Variant) -> None:
        """Load the graph; raises ModelError where it cannot be."""
        self.manifest = manifest
        self.outputs = manifest.network.outputs
        self.n_features = manifest.network.n_features
        self._network = StepNetwork(manifest, graph, variant)
        self._stepper = make_stepper(self._network, manifest)
        windowed = manifest.network.mode == "windowed"
        self._window_rows = int(manifest.network.window_rows or 0) if windowed else 0
        self._lag_rows = 0 if windowed else manifest.network.lag_rows
        self._n_rows = 0

    @classmethod
    def load(cls, name_or_path: str | Path, variant: str | None = None) -> RowNetwork:
        """Load a model by its manifest, by default its default variant.

        Raises
        ------
        ManifestError, ModelError
            No such model or variant, or a graph that is missing, changed or cannot be run.
        """
        manifest, folder = load_manifest(name_or_path)
        chosen, graph = read_graph(manifest, folder, variant)
        return cls(manifest, graph, chosen)

    def push(self, rows: npt.ArrayLike) -> list[RowOutput]:
        """Take rows, shape (n_rows, n_features), finite numbers; return the outputs that they complete.

        The outputs do not depend on how the rows are divided among calls.

        Raises
        ------
        DataError
            Another shape, or a number that is not finite.
        """
        values = np.asarray(rows, np.float32)
        if values.ndim != 2 or values.shape[1] != self.n_features:
            raise DataError(f"rows of shape {values.shape}: the network takes (n_rows, {self.n_features})")
        if not np.isfinite(values).all():
            raise DataError("rows hold a number that is not finite: fill in what is missing as in training")
        outputs = self._outputs(self._stepper.push(values))
        self._n_rows += len(values)
        return outputs

    def finish(self) -> list[RowOutput]:
        """Return the outputs on the last `lag_rows` rows, as if rows of zeros followed, and begin anew."""
        outputs = self._outputs(self._stepper.flush()) if self._n_rows else []
        self.restart()
        return outputs

    def restart(self) -> None:
        """Forget all rows: the next one is the first of a sequence."""
        self._network.reset()
        self._stepper.restart()
        self._n_rows = 0

    def state(self) -> State:
        return {"network": self._network.state(), "stepper": self._stepper.state(), "n_rows": self._n_rows}

    def restore(self, state: State) -> None:
        self._network.set_state(state["network"])
        self._stepper.restore(state["stepper"])
        self._n_rows = state["n_rows"]

    def _outputs(self, outcomes: Iterable[Outcome]) -> list[RowOutput]:
        made = []
        for last_row, n_rows, values in outcomes:
            stop = self._n_rows + last_row + 1 - self._lag_rows
            made.append(RowOutput(stop - (self._window_rows or n_rows), stop, tuple(values)))
        return made

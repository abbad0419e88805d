"""How rows of features drive the network: in steps of the graph, its state carried on or begun anew every window.

`StatefulStepper` carries the state from step to step; `WindowedStepper` resets it every window.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.checkpoint import State
from edgequake.edge.detection.network import StepNetwork
from edgequake.edge.features.window_scaling import scaled
from edgequake.edge.manifest.manifest import Manifest

Float32 = npt.NDArray[np.float32]
# The index, in the rows just pushed, of the decision's last row; the number of rows it covers; the outputs.
Outcome: TypeAlias = tuple[int, int, list[float]]


def make_stepper(network: StepNetwork, manifest: Manifest) -> Stepper:
    """Return the stepper that a manifest's network needs."""
    if manifest.network.mode == "continuous":
        return StatefulStepper(network, manifest)
    scale = partial(scaled, manifest.front_end) if manifest.front_end.per_window else None
    return WindowedStepper(network, manifest, scale)


class Stepper(ABC):
    """Groups rows of features into steps of the graph; keeps rows that do not fill a step yet."""

    longest_rows: int  # rows that a decision covers, at most

    def __init__(self, network: StepNetwork, manifest: Manifest) -> None:
        self._network = network
        self._kept = np.zeros((0, manifest.network.n_features), np.float32)

    @abstractmethod
    def push(self, rows: Float32) -> Iterator[Outcome]:
        """Take rows, shape (n_rows, n_features); yield each decision that they complete.

        A decision is the index in `rows` of its last row, the number of rows that it covers, and the probabilities.
        """

    def flush(self) -> list[Outcome]:
        """Return the decisions that are still due on rows which have been pushed, where a record ends.

        Indices count on from the last row pushed, which has -1. Rows may follow as if this had not been called.
        """
        return []

    def restart(self) -> None:
        """Drop the kept rows: the record continues after a gap."""
        self._kept = self._kept[:0]

    def state(self) -> State:
        return {"kept": self._kept}

    def restore(self, state: State) -> None:
        self._kept = state["kept"]


class StatefulStepper(Stepper):
    """Continuous mode: the state is carried from step to step."""

    def __init__(self, network: StepNetwork, manifest: Manifest) -> None:
        super().__init__(network, manifest)
        self.longest_rows = self._rows_per_step = manifest.network.rows_per_step
        self._n_warmup = manifest.network.warmup_steps  # no decisions
        self._lag_rows = manifest.network.lag_rows
        self._n_done = 0  # steps since the restart, up to the warm-up

    def restart(self) -> None:
        super().restart()
        self._n_done = 0
        self._network.reset()

    def flush(self) -> list[Outcome]:
        """Return the decisions on the last `lag_rows` rows, as if rows of zeros followed.

        Zeros are what Keras pads a sequence with where it ends. It does so before every layer that reads rows to come,
        and here they pass through all layers: behind a single such layer the decisions are Keras' on the record, and
        otherwise Keras' on the record with these rows of zeros after it.
        """
        n_zeros = (len(self._kept) + self._lag_rows) // self._rows_per_step * self._rows_per_step - len(self._kept)
        if self._lag_rows == 0 or n_zeros <= 0:
            return []
        before, states = self.state(), self._network.state()
        made = list(self.push(np.zeros((n_zeros, self._kept.shape[1]), np.float32)))
        self._network.set_state(states)
        self.restore(before)
        return made

    def push(self, rows: Float32) -> Iterator[Outcome]:
        n_before = len(self._kept)
        joined = np.concatenate([self._kept, rows]) if n_before else rows
        n_steps = len(joined) // self._rows_per_step
        n_taken = n_steps * self._rows_per_step
        self._kept = joined[n_taken:].copy()  # a view would keep all rows in memory
        steps = joined[:n_taken].reshape(n_steps, self._rows_per_step, rows.shape[1])
        first = self._n_warmup - self._n_done
        if first > 0:
            probabilities = self._network.run_from(self._n_done, steps)
            self._n_done = min(self._n_warmup, self._n_done + n_steps)
        else:
            probabilities = self._network.run(steps)
        for i, probability in enumerate(probabilities.tolist()):
            if i >= first:
                yield (i + 1) * self._rows_per_step - 1 - n_before, self._rows_per_step, probability

    def state(self) -> State:
        return {**super().state(), "n_done": self._n_done} if self._n_warmup else super().state()

    def restore(self, state: State) -> None:
        super().restore(state)
        self._n_done = state["n_done"] if self._n_warmup else 0


class WindowedStepper(Stepper):
    """Windowed mode, for the textbook classifiers: the state is reset every window."""

    def __init__(
        self, network: StepNetwork, manifest: Manifest, scale: Callable[[Float32], Float32] | None = None
    ) -> None:
        """Take a network.

        scale : normalises windows, shape (n_windows, n_rows, n_features), before the network takes them.
        """
        super().__init__(network, manifest)
        config = manifest.network
        self._scale = scale
        self._rows_per_step = config.rows_per_step
        self._window_rows, self._hop_rows = int(config.window_rows or 0), int(config.window_hop_rows or 0)
        self._zeros = np.zeros((config.lag_rows, config.n_features), np.float32)  # that follow a window
        self.longest_rows = max(self._window_rows, self._hop_rows)

    def push(self, rows: Float32) -> Iterator[Outcome]:
        n_before = len(self._kept)
        joined = np.concatenate([self._kept, rows])
        start = 0
        while start + self._window_rows <= len(joined):
            probability = self._classify(joined[start : start + self._window_rows])
            yield start + self._window_rows - n_before - 1, self._hop_rows, probability.tolist()
            start += self._hop_rows
        self._kept = joined[start:].copy()

    def _classify(self, window: Float32) -> Float32:
        if self._scale is not None:
            window = self._scale(window[np.newaxis])[0]
        if len(self._zeros):
            window = np.concatenate([window, self._zeros])
        steps = window.reshape(-1, self._rows_per_step, window.shape[1])
        self._network.reset()
        probability: Float32 = self._network.run_from(0, steps)[-1]
        return probability

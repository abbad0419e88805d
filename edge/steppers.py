"""Rows of features to decisions: the steps of a graph whose state goes on, or windows that each begin anew."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from edgequake.edge.manifest import Manifest
from edgequake.edge.network import StepNetwork
from edgequake.edge.state import State

Float32 = npt.NDArray[np.float32]


def make_stepper(network: StepNetwork, manifest: Manifest) -> Stepper:
    """Return the stepper that a manifest's network needs."""
    return Windowed(network, manifest) if manifest.network.mode == "windowed" else Continuous(network, manifest)


class Stepper(ABC):
    """Rows of features to the steps of a graph; rows that do not fill one yet are held."""

    longest_rows: int  # that a decision speaks of

    def __init__(self, network: StepNetwork, manifest: Manifest) -> None:
        self._network = network
        self._held = np.zeros((0, manifest.network.n_features), np.float32)

    @abstractmethod
    def push(self, rows: Float32) -> Iterator[tuple[int, int, list[float]]]:
        """Take rows, shape (n_rows, n_features); yield a tuple for each decision that they complete.

        The index in `rows` of the last row decided on, how many rows the decision speaks of, and the probabilities.
        """

    def restart(self) -> None:
        """Forget the rows before: the record goes on elsewhere."""
        self._held = self._held[:0]

    def state(self) -> State:
        """Return what `restore` goes on from."""
        return {"held": self._held}

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        self._held = state["held"]


class Continuous(Stepper):
    """State carried on from step to step."""

    def __init__(self, network: StepNetwork, manifest: Manifest) -> None:
        super().__init__(network, manifest)
        self.longest_rows = self._rows_per_step = manifest.network.rows_per_step

    def restart(self) -> None:
        super().restart()
        self._network.reset()

    def push(self, rows: Float32) -> Iterator[tuple[int, int, list[float]]]:
        """Yield (index of the last row of a step, rows in it, probabilities)."""
        n_before = len(self._held)
        joined = np.concatenate([self._held, rows]) if n_before else rows
        n_steps = len(joined) // self._rows_per_step
        n_taken = n_steps * self._rows_per_step
        self._held = joined[n_taken:].copy()  # a view would keep all rows alive
        steps = joined[:n_taken].reshape(n_steps, self._rows_per_step, rows.shape[1])
        for i, probability in enumerate(self._network.run(steps).tolist()):
            yield (i + 1) * self._rows_per_step - 1 - n_before, self._rows_per_step, probability


class Windowed(Stepper):
    """State reset every window: the textbook classifiers."""

    def __init__(self, network: StepNetwork, manifest: Manifest) -> None:
        super().__init__(network, manifest)
        config = manifest.network
        self._rows_per_step, self._warmup_steps = config.rows_per_step, config.warmup_steps
        self._window_rows, self._hop_rows = int(config.window_rows or 0), int(config.window_hop_rows or 0)
        self.longest_rows = max(self._window_rows, self._hop_rows)

    def push(self, rows: Float32) -> Iterator[tuple[int, int, list[float]]]:
        """Yield (index in `rows` of a window's last row, rows from window to window, probabilities)."""
        n_before = len(self._held)
        joined = np.concatenate([self._held, rows])
        start = 0
        while start + self._window_rows <= len(joined):
            probability = self._classify(joined[start : start + self._window_rows])
            yield start + self._window_rows - n_before - 1, self._hop_rows, probability.tolist()
            start += self._hop_rows
        self._held = joined[start:].copy()

    def _classify(self, window: Float32) -> Float32:
        steps = window.reshape(-1, self._rows_per_step, window.shape[1])
        self._network.reset()
        for i in range(self._warmup_steps):
            self._network.run(steps[i : i + 1])
            self._network.reset_recurrent()
        probability: Float32 = self._network.run(steps[self._warmup_steps :])[-1]
        return probability

"""The class of an event from a network that gives the probability of each class: the most probable one on average."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from edgequake.edge.base.checkpoint import State


class ClassVotes:
    """Keeps the class probabilities of the decisions that an open event needs, and classifies closed events."""

    def __init__(self, outputs: tuple[str, ...], event_classes: tuple[str, ...]) -> None:
        self._names = event_classes
        self._columns = [outputs.index(name) for name in event_classes]
        self._start_ns: deque[int] = deque()
        self._values: deque[tuple[float, ...]] = deque()

    def add(self, start_ns: int, values: Sequence[float]) -> None:
        """Take the output values of the decision that begins at `start_ns` and follows those before."""
        self._start_ns.append(start_ns)
        self._values.append(tuple(values[column] for column in self._columns))

    def classify(self, onset_ns: int, stop_ns: int) -> str:
        """Return the class with the largest mean probability over the decisions that begin in [onset_ns, stop_ns)."""
        inside = [v for at, v in zip(self._start_ns, self._values, strict=True) if onset_ns <= at < stop_ns]
        if not inside:
            return ""
        return self._names[int(np.argmax(np.mean(np.array(inside, np.float64), axis=0)))]

    def forget_before(self, horizon_ns: int | None) -> None:
        """Drop the decisions before the earliest possible onset; None: drop all."""
        while self._start_ns and (horizon_ns is None or self._start_ns[0] < horizon_ns):
            self._start_ns.popleft()
            self._values.popleft()

    def state(self) -> State:
        return {"start_ns": list(self._start_ns), "values": [list(values) for values in self._values]}

    def restore(self, state: State) -> None:
        self._start_ns = deque(state["start_ns"])
        self._values = deque(tuple(values) for values in state["values"])

"""The driver: hands shards to an engine, each after the one before it, a bounded number at a time.

What is done stands in files. So a driver may be killed at any time, and several may work in one folder: a shard is
taken with a lease, and one that another driver has done, or works on, is not run again.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from edgequake.edge.base.control import Control
from edgequake.scan.engines import Engine

_WINDOW = 2  # pieces in the engine for each worker: one that runs, one that waits
_POLL_S = 0.5
_ELSEWHERE_S = 2.0  # between two looks at what another driver does


class Marks(Protocol):
    """Where it stands which pieces of work are done, and who has them."""

    def is_done(self, name: str) -> bool:
        """Whether a piece is done."""

    def has_failed(self, name: str) -> bool:
        """Whether a piece has failed."""

    def take(self, name: str) -> bool:
        """Take a piece; False: another driver has it."""

    def give_back(self, name: str) -> None:
        """Give it back."""

    def fail(self, name: str, why: str) -> None:
        """Mark a piece as failed that the engine has given up."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of work; those of a chain are done in order."""

    name: str
    weight_s: float  # of record, for rate and time left
    key: Any = None  # handed to `arguments`


@dataclass
class Progress:
    """How far a scan has come."""

    n_pieces: int
    total_s: float
    n_done: int = 0
    n_failed: int = 0
    n_blocked: int = 0  # that wait for one that has failed
    done_s: float = 0.0  # of record
    begun_done_s: float = 0.0  # of that, done before this driver began
    n_events: int = 0  # found by this driver
    cpu_s: float = 0.0  # of this driver's workers
    begun_wall_s: float = field(default_factory=time.monotonic)
    n_workers: int = 0
    dashboard: str | None = None

    @property
    def rate(self) -> float:
        """Seconds of record a second."""
        return (self.done_s - self.begun_done_s) / max(1e-9, time.monotonic() - self.begun_wall_s)

    @property
    def left_s(self) -> float | None:
        """Seconds until the scan is done; None while that cannot be told."""
        return (self.total_s - self.done_s) / self.rate if self.rate > 0 else None


class Driver:
    """Works through chains of pieces."""

    def __init__(
        self,
        chains: Iterable[Sequence[Piece]],
        marks: Marks,
        engine: Engine,
        work: Callable[..., dict[str, Any]],
        arguments: Callable[[Piece], tuple[Any, ...]],
        done: set[str],
        failed: set[str],
    ) -> None:
        """Begin with what is done and has failed already.

        work, arguments : what is called in a worker for a piece, and with what.
        """
        self._marks, self._engine, self._work, self._arguments = marks, engine, work, arguments
        self._chains = [chain for chain in chains if chain]
        self._next = [0] * len(self._chains)  # number of the next piece of each chain
        self._left_s = [sum(piece.weight_s for piece in chain) for chain in self._chains]
        self._ready: list[tuple[float, int]] = []  # a heap: the chain with most work left first
        self._elsewhere: list[int] = []  # chains whose next piece another driver has
        self._at: dict[str, int] = {}  # chain of each piece in the engine
        self.progress = Progress(sum(map(len, self._chains)), sum(self._left_s))
        for i in range(len(self._chains)):
            self._advance(i, done.__contains__, failed.__contains__)
        self.progress.begun_done_s = self.progress.done_s

    def run(self, control: Control, show: Callable[[Progress], None] = lambda progress: None) -> bool:
        """Work until nothing is left, or `control` asks to stop; return whether nothing is left.

        show : called now and then.
        """
        progress = self.progress
        progress.dashboard = self._engine.dashboard
        looked_s = time.monotonic()
        while not control.stop:
            progress.n_workers = self._engine.n_workers
            self._fill()
            show(progress)
            if not self._at:
                if not self._ready and not self._elsewhere:
                    return True
                if not self._ready:
                    time.sleep(_POLL_S)  # another driver is at work
            else:
                self._take_outcome()
            if self._elsewhere and time.monotonic() - looked_s >= _ELSEWHERE_S:
                self._look_elsewhere()
                looked_s = time.monotonic()
        return False

    def give_back(self) -> None:
        """Give back what was taken and is not done."""
        for name in self._at:
            self._marks.give_back(name)

    def _fill(self) -> None:
        while self._ready and len(self._at) < _WINDOW * max(1, self._engine.n_workers):
            i = heapq.heappop(self._ready)[1]
            piece = self._chains[i][self._next[i]]
            if not self._marks.take(piece.name):
                self._elsewhere.append(i)
            elif self._marks.is_done(piece.name) or self._marks.has_failed(piece.name):  # by another driver
                self._marks.give_back(piece.name)
                self._advance(i, self._marks.is_done, self._marks.has_failed)
            else:
                self._at[piece.name] = i
                self._engine.submit(piece.name, self._work, *self._arguments(piece))

    def _take_outcome(self) -> None:
        outcome = self._engine.next_outcome(_POLL_S)
        if outcome is None:
            return
        i, result = self._at.pop(outcome.name), outcome.result
        if result is None:
            self._marks.fail(outcome.name, outcome.problem or "no result")
        else:
            self.progress.n_events += int(result.get("n_events", 0))
            self.progress.cpu_s += float(result.get("cpu_s", 0.0))
        is_done = result is not None and bool(result["is_done"])
        self._marks.give_back(outcome.name)
        self._advance(
            i, lambda name: name == outcome.name and is_done, lambda name: name == outcome.name and not is_done
        )

    def _look_elsewhere(self) -> None:
        chains, self._elsewhere = self._elsewhere, []
        for i in chains:
            self._advance(i, self._marks.is_done, self._marks.has_failed)

    def _advance(self, i: int, is_done: Callable[[str], bool], has_failed: Callable[[str], bool]) -> None:
        """Go to a chain's next piece that is not done, and have it run unless one before it has failed."""
        chain, progress = self._chains[i], self.progress
        while self._next[i] < len(chain) and is_done(chain[self._next[i]].name):
            piece = chain[self._next[i]]
            self._next[i] += 1
            self._left_s[i] -= piece.weight_s
            progress.n_done += 1
            progress.done_s += piece.weight_s
        if self._next[i] == len(chain):
            return
        if has_failed(chain[self._next[i]].name):
            progress.n_failed += 1
            progress.n_blocked += len(chain) - self._next[i] - 1
            return
        heapq.heappush(self._ready, (-self._left_s[i], i))

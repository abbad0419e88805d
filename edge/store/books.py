"""What the journal says, in sum: how much of each segment has gone, and how much of each day's budget."""

from __future__ import annotations

from collections.abc import Callable

from edgequake.edge.store.folders import SEGMENTS
from edgequake.edge.store.journal import Pass

_MOST_DAYS = 4000  # whose spending is remembered


class Books:
    """Takes down the passes one after the other."""

    def __init__(self, accrued_bytes: Callable[[int, int], int]) -> None:
        """`accrued_bytes` returns the part of a day's budget that is there at a time; from time and day."""
        self._accrued_bytes = accrued_bytes
        self._n_sent: dict[str, int] = {}  # units, by segment
        self._spent_bytes: dict[int, int] = {}  # by UTC day
        self.number = 0  # of the newest pass
        self.last_ns: int | None = None  # mission time of the newest pass
        self.last_day: int | None = None
        self.handed_bytes = 0
        self.n_damaged = 0  # passes that the journal no longer tells of
        self.doubtful_until_ns: int | None = None  # what was found up to here may be among what they held
        self._is_behind_damage = False

    def n_sent(self, segment: str) -> int:
        """Return how many units of a segment have been handed over."""
        return self._n_sent.get(segment, 0)

    def spent_bytes(self, day: int) -> int:
        """Return how many bytes count against a UTC day."""
        return self._spent_bytes.get(day, 0)

    def at_least(self, number: int) -> None:
        """Files of the outbox have a number: no later pass may have the same."""
        self.number = max(self.number, number)

    def remember(self, done: Pass) -> None:
        """Take down a pass."""
        spent_bytes = self.spent_bytes(done.day) + done.size_bytes
        if self._is_behind_damage:  # all that was allowed may have been spent
            self._is_behind_damage = False
            self.doubtful_until_ns = done.clock_ns
            spent_bytes = max(spent_bytes, self._accrued_bytes(done.clock_ns, done.day))
        self._spent_bytes[done.day] = spent_bytes
        if len(self._spent_bytes) > _MOST_DAYS:
            del self._spent_bytes[next(iter(self._spent_bytes))]
        self.handed_bytes += done.size_bytes
        self.number, self.last_ns, self.last_day = done.number, done.clock_ns, done.day
        self._n_sent.update((part.source, part.stop) for part in done.sent if part.source.startswith(f"{SEGMENTS}/"))

    def damaged(self, line: int) -> None:
        """A line of the journal cannot be read."""
        self.n_damaged += 1
        self._is_behind_damage = True

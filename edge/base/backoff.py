"""The pause between two tries of something that fails: longer each time, up to a limit."""

from __future__ import annotations

import time
from collections.abc import Callable

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0  # a disk that hangs for seconds in each try must not hold up detection


class Backoff:
    """Says when to try again; on the machine's monotonic clock, which nobody sets."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._pause_s = 0.0
        self._next_s: float | None = None  # None: the last try succeeded

    @property
    def is_pausing(self) -> bool:
        """Whether it is too early for the next try."""
        return self._next_s is not None and self._now_s() < self._next_s

    def failed(self) -> None:
        """Note that a try has failed."""
        self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s) or FIRST_PAUSE_S
        self._next_s = self._now_s() + self._pause_s

    def succeeded(self) -> None:
        """Note that a try has succeeded."""
        self._pause_s, self._next_s = 0.0, None

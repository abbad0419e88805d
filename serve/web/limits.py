"""How much of anything the server takes, and how often."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

MOST_BODY_BYTES = 1 << 16  # of a form
MOST_TARGET_BYTES = 2048  # path and query
MOST_FIELDS = 1024  # of a form
BODY_S = 10.0  # in which a form must have come
MOST_SELECTED = 200  # events in one action, as many as a page lists
_MOST_CLIENTS = 1024  # whose rates are remembered
_LOGGED_A_SECOND = 5.0


class Rate:
    """Allows so many things a second to each client, and a burst of some at once: a token bucket a client."""

    def __init__(self, a_second: float, burst: float, now_s: Callable[[], float] = time.monotonic) -> None:
        self._a_second, self._burst, self._now_s = a_second, burst, now_s
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when they were counted

    def allows(self, client: str) -> bool:
        """Whether one more is allowed now; counts it if so."""
        now_s = self._now_s()
        tokens, at_s = self._buckets.pop(client, (self._burst, now_s))
        tokens = min(self._burst, tokens + (now_s - at_s) * self._a_second)
        self._buckets[client] = (tokens - 1.0 if tokens >= 1.0 else tokens), now_s
        if len(self._buckets) > _MOST_CLIENTS:
            self._buckets.popitem(last=False)
        return tokens >= 1.0


class RefusalLog:
    """Logs what is refused, a few lines a second at most: a flood must not fill a disk with lines about it."""

    def __init__(self, log: Callable[[str], None], now_s: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._rate = Rate(_LOGGED_A_SECOND, 20.0, now_s)
        self._n_left_out = 0
        self.n_refused = 0

    def refused(self, client: str, what: str, why: str) -> None:
        """Log a refusal, or count it with the next one that is logged."""
        self.n_refused += 1
        if not self._rate.allows(""):
            self._n_left_out += 1
            return
        more = f" (and {self._n_left_out} more refusals before)" if self._n_left_out else ""
        self._n_left_out = 0
        self._log(f"refused: {client}: {what}: {why}{more}")

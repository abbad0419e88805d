"""Where the time of a run goes: a stopwatch that methods are wrapped in, each moment counted for one part only."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Stopwatch:
    """Wall time by part. A part that calls another one is not charged for it."""

    def __init__(self, rest: str, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: dict[str, float] = {rest: 0.0}
        self._running = [rest]
        self._clock = clock
        self._since_s = clock()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time inside for a part."""
        self._switch()
        self._running.append(name)
        try:
            yield
        finally:
            self._switch()
            self._running.pop()

    def stop(self) -> dict[str, float]:
        """Return the time of each part, in seconds."""
        self._switch()
        return dict(self.seconds)

    def watch(self, owner: Any, method: str, part: str) -> None:
        """Count a method of a class, or a function of a module, for a part."""
        original = getattr(owner, method)

        @functools.wraps(original)
        def watched(*arguments: Any, **options: Any) -> Any:
            with self.part(part):
                return original(*arguments, **options)

        setattr(owner, method, watched)

    def watch_iterator(self, owner: Any, method: str, part: str) -> None:
        """Count what a generator method does between two values for a part."""
        original = getattr(owner, method)

        @functools.wraps(original)
        def watched(*arguments: Any, **options: Any) -> Iterator[Any]:
            values = original(*arguments, **options)
            while True:
                with self.part(part):
                    try:
                        value = next(values)
                    except StopIteration:
                        return
                yield value

        setattr(owner, method, watched)

    def _switch(self) -> None:
        now_s = self._clock()
        running = self._running[-1]
        self.seconds[running] = self.seconds.get(running, 0.0) + now_s - self._since_s
        self._since_s = now_s

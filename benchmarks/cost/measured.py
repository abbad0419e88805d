"""A figure that was measured several times, and how far apart the measurements lay."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """The median of several measurements, and the range of all of them: its spread."""

    value: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Measured:
        """Summarise measurements of one thing."""
        found = list(values)
        return cls(statistics.median(found), min(found), max(found), len(found))

    def scaled(self, factor: float) -> Measured:
        """Return the same in another unit."""
        return Measured(self.value * factor, self.low * factor, self.high * factor, self.n)

    def agrees_with(self, other: Measured) -> bool:
        """Whether the two spreads meet: what two runs on one quiet machine are expected to do."""
        return self.low <= other.high and other.low <= self.high

    def text(self, shown: Callable[[float], str]) -> str:
        """Return the median and the spread as text."""
        if self.n < 2:
            return shown(self.value)
        return f"{shown(self.value)} ({shown(self.low)}-{shown(self.high)})"


def significant(value: float) -> str:
    """Return a number to three significant digits, without an exponent."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"

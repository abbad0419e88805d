"""How a tensor's integer range fits what it held."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TensorUse:
    """One tensor's range, available and used, in real numbers."""

    tensor: str
    layer: str
    dtype: str
    available_low: float
    available_high: float
    used_low: float
    used_high: float
    clipped_share: float  # of its values that lie at an end of the range, 0..1

    @property
    def used_share(self) -> float:
        """Return the share of the available range that was used, 0..1."""
        return (self.used_high - self.used_low) / (self.available_high - self.available_low)

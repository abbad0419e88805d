"""How much memory a graph's tensors need when those that never live at the same time share it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

ALIGNMENT_BYTES = 16  # as in TFLite for microcontrollers; TFLite itself aligns to 64


@dataclass(frozen=True)
class Lifetime:
    """A tensor that is not stored in the file: from the operator that makes it to the last one that reads it."""

    size_bytes: int
    first: int
    last: int  # inclusive


def packed_bytes(lifetimes: Iterable[Lifetime]) -> int:
    """Return the size of an arena packed greedily: the largest tensor first, each at the lowest place that is free.

    References
    ----------
    Pisarchyk and Lee (2020), Efficient memory management for deep neural net inference, arXiv:2001.03288, "greedy by
    size": what both TFLite runtimes do. Their scratch tensors and their own structures come on top.
    """
    placed: list[tuple[int, int, Lifetime]] = []  # start, stop, tensor
    for tensor in sorted(lifetimes, key=lambda tensor: (-tensor.size_bytes, tensor.first)):
        size = -(-tensor.size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        start = 0
        for other_start, other_stop, other in sorted(placed, key=lambda place: place[0]):
            if other.last < tensor.first or tensor.last < other.first:
                continue  # never at the same time
            if start + size <= other_start:
                break
            start = max(start, other_stop)
        placed.append((start, start + size, tensor))
    return max((stop for _, stop, _ in placed), default=0)

"""Rows of a catalogue in memory, 19 bytes each, in blocks: so that growing and looking through them take no more.

Nothing of a million rows is ever sorted or copied as a whole: `page` finds the few rows at a place of an order by
counting keys in bins, block by block.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

# offset: byte of the row in the catalogue, after that of its block. day, time: its onset, in days since 1900 and in
# units of `TIME_UNIT_US` of the day. peak: in units of 1/10000. station, class, state: numbers. hash: of its name.
ROW = np.dtype([
    ("offset", "<u4"), ("day", "<u2"), ("time", "<u4"), ("peak", "<u2"), ("station", "u1"), ("class", "u1"),
    ("state", "u1"), ("hash", "<u4"),
])  # fmt: skip
TIME_UNIT_US = 25  # a day has fewer of them than 2**32
DAY_US = 86_400 * 1_000_000
FIRST_DAY = -25_567  # 1900-01-01, in days since 1970
_LAST_DAY = FIRST_DAY + (1 << 16) - 1
_BLOCK_ROWS = 1 << 16
_BLOCK_BYTES = 1 << 32  # of the catalogue: more than an offset tells
_BINS = 1 << 12
_MOST_SORTED = 1 << 14  # rows that are sorted at once; more are counted once more in narrower bins

Rows = npt.NDArray[Any]  # `ROW`, shape (n_rows,)
Numbers = npt.NDArray[np.int64]
Key = Callable[[Rows, int], Numbers]  # of rows, the first of which has the number given: what an order rises by
Mask = Callable[[Rows], npt.NDArray[np.bool_]]


def time_fields(onsets_us: Numbers) -> tuple[Numbers, Numbers]:
    """Return the fields `day` and `time` of onsets, us since 1970; those outside 1900 to 2079 become the nearest."""
    clipped = np.clip(onsets_us, FIRST_DAY * DAY_US, (_LAST_DAY + 1) * DAY_US - 1)
    return clipped // DAY_US - FIRST_DAY, clipped % DAY_US // TIME_UNIT_US


def onsets_us(rows: Rows) -> Numbers:
    """Return the onsets of rows, us since 1970, to `TIME_UNIT_US` before."""
    found: Numbers = (rows["day"].astype(np.int64) + FIRST_DAY) * DAY_US + rows["time"].astype(np.int64) * TIME_UNIT_US
    return found


@dataclass
class _Block:
    first_byte: int
    rows: Rows
    n: int = 0


class RowBlocks:
    """Rows by number, from 0 on."""

    def __init__(self) -> None:
        self._blocks: list[_Block] = []
        self._firsts: list[int] = []  # row with which each block begins

    def __len__(self) -> int:
        return self._firsts[-1] + self._blocks[-1].n if self._blocks else 0

    def __iter__(self) -> Iterator[tuple[int, Rows]]:
        """Yield the rows in parts, each with the number of its first one; they may be changed in place."""
        for first, block in zip(self._firsts, self._blocks, strict=True):
            yield first, block.rows[: block.n]

    def append(self, rows: Rows, first_bytes: Numbers) -> None:
        """Add rows; `first_bytes`: where each begins in the catalogue, rising."""
        at = 0
        while at < len(rows):
            block = self._blocks[-1] if self._blocks else None
            if block is None or block.n == _BLOCK_ROWS or first_bytes[at] - block.first_byte >= _BLOCK_BYTES:
                self._firsts.append(len(self))
                block = _Block(int(first_bytes[at]), np.zeros(_BLOCK_ROWS, ROW))
                self._blocks.append(block)
            fits = int(np.searchsorted(first_bytes, block.first_byte + _BLOCK_BYTES))
            n = min(fits - at, _BLOCK_ROWS - block.n)
            own = block.rows[block.n : block.n + n]
            own[:] = rows[at : at + n]
            own["offset"] = first_bytes[at : at + n] - block.first_byte
            block.n += n
            at += n

    def first_byte(self, number: int) -> int:
        """Return where a row begins in the catalogue.

        Raises
        ------
        IndexError
            There is no such row.
        """
        block, i = self._place(number)
        return block.first_byte + int(block.rows["offset"][i])

    def row(self, number: int) -> Rows:
        """Return one row, shape (1,), which may be changed in place; otherwise as `first_byte`."""
        block, i = self._place(number)
        return block.rows[i : i + 1]

    def _place(self, number: int) -> tuple[_Block, int]:
        if not 0 <= number < len(self):
            raise IndexError(number)
        i = bisect_right(self._firsts, number) - 1
        return self._blocks[i], number - self._firsts[i]

    def with_hashes(self, hashes: Sequence[int]) -> Numbers:
        """Return the numbers of the rows whose hash is among those given."""
        wanted = np.array(sorted(hashes), np.uint32)
        found = [np.zeros(0, np.int64)]
        for first, rows in self if len(wanted) else ():
            own = rows["hash"]
            places = np.minimum(np.searchsorted(wanted, own), len(wanted) - 1)
            found.append(first + np.flatnonzero(wanted[places] == own))
        return np.concatenate(found)

    def page(self, mask: Mask, key: Key, first: int, n: int) -> tuple[int, Numbers]:
        """Return how many rows pass, and the numbers of `n` of them from place `first` of an order on.

        Rows with the same key follow one another by number.
        """
        n_passing, low, high = 0, 0, -1
        for keys, _ in self._keys(mask, key):
            own = (int(keys.min()), int(keys.max()))
            low, high = (min(low, own[0]), max(high, own[1])) if n_passing else own
            n_passing += len(keys)
        last = min(first + n, n_passing) - 1
        if first > last:
            return n_passing, np.zeros(0, np.int64)
        n_before = 0
        while True:
            width = -(-(high - low + 1) // _BINS)
            counts = np.zeros(_BINS, np.int64)
            for keys, _ in self._keys(mask, key, low, high):
                counts += np.bincount((keys - low) // width, minlength=_BINS)
            until = n_before + np.cumsum(counts)
            bins = [int(np.searchsorted(until, place, "right")) for place in (first, last)]
            narrow = (low + bins[0] * width, min(high, low + (bins[1] + 1) * width - 1))
            is_narrowest = narrow == (low, high)
            n_before = int(until[bins[0] - 1]) if bins[0] else n_before
            low, high = narrow
            if is_narrowest or until[bins[1]] - n_before <= _MOST_SORTED:
                break
        found = list(self._keys(mask, key, low, high))
        numbers = np.concatenate([part for _, part in found])
        ordered = np.argsort(np.concatenate([keys for keys, _ in found]), kind="stable")
        return n_passing, numbers[ordered[first - n_before : last + 1 - n_before]]

    def _keys(
        self, mask: Mask, key: Key, low: int | None = None, high: int | None = None
    ) -> Iterator[tuple[Numbers, Numbers]]:
        """Yield the keys of rows that pass, from `low` to `high`, and their numbers, in parts that are not empty."""
        for first, rows in self:
            keys, passing = key(rows, first), mask(rows)
            if low is not None and high is not None:
                passing = passing & (keys >= low) & (keys <= high)
            if passing.any():
                yield keys[passing], first + np.flatnonzero(passing)

    def around(self, number: int, mask: Mask, key: Key) -> tuple[int | None, int | None, int, int]:
        """Return the rows before and after a row among those that pass, how many are before it, and how many pass.

        The row itself need not pass.
        """
        own = int(key(self.row(number), number)[0])
        before: tuple[int, int] | None = None  # key and number
        after: tuple[int, int] | None = None
        n_before = n_passing = 0
        for keys, numbers in self._keys(mask, key):
            n_passing += len(keys)
            is_before = (keys < own) | ((keys == own) & (numbers < number))
            is_after = ~is_before & (numbers != number)
            n_before += int(is_before.sum())
            if is_before.any():
                i = len(keys) - 1 - int(np.argmax(np.where(is_before, keys, keys[is_before].min() - 1)[::-1]))
                before = max(before or (int(keys[i]), int(numbers[i])), (int(keys[i]), int(numbers[i])))
            if is_after.any():
                i = int(np.argmin(np.where(is_after, keys, keys[is_after].max() + 1)))
                after = min(after or (int(keys[i]), int(numbers[i])), (int(keys[i]), int(numbers[i])))
        return before and before[1], after and after[1], n_before, n_passing

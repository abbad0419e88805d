"""Cut stretches of samples into the windows that features are computed from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.checkpoint import State
from edgequake.edge.features.conditioning import ContiguousRun, stretch_of, stretch_state


@dataclass(frozen=True)
class WindowBatch:
    """Consecutive windows of samples, one a block.

    Attributes
    ----------
    first_block : index of the first window; window k covers positions [k * hop, k * hop + window).
    values : float64, shape (n_blocks, window_samples).
    live : shape (n_blocks,); False where too much was bridged or the channel is stuck.
    fresh : True when nothing before the first window belongs to it.
    """

    first_block: int
    values: npt.NDArray[np.float64]
    live: npt.NDArray[np.bool_]
    fresh: bool


class Windower:
    """Streaming cutter: windows of `window_samples`, one every `hop_samples`, on the grid of the stream."""

    def __init__(self, window_samples: int, hop_samples: int, max_gap_fraction: float, stuck_blocks: int) -> None:
        self._window = window_samples
        self._hop = hop_samples
        self._max_gaps = max_gap_fraction * window_samples
        self._stuck_blocks = stuck_blocks
        self._tail: ContiguousRun | None = None
        self._n_flat = 0  # consecutive windows without any change, up to now

    def state(self) -> State:
        """Return what `restore` goes on from."""
        return {"tail": stretch_state(self._tail), "n_flat": self._n_flat}

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        self._tail, self._n_flat = stretch_of(state["tail"]), state["n_flat"]

    @property
    def next_block(self) -> int:
        """Index of the first window not given out yet."""
        return 0 if self._tail is None else -(-self._tail.first // self._hop)

    def push(self, stretch: ContiguousRun) -> WindowBatch | None:
        """Take a stretch, return the windows that are complete now, or None."""
        fresh, tail = stretch.fresh, self._tail
        values, valid, first = stretch.values, stretch.valid, stretch.first
        if not fresh and tail is not None:
            values = np.concatenate([tail.values, values])
            valid = np.concatenate([tail.valid, valid])
            first, fresh = tail.first, tail.fresh
        block = -(-first // self._hop)
        offset = block * self._hop - first  # samples before the first whole window are never used
        n_blocks = max(0, (len(values) - offset - self._window) // self._hop + 1)
        used = offset + n_blocks * self._hop if n_blocks else 0
        # Copies: a view would keep the whole block alive.
        self._tail = ContiguousRun(first + used, values[used:].copy(), valid[used:].copy(), fresh and n_blocks == 0)
        if n_blocks == 0:
            return None
        return self._windows(block, n_blocks, values[offset:], valid[offset:], fresh)

    def _windows(
        self, block: int, n_blocks: int, values: npt.NDArray[np.float64], valid: npt.NDArray[np.bool_], fresh: bool
    ) -> WindowBatch:
        view = np.lib.stride_tricks.sliding_window_view
        windows = np.ascontiguousarray(view(values, self._window)[:: self._hop][:n_blocks])
        n_bridged = np.sum(~view(valid, self._window)[:: self._hop][:n_blocks], axis=1)
        live = (n_bridged <= self._max_gaps) & ~self._stuck(windows, fresh)
        return WindowBatch(block, windows, live, fresh)

    def _stuck(self, windows: npt.NDArray[np.float64], fresh: bool) -> npt.NDArray[np.bool_]:
        """Whether each window ends a run of at least `stuck_blocks` windows without any change in value."""
        flat = windows.max(axis=1) == windows.min(axis=1)
        index = np.arange(len(flat))
        last_change = np.maximum.accumulate(np.where(flat, -1, index))
        carried = 0 if fresh else self._n_flat
        run = np.where(last_change >= 0, index - last_change, carried + index + 1)
        self._n_flat = int(run[-1])
        return np.asarray(run >= self._stuck_blocks, np.bool_)

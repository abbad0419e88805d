"""Cut contiguous runs into the windows that features are computed from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.checkpoint import State
from edgequake.edge.features.conditioning import ContiguousRun, TailedFilter


@dataclass(frozen=True)
class WindowBatch:
    """Consecutive windows of samples, one per block.

    Attributes
    ----------
    first_block : index of the first window; window k covers positions [k * hop, k * hop + window).
    values : float64, shape (n_blocks, window_samples).
    valid : shape (n_blocks,); False where too much was interpolated or the channel is stuck.
    fresh : True where the first window does not continue the ones before.
    """

    first_block: int
    values: npt.NDArray[np.float64]
    valid: npt.NDArray[np.bool_]
    fresh: bool


class Windower(TailedFilter):
    """Cuts a stream into windows of `window_samples`, one every `hop_samples`, on the stream's grid."""

    def __init__(self, window_samples: int, hop_samples: int, max_gap_fraction: float, stuck_blocks: int) -> None:
        super().__init__()
        self._window = window_samples
        self._hop = hop_samples
        self._max_gaps = max_gap_fraction * window_samples
        self._stuck_blocks = stuck_blocks
        self._n_flat = 0  # consecutive windows without any change, up to now

    def state(self) -> State:
        return {**super().state(), "n_flat": self._n_flat}

    def restore(self, state: State) -> None:
        super().restore(state)
        self._n_flat = state["n_flat"]

    @property
    def next_block(self) -> int:
        """Index of the next window to be returned."""
        return 0 if self._tail is None else -(-self._tail.first // self._hop)

    def push(self, run: ContiguousRun) -> WindowBatch | None:
        """Take a run; return the windows that are complete now, or None."""
        joined = self._join(run)
        block = -(-joined.first // self._hop)
        offset = block * self._hop - joined.first  # samples before the first whole window are never used
        n_blocks = max(0, (len(joined.values) - offset - self._window) // self._hop + 1)
        self._keep(joined, offset + n_blocks * self._hop if n_blocks else 0, joined.fresh and n_blocks == 0)
        if n_blocks == 0:
            return None
        return self._windows(block, n_blocks, joined.values[offset:], joined.valid[offset:], joined.fresh)

    def _windows(
        self, block: int, n_blocks: int, values: npt.NDArray[np.float64], valid: npt.NDArray[np.bool_], fresh: bool
    ) -> WindowBatch:
        view = np.lib.stride_tricks.sliding_window_view
        windows = np.ascontiguousarray(view(values, self._window)[:: self._hop][:n_blocks])
        n_interpolated = np.sum(~view(valid, self._window)[:: self._hop][:n_blocks], axis=1)
        is_valid = (n_interpolated <= self._max_gaps) & ~self._stuck(windows, fresh)
        return WindowBatch(block, windows, is_valid, fresh)

    def _stuck(self, windows: npt.NDArray[np.float64], fresh: bool) -> npt.NDArray[np.bool_]:
        """Return whether each window is the last of at least `stuck_blocks` windows without any change in value."""
        flat = windows.max(axis=1) == windows.min(axis=1)
        index = np.arange(len(flat))
        last_change = np.maximum.accumulate(np.where(flat, -1, index))
        carried = 0 if fresh else self._n_flat
        run = np.where(last_change >= 0, index - last_change, carried + index + 1)
        self._n_flat = int(run[-1])
        return np.asarray(run >= self._stuck_blocks, np.bool_)

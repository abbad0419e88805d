"""Bands above the model's own Nyquist frequency, for channels that are recorded fast enough.

A channel's samples go to a second, faster grid beside the model's. Its windows stop when those of the model's grid do,
so that a block's features of both tell of the same time.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.checkpoint import State
from edgequake.edge.features.channel_clock import ChannelClock
from edgequake.edge.features.conditioning import ContiguousRun
from edgequake.edge.features.normalization import PowerFeatures
from edgequake.edge.features.resampling import ToFasterGrid
from edgequake.edge.features.spectra import BandPower, WindowBatch, Windower
from edgequake.edge.manifest.tables import LOWEST_RATIO, FrontEndConfig, HighBandsConfig

Features = npt.NDArray[np.float32]


def takes_high_bands(config: FrontEndConfig, sampling_rate_hz: float) -> bool:
    """Return whether a channel of this rate has the front end's high bands."""
    high = config.high_bands
    return high is not None and sampling_rate_hz >= LOWEST_RATIO * high.sampling_rate_hz


class HighBands:
    """The high bands of one channel."""

    def __init__(
        self,
        front_end: FrontEndConfig,
        config: HighBandsConfig,
        model_rate_hz: float,
        clock: ChannelClock,
        grid_ns: int,
    ) -> None:
        """Take the samples that `clock` counts; the model's grid, which has its own windows, begins at `grid_ns`."""
        ratio = round(config.sampling_rate_hz / model_rate_hz)
        hop, window = front_end.hop_samples * ratio, config.window_samples
        later = front_end.window_samples * ratio - window
        self._to_grid = ToFasterGrid(clock, config.sampling_rate_hz, grid_ns, later)
        stuck_blocks = max(1, round(front_end.stuck_s * model_rate_hz / front_end.hop_samples))
        self._windower = Windower(window, hop, front_end.max_gap_fraction, stuck_blocks)
        rate_hz = config.sampling_rate_hz
        self._features = PowerFeatures(BandPower(config, rate_hz), config, front_end.background, rate_hz)
        self._n_bands = len(config.band_edges_hz) - 1
        self._first_block = 0  # of those that wait for the model's own windows, which come later
        self._waiting = np.zeros((0, 1, self._n_bands), np.float32)

    def push(self, run: ContiguousRun, integer_samples: bool) -> None:
        """Take a run of samples at the clock's positions."""
        on_grid = self._to_grid.push(run)
        windows = None if on_grid is None else self._windower.push(on_grid)
        if windows is None:
            return
        features = self._features(windows, integer_samples)
        stop = self._first_block + len(self._waiting)
        if len(self._waiting) and windows.first_block == stop and not windows.fresh:
            self._waiting = np.concatenate([self._waiting, features])
        else:  # blocks before a gap have been taken, or never had a window of the model's own
            self._first_block, self._waiting = windows.first_block, features

    def take(self, windows: WindowBatch) -> Features:
        """Return the features of the same blocks, shape (n_blocks, 1, n_bands), 0 where there are none."""
        n = len(windows.valid)
        out = np.zeros((n, 1, self._n_bands), np.float32)
        low = max(self._first_block, windows.first_block)
        stop = min(self._first_block + len(self._waiting), windows.first_block + n)
        if low < stop:
            part = self._waiting[low - self._first_block : stop - self._first_block]
            out[low - windows.first_block : stop - windows.first_block] = part
            self._waiting = self._waiting[stop - self._first_block :].copy()
            self._first_block = stop
        return out

    def state(self) -> State:
        return {
            "to_grid": self._to_grid.state(),
            "windower": self._windower.state(),
            "features": self._features.state(),
            "first_block": self._first_block,
            "waiting": self._waiting,
        }

    def restore(self, state: State) -> None:
        self._to_grid.restore(state["to_grid"])
        self._windower.restore(state["windower"])
        self._features.restore(state["features"])
        self._first_block, self._waiting = state["first_block"], state["waiting"]

"""Normalised samples: the textbook front end of window classifiers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgequake.edge.background import Background
from edgequake.edge.blocks import Windows
from edgequake.edge.front_end_config import BackgroundConfig, WaveformConfig
from edgequake.edge.power_features import quantization_density
from edgequake.edge.state import State

# The running mean forgets over 32 blocks: slower than any quake's swing, faster than thermal drift.
MEAN_MEMORY_BLOCKS = 32.0


class WaveformFeatures:
    """Blocks of one channel to rows of features: (sample - running mean) / running scale, clipped and rounded.

    The scale is the running background of the block's root mean square, in decades, so that units do not matter.
    Mean and scale come from the blocks before, and from the block itself only at the start.
    """

    def __init__(self, config: WaveformConfig, background: BackgroundConfig, sampling_rate_hz: float) -> None:
        self._config = config
        self._background = Background(background)
        self._sampling_rate_hz = sampling_rate_hz
        self._mean: np.float64 | None = None
        self._floor = 0.0

    def state(self) -> State:
        """Return what `restore` goes on from."""
        mean = None if self._mean is None else float(self._mean)
        return {"background": self._background.state(), "floor": self._floor, "mean": mean}

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        self._background.restore(state["background"])
        self._floor = state["floor"]
        self._mean = None if state["mean"] is None else np.float64(state["mean"])

    def __call__(self, windows: Windows, integer_samples: bool) -> npt.NDArray[np.float32]:
        """Return features, float32, shape (n_blocks, hop_samples, 1)."""
        if windows.fresh:
            self._background.restart()
            self._mean = None
            density = quantization_density(windows.values[0], integer_samples, self._sampling_rate_hz)
            self._floor = density * self._sampling_rate_hz / 2.0  # variance of rounding
        out = np.zeros((*windows.values.shape, 1), np.float32)
        for i in np.flatnonzero(windows.live):
            out[i, :, 0] = self._normalise(windows.values[i])
        return out

    def _normalise(self, block: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        block_mean = np.mean(block)
        mean = block_mean if self._mean is None else self._mean
        centred = block - mean
        level = 0.5 * np.log10(np.mean(centred * centred) + self._floor)
        above = self._background.excess(level.reshape(1, 1), np.ones(1, np.bool_))[0, 0]
        scale = np.power(np.float64(10.0), level - above)  # the background, before this block moved it
        self._mean = mean + (block_mean - mean) / np.float64(MEAN_MEMORY_BLOCKS)
        config = self._config
        clipped = np.clip(centred / scale, -config.clip, config.clip)
        rounded: npt.NDArray[np.float32] = (np.rint(clipped * config.steps_per_unit) / config.steps_per_unit).astype(
            np.float32
        )
        return rounded

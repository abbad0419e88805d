"""Windows of samples to decades of power above the running background: what spectrogram and scalogram share."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from edgequake.edge.background import Background
from edgequake.edge.blocks import Windows
from edgequake.edge.front_end_config import BackgroundConfig, ScalogramConfig, SpectrogramConfig
from edgequake.edge.state import State

Float = npt.NDArray[np.float64]


class Power(Protocol):
    """What measures the power of windows."""

    def __call__(self, windows: Float) -> Float:
        """Return one-sided power densities, shape (n_windows, n_values), of windows (n_windows, window_samples)."""
        ...


class PowerFeatures:
    """Windows of one channel to rows of features: decades above the background, clipped and rounded."""

    def __init__(
        self,
        power: Power,
        config: SpectrogramConfig | ScalogramConfig,
        background: BackgroundConfig,
        sampling_rate_hz: float,
    ) -> None:
        self._power = power
        self._config = config
        self._background = Background(background)
        self._sampling_rate_hz = sampling_rate_hz
        self._floor = 0.0

    def state(self) -> State:
        """Return what `restore` goes on from."""
        return {"background": self._background.state(), "floor": self._floor}

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        self._background.restore(state["background"])
        self._floor = state["floor"]

    def __call__(self, windows: Windows, integer_samples: bool) -> npt.NDArray[np.float32]:
        """Return features, float32, shape (n_blocks, 1, n_values).

        `integer_samples` says that the record holds counts, whose quantum is 1.
        """
        if windows.fresh:
            self._background.restart()
            self._floor = quantization_density(windows.values[0], integer_samples, self._sampling_rate_hz)
        config = self._config
        levels = np.log10(self._power(windows.values) + self._floor)
        excess = self._background.excess(levels, windows.live)
        steps = config.steps_per_decade
        rounded = np.rint(np.clip(excess, config.clip_low, config.clip_high) * steps) / steps
        return np.asarray(rounded[:, np.newaxis, :], np.float32)


def quantization_density(window: Float, integer_samples: bool, sampling_rate_hz: float) -> float:
    """Power density of rounding to the record's quantum: what lies under it says nothing.

    Rounding noise has variance quantum^2 / 12, spread evenly up to half the sampling rate (Bennett 1948,
    doi:10.1002/j.1538-7305.1948.tb01340.x). The quantum of counts is 1; that of a float record is taken as the
    smallest change between neighbours in its first window, so that counts scaled to any unit are treated alike and a
    filtered record gets next to no floor. Never 0, so that silence has a logarithm.
    """
    quantum = 1.0
    if not integer_samples:
        changes = np.abs(np.diff(window))
        changes = changes[changes > 0.0]
        quantum = float(changes.min()) if len(changes) else 0.0
    return max(quantum * quantum / (6.0 * sampling_rate_hz), 1e-60)

"""One channel's samples to blocks of features: gap rule, despiking, decimation, windows, features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.edge.blocks import Blocks
from edgequake.edge.errors import DataError
from edgequake.edge.filters import Decimate, Despike
from edgequake.edge.front_end_config import FrontEndConfig
from edgequake.edge.gaps import GapBridge, GapCounts, Stretch
from edgequake.edge.power_features import PowerFeatures
from edgequake.edge.scalogram import WaveletPower
from edgequake.edge.spectrogram import BandPower
from edgequake.edge.state import State
from edgequake.edge.waveform import WaveformFeatures


@dataclass(frozen=True)
class ChannelBlocks:
    """Consecutive blocks of one channel that wait for those of the others."""

    first_block: int
    features: npt.NDArray[np.float32]  # (n_blocks, rows_per_block, n_features - 1)
    live: npt.NDArray[np.bool_]


class ChannelFrontEnd:
    """Gap rule, despiking, decimation, windows and features of one channel."""

    def __init__(self, config: FrontEndConfig, model_rate_hz: float, sampling_rate_hz: float) -> None:
        factor = decimation_factor(config, model_rate_hz, sampling_rate_hz)
        self.sampling_rate_hz = sampling_rate_hz
        bridge_samples = round(config.bridge_s * sampling_rate_hz)
        self._gaps = GapBridge(bridge_samples, config.fill_values, config.fill_min_jump)
        self._despike = Despike(config.despike_threshold) if config.despike_threshold > 0 else None
        self._decimate = Decimate(factor, config.decimators[str(factor)]) if factor > 1 else None
        stuck_blocks = max(1, round(config.stuck_s * model_rate_hz / config.hop_samples))
        self._blocks = Blocks(config.window_samples, config.hop_samples, config.max_gap_fraction, stuck_blocks)
        self._features = _features(config, model_rate_hz)
        self.queue: list[ChannelBlocks] = []

    @property
    def counts(self) -> GapCounts:
        """What the gap rule met so far."""
        return self._gaps.counts

    @property
    def next_block(self) -> int:
        """Blocks before this one will not come any more."""
        return self._blocks.next_block

    @property
    def last_position(self) -> int | None:
        """Position of the last true sample on the grid of the channel's own rate."""
        return self._gaps.last_position

    def push(self, parts: Sequence[tuple[int, npt.NDArray[Any]]]) -> None:
        """Take samples of one dtype in parts (position on the channel's grid, samples); queue what they complete."""
        integer_samples = parts[0][1].dtype.kind in "iu"
        for stretch in self._gaps.push_parts(parts):
            clean: Stretch | None = stretch if self._despike is None else self._despike.push(stretch)
            if clean is not None and self._decimate is not None:
                clean = self._decimate.push(clean)
            windows = None if clean is None else self._blocks.push(clean)
            if windows is not None:
                features = self._features(windows, integer_samples)
                self.queue.append(ChannelBlocks(windows.first_block, features, windows.live))

    def state(self) -> State:
        """Return what `restore` goes on from."""
        return {
            "sampling_rate_hz": self.sampling_rate_hz,
            "gaps": self._gaps.state(),
            "despike": None if self._despike is None else self._despike.state(),
            "decimate": None if self._decimate is None else self._decimate.state(),
            "blocks": self._blocks.state(),
            "features": self._features.state(),
            "queue": [dict(vars(blocks)) for blocks in self.queue],
        }

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        self._gaps.restore(state["gaps"])
        if self._despike is not None:
            self._despike.restore(state["despike"])
        if self._decimate is not None:
            self._decimate.restore(state["decimate"])
        self._blocks.restore(state["blocks"])
        self._features.restore(state["features"])
        self.queue = [ChannelBlocks(**blocks) for blocks in state["queue"]]


def decimation_factor(config: FrontEndConfig, model_rate_hz: float, sampling_rate_hz: float) -> int:
    """Return the whole factor from a channel's rate to the model's.

    Raises
    ------
    DataError
        The rate is neither the model's nor a multiple the manifest has a decimator for (0.1 % tolerance).
    """
    for factor in (1, *sorted(int(name) for name in config.decimators)):
        if abs(sampling_rate_hz / (model_rate_hz * factor) - 1.0) < 1e-3:
            return factor
    accepted = [model_rate_hz, *(model_rate_hz * int(name) for name in config.decimators)]
    raise DataError(
        f"sampling rate {sampling_rate_hz:g} Hz: this model takes {', '.join(f'{rate:g}' for rate in accepted)} Hz; "
        f"choose channels of such a rate, or another model"
    )


def _features(config: FrontEndConfig, rate_hz: float) -> PowerFeatures | WaveformFeatures:
    if config.kind == "spectrogram":
        assert config.spectrogram is not None
        power = BandPower(config.spectrogram, rate_hz)
        return PowerFeatures(power, config.spectrogram, config.background, rate_hz)
    if config.kind == "scalogram":
        assert config.scalogram is not None
        wavelets = WaveletPower(config.scalogram, config.hop_samples, rate_hz)
        return PowerFeatures(wavelets, config.scalogram, config.background, rate_hz)
    assert config.waveform is not None
    return WaveformFeatures(config.waveform, config.background, rate_hz)

"""Features from windows of samples, normalised by a slow running background.

`PowerFeatures` serves spectrogram and scalogram, in decades of power above the background; `WaveformFeatures` serves
the textbook window classifiers, in samples over a running scale.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.features.spectra import BandPower, WaveletPower, WindowBatch
from edgequake.edge.manifest.tables import (
    BackgroundConfig,
    FrontEndConfig,
    ScalogramConfig,
    SpectrogramConfig,
    WaveformConfig,
)

if TYPE_CHECKING:
    from edgequake.edge.features.mel_bands import MelFeatures

Float = npt.NDArray[np.float64]
Power: TypeAlias = Callable[[Float], Float]  # windows (n_windows, window_samples) -> densities (n_windows, n_values)

# The running mean forgets over 32 blocks: slower than any quake's motion, faster than thermal drift.
MEAN_MEMORY_BLOCKS = 32.0


def quantization_density(window: Float, integer_samples: bool, sampling_rate_hz: float) -> float:
    """Return the power density of rounding to the record's quantum; power below it has no meaning.

    Rounding noise has variance quantum^2 / 12, spread evenly up to half the sampling rate (Bennett 1948,
    doi:10.1002/j.1538-7305.1948.tb01340.x). The quantum of counts is 1; that of a float record is taken as the
    smallest change between neighbours in its first window, so that counts in any unit are treated alike and a filtered
    record has almost no floor. Never 0, so that silence has a logarithm.
    """
    quantum = 1.0
    if not integer_samples:
        changes = np.abs(np.diff(window))
        changes = changes[changes > 0.0]
        quantum = float(changes.min()) if len(changes) else 0.0
    return max(quantum * quantum / (6.0 * sampling_rate_hz), 1e-60)


class Background:
    """Running quantile of `n_values` levels by stochastic approximation; see `BackgroundConfig` for the rule.

    References
    ----------
    Tierney, L. (1983), A space-efficient recursive procedure for estimating a quantile of an unknown distribution,
    SIAM J. Sci. Stat. Comput. 4, 706-711, doi:10.1137/0904048.
    """

    def __init__(self, config: BackgroundConfig) -> None:
        self._config = config
        self.restart()

    def restart(self) -> None:
        """Forget everything: the next valid frame starts the background."""
        self._first: list[Float] = []
        self._level: list[float] = []
        self._share_above: list[float] = []
        self._n_valid = 0

    def state(self) -> State:
        first = np.stack(self._first) if self._first else np.zeros((0, 0), np.float64)
        return {
            "first": first,
            "level": list(self._level),
            "share_above": list(self._share_above),
            "n_valid": self._n_valid,
        }

    def restore(self, state: State) -> None:
        self._first, self._level, self._n_valid = list(state["first"]), list(state["level"]), state["n_valid"]
        self._share_above = list(state["share_above"])

    def excess(self, levels: Float, valid: npt.NDArray[np.bool_]) -> Float:
        """Return each frame's levels above the background; the background follows the frames.

        Parameters
        ----------
        levels : float64, shape (n_frames, n_values), in decades.
        valid : shape (n_frames,); a frame that is not valid gets an excess of 0 and does not move the background.
        """
        out = np.zeros_like(levels)
        frames = np.flatnonzero(valid)
        n_starting = min(len(frames), max(0, self._config.start_frames - self._n_valid))
        for i in frames[:n_starting]:
            out[i] = self._start(levels[i])
        if len(frames) > n_starting:
            out[frames[n_starting:]] = self._advance(levels[frames[n_starting:]])
        return out

    def _start(self, level: Float) -> Float:
        self._n_valid += 1
        self._first.append(level.copy())
        median = np.median(np.stack(self._first), axis=0)
        self._level = median.tolist()
        self._share_above = [1.0 - self._config.quantile] * len(self._level)
        if self._n_valid == self._config.start_frames:
            self._first = []  # no longer needed
        return np.asarray(level - median, np.float64)

    def _advance(self, levels: Float) -> Float:
        """Follow frames, shape (n_frames, n_values), one value at a time: floats are cheaper than small arrays."""
        ups, downs = self._steps(len(levels))
        above = np.empty_like(levels)
        for j in range(levels.shape[1]):
            above[:, j] = self._follow(j, levels[:, j].tolist(), ups, downs)
        self._n_valid += len(levels)
        return above

    def _follow(self, j: int, levels: list[float], ups: list[float], downs: list[float]) -> list[float]:
        """Return how far value j lies above its background in each frame."""
        value, catch_up = self._level[j], self._config.catch_up
        differences = []
        if catch_up is None:
            for level, up, down in zip(levels, ups, downs, strict=True):
                difference = level - value
                differences.append(difference)
                value += up if difference > 0.0 else down
        else:
            fast_up = catch_up.step * self._config.quantile
            fast_down = catch_up.step * (self._config.quantile - 1.0)
            share, gain = self._share_above[j], 1.0 / catch_up.memory_frames
            for level, up, down in zip(levels, ups, downs, strict=True):
                difference = level - value
                differences.append(difference)
                if difference > 0.0:
                    share += (1.0 - share) * gain
                    value += max(up, fast_up) if share > catch_up.share_high else up
                else:
                    share -= share * gain
                    value += min(down, fast_down) if share < catch_up.share_low else down
            self._share_above[j] = share
        self._level[j] = value
        return differences

    def _steps(self, n_frames: int) -> tuple[list[float], list[float]]:
        """Return how far each of the next frames moves the background, up and down."""
        config = self._config
        largest = config.step_start * config.start_frames
        if largest / (self._n_valid + 1) <= config.step:  # and in every later frame
            return [config.step * config.quantile] * n_frames, [config.step * (config.quantile - 1.0)] * n_frames
        steps = [max(config.step, largest / (self._n_valid + i)) for i in range(1, n_frames + 1)]
        return [step * config.quantile for step in steps], [step * (config.quantile - 1.0) for step in steps]


class PowerFeatures:
    """Turns windows of one channel into rows of features: decades above the background, clipped and rounded."""

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
        return {"background": self._background.state(), "floor": self._floor}

    def restore(self, state: State) -> None:
        self._background.restore(state["background"])
        self._floor = state["floor"]

    def __call__(self, windows: WindowBatch, integer_samples: bool) -> npt.NDArray[np.float32]:
        """Return features, float32, shape (n_blocks, 1, n_values).

        integer_samples : the record holds counts, whose quantum is 1.
        """
        if windows.fresh:
            self._background.restart()
            self._floor = quantization_density(windows.values[0], integer_samples, self._sampling_rate_hz)
        config = self._config
        levels = np.log10(self._power(windows.values) + self._floor)
        excess = self._background.excess(levels, windows.valid)
        steps = config.steps_per_decade
        rounded = np.rint(np.clip(excess, config.clip_low, config.clip_high) * steps) / steps
        return np.asarray(rounded[:, np.newaxis, :], np.float32)


class WaveformFeatures:
    """Turns blocks of one channel into rows of features: (sample - running mean) / running scale, clipped and rounded.

    The scale is the running background of the blocks' root mean square in decades, so units do not matter. Mean and
    scale come from earlier blocks, and from the block itself only at the start.
    """

    def __init__(self, config: WaveformConfig, background: BackgroundConfig, sampling_rate_hz: float) -> None:
        self._config = config
        self._background = Background(background)
        self._sampling_rate_hz = sampling_rate_hz
        self._mean: np.float64 | None = None
        self._floor = 0.0

    def state(self) -> State:
        mean = None if self._mean is None else float(self._mean)
        return {"background": self._background.state(), "floor": self._floor, "mean": mean}

    def restore(self, state: State) -> None:
        self._background.restore(state["background"])
        self._floor = state["floor"]
        self._mean = None if state["mean"] is None else np.float64(state["mean"])

    def __call__(self, windows: WindowBatch, integer_samples: bool) -> npt.NDArray[np.float32]:
        """Return features, float32, shape (n_blocks, hop_samples, 1)."""
        if windows.fresh:
            self._background.restart()
            self._mean = None
            density = quantization_density(windows.values[0], integer_samples, self._sampling_rate_hz)
            self._floor = density * self._sampling_rate_hz / 2.0  # variance of the rounding
        out = np.zeros((*windows.values.shape, 1), np.float32)
        make = self._as_recorded if self._config.per_window else self._normalise
        for i in np.flatnonzero(windows.valid):
            out[i, :, 0] = make(windows.values[i])
        return out

    def _as_recorded(self, block: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """Return the samples less the mean of the first block: windows are normalised as a whole, see `scaled`."""
        if self._mean is None:
            self._mean = np.mean(block)
        return np.asarray(block - self._mean, np.float32)

    def _normalise(self, block: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        block_mean = np.mean(block)
        mean = block_mean if self._mean is None else self._mean
        centred = block - mean
        level = 0.5 * np.log10(np.mean(centred * centred) + self._floor)
        above = self._background.excess(level.reshape(1, 1), np.ones(1, np.bool_))[0, 0]
        scale = np.power(np.float64(10.0), level - above)  # the background before this block moved it
        self._mean = mean + (block_mean - mean) / np.float64(MEAN_MEMORY_BLOCKS)
        config = self._config
        clipped = np.clip(centred / scale, -config.clip, config.clip)
        return np.asarray(np.rint(clipped * config.steps_per_unit) / config.steps_per_unit, np.float32)


def channel_features(config: FrontEndConfig, rate_hz: float) -> PowerFeatures | WaveformFeatures | MelFeatures:
    """Return what turns the windows of one channel into features.

    Raises
    ------
    ConfigError
        Bands or wavelets do not fit the sampling rate.
    """
    try:
        return _features(config, rate_hz)
    except ValueError as problem:
        raise ConfigError(f"front_end.{config.kind}: {problem}") from problem


def _features(config: FrontEndConfig, rate_hz: float) -> PowerFeatures | WaveformFeatures | MelFeatures:
    bands = config.bands
    if config.kind == "mel":
        from edgequake.edge.features.mel_bands import MelFeatures  # few models need it, and it takes memory

        assert config.mel is not None
        return MelFeatures(config.mel, rate_hz)
    if isinstance(bands, SpectrogramConfig):
        return PowerFeatures(BandPower(bands, rate_hz), bands, config.background, rate_hz)
    if bands is not None:
        power = WaveletPower(bands, config.hop_samples, rate_hz)
        return PowerFeatures(power, bands, config.background, rate_hz)
    assert config.waveform is not None
    return WaveformFeatures(config.waveform, config.background, rate_hz)

"""The slow running background that features are measured against."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgequake.edge.front_end_config import BackgroundConfig
from edgequake.edge.state import State

Float = npt.NDArray[np.float64]


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
        """Forget everything: the next live frame starts the background."""
        self._first: list[Float] = []
        self._level: list[float] = []
        self._share_above: list[float] = []
        self._n_live = 0

    def state(self) -> State:
        """Return what `restore` goes on from."""
        first = np.stack(self._first) if self._first else np.zeros((0, 0), np.float64)
        return {
            "first": first,
            "level": list(self._level),
            "share_above": list(self._share_above),
            "n_live": self._n_live,
        }

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        self._first, self._level, self._n_live = list(state["first"]), list(state["level"]), state["n_live"]
        self._share_above = list(state["share_above"])

    def excess(self, levels: Float, live: npt.NDArray[np.bool_]) -> Float:
        """Return each frame's levels above the background, which then moves.

        Parameters
        ----------
        levels : float64, shape (n_frames, n_values), in decades.
        live : shape (n_frames,); a frame that is not live gets an excess of 0 and leaves the background alone.
        """
        out = np.zeros_like(levels)
        frames = np.flatnonzero(live)
        n_starting = min(len(frames), max(0, self._config.start_frames - self._n_live))
        for i in frames[:n_starting]:
            out[i] = self._start(levels[i])
        if len(frames) > n_starting:
            out[frames[n_starting:]] = self._advance(levels[frames[n_starting:]])
        return out

    def _start(self, level: Float) -> Float:
        self._n_live += 1
        self._first.append(level.copy())
        median = np.median(np.stack(self._first), axis=0)
        self._level = median.tolist()
        self._share_above = [1.0 - self._config.quantile] * len(self._level)
        if self._n_live == self._config.start_frames:
            self._first = []  # not needed any more
        return np.asarray(level - median, np.float64)

    def _advance(self, levels: Float) -> Float:
        """Follow frames of shape (n_frames, n_values), one value at a time: floats are cheaper than small arrays."""
        ups, downs = self._steps(len(levels))
        above = np.empty_like(levels)
        for j in range(levels.shape[1]):
            above[:, j] = self._follow(j, levels[:, j].tolist(), ups, downs)
        self._n_live += len(levels)
        return above

    def _follow(self, j: int, levels: list[float], ups: list[float], downs: list[float]) -> list[float]:
        """Return the levels of value j above its background, frame by frame."""
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
        if largest / (self._n_live + 1) <= config.step:  # and smaller ever after
            return [config.step * config.quantile] * n_frames, [config.step * (config.quantile - 1.0)] * n_frames
        steps = [max(config.step, largest / (self._n_live + i)) for i in range(1, n_frames + 1)]
        return [step * config.quantile for step in steps], [step * (config.quantile - 1.0) for step in steps]

"""The slow running background that features are measured against."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgequake.edge.manifest import BackgroundConfig

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
        self._level: Float | None = None
        self._n_live = 0

    def excess(self, levels: Float, live: npt.NDArray[np.bool_]) -> Float:
        """Return each frame's levels above the background, which then moves.

        Parameters
        ----------
        levels : float64, shape (n_frames, n_values), in decades.
        live : shape (n_frames,); a frame that is not live gets an excess of 0 and leaves the background alone.
        """
        out = np.zeros_like(levels)
        for i in np.flatnonzero(live):
            out[i] = self._advance(levels[i])
        return out

    def _advance(self, level: Float) -> Float:
        config = self._config
        self._n_live += 1
        if self._n_live <= config.start_frames:
            self._first.append(level.copy())
            self._level = np.median(np.stack(self._first), axis=0)
            return np.asarray(level - self._level, np.float64)
        assert self._level is not None
        above = level - self._level
        step = max(config.step, config.step_start * config.start_frames / self._n_live)
        self._level = self._level + np.where(above > 0.0, step * config.quantile, step * (config.quantile - 1.0))
        return above

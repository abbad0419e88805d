"""Features that compare the components of a station: the vertical one against the horizontal ones."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from edgequake.edge.manifest.tables import ContrastConfig, FrontEndConfig

Features = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]

VERTICAL = "Z"  # component code of SEED (its appendix A); all others are taken for horizontal


def is_vertical(source_id: str) -> bool:
    """Return whether a channel is vertical, by the last letter of its code."""
    return source_id.endswith(VERTICAL)


class Contrast:
    """Sums up the features of a station's blocks by kind of component.

    Sums are exact: features are multiples of a power of two, and there are few channels.
    """

    def __init__(self, config: FrontEndConfig, contrast: ContrastConfig, n_blocks: int) -> None:
        edges, groups = np.asarray(config.lower_edges_hz), contrast.group_edges_hz
        self._groups = [np.flatnonzero((edges >= low) & (edges < high)) for low, high in pairwise(groups)]
        self._sums = np.zeros((2, n_blocks, len(edges)), np.float32)  # horizontal, vertical
        self._counts = np.zeros((2, n_blocks, len(edges)), np.float32)

    def add(self, source_id: str, low: int, high: int, features: Features, present: Bool) -> None:
        """Add a channel's features, shape (n, n_bands), of blocks [low, high) where they are present."""
        kind = int(is_vertical(source_id))
        self._sums[kind, low:high] += np.where(present, features, np.float32(0))
        self._counts[kind, low:high] += present

    def features(self) -> Features:
        """Return the contrasts and their flag, shape (n_blocks, n_groups + 1)."""
        n_blocks = self._sums.shape[1]
        means = self._sums / np.maximum(self._counts, np.float32(1))
        both = np.all(self._counts > 0, axis=0)  # (n_blocks, n_bands)
        difference = np.where(both, means[1] - means[0], np.float32(0))
        out = np.zeros((n_blocks, len(self._groups) + 1), np.float32)
        for i, group in enumerate(self._groups):
            n_present = np.sum(both[:, group], axis=1)
            total = np.zeros(n_blocks, np.float32)
            for band in group:  # in order, so that the sum has the same bits everywhere
                total += difference[:, band]
            out[:, i] = total / np.maximum(n_present, 1).astype(np.float32)
        out[:, -1] = ~both[:, 0]
        return out

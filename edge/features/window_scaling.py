"""Normalisation of windows of samples as notebooks do it: less the mean, over the standard deviation or the peak.

It needs the whole window, so it is done where windows are cut: by the stepper on board, and for training rows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgequake.edge.manifest.tables import FrontEndConfig

Float32 = npt.NDArray[np.float32]


def scaled(config: FrontEndConfig, windows: Float32) -> Float32:
    """Return windows of rows, normalised as `front_end.waveform.per_window` says; unchanged where it says nothing.

    Each component loses its mean and is divided by its standard deviation ("zscore", ``numpy.std``) or its largest
    absolute value ("peak"); without `per_component`, by that of all components of the window. A window without any
    motion stays 0. The gap flag is left as it is.

    Parameters
    ----------
    windows : float32, shape (n_windows, n_rows, n_features).
    """
    table = config.waveform
    if not config.per_window or table is None:
        return windows
    n_values = windows.shape[2] - int(config.gap_flag)
    # Sums run along the contiguous axis: the same bits for one window and for many.
    values = np.ascontiguousarray(np.swapaxes(windows[..., :n_values], 1, 2), np.float64)
    values -= np.mean(values, axis=2, keepdims=True)
    joined = values if table.per_component else values.reshape(len(values), 1, -1)
    if table.per_window == "zscore":
        size = np.sqrt(np.mean(joined * joined, axis=2, keepdims=True))
    else:
        size = np.max(np.abs(joined), axis=2, keepdims=True)
    out = windows.copy()
    out[..., :n_values] = np.swapaxes(values / np.where(size > 0, size, 1.0), 1, 2)
    return out

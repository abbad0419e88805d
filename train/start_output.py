"""The output "start" of a window classifier: where in the window an event begins, learned by regression.

0 is the window's start, 1 its stop. Only windows that contain an onset teach it: of the others nothing is asked.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

Float32 = npt.NDArray[np.float32]

ONSET_SHARE = 0.3  # of the windows of a batch are drawn so that they contain an onset: they are few


def rises(onset: Float32) -> npt.NDArray[np.bool_]:
    """Return the blocks with which an onset begins; of the first block nobody knows.

    onset : targets, shape (n_sequences, n_blocks); so is what is returned.
    """
    begins = np.zeros(onset.shape, np.bool_)
    begins[:, 1:] = (onset[:, 1:] > 0) & (onset[:, :-1] <= 0)
    return begins


def start_targets(
    onset: Float32, stops: npt.NDArray[np.int64], rows_per_block: int, window_rows: int
) -> tuple[Float32, Float32]:
    """Return where in each window the last onset begins, and 1 where there is one, else 0 and 0.

    Parameters
    ----------
    onset : targets, shape (n_sequences, n_blocks).
    stops : block that each window stops before, shape (n_sequences, n_windows); so are both that are returned.
    """
    begins = rises(onset)
    index = np.where(begins, np.arange(onset.shape[1]), -1)
    latest = np.maximum.accumulate(index, axis=1)  # the last onset up to and with each block
    block = np.take_along_axis(latest, stops - 1, axis=1)
    share = 1.0 - ((stops - block) * rows_per_block) / window_rows
    inside = (block >= 0) & (share >= 0.0)
    return np.where(inside, share, 0.0).astype(np.float32), inside.astype(np.float32)


@keras.saving.register_keras_serializable("edgequake")
class EventAndStart(keras.losses.Loss):
    """Cross-entropy of the event, and `weight` times the squared error of the start where there is one.

    Targets have shape (batch, 3): event, start, and 1 where the start is known; outputs (batch, 2): event, start.
    """

    def __init__(self, weight: float, name: str = "event_and_start", **options: Any) -> None:
        super().__init__(name=name, **options)
        self.weight = weight

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each window, shape (batch,)."""
        event = keras.losses.binary_crossentropy(y_true[:, :1], y_pred[:, :1])
        return event + self.weight * y_true[:, 2] * ops.square(y_true[:, 1] - y_pred[:, 1])

    def get_config(self) -> dict[str, Any]:
        """Return what the loss is made again from."""
        return {**super().get_config(), "weight": self.weight}

"""The output "start" of a window classifier: where in the window an event begins, learned by regression.

0 is the window's start, 1 its stop. Only windows that contain an onset teach it: of the others nothing is asked.

The networks, in Keras: causal chains that `edgequake.convert` turns into one-step graphs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

from edgequake.edge.base.errors import ConfigError
from edgequake.train.configuration.recipe import NetworkRecipe
from edgequake.train.rounded import Agreeing, Doubled, rounded_lstm

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


def build(recipe: NetworkRecipe, n_features: int, seed: int) -> keras.Model:
    """Return the untrained network in the form it is trained in.

    Input shape (batch, n_rows, n_features); output (batch, n_rows / recipe.rows_per_output, n_outputs) for "cnn-lstm",
    (batch, n_outputs) for "seed". The initial weights depend on `seed` alone.
    """
    keras.utils.set_random_seed(seed)
    if recipe.kind == "seed":
        return _seed(recipe, n_features)
    return _cnn_lstm(recipe, n_features, recipe.rounded)


def plain(recipe: NetworkRecipe, n_features: int, trained: keras.Model) -> keras.Model:
    """Return the trained network in plain Keras layers, which is what is saved and converted."""
    network = _seed(recipe, n_features) if recipe.kind == "seed" else _cnn_lstm(recipe, n_features, rounded=False)
    network.set_weights(trained.get_weights())
    return network


def copy_weights(path: Path, network: keras.Model) -> None:
    """Give `network` the weights of a saved network of the same shape.

    Raises
    ------
    ConfigError
        The file cannot be loaded, or is another network.
    """
    try:
        network.set_weights(keras.saving.load_model(path, compile=False).get_weights())
    except (ValueError, OSError) as problem:
        reason = str(problem).strip().splitlines()[0]
        raise ConfigError(f"fit.start_from = '{path}': cannot begin with these weights: {reason}") from problem


def _cnn_lstm(recipe: NetworkRecipe, n_features: int, rounded: bool) -> keras.Model:
    rows = keras.Input((None, n_features), name="rows")
    x = rows
    for i in range(len(recipe.conv_filters)):
        x = _convolved(recipe, i, x)
    if rounded:
        x = Doubled(name="doubled")(x)  # behind the convolutions, which are the same in both halves
    for i, units in enumerate(recipe.lstm_units):
        if rounded:
            x = rounded_lstm(units, f"lstm_{i}", x)
        else:
            x = layers.LSTM(units, return_sequences=True, name=f"lstm_{i}")(x)
    probability = layers.Dense(len(recipe.outputs), activation="sigmoid", name="probability")(x)
    if rounded:
        probability = Agreeing(name="agreeing")(probability)
    return keras.Model(rows, probability, name="cnn_lstm")


def _convolved(recipe: NetworkRecipe, i: int, x: Any) -> Any:
    """Apply convolution `i`; every output sees up to the newest of the `stride` rows that it stands for.

    Keras' own causal padding would let it see up to the first of them only: in a stride of a block that is a block's
    delay. Zeros for kernel - stride rows in front give the alignment of a stream, and convert exactly.
    """
    kernel, stride = recipe.conv_kernels[i], recipe.strides[i]
    padding = "causal" if stride == 1 else "valid"
    if padding == "valid" and kernel > stride:
        x = layers.ZeroPadding1D((kernel - stride, 0), name=f"pad_{i}")(x)
    return layers.Conv1D(recipe.conv_filters[i], kernel, stride, padding, activation="relu", name=f"conv_{i}")(x)


def _seed(recipe: NetworkRecipe, n_features: int) -> keras.Model:
    """The network of the original brief, layer for layer; its second output, the start, is a share of the window."""
    return keras.Sequential(
        [
            keras.Input((recipe.window_rows, n_features), name="rows"),
            layers.Conv1D(64, 3, activation="relu", name="conv_0"),
            layers.MaxPooling1D(2, name="pool_0"),
            layers.Dropout(0.3, name="dropout_0"),
            layers.LSTM(100, return_sequences=True, name="lstm_0"),
            layers.Dropout(0.3, name="dropout_1"),
            layers.LSTM(100, name="lstm_1"),
            layers.Dense(100, activation="relu", name="dense_0"),
            layers.Dense(len(recipe.outputs), activation="sigmoid", name="probability"),
        ],
        name="seed",
    )

"""The networks, in Keras: causal chains of layers that `edgequake.convert` turns into one-step graphs.

A window classifier may have a second output, "start": where in the window an event begins, learned by regression. 0 is
the start of the window and 1 its end. Only windows that contain an onset contribute to its loss.
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

Float32 = npt.NDArray[np.float32]

CELL_WEIGHT = 0.002  # of what cell states have beyond their limit, beside the cross-entropy
ONSET_SHARE = 0.3  # share of windows in a batch that are drawn to contain an onset, because few do


def rises(onset: Float32) -> npt.NDArray[np.bool_]:
    """Return whether an onset begins with each block; the first block has no predecessor and never counts.

    onset : targets, shape (n_sequences, n_blocks); the result has the same shape.
    """
    begins = np.zeros(onset.shape, np.bool_)
    begins[:, 1:] = (onset[:, 1:] > 0) & (onset[:, :-1] <= 0)
    return begins


def start_targets(
    onset: Float32, stops: npt.NDArray[np.int64], rows_per_block: int, window_rows: int
) -> tuple[Float32, Float32]:
    """Return the position of the last onset in each window and 1, or 0 and 0 for a window without an onset.

    Parameters
    ----------
    onset : targets, shape (n_sequences, n_blocks).
    stops : first block after each window, shape (n_sequences, n_windows); both results have the same shape.
    """
    begins = rises(onset)
    index = np.where(begins, np.arange(onset.shape[1]), -1)
    latest = np.maximum.accumulate(index, axis=1)  # the last onset up to each block, inclusive
    block = np.take_along_axis(latest, stops - 1, axis=1)
    share = 1.0 - ((stops - block) * rows_per_block) / window_rows
    inside = (block >= 0) & (share >= 0.0)
    return np.where(inside, share, 0.0).astype(np.float32), inside.astype(np.float32)


@keras.saving.register_keras_serializable("edgequake")
class EventAndStart(keras.losses.Loss):
    """Cross-entropy of the event plus `weight` times the squared error of the start, where the start is known.

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
        """Return the configuration from which Keras restores the loss."""
        return {**super().get_config(), "weight": self.weight}


def build(recipe: NetworkRecipe, n_features: int, seed: int) -> keras.Model:
    """Return the untrained network.

    Input shape (batch, n_rows, n_features); output (batch, n_rows / recipe.rows_per_output, n_outputs) for "cnn-lstm",
    (batch, n_outputs) for "seed". The initial weights depend on `seed` alone.
    """
    keras.utils.set_random_seed(seed)
    return _seed(recipe, n_features) if recipe.kind == "seed" else _cnn_lstm(recipe, n_features)


def with_cells(recipe: NetworkRecipe, network: keras.Model) -> keras.Model:
    """Return a copy of a "cnn-lstm" with a second output: the last cell states, shape (batch, sum of lstm_units)."""
    copy = _cnn_lstm(recipe, network.input_shape[-1], cells=True)
    copy.set_weights(network.get_weights())
    return copy


@keras.saving.register_keras_serializable("edgequake")
class CellExcess(keras.losses.Loss):
    """What cell states have beyond a limit, summed over the cells: `CELL_WEIGHT` times relu(|c| - limit)."""

    def __init__(self, limit: float, name: str = "cell_excess", **options: Any) -> None:
        super().__init__(name=name, **options)
        self.limit = limit

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each sequence, shape (batch,)."""
        return CELL_WEIGHT * ops.sum(ops.relu(ops.abs(y_pred) - self.limit), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration from which Keras restores the loss."""
        return {**super().get_config(), "limit": self.limit}


def without_loss(recipe: NetworkRecipe, trained: keras.Model) -> keras.Model:
    """Return a copy of the network without its loss, so that its file can be loaded without this package."""
    network = build(recipe, trained.input_shape[-1], seed=0)
    network.set_weights(trained.get_weights())
    return network


SHIPPED = Path(__file__).parent / "models"  # NAME/NAME.keras


def saved_network(name: str) -> Path:
    """Return the file of a shipped network by its name, or the path that `name` is."""
    path = SHIPPED / name / f"{name}.keras"
    return path if Path(name).suffix == "" and path.is_file() else Path(name)


def copy_weights(path: Path, network: keras.Model) -> None:
    """Give `network` the weights of a saved network of the same shape.

    Raises
    ------
    ConfigError
        The file cannot be loaded, or holds a network of another shape.
    """
    try:
        network.set_weights(keras.saving.load_model(path, compile=False).get_weights())
    except (ValueError, OSError) as problem:
        reason = str(problem).strip().splitlines()[0]
        raise ConfigError(f"fit.start_from = '{path}': cannot begin with these weights: {reason}") from problem


def blend(path: Path, network: keras.Model, new_share: float) -> None:
    """Move the weights of `network` back towards those of the saved network that it began with, in place.

    The mean of the weights before and after a fine-tuning forgets less of what the few new records do not show.

    Parameters
    ----------
    new_share : of the weights of `network`; 1 leaves it as it is.

    References
    ----------
    Wortsman, M. et al. (2022), Robust fine-tuning of zero-shot models, doi:10.1109/CVPR52688.2022.00780.
    """
    old = keras.saving.load_model(path, compile=False).get_weights()
    mixed = [(1.0 - new_share) * a + new_share * b for a, b in zip(old, network.get_weights(), strict=True)]
    network.set_weights(mixed)


def _cnn_lstm(recipe: NetworkRecipe, n_features: int, cells: bool = False) -> keras.Model:
    rows = keras.Input((None, n_features), name="rows")
    x = rows
    for i in range(len(recipe.conv_filters)):
        x = _convolved(recipe, i, x)
    last = []
    for i, units in enumerate(recipe.lstm_units):
        lstm = layers.LSTM(units, return_sequences=True, return_state=cells, name=f"lstm_{i}")
        if cells:
            x, _, cell = lstm(x)
            last.append(cell)
        else:
            x = lstm(x)
    probability = layers.Dense(len(recipe.outputs), activation="sigmoid", name="probability")(x)
    if cells:
        joined = last[0] if len(last) == 1 else layers.Concatenate(name="cells")(last)
        return keras.Model(rows, [probability, joined], name="cnn_lstm_cells")
    return keras.Model(rows, probability, name="cnn_lstm")


def _convolved(recipe: NetworkRecipe, i: int, x: Any) -> Any:
    """Apply convolution `i`, so that each output depends on all of the `stride` rows that it stands for.

    With Keras' causal padding it would depend on the first of them only, which delays a stride of one block by a block.
    Padding with kernel - stride zero rows in front gives the alignment of a stream and converts exactly.
    """
    kernel, stride = recipe.conv_kernels[i], recipe.strides[i]
    padding = "causal" if stride == 1 else "valid"
    if padding == "valid" and kernel > stride:
        x = layers.ZeroPadding1D((kernel - stride, 0), name=f"pad_{i}")(x)
    return layers.Conv1D(recipe.conv_filters[i], kernel, stride, padding, activation="relu", name=f"conv_{i}")(x)


def _seed(recipe: NetworkRecipe, n_features: int) -> keras.Model:
    """Return the network of the original brief, layer for layer; its output "start" is a share of the window."""
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

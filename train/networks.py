"""The networks, in Keras: causal chains that `edgequake.convert` turns into one-step graphs."""

from __future__ import annotations

from pathlib import Path

import keras
from keras import layers

from edgequake.edge.errors import ConfigError
from edgequake.train.recipe import NetworkRecipe
from edgequake.train.rounded import Agreeing, Doubled, rounded_lstm


def build(recipe: NetworkRecipe, n_features: int, seed: int) -> keras.Model:
    """Return the untrained network in the form it is trained in.

    Input shape (batch, n_rows, n_features); output (batch, n_rows, n_outputs) for "cnn-lstm", (batch, n_outputs)
    for "seed". The initial weights depend on `seed` alone.
    """
    keras.utils.set_random_seed(seed)
    if recipe.kind == "seed":
        return _seed(recipe, n_features)
    return _cnn_lstm(recipe, n_features, recipe.rounded)


def plain(recipe: NetworkRecipe, n_features: int, trained: keras.Model) -> keras.Model:
    """Return the trained network in plain Keras layers, which is what is saved and converted."""
    if recipe.kind == "seed" or not recipe.rounded:
        return trained
    network = _cnn_lstm(recipe, n_features, rounded=False)
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
    x = Doubled(name="doubled")(rows) if rounded else rows
    for i, (filters, kernel) in enumerate(zip(recipe.conv_filters, recipe.conv_kernels, strict=True)):
        x = layers.Conv1D(filters, kernel, padding="causal", activation="relu", name=f"conv_{i}")(x)
    for i, units in enumerate(recipe.lstm_units):
        if rounded:
            x = rounded_lstm(units, f"lstm_{i}", x)
        else:
            x = layers.LSTM(units, return_sequences=True, name=f"lstm_{i}")(x)
    probability = layers.Dense(len(recipe.outputs), activation="sigmoid", name="probability")(x)
    if rounded:
        probability = Agreeing(name="agreeing")(probability)
    return keras.Model(rows, probability, name="cnn_lstm")


def _seed(recipe: NetworkRecipe, n_features: int) -> keras.Model:
    """The network of the original brief, layer for layer."""
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
            layers.Dense(1, activation="sigmoid", name="probability"),
        ],
        name="seed",
    )

"""Small networks of every supported kind with seeded random weights, on which the converter is measured.

`build(name)` builds an entry of `ARCHITECTURES`. studies/conversion/conformance.py converts them all and writes the
table; tests/convert/test_conformance.py converts a few.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

FEATURES = 6  # five bands and the gap flag
WINDOW = 48

Rows = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class Architecture:
    """How a network is built: `make` takes keras and keras.layers, and returns a list of layers or a whole model."""

    mode: str
    make: Callable[[Any, Any], Any]
    n_rows: int | None = None
    n_features: int = FEATURES
    n_outputs: int = 2
    input_shape: tuple[int, ...] | None = None  # where it is not (rows, features)
    batch: int | None = None
    variants: tuple[str, ...] = ("float32", "int8", "int16x8")  # those for which tflite-runtime 2.14 has kernels


def _out(L: Any, n_outputs: int = 2) -> Any:
    return L.Dense(n_outputs, activation="sigmoid")


def _causal(L: Any, filters: int, kernel: int, **more: Any) -> Any:
    return L.Conv1D(filters, kernel, padding="causal", **more)


def _functional(keras: Any, rows: Any, tensor: Any) -> Any:
    return keras.Model(rows, tensor)


def _residual_tcn(keras: Any, L: Any) -> Any:
    rows = keras.Input((None, FEATURES))
    x = _causal(L, 8, 1)(rows)
    for dilation in (1, 2, 4):
        y = _causal(L, 8, 3, dilation_rate=dilation, use_bias=False)(x)
        y = L.ReLU()(L.BatchNormalization()(y))
        y = L.SpatialDropout1D(0.2)(_causal(L, 8, 3, dilation_rate=dilation)(y))
        x = L.ReLU()(L.Add()([x, y]))
    return _functional(keras, rows, _out(L)(x))


def _residual_lstm(keras: Any, L: Any) -> Any:
    rows = keras.Input((None, FEATURES))
    x = L.Dense(10, activation="tanh")(rows)
    x = x + L.LSTM(10, return_sequences=True)(x)
    return _functional(keras, rows, _out(L)(x))


def _inception(keras: Any, L: Any) -> Any:
    rows = keras.Input((None, FEATURES))
    branches = [_causal(L, 4, kernel, activation="relu")(rows) for kernel in (1, 3, 7)]
    branches.append(_causal(L, 4, 3, dilation_rate=4, activation="relu")(rows))
    x = L.LSTM(8, return_sequences=True)(L.Concatenate()(branches))
    return _functional(keras, rows, _out(L)(x))


def _wavenet(keras: Any, L: Any) -> Any:
    rows = keras.Input((None, FEATURES))
    x, skips = _causal(L, 8, 2)(rows), []
    for dilation in (1, 2, 4):
        gated = [_causal(L, 8, 2, dilation_rate=dilation, activation=name)(x) for name in ("tanh", "sigmoid")]
        y = _causal(L, 8, 1)(L.Multiply()(gated))
        skips.append(y)
        x = L.Add()([x, y])
    return _functional(keras, rows, _out(L)(L.Activation("relu")(L.Add()(skips))))


def _nested_sequential(keras: Any, L: Any) -> Any:
    front = keras.Sequential([_causal(L, 8, 3, activation="relu"), L.BatchNormalization(), L.Dropout(0.2)])
    back = keras.Sequential([L.LSTM(8, return_sequences=True), L.Dense(6, activation="relu")])
    return [front, back, _out(L)]


def _nested_functional(keras: Any, L: Any) -> Any:
    inner = keras.Input((None, 8))
    y = L.Add()([inner, _causal(L, 8, 3, activation="relu")(inner)])
    block = keras.Model(inner, y)
    rows = keras.Input((None, FEATURES))
    x = block(_causal(L, 8, 1)(rows))
    return _functional(keras, rows, _out(L)(L.GRU(6, return_sequences=True)(block(x))))


def _strided_branches(keras: Any, L: Any) -> Any:
    rows = keras.Input((None, FEATURES))
    convolved = _causal(L, 6, 5, strides=2, activation="relu")(rows)
    pooled = L.MaxPooling1D(2)(_causal(L, 6, 1)(rows))
    x = L.LSTM(8, return_sequences=True)(L.Concatenate()([convolved, pooled]))
    return _functional(keras, rows, _out(L)(x))


def _minimum_and_maximum(keras: Any, L: Any) -> Any:
    rows = keras.Input((None, FEATURES))
    a, b = _causal(L, 6, 3)(rows), _causal(L, 6, 2)(rows)
    joined = L.Concatenate()([L.Maximum()([a, b]), L.Minimum()([a, b]), L.Average()([a, b]), L.Subtract()([a, b])])
    return _functional(keras, rows, _out(L)(L.GRU(6, return_sequences=True)(joined)))


def _both_pools(keras: Any, L: Any) -> Any:
    rows = keras.Input((WINDOW, FEATURES))
    x = L.Conv1D(8, 5, activation="relu")(rows)
    both = L.Concatenate()([L.GlobalAveragePooling1D()(x), L.GlobalMaxPooling1D()(x)])
    return _functional(keras, rows, _out(L, 1)(L.Dense(8, activation="relu")(both)))


def _cropped_residual(keras: Any, L: Any) -> Any:
    rows = keras.Input((WINDOW, FEATURES))
    x = L.Conv1D(8, 1)(rows)
    x = L.Add()([L.Cropping1D((1, 1))(x), L.Conv1D(8, 3, activation="relu")(x)])
    x = L.Add()([L.Cropping1D((4, 0))(x), L.Conv1D(8, 5, activation="relu")(x)])
    return _functional(keras, rows, _out(L, 1)(L.LSTM(8)(x)))


def _image(L: Any) -> Any:
    return L.Reshape((-1, FEATURES, 1))


def _continuous(make: Callable[[Any, Any], Any], **more: Any) -> Architecture:
    return Architecture("continuous", make, **more)


def _windowed(make: Callable[[Any, Any], Any], **more: Any) -> Architecture:
    return Architecture("windowed", make, **{"n_rows": WINDOW, "n_outputs": 1, **more})


def _seed(k: Any, L: Any) -> Any:
    return [
        L.Conv1D(64, 3, activation="relu"),
        L.MaxPooling1D(2),
        L.Dropout(0.3),
        L.LSTM(100, return_sequences=True),
        L.Dropout(0.3),
        L.LSTM(100),
        L.Dense(100, activation="relu"),
        _out(L, 1),
    ]


def _all_activations(k: Any, L: Any) -> Any:
    return [
        _causal(L, 8, 3),
        L.LeakyReLU(negative_slope=0.1),
        L.Dense(8, activation="silu"),
        L.PReLU(shared_axes=[1]),
        L.Dense(8, activation="relu6"),
        L.Dense(8, activation="hard_sigmoid"),
        L.Dense(8, activation="tanh"),
        L.Dense(2),
        L.Softmax(),
    ]


ARCHITECTURES: dict[str, Architecture] = {
    "Conv1D, LSTM": _continuous(
        lambda k, L: [
            _causal(L, 8, 5, activation="relu"),
            _causal(L, 8, 3, activation="relu"),
            L.LSTM(12, return_sequences=True),
            _out(L),
        ]
    ),
    "Conv1D dilated 1, 2, 4": _continuous(
        lambda k, L: [*(_causal(L, 8, 3, dilation_rate=d, activation="relu") for d in (1, 2, 4)), _out(L)]
    ),
    "residual TCN, BatchNormalization": _continuous(_residual_tcn),
    "WaveNet gates and skips": _continuous(_wavenet),
    "four branches, Concatenate, LSTM": _continuous(_inception),
    "branches with strides 2, LSTM": _continuous(_strided_branches),
    "Maximum, Minimum, Average, Subtract, GRU": _continuous(_minimum_and_maximum),
    "Conv1D strides 2, LSTM": _continuous(
        lambda k, L: [_causal(L, 8, 5, strides=2, activation="relu"), L.LSTM(10, return_sequences=True), _out(L)]
    ),
    "Conv1D strides 2 twice, MaxPooling1D": _continuous(
        lambda k, L: [
            _causal(L, 8, 3, strides=2, activation="relu"),
            _causal(L, 8, 4, strides=2, activation="relu"),
            L.MaxPooling1D(2),
            L.LSTM(8, return_sequences=True),
            _out(L),
        ]
    ),
    "Conv1D valid patches of 4, LSTM": _continuous(
        lambda k, L: [L.Conv1D(10, 4, strides=4, activation="tanh"), L.LSTM(10, return_sequences=True), _out(L)]
    ),
    "Conv1D groups 2": _continuous(
        lambda k, L: [_causal(L, 8, 3, groups=2, activation="relu"), L.LSTM(8, return_sequences=True), _out(L)]
    ),
    "DepthwiseConv1D, pointwise, BatchNormalization": _continuous(
        lambda k, L: [
            L.ZeroPadding1D((4, 0)),
            L.DepthwiseConv1D(5, depth_multiplier=2, use_bias=False),
            L.BatchNormalization(),
            L.ReLU(),
            L.Conv1D(8, 1, use_bias=False),
            L.BatchNormalization(),
            L.ReLU(),
            _out(L),
        ]
    ),
    "SeparableConv1D, GRU": _continuous(
        lambda k, L: [
            L.ZeroPadding1D((2, 0)),
            L.SeparableConv1D(8, 3, activation="relu"),
            L.GRU(8, return_sequences=True),
            _out(L),
        ]
    ),
    "MaxPooling1D, AveragePooling1D, LSTM": _continuous(
        lambda k, L: [
            _causal(L, 8, 3, activation="relu"),
            L.MaxPooling1D(2),
            _causal(L, 8, 3, activation="relu"),
            L.AveragePooling1D(2),
            L.LSTM(8, return_sequences=True),
            _out(L),
        ]
    ),
    "Conv1D, BatchNormalization, ReLU twice": _continuous(
        lambda k, L: [
            *(layer for _ in range(2) for layer in (_causal(L, 8, 3), L.BatchNormalization(), L.ReLU())),
            _out(L),
        ]
    ),
    "BatchNormalization before Conv1D": _continuous(
        lambda k, L: [L.BatchNormalization(), _causal(L, 8, 5, activation="relu"), _out(L)]
    ),
    "Conv1D relu, BatchNormalization, Conv1D": _continuous(
        lambda k, L: [
            _causal(L, 8, 3, activation="relu"),
            L.BatchNormalization(),
            _causal(L, 8, 3, activation="relu"),
            L.LSTM(6, return_sequences=True),
            _out(L),
        ]
    ),
    "BatchNormalization before LSTM": _continuous(
        lambda k, L: [
            _causal(L, 8, 3, activation="relu"),
            L.BatchNormalization(),
            L.LSTM(10, return_sequences=True),
            L.BatchNormalization(),
            _out(L),
        ]
    ),
    "LayerNormalization, LSTM": _continuous(
        lambda k, L: [
            L.Dense(8),
            L.LayerNormalization(),
            L.LSTM(8, return_sequences=True),
            _out(L),
        ],
        variants=("float32", "int8"),
    ),
    "Rescaling, LeakyReLU, SiLU, PReLU, relu6, hard_sigmoid, Softmax": _continuous(
        lambda k, L: [L.Rescaling(0.5, 0.1), *_all_activations(k, L)]
    ),
    "LSTM three times, Dropout": _continuous(
        lambda k, L: [
            L.GaussianNoise(0.1),
            *(layer for units in (10, 8, 6) for layer in (L.LSTM(units, return_sequences=True), L.Dropout(0.3))),
            _out(L),
        ]
    ),
    "LSTM hard_sigmoid, no bias": _continuous(
        lambda k, L: [
            L.LSTM(10, return_sequences=True, use_bias=False, recurrent_activation="hard_sigmoid", unroll=False),
            _out(L),
        ]
    ),
    "LSTM stateful": _continuous(
        lambda k, L: [
            L.LSTM(8, return_sequences=True, stateful=True),
            L.LSTM(8, return_sequences=True, stateful=True),
            _out(L),
        ],
        batch=1,
    ),
    "GRU reset_after": _continuous(lambda k, L: [L.GRU(12, return_sequences=True), _out(L)]),
    "GRU reset before": _continuous(lambda k, L: [L.GRU(12, return_sequences=True, reset_after=False), _out(L)]),
    "GRU twice, no bias": _continuous(
        lambda k, L: [
            L.GRU(10, return_sequences=True, use_bias=False),
            L.GRU(6, return_sequences=True, use_bias=False, reset_after=False),
            _out(L),
        ]
    ),
    "Conv1D, GRU, LSTM, Dense": _continuous(
        lambda k, L: [
            _causal(L, 8, 3, activation="relu"),
            L.GRU(8, return_sequences=True),
            L.LSTM(8, return_sequences=True),
            L.Dense(8, activation="relu"),
            _out(L),
        ]
    ),
    "SimpleRNN": _continuous(lambda k, L: [L.SimpleRNN(10, return_sequences=True), _out(L)]),
    "LSTM on 2 rows at a time": _continuous(
        lambda k, L: [L.LSTM(8, return_sequences=True), L.MaxPooling1D(2), _out(L)]
    ),
    "TimeDistributed Dense": _continuous(
        lambda k, L: [L.TimeDistributed(L.Dense(8, activation="relu")), L.LSTM(8, return_sequences=True), _out(L)]
    ),
    "residual around LSTM": _continuous(_residual_lstm),
    "nested Sequential": _continuous(_nested_sequential),
    "nested functional block, used twice": _continuous(_nested_functional),
    "Conv2D causal, pooling over features, LSTM": _continuous(
        lambda k, L: [
            _image(L),
            L.ZeroPadding2D(((2, 0), (1, 1))),
            L.Conv2D(4, (3, 3), activation="relu"),
            L.MaxPooling2D((1, 2)),
            L.Reshape((-1, FEATURES // 2 * 4)),
            L.LSTM(8, return_sequences=True),
            _out(L),
        ]
    ),
    "Conv2D strides 2, dilated, GRU": _continuous(
        lambda k, L: [
            _image(L),
            L.ZeroPadding2D(((2, 0), (0, 0))),
            L.Conv2D(4, (3, 3), strides=2, use_bias=False),
            L.BatchNormalization(),
            L.ReLU(),
            L.ZeroPadding2D(((2, 0), (0, 0))),
            L.Conv2D(4, (2, 1), dilation_rate=(2, 1), activation="relu"),
            L.TimeDistributed(L.Flatten()),
            L.GRU(8, return_sequences=True),
            _out(L),
        ]
    ),
    "Conv2D same over features, DepthwiseConv2D": _continuous(
        lambda k, L: [
            L.Conv2D(4, (1, 3), padding="same", activation="relu"),
            L.ZeroPadding2D(((2, 0), (0, 0))),
            L.DepthwiseConv2D((3, 1), activation="relu"),
            L.AveragePooling2D((2, 2)),
            L.TimeDistributed(L.Flatten()),
            _out(L),
        ],
        input_shape=(None, FEATURES, 1),
    ),
    "TimeDistributed Conv1D, MaxPooling1D, Flatten, LSTM": _continuous(
        lambda k, L: [
            L.TimeDistributed(L.Conv1D(4, 3, activation="relu")),
            L.TimeDistributed(L.MaxPooling1D(2)),
            L.TimeDistributed(L.Flatten()),
            L.LSTM(8, return_sequences=True),
            _out(L),
        ],
        input_shape=(None, FEATURES, 1),
    ),
    "Reshape 4 rows to one, LSTM": _continuous(
        lambda k, L: [L.Reshape((-1, 4 * FEATURES)), L.LSTM(8, return_sequences=True), _out(L)]
    ),
    "seed network, spectrogram": _windowed(_seed),
    "seed network, waveform": _windowed(_seed, n_rows=200, n_features=2),
    "Conv1D valid, Flatten": _windowed(
        lambda k, L: [
            L.Conv1D(8, 5, activation="relu"),
            L.MaxPooling1D(4),
            L.Conv1D(8, 3, activation="relu"),
            L.Flatten(),
            L.Dense(12, activation="relu"),
            _out(L, 1),
        ]
    ),
    "Conv1D, GlobalAveragePooling1D": _windowed(
        lambda k, L: [L.Conv1D(12, 5, activation="relu"), L.GlobalAveragePooling1D(), _out(L, 1)]
    ),
    "Conv1D relu, GlobalMaxPooling1D": _windowed(
        lambda k, L: [_causal(L, 12, 5, activation="relu"), L.GlobalMaxPooling1D(), _out(L, 1)]
    ),
    "Conv1D tanh, GlobalMaxPooling1D": _windowed(
        lambda k, L: [L.Conv1D(12, 5, strides=2, activation="tanh"), L.GlobalMaxPooling1D(), _out(L, 1)]
    ),
    "both global pools, Concatenate": _windowed(_both_pools),
    "residual with Cropping1D, LSTM": _windowed(_cropped_residual),
    "Conv1D same, BatchNormalization, Flatten (one step)": _windowed(
        lambda k, L: [
            L.Conv1D(8, 7, padding="same"),
            L.BatchNormalization(),
            L.ReLU(),
            L.MaxPooling1D(2),
            L.Conv1D(8, 5, padding="same", activation="relu"),
            L.MaxPooling1D(2),
            L.Flatten(),
            L.Dense(8, activation="relu"),
            _out(L, 1),
        ]
    ),
    "overlapping MaxPooling1D, GRU": _windowed(
        lambda k, L: [L.Conv1D(8, 3, activation="relu"), L.MaxPooling1D(3, strides=2), L.GRU(8), _out(L, 1)]
    ),
    "Conv1D valid strides 2, LSTM": _windowed(
        lambda k, L: [
            L.Conv1D(8, 5, strides=2, activation="relu"),
            L.Conv1D(8, 3, activation="relu"),
            L.LSTM(10),
            _out(L, 1),
        ]
    ),
    "Conv1D causal after valid, LSTM": _windowed(
        lambda k, L: [
            L.Conv1D(8, 3, activation="relu"),
            _causal(L, 8, 3, activation="relu"),
            L.LSTM(8),
            _out(L, 1),
        ]
    ),
    "LSTM, Conv1D valid, Flatten": _windowed(
        lambda k, L: [L.LSTM(8, return_sequences=True), L.Conv1D(4, 5, strides=2), L.Flatten(), _out(L, 1)]
    ),
    "LSTM, GlobalAveragePooling1D": _windowed(
        lambda k, L: [L.LSTM(10, return_sequences=True), L.GlobalAveragePooling1D(), _out(L, 1)]
    ),
    "Conv2D valid, GlobalAveragePooling2D": _windowed(
        lambda k, L: [
            L.Conv2D(6, (3, 3), activation="relu"),
            L.MaxPooling2D((2, 2)),
            L.Conv2D(6, (3, 2), activation="relu"),
            L.GlobalAveragePooling2D(),
            _out(L, 1),
        ],
        input_shape=(WINDOW, FEATURES, 1),
    ),
    "Reshape, TimeDistributed Conv1D, LSTM": _windowed(
        lambda k, L: [
            L.Reshape((WINDOW // 8, 8, FEATURES)),
            L.TimeDistributed(L.Conv1D(8, 3, activation="relu")),
            L.TimeDistributed(L.MaxPooling1D(2)),
            L.TimeDistributed(L.Flatten()),
            L.LSTM(8),
            _out(L, 1),
        ]
    ),
}


def build(name: str) -> Any:
    """Return a network with random weights, including biases and normalizations, which Keras initializes to 0 and 1."""
    import keras
    from keras import layers

    architecture = ARCHITECTURES[name]
    made = architecture.make(keras, layers)
    if isinstance(made, list):
        shape = architecture.input_shape or (architecture.n_rows, architecture.n_features)
        made = keras.Sequential([keras.Input(batch_shape=(architecture.batch, *shape)), *made])
    set_random_weights(made.trainable_weights + made.non_trainable_weights, zlib.crc32(name.encode()))
    return made


def set_random_weights(weights: list[Any], seed: int) -> None:
    """Give weights of Keras 3 or Keras 2 (`kernel:0`) values with which the outputs follow the input."""
    rng = np.random.default_rng(seed)
    for weight in weights:
        path = getattr(weight, "path", weight.name).removesuffix(":0")
        if "seed_generator" not in path:
            weight.assign(_values(rng, path.rsplit("/", 1)[-1], tuple(weight.shape)))


def _values(rng: np.random.Generator, kind: str, shape: tuple[int, ...]) -> Rows:
    """Return weights of about the size of trained ones."""
    if kind in ("gamma", "moving_variance"):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    if kind in ("kernel", "recurrent_kernel", "pointwise_kernel", "depthwise_kernel") and len(shape) > 1:
        depth = np.prod(shape[:-2]) if kind == "depthwise_kernel" else np.prod(shape[:-1])
        gain = 4.0 if shape[-1] <= 2 and len(shape) == 2 else 1.5  # the last layer: probabilities that vary
        return rng.normal(0, gain / np.sqrt(depth), shape).astype(np.float32)
    return rng.uniform(-0.3, 0.3, shape).astype(np.float32)


def rows_like_a_spectrogram(n_rows: int, n_features: int, seed: int) -> Rows:
    """Return rows like those of the device's front end: slowly varying, clipped, rounded, with the gap flag last."""
    rng = np.random.default_rng(seed)
    levels = np.zeros((n_rows, n_features - 1))
    for row in range(1, n_rows):
        levels[row] = 0.95 * levels[row - 1] + rng.normal(0, 0.4, n_features - 1)
    flags = (rng.random((n_rows, 1)) < 0.02).astype(float)
    return np.hstack([np.rint(np.clip(levels, -1, 3) * 64) / 64, flags]).astype(np.float32)

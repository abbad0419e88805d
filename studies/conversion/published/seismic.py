"""Networks that detect, pick and classify earthquakes.

Widths are those of the papers unless a docstring says otherwise.
"""

from __future__ import annotations

from typing import Any

from studies.conversion.published.network import CLASSES, Network, classes, event


def brief(k: Any, L: Any, n_rows: int = 2000) -> Any:
    """Return the network of the project's brief."""
    layers = [
        *(L.Conv1D(64, 3, activation="relu"), L.MaxPooling1D(2), L.Dropout(0.3)),
        *(L.LSTM(100, return_sequences=True), L.Dropout(0.3), L.LSTM(100)),
        *(L.Dense(100, activation="relu"), L.Dense(1, activation="sigmoid")),
    ]
    return k.Sequential([k.Input((n_rows, 1)), *layers])


def convnetquake(k: Any, L: Any) -> Any:
    """Eight convolutions that halve a window of ten seconds, then one dense layer."""
    x = rows = k.Input((1000, 3))
    for _ in range(8):
        x = L.Conv1D(32, 3, strides=2, padding="same", activation="relu")(x)
    return k.Model(rows, L.Dense(7, activation="softmax")(L.Flatten()(x)))


def convnetquake_ingv(k: Any, L: Any) -> Any:
    """A window of 50 s, nine strided convolutions, a dense layer before the classes."""
    x = rows = k.Input((1000, 3))
    for _ in range(9):
        x = L.Conv1D(32, 3, strides=2, padding="same", activation="relu")(x)
    x = L.Dense(128, activation="relu")(L.Flatten()(x))
    return k.Model(rows, L.Dense(2, activation="softmax")(x))


def gpd(k: Any, L: Any) -> Any:
    """Windows of four seconds: P, S or noise."""
    x = rows = k.Input((400, 3))
    for filters, length in ((32, 21), (64, 15), (128, 11), (256, 9)):
        x = L.Conv1D(filters, length, padding="same")(x)
        x = L.MaxPooling1D(2)(L.Activation("relu")(L.BatchNormalization()(x)))
    x = L.Flatten()(x)
    for _ in range(2):
        x = L.Dropout(0.5)(L.Activation("relu")(L.BatchNormalization()(L.Dense(200)(x))))
    return k.Model(rows, L.Dense(3, activation="softmax")(x))


def first_motion(k: Any, L: Any) -> Any:
    """Polarity of a first motion: up, down or unknown, on four seconds of the vertical component."""
    x = rows = k.Input((400, 1))
    for filters, length in ((32, 21), (64, 15), (128, 11)):
        x = L.Conv1D(filters, length, padding="same")(x)
        x = L.MaxPooling1D(2)(L.Activation("relu")(L.BatchNormalization()(x)))
    x = L.Flatten()(x)
    for _ in range(2):
        x = L.Activation("relu")(L.BatchNormalization()(L.Dense(512)(x)))
    return k.Model(rows, L.Dense(3, activation="softmax")(x))


def _crd(k: Any, L: Any, memory: Any) -> Any:
    """Two blocks of convolutions and residuals over a spectrogram, memory over time, one probability a row."""
    x = rows = k.Input((152, 41, 1))
    for filters, length in ((8, 9), (16, 5)):
        x = L.Conv2D(filters, length, strides=2, padding="same")(x)
        y = L.Activation("relu")(L.BatchNormalization()(x))
        y = L.Activation("relu")(L.BatchNormalization()(L.Conv2D(filters, 3, padding="same")(y)))
        x = L.Add()([x, L.Conv2D(filters, 3, padding="same")(y)])
    x = memory(L.Reshape((38, -1))(x))
    x = L.LSTM(64, return_sequences=True)(x)
    x = L.BatchNormalization()(L.TimeDistributed(L.Dense(64, activation="relu"))(x))
    return k.Model(rows, L.TimeDistributed(L.Dense(1, activation="sigmoid"))(x))


def cred(k: Any, L: Any) -> Any:
    """As published, with two bidirectional LSTMs."""

    def memory(x: Any) -> Any:
        x = L.Bidirectional(L.LSTM(64, return_sequences=True))(x)
        return L.Bidirectional(L.LSTM(64, return_sequences=True))(x)

    return _crd(k, L, memory)


def cred_forward(k: Any, L: Any) -> Any:
    """With plain LSTMs, and one probability a window: that after its last row."""
    x = rows = k.Input((152, 41, 1))
    for filters, length in ((8, 9), (16, 5)):
        x = L.Conv2D(filters, length, strides=2, padding="same")(x)
        y = L.Activation("relu")(L.BatchNormalization()(x))
        y = L.Activation("relu")(L.BatchNormalization()(L.Conv2D(filters, 3, padding="same")(y)))
        x = L.Add()([x, L.Conv2D(filters, 3, padding="same")(y)])
    x = L.LSTM(64, return_sequences=True)(L.Reshape((38, -1))(x))
    x = L.Dense(64, activation="relu")(L.LSTM(64)(x))
    return k.Model(rows, L.Dense(1, activation="sigmoid")(x))


def _unet(k: Any, L: Any, widths: tuple[int, ...]) -> Any:
    x = rows = k.Input((3072, 3))
    skips = []
    for filters in widths:
        x = L.Activation("relu")(L.BatchNormalization()(L.Conv1D(filters, 7, padding="same")(x)))
        skips.append(x)
        x = L.Conv1D(filters, 7, strides=4, padding="same", activation="relu")(x)
    x = L.Conv1D(2 * widths[-1], 7, padding="same", activation="relu")(x)
    for filters, skip in zip(widths[::-1], skips[::-1], strict=True):
        x = L.Concatenate()([L.Conv1DTranspose(filters, 7, strides=4, padding="same")(x), skip])
        x = L.Activation("relu")(L.BatchNormalization()(L.Conv1D(filters, 7, padding="same")(x)))
    return k.Model(rows, L.Conv1D(3, 1, activation="softmax")(x))


def phasenet(k: Any, L: Any) -> Any:
    """A U-Net: P, S and noise for every sample."""
    return _unet(k, L, (8, 16, 32, 64))


def phasenet_encoder(k: Any, L: Any) -> Any:
    """Without the way up: one row of P, S and noise for 64 samples."""
    x = rows = k.Input((None, 3))
    for filters in (8, 16, 32):
        x = L.Activation("relu")(L.BatchNormalization()(L.Conv1D(filters, 7, padding="same")(x)))
        x = L.Conv1D(filters, 4, strides=4, padding="valid", activation="relu")(x)
    return k.Model(rows, L.Dense(3, activation="softmax")(x))


def transformer(k: Any, L: Any) -> Any:
    """Parts of EQTransformer: encoder, residual CNN, LSTM, one block of attention, detection."""
    x = rows = k.Input((6000, 3))
    for filters, length in ((8, 11), (16, 9), (16, 7), (32, 7), (32, 5), (64, 5), (64, 3)):
        x = L.MaxPooling1D(2, padding="same")(L.Conv1D(filters, length, padding="same", activation="relu")(x))
    x = L.LSTM(16, return_sequences=True)(x)
    x = L.Add()([x, L.MultiHeadAttention(1, 16)(x, x)])
    x = L.GlobalAveragePooling1D()(L.LayerNormalization()(x))
    return k.Model(rows, L.Dense(1, activation="sigmoid")(x))


def transformer_memory(k: Any, L: Any) -> Any:
    """The same with an LSTM in place of attention."""
    x = rows = k.Input((6016, 3))
    for filters, length in ((8, 11), (16, 9), (16, 7), (32, 7), (32, 5), (64, 5), (64, 3)):
        x = L.MaxPooling1D(2)(L.Conv1D(filters, length, padding="same", activation="relu")(x))
    x = L.LSTM(16, return_sequences=True)(L.LSTM(16, return_sequences=True)(x))
    x = L.GlobalAveragePooling1D()(L.LayerNormalization()(x))
    return k.Model(rows, L.Dense(1, activation="sigmoid")(x))


def lighteq(k: Any, L: Any) -> Any:
    """Convolutions over a spectrogram, then LSTMs; for microcontrollers."""
    x = rows = k.Input((120, 32, 1))
    for filters in (8, 16):
        x = L.MaxPooling2D((2, 2))(L.Conv2D(filters, 3, padding="same", activation="relu")(x))
        x = L.Dropout(0.2)(L.BatchNormalization()(x))
    x = L.LSTM(32, return_sequences=True)(L.Reshape((30, -1))(x))
    x = L.Dense(16, activation="relu")(L.LSTM(16)(x))
    return k.Model(rows, L.Dense(1, activation="sigmoid")(x))


def deep_phase_pick(k: Any, L: Any) -> Any:
    """The detector of DeepPhasePick: separable convolutions over 4.8 s, three classes."""
    x = rows = k.Input((480, 3))
    for filters, length in ((12, 17), (24, 11), (36, 5), (48, 9), (60, 17)):
        x = L.SeparableConv1D(filters, length, padding="same", activation="relu")(x)
        x = L.Dropout(0.3)(L.MaxPooling1D(2, strides=2)(L.BatchNormalization()(x)))
    x = L.Dense(50, activation="relu")(L.Flatten()(x))
    return k.Model(rows, L.Dense(3, activation="softmax")(x))


def cpic(k: Any, L: Any) -> Any:
    """Ten convolutions with pools over windows of twenty seconds: P, S or noise."""
    x = rows = k.Input((2000, 3))
    for filters in (16, 16, 32, 32, 32, 64, 64, 64, 64):
        x = L.MaxPooling1D(2)(L.Conv1D(filters, 3, padding="same", activation="relu")(x))
    return k.Model(rows, L.Dense(3, activation="softmax")(L.Flatten()(x)))


def _magnitude(memory: Any, padding: str) -> Any:
    def make(k: Any, L: Any) -> Any:
        x = rows = k.Input((3000, 3))
        for filters in (64, 32):
            x = L.MaxPooling1D(4, padding=padding)(L.Dropout(0.2)(L.Conv1D(filters, 3, padding="same")(x)))
        return k.Model(rows, L.Dense(1)(memory(L)(x)))

    return make


def warning(k: Any, L: Any) -> Any:
    """Early warning from a stream of ten samples a second: an LSTM that is read at every row."""
    layers = [L.LSTM(64, return_sequences=True), L.LSTM(32, return_sequences=True), L.Dense(16, activation="relu")]
    return k.Sequential([k.Input((None, 3)), *layers, L.Dense(3, activation="softmax")])


def explosions(k: Any, L: Any) -> Any:
    """Quake or blast, from a spectrogram of 90 s: convolutions, then an LSTM."""
    x = rows = k.Input((88, 48))
    x = L.Reshape((88, 48, 1))(x)
    for filters, length in ((18, 3), (36, 3), (54, 3)):
        x = L.MaxPooling2D((2, 2))(L.Conv2D(filters, length, padding="same", activation="relu")(x))
    x = L.LSTM(40)(L.Reshape((11, -1))(x))
    return k.Model(rows, L.Dense(2, activation="softmax")(L.Dropout(0.3)(x)))


def volcano(k: Any, L: Any) -> Any:
    """Volcano-seismic events from rows of 21 features: one class a row."""
    layers = [L.LSTM(210, return_sequences=True), L.Dropout(0.3), L.TimeDistributed(L.Dense(6, activation="softmax"))]
    return k.Sequential([k.Input((None, 21)), *layers])


def moonquakes(k: Any, L: Any) -> Any:
    """A small image classifier over the spectrogram of a lunar event."""
    layers = [
        *(L.Conv2D(16, 3, activation="relu"), L.MaxPooling2D(2), L.Conv2D(32, 3, activation="relu"), L.MaxPooling2D(2)),
        *(L.Conv2D(32, 3, activation="relu"), L.MaxPooling2D(2), L.Flatten(), L.Dense(64, activation="relu")),
        L.Dense(1, activation="sigmoid"),
    ]
    return k.Sequential([k.Input((64, 32, 1)), *layers])


def causal_stack(k: Any, L: Any) -> Any:
    """Temporal convolutional network: dilated causal blocks with residuals."""
    x = rows = k.Input((None, 3))
    for dilation in (1, 2, 4, 8):
        y = x
        for _ in range(2):
            y = L.Conv1D(16, 3, dilation_rate=dilation, padding="causal", activation="relu")(y)
            y = L.SpatialDropout1D(0.1)(y)
        skip = x if x.shape[-1] == 16 else L.Conv1D(16, 1)(x)
        x = L.Activation("relu")(L.Add()([skip, y]))
    return k.Model(rows, L.Dense(1, activation="sigmoid")(x))


def gated(k: Any, L: Any) -> Any:
    """WaveNet's gated units, their skips summed."""
    x = rows = k.Input((None, 1))
    x, skips = L.Conv1D(16, 2, padding="causal")(x), []
    for dilation in (1, 2, 4, 8, 16):
        gate = L.Conv1D(16, 2, dilation_rate=dilation, padding="causal", activation="sigmoid")(x)
        y = L.Multiply()([L.Conv1D(16, 2, dilation_rate=dilation, padding="causal", activation="tanh")(x), gate])
        skips.append(L.Conv1D(16, 1)(y))
        x = L.Add()([x, L.Conv1D(16, 1)(y)])
    x = L.Conv1D(16, 1, activation="relu")(L.Activation("relu")(L.Add()(skips)))
    return k.Model(rows, L.Conv1D(1, 1, activation="sigmoid")(x))


NETWORKS = {
    "brief": Network(
        "seismic", "this project's brief", brief, "waveform", learn=lambda k, L: brief(k, L, 200), quakes=True,
    ),
    "ConvNetQuake": Network("seismic", "Perol 2018", convnetquake, "components", settings=classes(1, 2, 3, 4, 5, 6)),
    "ConvNetQuake INGV": Network("seismic", "Lomax 2019", convnetquake_ingv, "components", 20.0, CLASSES),
    "GPD": Network("seismic", "Ross 2018a", gpd, "components", settings=classes(1, 2)),
    "first motion": Network("seismic", "Ross 2018b", first_motion, "waveform", settings=classes(1, 2)),
    "CRED": Network("seismic", "Mousavi 2019", cred, way=cred_forward),
    "PhaseNet": Network(
        "seismic", "Zhu 2019a", phasenet, "components", settings=classes(1, 2), way=phasenet_encoder, rows=2048
    ),
    "EQTransformer, parts": Network(
        "seismic", "Mousavi 2020", transformer, "components", way=transformer_memory,
        remark="LayerNormalization of small values: their variance in 8 bits is a few steps above its epsilon, and the "
        "reciprocal root at its upper end is clipped; dynamic 0.0036; which windows meet it depends on the training",
    ),
    "LightEQ": Network("seismic", "Zainab 2023", lighteq),
    "DeepPhasePick": Network(
        "seismic", "Soto 2021", deep_phase_pick, "components", settings=classes(1, 2),
        calibration_rows=32_000,
    ),
    "CPIC": Network("seismic", "Zhu 2019b", cpic, "components", settings=classes(1, 2), saved="h5"),
    "MagNet": Network(
        "seismic", "Mousavi 2020b", _magnitude(lambda L: L.Bidirectional(L.LSTM(100)), "same"), "components",
        settings=event(), way=_magnitude(lambda L: L.LSTM(100), "valid"),
    ),
    "early warning": Network("seismic", "Chin 2019", warning, "components", 10.0, classes(1, 2)),
    "quake or blast": Network("seismic", "Linville 2019", explosions, settings=classes(0, 1)),
    "volcano": Network("seismic", "Titos 2018", volcano, settings=classes(1, 2, 3, 4, 5), saved="keras 2 h5"),
    "moonquakes": Network("seismic", "Civilini 2021", moonquakes),
    "TCN": Network("sequences", "Bai 2018", causal_stack, "components"),
    "WaveNet": Network("sequences", "van den Oord 2016", gated, "waveform"),
}  # fmt: skip

"""Networks that listen: wake words, voice, audio events."""

from __future__ import annotations

from typing import Any

from studies.conversion.published.network import CLASSES, Network, classes, event

WORDS = classes(*range(2, 12))  # "silence" and "unknown" are no events


def ds_cnn(k: Any, L: Any) -> Any:
    """Depthwise-separable convolutions, small size."""
    x = rows = k.Input((49, 10))
    x = L.Reshape((49, 10, 1))(x)
    x = L.ReLU()(L.BatchNormalization()(L.Conv2D(64, (10, 4), strides=(2, 2), padding="same")(x)))
    for _ in range(4):
        x = L.ReLU()(L.BatchNormalization()(L.DepthwiseConv2D(3, padding="same")(x)))
        x = L.ReLU()(L.BatchNormalization()(L.Conv2D(64, 1, padding="same")(x)))
    return k.Model(rows, L.Dense(12, activation="softmax")(L.GlobalAveragePooling2D()(L.Dropout(0.4)(x))))


def trad_fpool(k: Any, L: Any) -> Any:
    """Two convolutions, a pool over frequency, a linear bottleneck."""
    layers = [
        *(L.Conv2D(64, (20, 8), activation="relu"), L.MaxPooling2D((1, 3)), L.Conv2D(64, (10, 4), activation="relu")),
        *(L.Flatten(), L.Dense(32), L.Dense(128, activation="relu"), L.Dense(12, activation="softmax")),
    ]
    return k.Sequential([k.Input((98, 40, 1)), *layers])


def crnn(k: Any, L: Any) -> Any:
    """A strided convolution, two GRUs, a dense layer."""
    x = rows = k.Input((49, 10, 1))
    x = L.ReLU()(L.BatchNormalization()(L.Conv2D(48, (10, 4), strides=(2, 2))(x)))
    x = L.TimeDistributed(L.Flatten())(x)
    x = L.GRU(60)(L.GRU(60, return_sequences=True)(x))
    return k.Model(rows, L.Dense(12, activation="softmax")(L.Dense(84, activation="relu")(x)))


def gru(k: Any, L: Any) -> Any:
    return k.Sequential([k.Input((49, 10)), L.GRU(154), L.Dense(12, activation="softmax")])


def lstm(k: Any, L: Any) -> Any:
    return k.Sequential([k.Input((49, 10)), L.LSTM(118), L.Dense(12, activation="softmax")])


def dnn(k: Any, L: Any) -> Any:
    layers = [L.Dense(144, activation="relu") for _ in range(3)]
    return k.Sequential([k.Input((49, 10)), L.Flatten(), *layers, L.Dense(12, activation="softmax")])


def tc_resnet(k: Any, L: Any) -> Any:
    """TC-ResNet8: convolutions over time alone, frequencies as channels."""
    rows = k.Input((98, 40))
    x = L.Conv1D(16, 3, padding="same", use_bias=False)(rows)
    for filters in (24, 32, 48):
        y = L.ReLU()(L.BatchNormalization()(L.Conv1D(filters, 9, strides=2, padding="same", use_bias=False)(x)))
        y = L.BatchNormalization()(L.Conv1D(filters, 9, padding="same", use_bias=False)(y))
        x = L.ReLU()(L.BatchNormalization()(L.Conv1D(filters, 1, strides=2, padding="same", use_bias=False)(x)))
        x = L.ReLU()(L.Add()([x, y]))
    return k.Model(rows, L.Dense(12, activation="softmax")(L.Dropout(0.5)(L.GlobalAveragePooling1D()(x))))


def matchbox(k: Any, L: Any) -> Any:
    """MatchboxNet 3x1x64: time-channel separable convolutions with residuals."""
    rows = k.Input((128, 64))
    x = L.ReLU()(L.BatchNormalization()(L.SeparableConv1D(128, 11, strides=2, padding="same")(rows)))
    for length in (13, 15, 17):
        skip = L.BatchNormalization()(L.Conv1D(64, 1)(x))
        x = L.BatchNormalization()(L.SeparableConv1D(64, length, padding="same")(x))
        x = L.Dropout(0.1)(L.ReLU()(L.Add()([skip, x])))
    x = L.ReLU()(L.BatchNormalization()(L.SeparableConv1D(128, 29, dilation_rate=2, padding="same")(x)))
    x = L.ReLU()(L.BatchNormalization()(L.Conv1D(128, 1)(x)))
    return k.Model(rows, L.Activation("softmax")(L.GlobalAveragePooling1D()(L.Conv1D(12, 1)(x))))


def tiny_conv(k: Any, L: Any) -> Any:
    """The example of TensorFlow Lite for microcontrollers: yes, no, unknown, silence; it ends in logits."""
    x = rows = k.Input((49, 40))
    x = L.Conv2D(8, (10, 8), strides=(2, 2), padding="same", activation="relu")(L.Reshape((49, 40, 1))(x))
    return k.Model(rows, L.Dense(4)(L.Flatten()(L.Dropout(0.5)(x))))


def res15(k: Any, L: Any) -> Any:
    """Res15 with 16 filters in place of 45: dilated convolutions in two dimensions."""
    rows = k.Input((101, 40, 1))
    x = L.Conv2D(16, 3, padding="same", use_bias=False, activation="relu")(rows)
    for block in range(3):
        y = x
        for half in range(2):
            dilation = 2 ** ((2 * block + half) // 3)
            y = L.Conv2D(16, 3, padding="same", dilation_rate=dilation, use_bias=False, activation="relu")(y)
            y = L.BatchNormalization(center=False, scale=False)(y)
        x = L.Add()([x, y])
    return k.Model(rows, L.Dense(12, activation="softmax")(L.GlobalAveragePooling2D()(x)))


def mixed_kernels(k: Any, L: Any) -> Any:
    """A streaming wake word: a strided stem, depthwise kernels of several lengths side by side."""
    x = rows = k.Input((None, 40))
    x = L.Conv1D(32, 3, strides=3, padding="causal", activation="relu", use_bias=False)(x)
    for lengths in ((5,), (7, 11), (9, 15)):
        branches = [L.DepthwiseConv1D(length)(L.ZeroPadding1D((length - 1, 0))(x)) for length in lengths]
        y = L.Concatenate()(branches) if len(branches) > 1 else branches[0]
        x = L.ReLU()(L.BatchNormalization()(L.Conv1D(48, 1, use_bias=False)(y)))
    return k.Model(rows, L.Dense(1, activation="sigmoid")(x))


def embedding_word(k: Any, L: Any) -> Any:
    """openWakeWord's classifier over 16 speech embeddings of 96 numbers."""
    x = rows = k.Input((16, 96))
    x = L.Flatten()(x)
    for _ in range(2):
        x = L.ReLU()(L.LayerNormalization()(L.Dense(64)(x)))
    return k.Model(rows, L.Dense(1, activation="sigmoid")(x))


def _attention(k: Any, L: Any, forward: bool) -> Any:
    x = rows = k.Input((125, 80, 1))
    for filters in (10, 1):
        x = L.BatchNormalization()(L.Conv2D(filters, (5, 1), activation="relu", padding="same")(x))
    x = L.Reshape((125, 80))(x)
    if forward:
        x = L.LSTM(64)(L.LSTM(64, return_sequences=True)(x))
    else:
        x = L.Bidirectional(L.LSTM(64, return_sequences=True))(x)
        x = L.Bidirectional(L.LSTM(64, return_sequences=True))(x)
        query = L.Dense(128)(L.Lambda(lambda t: t[:, -1])(x))
        weights = L.Softmax()(L.Dot(axes=[1, 2])([query, x]))
        x = L.Dot(axes=[1, 1])([weights, x])
    x = L.Dense(32)(L.Dense(64, activation="relu")(x))
    return k.Model(rows, L.Dense(12, activation="softmax")(x))


def yamnet(k: Any, L: Any) -> Any:
    """MobileNet v1 over log-mel patches, an eighth as wide as YAMNet."""
    x = rows = k.Input((96, 64))
    x = L.ReLU()(
        L.BatchNormalization()(L.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(L.Reshape((96, 64, 1))(x)))
    )
    for strides, filters in ((1, 8), (2, 16), (1, 16), (2, 32), (1, 32), (2, 64), (1, 64), (1, 64)):
        x = L.ReLU()(L.BatchNormalization()(L.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False)(x)))
        x = L.ReLU()(L.BatchNormalization()(L.Conv2D(filters, 1, padding="same", use_bias=False)(x)))
    return k.Model(rows, L.Dense(10, activation="sigmoid")(L.GlobalAveragePooling2D()(x)))


def vggish(k: Any, L: Any) -> Any:
    """VGGish, an eighth as wide, with a classifier on its embedding."""
    x = rows = k.Input((96, 64, 1))
    for filters, n in ((8, 1), (16, 1), (32, 2), (64, 2)):
        for _ in range(n):
            x = L.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = L.MaxPooling2D(2)(x)
    x = L.Dense(128, activation="relu")(L.Dense(128, activation="relu")(L.Flatten()(x)))
    return k.Model(rows, L.Dense(1, activation="sigmoid")(x))


def scenes(k: Any, L: Any) -> Any:
    """The baseline of DCASE's acoustic scenes: long pools over time."""
    x = rows = k.Input((500, 40, 1))
    for filters, pool in ((32, (5, 5)), (64, (100, 4))):
        x = L.ReLU()(L.BatchNormalization()(L.Conv2D(filters, 7, padding="same")(x)))
        x = L.Dropout(0.3)(L.MaxPooling2D(pool)(x))
    x = L.Dropout(0.3)(L.Dense(100, activation="relu")(L.Flatten()(x)))
    return k.Model(rows, L.Dense(10, activation="softmax")(x))


def sound_events(k: Any, L: Any) -> Any:
    """Polyphonic sound events: convolutions that pool over frequency alone, GRUs, one row of probabilities a frame."""
    x = rows = k.Input((None, 40))
    x = L.Reshape((-1, 40, 1))(x)
    for pool in (5, 4, 2):
        x = L.ReLU()(L.BatchNormalization()(L.Conv2D(32, 5, padding="same")(x)))
        x = L.Dropout(0.25)(L.MaxPooling2D((1, pool))(x))
    x = L.Reshape((-1, 32))(x)
    for _ in range(2):
        x = L.GRU(32, return_sequences=True)(x)
    return k.Model(rows, L.TimeDistributed(L.Dense(6, activation="sigmoid"))(x))


def anomaly(k: Any, L: Any) -> Any:
    """The autoencoder of DCASE's machine sounds: five frames in, five frames out."""
    widths = (128, 128, 128, 128, 8, 128, 128, 128, 128)
    x = rows = k.Input((5, 128))
    x = L.Flatten()(x)
    for width in widths:
        x = L.ReLU()(L.BatchNormalization()(L.Dense(width)(x)))
    return k.Model(rows, L.Dense(640)(x))


def denoiser(k: Any, L: Any) -> Any:
    """RNNoise: three GRUs side by side, gains of 22 bands and the probability of voice."""
    rows = k.Input((None, 42))
    x = L.Dense(24, activation="tanh")(rows)
    voice = L.GRU(24, activation="tanh", recurrent_activation="sigmoid", return_sequences=True)(x)
    speech = L.Dense(1, activation="sigmoid", name="voice")(voice)
    noise = L.GRU(48, activation="relu", return_sequences=True)(L.Concatenate()([x, voice, rows]))
    last = L.GRU(96, activation="tanh", return_sequences=True)(L.Concatenate()([voice, noise, rows]))
    return k.Model(rows, [L.Dense(22, activation="sigmoid", name="gains")(last), speech])


def voice(k: Any, L: Any) -> Any:
    layers = [L.LSTM(32, return_sequences=True), L.LSTM(32, return_sequences=True), L.Dense(2, activation="softmax")]
    return k.Sequential([k.Input((None, 13)), *layers])


def birds(k: Any, L: Any) -> Any:
    """Bird calls: valid convolutions and pools over a mel spectrogram, from logits."""
    x = rows = k.Input((200, 80, 1))
    for pool in ((3, 3), (3, 3), (3, 1)):
        x = L.LeakyReLU()(L.BatchNormalization()(L.Conv2D(16, 3)(x)))
        x = L.MaxPooling2D(pool)(x)
    x = L.Dropout(0.5)(L.Flatten()(x))
    return k.Model(rows, L.Dense(1)(L.LeakyReLU()(L.Dense(64)(x))))


NETWORKS = {
    "DS-CNN": Network("wake word", "Zhang 2017", ds_cnn, settings=WORDS),
    "cnn-trad-fpool3": Network("wake word", "Sainath 2015", trad_fpool, settings=WORDS, saved="keras 2 h5"),
    "CRNN": Network("wake word", "Arik 2017", crnn, settings=WORDS),
    "GRU": Network("wake word", "Zhang 2017", gru, settings=WORDS),
    "basic LSTM": Network("wake word", "Zhang 2017", lstm, settings=WORDS, saved="h5"),
    "DNN": Network("wake word", "Zhang 2017", dnn, settings=WORDS),
    "TC-ResNet8": Network("wake word", "Choi 2019", tc_resnet, settings=WORDS),
    "MatchboxNet": Network("wake word", "Majumdar 2020", matchbox, settings=WORDS),
    "tiny_conv": Network("wake word", "TensorFlow Lite Micro", tiny_conv, settings=(*classes(2, 3), "logits = true")),
    "Res15": Network(
        "wake word", "Tang 2018", res15, settings=WORDS,
        remark="order of sums, in Keras: in 32 bits it is 1.5e-6 from the same network in 64 bits, the graph 2.7e-7",
    ),
    "mixed kernels": Network("wake word", "microWakeWord", mixed_kernels, rows=1200),
    "openWakeWord": Network("wake word", "openWakeWord", embedding_word),
    "attention RNN": Network(
        "wake word", "de Andrade 2018", lambda k, L: _attention(k, L, False), settings=WORDS,
        way=lambda k, L: _attention(k, L, True),
    ),
    "YAMNet": Network("audio events", "Plakal 2019", yamnet, settings=event(*(f"other_{n}" for n in range(1, 10)))),
    "VGGish": Network("audio events", "Hershey 2017", vggish),
    "acoustic scenes": Network(
        "audio events", "DCASE 2018", scenes, settings=classes(*range(1, 10)), saved="keras 2 h5",
        calibration_rows=32_000,
    ),
    "sound events": Network("audio events", "Cakir 2017", sound_events, settings=event(*"bcdef"), rows=256),
    "machine sounds": Network(
        "audio events", "DCASE 2020", anomaly,
        remark="order of sums, in Keras: in 32 bits it is 1.1e-6 from the same network in 64 bits, the graph 4.6e-7",
    ),
    "RNNoise": Network(
        "voice", "Valin 2018", denoiser, settings=(f"outputs = {[*(f'gain_{n}' for n in range(22)), 'event']}",)
    ),
    "voice activity": Network("voice", "Hughes 2013", voice, settings=CLASSES, saved="keras 2 h5"),
    "bulbul": Network("audio events", "Grill 2017", birds, settings=("logits = true",)),
}  # fmt: skip

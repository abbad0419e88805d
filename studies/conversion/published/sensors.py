"""Networks on other sensors: hearts, brains, bearings, people in motion, machines that wear."""

from __future__ import annotations

from typing import Any

from studies.conversion.published.network import CLASSES, Network, classes, event


def heartbeat(k: Any, L: Any) -> Any:
    """Five residual blocks, each with a pool of five over two."""
    rows = k.Input((187, 1))
    x = L.Conv1D(32, 5)(rows)
    for _ in range(5):
        y = L.Conv1D(32, 5, padding="same", activation="relu")(x)
        x = L.Activation("relu")(L.Add()([L.Conv1D(32, 5, padding="same")(y), x]))
        x = L.MaxPooling1D(5, strides=2)(x)
    x = L.Dense(32)(L.Dense(32, activation="relu")(L.Flatten()(x)))
    return k.Model(rows, L.Softmax()(L.Dense(5)(x)))


def arrhythmia(k: Any, L: Any) -> Any:
    """Residual network for long electrocardiograms, a quarter as wide: a class for 64 samples."""
    rows = k.Input((None, 1))
    x = L.ReLU()(L.BatchNormalization()(L.Conv1D(8, 16, padding="same")(rows)))
    for block in range(6):
        strides, filters = 1 + block % 2, 8 * (1 + block // 2)
        skip = L.MaxPooling1D(strides)(x) if strides > 1 else x
        if skip.shape[-1] != filters:
            skip = L.Conv1D(filters, 1)(skip)
        y = L.Conv1D(filters, 16, strides=strides, padding="same")(L.ReLU()(L.BatchNormalization()(x)))
        y = L.Conv1D(filters, 16, padding="same")(L.Dropout(0.2)(L.ReLU()(L.BatchNormalization()(y))))
        x = L.Add()([skip, y])
    x = L.ReLU()(L.BatchNormalization()(x))
    return k.Model(rows, L.TimeDistributed(L.Dense(4, activation="softmax"))(x))


def beats(k: Any, L: Any) -> Any:
    """Three convolutions with pools, three dense layers."""
    x = rows = k.Input((260, 1))
    for filters, length in ((5, 3), (10, 4), (20, 4)):
        x = L.MaxPooling1D(2)(L.LeakyReLU()(L.Conv1D(filters, length)(x)))
    x = L.Dense(20)(L.LeakyReLU()(L.Dense(30)(L.Flatten()(x))))
    return k.Model(rows, L.Dense(5, activation="softmax")(L.LeakyReLU()(x)))


def _deep_memory(memory: str) -> Any:
    def make(k: Any, L: Any) -> Any:
        def layer(units: int, sequences: bool) -> Any:
            lstm = L.LSTM(units, return_sequences=sequences)
            return L.Bidirectional(lstm) if memory == "both" else lstm

        layers = [layer(64, True), layer(32, False), L.Dense(64, activation="relu"), L.Dropout(0.2)]
        return k.Sequential([k.Input((360, 1)), *layers, L.Dense(5, activation="softmax")])

    return make


def wearable(k: Any, L: Any) -> Any:
    """A small recurrent classifier for a wrist, two layers."""
    layers = [L.LSTM(40, return_sequences=True), L.LSTM(20), L.Dense(7, activation="softmax")]
    return k.Sequential([k.Input((50, 16)), *layers])


def _delineation(k: Any, L: Any) -> Any:
    x = rows = k.Input((512, 1))
    skips = []
    for filters in (4, 8, 16):
        x = L.Conv1D(filters, 9, padding="same", activation="relu")(x)
        skips.append(x)
        x = L.MaxPooling1D(2)(x)
    for filters, skip in zip((16, 8, 4), skips[::-1], strict=True):
        x = L.Concatenate()([L.UpSampling1D(2)(x), skip])
        x = L.Conv1D(filters, 9, padding="same", activation="relu")(x)
    return k.Model(rows, L.Conv1D(4, 1, activation="softmax")(x))


def _delineation_down(k: Any, L: Any) -> Any:
    """At the full rate throughout, with dilation in place of pools."""
    x = rows = k.Input((None, 1))
    for filters, dilation in ((4, 1), (8, 2), (16, 4), (16, 1)):
        x = L.Conv1D(filters, 9, padding="same", dilation_rate=dilation, activation="relu")(x)
    return k.Model(rows, L.Conv1D(4, 1, activation="softmax")(x))


def tiny_sleep(k: Any, L: Any) -> Any:
    """Stages of sleep from one lead: a long strided kernel, three convolutions, an LSTM."""
    x = rows = k.Input((3000, 1))
    x = L.ReLU()(L.BatchNormalization()(L.Conv1D(64, 50, strides=6, padding="same", use_bias=False)(x)))
    x = L.Dropout(0.5)(L.MaxPooling1D(8, padding="same")(x))
    for _ in range(3):
        x = L.ReLU()(L.BatchNormalization()(L.Conv1D(64, 8, padding="same", use_bias=False)(x)))
    x = L.LSTM(64)(L.MaxPooling1D(4, padding="same")(x))
    return k.Model(rows, L.Dense(5, activation="softmax")(x))


def eegnet(k: Any, L: Any) -> Any:
    """EEGNet-8,2 over 16 channels, time first."""
    rows = k.Input((128, 16))
    x = L.Reshape((128, 16, 1))(rows)
    x = L.BatchNormalization()(L.Conv2D(8, (64, 1), padding="same", use_bias=False)(x))
    x = L.DepthwiseConv2D((1, 16), depth_multiplier=2, use_bias=False)(x)
    x = L.AveragePooling2D((4, 1))(L.Activation("elu")(L.BatchNormalization()(x)))
    x = L.SeparableConv2D(16, (16, 1), padding="same", use_bias=False)(L.Dropout(0.25)(x))
    x = L.AveragePooling2D((8, 1))(L.Activation("elu")(L.BatchNormalization()(x)))
    return k.Model(rows, L.Dense(4, activation="softmax")(L.Flatten()(L.Dropout(0.25)(x))))


def wdcnn(k: Any, L: Any) -> Any:
    """A first kernel of 64 samples, then four short ones."""
    x = rows = k.Input((2048, 1))
    for filters, length, strides in ((16, 64, 16), (32, 3, 1), (64, 3, 1), (64, 3, 1)):
        x = L.Conv1D(filters, length, strides=strides, padding="same")(x)
        x = L.MaxPooling1D(2)(L.Activation("relu")(L.BatchNormalization()(x)))
    x = L.Dense(100, activation="relu")(L.Flatten()(x))
    return k.Model(rows, L.Dense(10, activation="softmax")(x))


def motor(k: Any, L: Any) -> Any:
    """Compact convolutions over the current of a motor."""
    x = rows = k.Input((240, 1))
    for length in (9, 9, 9):
        x = L.MaxPooling1D(4, padding="same")(L.Conv1D(20, length, activation="tanh", padding="same")(x))
    x = L.Dense(20, activation="tanh")(L.Flatten()(x))
    return k.Model(rows, L.Dense(2, activation="softmax")(x))


def multiscale(k: Any, L: Any) -> Any:
    """The signal and two averages of it side by side, through convolutions of the same form."""
    rows = k.Input((1024, 1))
    branches = []
    for scale in (1, 2, 4):
        x = L.AveragePooling1D(scale)(rows) if scale > 1 else rows
        for filters in (16, 32):
            x = L.MaxPooling1D(2)(L.Conv1D(filters, 16, padding="same", activation="relu")(x))
        branches.append(L.GlobalMaxPooling1D()(x))
    x = L.Dense(64, activation="relu")(L.Concatenate()(branches))
    return k.Model(rows, L.Dense(6, activation="softmax")(x))


def _reconstruction(k: Any, L: Any) -> Any:
    x = rows = k.Input((50, 6))
    x = L.RepeatVector(50)(L.LSTM(32)(x))
    return k.Model(rows, L.TimeDistributed(L.Dense(6))(L.LSTM(32, return_sequences=True)(x)))


def _prediction(k: Any, L: Any) -> Any:
    """Predicts the next row in place of reading the window back."""
    layers = [L.LSTM(32, return_sequences=True), L.LSTM(32, return_sequences=True), L.Dense(6)]
    return k.Sequential([k.Input((None, 6)), *layers])


def deep_conv_lstm(k: Any, L: Any) -> Any:
    """DeepConvLSTM, half as wide: convolutions over time of every sensor channel, two LSTMs."""
    x = rows = k.Input((24, 113, 1))
    for _ in range(4):
        x = L.Conv2D(32, (5, 1), activation="relu")(x)
    x = L.Reshape((8, -1))(x)
    x = L.LSTM(64)(L.LSTM(64, return_sequences=True)(x))
    return k.Model(rows, L.Dense(18, activation="softmax")(x))


def blocks(k: Any, L: Any) -> Any:
    """A tutorial's CNN-LSTM: a window in four blocks, each through the same convolutions."""
    layers = [
        *(L.TimeDistributed(L.Conv1D(64, 3, activation="relu")), L.TimeDistributed(L.Conv1D(64, 3, activation="relu"))),
        *(L.TimeDistributed(L.Dropout(0.5)), L.TimeDistributed(L.MaxPooling1D(2)), L.TimeDistributed(L.Flatten())),
        *(L.LSTM(100), L.Dropout(0.5), L.Dense(100, activation="relu"), L.Dense(6, activation="softmax")),
    ]
    return k.Sequential([k.Input((4, 32, 9)), *layers])


def phone(k: Any, L: Any) -> Any:
    """Convolutions and pools over a smartphone's nine channels."""
    layers: list[Any] = []
    for filters in (96, 192, 192):
        layers += [L.Conv1D(filters, 9, activation="relu"), L.MaxPooling1D(3, strides=2)]
    return k.Sequential(
        [k.Input((128, 9)), *layers, L.Flatten(), L.Dense(1000, activation="relu"), L.Dense(6, activation="softmax")]
    )


def stacked(k: Any, L: Any) -> Any:
    """A dense layer on every row, then two LSTMs."""
    layers = [L.Dense(32, activation="relu"), L.LSTM(32, return_sequences=True), L.LSTM(32)]
    return k.Sequential([k.Input((128, 9)), *layers, L.Dense(6, activation="softmax")])


def _convolved_memory(k: Any, L: Any) -> Any:
    x = rows = k.Input((4, 32, 9))
    x = L.ConvLSTM1D(32, 3, activation="relu")(x)
    return k.Model(rows, L.Dense(6, activation="softmax")(L.Dense(100, activation="relu")(L.Flatten()(x))))


def _inno(k: Any, L: Any, rectified: bool) -> Any:
    """Inception modules, then GRUs; the pools take the rows as they are, or rectified."""
    x = rows = k.Input((128, 9))
    for _ in range(2):
        x = L.ReLU()(x) if rectified else x
        branches = [L.Conv1D(16, length, padding="same", activation="relu")(x) for length in (1, 3, 5)]
        pooled = L.Conv1D(16, 1, activation="relu")(L.MaxPooling1D(3, strides=1, padding="same")(x))
        x = L.Concatenate()([*branches, pooled])
    x = L.GRU(40)(L.GRU(60, return_sequences=True)(L.MaxPooling1D(2)(x)))
    return k.Model(rows, L.Dense(6, activation="softmax")(x))


def fall(k: Any, L: Any) -> Any:
    """Falls, row by row, from an accelerometer."""
    x = rows = k.Input((None, 3))
    x = L.BatchNormalization()(L.Dense(32)(x))
    x = L.Dropout(0.2)(L.LSTM(32, return_sequences=True)(x))
    x = L.BatchNormalization()(L.LSTM(32, return_sequences=True)(x))
    return k.Model(rows, L.Dense(3, activation="softmax")(L.Dense(32, activation="relu")(x)))


def magic_wand(k: Any, L: Any) -> Any:
    """The gesture example of TensorFlow Lite for microcontrollers."""
    x = rows = k.Input((128, 3, 1))
    x = L.MaxPooling2D((3, 3))(L.Conv2D(8, (4, 3), padding="same", activation="relu")(x))
    x = L.MaxPooling2D((3, 1), padding="same")(L.Conv2D(16, (4, 1), padding="same", activation="relu")(x))
    x = L.Dense(16, activation="relu")(L.Flatten()(L.Dropout(0.1)(x)))
    return k.Model(rows, L.Dense(4, activation="softmax")(x))


def inception_time(k: Any, L: Any) -> Any:
    """InceptionTime: bottleneck, three long kernels, a pool; residuals over three modules."""
    x = skip = rows = k.Input((200, 3))
    for _ in range(3):
        narrow = L.Conv1D(16, 1, padding="same", use_bias=False)(x)
        branches = [L.Conv1D(16, length, padding="same", use_bias=False)(narrow) for length in (40, 20, 10)]
        pooled = L.Conv1D(16, 1, padding="same", use_bias=False)(L.MaxPooling1D(3, strides=1, padding="same")(x))
        x = L.Activation("relu")(L.BatchNormalization()(L.Concatenate()([*branches, pooled])))
    skip = L.BatchNormalization()(L.Conv1D(64, 1, padding="same", use_bias=False)(skip))
    x = L.GlobalAveragePooling1D()(L.Activation("relu")(L.Add()([skip, x])))
    return k.Model(rows, L.Dense(2, activation="softmax")(x))


def fcn(k: Any, L: Any) -> Any:
    x = rows = k.Input((140, 1))
    for filters, length in ((128, 8), (256, 5), (128, 3)):
        x = L.Activation("relu")(L.BatchNormalization()(L.Conv1D(filters, length, padding="same")(x)))
    return k.Model(rows, L.Dense(2, activation="softmax")(L.GlobalAveragePooling1D()(x)))


def series_resnet(k: Any, L: Any) -> Any:
    """The residual baseline for time series: three blocks of kernels of 8, 5 and 3, half as wide."""
    x = rows = k.Input((140, 1))
    for filters in (32, 64, 64):
        y = x
        for length in (8, 5, 3):
            y = L.BatchNormalization()(L.Conv1D(filters, length, padding="same")(y))
            y = L.Activation("relu")(y) if length > 3 else y
        skip = x if x.shape[-1] == filters else L.Conv1D(filters, 1, padding="same")(x)
        x = L.Activation("relu")(L.Add()([L.BatchNormalization()(skip), y]))
    return k.Model(rows, L.Dense(2, activation="softmax")(L.GlobalAveragePooling1D()(x)))


def _attentive_fcn(excite: bool) -> Any:
    """The convolutional branch of MLSTM-FCN beside an LSTM over the rows, with squeeze and excitation or without."""

    def make(k: Any, L: Any) -> Any:
        x = rows = k.Input((128, 9))
        for filters, length in ((64, 8), (128, 5), (64, 3)):
            x = L.Activation("relu")(L.BatchNormalization()(L.Conv1D(filters, length, padding="same")(x)))
            if excite and length > 3:
                weights = L.Dense(filters // 16, activation="relu")(L.GlobalAveragePooling1D()(x))
                weights = L.Dense(filters, activation="sigmoid")(weights)
                x = L.Multiply()([x, L.Reshape((1, filters))(weights)])
        memory = L.LSTM(8)(rows)
        x = L.Concatenate()([memory, L.GlobalAveragePooling1D()(x)])
        return k.Model(rows, L.Dense(6, activation="softmax")(x))

    return make


def remaining_cnn(k: Any, L: Any) -> Any:
    """Remaining life of an engine: convolutions over time of every sensor."""
    x = rows = k.Input((30, 14, 1))
    for _ in range(4):
        x = L.Conv2D(10, (10, 1), padding="same", activation="tanh")(x)
    x = L.Conv2D(1, (3, 1), padding="same", activation="tanh")(x)
    x = L.Dense(100, activation="tanh")(L.Dropout(0.5)(L.Flatten()(x)))
    return k.Model(rows, L.Dense(1)(x))


def remaining_lstm(k: Any, L: Any) -> Any:
    layers = [L.LSTM(64, return_sequences=True), L.LSTM(32), L.Dense(8, activation="relu"), L.Dense(1)]
    return k.Sequential([k.Input((31, 24)), *layers])


def failure(k: Any, L: Any) -> Any:
    """A template for engines: fails within thirty cycles, or not."""
    layers = [L.LSTM(100, return_sequences=True), L.Dropout(0.2), L.LSTM(50), L.Dropout(0.2)]
    return k.Sequential([k.Input((50, 25)), *layers, L.Dense(1, activation="sigmoid")])


def battery(k: Any, L: Any) -> Any:
    """State of charge from voltage, current and temperature, every second."""
    return k.Sequential([k.Input((None, 3)), L.LSTM(100, return_sequences=True), L.Dense(1, activation="sigmoid")])


def _weibull(k: Any, L: Any) -> Any:
    """Time to an event as two parameters of a Weibull distribution, from a Lambda."""
    import tensorflow as tf

    x = rows = k.Input((None, 8))
    x = L.Dense(2)(L.GRU(20, activation="tanh", return_sequences=True)(L.Masking(0.0)(x)))
    return k.Model(rows, L.Lambda(lambda t: tf.concat([tf.exp(t[..., :1]), tf.math.softplus(t[..., 1:])], -1))(x))


def _weibull_stock(k: Any, L: Any) -> Any:
    x = rows = k.Input((None, 8))
    x = L.GRU(20, activation="tanh", return_sequences=True)(x)
    return k.Model(
        rows, L.Concatenate()([L.Dense(1, activation="exponential")(x), L.Dense(1, activation="softplus")(x)])
    )


def machine_tcn(k: Any, L: Any) -> Any:
    """Dilated causal convolutions, read at the last row of a window."""
    x = rows = k.Input((64, 12))
    for dilation in (1, 2, 4, 8):
        x = L.Conv1D(24, 3, dilation_rate=dilation, padding="causal", activation="relu")(x)
    return k.Model(rows, L.Dense(1, activation="sigmoid")(x[:, -1]))


NETWORKS = {
    "heartbeat": Network("ECG", "Kachuee 2018", heartbeat, settings=classes(1, 2, 3, 4)),
    "arrhythmia": Network("ECG", "Hannun 2019", arrhythmia, settings=classes(1, 2, 3), rows=1024),
    "beats": Network("ECG", "Acharya 2017", beats, settings=classes(1, 2, 3, 4), saved="keras 2 h5"),
    "deep LSTM": Network(
        "ECG", "Yildirim 2018", _deep_memory("both"), settings=classes(1, 2, 3, 4), way=_deep_memory("forward")
    ),
    "wearable": Network("ECG", "Saadatnejad 2019", wearable, settings=classes(*range(1, 7)), saved="h5"),
    "delineation": Network("ECG", "Moskalenko 2019", _delineation, settings=classes(1, 2, 3), way=_delineation_down),
    "TinySleepNet": Network("EEG", "Supratak 2020", tiny_sleep, settings=classes(4)),
    "EEGNet": Network("EEG", "Lawhern 2018", eegnet, settings=classes(1, 2, 3)),
    "WDCNN": Network("vibration", "Zhang 2017b", wdcnn, "waveform", settings=classes(*range(1, 10))),
    "motor": Network("vibration", "Ince 2016", motor, "waveform", settings=CLASSES, saved="keras 2 h5"),
    "multiscale": Network("vibration", "Jiang 2019", multiscale, "waveform", settings=classes(*range(1, 6))),
    "EncDec-AD": Network(
        "vibration", "Malhotra 2016", _reconstruction, settings=event(*"bcdef"), way=_prediction
    ),
    "DeepConvLSTM": Network("activity", "Ordonez 2016", deep_conv_lstm, settings=classes(*range(1, 18))),
    "CNN-LSTM in blocks": Network("activity", "Brownlee 2018", blocks, settings=classes(1, 2)),
    "smartphone CNN": Network("activity", "Ronao 2016", phone, settings=classes(1, 2)),
    "stacked LSTM": Network("activity", "Chevalier 2016", stacked, settings=classes(1, 2), saved="keras 2 h5"),
    "ConvLSTM": Network("activity", "Brownlee 2018", _convolved_memory, settings=classes(1, 2), way=blocks),
    "InnoHAR": Network(
        "activity", "Xu 2019", lambda k, L: _inno(k, L, False), settings=classes(1, 2),
        way=lambda k, L: _inno(k, L, True),
    ),
    "falls": Network("activity", "Musci 2018", fall, settings=classes(2), saved="keras 2 h5"),
    "magic wand": Network("activity", "TensorFlow Lite Micro", magic_wand, settings=classes(0, 1, 2)),
    "InceptionTime": Network("sequences", "Fawaz 2020", inception_time, "components", settings=CLASSES),
    "FCN": Network("sequences", "Wang 2017", fcn, settings=CLASSES, saved="h5"),
    "ResNet": Network("sequences", "Wang 2017", series_resnet, settings=CLASSES),
    "MLSTM-FCN": Network(
        "sequences", "Karim 2019", _attentive_fcn(True), settings=classes(1, 2), way=_attentive_fcn(False)
    ),
    "engine CNN": Network(
        "maintenance", "Li 2018", remaining_cnn, settings=event(), calibration_rows=32_000,
        remark="one output of 100, the largest, is clipped to the range that was calibrated; 0.0069 without it",
    ),
    "engine LSTM": Network("maintenance", "Zheng 2017", remaining_lstm, settings=event(), saved="keras 2 h5"),
    "engine failure": Network("maintenance", "Azure template 2017", failure, saved="keras 2 h5"),
    "battery": Network("maintenance", "Chemali 2018", battery),
    "WTTE-RNN": Network("maintenance", "Martinsson 2016", _weibull, settings=event("shape"), way=_weibull_stock),
    "machine TCN": Network("maintenance", "Bai 2018", machine_tcn),
}  # fmt: skip

"""Files that Keras 2 wrote, loaded as networks of stock Keras 3 layers, against Keras 2 itself (tf-keras)."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgequake.edge.base.errors import ModelError

N_ROWS, N_FEATURES = 24, 5
ROWS = np.random.default_rng(6).normal(size=(7, N_ROWS, N_FEATURES)).astype(np.float32)


@pytest.fixture(scope="module")
def k2() -> Any:
    """Return Keras 2; it loads TensorFlow, which tflite-runtime must come before."""
    from edgequake.edge.detection.network import import_runtime

    import_runtime()
    return pytest.importorskip("tf_keras", reason="tf-keras, which writes the files of Keras 2, is not installed")


def recurrent(k: Any) -> Any:
    """Return a Sequential of recurrent layers as the textbooks of 2017 have them, with their hard_sigmoid."""
    L = k.layers
    return k.Sequential(
        [
            L.LSTM(6, return_sequences=True, recurrent_activation="hard_sigmoid", input_shape=(N_ROWS, N_FEATURES)),
            L.Dropout(0.3),
            L.GRU(5, return_sequences=True, recurrent_activation="hard_sigmoid", reset_after=False),
            L.GRU(5, return_sequences=True, recurrent_activation="hard_sigmoid"),
            L.SimpleRNN(4, return_sequences=True),
            L.LSTM(4),
            L.Dense(4, activation="hard_sigmoid"),
            L.Activation("hard_sigmoid"),
            L.Dense(1, activation="sigmoid"),
        ]
    )


def convolutional(k: Any) -> Any:
    """Return a functional network with the layers whose configurations changed, and a nested model used twice."""
    L = k.layers
    rows = k.Input((N_ROWS, N_FEATURES))
    x = L.Conv1D(6, 3, padding="same", name="block1/conv")(rows)
    x = L.LeakyReLU(alpha=0.1)(L.BatchNormalization()(x))
    block = k.Sequential([L.Dense(6, activation="relu"), L.BatchNormalization(), L.ELU(alpha=0.7)])
    x = L.Add()([block(x), block(block(x))])
    x = L.SeparableConv1D(6, 3, padding="same")(L.MaxPooling1D(2)(x))
    x = L.TimeDistributed(L.Dense(4, activation="swish"))(x)
    image = L.DepthwiseConv2D((3, 1), padding="same")(L.Reshape((N_ROWS // 2, 4, 1))(x))
    x = L.LSTM(4, return_sequences=True, recurrent_dropout=0.1)(L.Reshape((N_ROWS // 2, 4))(image))
    return k.Model(rows, L.Dense(2, activation="softmax")(L.GlobalAveragePooling1D()(x)))


def operations(k: Any) -> Any:
    """Return a network whose layers are combined by functions of TensorFlow."""
    import tensorflow as tf

    L = k.layers
    rows = k.Input((N_ROWS, N_FEATURES))
    x = tf.nn.relu(L.Conv1D(5, 3, padding="causal")(rows) * 2.0 - 0.25)
    x = tf.concat([x + rows, tf.reduce_max(tf.expand_dims(rows, -1), axis=-1)], axis=-1)
    x = L.LSTM(4, return_sequences=True)(x)
    return k.Model(rows, L.Dense(1)(tf.concat([x[:, -1], tf.reduce_mean(x, axis=1)], -1)))


@pytest.mark.slow
@pytest.mark.parametrize("make", [recurrent, convolutional, operations], ids=lambda make: make.__name__)
@pytest.mark.parametrize("suffix", ["h5", pytest.param("hdf5", marks=pytest.mark.long), "keras"])
def test_files_of_keras_2_compute_what_keras_2_computes(
    k2: Any, conformance: Any, tmp_path: Path, make: Any, suffix: str
) -> None:
    from edgequake.convert.loading.network_loader import load_network

    old = make(k2)
    conformance.set_random_weights(old.weights, 8)
    path = tmp_path / f"old.{suffix}"
    if suffix == "keras" and make is convolutional:  # of Keras 2, this format takes no "/" in names
        pytest.skip("tf-keras does not write this network in this format")
    old.save(path)
    new = load_network(path)
    wanted, got = old.predict(ROWS, verbose=0), new.predict(ROWS, verbose=0)
    assert float(np.std(wanted)) > 1e-3
    np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=5e-6)


def cudnn_arrays(kind: str) -> list[Any]:
    """Return the arrays of a CuDNNLSTM or CuDNNGRU of 4 units, as Keras 2.3 stored them."""
    rng, n_gates = np.random.default_rng(8), 4 if kind == "CuDNNLSTM" else 3
    shapes = [(N_FEATURES, 4 * n_gates), (4, 4 * n_gates), (8 * n_gates,)]
    return [rng.normal(0, 0.5, shape).astype(np.float32) for shape in shapes]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["CuDNNLSTM", "CuDNNGRU"])
def test_layers_of_cudnn_are_read_as_keras_2_reads_them(k2: Any, tmp_path: Path, kind: str) -> None:
    """No file can be written without such a GPU: one of LSTM or GRU becomes one of 2018 by its names and arrays."""
    import h5py
    from tf_keras.src.saving.legacy import hdf5_format

    from edgequake.convert.loading.network_loader import load_network

    L = k2.layers
    plain = L.LSTM(4, name="memory") if kind == "CuDNNLSTM" else L.GRU(4, reset_after=True, name="memory")
    old = k2.Sequential([L.InputLayer(input_shape=(N_ROWS, N_FEATURES)), plain, L.Dense(1, name="out")])
    old.save(tmp_path / "a.h5")
    arrays = cudnn_arrays(kind)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][1]["class_name"] = kind
        config["config"]["layers"][1]["config"] = {"name": "memory", "units": 4, "stateful": False}
        file.attrs["model_config"], file.attrs["keras_version"] = json.dumps(config), "2.2.4"
        group = file["model_weights/memory"]
        for name, array in zip(group.attrs["weight_names"], arrays, strict=True):
            del group[name]
            group[name] = array
    plain.set_weights(hdf5_format.preprocess_weights_for_loading(plain, arrays, "2", "tensorflow"))
    got = load_network(tmp_path / "a.h5").predict(ROWS, verbose=0)
    np.testing.assert_allclose(got, old.predict(ROWS, verbose=0), atol=2e-6)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """Return a .keras file of Keras 3, in mixed precision."""
    import keras
    from keras import layers as L

    model = keras.Sequential([keras.Input((None, N_FEATURES)), L.LSTM(4, return_sequences=True, name="memory")])
    model.add(L.Dense(1, activation="hard_sigmoid", dtype="mixed_float16", name="out"))
    model.save(tmp_path / "plain.keras")
    return tmp_path / "plain.keras"


def changed(path: Path, change: Any) -> Path:
    """Return a copy of a .keras file with another configuration."""
    copy = path.with_name("changed.keras")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config["config"]["layers"])
                content = json.dumps(config).encode()
            new.writestr(name, content)
    return copy


def test_mixed_precision_becomes_float32(plain: Path) -> None:
    import keras

    from edgequake.convert.loading.network_loader import load_network

    model, original = load_network(plain), keras.saving.load_model(plain)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    for ours, theirs in zip(model.get_weights(), original.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    # Keras 3's own hard_sigmoid stays what it is
    np.testing.assert_allclose(model.predict(ROWS, verbose=0), original.predict(ROWS, verbose=0), atol=2e-3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda layers: layers[2].update(class_name="Lambda", config={"name": "out", "function": "…"}),
            r"layer 'out' \(Lambda\) holds Python code, and code of a file is never run; replace it by stock layers",
        ),
        (
            lambda layers: layers[2].update(module="os", class_name="system", registered_name="system"),
            r"layer 'out' \(system\) is its author's own class, and code of a file is never run",
        ),
        (
            lambda layers: layers[2].update(registered_name="mine>Dense"),
            r"layer 'out' \(mine>Dense\) is its author's own class",
        ),
        (
            lambda layers: layers[2]["config"].update(
                activation={"module": "builtins", "class_name": "function", "config": "my_activation"}
            ),
            r"layer 'out' \(Dense\) has the activation 'my_activation', its author's own function",
        ),
        (
            lambda layers: layers[1]["config"].update(time_major=True),
            r"layer 'memory' \(LSTM\) takes the rows as its first axis \(time_major=True\); build it with",
        ),
        (
            lambda layers: layers[2]["config"].update(units=3),
            r"the weights in .* do not fit its layers: layer 'out' gets",
        ),
        (
            lambda layers: layers[1]["config"].update(units="many"),
            r"layer 'memory' \(LSTM\) cannot be made from its stored configuration|cannot be read as a network",
        ),
    ],
)
def test_what_would_run_code_or_does_not_fit_is_refused_by_name(plain: Path, change: Any, words: str) -> None:
    from edgequake.convert.loading.network_loader import load_network

    with pytest.raises(ModelError, match=words) as caught:
        load_network(changed(plain, change))
    assert "\n" not in str(caught.value)


def test_a_network_without_an_input_is_asked_for_one() -> None:
    from edgequake.convert.loading.stored_graph import build_model

    with pytest.raises(
        ModelError, match=r"the model 'late' does not say what its input is; call model.build\(\(None, "
    ):
        build_model({"class_name": "Sequential", "config": {"name": "late", "layers": []}}, is_legacy=False)


def test_a_damaged_archive_of_weights_is_refused(plain: Path, tmp_path: Path) -> None:
    from edgequake.convert.loading.network_loader import load_network

    broken = tmp_path / "broken.keras"
    shutil.copy(plain, broken)
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(broken, "w") as new:
        for name in old.namelist():
            new.writestr(name, b"nothing" if name.endswith(".h5") else old.read(name))
    with pytest.raises(
        ModelError, match=r"the weights in .*broken.keras do not fit its layers: .*save the network again"
    ):
        load_network(broken)

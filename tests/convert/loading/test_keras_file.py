"""Files that are no Keras network are refused at once, each in one line with a way out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgequake.convert.loading.keras_file import built_shape, read_keras_file
from edgequake.edge.base.errors import ModelError


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.pkl", "is a Python pickle, which runs code when it is read; load it in its own environment and"),
        ("a.pt", "is a network of another framework; rebuild it from Keras layers"),
        ("a.tflite", "is a converted graph over whole windows; give the Keras network that it was made from"),
        ("a.json", "is an architecture without weights"),
        ("a.hdf5", "is not an HDF5 file: expected what model.save"),
        ("a.keras", r"is not a complete .keras file \(4 bytes\)"),
    ],
)
def test_other_files_are_named(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / name).write_bytes(b"abcd")
    with pytest.raises(ModelError, match=words) as caught:
        read_keras_file(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is a folder, expected a .keras or .h5 file"):
        read_keras_file(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ModelError, match=r"is a SavedModel, a graph without layers; save the network itself"):
        read_keras_file(tmp_path)


def test_weights_alone_are_named(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "a.weights.h5", "w") as file:
        file["layers/dense/vars/0"] = np.zeros(3)
    with pytest.raises(ModelError, match=r"holds weights alone, without the layers; build the network with its code"):
        read_keras_file(tmp_path / "a.weights.h5")


def test_the_built_shape_is_found_in_every_form() -> None:
    layer = {"class_name": "LSTM", "config": {"batch_input_shape": [None, 40, 5]}}
    assert built_shape({"class_name": "Sequential", "config": [layer]}) == (None, 40, 5)
    late = {"class_name": "Sequential", "config": {"layers": [], "build_input_shape": [None, 8, 2]}}
    assert built_shape(late) == (None, 8, 2)
    new = {"class_name": "InputLayer", "config": {"batch_shape": [None, None, 3]}}
    assert built_shape({"class_name": "Functional", "config": {"layers": [new]}}) == (None, None, 3)
    assert built_shape({"class_name": "Sequential", "config": {"layers": []}}) is None

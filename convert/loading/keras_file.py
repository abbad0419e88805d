"""What a file of a network holds: the layers' configurations and the Keras that wrote them; read without TensorFlow.

Keras files of three generations are taken: `.h5` and `.hdf5` (Keras 2 and 3), `.keras` of TensorFlow 2.12 to 2.15, and
`.keras` of Keras 3. Everything else is refused in one line that says how to save the network again.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgequake.edge.base.errors import ModelError

HDF5 = b"\x89HDF\r\n\x1a\n"
HDF5_SUFFIXES = (".h5", ".hdf5")
_SAVE = "model.save('NAME.keras')"
_FROM_SAVED_MODEL = (
    f"save the network itself with {_SAVE} in the program that made it, or, where TensorFlow 2.15 or an older one did, "
    "with tf.keras.models.load_model(FOLDER).save('NAME.h5')"
)
# What people pass beside Keras files: suffix -> what it is, and the way out.
_OTHER_FILES = {
    **dict.fromkeys(
        (".pkl", ".pickle", ".joblib"),
        f"a Python pickle, which runs code when it is read; load it in its own environment and {_SAVE}",
    ),
    **dict.fromkeys(
        (".pt", ".pth", ".onnx"), f"a network of another framework; rebuild it from Keras layers and {_SAVE}"
    ),
    ".tflite": f"a converted graph over whole windows; give the Keras network that it was made from: {_SAVE}",
    ".pb": f"a frozen TensorFlow graph without layers; {_FROM_SAVED_MODEL}",
    ".json": f"an architecture without weights; model.load_weights(...), then {_SAVE}",
    ".ckpt": f"a TensorFlow checkpoint, weights without layers; model.load_weights(...), then {_SAVE}",
}


@dataclass(frozen=True)
class KerasFile:
    """A Keras file with its layers."""

    path: Path
    config: dict[str, Any]  # {"class_name": "Sequential" or "Functional", "config": ...}
    version: str  # of the Keras that wrote it; "" where the file does not say
    is_archive: bool  # a .keras file; otherwise HDF5

    @property
    def is_legacy(self) -> bool:
        """Whether Keras 2 wrote it: its configurations and hard_sigmoid are other ones."""
        return not self.version.startswith("3")


def read_keras_file(path: Path) -> KerasFile:
    """Return what a file holds.

    Raises
    ------
    ModelError
        No such file, another kind of file, a damaged one, or one with weights alone.
    """
    if path.is_dir():
        raise ModelError(_folder_message(path))
    if not path.exists():
        raise ModelError(f"{path} does not exist; give the .keras or .h5 file that {_SAVE} writes")
    if path.suffix.lower() in _OTHER_FILES:
        raise ModelError(f"{path} is {_OTHER_FILES[path.suffix.lower()]}")
    with path.open("rb") as file:
        head = file.read(len(HDF5))
    if head == HDF5:
        return _read_hdf5(path)
    if path.suffix.lower() in HDF5_SUFFIXES:
        raise ModelError(f"{path} is not an HDF5 file: expected what model.save('NAME.h5') writes; save it again")
    return _read_archive(path)


def built_shape(config: Any) -> tuple[int | None, ...] | None:
    """Return the shape of a configuration's first input with the batch axis; None where it does not say."""
    if isinstance(config, dict):
        inner = config.get("config")
        if isinstance(inner, dict):
            shape = inner.get("batch_shape") or inner.get("batch_input_shape")
            if shape:
                return tuple(shape)
        parts = inner.get("layers", []) if isinstance(inner, dict) else inner if isinstance(inner, list) else []
        found = next(filter(None, map(built_shape, parts)), None)
        if found is None and isinstance(inner, dict) and inner.get("build_input_shape"):
            return tuple(inner["build_input_shape"])
        return found
    return None


def _folder_message(path: Path) -> str:
    if (path / "saved_model.pb").is_file() or (path / "saved_model.pbtxt").is_file():
        return f"{path} is a SavedModel, a graph without layers; {_FROM_SAVED_MODEL}"
    if (path / "config.json").is_file() and (path / "model.weights.h5").is_file():
        return f"{path} is an unpacked .keras file; pack it again: cd {path.name} && zip ../{path.name}.keras *"
    return f"{path} is a folder, expected a .keras or .h5 file; give the file that {_SAVE} writes"


def _read_hdf5(path: Path) -> KerasFile:
    import h5py  # type: ignore[import-untyped,unused-ignore]

    try:
        with h5py.File(path) as file:
            text, version = file.attrs.get("model_config"), _text(file.attrs.get("keras_version", ""))
    except (OSError, KeyError, RuntimeError) as problem:
        raise ModelError(f"{path} is a damaged HDF5 file ({problem}); copy it again or save it again") from problem
    if text is None:
        raise ModelError(
            f"{path} holds weights alone, without the layers; build the network with its code, "
            f"model.load_weights('{path.name}'), then {_SAVE}"
        )
    return KerasFile(path, _json(_text(text), path), version, is_archive=False)


def _read_archive(path: Path) -> KerasFile:
    """Refuse in a millisecond a file that Keras would refuse only after TensorFlow's start."""
    try:
        with zipfile.ZipFile(path) as archive:
            broken, names = archive.testzip(), archive.namelist()
            if broken is None and "config.json" in names:
                metadata = json.loads(archive.read("metadata.json")) if "metadata.json" in names else {}
                config = _json(archive.read("config.json").decode("utf-8", "replace"), path)
                return KerasFile(path, config, str(metadata.get("keras_version", "3")), is_archive=True)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, zlib.error, ValueError):
        pass
    raise ModelError(
        f"{path} is not a complete .keras file ({path.stat().st_size} bytes): expected the archive that "
        f"{_SAVE} writes; copy it again or save it again"
    )


def _json(text: str, path: Path) -> dict[str, Any]:
    try:
        config = json.loads(text)
    except ValueError as problem:
        raise ModelError(f"{path} holds a damaged configuration ({problem}); save it again") from problem
    if not isinstance(config, dict) or "config" not in config:
        raise ModelError(f"{path} holds no network's configuration; save it again with {_SAVE}")
    return config


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

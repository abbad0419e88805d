"""Put the weights of a file into the layers that were made from it, layer by layer, in the order of the file.

Two formats: groups by layer name in `.h5`, and variables in groups numbered by the layers' classes in `.keras`.
"""

from __future__ import annotations

import io
import itertools
import re
import zipfile
from typing import Any

import keras
import numpy as np
from keras import layers

from edgequake.convert.loading.keras_file import KerasFile
from edgequake.convert.loading.layer_configs import CUDNN, HARD_SIGMOID_SCALE, plain_name
from edgequake.edge.base.errors import ModelError

Arrays = list[np.ndarray[Any, np.dtype[Any]]]
_WEIGHTS = "model.weights.h5"
# Layers of several layers, whose variables come in another order; they cannot be stepped and will be refused by name.
_COMPOSITE = ("Bidirectional", "MultiHeadAttention", "GroupQueryAttention", "RNN", "SpectralNormalization")
# Roots of a model's layers in the .keras files of TensorFlow 2.12 and later ("\\" where Windows wrote them).
_ROOTS = ("_layer_checkpoint_dependencies", "layers")


def load_weights(model: keras.Model, file: KerasFile) -> None:
    """Set all weights of a network that was made from a file's configuration.

    Raises
    ------
    ModelError
        The file's weights do not fit its layers.
    """
    try:
        if file.is_archive:
            _from_archive(model, file)
        else:
            _from_hdf5(model, file)
    except (ValueError, KeyError, OSError, IndexError, TypeError) as problem:
        reason = " ".join(str(problem).split())[:300]
        raise ModelError(
            f"the weights in {file.path} do not fit its layers: {reason}; save the network again with "
            "model.save('NAME.keras')"
        ) from problem
    if file.is_legacy:
        for layer in model._flatten_layers(include_self=False):
            _scale_hard_sigmoid(layer)


def _from_hdf5(model: keras.Model, file: KerasFile) -> None:
    import h5py  # type: ignore[import-untyped,unused-ignore]

    kinds = _stored_kinds(file.config)
    with h5py.File(file.path) as opened:
        root = opened["model_weights"] if "model_weights" in opened else opened
        stored = {name: root[name] for name in _names(root, "layer_names")}
        for name, group in stored.items():
            arrays = [np.asarray(group[weight]) for weight in _names(group, "weight_names")]
            if arrays:
                layer = model.get_layer(plain_name(name))
                _assign(layer, _in_old_order(layer), arrays, kinds.get(name, ""))
    without = [
        layer.name for layer in model.layers if _in_old_order(layer) and layer.name not in map(plain_name, stored)
    ]
    if without:
        raise ValueError(f"there are none for layer '{without[0]}'")


def _names(group: Any, attribute: str) -> list[str]:
    """Return a list of names, which HDF5 stores in numbered parts where it is long."""
    if attribute in group.attrs:
        return [_text(name) for name in group.attrs[attribute]]
    numbered = itertools.takewhile(lambda part: part in group.attrs, (f"{attribute}{n}" for n in itertools.count()))
    return [_text(name) for part in numbered for name in group.attrs[part]]


def _in_old_order(layer: Any) -> list[Any]:
    """Return a layer's variables as Keras 2 ordered them: trained ones first; random generators have none."""
    variables = [*layer.trainable_weights, *layer.non_trainable_weights]
    return [variable for variable in variables if "seed_generator" not in variable.path]


def _stored_kinds(config: Any) -> dict[str, str]:
    """Return layer name -> stored class, of the outermost model."""
    inner = config["config"]
    parts = inner["layers"] if isinstance(inner, dict) else inner
    return {str(part.get("name") or part["config"].get("name")): str(part["class_name"]) for part in parts}


def _from_archive(model: keras.Model, file: KerasFile) -> None:
    import h5py

    with zipfile.ZipFile(file.path) as archive:
        content = archive.read(_WEIGHTS)
    arrays: dict[str, Any] = {}

    def keep(name: str, item: Any) -> None:
        if hasattr(item, "shape"):
            arrays[name.replace("\\", "/")] = np.asarray(item)

    with h5py.File(io.BytesIO(content)) as opened:
        opened.visititems(keep)
    _from_tree(model, file.config, _tree(arrays))


def _tree(arrays: dict[str, Any]) -> dict[str, Any]:
    """Return the arrays, named by paths, as nested tables."""
    tree: dict[str, Any] = {}
    for path, array in arrays.items():
        *folders, last = path.split("/")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = array
    return tree


def _from_tree(model: keras.Model, entry: dict[str, Any], tree: dict[str, Any]) -> None:
    """Assign the variables of a model's layers, whose tables are numbered by class: "dense", "dense_1"."""
    below: dict[str, Any] = next((tree[root] for root in _ROOTS if root in tree), {})
    config = entry["config"]
    made, counts = {layer.name: layer for layer in model.layers}, dict[str, int]()
    for part in config["layers"] if isinstance(config, dict) else config:
        stem = _snake(str(part["class_name"]))
        number = counts.get(stem, 0)
        counts[stem] = number + 1
        table = below.get(f"{stem}_{number}" if number else stem, {})
        layer = made.get(plain_name(part.get("name") or part["config"].get("name")))
        if isinstance(layer, keras.Model) and any(root in table for root in _ROOTS):
            _from_tree(layer, part, table)
        elif layer is not None and type(layer).__name__ not in _COMPOSITE and _in_old_order(layer):
            _assign(layer, [v for v in layer.weights if "seed_generator" not in v.path], _arrays(table), "")


def _snake(name: str) -> str:
    """Return the class's name as Keras numbers them: "LSTM" is "lstm", "Conv1D" is "conv1d"."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _arrays(table: dict[str, Any]) -> Arrays:
    """Return the arrays of a layer, its own first, then those of the layers in it."""
    own = table.get("vars", {})
    arrays = [own[key] for key in sorted(own, key=int)]
    for name in table:
        if name not in ("vars", "seed_generator"):
            arrays += _arrays(table[name])
    return arrays


def _assign(layer: Any, variables: list[Any], arrays: Arrays, kind: str) -> None:
    if kind in CUDNN:
        arrays = _from_cudnn(arrays, kind)
    if isinstance(layer, layers.Normalization):  # the count of its samples is of no use, nor has it always been stored
        arrays, variables = arrays[:2], variables[:2]
    if [tuple(array.shape) for array in arrays] != [tuple(variable.shape) for variable in variables]:
        shapes = ", ".join(str(tuple(array.shape)) for array in arrays)
        raise ValueError(f"layer '{layer.name}' gets arrays of shapes {shapes}")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    if isinstance(layer, layers.Normalization):
        layer.finalize_state()


def _from_cudnn(arrays: Arrays, kind: str) -> Arrays:
    """Return the weights of a CuDNNLSTM or CuDNNGRU as those of LSTM and GRU(reset_after=True).

    cuDNN stores each gate's kernel column by column and its recurrent kernel transposed, and has a bias for the row and
    one for h.
    """
    kernel, recurrent, bias = arrays
    n_gates = 4 if kind == "CuDNNLSTM" else 3
    gates = np.hsplit(kernel, n_gates)
    kernel = np.hstack([gate.T.reshape(gate.shape, order="F") for gate in gates])
    recurrent = np.hstack([gate.T for gate in np.hsplit(recurrent, n_gates)])
    return [kernel, recurrent, bias.reshape(2, -1).sum(axis=0) if n_gates == 4 else bias.reshape(2, -1)]


def _scale_hard_sigmoid(layer: Any) -> None:
    """Scale what enters a hard_sigmoid of Keras 2, so that Keras 3's gives the same."""
    if isinstance(layer, (layers.LSTM, layers.GRU, layers.SimpleRNN)):
        if _name_of(layer.activation) == "hard_sigmoid":
            raise ModelError(
                f"layer '{layer.name}' ({type(layer).__name__}) has activation='hard_sigmoid' of Keras 2, which "
                "Keras 3 computes differently; train it with activation='tanh'"
            )
        if _name_of(getattr(layer, "recurrent_activation", None)) == "hard_sigmoid":
            _scale_gates(layer)
    elif _name_of(getattr(layer, "activation", None)) == "hard_sigmoid" and layer.weights:
        # the last kernel and the bias; an Activation layer is scaled by a Rescaling before it
        for variable in layer.weights[-2:] if layer.use_bias else layer.weights[-1:]:
            variable.assign(HARD_SIGMOID_SCALE * variable)


def _scale_gates(layer: Any) -> None:
    """Scale the columns of the gates: i, f and o of an LSTM, z and r of a GRU, not the candidate."""
    units = layer.units
    factor = np.full(units * (4 if isinstance(layer, layers.LSTM) else 3), HARD_SIGMOID_SCALE, np.float32)
    candidate = 2 * units
    factor[candidate : candidate + units] = 1.0
    for variable in layer.weights:
        if "seed_generator" not in variable.path:
            variable.assign(variable * factor)


def _name_of(function: Any) -> str:
    return str(getattr(function, "__name__", ""))


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)

"""Configurations of stored layers as today's Keras takes them, and the refusal of all that would run a file's code.

Keras' own reader of old files fails on what they hold beside the weights (`time_major`, `groups`, optimizers,
initializers), and some of its versions import modules that a file names. Here only the names of stock layers and
functions are looked up.
"""

from __future__ import annotations

import inspect
import re
from typing import Any, NoReturn

from keras import activations, layers

from edgequake.edge.base.errors import ModelError

MODELS = ("Sequential", "Functional", "Model")
CUDNN = {"CuDNNLSTM": "LSTM", "CuDNNGRU": "GRU"}  # of Keras 2.0 to 2.3: the same layers, with other weights
RENAMED = {
    **CUDNN,
    **{"BatchNormalizationV1": "BatchNormalization", "BatchNormalizationV2": "BatchNormalization"},
    **{f"Convolution{n}D": f"Conv{n}D" for n in (1, 2)},
}
_UNUSED = ("_initializer", "_regularizer", "_constraint")  # they act in training only
HARD_SIGMOID_SCALE = 1.2  # clip(0.2 x + 0.5) of Keras 2 is clip(x / 6 + 0.5) of Keras 3, at 1.2 x


def plain_name(name: Any) -> str:
    """Return a layer's name as Keras 3 and TensorFlow take it: Keras 2 allowed "/", other backends anything."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", str(name))
    return plain if plain[:1].isalnum() else f"layer{plain}"


def refuse_code(name: str, kind: str, reason: str) -> NoReturn:
    """Raise the ModelError for a layer whose code is not Keras' own."""
    raise ModelError(
        f"layer '{name}' ({kind}) {reason}, and code of a file is never run; replace it by stock layers that do the "
        "same (Rescaling, Reshape, Dense, ...), copy the weights and save the network again"
    )


def is_model(entry: dict[str, Any]) -> bool:
    """Whether a stored layer is a model of layers."""
    return entry.get("class_name") in MODELS and _is_stock(entry)


def layer_of(entry: dict[str, Any], is_legacy: bool) -> Any:
    """Return a stock layer with its stored configuration, in float32.

    Raises
    ------
    ModelError
        The layer's code is in the file or with its author, or its configuration is not one of Keras.
    """
    plain = plain_layer(entry, is_legacy)
    try:
        return layers.deserialize(plain)
    except ModelError:
        raise
    except Exception as problem:  # Keras raises a dozen types for a configuration that it cannot take
        reason = " ".join(str(problem).split())[:200]
        raise ModelError(
            f"layer '{plain['config'].get('name')}' ({plain['class_name']}) cannot be made from its stored "
            f"configuration: {reason}; save the network again with a newer Keras"
        ) from problem


def plain_layer(entry: dict[str, Any], is_legacy: bool) -> dict[str, Any]:
    """Return the configuration of a stock layer, {"class_name", "config", ...}, without what inference does not use."""
    stored, kind = dict(entry.get("config") or {}), str(entry.get("class_name"))
    name = str(stored.get("name") or entry.get("name") or kind)
    kind = RENAMED.get(kind, kind)
    if kind in ("Lambda", "__lambda__"):
        refuse_code(name, "Lambda", "holds Python code")
    if not _is_stock(entry) or not hasattr(layers, kind):
        refuse_code(name, str(entry.get("registered_name") or kind), "is its author's own class")
    if stored.get("time_major"):
        raise ModelError(
            f"layer '{name}' ({kind}) takes the rows as its first axis (time_major=True); build it with "
            "time_major=False, copy the weights and save the network again"
        )
    if is_legacy and kind == "Activation" and _function_name(stored.get("activation")) == "hard_sigmoid":
        return _scaled_hard_sigmoid(name)
    if kind == "GRU" and is_legacy:
        stored.setdefault("reset_after", entry["class_name"] in CUDNN)  # cuDNN's form; earlier ones had the other only
    return {"module": "keras.layers", "class_name": kind, "config": _plain(stored, kind, name, is_legacy)}


def _plain(stored: dict[str, Any], kind: str, name: str, is_legacy: bool) -> dict[str, Any]:
    taken = _parameters(kind)
    plain: dict[str, Any] = {"name": plain_name(name)}
    if kind == "LeakyReLU" and "alpha" in stored:
        stored["negative_slope"] = stored.pop("alpha")
    for key, value in stored.items():
        if key not in taken or key.endswith(_UNUSED) or key in ("dtype", "name"):
            continue
        plain[key] = _value(key, value, name, kind, is_legacy)
    return plain


def _value(key: str, value: Any, name: str, kind: str, is_legacy: bool) -> Any:
    if key.endswith("activation"):
        return _activation(value, name, kind, is_legacy)
    if key in ("layer", "backward_layer", "forward_layer") and isinstance(value, dict):
        return inner_entry(value, is_legacy)
    if key in ("cell", "cells") and value:
        cells = [plain_layer(cell, is_legacy) for cell in (value if isinstance(value, list) else [value])]
        return cells if isinstance(value, list) else cells[0]
    if kind in ("BatchNormalization", "LayerNormalization") and key == "axis" and isinstance(value, list):
        return value[0] if len(value) == 1 else value
    if key == "negative_slope" and isinstance(value, dict):  # an array, as Keras 2 stored it
        return float(value.get("value", 0.0))
    return value


def inner_entry(entry: dict[str, Any], is_legacy: bool) -> dict[str, Any]:
    """Return the configuration of a layer or of a whole model that another layer wraps."""
    if not is_model(entry):
        return plain_layer(entry, is_legacy)
    config = dict(entry["config"]) if isinstance(entry["config"], dict) else {"layers": entry["config"]}
    config["name"] = plain_name(config.get("name", "network"))
    config["layers"] = [
        {**part, **inner_entry(part, is_legacy)} if part.get("class_name") != "InputLayer" else input_entry(part)
        for part in config["layers"]
    ]
    return {"module": "keras", "class_name": entry["class_name"], "config": {**config, "dtype": None}}


def input_entry(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an input layer's configuration."""
    stored = entry["config"]
    shape = stored.get("batch_shape") or stored.get("batch_input_shape")
    plain = {"name": stored.get("name"), "batch_shape": shape, "dtype": "float32"}
    return {**entry, "module": "keras.layers", "class_name": "InputLayer", "config": plain}


def _activation(value: Any, name: str, kind: str, is_legacy: bool) -> Any:
    """Return an activation's name, or the configuration of a stock layer that is used as one."""
    if isinstance(value, dict) and value.get("class_name") not in ("function", None):
        return plain_layer(value, is_legacy)
    function = _function_name(value)
    if function is not None and not _is_known(function):
        refuse_code(name, kind, f"has the activation '{function}', its author's own function")
    return function


def _function_name(value: Any) -> str | None:
    if isinstance(value, dict):
        value = value.get("config")
    if isinstance(value, dict):
        value = value.get("name")
    return None if value is None else str(value)


def _is_known(function: str) -> bool:
    try:
        return activations.get(function) is not None
    except ValueError:
        return False


def _scaled_hard_sigmoid(name: str) -> dict[str, Any]:
    steps = [
        {"module": "keras.layers", "class_name": "Rescaling", "config": {"scale": HARD_SIGMOID_SCALE, "offset": 0.0}},
        {"module": "keras.layers", "class_name": "Activation", "config": {"activation": "hard_sigmoid"}},
    ]
    return {"module": "keras", "class_name": "Sequential", "config": {"name": plain_name(name), "layers": steps}}


def _is_stock(entry: dict[str, Any]) -> bool:
    """Whether a layer is one of Keras, by the module and the name under which it was registered."""
    module, registered = entry.get("module"), str(entry.get("registered_name") or "")
    is_of_keras = module is None or str(module).split(".")[0] in ("keras", "tf_keras", "tensorflow", "builtins")
    return is_of_keras and ">" not in registered


def _parameters(kind: str) -> set[str]:
    """Return the parameters that a stock layer takes, its base classes' included."""
    found: set[str] = set()
    for base in getattr(layers, kind).__mro__:
        if "__init__" in vars(base):
            found |= set(inspect.signature(vars(base)["__init__"]).parameters)
    return found - {"self", "args", "kwargs"}

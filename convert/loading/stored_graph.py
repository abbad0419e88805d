"""Build a network from its stored configuration: Sequential and functional models of every Keras, nested ones too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras

from edgequake.convert.loading.keras_file import built_shape
from edgequake.convert.loading.layer_configs import is_model, layer_of, plain_name, refuse_code
from edgequake.convert.loading.legacy_operations import LEGACY_KINDS, legacy_operation
from edgequake.edge.base.errors import ModelError

_OPERATIONS = ("keras.src.ops.numpy", "keras.src.ops.nn", "keras.ops", "keras.ops.numpy", "keras.ops.nn")
_NOT_PASSED = ("training", "mask", "name")  # arguments of a call that inference does not need


def build_model(entry: dict[str, Any], is_legacy: bool) -> keras.Model:
    """Return the network of a stored configuration, {"class_name", "config"}, with fresh weights.

    Raises
    ------
    ModelError
        It is a subclassed model, it does not say what its input is, or a layer's code is not Keras' own.
    """
    kind, name = str(entry.get("class_name")), str((_config(entry)).get("name") or "network")
    if not is_model(entry):
        refuse_code(name, str(entry.get("registered_name") or kind), "is its author's own class of model")
    if kind == "Sequential":
        return _sequential(entry, name, is_legacy)
    if "layers" not in _config(entry):
        refuse_code(name, kind, "is a subclassed model, whose layers only its author's code connects")
    return _functional(_config(entry), name, is_legacy)


def make_layer(entry: dict[str, Any], is_legacy: bool) -> Any:
    """Return a stored layer or nested model as a callable of Keras."""
    return build_model(entry, is_legacy) if is_model(entry) else layer_of(entry, is_legacy)


def _config(entry: dict[str, Any]) -> dict[str, Any]:
    """Return a model's configuration; the first Keras 2 stored a Sequential's as a list of its layers."""
    config = entry.get("config")
    return config if isinstance(config, dict) else {"layers": config or []}


def _sequential(entry: dict[str, Any], name: str, is_legacy: bool) -> keras.Model:
    shape = built_shape(entry)
    if shape is None:
        raise ModelError(
            f"the model '{name}' does not say what its input is; call model.build((None, n_rows, n_features)) or "
            "model.predict once, and save it again"
        )
    stored = [part for part in _config(entry)["layers"] if part.get("class_name") != "InputLayer"]
    made = [make_layer(part, is_legacy) for part in stored]
    return keras.Sequential([keras.Input(batch_shape=shape), *made], name=plain_name(name))


def _functional(config: dict[str, Any], name: str, is_legacy: bool) -> keras.Model:
    last_calls: dict[str, int] = {}
    nodes = [entry.get("inbound_nodes") for entry in config["layers"]]
    _count_calls([nodes, config["output_layers"]], last_calls)
    graph = _StoredGraph({_name(entry): entry for entry in config["layers"]}, is_legacy, last_calls)
    inputs = [graph.tensor(*reference) for reference in _references(config["input_layers"])]
    outputs = [graph.tensor(*reference) for reference in _references(config["output_layers"])]
    return keras.Model(inputs, outputs[0] if len(outputs) == 1 else outputs, name=plain_name(name))


def _count_calls(stored: Any, last_calls: dict[str, int]) -> None:
    """Note the highest number of a call in every reference, [layer, call, output, ...]."""
    if isinstance(stored, dict):
        stored = list(stored.values())
    if not isinstance(stored, list):
        return
    if len(stored) >= 3 and isinstance(stored[0], str) and isinstance(stored[1], int):
        last_calls[stored[0]] = max(last_calls.get(stored[0], 0), stored[1])
    for item in stored:
        _count_calls(item, last_calls)


def _name(entry: dict[str, Any]) -> str:
    return str(entry.get("name") or entry["config"]["name"])


def _references(stored: Any) -> list[tuple[str, int, int]]:
    """Return references to tensors, stored as one of them, a list, or a table by name."""
    if isinstance(stored, dict):
        stored = list(stored.values())
    if stored and isinstance(stored[0], str):
        stored = [stored]
    return [(str(layer), int(node), int(tensor)) for layer, node, tensor in stored]


@dataclass
class _StoredGraph:
    """The layers of a functional model, called in the order in which its outputs need them."""

    entries: dict[str, dict[str, Any]]
    is_legacy: bool
    last_calls: dict[str, int]  # layer -> highest number of its calls that any layer refers to
    layers: dict[str, Any] = field(default_factory=dict)
    made: dict[tuple[str, int], list[Any]] = field(default_factory=dict)  # layer, its call -> outputs

    def tensor(self, name: str, node: int, output: int) -> Any:
        """Return one output of a call of a layer."""
        if (name, node) not in self.made:
            result = self._call(self.entries[name], self._calls(self.entries[name])[self._position(name, node)])
            self.made[name, node] = list(result) if isinstance(result, (list, tuple)) else [result]
        return self.made[name, node][output]

    def _position(self, name: str, node: int) -> int:
        """Return a call's place in the stored list; the building of a nested model itself may count as call 0."""
        n_calls = len(self._calls(self.entries[name]))
        return node - (1 if self.last_calls.get(name, 0) >= n_calls else 0)

    def _calls(self, entry: dict[str, Any]) -> list[Any]:
        return list(entry.get("inbound_nodes") or [None])

    def _call(self, entry: dict[str, Any], call: Any) -> Any:
        if entry["class_name"] == "InputLayer":
            stored = entry["config"]
            shape = stored.get("batch_shape") or stored.get("batch_input_shape")
            return keras.Input(batch_shape=tuple(shape), name=plain_name(stored.get("name")))
        args, kwargs = self._arguments(call)
        kwargs = {key: value for key, value in kwargs.items() if key not in _NOT_PASSED and value is not None}
        if entry["class_name"] in LEGACY_KINDS:
            return legacy_operation(entry, args, kwargs)
        return self._layer(entry)(*args, **kwargs)

    def _layer(self, entry: dict[str, Any]) -> Callable[..., Any]:
        name = _name(entry)
        if name not in self.layers:
            is_operation = entry.get("module") in _OPERATIONS
            made = _operation(entry) if is_operation else make_layer(entry, self.is_legacy)
            self.layers[name] = made
        layer: Callable[..., Any] = self.layers[name]
        return layer

    def _arguments(self, call: Any) -> tuple[list[Any], dict[str, Any]]:
        """Return the positional and the named arguments of a stored call."""
        if isinstance(call, dict):  # Keras 3
            decoded: dict[str, Any] = self._decode({"args": call["args"], "kwargs": call["kwargs"]})
            return decoded["args"], decoded["kwargs"]
        parts = [call] if isinstance(call[0], str) else call
        tensors = [self.tensor(*part[:3]) for part in parts]
        named = dict(parts[0][3]) if len(parts[0]) > 3 else {}
        return [tensors[0] if len(tensors) == 1 else tensors], self._decode_legacy(named)

    def _decode(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        kind = value.get("class_name")
        if kind == "__keras_tensor__":
            return self.tensor(*value["config"]["keras_history"])
        if kind == "__tuple__":
            return tuple(self._decode(item) for item in value["items"])
        if kind == "__slice__":
            part = value["config"]
            return slice(part["start"], part["stop"], part["step"])
        if kind in ("__ellipsis__", "__tensor__", "__numpy__", "__complex__", "__bytes__"):
            return Ellipsis if kind == "__ellipsis__" else value["config"]["value"]
        return {key: self._decode(item) for key, item in value.items()}

    def _decode_legacy(self, value: Any) -> Any:
        if isinstance(value, dict):
            if set(value) == {"start", "stop", "step"}:
                return slice(value["start"], value["stop"], value["step"])
            return {key: self._decode_legacy(item) for key, item in value.items()}
        if isinstance(value, list):
            is_tensor = len(value) in (3, 4) and isinstance(value[0], str)
            if is_tensor and value[0] == "_CONSTANT_VALUE":
                return value[2]
            if is_tensor and value[0] in self.entries:
                return self.tensor(*value[:3])
            return [self._decode_legacy(item) for item in value]
        return value


def _operation(entry: dict[str, Any]) -> Any:
    """Return an operation between layers, as in ``rows[:, -1]``, from Keras' own modules."""
    stored = {"module": entry["module"], "class_name": entry["class_name"], "config": entry["config"]}
    try:
        return keras.saving.deserialize_keras_object({**stored, "registered_name": entry.get("registered_name")})
    except Exception as problem:
        raise ModelError(
            f"operation '{_name(entry)}' ({entry['class_name']}) is not one of this Keras; use the layer that does the "
            "same and save the network again"
        ) from problem

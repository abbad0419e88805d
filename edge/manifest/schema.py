"""Build frozen dataclasses from JSON-like mappings; an unknown or missing field is an error.

The manifest on the device and the recipes on the desktop use it, so both report a bad field in the same words.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from edgequake.edge.base.errors import EdgequakeError

_T = TypeVar("_T")


def build(cls: type[_T], values: Any, where: str, error: type[EdgequakeError]) -> _T:
    """Build the frozen dataclass `cls` from a mapping, field by field, converting each to its declared type.

    Parameters
    ----------
    cls : dataclass type whose fields are int, float, str, bool, tuple[X, ...], dict[str, X], X | None,
        `typing.Any`, or further such dataclasses.
    values : the mapping, as read from JSON or TOML.
    where : name of this mapping in messages, for example ``manifest.trigger``.
    error : the error class to raise.

    Raises
    ------
    error
        The value is not a mapping, or has an unknown field, a missing field without a default, or a wrong type.
    """
    if not isinstance(values, Mapping):
        raise error(f"{where}: expected a table of fields, got {type(values).__name__}")
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise error(f"{where}: unknown field '{unknown[0]}'; known fields are {', '.join(fields)}")
    missing = [name for name, field in fields.items() if name not in values and _required(field)]
    if missing:
        raise error(f"{where}: field '{missing[0]}' is missing")
    hints = typing.get_type_hints(cls)
    built = {name: _convert(hints[name], value, f"{where}.{name}", error) for name, value in values.items()}
    try:
        return cls(**built)
    except ValueError as problem:  # a dataclass checks its own values in __post_init__
        raise error(f"{where}: {problem}") from problem


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _convert(hint: Any, value: Any, where: str, error: type[EdgequakeError]) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (types.UnionType, typing.Union):
        (inner,) = [argument for argument in arguments if argument is not type(None)]
        return None if value is None else _convert(inner, value, where, error)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise error(f"{where}: expected a list, got {type(value).__name__}")
        return tuple(_convert(arguments[0], item, f"{where}[{i}]", error) for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise error(f"{where}: expected a table, got {type(value).__name__}")
        return {str(key): _convert(arguments[1], item, f"{where}.{key}", error) for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        return build(hint, value, where, error)  # type: ignore[arg-type]
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise error(f"{where}: expected {hint.__name__}, got {value!r}")
    return value

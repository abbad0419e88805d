"""Operations between layers, as in ``rows[:, -1]`` or ``ops.mean(rows, axis=1)``, as the layers that do the same.

Networks are written with layers or with operations; what they compute is what counts. Every operation that is not
listed here is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers

Shape = tuple[int | None, ...]
# Two branches may be combined with +, keras.ops or these layers, under the same names.
ARITHMETIC = (layers.Add, layers.Subtract, layers.Multiply, layers.Maximum, layers.Minimum)
_MERGES = {kind.__name__: kind for kind in ARITHMETIC}
_ACTIVATIONS = {
    **{"Relu": "relu", "ReLU": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Silu": "silu", "Softplus": "softplus"},
    **{"Relu6": "relu6", "HardSigmoid": "hard_sigmoid", "Gelu": "gelu", "Elu": "elu", "Softmax": "softmax"},
}
KNOWN = (
    "+, -, * and / of branches and numbers, maximum, minimum, concatenate, mean and max over a window, [:, -1], "
    "reshape, expand_dims, squeeze, transpose and activations"
)


class LastRow(layers.Layer):  # type: ignore[misc]
    """The last row of a window, ``rows[:, -1]``."""

    def call(self, rows: Any) -> Any:
        """Return (batch, ...) of (batch, rows, ...)."""
        return rows[:, -1]


def layer_of_operation(operation: Any, args: list[Any], kwargs: dict[str, Any], shapes: tuple[Shape, ...]) -> Any:
    """Return the layer that does what an operation does; None where there is none.

    Parameters
    ----------
    args, kwargs : the operation's arguments.
    shapes : of the tensors among them.
    """
    kind, name = type(operation).__name__, operation.name
    if kind in _MERGES and len(shapes) == 2:
        return _MERGES[kind](name=name)
    if kind in ("Add", "Subtract", "Multiply", "Divide", "TrueDivide") and len(shapes) == 1:
        return _with_a_number(kind, name, args, kwargs)
    if kind == "Concatenate":
        return layers.Concatenate(axis=operation.axis, name=name)
    if len(shapes) != 1:
        return None
    if kind in _ACTIVATIONS:
        return _activation(operation, kind)
    if kind == "LeakyRelu":
        return layers.LeakyReLU(negative_slope=operation.negative_slope, name=name)
    made = _OF_SHAPE.get(kind)
    return made(operation, args, kwargs, shapes[0]) if made else None


def plain_reshape(layer: Any, shape: Shape) -> Any:
    """Return Reshape for any number of rows, its other sizes known; Flatten where no axis of rows is left.

    Parameters
    ----------
    shape : of its input, with the batch axis.
    """
    target = tuple(layer.compute_output_shape(shape))[1:]
    if len(target) == 1:
        return layers.Flatten(name=layer.name)
    return layers.Reshape((-1, *(-1 if size is None else size for size in target[1:])), name=layer.name)


def _with_a_number(kind: str, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    values = [*args, *kwargs.values()]
    numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if len(numbers) != 1 or len(values) != 2:
        return None
    number, is_first = float(numbers[0]), values[0] is numbers[0]
    if kind == "Add":
        return layers.Rescaling(1.0, number, name=name)
    if kind == "Subtract":
        return layers.Rescaling(-1.0, number, name=name) if is_first else layers.Rescaling(1.0, -number, name=name)
    if kind == "Multiply":
        return layers.Rescaling(number, name=name)
    return None if is_first or number == 0 else layers.Rescaling(1.0 / number, name=name)


def _activation(operation: Any, kind: str) -> Any:
    if getattr(operation, "negative_slope", 0) or getattr(operation, "max_value", None) is not None:
        return None
    if kind == "Softmax" and getattr(operation, "axis", -1) != -1:
        return layers.Softmax(axis=operation.axis, name=operation.name)
    if kind == "Elu" and getattr(operation, "alpha", 1.0) != 1.0:
        return layers.ELU(alpha=operation.alpha, name=operation.name)
    if kind == "Gelu" and getattr(operation, "approximate", False):
        return None
    return layers.Activation(_ACTIVATIONS[kind], name=operation.name)


def _item(operation: Any, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> Any:
    """Return the layer for ``rows[:, -1]`` or ``rows[:, first:-last]``."""
    key = kwargs.get("key", args[1] if len(args) > 1 else None)
    parts = list(key) if isinstance(key, (tuple, list)) else [key]
    if Ellipsis in parts and parts[-1] is Ellipsis:
        parts.pop()
    whole = slice(None, None, None)
    if len(parts) < 2 or parts[0] != whole or any(part != whole for part in parts[2:]):
        return None
    rows, n_rows = parts[1], shape[1]
    if isinstance(rows, int) and (rows == -1 or (n_rows is not None and rows == n_rows - 1)):
        return LastRow(name=operation.name)
    if not isinstance(rows, slice) or rows.step not in (None, 1):
        return None
    first, stop = rows.start or 0, rows.stop
    if stop is not None and stop > 0 and n_rows is not None:
        stop = stop - n_rows
    if first < 0 or (stop is not None and stop > 0) or len(shape) != 3:
        return None
    return layers.Cropping1D((first, -stop if stop else 0), name=operation.name)


def _over_rows(one: Any, two: Any) -> Callable[..., Any]:
    def layer(operation: Any, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> Any:
        axes = operation.axis if isinstance(operation.axis, (tuple, list)) else (operation.axis,)
        if operation.axis is None or operation.keepdims:
            return None
        axes = tuple(sorted(axis % len(shape) for axis in axes))
        if (len(shape), axes) == (3, (1,)):
            return one(name=operation.name)
        return two(name=operation.name) if (len(shape), axes) == (4, (1, 2)) else None

    return layer


def _reshaped(operation: Any, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> Any:
    """Return the Reshape for reshape, expand_dims and squeeze, where the batch stays the first axis."""
    after = tuple(operation.compute_output_spec(keras.KerasTensor(shape)).shape)
    if after[0] is not None and after[0] != shape[0]:
        return None
    if len(after) == 2:
        return layers.Flatten(name=operation.name)
    if len(after) < 3 or None in after[2:]:
        return None
    return layers.Reshape((-1, *after[2:]), name=operation.name)


def _transposed(operation: Any, args: list[Any], kwargs: dict[str, Any], shape: Shape) -> Any:
    axes = operation.axes
    return layers.Permute(tuple(axes[1:]), name=operation.name) if axes and axes[0] == 0 else None


_OF_SHAPE: dict[str, Callable[..., Any]] = {
    "GetItem": _item,
    "Mean": _over_rows(layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D),
    "Max": _over_rows(layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D),
    "Reshape": _reshaped,
    "ExpandDims": _reshaped,
    "Squeeze": _reshaped,
    "Transpose": _transposed,
}

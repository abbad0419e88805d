"""Operations between layers as tf.keras 2 stored them (TFOpLambda, SlicingOpLambda), by today's Keras operations.

They hold the name of a TensorFlow function and its arguments, no code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from edgequake.edge.base.errors import ModelError

LEGACY_KINDS = ("TFOpLambda", "SlicingOpLambda")


def legacy_operation(entry: dict[str, Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Return the result of a stored TensorFlow function.

    Raises
    ------
    ModelError
        It is not one of the functions that layers are combined with.
    """
    function = str(entry["config"].get("function")).removeprefix("compat.v1.")
    known = _FUNCTIONS.get(function)
    if known is None:
        raise ModelError(
            f"operation '{entry['config'].get('name')}' calls tf.{function}, which has no equal here; use the layer "
            "that does the same and save the network again"
        )
    return known(*args, **kwargs)


def _item(x: Any, slice_spec: Any) -> Any:
    return x[tuple(slice_spec) if isinstance(slice_spec, list) else slice_spec]


def _both(operation: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    return lambda x, y: operation(x, y)


def _concatenated(values: Any, axis: int = -1) -> Any:
    return ops.concatenate(values, axis=axis)


def _activation(operation: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x=None, features=None, logits=None, **more: operation(
        next(value for value in (x, features, logits) if value is not None), **more
    )


def _over_axis(operation: Callable[..., Any]) -> Callable[..., Any]:
    def reduce(x: Any, axis: Any = None, keepdims: bool = False, keep_dims: bool = False) -> Any:
        axis = tuple(axis) if isinstance(axis, list) else axis
        return operation(x, axis=axis, keepdims=bool(keepdims or keep_dims))

    return reduce


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "__operators__.getitem": _item,
    **{
        f"{module}{name}": _both(operation)
        for module in ("math.", "__operators__.")
        for name, operation in (
            ("add", ops.add),
            ("subtract", ops.subtract),
            ("multiply", ops.multiply),
            ("truediv", ops.true_divide),
            ("divide", ops.true_divide),
            ("maximum", ops.maximum),
            ("minimum", ops.minimum),
        )
    },
    "concat": _concatenated,
    "math.reduce_mean": _over_axis(ops.mean),
    "math.reduce_max": _over_axis(ops.max),
    "math.reduce_sum": _over_axis(ops.sum),
    "expand_dims": lambda x, axis: ops.expand_dims(x, axis),
    "squeeze": lambda x, axis=None: ops.squeeze(x, axis[0] if isinstance(axis, list) and len(axis) == 1 else axis),
    "reshape": lambda x, shape: ops.reshape(x, tuple(shape)),
    "transpose": lambda x, perm: ops.transpose(x, tuple(perm)),
    "identity": lambda x: x,
    "stop_gradient": lambda x: x,
    "nn.relu": _activation(ops.relu),
    "nn.relu6": _activation(ops.relu6),
    "nn.elu": _activation(ops.elu),
    "nn.silu": _activation(ops.silu),
    "nn.gelu": _activation(ops.gelu),
    "nn.softmax": _activation(ops.softmax),
    "nn.sigmoid": _activation(ops.sigmoid),
    "math.sigmoid": _activation(ops.sigmoid),
    "nn.tanh": _activation(ops.tanh),
    "math.tanh": _activation(ops.tanh),
    "nn.leaky_relu": _activation(lambda x, alpha=0.2: ops.leaky_relu(x, alpha)),
}

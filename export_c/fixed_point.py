"""Real factors as integers, by the rules of TensorFlow Lite's kernels.

References
----------
Jacob, B. et al. (2018), Quantization and training of neural networks for efficient integer-arithmetic-only inference,
CVPR, 2704-2713, section 2.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgequake.edge.base.errors import ModelError

_MOST_SHIFT = 30  # a factor below 2^-31 makes every product 0


@dataclass(frozen=True)
class Scale:
    """A factor ``multiplier * 2**-31 * 2**-shift``."""

    multiplier: int
    shift: int


@dataclass(frozen=True)
class TableScale:
    """A factor ``multiplier * 2**-shift`` from a tensor's steps to those of the sigmoid table, 1 / (3 * 4096)."""

    multiplier: int
    shift: int


def scale_of(factor: float) -> Scale:
    """Return a factor in fixed point: 31 bits, rounded half away from zero.

    Raises
    ------
    ModelError
        The factor is 1 or more, for which the kernels shift left: no network that convert makes has it.
    """
    if not 0.0 < factor < 1.0:
        raise ModelError(f"a quantized operator has the factor {factor:g}; C takes factors between 0 and 1")
    mantissa, exponent = math.frexp(factor)
    multiplier = math.floor(mantissa * 2.0**31 + 0.5)
    if multiplier == 1 << 31:
        multiplier, exponent = multiplier // 2, exponent + 1
    if exponent > 0 or -exponent > _MOST_SHIFT:
        raise ModelError(f"a quantized operator has the factor {factor:g}; C takes factors between 1e-9 and 1")
    return Scale(multiplier, -exponent)


def table_scale_of(scale: np.float32) -> TableScale:
    """Return the factor by which the 16-bit LOGISTIC and TANH take their input; as the kernels, it is truncated.

    Raises
    ------
    ModelError
        The scale is a power of two, for which the kernels have another rule.
    """
    if math.frexp(float(scale))[0] == 0.5:
        raise ModelError(f"the scale {float(scale):g} of a gate is a power of two, which C does not take")
    factor, shift = float(scale) * 4096.0 * 3.0, 0
    while factor <= 32767.0 / 2.0 and shift <= 30:
        factor, shift = factor * 2.0, shift + 1
    return TableScale(int(factor), shift)

"""An LSTM that is trained as its 8-bit graph will compute it, and as Keras does, at once.

A plainly trained LSTM integrates: its cell state c grows without bound, 8 bits of such a range are steps of nearly 1,
and the quantized detector sticks. So each training sequence is computed twice, in two halves of one batch:

- once with every intermediate value of the cell rounded as in the integer graph (gradients pass straight through,
  Bengio et al. 2013, arXiv:1308.3432; Jacob et al. 2018, arXiv:1712.05877),
- once without, and the difference of the two probabilities costs: a network that rests on its rounding, by latching
  a value where a small step is rounded away, would not be the network that Keras computes.

Cell states and gate sums that leave their limits cost too, so that 8 bits are fine steps. The weights then go into a
plain Keras LSTM.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

# Steps of the 8-bit tensors: TFLite fixes those of LOGISTIC (1/256) and TANH (1/128); the others are what calibration
# finds when values stay within about a third more than their limits.
CELL_LIMIT, GATE_SUM_LIMIT = 2.0, 6.0
GATE_SUM_STEP = 8.0 / 128.0
GATE_STEP = 1.0 / 256.0
TANH_STEP = 1.0 / 128.0
CELL_STEP = 3.0 / 128.0
LIMIT_PENALTY = 0.5  # loss per squared unit outside the limits, mean over rows and cells
DIFFERENCE_PENALTY = 100.0  # loss per squared difference of probability, mean


def rounded(values: Any, step: float, mask: Any) -> Any:
    """Round to multiples of `step` where `mask` is 1; the gradient is that of no rounding."""
    return values + ops.stop_gradient(mask * (ops.round(values / step) * step - values))


@keras.saving.register_keras_serializable("edgequake")
class RoundedLSTMCell(layers.LSTMCell):
    """Keras' LSTM cell, rounded in the first half of the batch; returns h, c and the gate sums."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(units, **options)
        self.output_size = 6 * units

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        """One step: inputs (batch, n_features), states [h, c], each (batch, units)."""
        hidden, cell = states
        mask = first_half(inputs)
        from_row = rounded(ops.matmul(inputs, self.kernel) + self.bias, GATE_SUM_STEP, mask)
        from_hidden = rounded(ops.matmul(hidden, self.recurrent_kernel), GATE_SUM_STEP, mask)
        gate_sums = rounded(from_row + from_hidden, GATE_SUM_STEP, mask)
        i, f, g, o = ops.split(gate_sums, 4, axis=1)
        i, f, o = (rounded(ops.sigmoid(gate), GATE_STEP, mask) for gate in (i, f, o))
        news = rounded(i * rounded(ops.tanh(g), TANH_STEP, mask), TANH_STEP, mask)
        cell = rounded(rounded(f * cell, CELL_STEP, mask) + news, CELL_STEP, mask)
        hidden = rounded(o * rounded(ops.tanh(cell), TANH_STEP, mask), TANH_STEP, mask)
        return ops.concatenate([hidden, cell, gate_sums], axis=1), [hidden, cell]


def first_half(values: Any) -> Any:
    """Return a column of 1 for the first half of the batch and 0 for the second, shape (batch, 1)."""
    n = ops.shape(values)[0]
    return ops.cast(ops.arange(n) < n // 2, values.dtype)[:, None]


@keras.saving.register_keras_serializable("edgequake")
class Doubled(layers.Layer):
    """Put a batch behind itself: (batch, ...) to (2 batch, ...)."""

    def call(self, values: Any) -> Any:
        """Repeat the batch."""
        return ops.concatenate([values, values], axis=0)


@keras.saving.register_keras_serializable("edgequake")
class Bounded(layers.Layer):
    """Pass on h of [h, c, gate sums], and charge for what is outside its limits.

    Shape (batch, n_rows, 6 units) to (batch, n_rows, units).
    """

    def call(self, values: Any) -> Any:
        """Split, charge, return h."""
        units = values.shape[2] // 6
        hidden, cell, gate_sums = ops.split(values, [units, 2 * units], axis=2)
        for part, limit in ((cell, CELL_LIMIT), (gate_sums, GATE_SUM_LIMIT)):
            self.add_loss(LIMIT_PENALTY * ops.mean(ops.square(ops.relu(ops.abs(part) - limit))))
        return hidden


@keras.saving.register_keras_serializable("edgequake")
class Agreeing(layers.Layer):
    """Charge for the difference between the halves of a doubled batch, and return their mean.

    Shape (2 batch, ...) to (batch, ...).
    """

    def call(self, probabilities: Any) -> Any:
        """Split, charge, average."""
        n = ops.shape(probabilities)[0] // 2
        with_rounding, without = probabilities[:n], probabilities[n:]
        self.add_loss(DIFFERENCE_PENALTY * ops.mean(ops.square(with_rounding - without)))
        return (with_rounding + without) / 2.0


def rounded_lstm(units: int, name: str, rows: Any) -> Any:
    """Apply a rounded LSTM that returns its whole sequence."""
    values = layers.RNN(RoundedLSTMCell(units), return_sequences=True, name=name)(rows)
    return Bounded(name=f"{name}_bounds")(values)

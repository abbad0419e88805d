"""An LSTM that is trained as its 8-bit graph will compute it.

A plainly trained LSTM integrates: its cell state c grows without bound, 8 bits of such a range are steps of nearly 1,
and the quantized detector sticks. So while training every intermediate value of the cell is rounded as in the integer
graph (gradients pass straight through, Bengio et al. 2013, arXiv:1308.3432; Jacob et al. 2018, arXiv:1712.05877), and
cell states and gate sums that leave their limits cost, so that 8 bits are fine steps. The weights then go into a plain
Keras LSTM.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

# Steps of the 8-bit tensors: TFLite fixes those of LOGISTIC (1/256) and TANH (1/128); the others are what calibration
# finds when values stay within about a third more than their limits.
CELL_LIMIT, GATE_SUM_LIMIT = 1.5, 6.0
GATE_SUM_STEP = 8.0 / 128.0
GATE_STEP = 1.0 / 256.0
TANH_STEP = 1.0 / 128.0
CELL_STEP = 2.0 / 128.0
PENALTY = 0.05  # loss per squared unit outside the limits, mean over rows and cells


def rounded(values: Any, step: float) -> Any:
    """Round to multiples of `step`; the gradient is that of no rounding."""
    return values + ops.stop_gradient(ops.round(values / step) * step - values)


@keras.saving.register_keras_serializable("edgequake")
class RoundedLSTMCell(layers.LSTMCell):
    """Keras' LSTM cell with every value rounded; returns h, c and the gate sums, so that these can be held in bounds."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(units, **options)
        self.output_size = 6 * units

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        """One step: inputs (batch, n_features), states [h, c], each (batch, units)."""
        hidden, cell = states
        from_row = rounded(ops.matmul(inputs, self.kernel) + self.bias, GATE_SUM_STEP)
        from_hidden = rounded(ops.matmul(hidden, self.recurrent_kernel), GATE_SUM_STEP)
        gate_sums = rounded(from_row + from_hidden, GATE_SUM_STEP)
        i, f, g, o = ops.split(gate_sums, 4, axis=1)
        i, f, o = (rounded(ops.sigmoid(gate), GATE_STEP) for gate in (i, f, o))
        news = rounded(i * rounded(ops.tanh(g), TANH_STEP), TANH_STEP)
        cell = rounded(rounded(f * cell, CELL_STEP) + news, CELL_STEP)
        hidden = rounded(o * rounded(ops.tanh(cell), TANH_STEP), TANH_STEP)
        return ops.concatenate([hidden, cell, gate_sums], axis=1), [hidden, cell]


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
            self.add_loss(PENALTY * ops.mean(ops.square(ops.relu(ops.abs(part) - limit))))
        return hidden


def rounded_lstm(units: int, name: str, rows: Any) -> Any:
    """Apply a rounded LSTM that returns its whole sequence."""
    values = layers.RNN(RoundedLSTMCell(units), return_sequences=True, name=name)(rows)
    return Bounded(name=f"{name}_bounds")(values)

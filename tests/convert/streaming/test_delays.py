"""Networks that read rows to come are stepped with a delay, and equal Keras row by row from the first one on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

N_FEATURES = 5


@dataclass(frozen=True)
class Case:
    """A network, and what is counted by hand: the rows by which it is late, and the steps before its first output."""

    make: Callable[[Any, Any, Any], Any]  # keras, layers, the input -> the output
    lag_rows: int
    warmup_steps: int
    n_rows: int | None = None  # of a window
    window_rows: int | None = None  # that the steps read, where it is not all of them


def sequence(*layers_of: Callable[[Any], Any]) -> Callable[[Any, Any, Any], Any]:
    def make(keras: Any, L: Any, x: Any) -> Any:
        for layer_of in layers_of:
            x = layer_of(L)(x)
        return x

    return make


def residual(keras: Any, L: Any, rows: Any) -> Any:
    """Return two `same` convolutions with a sum around them, one more beside it, and an LSTM: 2 + 1 + 3 rows late."""
    x = L.Conv1D(N_FEATURES, 3, padding="same")(L.Conv1D(N_FEATURES, 5, padding="same", activation="relu")(rows))
    x = L.Add(name="add")([rows, x])
    x = L.Concatenate()([x, L.Conv1D(4, 7, padding="same")(x)])
    return L.Dense(1)(L.LSTM(6, return_sequences=rows.shape[1] is None)(x))


def cropped(keras: Any, L: Any, rows: Any) -> Any:
    """Return a `valid` convolution with a cropped sum around it: the output belongs to the middle of three rows."""
    x = L.Add()([L.Cropping1D((1, 1))(rows), L.Conv1D(N_FEATURES, 3)(rows)])
    return L.Dense(1)(L.GRU(4, return_sequences=True)(x))


def two_ends(keras: Any, L: Any, rows: Any) -> Any:
    """Return an LSTM that is done with the window, and a maximum that needs two rows of zeros after it."""
    x = L.LSTM(4, return_sequences=True)(rows)
    late = L.GlobalMaxPooling1D()(L.Conv1D(3, 4, padding="same", activation="relu")(x))
    return L.Dense(1)(L.Concatenate()([late, L.LSTM(3)(x)]))


def operations(keras: Any, L: Any, rows: Any) -> Any:
    """Return a network that is written with operations: arithmetic with numbers, means over time, the last row."""
    x = L.LSTM(4, return_sequences=True)(L.Conv1D(4, 3, padding="same")((rows * 2.0 + 1.0) / 4.0 - 0.5))
    sequence, hidden, _ = L.LSTM(4, return_sequences=True, return_state=True)(x)
    parts = [keras.ops.mean(x, axis=1), keras.ops.max(sequence, axis=1), hidden, x[:, -1]]
    return L.Dense(1)(L.Concatenate()(parts))


def images(keras: Any, L: Any, rows: Any) -> Any:
    x = L.Conv2D(4, (3, 3), padding="same", activation="relu")(keras.ops.expand_dims(rows, -1))
    x = L.Reshape((12, -1))(L.MaxPooling2D((2, 2))(x))
    return L.Dense(3, activation="softmax")(L.LSTM(5, return_sequences=True)(x))


CASES = {
    "same": Case(
        sequence(
            lambda L: L.Conv1D(6, 4, padding="same", activation="relu"),  # one row before, two after
            lambda L: L.LSTM(5, return_sequences=True),
            lambda L: L.Conv1D(4, 3, padding="same"),
            lambda L: L.GRU(4, return_sequences=True),
        ),
        3,
        3,
    ),
    "valid, the middle of five rows": Case(
        sequence(
            lambda L: L.LSTM(5, return_sequences=True),
            lambda L: L.Conv1D(6, 5),
            lambda L: L.LSTM(5, return_sequences=True),
        ),
        2,
        4,
    ),
    "same with strides and pools": Case(
        sequence(
            lambda L: L.Conv1D(6, 3, padding="same", activation="relu"),
            lambda L: L.MaxPooling1D(2),
            lambda L: L.Conv1D(6, 3, padding="same", activation="relu"),
            lambda L: L.MaxPooling1D(3, padding="same"),
            lambda L: L.LSTM(4, return_sequences=True),
        ),
        12,
        2,
    ),
    "depthwise and separable": Case(
        sequence(
            lambda L: L.SeparableConv1D(6, 3, padding="same", activation="relu"),
            lambda L: L.DepthwiseConv1D(3, padding="same"),
            lambda L: L.LSTM(4, return_sequences=True),
        ),
        2,
        2,
    ),
    "zeros on both sides": Case(
        sequence(
            lambda L: L.ZeroPadding1D((1, 1)),
            lambda L: L.Conv1D(6, 3, activation="relu"),
            lambda L: L.ZeroPadding1D(2),
            lambda L: L.Conv1D(6, 5),
            lambda L: L.LSTM(4, return_sequences=True),
        ),
        3,
        3,
    ),
    "residuals and branches": Case(residual, 6, 6),
    "residual of a cropped branch": Case(cropped, 1, 2),
    "residuals and branches in a window": Case(residual, 6, 6, 30),
    "a window of 50 rows, pools of 2 and 2": Case(
        sequence(
            lambda L: L.Conv1D(8, 3, padding="same", activation="relu"),
            lambda L: L.MaxPooling1D(2),
            lambda L: L.Conv1D(8, 5, padding="same", activation="relu"),
            lambda L: L.MaxPooling1D(2),
            lambda L: L.LSTM(6),
        ),
        6,
        2,
        50,
    ),
    "a window whose last two rows have no effect": Case(
        sequence(lambda L: L.Conv1D(8, 1, activation="relu"), lambda L: L.MaxPooling1D(4), lambda L: L.LSTM(8)),
        0,
        0,
        50,
        48,
    ),
    "a mean over a window of strides of three": Case(
        sequence(
            lambda L: L.Conv1D(8, 5, strides=3, padding="same"),
            lambda L: L.LSTM(4, return_sequences=True),
            lambda L: L.Conv1D(4, 3, padding="same"),
            lambda L: L.GlobalAveragePooling1D(),
        ),
        5,
        0,
        37,
    ),
    "a vector early and one late": Case(two_ends, 2, 2, 20),
    "operations in place of layers": Case(operations, 1, 1, 20),
    "images": Case(images, 2, 1, 24),
    "a window of one row": Case(
        sequence(lambda L: L.LSTM(4, return_sequences=True), lambda L: L.LSTM(4), lambda L: L.Dense(1)), 0, 0, 1
    ),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def build(case: Case) -> Any:
    import keras
    from keras import layers

    rows = keras.Input((case.n_rows, N_FEATURES))
    model = keras.Model(rows, case.make(keras, layers, rows))
    rng = np.random.default_rng(3)
    for weight in model.weights:
        weight.assign(rng.normal(0, 0.5, weight.shape))
    return model


def test_late_steps_equal_keras_from_the_first_row_on(case: Case) -> None:
    from edgequake.convert.streaming import stepping
    from edgequake.convert.streaming.step_model import build_step_graph

    model, mode = build(case), "continuous" if case.n_rows is None else "windowed"
    graph = build_step_graph(model, mode)
    assert (graph.lag_rows, graph.warmup_steps) == (case.lag_rows, case.warmup_steps)
    assert graph.window_rows == (case.window_rows or case.n_rows)
    rows = np.random.default_rng(4).normal(size=(1 if mode == "continuous" else 3, case.n_rows or 97, N_FEATURES))
    expected = stepping.sequence_probabilities(model, graph, rows.astype(np.float32))
    call = stepping.keras_step(graph)
    got = np.stack([stepping.step_probabilities(graph, one, call) for one in rows])[:, -expected.shape[1] :]
    if mode == "continuous":  # every row from Keras' first one to the last whose rows have all come
        assert expected.shape[1] == 97 // graph.rows_per_step - case.warmup_steps
    assert float(np.std(expected)) > 1e-3
    np.testing.assert_allclose(got, expected, atol=2e-6)


def test_the_output_belongs_to_the_row_that_the_lag_says() -> None:
    """A `same` convolution of [0, 0, 1] at the middle is the row itself; stepped, it comes as late as the lag."""
    import keras
    from keras import layers

    from edgequake.convert.streaming import stepping
    from edgequake.convert.streaming.step_model import build_step_graph

    rows = keras.Input((None, 1))
    model = keras.Model(rows, layers.Conv1D(1, 5, padding="same", use_bias=False)(rows))
    model.set_weights([np.array([0, 0, 1, 0, 0], np.float32).reshape(5, 1, 1)])
    graph = build_step_graph(model, "continuous")
    impulse = np.zeros((20, 1), np.float32)
    impulse[9] = 1.0
    assert graph.lag_rows == 2
    assert np.flatnonzero(stepping.step_probabilities(graph, impulse)[:, 0]).tolist() == [9 + graph.lag_rows]


class KerasNetwork:
    """The step graph in Keras in place of the runner's network."""

    def __init__(self, graph: Any) -> None:
        from edgequake.convert.streaming import stepping

        self.graph, self._call, self._resets = graph, stepping.keras_step(graph), stepping.resets_of(graph)
        self.reset()

    def reset(self) -> None:
        self._states = {state.name: np.zeros(state.shape, np.float32) for state in self.graph.states}

    def state(self) -> list[Any]:
        return [self._states[state.name] for state in self.graph.states]

    def set_state(self, values: list[Any]) -> None:
        self._states = {state.name: value for state, value in zip(self.graph.states, values, strict=True)}

    def run(self, steps: Any) -> Any:
        return self.run_from(1_000_000, steps)

    def run_from(self, n_done: int, steps: Any) -> Any:
        made = []
        for i, rows in enumerate(steps):
            for name in self._resets.get(n_done + i, ()):
                self._states[name] = np.zeros_like(self._states[name])
            outputs = self._call({"rows": rows[np.newaxis], **self._states})
            self._states = {name: outputs[name + "_next"] for name in self._states}
            made.append(outputs["probabilities"][0])
        return np.array(made, np.float32)


@pytest.mark.parametrize(
    ("layers_of", "lag_rows", "n_zeros"),
    [
        ((lambda L: L.Conv1D(4, 5, padding="same"), lambda L: L.GRU(3, return_sequences=True)), 2, 0),
        ((lambda L: L.Conv1D(4, 4, strides=2, padding="same"), lambda L: L.LSTM(3, return_sequences=True)), 2, 0),
        ((lambda L: L.Conv1D(4, 5, padding="same"), lambda L: L.Conv1D(3, 3, padding="same")), 3, 3),
        ((lambda L: L.Conv1D(4, 5, activation="relu"), lambda L: L.Conv1D(3, 3)), 3, 3),
    ],
    ids=["one layer", "strides", "two layers", "valid"],
)
def test_the_end_of_a_record_equals_keras(layers_of: tuple[Any, ...], lag_rows: int, n_zeros: int) -> None:
    """Where the delay line is flushed, the last rows have Keras' outputs, and rows that follow are not disturbed.

    n_zeros : rows of zeros after the record for Keras: its own padding does for one layer that reads rows to come.
    """
    from types import SimpleNamespace

    from edgequake.convert.streaming.step_model import build_step_graph
    from edgequake.edge.detection.stepper import StatefulStepper

    model = build(Case(sequence(*layers_of, lambda L: L.Dense(1)), lag_rows, 0))
    graph = build_step_graph(model, "continuous")
    rows = np.random.default_rng(5).normal(size=(40, N_FEATURES)).astype(np.float32)
    expected = model.predict(np.pad(rows, ((0, n_zeros), (0, 0)))[np.newaxis], verbose=0)[0, :, 0]
    stepper = StatefulStepper(KerasNetwork(graph), SimpleNamespace(network=graph))  # type: ignore[arg-type]
    made = list(stepper.push(rows[:31]))
    stepper.flush()
    made += [(31 + last, n, values) for last, n, values in stepper.push(rows[31:])]
    made += [(40 + last, n, values) for last, n, values in stepper.flush()]
    first = graph.rows_per_step * (graph.warmup_steps + 1) - 1
    assert graph.lag_rows == lag_rows
    assert [last for last, *_ in made] == list(range(first, 40 + lag_rows, graph.rows_per_step))
    np.testing.assert_allclose([values[0] for *_, values in made], expected[: len(made)], atol=2e-6)
    assert len(expected) - len(made) == 0 if n_zeros == 0 else np.ptp(expected[-lag_rows:]) > 0


def test_masks_and_names_have_no_effect() -> None:
    """Masking is left out, several outputs become columns, and no name of a layer meets one of the step graph."""
    import keras
    from keras import layers as L

    from edgequake.convert.streaming import masking, stepping
    from edgequake.convert.streaming.layer_graph import trace
    from edgequake.convert.streaming.step_model import build_step_graph
    from edgequake.edge.base.errors import ModelError

    rows = keras.Input((None, N_FEATURES), name="probabilities")
    x = L.LSTM(4, return_sequences=True, name="rows")(L.Masking(name="lstm_gates_x")(rows))
    x = L.GRU(4, return_sequences=True, name="lstm")(L.Add(name="get_item_1")([x, L.Dense(4, name="split")(rows)]))
    heads = [L.Dense(1, activation="sigmoid", name="step")(x), L.Dense(2, activation="softmax", name="lstm_h")(x)]
    model = keras.Model(rows, heads)
    graph, layers = build_step_graph(model, "continuous"), trace(model)
    assert [(head.name, head.n_columns, head.activation) for head in layers.heads] == [
        ("step", 1, "sigmoid"),
        ("lstm_h", 2, "softmax"),
    ]
    some = np.random.default_rng(5).normal(size=(1, 40, N_FEATURES)).astype(np.float32)
    stepping.check_step_graph(graph, some, stepping.sequence_probabilities(model, graph, some))
    assert masking.remarks(layers, some) == [
        "layer 'lstm_gates_x' (Masking) is left out: none of 40 rows is 0 throughout"
    ]
    some[0, 7] = 0.0
    with pytest.raises(ModelError, match=r"skips rows of 0 throughout, and 1 of 40 rows are such; a stream skips no"):
        masking.remarks(layers, some)

"""The network in C: every state and output of every step is the runtime's, bit for bit."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgequake.edge.detection.network import load_interpreter
from edgequake.export_c.network_reader import read_network
from edgequake.export_c.operator_tables import logistic_table, run_operator, sigmoid_table

from .exports import IS_LONG, MODELS, Exported

Export = Callable[[str], Exported]
N_STEPS = 20_000 if IS_LONG else 300


class RuntimeNetwork:
    """The graph in the runtime, states in its own integers."""

    def __init__(self, model: Exported) -> None:
        self._interpreter, _ = load_interpreter(model.graph)
        self._variant, names = model.variant, [state.name for state in model.manifest.network.states]
        self._inputs = {detail["name"]: detail for detail in self._interpreter.get_input_details()}
        self._outputs = {detail["name"]: detail for detail in self._interpreter.get_output_details()}
        self.states = {name: self._zero(model.variant.state_inputs[name]) for name in names}

    def _zero(self, tensor: str) -> npt.NDArray[Any]:
        detail = self._inputs[tensor]
        return np.full(detail["shape"], detail["quantization"][1], detail["dtype"])

    def step(self, row: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        variant, run = self._variant, self._interpreter
        run.set_tensor(self._inputs[variant.frame_tensor]["index"], row.reshape(1, 1, -1))
        for name, value in self.states.items():
            run.set_tensor(self._inputs[variant.state_inputs[name]]["index"], value)
        run.invoke()
        for name in self.states:
            self.states[name] = run.get_tensor(self._outputs[variant.state_outputs[name]]["index"])
        return np.asarray(run.get_tensor(self._outputs[variant.probability_tensor]["index"])).ravel()


class CNetwork:
    """The network in the library, with its state as arrays over the library's memory."""

    def __init__(self, model: Exported, runtime: RuntimeNetwork) -> None:
        self._library = ctypes.CDLL(str(model.folder / f"libeq_{model.manifest.name}.so"))
        self._memory = (ctypes.c_uint64 * (self._library.eq_host_size() // 8 + 1))()
        self._library.eq_host_init(self._memory, ctypes.c_double(0.5))
        self._library.eq_host_network.restype = ctypes.POINTER(ctypes.c_int8)
        n_contexts, h, c = ctypes.c_int32(), ctypes.POINTER(ctypes.c_int8)(), ctypes.POINTER(ctypes.c_int16)()
        contexts = self._library.eq_host_network(
            self._memory, ctypes.byref(n_contexts), ctypes.byref(h), ctypes.byref(c)
        )
        n_units = next(value.size for value in runtime.states.values() if value.dtype == np.int16)
        self._h, self._c = np.ctypeslib.as_array(h, (n_units,)), np.ctypeslib.as_array(c, (n_units,))
        self._contexts = np.ctypeslib.as_array(contexts, (n_contexts.value,))
        self._probabilities = np.zeros(8, np.int8)

    def step(self, row: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        pointers = (array.ctypes.data_as(ctypes.c_void_p) for array in (row, self._probabilities))
        self._library.eq_host_step(self._memory, *pointers)
        return self._probabilities

    def parts(self, model: Exported, runtime: RuntimeNetwork) -> dict[str, npt.NDArray[Any]]:
        """Return this network's arrays of the states, by the manifest's names; without a context's oldest row."""
        parts, offset = {}, 0
        for state in model.manifest.network.states:
            value = runtime.states[state.name]
            if state.kind == "context":
                n_row = value.shape[-1]
                parts[state.name] = self._contexts[offset + n_row : offset + n_row + value.size]
                offset += n_row + value.size
            else:
                parts[state.name] = self._c if value.dtype == np.int16 else self._h
        return parts


def rows(rng: np.random.Generator, n_features: int) -> npt.NDArray[np.int8]:
    """Return a row: sometimes anything, mostly what features look like."""
    if rng.random() < 0.3:
        return rng.integers(-128, 128, n_features).astype(np.int8)
    return np.clip(np.rint(rng.normal(-60.0, 30.0, n_features)), -128, 127).astype(np.int8)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("is_random", [False, True], ids=["fed back", "random states"])
def test_every_step_is_the_runtimes(name: str, is_random: bool, exported: Export) -> None:
    model = exported(name)
    runtime = RuntimeNetwork(model)
    c = CNetwork(model, runtime)
    parts, rng = c.parts(model, runtime), np.random.default_rng(3)
    for step in range(N_STEPS // 10 if is_random else N_STEPS):
        if is_random:
            for state, part in parts.items():
                limits = np.iinfo(part.dtype)
                part[:] = rng.integers(limits.min, limits.max + 1, len(part))
                runtime.states[state] = part.reshape(runtime.states[state].shape).copy()
        row = rows(rng, model.manifest.network.n_features)
        expected = runtime.step(row)
        assert np.array_equal(c.step(row)[: len(expected)], expected), step
        for state, part in parts.items():
            assert np.array_equal(part, runtime.states[state].ravel()), (step, state)


@pytest.mark.parametrize("is_cell", [False, True], ids=["gates", "cell"])
def test_every_input_of_the_16_bit_functions(is_cell: bool, exported: Export) -> None:
    model = exported("earth")
    interpreter = load_interpreter(model.graph)[0]
    tensors = interpreter.get_tensor_details()  # inner ones have no names
    # The cell's scale is that of the state; the gates' is what the SPLIT gets.
    (detail,) = (t for t in tensors if t["name"] == model.variant.state_inputs["lstm_0_c"])
    scale = float(detail["quantization"][0])
    if not is_cell:
        (split,) = (one for one in interpreter._get_ops_details() if one["op_name"] == "SPLIT")
        (detail,) = (t for t in tensors if t["index"] in split["inputs"] and t["dtype"] == np.int16)
        scale = float(detail["quantization"][0])
    inputs = np.arange(-(1 << 15), 1 << 15).astype(np.int16)
    logistic, tanh = np.empty_like(inputs), np.empty_like(inputs)
    library = ctypes.CDLL(str(model.folder / "libeq_earth.so"))
    pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (inputs, logistic, tanh)]
    library.eq_host_tables(pointers[0], len(inputs), pointers[1], pointers[2], int(is_cell))
    scales = {float(t["quantization"][0]) for t in tensors if t["dtype"] == np.int16}
    assert scale in scales
    assert np.array_equal(tanh, run_operator("TANH", "int16", scale, 2.0**-15, inputs))
    assert np.array_equal(logistic, run_operator("LOGISTIC", "int16", scale, 2.0**-15, inputs))


def test_the_sigmoid_table_is_near_the_sigmoid_and_not_its_rounding() -> None:
    table = sigmoid_table().astype(np.int64)
    exact = np.rint(65536.0 / (1.0 + np.exp(-np.arange(256) / 24.0))).astype(np.int64)
    assert np.all(np.abs(table - np.minimum(exact, 65535)) <= 1)
    assert np.sum(table != exact) == 44  # known of the kernels of TensorFlow Lite


def test_the_table_of_the_last_operator_is_a_sigmoid(exported: Export) -> None:
    model = exported("moon")
    network = read_network(model.manifest, model.variant, model.graph)
    table = logistic_table(network.logistic_scale, network.logistic_zero, 1 / 256, -128).astype(np.float64)
    x = (np.arange(-128, 128) - network.logistic_zero) * network.logistic_scale
    assert np.all(np.abs((table + 128.0) / 256.0 - 1.0 / (1.0 + np.exp(-x))) <= 0.51 / 256.0 + 1 / 256.0 * (x > 5))

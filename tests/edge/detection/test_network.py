"""The stepped graph: its state is its whole memory, and can be saved and restored."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest

from edgequake.edge.base.errors import ModelError
from edgequake.edge.detection.network import StepNetwork, import_runtime
from edgequake.edge.manifest.manifest import Manifest, Variant

Moon = tuple[Manifest, bytes, Variant]


@pytest.fixture
def rows(moon: Moon) -> np.ndarray:
    """Return 300 steps of random features: float32, shape (300, rows_per_step, n_features)."""
    config = moon[0].network
    shape = (300, config.rows_per_step, config.n_features)
    values = np.random.default_rng(8).normal(0.0, 0.5, shape)
    values[150:] += 1.5  # loud from here on
    values[..., -1] = 0.0
    return (np.rint(np.clip(values, -1, 3) * 64) / 64).astype(np.float32)


def test_the_state_changes_the_output_for_the_same_rows(moon: Moon, rows: np.ndarray) -> None:
    network = StepNetwork(*moon)
    first, second = network.run(rows), network.run(rows)
    assert first.dtype == np.float32 and first.shape == (300, len(moon[0].network.outputs))
    assert np.all((first >= 0) & (first <= 1)) and np.ptp(first) > 0.05
    assert np.any(first != second)


def test_reset_restores_the_first_output(moon: Moon, rows: np.ndarray) -> None:
    network = StepNetwork(*moon)
    first = network.run(rows)
    network.reset()
    np.testing.assert_array_equal(network.run(rows), first)


def test_steps_one_by_one_equal_the_run(moon: Moon, rows: np.ndarray) -> None:
    network = StepNetwork(*moon)
    whole = network.run(rows)
    network.reset()
    np.testing.assert_array_equal(np.stack([network.step(row) for row in rows]), whole)


def test_a_run_is_resumed_from_its_state_in_another_interpreter(moon: Moon, rows: np.ndarray) -> None:
    network = StepNetwork(*moon)
    whole = network.run(rows)
    network.reset()
    network.run(rows[:151])
    state = network.state()
    assert [value.shape for value in state] == [s.shape for s in moon[0].network.states]
    network.run(rows[:50])  # the copy must not change
    other = StepNetwork(*moon)
    other.set_state(state)
    np.testing.assert_array_equal(other.run(rows[151:]), whole[151:])


def test_a_state_of_another_length_is_refused(moon: Moon) -> None:
    network = StepNetwork(*moon)
    with pytest.raises(ValueError, match=r"zip\(\)"):
        network.set_state(network.state()[:-1])


def test_recurrent_states_are_reset_before_their_own_step(moon: Moon, rows: np.ndarray) -> None:
    """Run 30 steps of which the LSTM's h is reset before step 7, and c before step 11: as a loop by hand."""
    manifest, graph, variant = moon
    resets = {"h": 7, "c": 11}
    states = tuple(
        replace(state, reset_step=resets[state.name[-1]] if state.kind == "recurrent" else None)
        for state in manifest.network.states
    )
    changed = replace(manifest, network=replace(manifest.network, states=states, warmup_steps=11))
    network = StepNetwork(changed, graph, variant)
    steps = rows[:30]
    got = np.concatenate([network.run_from(0, steps[:9]), network.run_from(9, steps[9:])])
    by_hand, network = [], StepNetwork(moon[0], graph, variant)
    zeros = network.state()
    for step in range(30):
        values = network.state()
        for k, state in enumerate(states):
            if state.reset_step == step:
                values[k] = zeros[k]
        network.set_state(values)
        by_hand.append(network.run(steps[step : step + 1])[0])
    np.testing.assert_array_equal(got, by_hand)


def test_the_graph_computes_what_the_runtime_computes_by_hand(moon: Moon, rows: np.ndarray) -> None:
    """The wrapper equals a plain loop over the runtime's own interface, with the quantization written out."""
    manifest, graph, variant = moon
    module, _ = import_runtime()
    resolver = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = module.Interpreter(model_content=graph, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    inputs = {d["name"]: d for d in interpreter.get_input_details()}
    outputs = {d["name"]: d for d in interpreter.get_output_details()}

    def to_integers(name: str, values: np.ndarray) -> np.ndarray:
        tensor = variant.quantization[name]
        if tensor.dtype == "float32":
            return values
        limits = np.iinfo(tensor.dtype)
        steps = [round(float(np.float32(v) / np.float32(tensor.scale))) + tensor.zero_point for v in values.ravel()]
        return np.clip(steps, limits.min, limits.max).reshape(values.shape).astype(tensor.dtype)

    state = {
        name: to_integers(tensor, np.zeros(inputs[tensor]["shape"])) for name, tensor in variant.state_inputs.items()
    }
    answers = []
    for row in rows:
        interpreter.set_tensor(
            inputs[variant.frame_tensor]["index"], to_integers(variant.frame_tensor, row[np.newaxis])
        )
        for name, tensor in variant.state_inputs.items():
            interpreter.set_tensor(inputs[tensor]["index"], state[name])
        interpreter.invoke()
        state = {n: interpreter.get_tensor(outputs[t]["index"]) for n, t in variant.state_outputs.items()}
        tensor = variant.quantization[variant.probability_tensor]
        answer = interpreter.get_tensor(outputs[variant.probability_tensor]["index"])[0].astype(np.float64)
        answers.append(answer if tensor.dtype == "float32" else (answer - tensor.zero_point) * tensor.scale)
    np.testing.assert_allclose(StepNetwork(manifest, graph, variant).run(rows), answers, atol=1e-6)


@pytest.mark.parametrize("field", ["frame_tensor", "probability_tensor"])
def test_a_missing_tensor_is_named(field: str, moon: Moon) -> None:
    manifest, graph, variant = moon
    with pytest.raises(ModelError, match=r"the graph has no .*put tensor 'nothing' that its manifest names"):
        StepNetwork(manifest, graph, dataclasses.replace(variant, **{field: "nothing"}))


@pytest.mark.parametrize("graph", [b"", b"TFL3", b"\0" * 1000])
def test_bytes_that_are_not_a_graph_are_refused(graph: bytes, moon: Moon) -> None:
    with pytest.raises(ModelError, match="cannot load the graph"):
        StepNetwork(moon[0], graph, moon[2])

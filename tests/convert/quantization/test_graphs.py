"""The TFLite graphs, run by the device's own stepper, against Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgequake.convert.inspection.operators import (
    RUNTIMES,
    OperatorUse,
    minimum_runtime,
    oldest_runtime,
    operator_uses,
    unsupported,
)
from edgequake.convert.inspection.tflite_reader import read_graph_file
from edgequake.convert.verification.agreement import check_agreement, probability_agreement
from edgequake.edge.base.errors import GateError, ModelError

N_ROWS = 2_000
WINDOW_ROWS = 48


@pytest.mark.slow  # test_step_model.py compares the same networks before TensorFlow converts them
def test_float_graph_equals_keras_over_a_long_sequence(
    continuous_network: Any, convert: Callable[..., Any], make_rows: Callable[..., Any]
) -> None:
    made = convert(continuous_network, "continuous", ["onset", "event"], None, ())
    rows = make_rows(N_ROWS, 1)[np.newaxis]
    expected = continuous_network.predict_on_batch(rows)
    got = made.probabilities("float32", rows)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.slow
def test_float_windows_equal_keras(
    windowed_network: tuple[Any, int], convert: Callable[..., Any], make_rows: Callable[..., Any]
) -> None:
    model, warmup_steps = windowed_network
    windows = np.stack([make_rows(WINDOW_ROWS, seed) for seed in range(8)])
    made = convert(model, "windowed", ["event"], None, ())
    assert made.manifest.network.warmup_steps == warmup_steps
    np.testing.assert_allclose(made.probabilities("float32", windows)[:, 0], model.predict_on_batch(windows), atol=1e-5)


@pytest.fixture(scope="module")
def trained_like(
    build_network: Callable[..., Any], convert: Callable[..., Any], make_rows: Callable[..., Any]
) -> tuple[Any, Any]:
    """Return a network of the shipped model's kind and its graphs in every variant."""

    def layers_of(layers: Any) -> list[Any]:
        return [
            layers.Conv1D(8, 5, padding="causal", activation="relu"),
            layers.Conv1D(8, 3, padding="causal", activation="relu"),
            layers.LSTM(12, return_sequences=True),
            layers.LSTM(6, return_sequences=True),
            layers.Dense(2, activation="sigmoid"),
        ]

    model = build_network(layers_of, None)
    rows = make_rows(4_000, 2)[np.newaxis]
    return model, convert(model, "continuous", ["onset", "event"], rows, ("dynamic", "int8", "int16x8"))


# The unit is a probability, which int8 divides into 256 values, 0.0039 per step. A gate's sum covers about 20 in 255
# steps; half a step of it changes a sigmoid by up to 0.01, and some of that is carried on in the cell state. These
# random weights of up to 0.9 are harder than trained ones. int16x8 has 256 times as many steps; dynamic only rounds
# weights to 1/127 of their largest.
@pytest.mark.slow
@pytest.mark.parametrize(("variant", "rms_limit"), [("dynamic", 0.01), ("int8", 0.03), ("int16x8", 0.01)])
def test_quantized_graphs_stay_close_to_keras(
    trained_like: tuple[Any, Any], make_rows: Callable[..., Any], variant: str, rms_limit: float
) -> None:
    model, made = trained_like
    rows = make_rows(N_ROWS, 3)[np.newaxis]
    expected = model.predict_on_batch(rows)
    measured = probability_agreement(made.probabilities(variant, rows), expected, N_ROWS)
    assert float(np.std(expected)) > 4 * rms_limit
    assert measured["n_frames"] == N_ROWS
    assert measured["probability_rms_error"] < rms_limit
    assert measured["probability_rms_error"] <= measured["probability_max_error"]


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["int8", "int16x8"])
def test_integer_states_have_the_same_scale_at_both_ends(trained_like: tuple[Any, Any], variant: str) -> None:
    made = trained_like[1].manifest.variants[variant]
    assert len(made.state_inputs) == 6
    for state, name in made.state_inputs.items():
        entering, leaving = made.quantization[name], made.quantization[made.state_outputs[state]]
        assert entering == leaving
        is_wide = variant == "int16x8" or state.endswith("_c")  # a cell's sum has 16 bits in int8 graphs too
        assert entering.dtype == ("int16" if is_wide else "int8")
        assert entering.scale > 1e-6


@pytest.mark.slow
def test_graphs_need_no_newer_runtime_and_no_signature(trained_like: tuple[Any, Any]) -> None:
    from tensorflow.lite.tools import flatbuffer_utils

    for name, graph in trained_like[1].graphs.items():
        uses = operator_uses(read_graph_file(graph, name))
        assert trained_like[1].manifest.variants[name].minimum_runtime == oldest_runtime(uses)
        assert all(use.version <= len(RUNTIMES[use.name]) for use in uses)
        assert not flatbuffer_utils.read_model_from_bytearray(bytearray(graph)).signatureDefs


def test_equal_biases_do_not_share_a_scale(
    build_network: Callable[..., Any], convert: Callable[..., Any], make_rows: Callable[..., Any]
) -> None:
    """Two LSTMs with Keras' initial biases (0, 1, 0, 0): these are stored once, with the scale of the first one."""

    def layers_of(layers: Any) -> list[Any]:
        recurrent = [layers.LSTM(8, return_sequences=True) for _ in range(2)]
        return [*recurrent, layers.Dense(1, activation="sigmoid")]

    model = build_network(layers_of, None)
    for layer in model.layers[:2]:
        layer.cell.bias.assign(np.repeat([0.0, 1.0, 0.0, 0.0], 8))
    model.layers[1].cell.kernel.assign(model.layers[1].cell.kernel / 4)  # so that the scales do differ
    rows = make_rows(1_000, 4)[np.newaxis]
    made = convert(model, "continuous", ["event"], rows, ("int16x8",))
    error = made.probabilities("int16x8", rows) - model.predict_on_batch(rows)
    assert float(np.abs(error).max()) < 0.01


def test_a_network_whose_calibration_is_all_zero_is_refused(
    build_network: Callable[..., Any], convert: Callable[..., Any]
) -> None:
    """Without biases, rows of zeros leave h and c at zero: the quantizer then assumes a range of 2e-6."""

    def layers_of(layers: Any) -> list[Any]:
        return [layers.LSTM(4, return_sequences=True, use_bias=False), layers.Dense(1, activation="sigmoid")]

    model = build_network(layers_of, None)
    still = np.zeros((1, 50, 5), np.float32)
    with pytest.raises(ModelError, match=r"of the int8 graph has scale .*: expected more than 1e-05, but it was zero"):
        convert(model, "continuous", ["event"], still, ("int8",))


def test_minimum_runtime_is_that_of_the_newest_operator() -> None:
    def minimum(*uses: tuple[str, int], where: str = "x") -> str:
        return minimum_runtime([OperatorUse(name, version) for name, version in uses], where)

    assert minimum(("ADD", 1), ("FULLY_CONNECTED", 4), ("CONV_2D", 6), ("TANH", 2)) == "2.9.0"
    assert minimum(("RESHAPE", 1), ("CONCATENATION", 1)) == "1.5.0"
    with pytest.raises(ModelError, match=r"^the dynamic graph needs FULLY_CONNECTED version 12, which is not among"):
        minimum(("FULLY_CONNECTED", 12), where="the dynamic graph")
    with pytest.raises(ModelError, match=r"^the int8 graph needs WHILE version 1, which is not among"):
        minimum(("WHILE", 1), where="the int8 graph")


def test_the_oldest_runtime_depends_on_the_types_and_not_only_on_the_version() -> None:
    """The converter writes version 2 on a 16-bit LOGISTIC, whose kernel was introduced as version 3, in 2.3.0."""
    eight, sixteen = (OperatorUse("LOGISTIC", 2, frozenset({dtype})) for dtype in ("int8", "int16"))
    assert (oldest_runtime([eight]), oldest_runtime([eight, sixteen])) == ("1.14.0", "2.3.0")
    dense = OperatorUse("FULLY_CONNECTED", 4, frozenset({"int8", "int32"}), per_channel=True)
    assert oldest_runtime([dense]) == "2.14.0"
    assert oldest_runtime([OperatorUse("FULLY_CONNECTED", 4, frozenset({"int8"}))]) == "1.14.0"


def test_operators_that_the_runtime_lacks_are_named() -> None:
    uses = [
        OperatorUse("FlexTensorListStack", 1, is_custom=True),
        OperatorUse("Mine", 1, is_custom=True),
        OperatorUse("FULLY_CONNECTED", 12),
        OperatorUse("ADD", 1),
    ]
    assert unsupported(uses) == [
        "TensorFlow's Flex operator FlexTensorListStack",
        "custom operator Mine",
        "FULLY_CONNECTED version 12",
    ]


def test_agreement_is_computed_as_documented_and_gated() -> None:
    expected = np.zeros((1, 4, 1), np.float32)
    measured = probability_agreement(np.array([[[0.0], [0.3], [-0.4], [0.0]]], np.float32), expected, n_rows=8)
    assert measured["n_frames"] == 8
    assert measured["probability_max_error"] == pytest.approx(0.4)
    assert measured["probability_rms_error"] == pytest.approx(0.25)  # sqrt((0.09 + 0.16) / 4)
    # thirds of four steps: two, one and one
    thirds = [measured[f"probability_rms_error_third_{k}"] for k in (1, 2, 3)]
    assert thirds == pytest.approx([0.3 / 2**0.5, 0.4, 0.0])
    with pytest.raises(GateError, match=r"int8 graph's .* by 0.250 rms \(largest 0.400\), expected at most 0.05 rms"):
        check_agreement(measured, "int8")
    with pytest.raises(ModelError, match=r"float32 graph's probabilities differ from Keras by 0.4, expected less than"):
        check_agreement(measured, "float32")
    check_agreement({**measured, "probability_rms_error": 0.05}, "int8")
    with pytest.raises(GateError):
        check_agreement({**measured, "probability_rms_error": float("nan")}, "int8")
    check_agreement({**measured, "probability_max_error": 0.0015}, "float32", size=159.0)  # of a lifetime, say
    with pytest.raises(ModelError, match=r"by 0.0016, expected less than 0.00159"):
        check_agreement({**measured, "probability_max_error": 0.0016}, "float32", size=159.0)

"""A few architectures from Keras to the installed runtimes, and the page that lists them all."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FLOAT_LIMIT = 1e-5
FEWEST = 40
LONG = "EDGEQUAKE_LONG_CONFORMANCE" in os.environ  # set by `make conformance`

# name -> largest rms error of int8: these random weights saturate, and their outputs are less smooth than trained ones
FEW = {
    "residual TCN, BatchNormalization": 0.05,
    "branches with strides 2, LSTM": 0.03,
    "Conv1D relu, BatchNormalization, Conv1D": 0.03,
    "GRU reset before": 0.03,
    "DepthwiseConv1D, pointwise, BatchNormalization": 0.03,
    "Conv2D causal, pooling over features, LSTM": 0.03,
    "both global pools, Concatenate": 0.03,
    "Conv1D same, BatchNormalization, Flatten (one step)": 0.03,
}

# their integer graphs are measured in the long form only: each costs 10 to 25 s
LONG_ONLY = {
    "Conv2D causal, pooling over features, LSTM",
    "GRU reset before",
    "DepthwiseConv1D, pointwise, BatchNormalization",
    "residual TCN, BatchNormalization",
    "branches with strides 2, LSTM",
    "Conv1D relu, BatchNormalization, Conv1D",
    "both global pools, Concatenate",
}


@pytest.fixture
def short(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, conformance_run: Any) -> None:
    """Calibrate on few rows; in the short form, convert within this process, which has loaded TensorFlow already."""
    monkeypatch.setattr(conformance_run, "CALIBRATION_ROWS", 1_000)  # calibration takes most of the time
    if not LONG:
        request.getfixturevalue("worker_here")


@pytest.mark.slow
@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("name", [name for name in FEW if LONG or name not in LONG_ONLY])
def test_an_architecture_is_converted_and_measured(
    name: str, conformance: Any, conformance_run: Any, tmp_path: Path
) -> None:
    landers = conformance_run.interpreters() or {"tflite-runtime": sys.executable}
    measured = conformance_run.measure(name, conformance, tmp_path / "graphs", landers)
    assert measured.n_compared >= conformance_run.N_FRAMES
    assert measured.deviation > 0.01
    assert measured.errors["float32"][0] < FLOAT_LIMIT
    assert measured.errors["int8"][1] < FEW[name]
    assert measured.errors["int16x8"][1] < FEW[name]
    assert len(measured.runtimes) == len(landers)
    if len(landers) == 2:
        assert measured.int8_difference == 0  # the same bits


@pytest.fixture(scope="module")
def page(root: Path) -> list[list[str]]:
    """Return the cells of each row of docs/conformance.md, the head first."""
    text = (root / "docs" / "conformance.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| (.+) \|$", text, flags=re.MULTILINE)
    return [line.split(" | ") for line in lines]


def test_the_page_lists_every_architecture(page: list[list[str]], conformance: Any) -> None:
    head, *rows = page
    assert [row[0] for row in rows] == list(conformance.ARCHITECTURES)
    assert len(rows) >= FEWEST
    assert sum("seed network" in row[0] for row in rows) == 2
    assert all(float(row[head.index("float error")]) < FLOAT_LIMIT for row in rows)
    assert all(np.isfinite(float(row[head.index("int8 rms")])) for row in rows)


def test_an_integer_graph_that_contains_floats_is_refused(conformance: Any) -> None:
    """TensorFlow's quantizer silently leaves a convolution in floating point where branches share an input."""
    from edgequake.convert.quantization import quantize
    from edgequake.convert.streaming.step_model import build_step_graph
    from edgequake.edge.base.errors import ModelError

    graph = build_step_graph(conformance.build("SimpleRNN"), "continuous")
    floating = quantize.convert_variant(graph, "float32", [])
    with pytest.raises(ModelError, match=r"no int8 form of .*FULLY_CONNECTED"):
        quantize.check_integers(floating, "int8")

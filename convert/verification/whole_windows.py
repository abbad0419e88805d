"""Whether a window is cheaper as one step: the device computes each window anew, row by row or at once.

Steps of one row need little memory and the fewest operations, but each invocation has a cost of its own, a few
microseconds on a large processor, and a window of thousands of rows has thousands of them.
"""

from __future__ import annotations

import time

import keras
import numpy as np

from edgequake.convert.quantization.quantize import convert_variants
from edgequake.convert.streaming.step_model import StepGraph, build_step_graph, fits_one_step
from edgequake.edge.detection.network import load_interpreter

FEWEST_STEPS = 64  # in a window: with fewer the difference is not worth the time to measure it
WORTH = 1.5  # times as fast
N_ROUNDS = 5


def remarks(model: keras.Model, graph: StepGraph, step_us: dict[str, float]) -> list[str]:
    """Return a line if a window would take much less time as one step, measured on this machine.

    Parameters
    ----------
    model, graph : the network and its step graph.
    step_us : variant -> microseconds a step; the comparison is of the float32 graphs.
    """
    if graph.mode != "windowed" or graph.window_rows is None or "float32" not in step_us:
        return []
    n_steps = (graph.window_rows + graph.lag_rows) // graph.rows_per_step
    if n_steps < FEWEST_STEPS or not fits_one_step(model):
        return []
    whole = build_step_graph(model, "windowed", graph.window_rows, graph.activation, one_step=True)
    rows = np.zeros((1, whole.rows_per_step, whole.n_features), np.float32)
    file = convert_variants(whole, ("float32",), rows, lambda stage: None)["float32"].graph
    in_steps_us, at_once_us = n_steps * step_us["float32"], _invocation_us(file)
    if in_steps_us < WORTH * at_once_us:
        return []
    return [
        f"a window takes {in_steps_us:.0f} us in {n_steps} steps, and would take {at_once_us:.0f} us as one step "
        f"(float32, here), with {len(file)} bytes of graph and the memory of a whole window; for that, convert with "
        "network.one_step = true"
    ]


def _invocation_us(graph: bytes) -> float:
    """Return the microseconds of processor time that a graph takes, the fastest of a few rounds."""
    interpreter, _ = load_interpreter(graph)
    interpreter.invoke()
    fastest = np.inf
    for _ in range(N_ROUNDS):
        started = time.process_time()
        interpreter.invoke()
        fastest = min(fastest, time.process_time() - started)
    return float(fastest * 1e6)

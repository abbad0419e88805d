"""Whether a window is cheaper in one step, or in longer ones: the device computes each window anew, row by row or not.

Steps of one row need little memory and the fewest operations, but each invocation has a cost of its own, a few
microseconds on a large processor, and a window of thousands of rows has thousands of them. A network without recurrence
can be one step. Another can take more rows a step: its convolutions compute them at once, and its cells one by one.
"""

from __future__ import annotations

import time

import keras
import numpy as np

from edgequake.convert.quantization.quantize import convert_variants
from edgequake.convert.streaming.step_model import StepGraph, build_step_graph, fits_one_step
from edgequake.edge.base.errors import ModelError
from edgequake.edge.detection.network import load_interpreter

FEWEST_STEPS = 64  # in a window: with fewer the difference is not worth the time to measure it
WORTH = 1.5  # times as fast
N_ROUNDS = 5
TIMES_LONGER = 8  # steps, for networks with recurrence: more make a larger graph, and little is left to save
# Where the arithmetic of a step takes longer than this, its invocation is too little to be worth half of it: 64 filters
# and twice 100 cells, 26 us a step here, gain 1.2.
LIGHT_STEP_US = 20.0


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
    in_steps_us = n_steps * step_us["float32"]
    if n_steps < FEWEST_STEPS:
        return []
    one_step = fits_one_step(model)
    if not one_step and step_us["float32"] > LIGHT_STEP_US:
        return []
    rows_per_step = None if one_step else TIMES_LONGER * graph.rows_per_step
    try:
        longer = build_step_graph(model, "windowed", graph.window_rows, graph.activation, one_step, rows_per_step)
        rows = np.zeros((1, longer.rows_per_step, longer.n_features), np.float32)
        file = convert_variants(longer, ("float32",), rows, lambda stage: None)["float32"].graph
    except ModelError:
        return []
    n_longer = (int(longer.window_rows or 0) + longer.lag_rows) // longer.rows_per_step
    longer_us = n_longer * _invocation_us(file)
    if in_steps_us < WORTH * longer_us:
        return []
    before = f"a window takes {in_steps_us:.0f} us in {n_steps} steps, and would take {longer_us:.0f} us"
    if one_step:
        return [
            f"{before} as one step (float32, here), with {len(file)} bytes of graph and the memory of a whole window; "
            "for that, convert with network.one_step = true"
        ]
    return [
        f"{before} in {n_longer} steps of {longer.rows_per_step} rows (float32, here), with {len(file)} bytes of "
        f"graph; for that, convert with network.rows_per_step = {longer.rows_per_step}"
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

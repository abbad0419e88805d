"""Convert a whole-sequence Keras network to the graph of one step, with every state an input and an output.

A step takes `rows_per_step` new rows and all states, and returns the outputs for them and the new states. So each
sample is computed once, only builtin operators are needed (Keras' own LSTM becomes a WHILE loop that neither quantizes
nor runs on small runtimes), and the state can be stored, reset and compared.

A layer can be stepped when its output depends only on rows up to the newest one, and when the rows that it needs are
bounded or folded into a state. In windowed mode, a network without recurrence that contains other layers can still be
converted: its one step is the whole window.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import keras
from keras import layers, ops

from edgequake.convert.streaming import pointwise_layers, temporal_layers
from edgequake.convert.streaming.affine_folding import CONVOLUTIONS, NORMALIZATIONS, RECURRENT, FoldedGraph, Weights
from edgequake.convert.streaming.affine_folding import fold as fold_normalizations
from edgequake.convert.streaming.layer_copies import apply_to_window
from edgequake.convert.streaming.layer_graph import INPUT, PREFIX, WAYS_OUT, LayerCall, LayerGraph, refuse, trace
from edgequake.convert.streaming.operation_layers import LastRow
from edgequake.convert.streaming.recurrent_layers import recur
from edgequake.convert.streaming.state import NEXT, StepBuilder, Streams, TensorStream
from edgequake.edge.base.errors import ModelError
from edgequake.edge.manifest.manifest import StateTensor

__all__ = ["NEXT", "PROBABILITIES", "ROWS", "StepGraph", "build_step_graph", "fits_one_step"]

ROWS = "rows"
PROBABILITIES = "probabilities"


@dataclass(frozen=True)
class StepGraph:
    """A Keras model of one step, with the properties needed to step it."""

    model: keras.Model  # inputs [rows, *states], outputs {"probabilities": ..., state + "_next": ...}
    mode: str  # "continuous" or "windowed"
    rows_per_step: int
    n_features: int
    n_outputs: int
    states: tuple[StateTensor, ...]
    warmup_steps: int  # first steps whose outputs Keras does not have
    lag_rows: int  # continuous: rows from the one that an output belongs to, to the newest; windowed: zeros that follow
    window_rows: int | None  # of a window that the network uses; None in continuous mode
    activation: str  # applied to Keras' outputs: "linear", "sigmoid" or "softmax"
    parameters: int  # number of trained values


def build_step_graph(
    model: keras.Model,
    mode: str,
    window_rows: int | None = None,
    activation: str = "linear",
    one_step: bool = False,
    rows_per_step: int | None = None,
) -> StepGraph:
    """Build the one-step form of a Keras model.

    Parameters
    ----------
    model : one input (rows, features) or (rows, features, channels); docs/convert.md lists the layers. Several outputs
        become columns of one.
    mode : "continuous" (the state is carried on without end) or "windowed" (reset every window; then the last layers
        may aggregate the window).
    window_rows : rows in a window; by default those that the model was built for.
    activation : of the outputs, where the model gives logits.
    one_step : make the window one step, which `fits_one_step` must allow: less time for more memory.
    rows_per_step : in windowed mode, a multiple of the fewest rows that a step can take (by default those): layers
        without recurrence compute as many rows at once, and recurrent ones as many one after the other.

    Raises
    ------
    ModelError
        The network cannot be stepped exactly: the message names the layer, the reason and the way out.
    """
    folded = fold_normalizations(trace(model))
    n_rows = (window_rows or folded.graph.n_rows) if mode == "windowed" else None
    end = _End(activation, int(model.count_params()))
    if one_step:
        if n_rows is None or not _fits_one_step(folded.graph):
            raise ModelError(
                "network.one_step is set, but only in windowed mode, for a network without recurrent layers, can a "
                "window be one step; remove network.one_step"
            )
        return _in_one_step(folded, n_rows, end)
    n_longer = _times_longer(folded.graph, n_rows, rows_per_step)
    try:
        return _step_by_step(folded, mode, n_rows, end, n_longer, may_pad_ends=False)
    except ModelError:
        if n_rows is None:
            raise
        if _fits_one_step(folded.graph):
            return _in_one_step(folded, n_rows, end)
    return _step_by_step(folded, mode, n_rows, end, n_longer, may_pad_ends=True)


def _times_longer(graph: LayerGraph, n_rows: int | None, rows_per_step: int | None) -> int:
    """Return how many of the shortest steps are one."""
    fewest = _rows_per_step(graph)
    if rows_per_step is None or rows_per_step == fewest:
        return 1
    if n_rows is None or rows_per_step % fewest or not fewest <= rows_per_step <= n_rows:
        most = "" if n_rows is None else f" up to the {n_rows} rows of a window"
        raise ModelError(
            f"network.rows_per_step is {rows_per_step}: expected a multiple of {fewest}{most}, in windowed mode; a "
            "stream has one output a step"
        )
    return rows_per_step // fewest


@dataclass(frozen=True)
class _End:
    activation: str
    parameters: int


def _step_by_step(
    folded: FoldedGraph, mode: str, window_rows: int | None, end: _End, n_longer: int, may_pad_ends: bool
) -> StepGraph:
    graph = folded.graph
    for call in graph.calls:
        _check_supported(call)
    rows_per_step = _rows_per_step(graph) * n_longer
    rows = _rows_input(graph, rows_per_step)
    build = StepBuilder(mode=mode, window_rows=window_rows, rows_per_step=rows_per_step, may_pad_ends=may_pad_ends)
    first = TensorStream(
        _as_images(graph, rows), rows_per_step, graph.row_shape, n_total=window_rows, ends_in_zeros=True
    )
    made = {INPUT: first}
    for index, call in enumerate(graph.calls):
        if index != graph.output and not graph.readers(index):
            continue  # a normalization that was folded
        sources = [
            build.branch(call, made[source]) if _needs_branch(graph, source, call) else made[source]
            for source in call.sources
        ]
        made[index] = _apply(build, call, sources, folded.weights.get(index))
    final = made[graph.output]
    if final.zero_rows or final.zeros_after:
        refuse(graph.calls[graph.output], "nothing reads the zeros that it adds; leave it out")
    return _finished(build, graph, rows, final, end)


def _apply(build: StepBuilder, call: LayerCall, sources: Streams, weights: Weights) -> TensorStream:
    if call.per_row:
        return pointwise_layers.apply_per_row(build, call, sources, weights)
    takes_zeros = isinstance(call.layer, (*CONVOLUTIONS, *temporal_layers.PADDINGS))
    if any(stream.zero_rows or stream.zeros_after for stream in sources) and not takes_zeros:
        refuse(
            call, "rows of zeros come before it, which only a convolution can take; pad right before the convolution"
        )
    return _HANDLERS[call.kind](build, call, sources, weights)


def _needs_branch(graph: LayerGraph, source: int, call: LayerCall) -> bool:
    """Whether a layer without context reads a tensor to which another layer adds context."""
    others = [graph.calls[reader] for reader in graph.readers(source)]
    exempt = isinstance(call.layer, pointwise_layers.MERGES) or temporal_layers.has_context(call)
    return not exempt and any(temporal_layers.has_context(other) for other in others)


def _rows_per_step(graph: LayerGraph) -> int:
    """Return how many input rows make whole rows everywhere: the product of the strides, over all branches."""
    rates = {INPUT: 1}
    for index, call in enumerate(graph.calls):
        stride = 1
        if not call.per_row:
            is_reshape = isinstance(call.layer, layers.Reshape)
            stride = pointwise_layers.reshaped_row(call)[1] if is_reshape else temporal_layers.time_stride(call.layer)
        rates[index] = max(rates[source] for source in call.sources) * stride
    return math.lcm(*rates.values())


def _rows_input(graph: LayerGraph, n_rows: int) -> Any:
    return keras.Input(batch_shape=(1, n_rows, math.prod(graph.row_shape)), name=ROWS)


def _as_images(graph: LayerGraph, rows: Any) -> Any:
    return rows if len(graph.row_shape) == 1 else ops.reshape(rows, (1, -1, *graph.row_shape))


def _probabilities(final: TensorStream, mode: str) -> Any:
    if len(final.row_shape) != 1 or (mode == "continuous" and final.n_rows != 1):
        raise ModelError(
            f"the network's output has rows of shape {final.row_shape}, {final.n_rows} a step: expected one row of "
            "probabilities a step; end with Dense(n_outputs, activation='sigmoid')"
        )
    return final.as_features() if final.n_rows == 1 else final.x[:, final.n_rows - 1 - final.rows_after]


def _finished(build: StepBuilder, graph: LayerGraph, rows: Any, final: TensorStream, end: _End) -> StepGraph:
    probabilities = _probabilities(final, build.mode)
    if end.activation != "linear":
        probabilities = layers.Activation(end.activation, name=f"{PREFIX}.logits")(probabilities)
    step = keras.Model([rows, *build.inputs], {PROBABILITIES: probabilities, **build.outputs}, name="step")
    resets = [state.reset_step for state in build.states if state.reset_step is not None]
    n_per_row = build.rows_per_step // final.n_rows
    if build.mode == "continuous":
        warmup_steps, lag_rows, window_rows = final.offset, max(0, final.offset * n_per_row - final.position), None
    else:
        warmup_steps = max(resets) if resets else 0 if final.aggregated else -(-final.offset // final.n_rows)
        window_rows, lag_rows = _fed(build, final)
    return StepGraph(
        model=step,
        mode=build.mode,
        rows_per_step=build.rows_per_step,
        n_features=math.prod(graph.row_shape),
        n_outputs=int(probabilities.shape[1]),
        states=tuple(_without_default(state, warmup_steps) for state in build.states),
        warmup_steps=warmup_steps,
        lag_rows=lag_rows,
        window_rows=window_rows,
        activation=end.activation,
        parameters=end.parameters,
    )


def _fed(build: StepBuilder, final: TensorStream) -> tuple[int | None, int]:
    """Return the rows of a window that are used, and the rows of zeros that follow them."""
    if build.window_rows is None or final.steps is None:
        return build.window_rows, 0
    n_fed = final.steps * build.rows_per_step
    # The last rows of a window of 50 have no effect where layers pool by 4: without them it is 48, and the same.
    return min(build.window_rows, n_fed), max(0, n_fed - build.window_rows)


def _without_default(state: StateTensor, warmup_steps: int) -> StateTensor:
    """Return a state whose step of reset is None where it is the network's."""
    return replace(state, reset_step=None) if state.reset_step == warmup_steps else state


def fits_one_step(model: keras.Model) -> bool:
    """Whether a window of a network can be one step."""
    return _fits_one_step(fold_normalizations(trace(model)).graph)


def _fits_one_step(graph: LayerGraph) -> bool:
    """Whether a whole window can be one step: no recurrence, and only supported layers."""
    return all(
        isinstance(call.layer, pointwise_layers.IN_TIME_DISTRIBUTED)
        if call.per_row
        else call.kind in _HANDLERS and not isinstance(call.layer, RECURRENT)
        for call in graph.calls
    )


def _in_one_step(folded: FoldedGraph, n_rows: int, end: _End) -> StepGraph:
    """Return the graph whose one step is the whole window: nothing is computed twice, and there is no state."""
    graph = folded.graph
    rows = _rows_input(graph, n_rows)
    output = apply_to_window(folded, _as_images(graph, rows))
    if len(output.shape) == 3:
        output = output[:, -1]
    if len(output.shape) != 2:
        raise ModelError(
            f"the network's output has shape {tuple(output.shape)}: expected (batch, n_outputs) or (batch, rows, "
            "n_outputs); end with Dense(n_outputs, activation='sigmoid')"
        )
    build = StepBuilder(mode="windowed", window_rows=n_rows, rows_per_step=n_rows)
    final = TensorStream(output, 1, (int(output.shape[1]),), aggregated=True, complete=1)
    return _finished(build, graph, rows, final, end)


def _check_supported(call: LayerCall) -> None:
    if not call.per_row and call.kind not in _HANDLERS:
        known = ", ".join(sorted(kind.__name__ for kind in _HANDLERS if kind is not LastRow))
        refuse(call, WAYS_OUT.get(call.kind.__name__, f"this kind of layer is not supported; use one of {known}"))


_HANDLERS: dict[type, Callable[[StepBuilder, LayerCall, Streams, Weights], TensorStream]] = {
    **dict.fromkeys(CONVOLUTIONS, temporal_layers.convolve),
    **dict.fromkeys(temporal_layers.POOLS, temporal_layers.pool),
    **dict.fromkeys(temporal_layers.PADDINGS, temporal_layers.pad),
    layers.Cropping1D: temporal_layers.crop,
    LastRow: temporal_layers.last_row,
    **dict.fromkeys(RECURRENT, recur),
    layers.Dense: pointwise_layers.dense,
    **dict.fromkeys(pointwise_layers.ACTIVATIONS, pointwise_layers.activate),
    **dict.fromkeys(NORMALIZATIONS, pointwise_layers.normalize),
    layers.LayerNormalization: pointwise_layers.normalize_rows,
    **dict.fromkeys(pointwise_layers.MERGES, pointwise_layers.merge),
    layers.Reshape: pointwise_layers.reshape,
    layers.Permute: pointwise_layers.permute,
    layers.Flatten: temporal_layers.flatten,
    **dict.fromkeys((*temporal_layers.GLOBAL_MAXIMA, *temporal_layers.GLOBAL_MEANS), temporal_layers.pool_window),
}

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
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers, ops

from edgequake.convert.streaming import pointwise_layers, temporal_layers
from edgequake.convert.streaming.affine_folding import CONVOLUTIONS, NORMALIZATIONS, RECURRENT, FoldedGraph, Weights
from edgequake.convert.streaming.affine_folding import fold as fold_normalizations
from edgequake.convert.streaming.layer_copies import apply_to_window
from edgequake.convert.streaming.layer_graph import INPUT, WAYS_OUT, LayerCall, LayerGraph, refuse, trace
from edgequake.convert.streaming.recurrent_layers import recur
from edgequake.convert.streaming.state import NEXT, StepBuilder, Streams, TensorStream
from edgequake.edge.base.errors import ModelError
from edgequake.edge.manifest.manifest import StateTensor

__all__ = ["NEXT", "PROBABILITIES", "ROWS", "StepGraph", "build_step_graph"]

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
    warmup_steps: int
    parameters: int  # number of trained values


def build_step_graph(model: keras.Model, mode: str, window_rows: int | None = None) -> StepGraph:
    """Build the one-step form of a Keras model.

    Parameters
    ----------
    model : one input (rows, features) or (rows, features, channels), one output; docs/convert.md lists the layers.
    mode : "continuous" (the state is carried on without end) or "windowed" (reset every window; then convolutions may
    be
        `valid`, and the last layers may aggregate the window).
    window_rows : rows in a window; by default those that the model was built for.

    Raises
    ------
    ModelError
        The network cannot be stepped exactly: the message names the layer, the reason and the way out.
    """
    folded = fold_normalizations(trace(model))
    n_rows = (window_rows or folded.graph.n_rows) if mode == "windowed" else None
    parameters = int(model.count_params())
    try:
        return _step_by_step(folded, mode, n_rows, parameters)
    except ModelError:
        if n_rows is None or not _fits_one_step(folded.graph):
            raise
        return _in_one_step(folded, n_rows, parameters)


def _step_by_step(folded: FoldedGraph, mode: str, window_rows: int | None, parameters: int) -> StepGraph:
    graph = folded.graph
    for call in graph.calls:
        _check_supported(call)
    rows_per_step = _rows_per_step(graph)
    rows = _rows_input(graph, rows_per_step)
    build = StepBuilder(mode=mode, window_rows=window_rows, rows_per_step=rows_per_step)
    made = {INPUT: TensorStream(_as_images(graph, rows), rows_per_step, graph.row_shape)}
    for index, call in enumerate(graph.calls):
        if index != graph.output and not graph.readers(index):
            continue  # a normalization that was folded
        sources = [
            build.branch(call, made[source]) if _needs_branch(graph, source, call) else made[source]
            for source in call.sources
        ]
        made[index] = _apply(build, call, sources, folded.weights.get(index))
    final = made[graph.output]
    warmup_steps = build.first_reset[1] if build.first_reset else -(-final.offset // final.n_rows)
    return _finished(build, graph, rows, _probabilities(final, mode), warmup_steps, parameters)


def _apply(build: StepBuilder, call: LayerCall, sources: Streams, weights: Weights) -> TensorStream:
    if call.per_row:
        return pointwise_layers.apply_per_row(build, call, sources, weights)
    takes_zeros = isinstance(call.layer, (*CONVOLUTIONS, *temporal_layers.PADDINGS))
    if any(stream.zero_rows for stream in sources) and not takes_zeros:
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
    return final.as_features() if final.n_rows == 1 else final.x[:, -1]


def _finished(
    build: StepBuilder, graph: LayerGraph, rows: Any, probabilities: Any, warmup_steps: int, parameters: int
) -> StepGraph:
    step = keras.Model([rows, *build.inputs], {PROBABILITIES: probabilities, **build.outputs}, name="step")
    return StepGraph(
        model=step,
        mode=build.mode,
        rows_per_step=build.rows_per_step,
        n_features=math.prod(graph.row_shape),
        n_outputs=int(probabilities.shape[1]),
        states=tuple(build.states),
        warmup_steps=warmup_steps,
        parameters=parameters,
    )


def _fits_one_step(graph: LayerGraph) -> bool:
    """Whether a whole window can be one step: no recurrence, and only supported layers."""
    return all(
        isinstance(call.layer, pointwise_layers.IN_TIME_DISTRIBUTED)
        if call.per_row
        else call.kind in _HANDLERS and not isinstance(call.layer, RECURRENT)
        for call in graph.calls
    )


def _in_one_step(folded: FoldedGraph, n_rows: int, parameters: int) -> StepGraph:
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
    return _finished(build, graph, rows, output, 0, parameters)


def _check_supported(call: LayerCall) -> None:
    if not call.per_row and call.kind not in _HANDLERS:
        known = ", ".join(sorted(kind.__name__ for kind in _HANDLERS))
        refuse(call, WAYS_OUT.get(call.kind.__name__, f"this kind of layer is not supported; use one of {known}"))


_HANDLERS: dict[type, Callable[[StepBuilder, LayerCall, Streams, Weights], TensorStream]] = {
    **dict.fromkeys(CONVOLUTIONS, temporal_layers.convolve),
    **dict.fromkeys(temporal_layers.POOLS, temporal_layers.pool),
    **dict.fromkeys(temporal_layers.PADDINGS, temporal_layers.pad),
    layers.Cropping1D: temporal_layers.crop,
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

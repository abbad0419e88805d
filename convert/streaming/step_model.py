"""From a whole-sequence Keras network to the graph of one step, with every state an input and an output.

A step takes `rows_per_step` new rows and all state, and returns the outputs for them and the new state. So each sample
is computed once, only builtin operators are needed (Keras' own LSTM becomes a WHILE loop that neither quantizes nor
runs on small runtimes), and the state can be stored, reset and compared.

A layer can be stepped when its output depends on rows up to the newest one only, and when the rows it needs are bounded
or folded into a state. In windowed mode, a network without recurrence that has other layers still converts: its one
step is the whole window.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers, ops

from edgequake.convert.streaming import pointwise_layers, temporal_layers
from edgequake.convert.streaming.affine_folding import CONVOLUTIONS, NORMALIZATIONS, RECURRENT, Array, Folded, fold
from edgequake.convert.streaming.layer_copies import whole_window
from edgequake.convert.streaming.layer_graph import INPUT, WAYS_OUT, LayerCall, LayerGraph, refuse, trace
from edgequake.convert.streaming.recurrent_layers import recur
from edgequake.convert.streaming.state import NEXT, Build, TensorStream
from edgequake.edge.base.errors import ModelError
from edgequake.edge.manifest.manifest import StateTensor

__all__ = ["NEXT", "PROBABILITIES", "ROWS", "StepGraph", "build_step_graph"]

ROWS = "rows"
PROBABILITIES = "probabilities"

Handler = Callable[[Build, LayerCall, list[TensorStream], "list[Array] | None"], TensorStream]


@dataclass(frozen=True)
class StepGraph:
    """A Keras model of one step and what is needed to step it."""

    model: keras.Model  # inputs [rows, *states], outputs {"probabilities": ..., state + "_next": ...}
    mode: str  # "continuous" or "windowed"
    rows_per_step: int
    n_features: int
    n_outputs: int
    states: tuple[StateTensor, ...]
    warmup_steps: int
    parameters: int  # trained numbers


def build_step_graph(model: keras.Model, mode: str, window_rows: int | None = None) -> StepGraph:
    """Build the one-step form of a Keras model.

    Parameters
    ----------
    model : one input (rows, features) or (rows, features, channels), one output; docs/convert.md lists the layers.
    mode : "continuous" (the state is carried on for ever) or "windowed" (reset every window; then convolutions may be
        `valid`, and the last layers may sum the window up).
    window_rows : rows in a window; by default those that the model was built for.

    Raises
    ------
    ModelError
        For what cannot be stepped through exactly: the layer, the reason and the way out.
    """
    folded = fold(trace(model))
    n_rows = (window_rows or folded.graph.n_rows) if mode == "windowed" else None
    parameters = int(model.count_params())
    try:
        return _stepped(folded, mode, n_rows, parameters)
    except ModelError:
        if n_rows is None or not _fits_one_step(folded.graph):
            raise
        return _in_one_step(folded, n_rows, parameters)


def _stepped(folded: Folded, mode: str, window_rows: int | None, parameters: int) -> StepGraph:
    graph = folded.graph
    for place in graph.places:
        _check_known(place)
    steps_rows = _rows_per_step(graph)
    rows = _rows_input(graph, steps_rows)
    build = Build(mode=mode, window_rows=window_rows, rows_per_step=steps_rows)
    made = {INPUT: TensorStream(_as_images(graph, rows), steps_rows, graph.row_shape)}
    for index, place in enumerate(graph.places):
        if index != graph.output and not graph.readers(index):
            continue  # a normalisation that was folded
        sources = [
            build.apart(place, made[source]) if _meets_contexts(graph, source, place) else made[source]
            for source in place.sources
        ]
        made[index] = _handle(build, place, sources, folded.weights.get(index))
    final = made[graph.output]
    return _finished(build, graph, rows, _probabilities(graph, final, mode), _warmup_steps(build, final), parameters)


def _handle(build: Build, place: LayerCall, sources: list[TensorStream], weights: list[Array] | None) -> TensorStream:
    if place.per_row:
        return pointwise_layers.apply_to_rows(build, place, sources, weights)
    if any(stream.zero_rows for stream in sources) and not isinstance(place.layer, (*CONVOLUTIONS, *_PADDINGS)):
        refuse(place, "rows of zeros come before it, and only a convolution can take them; pad right before that")
    return _HANDLERS[place.kind](build, place, sources, weights)


def _meets_contexts(graph: LayerGraph, source: int, place: LayerCall) -> bool:
    """Whether a layer that makes no context reads what another one joins to its context."""
    others = [graph.places[reader] for reader in graph.readers(source)]
    alone = isinstance(place.layer, pointwise_layers.MERGES) or temporal_layers.makes_context(place)
    return not alone and any(temporal_layers.makes_context(other) for other in others)


def _rows_per_step(graph: LayerGraph) -> int:
    """Return how many input rows make whole rows everywhere: the product of the strides, of all branches."""
    rates = {INPUT: 1}
    for index, place in enumerate(graph.places):
        stride = 1
        if not place.per_row:
            is_reshape = isinstance(place.layer, layers.Reshape)
            stride = pointwise_layers.rows_together(place) if is_reshape else temporal_layers.time_stride(place.layer)
        rates[index] = max(rates[source] for source in place.sources) * stride
    return math.lcm(*rates.values())


def _rows_input(graph: LayerGraph, n_rows: int) -> Any:
    return keras.Input(batch_shape=(1, n_rows, math.prod(graph.row_shape)), name=ROWS)


def _as_images(graph: LayerGraph, rows: Any) -> Any:
    return rows if len(graph.row_shape) == 1 else ops.reshape(rows, (1, -1, *graph.row_shape))


def _warmup_steps(build: Build, final: TensorStream) -> int:
    if build.first_reset is not None:
        return build.first_reset[1]
    return -(-final.offset // final.n_rows)


def _probabilities(graph: LayerGraph, final: TensorStream, mode: str) -> Any:
    if len(final.row_shape) != 1 or (mode == "continuous" and final.n_rows != 1):
        raise ModelError(
            f"the network's output has rows of shape {final.row_shape}, {final.n_rows} a step: expected one row of "
            "probabilities a step; end with Dense(n_outputs, activation='sigmoid')"
        )
    return final.as_features() if final.n_rows == 1 else final.x[:, -1]


def _finished(
    build: Build, graph: LayerGraph, rows: Any, probabilities: Any, warmup_steps: int, parameters: int
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
    """Whether a whole window can be one step: no loops, and only layers that are known."""
    return all(
        isinstance(place.layer, pointwise_layers.IN_TIME_DISTRIBUTED)
        if place.per_row
        else place.kind in _HANDLERS and not isinstance(place.layer, RECURRENT)
        for place in graph.places
    )


def _in_one_step(folded: Folded, n_rows: int, parameters: int) -> StepGraph:
    """Return the graph whose one step is the whole window: nothing is computed twice, and there is no state."""
    graph = folded.graph
    rows = _rows_input(graph, n_rows)
    output = whole_window(folded, _as_images(graph, rows))
    if len(output.shape) == 3:
        output = output[:, -1]
    if len(output.shape) != 2:
        raise ModelError(
            f"the network's output has shape {tuple(output.shape)}: expected (batch, n_outputs) or (batch, rows, "
            "n_outputs); end with Dense(n_outputs, activation='sigmoid')"
        )
    build = Build(mode="windowed", window_rows=n_rows, rows_per_step=n_rows)
    return _finished(build, graph, rows, output, 0, parameters)


def _check_known(place: LayerCall) -> None:
    if not place.per_row and place.kind not in _HANDLERS:
        known = ", ".join(sorted(kind.__name__ for kind in _HANDLERS))
        name = place.kind.__name__
        refuse(place, WAYS_OUT.get(name, f"this kind of layer is not supported; use one of {known}"))


_PADDINGS = (layers.ZeroPadding1D, layers.ZeroPadding2D)
_HANDLERS: dict[type, Handler] = {
    **dict.fromkeys(CONVOLUTIONS, temporal_layers.convolve),
    **dict.fromkeys(temporal_layers.POOLS, temporal_layers.pool),
    **dict.fromkeys(_PADDINGS, temporal_layers.pad),
    layers.Cropping1D: temporal_layers.crop,
    **dict.fromkeys(RECURRENT, recur),
    layers.Dense: pointwise_layers.densely,
    **dict.fromkeys(pointwise_layers.ACTIVATIONS, pointwise_layers.activate),
    **dict.fromkeys(NORMALIZATIONS, pointwise_layers.normalize),
    layers.LayerNormalization: pointwise_layers.normalize_rows,
    **dict.fromkeys(pointwise_layers.MERGES, pointwise_layers.merge),
    layers.Reshape: pointwise_layers.reshape,
    layers.Permute: pointwise_layers.permute,
    layers.Flatten: temporal_layers.flatten,
    **dict.fromkeys((*temporal_layers.MAXIMA, *temporal_layers.MEANS), temporal_layers.pool_window),
}

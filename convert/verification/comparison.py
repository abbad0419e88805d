"""All graphs of a conversion against Keras: errors, events, clipping, and the layers that cause a quantized error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.convert.quantization import flatbuffer
from edgequake.convert.quantization.layer_rounding import INPUT, WEIGHTS, layers_by_tensor, round_only
from edgequake.convert.quantization.quantize import INTEGER_TYPES
from edgequake.convert.streaming.stepping import scale_of
from edgequake.convert.verification.agreement import (
    check_agreement,
    event_agreement,
    graph_probabilities,
    probability_agreement,
)
from edgequake.convert.verification.clipping import tensor_uses
from edgequake.edge.base.errors import GateError
from edgequake.edge.manifest.manifest import Manifest, Variant

FloatArray = npt.NDArray[np.float32]
MAX_STEPS = 4_000  # of the compared rows, for error attribution and clipping; a layer takes about 0.2 s
MAX_NAMED_LAYERS = 3


def compare_graphs(
    manifest: Manifest,
    folder: Path,
    layers: list[str],
    rows: FloatArray,
    expected: FloatArray,
    begin: Callable[[str], None],
    left_out: dict[str, str] | None = None,
) -> tuple[Manifest, dict[str, list[dict[str, Any]]]]:
    """Compare every graph with Keras.

    Parameters
    ----------
    folder : holds the graphs.
    layers : names of the Keras layers.
    rows : shape (n_sequences, n_rows, n_features).
    expected : Keras' probabilities, shape (n_sequences, n_steps, n_outputs).
    begin : called with a variant's name before it is compared.
    left_out : gets variant -> reason for quantized graphs that are too far from Keras; None: they are errors.

    Returns
    -------
    The manifest with the agreement of every variant, and variant -> use of each tensor's range, of integer graphs.

    Raises
    ------
    ModelError
        The float graph is not the Keras network.
    GateError
        A quantized graph is too far from it.
    """
    variants, clipping = {}, {}
    n_rows, few = rows.shape[0] * rows.shape[1], shortened(rows, expected, manifest.network.rows_per_step)
    size = scale_of(expected)
    for name, variant in manifest.variants.items():
        begin(name)
        graph = (folder / variant.file).read_bytes()
        got = graph_probabilities(manifest, graph, variant, rows)
        measured = probability_agreement(got, expected, n_rows)
        is_integer = name in INTEGER_TYPES
        attribute = partial(_attribution, manifest, graph, variant, layers, *few) if is_integer else None
        try:
            check_agreement(measured, name, size, attribute)
        except GateError as problem:
            if left_out is None:
                raise
            left_out[name] = str(problem)
            continue
        if is_integer:
            clipping[name] = [asdict(use) for use in tensor_uses(manifest, graph, variant, few[0], layers)]
        events = event_agreement(manifest, got, expected) if manifest.network.has_event else {}
        variants[name] = replace(variant, agreement={**measured, **events})
    return replace(manifest, variants=variants), clipping


def shortened(rows: FloatArray, expected: FloatArray, rows_per_step: int) -> tuple[FloatArray, FloatArray]:
    """Return the first sequences, or the first part of the only one, about `MAX_STEPS` steps in all."""
    n_sequences, n_rows = rows.shape[:2]
    kept = max(1, MAX_STEPS * rows_per_step // n_rows)
    if kept < n_sequences:
        return rows[:kept], expected[:kept]
    n_steps, n_compared = n_rows // rows_per_step, expected.shape[1]
    if n_sequences == 1 and n_compared > MAX_STEPS:
        return rows[:, : MAX_STEPS * rows_per_step], expected[:, : MAX_STEPS - (n_steps - n_compared)]
    return rows, expected


def layer_errors(
    manifest: Manifest, graph: bytes, variant: Variant, layers: list[str], rows: FloatArray, expected: FloatArray
) -> dict[str, float]:
    """Return the rms error of the probability that the rounding of each layer causes alone, the largest first.

    "the weights" stands for the rounding of all weights, which is part of every other error too; "the input" for that
    of the rows. Parts of a graph that are in floating point contribute nothing.

    Parameters
    ----------
    layers : names of the Keras layers. A recurrent layer's products, gates and states count as one.
    rows, expected : sequences and Keras' probabilities of them, as `graph_probabilities` takes and returns them.
    """
    groups: dict[str, set[int]] = {WEIGHTS: set()}
    for tensor, layer in layers_by_tensor(flatbuffer.unpack(graph), layers).items():
        groups.setdefault(layer, set()).add(tensor)
    errors = {}
    for layer, group in groups.items():
        got = graph_probabilities(manifest, round_only(graph, group), variant, rows)
        errors[layer] = probability_agreement(got, expected, rows.shape[1])["probability_rms_error"]
    return dict(sorted(errors.items(), key=lambda item: -item[1]))


def _attribution(
    manifest: Manifest, graph: bytes, variant: Variant, layers: list[str], rows: FloatArray, expected: FloatArray
) -> str:
    """Return the sentence that names the layers with the largest errors."""
    errors = layer_errors(manifest, graph, variant, layers, rows, expected)
    named = [
        (layer if layer in (WEIGHTS, INPUT) else f"layer '{layer}'", error)
        for layer, error in list(errors.items())[:MAX_NAMED_LAYERS]
    ]
    (worst, error), *others = named
    rest = ", ".join(f"{layer} {value:.3f}" for layer, value in others)
    return f"most of the error comes from rounding {worst}, which alone causes {error:.3f} rms ({rest})"

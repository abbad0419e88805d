"""What an error of the probability does to events: both traces through the device's own trigger."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgequake.edge.manifest import Manifest
from edgequake.edge.piece import duration_ns
from edgequake.edge.trigger import Event, Trigger, decision_of

FloatArray = npt.NDArray[np.float32]
SENSITIVITY = "normal"


def event_agreement(manifest: Manifest, probabilities: FloatArray, expected: FloatArray) -> dict[str, float]:
    """Compare decisions and events of a graph with those of Keras, at the manifest's normal threshold.

    Parameters
    ----------
    probabilities, expected : shape (n_sequences, n_steps, n_outputs). Sequences of a continuous network are records of
        their own; those of a windowed one are the windows of one record, a decision each.

    Returns
    -------
    `decision_flips`: decisions on the other side of the threshold; `events`: those that Keras' probabilities make;
    `events_matched`: of these, those whose onset the graph finds within one decision's length; `events_missed`, the
    rest; `events_extra`: those of the graph that match none.
    """
    threshold = manifest.trigger.onset_thresholds[SENSITIVITY]
    flips = np.count_nonzero((probabilities[..., 0] >= threshold) != (expected[..., 0] >= threshold))
    if manifest.network.mode == "windowed":
        probabilities, expected = (a.reshape(1, -1, a.shape[2]) for a in (probabilities, expected))
    step_ns = _decision_ns(manifest)
    n_events = n_matched = n_found = 0
    for got, wanted in zip(probabilities, expected, strict=True):
        found, true = (events_of(manifest, trace, threshold) for trace in (got, wanted))
        n_events, n_found = n_events + len(true), n_found + len(found)
        n_matched += count_matched(true, found, step_ns)
    return {
        "decision_flips": float(flips),
        "events": float(n_events),
        "events_matched": float(n_matched),
        "events_missed": float(n_events - n_matched),
        "events_extra": float(n_found - n_matched),
    }


def events_of(manifest: Manifest, probabilities: FloatArray, threshold: float) -> list[Event]:
    """Return the events of one record, shape (n_steps, n_outputs), which begins at time 0."""
    trigger, step_ns, outputs = Trigger(manifest.trigger, threshold), _decision_ns(manifest), manifest.network.outputs
    window_ns = _rows_ns(manifest, int(manifest.network.window_rows or 0))
    events = [
        trigger.push(decision_of(outputs, row, step * step_ns, (step + 1) * step_ns, window_ns))
        for step, row in enumerate(probabilities.tolist())
    ]
    return [event for event in (*events, trigger.close()) if event is not None]


def count_matched(true: Sequence[Event], found: Sequence[Event], tolerance_ns: int) -> int:
    """Return how many true events have a found one with an onset within the tolerance, each used once."""
    left = [event.onset_ns for event in found]
    n_matched = 0
    for event in true:
        near = [onset_ns for onset_ns in left if abs(onset_ns - event.onset_ns) <= tolerance_ns]
        if near:
            left.remove(min(near, key=lambda onset_ns: abs(onset_ns - event.onset_ns)))
            n_matched += 1
    return n_matched


def _decision_ns(manifest: Manifest) -> int:
    """Return the time from one decision to the next: a step's, or from window to window."""
    network = manifest.network
    n_rows = network.window_hop_rows if network.mode == "windowed" else network.rows_per_step
    return _rows_ns(manifest, int(n_rows or 1))


def _rows_ns(manifest: Manifest, n_rows: int) -> int:
    front_end = manifest.front_end
    return duration_ns(n_rows * (front_end.hop_samples // front_end.rows_per_block), manifest.sampling_rate_hz)

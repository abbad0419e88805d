"""The agreement of a graph with Keras: errors of the probability, and their effect on events.

The graph is stepped by the device's own stepper, and both sets of probabilities pass through the device's own trigger.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.errors import GateError, ModelError
from edgequake.edge.detection.network import StepNetwork
from edgequake.edge.detection.stepper import make_stepper
from edgequake.edge.detection.trigger import Event, Trigger, decision_of
from edgequake.edge.formats.waveforms import duration_ns
from edgequake.edge.manifest.manifest import Manifest, Variant

FloatArray = npt.NDArray[np.float32]
# Float graphs differ from Keras only by the order of additions: 2e-7 measured; a wrong weight gives 1e-2 and more.
FLOAT_MAX_ERROR = 1e-5
# Thresholds lie a few tenths apart and hysteresis spans half of one, so an error of this size in every frame would
# begin to shift events. The trained networks of this project stay under 0.01.
QUANTIZED_RMS_LIMIT = 0.05
SENSITIVITY = "normal"  # the manifest's onset threshold at which decisions and events are compared


def graph_probabilities(manifest: Manifest, graph: bytes, variant: Variant, sequences: FloatArray) -> FloatArray:
    """Step a graph through sequences, each from zero state, and return its probabilities.

    Parameters
    ----------
    sequences : shape (n_sequences, n_rows, n_features); in windowed mode each is one window.

    Returns
    -------
    float32, shape (n_sequences, n_steps, n_outputs); in windowed mode the last step only, n_steps = 1.
    """
    stepper = make_stepper(StepNetwork(manifest, graph, variant), manifest)
    probabilities = []
    for rows in sequences:
        stepper.restart()
        probabilities.append([outputs for _, _, outputs in stepper.push(rows)])
    return np.array(probabilities, np.float32)


def probability_agreement(probabilities: FloatArray, expected: FloatArray, n_rows: int) -> dict[str, float]:
    """Return the manifest's measures of agreement with Keras: errors of the probability, and their drift with length.

    The last three are the rms errors of the first, middle and last third of the steps: an error that accumulates in a
    state grows from one to the next. Each window starts from zero state, so windowed probabilities have no thirds.
    """
    error = probabilities.astype(np.float64) - expected
    measured = {
        "n_frames": float(n_rows),
        "probability_max_error": float(np.max(np.abs(error))),
        "probability_rms_error": _rms(error),
    }
    if error.shape[1] >= 3:
        thirds = np.array_split(error, 3, axis=1)
        measured.update({f"probability_rms_error_third_{k}": _rms(part) for k, part in enumerate(thirds, 1)})
    return measured


def _rms(error: npt.NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(error**2)))


def check_agreement(
    measured: dict[str, float], variant: str, size: float = 1.0, attribute: Callable[[], str] | None = None
) -> None:
    """Refuse a float graph that is not the Keras network, and a quantized one that is too far from it.

    Parameters
    ----------
    size : of the outputs, 1 for probabilities; the limits are times this.
    attribute : names the layers that contribute most, for the message; called only when the gate fails.

    Raises
    ------
    ModelError
        The float graph's largest error reaches 1e-5 of the size.
    GateError
        A quantized graph's rms error is above 0.05 of the size.
    """
    largest, rms = measured["probability_max_error"], measured["probability_rms_error"]
    if variant == "float32":
        if not largest < FLOAT_MAX_ERROR * size:
            raise ModelError(
                f"the float32 graph's probabilities differ from Keras by {largest:.2g}, expected less than "
                f"{FLOAT_MAX_ERROR * size:g}; report this network as a defect of the converter"
            )
    elif not rms <= QUANTIZED_RMS_LIMIT * size:
        raise GateError(
            f"the {variant} graph's probabilities differ from Keras by {rms:.3f} rms (largest {largest:.3f}), expected "
            f"at most {QUANTIZED_RMS_LIMIT * size:g} rms; {attribute() + '; ' if attribute else ''}calibrate on more "
            "records, take another variant, or convert with --no-verify to get the files regardless"
        )


def event_agreement(manifest: Manifest, probabilities: FloatArray, expected: FloatArray) -> dict[str, float]:
    """Compare the decisions and events of a graph with those of Keras, at the manifest's normal threshold.

    Parameters
    ----------
    probabilities, expected : shape (n_sequences, n_steps, n_outputs). Each sequence of a continuous network is a
    record;
        the sequences of a windowed one are the windows of one record, with one decision each.

    Returns
    -------
    `decision_flips`: decisions on the other side of the threshold; `events`: those from Keras' probabilities;
    `events_matched`: of these, those whose onset the graph finds within the duration of one decision;
    `events_missed`: the rest; `events_extra`: events of the graph without a match.
    """
    threshold = manifest.trigger.onset_thresholds[SENSITIVITY]
    flips = np.count_nonzero(
        (_onsets(manifest, probabilities) >= threshold) != (_onsets(manifest, expected) >= threshold)
    )
    if manifest.network.mode == "windowed":
        probabilities, expected = (a.reshape(1, -1, a.shape[2]) for a in (probabilities, expected))
    step_ns = _decision_ns(manifest)
    n_events = n_matched = n_found = 0
    for got, wanted in zip(probabilities, expected, strict=True):
        found, true = (events_of(manifest, record, threshold) for record in (got, wanted))
        n_events, n_found = n_events + len(true), n_found + len(found)
        n_matched += count_matched(true, found, step_ns)
    return {
        "decision_flips": float(flips),
        "events": float(n_events),
        "events_matched": float(n_matched),
        "events_missed": float(n_events - n_matched),
        "events_extra": float(n_found - n_matched),
    }


def _onsets(manifest: Manifest, probabilities: FloatArray) -> FloatArray:
    """Return the onset probability of every decision."""
    network = manifest.network
    names = network.event_classes or ("onset" if "onset" in network.outputs else "event",)
    columns = [network.outputs.index(name) for name in names]
    return np.asarray(probabilities[..., columns].sum(axis=-1), np.float32)


def events_of(manifest: Manifest, probabilities: FloatArray, threshold: float) -> list[Event]:
    """Return the events of one record, shape (n_steps, n_outputs), which begins at time 0."""
    trigger, step_ns, network = Trigger(manifest.trigger, threshold), _decision_ns(manifest), manifest.network
    window_ns = _rows_ns(manifest, int(manifest.network.window_rows or 0))
    events = [
        trigger.push(
            decision_of(network.outputs, row, step * step_ns, (step + 1) * step_ns, window_ns, network.event_classes)
        )
        for step, row in enumerate(probabilities.tolist())
    ]
    return [event for event in (*events, trigger.close()) if event is not None]


def count_matched(true: Sequence[Event], found: Sequence[Event], tolerance_ns: int) -> int:
    """Return how many true events have a found onset within the tolerance; each found event is used once."""
    left = [event.onset_ns for event in found]
    n_matched = 0
    for event in true:
        near = [onset_ns for onset_ns in left if abs(onset_ns - event.onset_ns) <= tolerance_ns]
        if near:
            left.remove(min(near, key=lambda onset_ns: abs(onset_ns - event.onset_ns)))
            n_matched += 1
    return n_matched


def _decision_ns(manifest: Manifest) -> int:
    """Return the time from one decision to the next: a step, or the hop between windows."""
    network = manifest.network
    n_rows = network.window_hop_rows if network.mode == "windowed" else network.rows_per_step
    return _rows_ns(manifest, int(n_rows or 1))


def _rows_ns(manifest: Manifest, n_rows: int) -> int:
    front_end = manifest.front_end
    return duration_ns(n_rows * (front_end.hop_samples // front_end.rows_per_block), manifest.sampling_rate_hz)

"""Measures of a conversion besides its error: events, clipping, and the layers that cause the error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgequake.convert.converter import convert_model
from edgequake.convert.verification.agreement import count_matched, event_agreement
from edgequake.edge.base.errors import GateError
from edgequake.edge.detection.trigger import Event

FRAME_S = 64 / 6.625


def manifest_of(make_partial: Callable[..., Any], mode: str = "continuous") -> Any:
    from edgequake.edge.base.errors import ManifestError
    from edgequake.edge.manifest import schema
    from edgequake.edge.manifest.manifest import Manifest

    partial = make_partial(mode, 1, ["onset", "event"])
    variant = {
        "file": "x",
        "sha256": "0",
        "size_bytes": 0,
        "minimum_runtime": "",
        "frame_tensor": "",
        "probability_tensor": "",
        "state_inputs": {},
        "state_outputs": {},
        "quantization": {},
        "agreement": {},
    }
    values = {**partial, "format": "", "format_version": 1, "default_variant": "a", "variants": {"a": variant}}
    values["network"] = {**partial["network"], "states": [], "parameters": 0}
    return schema.build(Manifest, values, "test", ManifestError)


def rising(n_frames: int, *rises: int) -> Any:
    """Return probabilities that are 0.9 for five frames after each rise, and 0.1 elsewhere."""
    probabilities = np.full((1, n_frames, 2), 0.1, np.float32)
    for rise in rises:
        probabilities[0, rise : rise + 5] = 0.9
    return probabilities


def test_events_are_matched_within_a_frame(make_partial: Callable[..., Any]) -> None:
    """Rises at 100, 300 and 700 (the trigger merges rises within 900 s, 93 frames); one is a frame late, one two frames
    late, and one is new."""
    manifest = manifest_of(make_partial)
    measured = event_agreement(manifest, rising(1000, 101, 302, 700, 850), rising(1000, 100, 300, 700))
    assert measured == {
        # two frames a shift by one, four a shift by two, five a new rise
        "decision_flips": 2 + 4 + 5,
        "events": 3,
        "events_matched": 2,
        "events_missed": 1,
        "events_extra": 2,
    }
    same = event_agreement(manifest, rising(1000, 100), rising(1000, 100))
    assert (same["decision_flips"], same["events_matched"], same["events_missed"], same["events_extra"]) == (0, 1, 0, 0)


def test_windows_are_the_decisions_of_one_record(make_partial: Callable[..., Any]) -> None:
    """The hop is 24 rows: five consecutive windows are one event, whatever the shape of the array."""
    manifest = manifest_of(make_partial, "windowed")
    windows = rising(60, 20).reshape(60, 1, 2)
    assert event_agreement(manifest, windows, windows)["events"] == 1


def test_an_event_is_matched_once() -> None:
    def events(*onsets_ns: int) -> list[Event]:
        return [Event(onset_ns, onset_ns + 1, 0.9) for onset_ns in onsets_ns]

    assert count_matched(events(0, 10), events(9), 10) == 1
    assert count_matched(events(0, 10), events(9, 1), 10) == 2
    assert count_matched(events(0), events(11), 10) == 0


@pytest.fixture(scope="module")
def narrow_layer(build_network: Callable[..., Any]) -> Any:
    """Return a network whose layer 'hard' has one output a thousand times as large as the others; the next undoes it.

    In floating point nothing is lost; in 8 bits one step of the large output is as large as the others.
    """

    def layers_of(layers: Any) -> list[Any]:
        return [
            layers.Conv1D(8, 3, padding="causal", activation="relu", name="easy"),
            layers.Dense(8, activation="relu", name="hard"),
            layers.Dense(8, activation="relu", name="next"),
            layers.LSTM(6, return_sequences=True, name="memory"),
            layers.Dense(2, activation="sigmoid", name="probability"),
        ]

    model = build_network(layers_of, None)
    kernel, bias = model.get_layer("hard").get_weights()
    kernel[:, 0], bias[0] = np.abs(kernel[:, 0]) * 1000, 500.0
    model.get_layer("hard").set_weights([kernel, bias])
    kernel, bias = model.get_layer("next").get_weights()
    kernel[0] /= 1e6
    model.get_layer("next").set_weights([kernel, bias])
    return model


@pytest.mark.slow
@pytest.mark.usefixtures("worker_here")
def test_the_gate_names_the_layer_that_is_hard_to_quantize(
    narrow_layer: Any, make_partial: Callable[..., Any], write_training_files: Any, tmp_path: Path
) -> None:
    narrow_layer.save(tmp_path / "small.keras")
    write_training_files(tmp_path, make_partial("continuous", 1, ["onset", "event"]))
    with pytest.raises(
        GateError,
        match=r"^the int8 graph's probabilities differ from Keras by 0\.\d+ rms .* expected at most 0\.05 rms; most of "
        r"the error comes from rounding layer 'hard', which alone causes 0\.\d+ rms \(.*\); calibrate on more records",
    ) as caught:
        convert_model(tmp_path / "small.keras", tmp_path / "out", "int8")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_clipping_is_measured_tensor_by_tensor(
    build_network: Callable[..., Any], convert: Callable[..., Any], make_rows: Callable[..., Any]
) -> None:
    """With calibration on rows a quarter as large, the input is clipped as often as numpy counts."""
    from edgequake.convert.verification.clipping import tensor_uses

    def layers_of(layers: Any) -> list[Any]:
        return [
            layers.Conv1D(8, 3, padding="causal", activation="relu", name="conv"),
            layers.LSTM(6, return_sequences=True, name="memory"),
            layers.Dense(2, activation="sigmoid", name="probability"),
        ]

    model = build_network(layers_of, None)
    rows = make_rows(1_000, 1)[np.newaxis]
    made = convert(model, "continuous", ["onset", "event"], rows / 4, ("int8", "int16x8"))
    for variant, dtype in (("int8", "int8"), ("int16x8", "int16")):
        described = made.manifest.variants[variant]
        uses = tensor_uses(made.manifest, made.graphs[variant], described, rows, [la.name for la in model.layers])
        of_rows = next(use for use in uses if use.tensor == "rows")
        form = described.quantization["rows"]
        limits = np.iinfo(dtype)
        low, high = ((limit - form.zero_point) * form.scale for limit in (limits.min, limits.max))
        assert (of_rows.available_low, of_rows.available_high) == pytest.approx((low, high))
        outside = np.mean((rows < low - form.scale / 2) | (rows > high + form.scale / 2))
        assert outside > 0.1
        assert of_rows.clipped_share == pytest.approx(outside, abs=2e-3)
        assert of_rows.used_share == pytest.approx(1, abs=0.01)
        assert {use.layer for use in uses} >= {"conv", "memory", "probability"}
        shares = [use.clipped_share for use in uses]
        assert shares == sorted(shares, reverse=True)
        in_range = tensor_uses(made.manifest, made.graphs[variant], described, rows / 4, ["conv"])
        assert max(use.clipped_share for use in in_range) < 0.02

"""The output "start": the network gives the position of an onset in its window, and the horizon allows for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgequake.edge.detection import detector as detector_module
from edgequake.edge.detection.detector import Detector
from edgequake.edge.detection.trigger import Decision, Trigger, decision_of
from edgequake.edge.features.front_end import station_rows
from edgequake.edge.formats.waveforms import Trace, duration_ns
from edgequake.edge.manifest.manifest import Manifest, NetworkConfig, TriggerConfig, Variant

S = 1_000_000_000
WINDOW_ROWS, HOP_ROWS = 32, 8
LEVEL = 0.5  # decades: the level of an event for the stub network


@pytest.fixture
def trigger_config(moon: tuple[Manifest, bytes, Variant]) -> TriggerConfig:
    return replace(moon[0].trigger, min_duration_s=20.0, hold_s=30.0, merge_s=100.0, max_event_s=900.0, onset_lag_s=5.0)


def test_the_onset_is_that_of_the_rises_first_decision(trigger_config: TriggerConfig) -> None:
    trigger = Trigger(trigger_config, 0.6)
    onsets_s = [None, 3, 7, 8, None, None, None, None]
    chances = [0.1, 0.9, 0.9, 0.9, 0.1, 0.1, 0.1, 0.1]
    events = []
    for i, (chance, onset_s) in enumerate(zip(chances, onsets_s, strict=True)):
        onset_ns = None if onset_s is None else onset_s * S
        events.append(trigger.push(Decision(10 * i * S, 10 * (i + 1) * S, chance, chance, onset_ns)))
        if i == 1:
            assert trigger.earliest_onset_ns == (3 - 5) * S
    (event,) = [event for event in events if event is not None]
    assert (event.onset_ns, event.stop_ns) == ((3 - 5) * S, 40 * S)


def test_an_early_onset_does_not_lengthen_the_rise(trigger_config: TriggerConfig) -> None:
    trigger = Trigger(trigger_config, 0.6)
    trigger.push(Decision(100 * S, 110 * S, 0.9, 0.9, 20 * S))  # 10 s of the minimum of 20 s, whatever the onset
    trigger.push(Decision(110 * S, 120 * S, 0.1, 0.1, 20 * S))
    assert trigger.close() is None


def test_events_are_separated_by_their_rises(trigger_config: TriggerConfig) -> None:
    with_onsets, without = Trigger(trigger_config, 0.6), Trigger(trigger_config, 0.6)
    chances = [0.9] * 3 + [0.1] * 2 + [0.9] * 3 + [0.1] * 9 + [0.9] * 3
    for i, chance in enumerate(chances):
        start_ns = 10 * i * S
        a = with_onsets.push(Decision(start_ns, start_ns + 10 * S, chance, chance, start_ns - 50 * S))
        b = without.push(Decision(start_ns, start_ns + 10 * S, chance, chance))
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            assert (a.onset_ns, a.stop_ns) == (b.onset_ns - 50 * S, b.stop_ns)
    assert with_onsets.close() is not None and without.close() is not None


def test_outputs_become_decisions() -> None:
    assert decision_of(("onset", "event"), [0.2, 0.7], 0, 10, 0) == Decision(0, 10, 0.2, 0.7)
    assert decision_of(("event",), [0.2], 0, 10, 40) == Decision(0, 10, 0.2, 0.2)
    columns = ("noise", "quake", "blast", "event")
    assert decision_of(columns, [0.1, 0.2, 0.3, 0.4], 0, 10, 40) == Decision(0, 10, 0.4, 0.4)
    classes = decision_of(columns[:3], [0.25, 0.25, 0.5], 0, 10, 40, ("quake", "blast"))
    assert classes == Decision(0, 10, 0.75, 0.75)
    assert decision_of(("event", "start"), [0.2, 0.75], 30, 40, 40) == Decision(30, 40, 0.2, 0.2, 30)


class StubNetwork:
    """A stub: probability 1 for a window of which half is loud, and the position of its first loud row."""

    def __init__(self, manifest: Manifest, graph: bytes, variant: Variant) -> None:
        pass

    def reset(self) -> None:
        pass

    def run_from(self, n_done: int, steps: np.ndarray) -> np.ndarray:
        loud = np.flatnonzero(steps.reshape(-1, steps.shape[2])[:, 2:5].mean(axis=1) > LEVEL)
        says = [1.0, loud[0] / WINDOW_ROWS] if len(loud) >= WINDOW_ROWS // 2 else [0.0, 0.5]
        return np.tile(np.array(says, np.float32), (len(steps), 1))


@pytest.fixture
def windowed(moon: tuple[Manifest, bytes, Variant], monkeypatch: pytest.MonkeyPatch) -> tuple[Manifest, bytes, Variant]:
    """Return the shipped model's front end with the stub network."""
    monkeypatch.setattr(detector_module, "StepNetwork", StubNetwork)
    manifest, graph, variant = moon
    network: Any = replace(
        manifest.network, mode="windowed", outputs=("event", "start"), rows_per_step=2, warmup_steps=0,
        window_rows=WINDOW_ROWS, window_hop_rows=HOP_ROWS,
    )  # fmt: skip
    trigger = replace(manifest.trigger, min_duration_s=10.0, onset_lag_s=0.0, hold_s=60.0, merge_s=900.0)
    return replace(manifest, network=network, trigger=trigger), graph, variant


def loud_hour(rate_hz: float) -> np.ndarray:
    """Return four hours of quiet with one loud hour."""
    samples = 20.0 * np.random.default_rng(1).standard_normal(round(4 * 3600 * rate_hz))
    samples[round(1.5 * 3600 * rate_hz) : round(2.5 * 3600 * rate_hz)] *= 30.0
    return np.rint(samples).astype(np.int32)


def test_the_onset_is_the_start_of_the_row_that_the_network_names(windowed: tuple[Manifest, bytes, Variant]) -> None:
    manifest = windowed[0]
    rate_hz, hop = manifest.sampling_rate_hz, manifest.front_end.hop_samples
    trace = Trace("FDSN:XX_LUN_00_M_H_Z", 7 * S, rate_hz, loud_hour(rate_hz))
    rows = station_rows(manifest.front_end, rate_hz, [trace])
    first_loud = int(rows.block[np.flatnonzero(rows.rows[:, 0, 2:5].mean(axis=1) > LEVEL)[0]])
    assert abs((first_loud + 1) * hop / rate_hz - 1.5 * 3600) < 2 * hop / rate_hz
    detector = Detector(*windowed, 0.5)
    (event,) = [*detector.push(trace), *detector.finish()]
    assert abs(event.onset_ns - 7 * S - duration_ns((first_loud + 1) * hop, rate_hz)) <= 3


def test_no_event_begins_before_the_horizon(windowed: tuple[Manifest, bytes, Variant]) -> None:
    rate_hz = windowed[0].sampling_rate_hz
    samples = loud_hour(rate_hz)
    detector = Detector(*windowed, 0.5)
    horizon_ns, n_events = -(2**62), 0
    for first in range(0, len(samples), 500):
        start_ns = duration_ns(first, rate_hz)
        for event in detector.push(Trace("FDSN:XX_LUN_00_M_H_Z", start_ns, rate_hz, samples[first : first + 500])):
            assert event.onset_ns >= horizon_ns
            n_events += 1
        if detector.horizon_ns is not None:
            assert detector.horizon_ns >= horizon_ns
            horizon_ns = detector.horizon_ns
    assert n_events + len(detector.finish()) == 1
    assert horizon_ns > 3 * 3600 * S  # it advances


def network_config(**changes: Any) -> NetworkConfig:
    values: dict[str, Any] = {
        "mode": "windowed", "rows_per_step": 1, "n_features": 9, "outputs": ("event", "start"), "states": (),
        "parameters": 1, "window_rows": 8, "window_hop_rows": 4,
    }  # fmt: skip
    return NetworkConfig(**{**values, **changes})


def test_the_output_start_needs_a_window() -> None:
    assert network_config().outputs == ("event", "start")
    with pytest.raises(ValueError, match="'start' is a position in a window: it needs mode 'windowed'"):
        network_config(mode="continuous")
    assert not network_config(outputs=("position",)).has_event
    for changes, words in (
        ({"outputs": ("event", "event")}, "outputs must be different names of at most 32 letters"),
        ({"outputs": ("event", "a b")}, "outputs must be different names of at most 32 letters"),
        ({"event_classes": ("quake",)}, "event_classes names 'quake', which is not among the outputs"),
        ({"event_classes": ("start",)}, "outputs names a column 'event', and event_classes other ones"),
        ({"lag_rows": -1}, "lag_rows must be 0 to 1000000, got -1"),
    ):
        with pytest.raises(ValueError, match=words):
            network_config(**changes)

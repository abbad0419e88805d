"""A network that is some rows late (`lag_rows`): its decisions, events and horizon are that much earlier."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgequake.edge.detection.detector import Detector
from edgequake.edge.detection.trigger import Decision, Event, Trigger
from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.manifest.manifest import Manifest, Variant

Moon = tuple[Manifest, bytes, Variant]
LAG_ROWS = 4


class Recorder(Trigger):
    """Keeps the decisions that it takes."""

    decisions: list[Decision]

    def push(self, decision: Decision) -> Event | None:
        self.decisions = [*getattr(self, "decisions", []), decision]
        return super().push(decision)


@pytest.fixture(params=[(), ("quiet", "loud")], ids=["probabilities", "classes"])
def models(request: pytest.FixtureRequest, moon: Moon) -> tuple[Manifest, Manifest]:
    """Return the model, and the same one with outputs that are late; with names of classes where given."""
    network = moon[0].network
    if request.param:
        network = replace(network, outputs=request.param, event_classes=("loud",))
    plain = replace(moon[0], network=network, classes=None)
    return plain, replace(plain, network=replace(network, lag_rows=LAG_ROWS))


def test_decisions_and_the_horizon_are_earlier_by_the_lag(models: tuple[Manifest, Manifest], moon: Moon) -> None:
    rate_hz = moon[0].sampling_rate_hz
    samples = 20.0 * np.random.default_rng(1).standard_normal(round(3 * 3600 * rate_hz))
    samples[round(3600 * rate_hz) :] *= 20.0
    counts = np.rint(samples).astype(np.int32)
    lag_ns = LAG_ROWS * moon[0].front_end.hop_samples / rate_hz * 1e9
    recorded, horizons = [], []
    for model in models:
        trigger = Recorder(model.trigger, 0.5)
        detector = Detector(model, *moon[1:], 0.5, trigger)
        for first in range(0, len(counts), 4000):
            start_ns = round(first / rate_hz * 1e9)
            detector.push(Trace("XB_S12_00_M_H_Z", start_ns, rate_hz, counts[first : first + 4000]))
        horizons.append(detector.horizon_ns)
        recorded.append(trigger.decisions)
    plain, late = recorded
    assert len(plain) > 500
    assert [(one.onset, one.event) for one in plain] == [(one.onset, one.event) for one in late]
    for before, after in zip(plain, late, strict=True):
        assert before.start_ns - after.start_ns == pytest.approx(lag_ns, abs=2)
        assert before.stop_ns - after.stop_ns == pytest.approx(lag_ns, abs=2)
    assert horizons[0] is not None and horizons[1] is not None
    assert horizons[0] - horizons[1] >= lag_ns - 2


def test_a_class_goes_on_with_its_event(models: tuple[Manifest, Manifest], moon: Moon) -> None:
    """An event of a network of classes carries the class; one of plain probabilities none."""
    rate_hz = moon[0].sampling_rate_hz
    samples = 20.0 * np.random.default_rng(1).standard_normal(round(6 * 3600 * rate_hz))
    samples[round(2 * 3600 * rate_hz) : round(2.7 * 3600 * rate_hz)] *= 30.0
    trace = Trace("XB_S12_00_M_H_Z", 0, rate_hz, np.rint(samples).astype(np.int32))
    detector = Detector(models[1], *moon[1:], 0.3)
    state = detector.state()
    events = [*detector.push(trace), *detector.finish()]
    assert events and ("votes" in state) == bool(models[1].network.event_classes)
    assert {event.mq_type for event in events} == ({"loud"} if models[1].network.event_classes else {""})

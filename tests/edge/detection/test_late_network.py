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


def decisions_of(model: Manifest, moon: Moon, *parts: tuple[int, np.ndarray]) -> list[Decision]:
    """Return the decisions on parts of a record, (first sample, samples); the run asks for its end after each."""
    trigger = Recorder(model.trigger, 0.5)
    detector = Detector(model, *moon[1:], 0.5, trigger)
    for first, counts in parts:
        start_ns = round(first / model.sampling_rate_hz * 1e9)
        detector.push(Trace("XB_S12_00_M_H_Z", start_ns, model.sampling_rate_hz, counts))
        detector.finish()
    return trigger.decisions


def test_the_last_rows_of_a_record_are_decided_on(models: tuple[Manifest, Manifest], moon: Moon) -> None:
    """Behind as many rows of zeros, a late network decides on the last rows, once even where the record goes on."""
    plain, late = models
    counts = np.rint(300.0 * np.random.default_rng(2).standard_normal(30_000)).astype(np.int32)
    hop, lag_ns = plain.front_end.hop_samples, LAG_ROWS * plain.front_end.hop_samples / plain.sampling_rate_hz * 1e9
    before, after = decisions_of(plain, moon, (0, counts)), decisions_of(late, moon, (0, counts))
    assert len(after) == len(before) + LAG_ROWS
    assert after[-1].stop_ns == before[-1].stop_ns and after[-1].start_ns < after[-1].stop_ns
    assert [one.stop_ns for one in after[LAG_ROWS:]] == pytest.approx([one.stop_ns for one in before], abs=2)

    cut = 150 * hop
    once, in_parts = after, decisions_of(late, moon, (0, counts[:cut]), (cut, counts[cut:]))
    assert [one.stop_ns for one in in_parts] == [one.stop_ns for one in once]
    apart = [one for one, other in zip(in_parts, once, strict=True) if one != other]
    assert 0 < len(apart) <= LAG_ROWS  # those on which it had decided when its end was asked for
    assert {one.stop_ns < cut / plain.sampling_rate_hz * 1e9 + lag_ns for one in apart} == {True}


def test_the_rows_before_a_gap_are_decided_on(models: tuple[Manifest, Manifest], moon: Moon) -> None:
    plain, late = models
    counts = np.rint(300.0 * np.random.default_rng(2).standard_normal(30_000)).astype(np.int32)
    far = round(20_000 + 2.0 * plain.front_end.bridge_s * plain.sampling_rate_hz)

    def decided(model: Manifest) -> list[Decision]:
        trigger = Recorder(model.trigger, 0.5)
        detector = Detector(model, *moon[1:], 0.5, trigger)
        for first, samples in ((0, counts[:20_000]), (far, counts[20_000:])):
            start_ns = round(first / model.sampling_rate_hz * 1e9)
            detector.push(Trace("XB_S12_00_M_H_Z", start_ns, model.sampling_rate_hz, samples))
        detector.finish()
        return trigger.decisions

    before, after = decided(plain), decided(late)
    assert len(after) == len(before) + 2 * LAG_ROWS
    stops = [one.stop_ns for one in after]
    assert stops == sorted(set(stops)) and set(stops) >= {one.stop_ns for one in before[-1:]}
    assert max(np.diff(stops)) < (far - 20_000 + 2 * (LAG_ROWS + 2) * 64) / plain.sampling_rate_hz * 1e9

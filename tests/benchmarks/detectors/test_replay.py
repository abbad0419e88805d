"""Replayed triggers give the same events and kept intervals as the runner."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edgequake.benchmarks.detectors.model_detector import ModelDetector
from edgequake.benchmarks.detectors.replay import (
    Decisions,
    DecisionTracer,
    SampleSpans,
    events_of,
    kept_intervals,
    replay,
)
from edgequake.benchmarks.scoring.random_starts import random_start_ns
from edgequake.benchmarks.scoring.scoring import Detections
from edgequake.data.dataset import load
from edgequake.data.tables import LabelledRecord
from edgequake.edge.base.errors import DataError
from edgequake.edge.detection.trigger import Decision, Event, Trigger
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.synthetic import synthetic_dataset

from ..decided import TRIGGER, decisions, peaks, spans_of, trace
from ..drawing import T0_NS, at, record

THRESHOLDS = (0.05, 0.3, 0.8)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_dataset.write_dataset(
        tmp_path_factory.mktemp("replay") / "data", seed=4, n_train=1, n_val=3, n_test=1
    )


@pytest.fixture(scope="module")
def tracer() -> DecisionTracer:
    return DecisionTracer("moon")


def assert_same(replayed: Detections, run: Detections, interval_ns: int) -> None:
    """Onsets are equal, to the catalogue's microsecond; kept intervals to less than a sample."""
    assert [round(onset_ns / 1000) * 1000 for onset_ns in replayed.onsets_ns] == list(run.onsets_ns)
    assert len(replayed.kept) == len(run.kept)
    for mine, theirs in zip(replayed.kept, sorted(run.kept), strict=True):
        assert max(abs(mine[0] - theirs[0]), abs(mine[1] - theirs[1])) < interval_ns


def every_decision_pushed(run: Decisions, config: object, threshold: float) -> list[Event]:
    trigger = Trigger(config, threshold)  # type: ignore[arg-type]
    pushed = [trigger.push(Decision(*fields)) for fields in run.rows()]
    return [event for event in (*pushed, trigger.close()) if event is not None]


@pytest.mark.parametrize("seed", range(8))
def test_decisions_that_are_left_out_change_no_event(seed: int) -> None:
    rng = np.random.default_rng(seed)
    onset = np.clip(np.convolve(rng.uniform(-1.0, 1.2, 3000), np.ones(4) / 2, "same"), 0, 1)
    event = np.clip(onset + rng.normal(0, 0.2, 3000), 0, 1)
    run = decisions(onset.tolist(), event.tolist())
    n_events = 0
    other = dataclasses.replace(TRIGGER, min_duration_s=40.0, rearm_ratio=0.1, merge_s=0.0, hold_s=20.0)
    for config in (TRIGGER, other):
        for threshold in (0.2, 0.5, 0.9, 1.0):
            expected = every_decision_pushed(run, config, threshold)
            assert events_of(run, config, threshold) == expected
            n_events += len(expected)
    assert n_events > 20


def test_onsets_and_kept_intervals_by_hand() -> None:
    drawn = record(3600)
    found = replay(trace(drawn, peaks(3600, {600: 0.9, 2000: 0.6, 3500: 0.9})), TRIGGER, 0.5)
    assert found.onsets_ns == (at(600), at(2000), at(3500))
    # pre-roll 60 s, the event's ten seconds, post-roll 120 s; the last one is clipped at the record's stop
    assert found.kept == ((at(540), at(730)), (at(1940), at(2130)), (at(3440), at(3600)))
    assert replay(trace(drawn, peaks(3600, {600: 0.9, 2000: 0.6})), TRIGGER, 0.7).onsets_ns == (at(600),)


def test_an_onset_given_by_the_network_is_used() -> None:
    named = peaks(3600, {600: 0.9, 2000: 0.6})
    named = dataclasses.replace(named, onset_ns=named.start_ns - 40 * NS_PER_S)
    assert replay(trace(record(3600), named), TRIGGER, 0.5).onsets_ns == (at(560), at(1960))


def test_runs_between_restarts_do_not_share_an_event() -> None:
    one = decisions([0.9] * 30)
    after = decisions([0.9] * 30, first=30)
    assert replay(trace(record(600), one, after), TRIGGER, 0.5).onsets_ns == (at(0), at(300))
    assert replay(trace(record(600), decisions([0.9] * 60)), TRIGGER, 0.5).onsets_ns == (at(0),)


def test_overlapping_segments_are_merged_and_long_ones_are_split() -> None:
    def event(start_s: float, stop_s: float) -> Event:
        return Event(at(start_s), at(stop_s), 1.0)

    spans = spans_of(20_000)
    assert kept_intervals([event(1000, 1100), event(1250, 1300)], TRIGGER, spans) == [(at(940), at(1420))]
    # Up to twice the longest event and the rolls, 7380 s; then a new one goes on where the last one stops.
    events = [event(1000, 4600), event(4700, 8300), event(8400, 9000)]
    assert kept_intervals(events, TRIGGER, spans) == [(at(940), at(4720)), (at(4720), at(9120))]


def test_segments_are_clipped_where_samples_begin_and_stop() -> None:
    # two channels: seconds 0-1000 and 5-1000 of one, and 1200-2000 of both, ten samples a second
    starts = np.array([T0_NS, at(5), at(1200), at(1200)])
    spans = SampleSpans(starts, np.array([10_000, 9_950, 8_000, 8_000]), np.full(4, 10.0))
    assert spans.clip((at(-50), at(500))) == (at(0), at(500))
    assert spans.clip((at(1100), at(1500))) == (at(1200), at(1500))
    assert spans.clip((at(900), at(1100))) == (at(900), at(1000))
    assert spans.clip((at(900), at(1500))) == (at(900), at(1500))  # a gap within is not cut out
    assert spans.clip((at(1900), at(2000.05))) == (at(1900), at(2000.05))  # less than a sample is not clipped


@pytest.mark.parametrize("seed", range(40))
def test_decisions_that_are_left_out_change_no_event_with_any_settings(seed: int) -> None:
    rng = np.random.default_rng([seed, 1])
    n, width = int(rng.choice([1, 2, 5, 50, 400])), int(rng.integers(1, 30))

    def smoothed(low: float, high: float) -> np.ndarray:
        drawn = rng.uniform(low, high, n + width - 1)
        return np.clip(np.convolve(drawn, np.ones(width) / width ** rng.uniform(0.4, 1.0), "valid"), 0.0, 1.0)

    onset = np.round(smoothed(-1.0, 1.2) * 8) / 8 if rng.random() < 0.3 else smoothed(-1.0, 1.2)
    run = decisions(onset.tolist(), np.clip(smoothed(-0.5, 1.0) + rng.integers(2) * onset, 0.0, 1.0).tolist())
    config = dataclasses.replace(
        TRIGGER,
        min_duration_s=float(rng.choice([0, 10, 20, 60, 200])),
        rearm_ratio=float(rng.uniform(0.05, 1.0)),
        merge_s=float(rng.choice([0, 10, 100, 900])),
        hold_s=float(rng.choice([0, 10, 60, 240])),
        max_event_s=float(rng.choice([1, 30, 100, 1000])),
        event_threshold=float(rng.uniform(0.05, 1.0)),
        longest_rise_s=float(rng.choice([0, 0, 30, 200])),
    )
    for threshold in (0.05, 0.2, 0.5, 0.8, 1.0):
        assert events_of(run, config, threshold) == every_decision_pushed(run, config, threshold)


@pytest.mark.slow
def test_replay_gives_what_the_runner_gives_on_synthetic_records(data: Path, tracer: DecisionTracer) -> None:
    n_events = 0
    records = load(data, "moon", "val")
    for drawn in records:
        start_ns = random_start_ns(drawn, seed=1)
        traced = tracer(drawn, start_ns)
        assert (traced.record, traced.start_ns) == (drawn, start_ns)
        for threshold in THRESHOLDS:
            found = replay(traced, tracer.manifest.trigger, threshold)
            assert_same(found, ModelDetector("moon", threshold=threshold)(drawn, start_ns), NS_PER_S // 7)
            n_events += len(found.onsets_ns)
    assert n_events >= len(records)


def test_a_long_gap_is_a_restart_as_in_the_runner(tracer: DecisionTracer, tmp_path: Path) -> None:
    whole = synthetic_dataset.synthetic_record(
        np.random.default_rng(5), 6 * 3600.0, (4000.0, 18_000.0), noise_counts=0.5
    )
    with_gap = dataclasses.replace(whole, gaps=((50_000, 75_000),))  # an hour without samples
    path = synthetic_dataset.write_miniseed(with_gap, tmp_path / "gap.mseed")
    stop_ns = with_gap.start_ns + round(with_gap.duration_s * NS_PER_S)
    drawn = LabelledRecord(
        path,
        "moon",
        "val",
        "g",
        "LUN",
        synthetic_dataset.CHANNELS,
        with_gap.start_ns,
        stop_ns,
        with_gap.sampling_rate_hz,
        (),
        "",
    )
    traced = tracer(drawn, drawn.start_ns)
    assert len(traced.streams[0].runs) == 2
    for threshold in THRESHOLDS:
        run = ModelDetector("moon", threshold=threshold)(drawn, drawn.start_ns)
        assert_same(replay(traced, tracer.manifest.trigger, threshold), run, NS_PER_S // 7)


def test_a_start_after_the_last_sample_is_refused(data: Path, tracer: DecisionTracer) -> None:
    drawn = load(data, "moon", "val")[0]
    with pytest.raises(DataError, match="has no sample from"):
        tracer(drawn, drawn.stop_ns + NS_PER_S)


@pytest.mark.slow
@pytest.mark.records
@pytest.mark.parametrize("body", ["moon"])
def test_replay_gives_what_the_runner_gives_on_recorded_data(
    records_dir: Path, body: str, tracer: DecisionTracer
) -> None:
    for drawn in load(records_dir, body, "val")[::3]:
        start_ns = random_start_ns(drawn, seed=2)
        traced = tracer(drawn, start_ns)
        for threshold in THRESHOLDS:
            run = ModelDetector(body, threshold=threshold)(drawn, start_ns)
            found = replay(traced, tracer.manifest.trigger, threshold)
            assert_same(found, run, round(NS_PER_S / drawn.sampling_rate_hz))

"""The model's detector: the options that it passes to the runner, and the results that it reads."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from edgequake.benchmarks.detectors import model_detector
from edgequake.benchmarks.detectors.model_detector import ModelDetector, event_characteristic
from edgequake.edge.runner import RunConfig

from ..decided import decisions, trace
from ..drawing import arrival, at, record


def test_the_runner_is_asked_for_this_record_from_this_start(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[RunConfig] = []

    def fake_run(config: RunConfig) -> SimpleNamespace:
        asked.append(config)
        assert config.out.parent.is_dir()
        events = (
            SimpleNamespace(onset_ns=at(900), mq_type="deep_mq"),
            SimpleNamespace(onset_ns=at(600), mq_type=""),
        )
        segments = (SimpleNamespace(start_ns=at(540), stop_ns=at(1200)),)
        return SimpleNamespace(events=events, segments=segments)

    monkeypatch.setattr(model_detector, "run", fake_run)
    drawn = record(7200, arrival(600), name="somewhere/one.mseed")
    found = ModelDetector("moon", variant="int8", threshold=0.3)(drawn, at(100))
    assert found.onsets_ns == (at(600), at(900))
    assert found.mq_types == ("", "deep_mq")  # in the order of the onsets
    assert found.kept == ((at(540), at(1200)),)
    assert found.characteristic is None
    (config,) = asked
    assert (config.inputs, config.channels) == ((str(Path("somewhere/one.mseed")),), ("MHZ",))
    assert (config.model, config.variant, config.threshold, config.start_ns) == ("moon", "int8", 0.3, at(100))
    assert not config.out.parent.exists()  # the run's folder has been deleted


def test_the_characteristic_function_is_the_event_probability_of_all_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = record(7200)
    of_two = trace(drawn, decisions([0.9, 0.1], event=[0.2, 0.6]), decisions([0.3], event=[0.8], first=50))
    characteristic = event_characteristic(of_two, threshold=0.7)
    assert characteristic.time_ns.tolist() == [at(0), at(10), at(500)]
    assert (characteristic.values.tolist(), characteristic.threshold) == ([0.2, 0.6, 0.8], 0.7)
    assert event_characteristic(trace(drawn), 0.7).values.tolist() == []  # too short a record for any decision
    summary = SimpleNamespace(events=(), segments=())
    monkeypatch.setattr(model_detector, "run", lambda config: summary)
    assert (
        ModelDetector("moon", characteristic=lambda *_: characteristic)(drawn, at(0)).characteristic is characteristic
    )


@pytest.mark.long
@pytest.mark.records
def test_the_shipped_model_is_scored_on_recorded_data_by_its_own_runs(records_dir: Path) -> None:
    from edgequake.benchmarks.accuracy.accuracy import bench_accuracy
    from edgequake.edge.manifest.manifest import shipped_models

    if "moon" not in shipped_models():
        pytest.skip("no model is shipped yet")
    report = bench_accuracy("moon", records_dir, "val", seeds=1, baselines=False)
    (result,) = report.results
    assert report.n_arrivals == 16
    # Chance is below: a fixed delay after a random start reaches an F1 of 0.48 at best, chosen on these very records.
    assert result.summary.spreads["f1"].mean > 0.5

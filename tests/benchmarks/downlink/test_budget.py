"""Recall against the budget: missions drawn by hand, and synthesised records compared with the runner."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from edgequake.benchmarks.detectors.baselines import TUNED_STA_LTA
from edgequake.benchmarks.detectors.model_detector import ModelDetector
from edgequake.benchmarks.downlink.budget import BUDGETS, STA_LTA, bench_budget
from edgequake.benchmarks.downlink.budget_points import budget_points, score_delivery
from edgequake.benchmarks.downlink.simulation import (
    ModelSimulator,
    SimulatedMission,
    StaLtaSimulator,
    deliver,
    events_of,
)
from edgequake.benchmarks.scoring.characteristic_function import CharacteristicFunction
from edgequake.benchmarks.scoring.random_starts import random_start_ns
from edgequake.benchmarks.scoring.scoring import Detections
from edgequake.cli import main
from edgequake.data.dataset import load
from edgequake.edge.base.control import Control
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.base.layout import JOURNAL, OUTBOX
from edgequake.edge.downlink.journal import read_journal
from edgequake.edge.formats.waveforms import NS_PER_S, parse_time
from edgequake.edge.operation.run_models import LoadedModel
from edgequake.edge.results.catalog import read_catalog
from edgequake.edge.runner import RunConfig, run
from edgequake.results.tables.report_text import report_text

from .drawn import HOUR_NS, ONSET_NS, START_NS, drawn

RECORD_NS = 57 * NS_PER_S  # 512 bytes hold 57 doubles, here one a second
# Peak 0.5, no class: 0.85, as clear as can be: 0.3, 600 s of 3300 s: 0.15 * 0.1818, the first of its kind: 0.15.
EVENT_REPORT = "XX_LUN_19700102T070000.000,600,0.5000,,,0.3728,6656\n"


def test_the_records_around_the_onset_are_sent_first_within_the_budget(mission: SimulatedMission) -> None:
    assert mission.stop_ns == parse_time("1970-01-03T00:00:00")
    assert mission.n_days == 1
    for budget_bytes, n_records in ((1024, 1), (2000, 3), (6707, 12), (6708, 13)):
        delivered = deliver(mission, budget_bytes)
        assert delivered.bytes_by_day == {1: len(EVENT_REPORT) + 512 * n_records}
        assert [path.read_text() for path in (mission.folder / OUTBOX).glob("*.csv")] == [EVENT_REPORT]
        first_ns = ONSET_NS - 60 * NS_PER_S
        starts = [first_ns + i * RECORD_NS for i in range(n_records)]
        stops = [min(start + RECORD_NS, first_ns + 720 * NS_PER_S) for start in starts]
        assert sorted(delivered.kept) == list(zip(starts, stops, strict=True))
        assert delivered.reported_ns == {ONSET_NS}
        assert delivered.whole_ns == ({ONSET_NS} if n_records >= 3 else set())


def test_the_budget_grows_evenly_until_midnight(mission: SimulatedMission) -> None:
    deliver(mission, 2000)
    # At hour h of the day 2000 * h / 24 bytes are there: 52 + 512 from hour 7 on, 52 + 1024 from 13, 52 + 1536 from 20;
    # the segment is over at 07:11, so that the first pass that has something to send is the one at 8.
    passes = [(done.clock_ns // HOUR_NS % 24, done.size_bytes) for done in read_journal(mission.folder / JOURNAL)]
    assert passes == [(8, 564), (13, 512), (20, 512)]


def test_delivered_means_recalled_and_covered_by_sent_records(mission: SimulatedMission) -> None:
    on_time, late = ONSET_NS, ONSET_NS + 30 * NS_PER_S
    # With one record, until 06:59:57: it meets what begins 30 s before 07:00:00, and not what begins before 07:00:30.
    for arrival_ns, budget_bytes, delivered, whole in (
        (on_time, 1024, 1.0, 0.0),
        (late, 1024, 0.0, 0.0),
        (late, 2000, 1.0, 1.0),
    ):
        record = drawn(arrival_ns)
        (point,) = budget_points([[{budget_bytes: score_delivery(record, mission, deliver(mission, budget_bytes))}]])
        assert (point.delivered.mean, point.told.mean, point.whole.mean) == (delivered, 1.0, whole)
        assert point.events.mean == delivered
        assert point.delivered_long is None
        assert point.largest_day_bytes == point.bytes_a_day.mean == (564 if budget_bytes == 1024 else 1588)


def test_an_undetected_arrival_is_not_delivered_by_the_samples_of_another(mission: SimulatedMission) -> None:
    # Ten minutes late: the segment covers it, no detection is within 300 s of it.
    record = drawn(ONSET_NS, ONSET_NS + 600 * NS_PER_S, hours=12)
    (point,) = budget_points([[{6708: score_delivery(record, mission, deliver(mission, 6708))}]])
    assert (point.delivered.mean, point.told.mean, point.whole.mean) == (0.5, 0.5, 0.5)
    assert point.delivered_long is not None and point.delivered_long.mean == 0.5
    assert point.events.mean == 0.5


def test_seeds_are_averaged_and_quiet_days_count(mission: SimulatedMission) -> None:
    record = drawn(ONSET_NS + 30 * NS_PER_S)
    late = score_delivery(record, mission, deliver(mission, 1024))
    whole = score_delivery(record, mission, deliver(mission, 6708))
    quiet = dataclasses.replace(whole, bytes_by_day={}, n_days=3, score=dataclasses.replace(whole.score, arrivals=()))
    (point,) = budget_points([[{6708: late}, {6708: quiet}], [{6708: whole}, {6708: quiet}]])
    assert point.delivered.mean == 0.5
    assert point.delivered.deviation == pytest.approx(0.5**0.5)
    assert point.bytes_a_day.mean == (564 / 4 + 6708 / 4) / 2
    assert point.largest_day_bytes == 6708


def test_the_peak_of_a_ratio_is_half_at_the_threshold_and_one_far_above() -> None:
    times_ns = START_NS + NS_PER_S * np.arange(1000, dtype=np.int64)
    values = np.full(1000, np.nan)
    values[100:400], values[150] = 2.0, 6.0
    values[600:601] = 2.0
    values[700:800] = 1e9
    spans = [(100, 400), (600, 601), (700, 800)]
    onsets = tuple(int(times_ns[first]) for first, _ in spans)
    kept = tuple((0, int(times_ns[stop]) + 300 * NS_PER_S) for _, stop in spans)  # on the Moon 300 s after the stop
    events = events_of(
        Detections(onsets, kept, characteristic=CharacteristicFunction(times_ns + 1, values, 2.0)), "moon"
    )
    assert [(event.onset_ns, event.stop_ns) for event in events] == [
        (int(times_ns[first]), int(times_ns[stop])) for first, stop in spans
    ]
    assert [event.peak_probability for event in events] == [0.75, 0.5, pytest.approx(1.0)]


def test_simulations_find_what_their_detectors_find(data: Path, tmp_path: Path) -> None:
    record = load(data, "moon", "val")[1]
    start_ns = random_start_ns(record, 1)
    loaded = LoadedModel.load(RunConfig((), Path(), "moon"), Control().log)
    of_model = ModelSimulator(loaded).simulate(record, start_ns, tmp_path / "model")
    onsets_ns = ModelDetector("moon")(record, start_ns).onsets_ns
    assert len(onsets_ns) > 0
    assert tuple(round(row.onset_ns / 1000) * 1000 for row in of_model.rows) == onsets_ns
    detector = TUNED_STA_LTA["moon"]
    of_sta_lta = StaLtaSimulator(detector, loaded).simulate(record, start_ns, tmp_path / "sta-lta")
    onsets_ns = detector(record, start_ns).onsets_ns
    assert len(onsets_ns) > 0
    assert tuple(row.onset_ns for row in of_sta_lta.rows) == onsets_ns
    trigger = loaded.manifest.trigger
    for found in of_sta_lta.found:
        reach_ns = max(row.stop_ns for row in found.rows) + round(trigger.post_roll_s * NS_PER_S)
        assert found.segment.stop_ns == pytest.approx(min(reach_ns, of_sta_lta.clock_ns), abs=NS_PER_S)


def test_passes_during_the_record_are_those_of_the_runner(data: Path, tmp_path: Path) -> None:
    record = load(data, "moon", "val")[0]  # 12 h
    config = RunConfig((str(record.file),), tmp_path / "run", "moon", budget_bytes=50_000, channels=record.channels)
    run(config)
    loaded = LoadedModel.load(config, Control().log)
    mission = ModelSimulator(loaded).simulate(record, record.start_ns, tmp_path / "mission")
    deliver(mission, 50_000)
    expected = [
        done
        for done in read_journal(tmp_path / "run" / JOURNAL)
        if done.clock_ns % round(config.pass_s * NS_PER_S) == 0
    ]
    mine = list(read_journal(tmp_path / "mission" / JOURNAL))
    assert len(expected) > 3
    assert mine[: len(expected)] == expected  # the files' hashes are among what is compared
    rows = read_catalog(tmp_path / "run" / "catalog.csv")
    assert [(row.evid, row.priority) for row in mission.rows] == [(row.evid, row.priority) for row in rows]


@pytest.mark.slow
def test_the_report_holds_both_detectors_and_no_day_is_above_budget(data: Path, tmp_path: Path) -> None:
    shares: list[float] = []
    report = bench_budget(
        "moon", data, "val", (20_000, 2000), seeds=2, progress=lambda share, _: shares.append(share or 0.0)
    )
    assert [curve.name for curve in report.curves] == ["model", STA_LTA]
    assert report.n_records == 3
    assert report.n_arrivals == sum(len(record.arrivals) for record in load(data, "moon", "val"))
    for curve in report.curves:
        assert [point.budget_bytes for point in curve.points] == [2000, 20_000]
        for point in curve.points:
            assert 0 < point.largest_day_bytes <= point.budget_bytes
            assert point.whole.mean <= point.delivered.mean <= point.told.mean <= curve.recalled.mean
    assert report.curves[0].points[1].delivered.mean > 0.5
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1.0)
    values = json.loads(json.dumps(report.to_json()))
    assert values["benchmark"] == "budget"
    assert values["model"]["sha256"] == report.model.sha256
    assert values["provenance"]["versions"]["numpy"]
    table = report_text(report)
    assert "Whole onset: " in table and STA_LTA in table and "2 random starts of each record" in table


def test_the_command_accepts_several_budgets_after_one_option(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "budget.json"
    words = ["bench", "budget", "--data", str(data), "--split", "test", "--budgets", "2000", "5000", "--seeds", "1"]
    assert main([*words, "--out", str(file)]) == 0
    assert "Whole onset: " in capsys.readouterr().out
    curves = json.loads(file.read_text())["curves"]
    assert [[point["budget_bytes"] for point in curve["points"]] for curve in curves] == [[2000, 5000]] * 2


def test_budgets_that_the_runner_refuses_are_refused_at_once(data: Path) -> None:
    assert BUDGETS == (2000, 5000, 10_000, 20_000, 50_000)
    with pytest.raises(ConfigError, match="no budget was named"):
        bench_budget("moon", data, budgets=())
    with pytest.raises(ConfigError, match="--budget 500: expected at least 1024 bytes a day"):
        bench_budget("moon", data, budgets=(2000, 500))

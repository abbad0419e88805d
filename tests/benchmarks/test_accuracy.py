"""The accuracy report, with fakes in the model's place."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from edgequake.benchmarks import accuracy
from edgequake.benchmarks.accuracy import bench_accuracy, evaluate
from edgequake.benchmarks.baselines import CLOCKS, NASA_NOTEBOOK, TUNED_STA_LTA
from edgequake.benchmarks.scoring import Detections
from edgequake.dataset import Record, load
from edgequake.edge.errors import ConfigError, DataError
from edgequake.edge.piece import NS_PER_S
from edgequake.synthetic import write_dataset

from .drawing import arrival, record


def oracle(drawn: Record, start_ns: int) -> Detections:
    onsets = tuple(arrival.time_ns for arrival in drawn.arrivals)
    return Detections(onsets, tuple((onset, onset + 600 * NS_PER_S) for onset in onsets))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("synthetic") / "data", seed=1, n_train=1, n_val=3, n_test=1)


def test_every_seed_begins_elsewhere_and_every_detector_at_the_same_instants() -> None:
    drawn = record(7200, arrival(3000))
    seen: list[list[int]] = [[], []]
    for starts in seen:

        def spy(drawn: Record, start_ns: int, starts: list[int] = starts) -> Detections:
            starts.append(start_ns)
            return oracle(drawn, start_ns)

        summary = evaluate(spy, [drawn], range(5))
        assert summary.spreads["recall"].mean == 1.0
    assert seen[0] == seen[1]
    assert len(set(seen[0])) == 5


def test_no_seeds_mean_the_records_own_starts() -> None:
    drawn = record(7200, arrival(3000))
    starts: list[int] = []
    evaluate(lambda _, start_ns: starts.append(start_ns) or Detections((), ()), [drawn], ())
    assert starts == [drawn.start_ns]


def test_the_report_holds_the_baselines_side_by_side(data: Path) -> None:
    report = bench_accuracy(None, data, "val", seeds=2, body="moon", curves=True)
    assert [result.name for result in report.results] == [
        "clock",
        "STA/LTA, NASA notebook",
        "STA/LTA, tuned on val",
    ]
    assert report.n_arrivals == sum(len(record.arrivals) for record in load(data, "moon", "val"))
    table = report.table()
    assert all(result.name in table for result in report.results)
    assert "2 random starts each" in table
    assert "recall against kept" in table
    values = json.loads(json.dumps(report.to_json()))
    assert values["benchmark"] == "accuracy"
    assert values["data_sha256"] == report.data_sha256
    assert values["provenance"]["versions"]["numpy"]
    assert len(values["results"][0]["summary"]["scores"]) == 2
    points = report.curves["STA/LTA, tuned on val"]
    assert [point.kept for point in points] == sorted((point.kept for point in points), reverse=True)


def test_a_model_goes_first_and_is_swept(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgequake.benchmarks import model_detector
    from edgequake.benchmarks.provenance import ModelIdentity

    @dataclasses.dataclass(frozen=True)
    class FakeModel:
        model: str
        variant: str | None = None
        sensitivity: str = "normal"
        threshold: float | None = None

        def __call__(self, drawn: Record, start_ns: int) -> Detections:
            return oracle(drawn, start_ns) if (self.threshold or 0.5) < 0.75 else Detections((), ())

    def replayed(model: str, variant: str | None, thresholds: tuple[float, ...]) -> dict[float, FakeModel]:
        return {threshold: FakeModel(model, variant, threshold=threshold) for threshold in thresholds}

    monkeypatch.setattr(model_detector, "ModelDetector", FakeModel)
    monkeypatch.setattr(model_detector, "replayed", replayed)
    identity = ModelIdentity("fake", "int8", "ab" * 32, 30_000, 5506)
    monkeypatch.setattr(accuracy, "identify", lambda model, variant: (identity, "moon"))
    told: list[tuple[float, str]] = []
    report = bench_accuracy("fake", data, seeds=1, curves=True, progress=lambda *step: told.append(step))
    assert report.results[0].name == "model"
    assert report.results[0].summary.spreads["f1"].mean == 1.0
    recalls = {point.threshold: point.recall for point in report.curves["model"]}
    assert (recalls[0.05], recalls[0.7], recalls[0.8]) == (1.0, 1.0, 0.0)
    assert "model fake, int8, sha256 abababababab" in report.table()
    assert [share for share, _ in told] == sorted(share for share, _ in told)
    assert told[-1][0] == pytest.approx(1.0)


def test_nothing_to_score_is_an_error(data: Path) -> None:
    with pytest.raises(ConfigError, match="nothing says whose records to score"):
        bench_accuracy(None, data)
    with pytest.raises(ConfigError, match="leave the baselines in"):
        bench_accuracy(None, data, body="moon", baselines=False)
    with pytest.raises(DataError, match="no record of body 'earth'"):
        bench_accuracy(None, data, body="earth")


@pytest.mark.records
def test_the_constants_of_the_clock_are_those_that_tuning_finds(records_dir: Path) -> None:
    from edgequake.benchmarks.tuning import choose_clock

    for body, clock in CLOCKS.items():
        assert choose_clock(load(records_dir, body, "val")) == clock


@pytest.mark.records
def test_random_starts_take_the_clocks_score_away(records_dir: Path) -> None:
    for body, own_f1, random_f1 in (("moon", 0.7, 0.2), ("earth", 0.9, 0.2)):
        records = load(records_dir, body, "val")
        assert evaluate(CLOCKS[body], records, ()).spreads["f1"].mean > own_f1
        assert evaluate(CLOCKS[body], records, range(5)).spreads["f1"].mean < random_f1


@pytest.mark.records
def test_tuned_sta_lta_is_where_an_independent_measurement_put_it(records_dir: Path) -> None:
    # STA/LTA 120/1200 s, on 2.2, band-passed and despiked, from the records' own starts: recall and precision .63 and
    # 5.7 false alarms a quiet day were measured by other code, whose band and trigger's stop are not known.
    records = load(records_dir, "moon", "val")
    known = dataclasses.replace(TUNED_STA_LTA["moon"], lta_s=1200.0, band_hz=(0.35, 1.4), off=1.2)
    means = {name: spread.mean for name, spread in evaluate(known, records, ()).spreads.items()}
    assert means["recall"] == pytest.approx(0.63, abs=0.13)
    assert means["precision"] == pytest.approx(0.63, abs=0.13)
    assert means["false_per_quiet_day"] == pytest.approx(5.7, abs=2)


@pytest.mark.records
def test_the_notebooks_settings_do_worse_than_tuned_ones(records_dir: Path) -> None:
    records = load(records_dir, "moon", "val")
    notebook, tuned = (evaluate(detector, records, (0,)) for detector in (NASA_NOTEBOOK, TUNED_STA_LTA["moon"]))
    assert notebook.spreads["recall"].mean < tuned.spreads["recall"].mean - 0.2

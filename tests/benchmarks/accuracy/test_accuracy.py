"""The accuracy report, with fakes in the model's place."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pymseed
import pytest

from edgequake.benchmarks.accuracy.accuracy import bench_accuracy
from edgequake.benchmarks.accuracy.evaluation import evaluate
from edgequake.benchmarks.detectors import detectors, model_detector
from edgequake.benchmarks.detectors.baselines import CLOCKS, NASA_NOTEBOOK, TUNED_STA_LTA
from edgequake.benchmarks.scoring.scoring import Detections
from edgequake.data.dataset import load
from edgequake.data.tables import LabelledRecord
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.results.provenance import ModelIdentity
from edgequake.results.tables.report_text import report_text
from edgequake.synthetic.synthetic_dataset import write_dataset

from ..drawing import arrival, record


def oracle(drawn: LabelledRecord, start_ns: int) -> Detections:
    onsets = tuple(arrival.time_ns for arrival in drawn.arrivals)
    return Detections(onsets, tuple((onset, onset + 600 * NS_PER_S) for onset in onsets))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("synthetic") / "data", seed=1, n_train=1, n_val=3, n_test=1)


def test_seeds_differ_in_their_starts_and_detectors_do_not() -> None:
    drawn = record(7200, arrival(3000))
    seen: list[list[int]] = [[], []]
    for starts in seen:

        def spy(drawn: LabelledRecord, start_ns: int, starts: list[int] = starts) -> Detections:
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


@pytest.mark.slow
def test_the_report_holds_the_baselines_side_by_side(data: Path) -> None:
    report = bench_accuracy(None, data, "val", seeds=2, body="moon", curves=True)
    assert [result.name for result in report.results] == [
        "clock",
        "STA/LTA, NASA notebook",
        "STA/LTA, tuned on val",
        "recursive STA/LTA, tuned on val",
        "z-detector, tuned on val",
    ]
    assert report.n_arrivals == sum(len(record.arrivals) for record in load(data, "moon", "val"))
    table = report_text(report)
    assert all(result.name in table for result in report.results)
    assert "2 random starts of each record" in table
    assert "recall against kept" in table
    values = json.loads(json.dumps(report.to_json()))
    assert values["benchmark"] == "accuracy"
    assert values["data_sha256"] == report.data_sha256
    assert values["provenance"]["versions"]["numpy"]
    assert len(values["results"][0]["summary"]["scores"]) == 2
    points = report.curves["STA/LTA, tuned on val"]
    assert [point.kept for point in points] == sorted((point.kept for point in points), reverse=True)


def write_packet(folder: Path) -> Path:
    """Write a packet of one lunar record, an hour of noise with one catalogued impact."""
    name = "xa.s12.00.mhz.1971-04-13HR02_evid00029"
    start_ns = 40_358_568_990_062_000
    samples = np.random.default_rng(1).normal(0.0, 1e-9, round(3600 * 6.625))
    traces = pymseed.MS3TraceList()
    traces.add_data("FDSN:XA_S12_00_M_H_Z", samples, "d", 6.625, starttime=start_ns)
    traces.to_file(folder / f"{name}.mseed", overwrite=True, format_version=2, max_record_length=512)
    header = "filename,time_abs(%Y-%m-%dT%H:%M:%S.%f),time_rel(sec),evid,mq_type\n"
    row = f"{name},1971-04-13T03:12:00.000000,11520.0,evid00029,impact_mq\n"
    (folder / "apollo12_catalog_GradeA_final.csv").write_text(header + row)
    return folder


@dataclasses.dataclass(frozen=True)
class FakeModel:
    """Finds every arrival and gives the class of every second one, up to a threshold."""

    model: str
    variant: str | None = None
    sensitivity: str = "normal"
    threshold: float | None = None
    characteristic: object = dataclasses.field(default=None, repr=False)

    def __call__(self, drawn: LabelledRecord, start_ns: int) -> Detections:
        found = oracle(drawn, start_ns)
        classes = tuple("deep_mq" if i % 2 else "" for i, _ in enumerate(found.onsets_ns, start=1))
        known = dataclasses.replace(found, mq_types=classes)
        return known if (self.threshold or 0.5) < 0.75 else Detections((), ())


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand-ins for models: NAME is any; returns the names in the order in which their caches were cleared."""
    cleared: list[str] = []

    def replayed(model: str, variant: str | None, thresholds: tuple[float, ...]) -> model_detector.ReplayedModel:
        at = {threshold: FakeModel(model, variant, threshold=threshold) for threshold in thresholds}
        return model_detector.ReplayedModel(lambda *_: None, at, lambda: cleared.append(model))  # type: ignore[arg-type]

    def identify(model: str, variant: str | None) -> tuple[ModelIdentity, str]:
        body = "mars" if "mars" in model else "moon"
        name = Path(model).stem
        return ModelIdentity(name, variant or "int8", f"{model}".encode().hex().ljust(64, "0"), 30_000, 5506), body

    monkeypatch.setattr(model_detector, "ModelDetector", FakeModel)
    monkeypatch.setattr(model_detector, "replayed", replayed)
    monkeypatch.setattr(detectors, "identify", identify)
    return cleared


@pytest.mark.slow
def test_the_model_comes_first_and_is_swept(data: Path, fakes: list[str]) -> None:
    steps: list[tuple[float, str]] = []
    report = bench_accuracy("fake", data, seeds=1, curves=True, progress=lambda *step: steps.append(step))
    assert report.results[0].name == "model"
    assert report.results[0].summary.spreads["f1"].mean == 1.0
    recalls = {point.threshold: point.recall for point in report.curves["model"]}
    assert (recalls[0.05], recalls[0.7], recalls[0.8]) == (1.0, 1.0, 0.0)
    assert "Graph of fake int8: sha256 66616b650000" in report_text(report)
    assert [share for share, _ in steps] == sorted(share for share, _ in steps)
    assert steps[-1][0] == pytest.approx(1.0)
    assert fakes == ["fake"]


def test_further_models_stand_beside_it_under_their_own_names(data: Path, fakes: list[str]) -> None:
    also = ("else/seed.json:float32", "seed.json", "other/seed.json:int8", "fake")
    report = bench_accuracy("fake", data, seeds=1, curves=True, baselines=False, also=also)
    names = [
        "seed float32",
        "seed int8 (seed.json)",
        "seed int8 (other/seed.json)",
        "fake int8 (fake)",  # the same graph as the model's, under a name of its own
    ]
    assert [result.name for result in report.results] == ["model", *names]
    assert list(report.also) == list(report.curves)[1:] == names
    assert [one.variant for one in report.also.values()] == ["float32", "int8", "int8", "int8"]
    assert all(f"Graph of {name}: sha256 " in report_text(report) for name in names)
    assert fakes == [
        "fake",
        "else/seed.json",
        "seed.json",
        "other/seed.json",
        "fake",
    ]  # before the next runs


def test_the_details_are_in_the_report(data: Path, fakes: list[str]) -> None:
    report = bench_accuracy("fake", data, seeds=2, baselines=False)
    values = json.loads(json.dumps(report.to_json()))["results"][0]["breakdown"]
    assert values["onset_within"]["5"]["mean"] == 1.0
    assert values["windows"]["window_s"] == 900.0
    assert sum(part["n_arrivals"] for part in values["by_class"].values()) == report.n_arrivals
    assert sum(part["n_records"] for part in values["by_station"].values()) == report.n_records
    (row,) = values["confusion"].values()
    assert row["deep_mq"] + row.get("blank", 0) == report.n_arrivals
    table = report_text(report)
    for words in ("within", "320 s", "windows of 900 s", "recall by class", "by station", "classes told by fake int8"):
        assert words in table
    assert (
        bench_accuracy("fake", data, seeds=1, baselines=False, window_s=60).results[0].breakdown.windows.window_s == 60
    )


def test_models_of_another_body_and_odd_windows_are_refused(data: Path, fakes: list[str]) -> None:
    with pytest.raises(ConfigError, match="model 'mars' is for mars, got records of moon"):
        bench_accuracy("fake", data, also=("mars",))
    with pytest.raises(ConfigError, match="model 'fake' is for moon, got records of earth"):
        bench_accuracy("fake", data, body="earth")
    for window_s in (0.0, -5.0, float("nan"), 1e9):
        with pytest.raises(ConfigError, match="windows must be 1 to 86400 s long"):
            bench_accuracy("fake", data, window_s=window_s)


def test_a_packet_has_no_splits_and_is_scored_whole(tmp_path: Path, fakes: list[str]) -> None:
    packet = write_packet(tmp_path)
    report = bench_accuracy("fake", packet, seeds=1)
    assert (report.split, report.n_records, report.n_arrivals) == ("all", 1, 1)
    assert list(report.results[0].breakdown.by_class) == ["impact_mq"]


def test_nothing_to_score_is_an_error(data: Path) -> None:
    with pytest.raises(ConfigError, match="no body to score"):
        bench_accuracy(None, data)
    with pytest.raises(ConfigError, match="leave the baselines in"):
        bench_accuracy(None, data, body="moon", baselines=False)
    with pytest.raises(DataError, match="no record of body 'earth'"):
        bench_accuracy(None, data, body="earth")


@pytest.mark.records
@pytest.mark.parametrize("body", CLOCKS)
def test_the_clock_scores_nearly_as_well_as_the_best_times_on_val(records_dir: Path, body: str) -> None:
    """Its times were chosen on val as it was then. On records added since, others may be best, but not by much."""
    from edgequake.benchmarks.tuning.baseline_grid import choose_clock, own_start_rank

    records = load(records_dir, body, "val")
    records = records[:: 1 + len(records) // 40]  # the grid takes 10 s over all records of the Earth
    best_f1, _ = own_start_rank(choose_clock(records), records)
    f1, _ = own_start_rank(CLOCKS[body], records)
    assert best_f1 - 0.05 <= f1 <= best_f1


@pytest.mark.records
@pytest.mark.parametrize("body", ["moon", "earth"])
def test_random_starts_take_the_clocks_score_away(records_dir: Path, body: str) -> None:
    """From the files' own starts it recalls most arrivals; from random starts it is no better than chance."""
    records = load(records_dir, body, "val")
    own_f1 = evaluate(CLOCKS[body], records, ()).spreads["f1"].mean
    random_f1 = evaluate(CLOCKS[body], records, range(5)).spreads["f1"].mean
    assert own_f1 > 0.6
    assert random_f1 < own_f1 / 3


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

"""Tuning to one's own records: the tuned copy runs, and performs as reported."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgequake.benchmarks.accuracy.accuracy import evaluate
from edgequake.benchmarks.detectors.model_detector import ModelDetector
from edgequake.benchmarks.tuning.false_alarm_tuning import tune_to_rate
from edgequake.benchmarks.tuning.label_tuning import tune_to_labels
from edgequake.data.dataset import load
from edgequake.data.selection import Fold, Selection, split_fold
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.manifest.manifest import SENSITIVITIES, load_manifest, read_graph
from edgequake.edge.runner import RunConfig, run
from edgequake.results.tables.report_text import report_text
from edgequake.synthetic import synthetic_dataset

from ...short_records import without_long_records

EVERYTHING = Selection()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tuning")
    whole = synthetic_dataset.write_dataset(folder / "whole", seed=2, n_train=3, n_val=3, n_test=1)
    return without_long_records(whole, folder / "data")


@pytest.fixture(scope="module")
def glitchy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of one day with bursts too weak to be quakes, in which the model finds some events."""
    folder = tmp_path_factory.mktemp("station") / "quiet"
    folder.mkdir()
    rng = np.random.default_rng(8)
    for half in range(2):
        start_ns = synthetic_dataset.DAY_START_NS + half * 43_200 * 10**9
        onsets_s = np.linspace(3000, 39_000, 8).tolist()
        ratios = rng.permutation(np.linspace(0.05, 1.2, 8)).tolist()
        record = synthetic_dataset.synthetic_record(rng, 43_200.0, onsets_s, ratios=ratios, start_ns=start_ns)
        synthetic_dataset.write_miniseed(record, folder / f"half{half}.mseed")
    return folder


def n_events(manifest: Path, sensitivity: str, folder: Path, out: Path) -> int:
    """Return how many events the runner itself finds in a folder with a tuned copy."""
    return len(run(RunConfig((str(folder),), out, model=str(manifest), sensitivity=sensitivity)).events)


@pytest.mark.slow
def test_the_requested_rate_is_reached_on_unlabelled_records(glitchy: Path, tmp_path: Path) -> None:
    result = tune_to_rate("moon", glitchy, tmp_path / "tuned", EVERYTHING, false_per_day=4.0)
    assert not result.quiet.labelled and result.quiet.stations == ("XX_LUN",)
    assert result.quiet.quiet_days == pytest.approx(1.0, abs=0.01)
    found = {name: n_events(result.manifest, name, glitchy, tmp_path / name) for name in SENSITIVITIES}
    assert found == {name: result.chosen[name].n_false for name in SENSITIVITIES}
    days = result.quiet.quiet_days
    assert found["low"] <= days * 2.0 and found["normal"] <= days * 4.0 and found["high"] <= days * 8.0
    assert 0 < found["high"]  # the model does find events: lower rates were chosen out of several
    thresholds = result.trigger.onset_thresholds
    assert thresholds["low"] >= thresholds["normal"] >= thresholds["high"]
    assert thresholds["low"] > thresholds["high"]
    assert result.unresolved is None
    assert "everything recorded counts as quiet" in report_text(result)


def test_too_short_a_record_is_reported_in_one_line(tmp_path: Path) -> None:
    still = synthetic_dataset.synthetic_record(np.random.default_rng(6), 4 * 3600.0)
    synthetic_dataset.write_miniseed(still, tmp_path / "still.mseed")
    result = tune_to_rate("moon", tmp_path, tmp_path / "tuned", EVERYTHING, false_per_day=1.0)
    assert result.unresolved is not None and result.unresolved in report_text(result).splitlines()
    assert result.chosen["normal"].n_false == 0
    assert result.chosen["normal"].false_per_day_upper == pytest.approx(2.996 / result.quiet.quiet_days, rel=1e-3)


@pytest.mark.slow
def test_the_rate_on_labelled_records_is_that_of_the_bench(data: Path, tmp_path: Path) -> None:
    result = tune_to_rate("moon", data, tmp_path / "tuned", EVERYTHING, false_per_day=20.0, seeds=2)
    assert result.quiet.labelled and result.quiet.part == "val"
    detector = ModelDetector(str(result.manifest), sensitivity="high")
    summary = evaluate(detector, load(data, "moon", "val"), range(2))
    assert summary.spreads["n_false"].mean == result.chosen["high"].n_false
    assert summary.spreads["false_per_quiet_day"].mean == pytest.approx(result.chosen["high"].false_per_day)
    assert summary.spreads["recall"].mean == result.chosen["high"].recall


@pytest.fixture(scope="module")
def tuned(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the manifest of a copy tuned on the labels of val."""
    return tune_to_labels("moon", data, tmp_path_factory.mktemp("tuned") / "copy", EVERYTHING, seeds=2).manifest


@pytest.mark.slow
def test_the_tuned_copy_scores_as_the_report_says(data: Path, tuned: Path) -> None:
    report = json.loads((tuned.parent / "tuning.json").read_text())
    assert report["part"] == "val" and report["n_records"] == 2 and report["seeds"] == [0, 1]
    for sensitivity in SENSITIVITIES:
        summary = evaluate(ModelDetector(str(tuned), sensitivity=sensitivity), load(data, "moon", "val"), range(2))
        for name in ("recall", "f1", "n_false", "kept", "wasted"):
            assert summary.spreads[name].mean == pytest.approx(report["after"][sensitivity][name], abs=1e-6), name
    assert report["after"]["normal"]["f1"] >= report["before"]["normal"]["f1"] - 0.01


@pytest.mark.slow
def test_the_copy_differs_from_the_model_only_in_its_trigger(tuned: Path) -> None:
    (copy, folder), (model, shipped) = load_manifest(tuned), load_manifest("moon")
    assert read_graph(copy, folder)[1] == read_graph(model, shipped)[1]
    for name in ("hold_s", "merge_s", "max_event_s", "pre_roll_s", "post_roll_s", "rearm_ratio"):
        assert getattr(copy.trigger, name) == getattr(model.trigger, name), name
    assert (copy.front_end, copy.network, copy.variants) == (model.front_end, model.network, model.variants)
    tuning = copy.training["tuning"]
    assert tuning["by"] == "labels" and tuning["figures"]["normal"]["recall"] > 0
    apart = ("tuning",)
    assert {k: v for k, v in copy.training.items() if k not in apart} == {
        k: v for k, v in model.training.items() if k not in apart
    }


def test_selections(data: Path) -> None:
    fold = Fold(1, 2)
    assert Selection(fold=fold).records(data, "moon") == split_fold(data, "moon", fold)[1]
    assert Selection("train", stations=("LUN",)).records(data, "moon") == load(data, "moon", "train")
    assert Selection(stations=("LUN",)).includes("XX_LUN") and not Selection(stations=("XX_LUN",)).includes("XY_LUN")
    with pytest.raises(DataError, match="has no record of station S99; it has LUN"):
        Selection(stations=("S99",)).records(data, "moon")
    with pytest.raises(ConfigError, match="choose one of --split and --fold"):
        Selection("val", fold)


def test_stations_of_a_folder_are_chosen_by_name(glitchy: Path, tmp_path: Path) -> None:
    both = tmp_path / "both"
    shutil.copytree(glitchy, both)
    other = synthetic_dataset.synthetic_record(np.random.default_rng(3), 7200.0, station="OTH")
    synthetic_dataset.write_miniseed(other, both / "other.mseed")
    result = tune_to_rate("moon", both, tmp_path / "tuned", Selection(stations=("OTH",)), false_per_day=100.0)
    assert result.quiet.stations == ("XX_OTH",)
    assert result.quiet.quiet_days == pytest.approx(7200 / 86_400, rel=0.01)


@pytest.mark.long
@pytest.mark.records
def test_a_rate_tuned_on_recorded_quiet_time_is_that_of_the_bench(records_dir: Path, tmp_path: Path) -> None:
    result = tune_to_rate("moon", records_dir, tmp_path / "tuned", EVERYTHING, false_per_day=4.0, seeds=1)
    summary = evaluate(ModelDetector(str(result.manifest)), load(records_dir, "moon", "val"), range(1))
    assert summary.spreads["n_false"].mean == result.chosen["normal"].n_false
    assert summary.spreads["false_per_quiet_day"].mean <= 4.0

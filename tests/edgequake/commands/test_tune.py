"""`edgequake tune` and `edgequake bench folds`: output and errors."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgequake import cli
from edgequake.edge.manifest.manifest import load_manifest, shipped_models
from edgequake.synthetic import synthetic_dataset

from ...short_records import without_long_records
from ..refusals import refused


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two hours without an event and no labels."""
    folder = tmp_path_factory.mktemp("quiet")
    record = synthetic_dataset.synthetic_record(np.random.default_rng(1), 7200.0, spikes_per_hour=0.0)
    synthetic_dataset.write_miniseed(record, folder / "a.mseed")
    return folder


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelled")
    whole = synthetic_dataset.write_dataset(folder / "data", seed=3, n_train=3, n_val=3, n_test=1)
    return without_long_records(whole, folder / "short")


def tune(data: Path, out: Path, *more: str) -> list[str]:
    return ["tune", "--data", str(data), "--out", str(out), *more]


def test_tuning_to_a_rate_prints_a_table_and_writes_a_copy_that_runs(
    quiet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tuned"
    assert cli.main(tune(quiet, out, "--false-per-day", "50")) == 0
    said = capsys.readouterr().out
    assert "no labels: everything recorded counts as quiet" in said
    assert f"written: {out / 'moon.json'}" in said
    manifest, _ = load_manifest(out / "moon.json")
    assert json.loads((out / "tuning.json").read_text())["tuned"] == "by rate"
    assert manifest.training["tuning"]["asked_per_day"] == 50.0
    assert (
        cli.main(["run", "--model", str(out / "moon.json"), str(quiet / "a.mseed"), "--out", str(tmp_path / "r")]) == 0
    )
    summary = json.loads((tmp_path / "r" / "summary.json").read_text())
    assert summary["onset_threshold"] == manifest.trigger.onset_thresholds["normal"]


def test_tuning_by_labels_prints_json(labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(tune(labelled, tmp_path / "tuned", "--seeds", "1", "--json")) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["tuned"] == "by labels" and told["part"] == "val" and told["n_records"] == 2
    assert told == json.loads((tmp_path / "tuned" / "tuning.json").read_text())
    assert load_manifest(told["manifest"])[0].trigger.min_duration_s == told["trigger"]["min_duration_s"]


def test_unlabelled_records_need_a_rate(quiet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "give --false-per-day" in refused(tune(quiet, tmp_path / "t"), capsys)
    assert "leave out --split" in refused(tune(quiet, tmp_path / "t", "--false-per-day", "2", "--split", "val"), capsys)
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf"])
def test_a_rate_must_be_above_zero(rate: str, quiet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "expected a rate above 0" in refused(tune(quiet, tmp_path / "t", "--false-per-day", rate), capsys)


def test_folders_that_cannot_be_used(quiet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rate = ("--false-per-day", "2")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "is no file or folder" in refused(tune(tmp_path / "nowhere", tmp_path / "t", *rate), capsys)
    assert "holds no usable record" in refused(tune(empty, tmp_path / "t", *rate), capsys)
    assert "it has XX_LUN" in refused(tune(quiet, tmp_path / "t", *rate, "--station", "S12"), capsys)
    a_file = tmp_path / "file"
    a_file.write_text("in the way")
    assert "choose another --out" in refused(tune(quiet, a_file, *rate), capsys)
    own = shipped_models()["moon"].parent
    assert "folder of the model itself" in refused(tune(quiet, own, *rate), capsys)


def test_records_too_short_for_a_decision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = tmp_path / "short"
    short.mkdir()
    record = synthetic_dataset.synthetic_record(np.random.default_rng(1), 10.0, gaps_per_hour=0.0, fills_per_hour=0.0)
    synthetic_dataset.write_miniseed(record, short / "a.mseed")
    said = refused(tune(short, tmp_path / "t", "--false-per-day", "2"), capsys)
    assert "no record is long enough" in said


def test_labels_without_an_arrival(labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(labelled, bare)
    with (bare / "catalog.csv").open() as stream:
        header = next(csv.reader(stream))
    (bare / "catalog.csv").write_text(",".join(header) + "\n")
    assert "has no arrival in these records" in refused(tune(bare, tmp_path / "t"), capsys)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--split", "val", "--fold", "0/2"), "choose one of --split and --fold"),
        (("--fold", "2/2"), "expected K/N"),
        (("--split", "nonsense"), "holds no record of"),
        (("--station", "S99"), "it has LUN"),
        (("--model", "venus"), "no model 'venus'"),
        (("--variant", "int2"), "has no variant 'int2'"),
    ],
)
def test_bad_options(
    more: tuple[str, ...], words: str, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in refused(tune(labelled, tmp_path / "t", *more), capsys)
    assert not (tmp_path / "t").exists()


@pytest.mark.slow
def test_bench_folds_prints_and_writes_the_report(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "folds.json"
    command = ["bench", "folds", "moon:0/2", "moon:1/2", "--data", str(labelled), "--seeds", "1", "--out", str(kept)]
    assert cli.main(command) == 0
    assert "2 folds, 4 held-out records" in capsys.readouterr().out
    assert json.loads(kept.read_text())["n_records"] == 4


@pytest.mark.parametrize(
    ("models", "words"), [(["moon"], "expected MANIFEST:K/N"), (["moon:0/2"], "two or more folds")]
)
def test_bench_folds_refuses_incomplete_folds(
    models: list[str], words: str, labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in refused(["bench", "folds", *models, "--data", str(labelled)], capsys)


def test_bench_accuracy_scores_the_records_that_a_fold_holds_out(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "fold.json"
    command = ["bench", "accuracy", "--data", str(labelled), "--fold", "1/2", "--seeds", "1", "--no-baselines"]
    assert cli.main([*command, "--out", str(kept)]) == 0
    said = capsys.readouterr().out
    assert "Moon fold 1/2" in said and "2 records, " in said
    assert json.loads(kept.read_text())["split"] == "fold 1/2"
    assert "choose one of --split and --fold" in refused([*command, "--split", "val"], capsys)

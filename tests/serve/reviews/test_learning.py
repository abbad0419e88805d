"""Learning from reviews: which hours judge which network, and what is said; and the whole, once, with TensorFlow."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from edgequake.benchmarks.scoring.pooling import Counts
from edgequake.data.dataset import load
from edgequake.data.selection import Fold, split_fold
from edgequake.data.tables import UNREVIEWED
from edgequake.edge.base.errors import ConfigError, DataError, ModelError
from edgequake.edge.manifest.manifest import load_manifest, shipped_models
from edgequake.serve.reviews import learning
from edgequake.serve.reviews.labelled_folder import ReviewedFolder, export_reviews
from edgequake.serve.reviews.learning import HeldOutFigures, Learned, learn, threshold_of
from edgequake.serve.reviews.review_store import ReviewStore
from edgequake.train.fine_tuning import FineTuningJob, find_network, fine_tuning_recipe

FOLDER = ReviewedFolder(Path("x"), "moon", 2, 5, 20, 0, 0, 7200.0)
DAY_NS = 86_400_000_000_000

# Stands for the process that fine-tunes: writes down its job, and takes the network as it is.
FAKE = """
import json, pathlib, shutil, sys
job = json.loads(pathlib.Path(sys.argv[1]).read_text())
print("a line of TensorFlow")
if job["steps"] == 13:
    print(json.dumps({"error": "DataError", "message": "no such record"}))
    sys.exit(1)
if job["steps"] == 14:
    sys.exit(7)
(pathlib.Path(job["out"]) / "kept.json").write_text(json.dumps(job))
shutil.copy(job["network"], pathlib.Path(job["out"]) / "moon.keras")
shutil.copy(pathlib.Path(job["network"]).parent / "train.json", job["out"])
print(json.dumps({"share": 0.5, "doing": "training"}))
print(json.dumps({"result": "trained"}))
"""


def figures(n_arrivals: int, n_recalled: int, n_false: int) -> HeldOutFigures:
    return HeldOutFigures.of([Counts(n_arrivals=n_arrivals, n_recalled=n_recalled, n_false=n_false, quiet_ns=DAY_NS)])


def learned(
    before: HeldOutFigures,
    after: HeldOutFigures,
    ratio: tuple[float, float] | None,
    n_folds: int = 3,
    change: tuple[float, float] = (-0.1, 0.1),
) -> Learned:
    return Learned(Path("out/moon.keras"), "trained", FOLDER, n_folds, before, after, change, ratio)


@pytest.mark.parametrize(
    ("after", "ratio", "verdict"),
    [
        (figures(50, 50, 10), (0.1, 0.8), "helped"),
        (figures(50, 49, 10), (0.1, 0.8), "helped"),
        (figures(50, 48, 10), (0.1, 0.8), "may cost quakes"),  # two of fifty lost: .04
        (figures(50, 50, 40), (0.5, 1.5), "did not help"),
        (figures(50, 50, 30), (0.5, 1.2), "cannot be told"),
        (figures(50, 50, 30), None, "cannot be told"),
        (figures(0, 0, 10), (0.1, 0.8), "cannot be told"),  # no quake that it could have lost
    ],
)
def test_the_verdict(after: HeldOutFigures, ratio: tuple[float, float] | None, verdict: str) -> None:
    found = learned(figures(after.n_arrivals, after.n_arrivals, 40), after, ratio)
    assert found.verdict == verdict == found.to_json()["verdict"]
    assert ("too few reviews" in found.text()) == (verdict == "cannot be told")
    assert "next: edgequake convert" in found.text() and "edgequake-edge install" in found.text()


def test_quakes_that_are_surely_lost_are_no_help() -> None:
    found = learned(figures(50, 50, 40), figures(50, 40, 1), (0.0, 0.1), change=(-0.3, -0.1))
    assert found.verdict == "did not help"


def test_without_folds_nothing_is_said() -> None:
    found = learned(figures(0, 0, 0), figures(0, 0, 0), None, n_folds=0)
    assert found.verdict == "" and "folds" not in found.text()


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """Replace the fine-tuning and the conversion; return the networks that are converted, in order."""
    script = tmp_path / "fake.py"
    script.write_text(FAKE)
    converted: list[Path] = []

    def convert(network: Path, out: Path, *arguments: Any, **options: Any) -> None:
        converted.append(network)
        out.mkdir(parents=True)
        for path in shipped_models()["moon"].parent.glob("moon.*"):
            shutil.copy(path, out)

    monkeypatch.setattr(learning, "WORKER", (sys.executable, str(script)))
    monkeypatch.setattr(learning, "convert_model", convert)
    monkeypatch.setattr(learning, "LEAST_REJECTED", 1)
    return converted


def test_each_fold_is_judged_by_a_network_that_has_not_learned_from_it(
    reviewed: ReviewStore, faked: list[Path], tmp_path: Path
) -> None:
    shares: list[float] = []
    found = learn("moon", reviewed.folder, tmp_path / "out", 2, progress=lambda share, _: shares.append(share or 0.0))

    out = tmp_path / "out"
    jobs = [json.loads((place / "kept.json").read_text()) for place in (out / "folds/0", out / "folds/1", out)]
    assert all(job["manifest"] == str(shipped_models()["moon"]) for job in jobs)
    assert [job["fold"] for job in jobs] == ["0/2", "1/2", None]
    assert all(job["reviewed"] == str(out / "reviewed") for job in jobs)
    assert [len(times) for times in jobs[0]["marks_ns"].values()] == [1, 0]  # the rejected event
    assert faked == [out / "folds/0/moon.keras", out / "folds/1/moon.keras"]
    # The same network twice: what the shipped one finds in the records, once each.
    assert found.before == found.after == HeldOutFigures(2, 2, 1, found.before.quiet_days)
    assert found.verdict == "did not help" and found.trained == "trained"
    assert json.loads((out / "reviewed.json").read_text())["verdict"] == "did not help"
    assert shares == sorted(shares) and len(shares) == 8


def test_what_the_fine_tuning_refuses_is_said_once(reviewed: ReviewStore, faked: list[Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such record"):
        learn("moon", reviewed.folder, tmp_path / "out", 0, steps=13)
    with pytest.raises(ModelError, match="exit code 7"):
        learn("moon", reviewed.folder, tmp_path / "out", 0, steps=14)


def test_what_cannot_be_learned_from_is_refused(reviewed: ReviewStore, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 1 rejected events with samples; expected 10"):
        learn("moon", reviewed.folder, tmp_path / "out")
    with pytest.raises(ConfigError, match="2 or more, or 0"):
        learn("moon", reviewed.folder, tmp_path / "out", 1)
    with pytest.raises(ConfigError, match="no network 'venus'"):
        find_network("venus")
    with pytest.raises(ConfigError, match=r"holds 0 \.keras files"):
        find_network(str(tmp_path))
    (tmp_path / "a.keras").touch()
    with pytest.raises(ConfigError, match=r"no train\.json beside it"):
        find_network(str(tmp_path))


def test_the_comparison_is_at_the_threshold_of_the_run(reviewed: ReviewStore, tmp_path: Path) -> None:
    manifest, _ = load_manifest("moon")
    assert threshold_of(reviewed.run) == manifest.trigger.onset_thresholds["normal"]
    assert threshold_of(tmp_path) is None


def test_the_recipe_of_a_fine_tuning_is_that_of_the_network_with_the_stations_records(
    reviewed: ReviewStore, tmp_path: Path
) -> None:
    export_reviews(reviewed, tmp_path / "labelled")
    records = load(tmp_path / "labelled")
    network = find_network("moon")
    job = FineTuningJob(str(network), str(tmp_path / "labelled"), "", {}, steps=7)
    recipe = fine_tuning_recipe(job, records)

    trained = json.loads((network.parent / "train.json").read_text())["recipe"]
    assert recipe.fit.start_from == str(network) and recipe.fit.steps == 7
    assert recipe.fit.learning_rate < trained["fit"]["learning_rate"]
    assert recipe.network.lstm_units == tuple(trained["network"]["lstm_units"])
    assert not recipe.examples.emphasis and not recipe.examples.picked_records
    earth = fine_tuning_recipe(FineTuningJob(str(find_network("earth")), "", "", {}), records)
    shipped = load_manifest("earth")[0].trigger
    tuned = FineTuningJob(str(find_network("earth")), "", "", {}, manifest=str(shipped_models()["earth"]))
    assert fine_tuning_recipe(tuned, records).trigger == shipped != earth.trigger
    assert earth.examples.rates_hz == () and earth.examples.components == ("?",)  # one channel of 6.6 Hz


def test_the_events_of_a_fold_are_not_among_those_it_learns_from(reviewed: ReviewStore, tmp_path: Path) -> None:
    export_reviews(reviewed, tmp_path / "labelled")
    for k in range(2):
        learns, judges = split_fold(tmp_path / "labelled", "moon", Fold(k, 2))
        events = [{a.event for record in part for a in record.arrivals} for part in (learns, judges)]
        assert not events[0] & events[1]
        assert any(a.event_type == UNREVIEWED for part in (learns, judges) for r in part for a in r.arrivals)


@pytest.mark.skipif("EDGEQUAKE_LONG_STUDIES" not in os.environ, reason="fine-tunes with TensorFlow: make studies")
def test_a_few_steps_on_reviews_give_a_network_that_converts_and_runs(
    reviewed: ReviewStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "LEAST_REJECTED", 1)
    found = learn("moon", reviewed.folder, tmp_path / "out", 2, steps=2)

    assert found.before.n_recalled == 2 and found.after.n_arrivals == 2
    manifest, _ = load_manifest(tmp_path / "out" / "folds" / "1" / "model" / "moon.json")
    assert manifest.training["fold"] == "1/2" and manifest.training["steps"] == 2
    assert found.keras_file.is_file()

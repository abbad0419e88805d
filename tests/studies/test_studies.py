"""Every study runs, in a short form on synthetic records, and prints or draws what its page shows."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from edgequake import cli
from edgequake.benchmarks.robustness.shake_signal import RATE_HZ, START_NS, shake_signal
from edgequake.benchmarks.tuning import cross_validation, operating_point
from edgequake.data.phasenet import phasenet_split
from edgequake.synthetic.synthetic_dataset import write_dataset

from .earth_records import HOURS, write_earth

PLAN = """
folds = 2

[overrides]
"fit.steps" = 2
"examples.n_examples" = 8
"examples.n_blocks" = 120
"examples.max_front_blocks" = 20
"fit.crop_blocks" = 96

[[experiment]]
name = "tiny"
description = "two steps of training"
recipe = "tiny"
"""

FOLDS = """
recipe = "earth"

[[training]]
name = "tiny"
held_out = ["UT.*"]

[training.set]
"fit.steps" = 2
"fit.batch" = 4
"fit.crop_blocks" = 96
"network.conv_filters" = [4, 4]
"network.lstm_units" = [4]
"examples.picked_records" = false
"examples.n_examples" = 8
"examples.n_blocks" = 120
"examples.max_front_blocks" = 20
"""


BODY_FOLDS = """
folds = 2

[[recipe]]
name = "finished"
recipe = "moon"
seeds = [3]
set = { "examples.n_examples" = 8 }
"""


@dataclass(frozen=True)
class Study:
    """A study's short form: its arguments, and what it must print or write."""

    arguments: Sequence[str]  # DATA: the folder of synthetic records; OUT: an empty folder; ROOT: the repository
    prints: str = ""  # regular expression
    writes: str = ""  # file or folder in OUT that must not be empty
    needs: str = ""  # runtime of a lander environment
    is_here: bool = False  # runs in this process, where TensorFlow or obspy is loaded once for all tests


STUDIES = {
    "arrivals_found": Study(
        ["moon", "DATA", "--seeds", "1"],
        r"\| \S+\.mseed` \| \S+ at \d+ \| [01]/1 \| [01]/1 \|[\s\S]*primary arrivals recalled from",
        is_here=True,
    ),
    "body_folds": Study(
        ["OUT/data", "OUT", "--plan", "OUT/body_folds.toml", "--seeds", "1", "--cache", "OUT/rows", "--json", "OUT"],
        r"\nfinished\nMoon: 2 folds, 2 held-out records[\s\S]*\n0/2 +1 [\s\S]*\n1/2 +1 ",
        "finished-folds.json",
        is_here=True,
    ),
    "c_cost": Study(
        ["--models", "moon", "--hours", "0.02", "--repeats", "1", "--page", "OUT/c99.md"],
        r"\| moon \| 6\.625 Hz \| [\d.]+ \| [\d.]+ \|",
        "c99.md",
        is_here=True,
    ),
    "compare_models": Study(
        ["--data", "OUT/data", "--work", "OUT", "--plan", "OUT/plan.toml", "--json", "OUT/table.json"],
        r"\n\| two steps of training \| \d\.\d\d \| ",
        "table.json",
        is_here=True,
    ),
    "conformance": Study(
        ["Conv1D, LSTM", "--work", "OUT", "--page", "OUT/page.md"], r"\| Conv1D, LSTM \| ", "page.md", "ai-edge-litert"
    ),
    "continuous_hours": Study(
        ["ROOT/edge/models/moon.json", "DATA", "--cache", "OUT/rows", "--thresholds", "0.5"],
        r"\nall arrivals +val +3 +\d+\.\d +[1-9] +[01]\.\d\d",
        "rows",
        is_here=True,
    ),
    "convert_remedies": Study(
        ["ROOT/train/models/moon/moon.keras", "--calibration", "OUT/data", "--rows", "200"],
        r"\| 16-bit cells \| \d+ \| 0\.\d",
        is_here=True,
    ),
    "draw_budget": Study(["--out", "OUT/budget.png"], writes="budget.png"),
    "draw_continuous": Study(["OUT/hours.json", "--out", "OUT/hours.png"], writes="hours.png"),
    "draw_day": Study(["--out", "OUT/day.png"], writes="day.png"),
    "draw_missions": Study(["--out", "OUT/missions.png"], writes="missions.png"),
    "draw_recall_kept": Study(["--out", "OUT/recall.png"], writes="recall.png"),
    "earth_folds": Study(
        ["OUT/earth", "OUT", "--plan", "OUT/folds.toml", "--cache", "OUT/rows", "--json", "OUT/folds.json"],
        r"\| shipped \(0\.\d+\) \| tiny \([\s\S]*\n\| soft-ground hours \| [^|]*\* \| \d+\.\d a day \([^*|]*\|\n",
        "folds.json",
        is_here=True,
    ),
    "event_classes": Study(["DATA", "--quick"], r"simulated triggers: right / wrong / blank events", is_here=True),
    "onset_labels": Study(
        ["DATA", "--body", "moon", "--stations", "LUN"], r"\| one way \| 2-8 \| [+-]\d", is_here=True
    ),
    "onset_study": Study(["DATA", "--bodies", "moon"], r"\| Moon.* \| \d+ \| refined \| \d", is_here=True),
    "other_rates": Study(["OUT/earth"], r"\n\| 125 \| 1 \| 0\.1 \| \d \| \d/\d \| \d: \d same", is_here=True),
    "phasenet_picks": Study(["DATA", "--quick"], r"\| high \| 2 \| \d\.\d\d \| ", is_here=True),
    "plain_route": Study(
        ["GRU reset_after", "--variants", "float32", "--work", "OUT", "--page", "OUT/page.md"],
        r"GRU reset_after \| float32 \| ",
        "page.md",
        "tflite-runtime",
    ),
    "rates_and_clocks": Study(
        [
            "--data",
            "DATA",
            "--models",
            "moon",
            "--splits",
            "val",
            "--rates",
            "20",
            "--every",
            "2",
            "--out",
            "OUT/page.md",
        ],
        r"moon  20  drift  bare  [1-9]",
        "page.md",
        is_here=True,
    ),
    "resampling_cost": Study(
        ["--models", "moon", "--hours", "0.1", "--repeats", "1", "--threads", "1", "--out", "OUT/page.md"],
        r"\| moon \| 6\.7 \| 50 \| 0\.1 \| 1 \| \d+\.\d\d \| ",
        "page.md",
    ),
    "review_loop": Study(  # tests/serve/reviews/test_learning.py has the fine-tuning
        ["machine", "--hours", "0.5", "--judged", "1", "--steps", "0", "--out", "OUT/loop"],
        r" accepted and \d+ rejected events[\s\S]*before +\d of \d quakes found[\s\S]*\d false alarms in 0\.0\d quiet",
        "loop",
        is_here=True,
    ),
    "same_events": Study(
        ["moon", "DATA", "val", "--variants", "int8", "int8", "--quick"],
        r"moon on val: events .* the same within 9\.66 s",
        is_here=True,
    ),
    "scan_proof": Study(
        ["--only", "lead", "--days", "2", "--stations", "1", "--lead-hours", "6", "--out", "OUT/proof"],
        r'"6 h": {"is_chained": false, "n_seams": [12], "n_events": [1-9]',
        "proof",
        is_here=True,
    ),
    "serve_cost": Study(
        ["latency", "--minutes", "3", "--speed", "10", "--turns", "1", "--pages", "2", "--out", "OUT/cost"],
        r"events a turn +[1-9]\n[\s\S]*alone: p50 ms +\d[\s\S]*2 pages: share of a core of the server +\d",
        "cost",
    ),
    "summary_share": Study(
        ["DATA", "--body", "moon", "--most", "1"], r"\| moon \| 6\.625 Hz, repeated \| 3 \| 0\.\d\d \|", is_here=True
    ),
    "survey": Study(["--list"], r"\nGPD \| Ross 2018a \| seismic"),  # tests/convert/test_survey.py converts three
    "tune_baselines": Study(
        ["DATA", "moon", "classic", "--quick"], r"moon classic: .*recall \d\.\d\d, F1 ", is_here=True
    ),
}
# Covered elsewhere for the most part: body_folds trains as two of them do, test_conformance.py converts as the others.
LONG = (
    "compare_models", "conformance", "convert_remedies", "draw_day", "earth_folds", "plain_route", "rates_and_clocks",
    "scan_proof", "serve_cost",
)  # fmt: skip
SLOW = (
    "compare_models", "conformance", "convert_remedies", "plain_route",  # TensorFlow alone takes seconds to import
    "body_folds", "draw_day", "earth_folds", "event_classes", "other_rates", "rates_and_clocks", "resampling_cost",
    "scan_proof", "tune_baselines",
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of synthetic lunar records with event classes, and of two terrestrial ones with picks."""
    folder = write_dataset(tmp_path_factory.mktemp("studies") / "data", seed=5, n_train=5, n_val=3, n_test=1)
    with (folder / "catalog.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    with (folder / "catalog.csv").open("w", newline="") as table:
        writer = csv.DictWriter(table, list(rows[0]))
        writer.writeheader()
        kinds = ("deep_unlocated", "impact_artificial")
        writer.writerows({**row, "event_type": kinds[i % 2]} for i, row in enumerate(rows))
    write_picks(folder / "earth" / "phasenet")
    return folder


@pytest.fixture
def few_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let searches of an operating point try three thresholds and one duration beside the manifest's own."""
    monkeypatch.setattr(cross_validation, "grid", partial(operating_point.grid, thresholds=(0.4, 0.5, 0.6)))
    monkeypatch.setattr(cross_validation, "THRESHOLDS", (0.4, 0.5, 0.6))
    monkeypatch.setattr(operating_point, "MIN_DECISIONS", (6,))
    monkeypatch.setattr(operating_point, "EVENT_THRESHOLDS", ())


def prepare(out: Path, models: Path, data: Path) -> None:
    """Write the input of single studies.

    For `compare_models`, two records, and the finished training of the second fold, so that only the first one trains;
    for `body_folds`, the finished trainings of both folds; for `earth_folds` and `other_rates`, terrestrial records;
    for `plain_route` and `c_cost`, a page to fill in; for `draw_continuous`, a report with one point.
    """
    (out / "plan.toml").write_text(PLAN)
    (out / "tiny-1").mkdir()
    (out / "tiny-1" / "tiny.keras").touch()
    shutil.copy(models / "moon.json", out / "tiny-1" / "tiny.json")
    shutil.copy(models / "moon.int8.tflite", out / "tiny-1")
    (out / "body_folds.toml").write_text(BODY_FOLDS)
    for k in range(2):
        done = out / "finished" / f"3-{k}"
        (done / "int8").mkdir(parents=True)
        (done / "train.json").touch()
        for name in ("moon.json", "moon.int8.tflite"):
            shutil.copy(models / name, done / "int8")
    (out / "data").mkdir()
    (out / "data" / "moon").symlink_to(data / "moon")
    for name in ("records.csv", "catalog.csv"):
        header, *rows = (data / name).read_text().splitlines()
        chosen = [row for row in rows if re.search("synthetic_(train|val)_01", row)]
        (out / "data" / name).write_text("\n".join([header, *chosen, ""]))
    hours = {"name": "natural hours", "kind": "hours", "part": "val", "asked": True, "hours": 24.0}
    quakes = {"name": "all arrivals", "kind": "arrivals", "part": "val", "asked": True, "hours": 1.0}
    points = {"0.5": {"natural hours": {"events_per_day": 3.0}, "all arrivals": {"found": 0.8}}}
    report = {"body": "earth", "split": "val", "strata": [hours, quakes], "results": [{"name": "x", "points": points}]}
    (out / "hours.json").write_text(json.dumps(report))
    (out / "folds.toml").write_text(FOLDS)
    write_earth(out / "earth", HOURS)
    write_earth(out / "earth", {"local_SYN_B.mseed": ("val", "SYN_B", 300.0)}, 125.0, "earth_other_rates")
    (out / "c99.md").write_text("<!-- studies/c_cost.py writes from here -->\n<!-- to here -->\n")
    (out / "page.md").write_text("<!-- studies/conversion/plain_route.py writes from here -->\n<!-- to here -->\n")


def write_picks(folder: Path) -> None:
    """Write two records of 90 s with an earthquake in PhaseNet's layout, both of the split `val`."""
    folder.mkdir(parents=True)
    names = (f"NC_MMS_20091224020657{i:02d}.npz" for i in range(100))
    for seed, name in enumerate([name for name in names if phasenet_split(name) == "val"][:2]):
        signal = shake_signal(np.random.default_rng(seed), 240.0)
        onset = round((signal.onsets_ns[0] - START_NS) / 1e9 * RATE_HZ)
        data = signal.samples[::-1, onset - 3000 : onset + 6000].T  # columns east, north, vertical
        np.savez(folder / name, data=data, itp=3000, its=3400, channels="EHE_EHN_EHZ")


def finished(command: Sequence[str], folder: Path) -> str:
    """Run a command that must succeed in a folder; return what it has printed."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_here(
    path: Path,
    arguments: Sequence[str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> str:
    """Run a study in a folder, in this process, and those of its commands that need TensorFlow, as `finished` does."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(path.parent))  # as for a script
    for variable in ("TF_CPP_MIN_LOG_LEVEL", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(variable, os.environ.get(variable, ""))  # a study may set it: undone after the test
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    study = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, path.stem, study)  # dataclasses look their module up
    spec.loader.exec_module(study)
    in_a_process = getattr(study, "edgequake", None)

    def edgequake(*words: object) -> None:
        if words[0] in ("train", "convert"):
            assert cli.main([str(word) for word in words]) == 0
        else:
            in_a_process(*words)

    if in_a_process is not None:
        monkeypatch.setattr(study, "edgequake", edgequake)
    monkeypatch.setattr(sys, "argv", [str(path), *arguments])
    assert not study.main()
    return capsys.readouterr().out


def files_of(written: Path) -> list[Path]:
    """Return a file itself, or the files in a folder."""
    return [path for path in (written, *written.rglob("*")) if path.is_file()]


def paths(root: Path) -> dict[str, Path]:
    """Return the studies by name; `published` holds the networks of one of them."""
    return {path.stem: path for path in (root / "studies").rglob("*.py") if path.parent.name != "published"}


def test_every_study_has_a_test(root: Path) -> None:
    assert set(paths(root)) == set(STUDIES)
    readme = (root / "studies" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w/]+\.py)` \|.*\]\(\.\./([^)]+)\)", readme, re.MULTILINE)
    assert {root / "studies" / path for path, _ in rows} == set(paths(root).values())
    for path, page in rows:
        name = Path(path).stem
        text = (root / page).read_text(encoding="utf-8")
        picture = re.sub(r"draw_(\w+)", r"\1.png", name)
        assert f"{name}.py" in text or picture in text, f"{page} names neither {name}.py nor {picture}"


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in STUDIES])
def test_a_study_runs_in_its_short_form(
    name: str, root: Path, data: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    study = STUDIES[name]
    if name in LONG and "EDGEQUAKE_LONG_STUDIES" not in os.environ:
        pytest.skip(f"{name}: make studies")
    if study.needs and f"{study.needs}=/" not in os.environ.get("EDGEQUAKE_LANDER_PYTHONS", ""):
        pytest.skip(f"EDGEQUAKE_LANDER_PYTHONS names no environment with {study.needs}; `make test` builds them")
    prepare(tmp_path, root / "edge" / "models", data)
    places = {"DATA": data, "OUT": tmp_path, "ROOT": root}
    arguments = [re.sub("DATA|OUT|ROOT", lambda match: str(places[match[0]]), text) for text in study.arguments]
    path = paths(root)[name]
    if study.is_here:
        request.getfixturevalue("worker_here")
        request.getfixturevalue("few_settings")
        fixtures = (request.getfixturevalue(one) for one in ("monkeypatch", "capsys"))
        printed = run_here(path, arguments, tmp_path, *fixtures)
    else:
        printed = finished([sys.executable, str(path), *arguments], tmp_path)
    assert re.search(study.prints, printed), printed
    assert not study.writes or sum(path.stat().st_size for path in files_of(tmp_path / study.writes)) > 100

"""Groups of commands on the desktop, like those of golden_groups.py for the lander."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable

import numpy as np

if __package__:
    from .golden_commands import ROOT, Workplace
    from .golden_groups import MOON, QUAKES, moon_rows, write
    from .golden_inputs import body_records, signal
else:  # run as a script
    from golden_commands import ROOT, Workplace
    from golden_groups import MOON, QUAKES, moon_rows, write
    from golden_inputs import body_records, signal


def exports(place: Workplace) -> None:
    """A run as QuakeML, CSV, Snuffler's markers and SAC."""
    place.desktop("synth", "--kind", "day", "--seed", "1", "--out", "day")
    place.edge("run", "day/xx.lun.00.2030-01-01.mseed", "--out", "run")
    files = {"quakeml": "events.xml", "csv": "events.csv", "snuffler": "events.markers"}
    for form, name in files.items():
        place.desktop("export", "run", f"--{form}")
        place.add_file(name, f"run/{name}")
    place.desktop("export", "run", "--sac")
    place.add_tree("sac", "run/sac")


def pages(place: Workplace) -> None:
    """The page and the picture of a run with gaps, with fixed figures of its cost."""
    rows = signal(MOON, 3, *QUAKES["moon"])
    write(place, "day.mseed", body_records(MOON, rows, gaps=((30_000, 30_050), (50_000, 54_000))))
    place.edge("run", "day.mseed", "--out", "run")
    place.add_run("run", "run", 2)
    path = place.folder / "run" / "summary.json"
    summary = json.loads(path.read_bytes())  # the page shows the cost of the run, which differs each time
    summary |= {"wall_s": 1.0, "cpu_s": 1.0, "peak_memory_bytes": 50_000_000, "runtime": "tflite-runtime 2.14.0"}
    path.write_text(json.dumps(summary, indent=1) + "\n")
    place.desktop("report", "run", "--out", "run.html")
    place.add_file("run.html", "run.html")
    place.desktop("plot", "run", "--out", "picture.png")
    place.add_file("picture.png", "picture.png")


def results(place: Workplace) -> None:
    """`docs/results.md`, the headline table of the README, and the page of results, as rendered from docs/results."""
    (place.folder / "results").mkdir()
    names = sorted(path.name for path in (ROOT / "docs" / "results").glob("*.json"))
    for name in names:
        shutil.copy(ROOT / "docs" / "results" / name, place.folder / "results")
    files = [f"results/{name}" for name in names]
    marks = ("<!-- results:begin -->", "<!-- results:end -->")
    (place.folder / "README.md").write_text("\n".join(marks) + "\n")
    place.desktop("report", "--markdown", *files, "--out", "results.md", "--readme", "README.md")
    for name in ("results.md", "README.md"):
        place.add_file(name, name)
    place.desktop("report", *files, "--out", "results.html")
    place.add_file("results.html", "results.html")


def accuracy(place: Workplace) -> None:
    """A model and the baselines scored on a small set of records, and the downlink of it under a budget."""
    place.desktop("synth", "--kind", "dataset", "--seed", "1", "--out", "data")
    place.desktop("bench", "accuracy", "--data", "data", "--seeds", "1", "--curves", "--out", "accuracy.json")
    place.desktop("bench", "budget", "--data", "data", "--seeds", "1", "5000", "20000", "--out", "budget.json")
    for name in ("accuracy.json", "budget.json"):
        place.add_json(name, json.loads((place.folder / name).read_bytes()))


def tune(place: Workplace) -> None:
    """Triggers tuned by a rate of false alarms and by labels."""
    place.desktop("synth", "--kind", "dataset", "--seed", "1", "--out", "data")
    for name, options in (("rate", ("--false-per-day", "2")), ("labels", ())):
        place.desktop("tune", "--data", "data", "--out", name, "--seeds", "1", *options)
        for file in ("moon.json", "tuning.json"):
            place.add_json(f"{name}/{file}", json.loads((place.folder / name / file).read_bytes()))


def train(place: Workplace) -> None:
    """Twenty steps of training on 60 examples: figures, calibration rows and weights (their file contains a date)."""
    place.desktop("synth", "--kind", "dataset", "--seed", "1", "--out", "data")
    plan = ("fit.steps=20", "fit.time_budget_s=1e9", "examples.n_examples=60")
    place.desktop("train", "tiny", "--data", "data", "--out", "out", *(word for one in plan for word in ("--set", one)))
    place.add_json("train.json", json.loads((place.folder / "out" / "train.json").read_bytes()))
    with np.load(place.folder / "out" / "calibration.npz") as calibration:
        for name in sorted(calibration.files):
            place.add(f"calibration/{name}", calibration[name].tobytes())
    with zipfile.ZipFile(place.folder / "out" / "tiny.keras") as archive:
        place.add("weights", archive.read("model.weights.h5"))


def convert(place: Workplace) -> None:
    """The lunar network converted to every variant."""
    place.desktop("synth", "--kind", "dataset", "--seed", "1", "--out", "data")
    for name in ("moon.keras", "train.json"):
        shutil.copy(ROOT / "train" / "models" / "moon" / name, place.folder / name)
    place.desktop("convert", "moon.keras", "--out", "out", "--quantize", "all", "--calibration", "data")
    place.add_json("moon.json", json.loads((place.folder / "out" / "moon.json").read_bytes()))
    for path in sorted((place.folder / "out").glob("*.tflite")):
        place.add_file(path.name, f"out/{path.name}")


def models(place: Workplace) -> None:
    """The shipped models, and the output of `inspect` for them."""
    for path in sorted((ROOT / "edge" / "models").iterdir()):
        if path.suffix in (".json", ".tflite"):
            shutil.copy(path, place.folder / path.name)
            place.add_file(path.name, path.name)
    for name in ("moon", "mars", "earth"):
        place.add(f"inspect/{name}", place.desktop("inspect", f"{name}.int8.tflite"))
        place.add_json(f"inspect/{name}.json", json.loads(place.desktop("inspect", f"{name}.int8.tflite", "--json")))


def refusals(place: Workplace) -> None:
    """Exit codes of refused input, and separately the messages."""
    write(place, "junk.mseed", [b"no record" * 100])
    write(place, "good.mseed", body_records(MOON, moon_rows(3, 600.0, 300.0)))
    cases: dict[str, tuple[str, ...]] = {
        "no-input": ("edge", "run", "absent.mseed", "--out", "a"),
        "junk": ("edge", "run", "junk.mseed", "--out", "b"),
        "no-model": ("edge", "run", "good.mseed", "--model", "venus", "--out", "c"),
        "usage": ("edge", "run", "good.mseed"),
        "raw": ("edge", "run", "-", "--raw", "1,2", "--out", "d"),
        "idle": ("edge", "run", "good.mseed", "--idle-stop", "1", "--out", "e"),
        "budget": ("edge", "run", "good.mseed", "--budget", "10", "--out", "f"),
        "address": ("edge", "run", "udp://:0", "--out", "g"),
        "status": ("edge", "status", "absent"),
        "request": ("edge", "request", ".", "2030-01-01", "2029-01-01", "--out", "x.mseed"),
        "export": ("desktop", "export", "absent", "--csv"),
        "report": ("desktop", "report", "absent.json"),
        "inspect": ("desktop", "inspect", "junk.mseed"),
        "tune": ("desktop", "tune", "--data", "absent", "--out", "h"),
    }
    said = {name: place.refused(*words) for name, words in cases.items()}
    place.add_json("codes", {name: code for name, (code, _) in said.items()})
    for name, (_, words) in said.items():
        place.add(f"words/{name}", words)


DESKTOP: dict[str, Callable[[Workplace], None]] = {
    function.__name__: function
    for function in (exports, pages, results, accuracy, tune, train, convert, models, refusals)
}

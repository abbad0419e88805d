"""Train and cross-validate the models of studies/compare_models.toml; print the table of docs/model-choice.md.

    python studies/compare_models.py --data DIR --work DIR [--only NAME ...] [--jobs 2] [--json FILE]

Every model is trained once a fold (whole event groups of train and val; nothing of test), converted to float32 and run
on the records of that fold alone. Finished trainings in --work are not repeated, and a killed one goes on from its
checkpoint. With two cores the whole list takes about two hours.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgequake.train.configuration.recipe import tomllib

PLAN = Path(__file__).with_suffix(".toml")
HEADER = """\
| model | recall | captured | recall by events, 90 % | precision | F1 | false per quiet day | kept of records >= 10 h \
| quiet time kept | median onset error, s | recall at one false alarm a day |
|---|---|---|---|---|---|---|---|---|---|---|"""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}


@dataclass(frozen=True)
class Experiment:
    """One row of the table."""

    name: str
    says: str
    recipe: str = "moon"
    overrides: dict[str, Any] = field(default_factory=dict)
    start_from: str | None = None  # the experiment whose weights to begin with
    plain: bool = False  # with the recipe's own fit, without the overrides common to all
    scored: bool = True  # False: trained once, on nothing that a fold could hold out


@dataclass(frozen=True)
class Plan:
    """What to train."""

    folds: int
    overrides: dict[str, Any]
    experiments: tuple[Experiment, ...]


def read_plan() -> Plan:
    """Return the plan beside this script."""
    values = tomllib.loads(PLAN.read_text(encoding="utf-8"))
    return Plan(values["folds"], values["overrides"], tuple(Experiment(**entry) for entry in values["experiment"]))


def main() -> None:
    """Train what is missing, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    plan = read_plan()
    chosen = [e for e in plan.experiments if options.only is None or e.name in options.only]
    # Fold by fold: after the first third there is a first answer for every row.
    jobs = [(e, fold) for fold in range(plan.folds) for e in chosen if e.scored or fold == 0]
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda job: train_and_convert(plan, *job, options.data, options.work), jobs))
    table = {e.name: score(e, plan.folds, options.data, options.work) for e in chosen if e.scored}
    print(HEADER)
    for name, scored in table.items():
        print(f"| {next(e.says for e in chosen if e.name == name)} | {row(scored)} |")
    if options.json:
        options.json.write_text(json.dumps(table, indent=1) + "\n")


def train_and_convert(plan: Plan, experiment: Experiment, fold: int, data: Path, work: Path) -> None:
    """Train one fold of one experiment and convert it, unless that is done; say so."""
    out = folder(work, experiment.name, fold)
    name = experiment.recipe
    overrides = ({} if experiment.plain else plan.overrides) | experiment.overrides | {"fit.seed": fold}
    if experiment.start_from:
        source = next(e for e in plan.experiments if e.name == experiment.start_from)
        overrides["fit.start_from"] = str(folder(work, source.name, 0) / f"{source.recipe}.keras")
    settings = [part for key, value in overrides.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    if not (out / f"{name}.keras").is_file():
        fold_text = f"{fold}/{plan.folds}"
        edgequake("train", experiment.recipe, "--data", data, "--out", out, "--fold", fold_text, *settings)
    if experiment.scored and not (out / f"{name}.json").is_file():
        edgequake("convert", out / f"{name}.keras", "--quantize", "float32", "--out", out, "--calibration", data)
    print(f"{experiment.name} {fold}/{plan.folds}: ready", file=sys.stderr, flush=True)


def folder(work: Path, name: str, fold: int) -> Path:
    """Return where a fold of an experiment lies."""
    return work / f"{name}-{fold}"


def score(experiment: Experiment, folds: int, data: Path, work: Path) -> dict[str, Any]:
    """Return the cross-validation of an experiment: what `edgequake bench folds --json` writes."""
    result = folder(work, experiment.name, 0).with_name(f"{experiment.name}.json")
    if not result.is_file():
        models = [f"{folder(work, experiment.name, k) / experiment.recipe}.json:{k}/{folds}" for k in range(folds)]
        edgequake("bench", "folds", *models, "--data", data, "--json", result)
    scored: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return scored


def row(scored: dict[str, Any]) -> str:
    """Return the figures of one experiment as the cells of a Markdown row."""
    means = {name: value["mean"] for name, value in scored["spreads"].items()}
    low, high = scored["group_recall_interval"]
    at_one = [entry["recall_at_one_false"] or 0.0 for entry in scored["rounds"]]
    return (
        f"{means['recall']:.2f} | {means['n_captured']:.1f}/{scored['n_arrivals']} | {low:.2f}-{high:.2f} | "
        f"{means['precision']:.2f} | {means['f1']:.2f} | {means['false_per_quiet_day']:.1f} | "
        f"{100 * means['kept_long']:.1f} % | {100 * means['wasted']:.1f} % | {means['onset_error_s']:.0f} | "
        f"{sum(at_one) / len(at_one):.2f}"
    )


def edgequake(*arguments: object) -> None:
    """Run the command line in a process of its own, on one thread; stop here if it fails."""
    command = shutil.which("edgequake", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if command is None:
        sys.exit("the command `edgequake` is not installed; make it with: pip install -e '.[dev]'")
    done = subprocess.run(
        [command, *map(str, arguments)], env=os.environ | ONE_THREAD, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"edgequake {' '.join(map(str, arguments))} failed: {done.stderr.strip().splitlines()[-1:]}")


if __name__ == "__main__":
    main()

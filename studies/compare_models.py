"""Train and cross-validate the models of studies/compare_models.toml; print the table of docs/model-choice.md.

    python studies/compare_models.py --data DIR --work DIR [--only NAME ...] [--jobs 2] [--json FILE]

Every model is trained once for each fold (whole event groups of train and val; nothing of test), converted to float32
and run on the records of that fold. Finished trainings in --work are not repeated; an interrupted one continues from
its checkpoint. On two cores the whole list takes about two hours; `--plan` names a shorter one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

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
    description: str
    recipe: str = "moon"
    overrides: dict[str, Any] = field(default_factory=dict)
    plain: bool = False  # without the overrides that all other experiments share


@dataclass(frozen=True)
class Plan:
    """The experiments, and what they share."""

    folds: int
    overrides: dict[str, Any]
    experiments: tuple[Experiment, ...]


def read_plan(path: Path) -> Plan:
    """Read a plan from a TOML file."""
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    return Plan(values["folds"], values["overrides"], tuple(Experiment(**entry) for entry in values["experiment"]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is missing, score the models and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--plan", type=Path, default=PLAN, help="by default the one beside this script")
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args(arguments)
    plan = read_plan(options.plan)
    chosen = [e for e in plan.experiments if options.only is None or e.name in options.only]
    jobs = [(e, fold) for fold in range(plan.folds) for e in chosen]  # fold by fold: early figures for every row
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda job: train_and_convert(plan, job[0], job[1], options.data, options.work), jobs))
    table = {e.name: score(e, plan.folds, options.data, options.work) for e in chosen}
    print(HEADER)
    for name, scored in table.items():
        print(f"| {next(e.description for e in chosen if e.name == name)} | {row(scored)} |")
    if options.json:
        options.json.write_text(json.dumps(table, indent=1) + "\n")
    return 0


def train_and_convert(plan: Plan, experiment: Experiment, fold: int, data: Path, work: Path) -> None:
    """Train one fold of one experiment and convert the model, if that is not done yet."""
    out = folder(work, experiment.name, fold)
    name = experiment.recipe
    overrides = ({} if experiment.plain else plan.overrides) | experiment.overrides | {"fit.seed": fold}
    settings = [part for key, value in overrides.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    if not (out / f"{name}.keras").is_file():
        fold_text = f"{fold}/{plan.folds}"
        edgequake("train", experiment.recipe, "--data", data, "--out", out, "--fold", fold_text, *settings)
    if not (out / f"{name}.json").is_file():
        edgequake("convert", out / f"{name}.keras", "--quantize", "float32", "--out", out, "--calibration", data)
    print(f"{experiment.name} {fold}/{plan.folds}: ready", file=sys.stderr, flush=True)


def folder(work: Path, name: str, fold: int) -> Path:
    """Return the folder of one fold of an experiment."""
    return work / f"{name}-{fold}"


def score(experiment: Experiment, folds: int, data: Path, work: Path) -> dict[str, Any]:
    """Return the cross-validation of an experiment, as `edgequake bench folds --out` writes it."""
    result = folder(work, experiment.name, 0).with_name(f"{experiment.name}.json")
    if not result.is_file():
        models = [f"{folder(work, experiment.name, k) / experiment.recipe}.json:{k}/{folds}" for k in range(folds)]
        edgequake("bench", "folds", *models, "--data", data, "--out", result)
    scored: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return scored


def row(scored: dict[str, Any]) -> str:
    """Return the figures of one experiment as the cells of a Markdown row; a dash where a figure is undefined."""
    low, high = scored["group_recall_interval"]
    at_one = [entry["recall_at_one_false"] or 0.0 for entry in scored["rounds"]]

    def mean(name: str, form: str) -> str:
        value = scored["spreads"].get(name, {}).get("mean")
        return "-" if value is None else format(value, form)

    cells = (
        mean("recall", ".2f"),
        f"{mean('n_captured', '.1f')}/{scored['n_arrivals']}",
        f"{low:.2f}-{high:.2f}",
        mean("precision", ".2f"),
        mean("f1", ".2f"),
        mean("false_per_quiet_day", ".1f"),
        mean("kept_long", ".1%").replace("%", " %"),
        mean("wasted", ".1%").replace("%", " %"),
        mean("onset_error_s", ".0f"),
        f"{sum(at_one) / len(at_one):.2f}",
    )
    return " | ".join(cells)


def edgequake(*arguments: object) -> None:
    """Run the command line in its own process, on one thread; exit if it fails."""
    command = shutil.which("edgequake", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if command is None:
        sys.exit("the command `edgequake` is not installed; make it with: pip install -e '.[dev]'")
    done = subprocess.run(
        [command, *map(str, arguments)], env=os.environ | ONE_THREAD, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"edgequake {' '.join(map(str, arguments))} failed: {done.stderr.strip().splitlines()[-1:]}")


if __name__ == "__main__":
    sys.exit(main())

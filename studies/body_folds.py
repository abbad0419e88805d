"""How well `moon` and `mars` do on records that they have not learned, and how much of it is luck of the seed.

    python studies/body_folds.py DATA WORK [--only NAME ...] [--plan PLAN.toml] [--json FOLDER] [--train-only]

Every recipe of body_folds.toml is trained once for each fold (whole event groups of train and val; nothing of test) and
seed in WORK/NAME/SEED-K, converted to int8, and run on the records of its fold from five random starts each. The
operating point of a fold is chosen on the others (`edgequake.benchmarks.tuning.cross_validation`); events and kept
segments are those of the runner's own trigger. What is finished is not made again; an interrupted training continues
from its checkpoint. A training takes two to four minutes of processor time. FOLDER gets one NAME-folds.json a recipe.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from earth_folds import Training, make, manifest_of, show  # type: ignore[import-not-found]  # beside this script

from edgequake.benchmarks.detectors.cached_rows import CACHE_FOLDER, CachedTracer, RowCache
from edgequake.benchmarks.tuning.cross_validation import FoldModel, cross_validate
from edgequake.data.selection import Fold
from edgequake.edge.detection.network import import_runtime
from edgequake.results.tables.report_text import report_text
from edgequake.results.tuning import CrossValidation

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PLAN = Path(__file__).with_suffix(".toml")


@dataclass(frozen=True)
class Entry:
    """A recipe with some fields set, to be trained on every fold with every seed."""

    name: str
    recipe: str
    seeds: tuple[int, ...] = (1,)
    set: Mapping[str, Any] = field(default_factory=dict)  # fields of the recipe, by dotted name

    def trainings(self, n_folds: int) -> list[Training]:
        """Return the trainings, seed by seed and fold by fold."""
        return [
            Training(f"{self.name}/{seed}-{k}", set={**self.set, "fit.seed": seed}, fold=f"{k}/{n_folds}")
            for seed in self.seeds
            for k in range(n_folds)
        ]


def read_plan(path: Path) -> tuple[int, list[Entry]]:
    """Return the number of folds and the recipes of a plan."""
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    entries = [Entry(**{**one, "seeds": tuple(one.get("seeds", (1,)))}) for one in values["recipe"]]
    return int(values["folds"]), entries


def measured(entry: Entry, n_folds: int, data: Path, work: Path, seeds: int, cache: Path) -> CrossValidation:
    """Run the networks of an entry on the records held out from each."""
    rows = RowCache(cache)
    models = [
        FoldModel(str(manifest_of(entry.recipe, training, work)), Fold.parse(training.fold or ""))
        for training in entry.trainings(n_folds)
    ]
    return cross_validate(
        models,
        data,
        seeds=seeds,
        progress=show,
        tracer=lambda manifest, variant: CachedTracer(manifest, variant, rows),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Make what is missing, measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--plan", type=Path, default=PLAN, help="by default the one beside this script")
    parser.add_argument("--only", nargs="+", help="names of recipes in the plan")
    parser.add_argument("--seeds", type=int, default=5, help="random starts of each record")
    parser.add_argument("--train-only", action="store_true", help="make the networks, measure nothing")
    parser.add_argument("--cache", type=Path, default=CACHE_FOLDER, help="keeps rows of features")
    parser.add_argument("--json", type=Path, help="folder for the reports")
    options = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import_runtime()  # before TensorFlow, see its docstring
    n_folds, entries = read_plan(options.plan)
    entries = [one for one in entries if options.only is None or one.name in options.only]
    for entry in entries:
        for training in entry.trainings(n_folds):
            make(entry.recipe, training, options.data, options.work)
    for entry in [] if options.train_only else entries:
        result = measured(entry, n_folds, options.data, options.work, options.seeds, options.cache)
        print(f"\n{entry.name}\n{report_text(result)}", flush=True)
        if options.json:
            path = options.json / f"{entry.name}-folds.json"
            path.write_text(json.dumps(result.to_json(), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

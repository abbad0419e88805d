"""How much of the `earth` model is luck of its seed, and what it makes of ground and quakes of a kind never learned.

    python studies/earth_folds.py DATA WORK [--only NAME ...] [--plan PLAN.toml] [--json FILE] [--train-only]

Every training of earth_folds.toml is made once in WORK/NAME, converted to int8, and measured beside the shipped model
on the hours of `val` and on records of `train` that some of them have not seen. What is finished is not made again; an
interrupted training continues from its checkpoint. A training takes 15 minutes of processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from edgequake.benchmarks.detectors.cached_rows import CACHE_FOLDER, CachedTracer, RowCache
from edgequake.benchmarks.detectors.replay import replay
from edgequake.benchmarks.scoring.continuous import HoursMeasured, MeasuredStratum, StratumOutcome, measure, select
from edgequake.benchmarks.scoring.hours_rule import LIMITS, choose_by_hours
from edgequake.benchmarks.scoring.pooling import poisson, wilson
from edgequake.benchmarks.scoring.scoring import Detections
from edgequake.benchmarks.scoring.strata import HOURS, NS_PER_HOUR
from edgequake.data.dataset import data_hash, load
from edgequake.data.tables import LabelledRecord
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.detection.network import import_runtime
from edgequake.results.provenance import Provenance, Report, provenance

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PLAN = Path(__file__).with_suffix(".toml")
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)  # of those that `edgequake tune` tries, what `normal` may get
SHIPPED = "shipped"
NORMAL = "normal"


@dataclass(frozen=True)
class Training:
    """One training of the recipe."""

    name: str
    held_out: tuple[str, ...] = ()  # patterns of names of event groups
    set: Mapping[str, Any] = field(default_factory=dict)  # fields of the recipe, by dotted name
    fold: str | None = None  # K/N of a cross-validation

    def holds_out(self, records: Sequence[LabelledRecord]) -> bool:
        """Whether the training has not seen any of these records."""
        return bool(records) and all(any(fnmatch(r.group, pattern) for pattern in self.held_out) for r in records)

    def overrides(self, recipe_name: str, data: Path) -> dict[str, Any]:
        """Return what differs from the recipe; a record of emphasis 0 is used for nothing."""
        from edgequake.train.configuration.recipe import load_recipe

        recipe = load_recipe(recipe_name)
        unseen = [record.file.name for record in load(data, recipe.body) if self.holds_out([record])]
        if not unseen:
            return dict(self.set)
        return {"examples.emphasis": {**dict.fromkeys(unseen, 0.0), **recipe.examples.emphasis}, **self.set}


@dataclass(frozen=True)
class Figures:
    """A network on one stratum at one threshold; intervals are of 90 %."""

    part: str
    held_out: bool  # not of the training's own records
    n_records: int
    value: float  # events a day without a row of the catalogue, or the share of the arrivals found
    low: float
    high: float
    n: int  # events without a row, or arrivals found
    of: float  # days, or arrivals
    n_events: int  # different quakes; the interval of a share is that of so many


@dataclass(frozen=True)
class Network:
    """A network at the threshold that the rule for hours gives it, and at all others."""

    name: str
    held_out: tuple[str, ...]
    set: Mapping[str, Any]
    threshold: float
    within_limits: bool  # False: even the highest threshold has too many events
    points: Mapping[str, Mapping[str, Figures]]  # threshold, as text -> stratum -> figures


@dataclass(frozen=True, kw_only=True)
class FoldsReport(Report):
    """All networks of a plan."""

    kind = "earth-folds"

    recipe: str
    data_sha256: str
    networks: tuple[Network, ...]
    provenance: Provenance


def read_plan(path: Path) -> tuple[str, list[Training]]:
    """Return the recipe's name and the trainings of a plan."""
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    trainings = [
        Training(one["name"], tuple(one.get("held_out", ())), one.get("set", {})) for one in values["training"]
    ]
    return str(values["recipe"]), trainings


def make(recipe: str, training: Training, data: Path, work: Path) -> None:
    """Train and convert what is not there yet."""
    from edgequake.convert.converter import convert_model
    from edgequake.train.trainer import train

    out = work / training.name
    if not (out / "train.json").is_file():
        made = train(recipe, data, out, training.overrides(recipe, data), show, training.fold)
        print(f"\r{made.table()}", file=sys.stderr, flush=True)
    if not manifest_of(recipe, training, work).is_file():
        convert_model(next(out.glob("*.keras")), out / "int8", "int8")


def manifest_of(recipe: str, training: Training, work: Path) -> Path:
    """Return the manifest of a training's int8 graph."""
    return work / training.name / "int8" / f"{recipe}.json"


def measured_network(model: str, training: Training, strata: Sequence[MeasuredStratum], cache: Path) -> Network:
    """Run a model over all strata and choose its threshold as `edgequake tune` does, without what it holds out."""
    tracer = CachedTracer(model, None, RowCache(cache))

    def detector(record: LabelledRecord, start_ns: int) -> dict[float, Detections]:
        found = tracer(record, start_ns)
        return {threshold: replay(found, tracer.manifest.trigger, threshold) for threshold in THRESHOLDS}

    measured = measure(detector, strata, (0,))
    threshold, within = _threshold(measured, training, strata)
    points = {
        f"{at:g}": {one.stratum.name: _figures(one, training, by_name[one.stratum.name]) for one in strata}
        for at, by_name in measured.outcomes.items()
    }
    return Network(training.name, training.held_out, training.set, threshold, within, points)


def _threshold(measured: HoursMeasured, training: Training, strata: Sequence[MeasuredStratum]) -> tuple[float, bool]:
    known = [s.stratum.name for s in strata if s.stratum.kind == HOURS and not training.holds_out(s.records)]
    counts = {at: {name: by_name[name].total for name in known} for at, by_name in measured.outcomes.items()}
    try:
        return choose_by_hours(counts, {NORMAL: LIMITS[NORMAL]})[NORMAL], True
    except ConfigError:
        return max(counts), False


def _figures(one: MeasuredStratum, training: Training, outcome: StratumOutcome) -> Figures:
    total = outcome.total
    held_out = one.asked or training.holds_out(one.records)
    events = {arrival.row.arrival.event for arrival in outcome.arrivals}
    if one.stratum.kind == HOURS:
        days = total.scored_ns / (24 * NS_PER_HOUR)
        low, high = (bound / days for bound in poisson(total.n_uncatalogued))
        return Figures(
            one.part, held_out, total.n_records, total.events_per_day or 0.0, low, high, total.n_uncatalogued, days, 0
        )
    share = total.share_found or 0.0
    low, high = wilson(share * len(events), len(events))
    return Figures(one.part, held_out, total.n_records, share, low, high, total.n_found, total.n_arrivals, len(events))


def table(networks: Sequence[Network]) -> str:
    """Return the networks at their own thresholds as Markdown; a star marks records that the training has learned."""
    names = [f"{one.name} ({one.threshold:g})" for one in networks]
    lines = ["| records | " + " | ".join(names) + " |", "|---|" + "---|" * len(networks)]
    for stratum in networks[0].points[f"{networks[0].threshold:g}"]:
        cells = [_cell(one.points[f"{one.threshold:g}"][stratum]) for one in networks]
        lines.append(f"| {stratum} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(figures: Figures) -> str:
    star = "" if figures.held_out else "*"
    if not figures.n_events:
        return f"{figures.value:.1f} a day ({figures.low:.1f}-{figures.high:.1f}){star}"
    return f"{figures.n}/{figures.of:g}: {figures.value:.2f} ({figures.low:.2f}-{figures.high:.2f}){star}"


def show(share: float | None, text: str) -> None:
    """Print the progress of a training over the line before."""
    done = "" if share is None else f"{100 * share:.1f} %"
    print(f"\r{done:>7} {text:70.70}", end="", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make what is missing, measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--plan", type=Path, default=PLAN, help="by default the one beside this script")
    parser.add_argument("--only", nargs="+", help="names of trainings")
    parser.add_argument("--train-only", action="store_true", help="make the networks, measure nothing")
    parser.add_argument("--cache", type=Path, default=CACHE_FOLDER, help="keeps rows of features")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import_runtime()  # before TensorFlow, see its docstring
    recipe, trainings = read_plan(options.plan)
    trainings = [one for one in trainings if options.only is None or one.name in options.only]
    for training in trainings:
        make(recipe, training, options.data, options.work)
    if options.train_only:
        return 0
    with tempfile.TemporaryDirectory(prefix="edgequake-folds-") as folder:
        strata = select(options.data, "earth", Path(folder), "val")
        networks = [measured_network(recipe, Training(SHIPPED), strata, options.cache)]
        for training in trainings:
            manifest = manifest_of(recipe, training, options.work)
            networks.append(measured_network(str(manifest), training, strata, options.cache))
        sha256 = data_hash({record.file: record for one in strata for record in one.records}.values())
    print(table(networks))
    if options.json:
        report = FoldsReport(recipe=recipe, data_sha256=sha256, networks=tuple(networks), provenance=provenance())
        options.json.write_text(json.dumps(report.to_json(), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

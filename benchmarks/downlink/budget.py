"""Recall against the downlink's budget: what of the arrivals the ground has in hand for so many bytes a day.

Each record, from each random start, is a little mission of its own (`edgequake.benchmarks.downlink.simulation`), flown once by the
model and once by STA/LTA, and handed over under each budget by the runner's own downlink. An arrival is *delivered*
when a detection takes it by the rule of `edgequake.benchmarks.scoring.scoring`, and records that were handed over by the
mission's end meet its labelled onset with the tolerance of *captured*. It is *told* when the notice of that detection
was handed over. It has its *whole* onset when it is delivered and all records that the downlink counts in full for that
detection were handed over: of samples that are doubles a single record holds 8 s.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgequake.benchmarks.budget_tables import budget_table
from edgequake.benchmarks.detectors.baselines import TUNED_STA_LTA
from edgequake.benchmarks.detectors.detectors import MODEL, NamedModel
from edgequake.benchmarks.downlink.budget_points import BudgetPoint, fly_all, found_of, points_of
from edgequake.benchmarks.downlink.simulation import Crew, ModelCrew, StaLtaCrew
from edgequake.benchmarks.scoring.pooling import Spread, spread
from edgequake.data.dataset import data_hash
from edgequake.data.selection import Selection
from edgequake.edge.base.control import Control
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.operation.config import RunConfig
from edgequake.edge.operation.model import LoadedModel
from edgequake.results.provenance import ModelIdentity, Provenance, provenance

Progress = Callable[[float, str], None]  # takes the share done, 0..1, and what is being done

BUDGETS = (2_000, 5_000, 10_000, 20_000, 50_000)  # bytes a UTC day
STA_LTA = "STA/LTA, tuned on val"


@dataclass(frozen=True)
class BudgetCurve:
    """One detector under every budget."""

    name: str
    settings: str
    recalled: Spread  # share of the arrivals, whatever the budget
    n_events: Spread  # found in all records
    points: tuple[BudgetPoint, ...]


@dataclass(frozen=True)
class BudgetReport:
    """Detectors side by side, and where the figures came from."""

    body: str
    split: str
    seeds: tuple[int, ...]  # none: every record from its own start
    pass_s: float
    n_records: int
    n_arrivals: int
    n_long_arrivals: int  # in records of at least 10 h
    n_groups: int
    n_days: float  # UTC days that the missions of one pass touch, mean over the seeds
    data_sha256: str
    model: ModelIdentity
    provenance: Provenance
    curves: tuple[BudgetCurve, ...]

    def table(self) -> str:
        """Return the report as text for people."""
        return budget_table(self)

    def to_json(self) -> dict[str, Any]:
        """Return the report as values that JSON can hold."""
        return {"benchmark": "budget", **dataclasses.asdict(self)}


def bench_budget(
    model: str,
    data: Path,
    split: str | None = None,
    budgets: Sequence[int] = BUDGETS,
    seeds: int = 5,
    *,
    variant: str | None = None,
    progress: Progress | None = None,
) -> BudgetReport:
    """Measure what a model and STA/LTA bring home under each budget.

    Parameters
    ----------
    model : shipped name or path of a manifest; its body's records are used.
    data : folder in either layout that `edgequake.data.dataset.load` reads.
    split : by default val, or all of a packet, which has no splits.
    budgets : bytes of a UTC day.
    seeds : random starts; 0 begins every record at its own start.
    progress : called with the share done and what is being done.

    Raises
    ------
    ConfigError
        No budget, or one that the runner does not take.
    DataError, ManifestError, ModelError
        Records or a model that cannot be used.
    """
    if not budgets:
        raise ConfigError("no budget was named: give bytes a day, such as 20000")
    for budget in budgets:
        RunConfig((), Path(), budget_bytes=budget)  # refuses what the runner refuses, before hours of work
    named = NamedModel.find(model, variant)
    selection = Selection(split)
    records = selection.records(data, named.body)
    loaded = LoadedModel.load(RunConfig((), Path(), model, variant), Control().tell)
    detector = TUNED_STA_LTA[named.body]
    crews: dict[str, tuple[Crew, str]] = {
        MODEL: (ModelCrew(loaded), f"{named.identity.name} {named.identity.variant}, threshold {loaded.threshold:g}"),
        STA_LTA: (StaLtaCrew(detector, loaded), repr(detector)),
    }
    curves = []
    for i, (name, (crew, settings)) in enumerate(crews.items()):

        def tell(share: float, i: int = i, name: str = name) -> None:
            if progress is not None:
                progress((i + share) / len(crews), name)

        passes = fly_all(crew, records, sorted(set(budgets)), range(seeds), tell)
        curves.append(BudgetCurve(name, settings, *found_of(passes), points=points_of(passes)))
    # Which arrivals there are, and on how many days, no detector and no budget changes.
    some = [next(iter(one.values())) for one in passes]
    rows = [row for outcome in some[0] for row in outcome.arrivals()]
    return BudgetReport(
        body=named.body,
        split=selection.words(data),
        seeds=tuple(range(seeds)),
        pass_s=RunConfig.pass_s,
        n_records=len(records),
        n_arrivals=len(rows),
        n_long_arrivals=sum(len(outcome.arrivals(long_only=True)) for outcome in some[0]),
        n_groups=len({row.arrival.group for row in rows}),
        n_days=spread([sum(outcome.n_days for outcome in one) for one in some]).mean,
        data_sha256=data_hash(records),
        model=named.identity,
        provenance=provenance(),
        curves=tuple(curves),
    )

"""The benchmark `budget`: recall against the daily downlink budget.

Each record, from each random start, is a short mission of its own (`edgequake.benchmarks.downlink.simulation`), run
once with the model and once with STA/LTA, and sent under each budget by the runner's own downlink. An arrival is
*delivered* when a detection is matched to it by the rule of `edgequake.benchmarks.scoring.scoring` and records that
were sent by the end of the mission overlap its labelled onset, with the tolerance of *captured*. It is *told* when the
event report of that detection was sent. Its onset is *whole* when it is delivered and all records with full weight in
the send queue were sent for that detection; a single record of samples stored as doubles holds 8 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgequake.benchmarks.detectors.baselines import TUNED_STA_LTA
from edgequake.benchmarks.detectors.detectors import NamedModel
from edgequake.benchmarks.downlink.budget_points import (
    budget_points,
    recall_and_events,
    simulate_passes,
    under_any_budget,
)
from edgequake.benchmarks.downlink.simulation import MissionSimulator, ModelSimulator, StaLtaSimulator
from edgequake.benchmarks.scoring.pooling import spread
from edgequake.data.dataset import data_hash
from edgequake.data.selection import Selection
from edgequake.edge.base.control import Control
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.operation.config import RunConfig
from edgequake.edge.operation.run_models import LoadedModel
from edgequake.results.accuracy import MODEL, BudgetCurve, BudgetReport
from edgequake.results.progress import Progress, part_of, silent
from edgequake.results.provenance import provenance

BUDGETS = (2_000, 5_000, 10_000, 20_000, 50_000)  # bytes a UTC day
STA_LTA = "STA/LTA, tuned on val"


def bench_budget(
    model: str,
    data: Path,
    split: str | None = None,
    budgets: Sequence[int] = BUDGETS,
    seeds: int = 5,
    *,
    variant: str | None = None,
    progress: Progress = silent,
) -> BudgetReport:
    """Measure the share of the arrivals that a model and STA/LTA deliver under each budget.

    Parameters
    ----------
    model : shipped name or path of a manifest; its body's records are used.
    data : folder in either layout that `edgequake.data.dataset.load` reads.
    split : by default val, or all of a packet, which has no splits.
    budgets : bytes of a UTC day.
    seeds : random starts; 0 begins every record at its own start.
    progress : called with the share done and the name of the detector.

    Raises
    ------
    ConfigError
        No budget, or one that the runner does not accept.
    DataError, ManifestError, ModelError
        Unusable records, or an unusable model.
    """
    if not budgets:
        raise ConfigError("no budget was named: give bytes a day, such as 20000")
    for budget in budgets:
        RunConfig((), Path(), budget_bytes=budget)  # refuses what the runner refuses, before hours of work
    named = NamedModel.find(model, variant)
    selection = Selection(split)
    records = selection.records(data, named.body)
    loaded = LoadedModel.load(RunConfig((), Path(), model, variant), Control().log)
    simulators = compared_simulators(named, loaded)
    curves = []
    for i, (name, (simulator, settings)) in enumerate(simulators.items()):
        of_detector = part_of(progress, i / len(simulators), (i + 1) / len(simulators), name)
        passes = simulate_passes(simulator, records, sorted(set(budgets)), range(seeds), of_detector)
        curves.append(BudgetCurve(name, settings, *recall_and_events(passes), points=budget_points(passes)))
    # Neither a detector nor a budget changes the arrivals and the number of days.
    deliveries = under_any_budget(passes)
    rows = [row for delivery in deliveries[0] for row in delivery.arrivals()]
    return BudgetReport(
        body=named.body,
        split=selection.describe(data),
        seeds=tuple(range(seeds)),
        pass_s=RunConfig.pass_s,
        n_records=len(records),
        n_arrivals=len(rows),
        n_long_arrivals=sum(len(delivery.arrivals(long_only=True)) for delivery in deliveries[0]),
        n_groups=len({row.arrival.group for row in rows}),
        n_days=spread([sum(delivery.n_days for delivery in one) for one in deliveries]).mean,
        data_sha256=data_hash(records),
        model=named.identity,
        provenance=provenance(),
        curves=tuple(curves),
    )


def compared_simulators(named: NamedModel, loaded: LoadedModel) -> dict[str, tuple[MissionSimulator, str]]:
    """Return the model and STA/LTA by the names of their curves, each with its settings in words."""
    detector = TUNED_STA_LTA[named.body]
    settings = f"{named.identity.name} {named.identity.variant}, threshold {loaded.threshold:g}"
    return {
        MODEL: (ModelSimulator(loaded), settings),
        STA_LTA: (StaLtaSimulator(detector, loaded), repr(detector)),
    }

"""Each kind of report as the plain text that its command prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgequake.results.accuracy import AccuracyReport, BudgetReport
from edgequake.results.continuous import ContinuousReport
from edgequake.results.cost import EnergyReport, FootprintReport, LatencyReport
from edgequake.results.missions import MissionReport
from edgequake.results.provenance import Report
from edgequake.results.robustness import FaultReport, ShakeReport, SoakReport
from edgequake.results.tables import (
    accuracy_tables,
    continuous_tables,
    cost_tables,
    mission_tables,
    robustness_tables,
    tuning_tables,
)
from edgequake.results.tables.table import Table
from edgequake.results.tuning import CrossValidation, LabelTuning, RateTuning


def report_text(report: Report) -> str:
    """Return everything a report says, as plain text."""
    return "\n\n".join(table.text() for table in TABLES[type(report)](report))


def _accuracy(report: AccuracyReport) -> list[Table]:
    peers = accuracy_tables.peers_table([report])
    return [
        accuracy_tables.detectors_table(report),
        accuracy_tables.counts_table(report),
        *accuracy_tables.detail_tables(report),
        *([peers] if peers else []),
        *accuracy_tables.curve_tables(report, every_column=True),
    ]


def _latency(report: LatencyReport) -> list[Table]:
    steps, baselines = cost_tables.steps_table([report]), cost_tables.baselines_table(report)
    return [
        cost_tables.conditions_table(report),
        *([steps] if steps else []),
        *cost_tables.run_tables([report], every_part=True),
        *([baselines] if baselines.rows else []),
    ]


def _footprint(report: FootprintReport) -> list[Table]:
    return [*cost_tables.footprint_tables([report]), cost_tables.packages_table(report)]


def _energy(report: EnergyReport) -> list[Table]:
    work, constants = cost_tables.work_table(report), cost_tables.constants_table(report)
    return [Table(report.label, (), ()), work, *cost_tables.energy_tables([report]), constants]


TABLES: dict[type[Report], Callable[[Any], list[Table]]] = {
    AccuracyReport: _accuracy,
    ContinuousReport: continuous_tables.continuous_tables,
    BudgetReport: accuracy_tables.budget_tables,
    MissionReport: mission_tables.mission_tables,
    LatencyReport: _latency,
    FootprintReport: _footprint,
    EnergyReport: _energy,
    LabelTuning: lambda result: [tuning_tables.label_tuning_table(result), *tuning_tables.interval_tables(result)],
    RateTuning: lambda result: [tuning_tables.rate_tuning_table(result), *tuning_tables.interval_tables(result)],
    CrossValidation: tuning_tables.cross_validation_tables,
    FaultReport: lambda report: [robustness_tables.faults_table(report)],
    SoakReport: lambda report: [robustness_tables.soak_table(report)],
    ShakeReport: lambda report: [robustness_tables.shake_table(report)],
}

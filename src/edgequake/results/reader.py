"""Results read back from the JSON files that `edgequake bench` wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgequake.edge.base.errors import DataError
from edgequake.edge.manifest.schema import build
from edgequake.results.accuracy import AccuracyReport
from edgequake.results.continuous import ContinuousReport
from edgequake.results.cost import EnergyReport, FootprintReport, LatencyReport
from edgequake.results.missions import MissionReport
from edgequake.results.provenance import ModelIdentity, Provenance, Report

KINDS: dict[str, type[Report]] = {
    report.kind: report
    for report in (AccuracyReport, ContinuousReport, LatencyReport, FootprintReport, EnergyReport, MissionReport)
}


@dataclass(frozen=True)
class OtherReport(Report):
    """A report of a kind without tables of its own: its scalar figures as text, without lists."""

    kind: str  # type: ignore[misc]
    provenance: Provenance
    model: ModelIdentity | None
    figures: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ResultFile:
    """A file of results."""

    name: str
    report: Report


def read_results(paths: Sequence[Path]) -> list[ResultFile]:
    """Read files of results, in the order given.

    Raises
    ------
    DataError
        A file that is missing, no JSON, or not a complete result of `edgequake bench`.
    """
    return [ResultFile(path.name, _report(read_json(path), path)) for path in paths]


def read_json(path: Path) -> Any:
    """Read the values of a file of results.

    Raises
    ------
    DataError
        It is missing, or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise DataError(f"{path} cannot be read as results ({problem}); give files that `bench` wrote") from problem


def _report(values: Any, path: Path) -> Report:
    kind = values.pop("benchmark", None) if isinstance(values, dict) else None
    if not isinstance(kind, str):
        raise DataError(
            f"{path} is no result of `edgequake bench`: expected a field 'benchmark'; give what its --out wrote"
        )
    where = f"{path} is no whole result of `bench {kind}`"
    try:
        return build(KINDS[kind], values, where, DataError) if kind in KINDS else _other(kind, values, where)
    except DataError as problem:
        raise DataError(f"{problem}; measure again") from problem


def _other(kind: str, values: Mapping[str, Any], where: str) -> OtherReport:
    if "provenance" not in values:
        raise DataError(f"{where}: field 'provenance' is missing")
    model = values.get("model")
    return OtherReport(
        kind=kind,
        provenance=build(Provenance, values["provenance"], f"{where}.provenance", DataError),
        model=build(ModelIdentity, model, f"{where}.model", DataError) if isinstance(model, Mapping) else None,
        figures=tuple(_scalars({name: value for name, value in values.items() if name not in ("provenance", "model")})),
    )


def _scalars(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the scalar figures of a report, nested names joined by full stops."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _scalars(value, f"{prefix}{name}.")
        elif not isinstance(value, (list, tuple)):
            yield f"{prefix}{name}", f"{value:.4g}" if isinstance(value, float) else str(value)

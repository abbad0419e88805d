"""Results of `edgequake bench`, read from their JSON files.

The parts meet in files: nothing here imports the benchmarks. Fields are read by their names; a kind of result that is
not known here is shown figure by figure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgequake.edge.base.errors import DataError
from edgequake.report.costs import Cost, read_energy, read_footprint, read_latency
from edgequake.report.details import Details, Peer, read_details, read_peers
from edgequake.report.provenances import ModelIdentity, Provenance, read_model, read_provenance


@dataclass(frozen=True)
class Figures:
    """One detector on a set of records; None where there is nothing to divide by."""

    name: str  # "model", or the baseline's
    mean: dict[str, float]  # field of the scorer -> mean over the random starts
    deviation: dict[str, float]
    recall_interval: tuple[float, float]  # 90 %, of recall by events
    false_upper: float | None  # of the 90 % interval of false alarms per quiet day
    details: Details | None  # None in files of before there were any


@dataclass(frozen=True)
class CurvePoint:
    """Recall and share kept at one threshold."""

    threshold: float
    recall: float
    kept: float  # of records of at least 10 h where there are such, else of all


@dataclass(frozen=True)
class Accuracy:
    """A result of `bench accuracy`."""

    provenance: Provenance
    model: ModelIdentity | None
    body: str
    split: str
    n_seeds: int
    n_records: int
    n_arrivals: int
    n_groups: int
    data_sha256: str
    detectors: tuple[Figures, ...]
    curves: dict[str, tuple[CurvePoint, ...]]
    long_records: bool  # whether `kept` of the curves is of records of at least 10 h
    also: dict[str, ModelIdentity]  # further models, by the names of their figures
    peers: tuple[Peer, ...]

    @property
    def title(self) -> str:
        """Body, split and what there was to find."""
        return f"{self.body.capitalize()} {self.split}: {self.n_arrivals} arrivals of {self.n_groups} events"

    def detector_title(self, name: str) -> str:
        """Name of a detector; a model's is its own."""
        return self.model.title if name == "model" and self.model else name

    def model_of(self, name: str) -> ModelIdentity | None:
        """Return the graph behind a detector's name; None of one that is no model."""
        return self.model if name == "model" else self.also.get(name)


@dataclass(frozen=True)
class OtherResult:
    """A result of another kind: its figures as they stand, without lists."""

    provenance: Provenance
    kind: str
    model: ModelIdentity | None
    figures: tuple[tuple[str, str], ...]


Result = Accuracy | Cost | OtherResult
COSTS = {"latency": read_latency, "footprint": read_footprint, "energy": read_energy}


def read_results(paths: Sequence[Path]) -> list[Result]:
    """Read results, in the order given; a file of costs holds several.

    Raises
    ------
    DataError
        A file that is missing, no JSON, or no result of `edgequake bench`.
    """
    return [result for path in paths for result in _read(path)]


def _read(path: Path) -> Sequence[Result]:
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise DataError(f"{path} cannot be read as results ({problem}); give files that `edgequake bench` wrote") from (
            problem
        )
    kind = values.get("benchmark") if isinstance(values, dict) else None
    if not isinstance(kind, str):
        raise DataError(
            f"{path} is no result of `edgequake bench`: expected a field 'benchmark'; give what its --json wrote"
        )
    try:
        if kind == "accuracy":
            return [_accuracy(values, path)]
        if kind in COSTS:
            return COSTS[kind](values, path)
        model = read_model(values.get("model"))
        return [OtherResult(read_provenance(values, path), kind, model, tuple(_figures_of(values)))]
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        reason = f"field {problem} is missing" if isinstance(problem, KeyError) else str(problem)
        raise DataError(f"{path} is no whole result of `bench {kind}`: {reason}; measure again") from problem


def _accuracy(values: Mapping[str, Any], path: Path) -> Accuracy:
    curves = values["curves"]
    long_records = all(point["kept_long"] is not None for points in curves.values() for point in points)
    kept = "kept_long" if long_records else "kept"
    return Accuracy(
        provenance=read_provenance(values, path),
        model=read_model(values.get("model")),
        body=str(values["body"]),
        split=str(values["split"]),
        n_seeds=len(values["seeds"]),
        n_records=int(values["n_records"]),
        n_arrivals=int(values["n_arrivals"]),
        n_groups=int(values["n_groups"]),
        data_sha256=str(values["data_sha256"]),
        detectors=tuple(_figures(result) for result in values["results"]),
        curves={
            str(name): tuple(
                CurvePoint(float(point["threshold"]), float(point["recall"]), float(point[kept])) for point in points
            )
            for name, points in curves.items()
        },
        long_records=long_records,
        also={name: model for name, one in values.get("also", {}).items() if (model := read_model(one))},
        peers=read_peers(values.get("peers", ())),
    )


def _figures(result: Mapping[str, Any]) -> Figures:
    summary = result["summary"]
    upper = summary["false_per_quiet_day_upper"]
    low, high = summary["group_recall_interval"]
    return Figures(
        name=str(result["name"]),
        mean={name: float(spread["mean"]) for name, spread in summary["spreads"].items()},
        deviation={name: float(spread["deviation"]) for name, spread in summary["spreads"].items()},
        recall_interval=(float(low), float(high)),
        false_upper=None if upper is None else float(upper),
        details=read_details(result.get("breakdown")),
    )


def _figures_of(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the scalar figures of a result, nested names joined by full stops."""
    for name, value in values.items():
        if prefix == "" and name in ("benchmark", "provenance", "model"):
            continue
        if isinstance(value, Mapping):
            yield from _figures_of(value, f"{prefix}{name}.")
        elif not isinstance(value, (list, tuple)):
            yield f"{prefix}{name}", f"{value:.4g}" if isinstance(value, float) else str(value)

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

from edgequake.edge.errors import DataError


@dataclass(frozen=True)
class Provenance:
    """Where figures come from."""

    file: str
    measured_at: str
    processor: str
    machine: str
    python: str
    versions: dict[str, str]

    @property
    def computer(self) -> str:
        """Processor and architecture."""
        return f"{self.processor} ({self.machine})"


@dataclass(frozen=True)
class ModelIdentity:
    """The graph that was measured."""

    name: str
    variant: str
    sha256: str
    size_bytes: int
    parameters: int

    @property
    def title(self) -> str:
        """Name and variant."""
        return f"{self.name} {self.variant}"


@dataclass(frozen=True)
class Figures:
    """One detector on a set of records; None where there is nothing to divide by."""

    name: str  # "model", or the baseline's
    mean: dict[str, float]  # field of the scorer -> mean over the random starts
    deviation: dict[str, float]
    recall_interval: tuple[float, float]  # 90 %, of recall by events
    false_upper: float | None  # of the 90 % interval of false alarms per quiet day


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

    @property
    def title(self) -> str:
        """Body, split and what there was to find."""
        return f"{self.body.capitalize()} {self.split}: {self.n_arrivals} arrivals of {self.n_groups} events"

    def detector_title(self, name: str) -> str:
        """Name of a detector; a model's is its own."""
        return self.model.title if name == "model" and self.model else name


@dataclass(frozen=True)
class Latency:
    """A result of `bench latency`: one model, variant and runtime."""

    provenance: Provenance
    model: ModelIdentity
    runtime: str
    n_threads: int
    percentiles_us: dict[str, float]  # "p50", "p95", "p99", "max" of a step's wall time
    signal_s: float  # of signal that a step consumes
    us_per_signal_s: float
    memory_bytes: int | None  # peak of the device process over a day; None where no day was run

    @property
    def environment(self) -> str:
        """Device environment, threads and runtime, for the head of a column."""
        return f"{self.provenance.computer}, {self.n_threads} thread{'s'[: self.n_threads > 1]}, {self.runtime}"


@dataclass(frozen=True)
class OtherResult:
    """A result of another kind: its figures as they stand, without lists."""

    provenance: Provenance
    kind: str
    model: ModelIdentity | None
    figures: tuple[tuple[str, str], ...]


Result = Accuracy | Latency | OtherResult


def read_results(paths: Sequence[Path]) -> list[Result]:
    """Read results, in the order given.

    Raises
    ------
    DataError
        A file that is missing, no JSON, or no result of `edgequake bench`.
    """
    return [_read(path) for path in paths]


def _read(path: Path) -> Result:
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
            return _accuracy(values, path)
        if kind == "latency":
            return _latency(values, path)
        return OtherResult(_provenance(values, path), kind, _model(values), tuple(_figures_of(values)))
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        reason = f"field {problem} is missing" if isinstance(problem, KeyError) else str(problem)
        raise DataError(f"{path} is no whole result of `bench {kind}`: {reason}; measure again") from problem


def _accuracy(values: Mapping[str, Any], path: Path) -> Accuracy:
    curves = values["curves"]
    long_records = all(point["kept_long"] is not None for points in curves.values() for point in points)
    kept = "kept_long" if long_records else "kept"
    return Accuracy(
        provenance=_provenance(values, path),
        model=_model(values),
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
    )


def _latency(values: Mapping[str, Any], path: Path) -> Latency:
    step, day, model = values["step"], values.get("day"), _model(values)
    if model is None:
        raise ValueError("it names no model")
    return Latency(
        provenance=_provenance(values, path),
        model=model,
        runtime=str(values["runtime"]),
        n_threads=int(values.get("n_threads", 1)),
        percentiles_us={name: float(step[f"{name}_us"]) for name in ("p50", "p95", "p99", "max")},
        signal_s=float(step["signal_s"]),
        us_per_signal_s=float(step["us_per_signal_s"]),
        memory_bytes=int(day["peak_rss_bytes"]) if day else None,
    )


def _model(values: Mapping[str, Any]) -> ModelIdentity | None:
    model = values.get("model")
    if not isinstance(model, Mapping):
        return None
    return ModelIdentity(
        str(model["name"]), str(model["variant"]), str(model["sha256"]), int(model["size_bytes"]),
        int(model["parameters"]),
    )  # fmt: skip


def _provenance(values: Mapping[str, Any], path: Path) -> Provenance:
    where = values["provenance"]
    return Provenance(
        file=path.name,
        measured_at=str(where["measured_at"]),
        processor=str(where["processor"]),
        machine=str(where["machine"]),
        python=str(where["python"]),
        versions={str(name): str(version) for name, version in where["versions"].items()},
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

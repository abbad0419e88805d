"""What detection costs, read from the results of `bench latency`, `bench footprint` and `bench energy`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgequake.report.provenances import ModelIdentity, Provenance, read_model, read_provenance

PERCENTILES = ("p50", "p95", "p99", "max")


@dataclass(frozen=True)
class Spread:
    """A figure: the median of several rounds, and the smallest and largest of them."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Process:
    """A whole process over made-up signal."""

    signal_s: float
    wall_s: Spread
    cpu_s: Spread
    memory_bytes: Spread  # at most


@dataclass(frozen=True)
class Run:
    """A model over made-up signal; times in us per second of it."""

    parts_us: dict[str, Spread]
    detection_us: Spread  # front end, graph and trigger
    process: Process
    cold_start_s: dict[str, Spread]  # since the start of the process: "imported", "loaded", "processed"


@dataclass(frozen=True)
class Latency:
    """A step of one model and variant, in one environment, with so many threads."""

    provenance: Provenance
    model: ModelIdentity
    body: str
    windowed: bool
    runtime: str
    versions: dict[str, str]  # of python and numpy in that environment, among others
    n_threads: int
    percentiles_us: dict[str, float]  # "p50", "p95", "p99", "max" of a step's wall time
    spreads_us: dict[str, Spread]  # of the same
    signal_s: float  # of signal that a step consumes
    us_per_signal_s: float  # mean
    run: Run | None  # with one thread, which is what flies; None where none was measured
    notes: tuple[str, ...]  # what to bear in mind, such as a machine that was busy

    @property
    def threads(self) -> str:
        """Number of threads, in words."""
        return f"{self.n_threads} thread{'s'[: self.n_threads > 1]}"

    @property
    def stack(self) -> str:
        """Runtime, Python and numpy."""
        versions = (f"{name} {self.versions[name]}" for name in ("python", "numpy") if name in self.versions)
        return ", ".join([self.runtime, *versions])

    @property
    def environment(self) -> str:
        """Device environment, threads and runtime, for the head of a column."""
        return f"{self.provenance.computer}, {self.threads},\n{self.stack}"

    @property
    def title(self) -> str:
        """Name, variant, and whether it is stepped window by window."""
        return f"{self.model.title}{', by windows' if self.windowed else ''}"


@dataclass(frozen=True)
class BaselineCost:
    """A baseline over the same made-up signal."""

    provenance: Provenance
    name: str
    body: str
    detection_us: Spread  # per second of signal; reading included, imports not
    process: Process

    @property
    def library(self) -> str:
        """What detects, in place of a runtime."""
        return f"obspy {self.provenance.versions.get('obspy', '?')}"

    @property
    def environment(self) -> str:
        """Device environment, for the head of a column."""
        return f"{self.provenance.computer}, 1 thread,\n{self.library}"


@dataclass(frozen=True)
class Footprint:
    """What one model takes in one environment; in bytes."""

    provenance: Provenance
    model: ModelIdentity
    runtime: str
    manifest_bytes: int
    state_bytes: int
    arena_bytes: int
    arena_method: str
    resident_bytes: dict[str, int]  # by stage: "interpreter", "imported", "loaded"
    peak_bytes: Spread


@dataclass(frozen=True)
class Installed:
    """What an environment has on disk."""

    provenance: Provenance
    runtime: str  # "none: obspy" of the baselines' one
    sizes_bytes: dict[str, int]  # by distribution that the process imports from

    @property
    def total_bytes(self) -> int:
        """Size of them all."""
        return sum(self.sizes_bytes.values())


@dataclass(frozen=True)
class Energy:
    """An estimate for one detector on one device."""

    provenance: Provenance
    label: str  # that it is an estimate
    detector: str
    body: str
    device: str
    duty_cycle: float
    front_end_share: float
    awake_j_per_day: float
    memory_j_per_day: float
    asleep_j_per_day: float
    mean_mw: float
    python_j_per_day: float | None


Cost = Latency | BaselineCost | Footprint | Installed | Energy


def read_latency(values: Mapping[str, Any], path: Path) -> list[Cost]:
    """Return the costs in a result of `bench latency`, a row each."""
    where = read_provenance(values, path)
    notes = tuple(map(str, values["notes"]))
    models = [cost for entry in values["models"] for cost in _of_model(entry, where, notes)]
    baselines = [
        BaselineCost(
            where, str(one["name"]), str(one["body"]), _spread(one["detection_us_per_signal_s"]),
            _process(one["process"]),
        )
        for one in values["baselines"]
    ]  # fmt: skip
    return [*models, *baselines]


def read_footprint(values: Mapping[str, Any], path: Path) -> list[Cost]:
    """Return the costs in a result of `bench footprint`."""
    where = read_provenance(values, path)
    models = [
        Footprint(
            provenance=where,
            model=_model(entry),
            runtime=str(entry["runtime"]),
            manifest_bytes=int(entry["manifest_bytes"]),
            state_bytes=int(entry["state_bytes"]),
            arena_bytes=int(entry["arena_bytes"]),
            arena_method=str(entry["arena_method"]),
            resident_bytes={str(stage): int(size) for stage, size in entry["resident_bytes"].items()},
            peak_bytes=_spread(entry["peak_rss_bytes"]),
        )
        for entry in values["models"]
    ]
    environments = [*values["environments"], *([values["baselines"]] if values["baselines"] else [])]
    sizes = [Installed(where, str(one["runtime"]), dict(one["imported_bytes"])) for one in environments]
    return [*models, *sizes]


def read_energy(values: Mapping[str, Any], path: Path) -> list[Cost]:
    """Return the estimates in a result of `bench energy`."""
    where, names = read_provenance(values, path), ("duty_cycle", "front_end_share", "awake_j_per_day",
             "memory_j_per_day", "asleep_j_per_day", "mean_mw", "python_j_per_day")  # fmt: skip
    return [
        Energy(
            where, str(values["label"]), str(consumer["name"]), str(consumer["body"]), str(one["device"]),
            *(one[name] for name in names),
        )
        for consumer in values["consumers"]
        for one in consumer["estimates"]
    ]  # fmt: skip


def _of_model(entry: Mapping[str, Any], where: Provenance, notes: tuple[str, ...]) -> list[Latency]:
    return [
        Latency(
            provenance=where,
            model=_model(entry),
            body=str(entry["body"]),
            windowed=entry["mode"] == "windowed",
            runtime=str(entry["runtime"]),
            versions={str(name): str(version) for name, version in entry["versions"].items()},
            n_threads=int(step["n_threads"]),
            percentiles_us={name: float(step["us_per_step"][name]["value"]) for name in PERCENTILES},
            spreads_us={name: _spread(step["us_per_step"][name]) for name in PERCENTILES},
            signal_s=float(step["signal_s"]),
            us_per_signal_s=float(step["us_per_signal_s"]["mean"]["value"]),
            run=_run(entry) if step["n_threads"] == 1 and entry["day"] else None,
            notes=notes,
        )
        for step in entry["steps"]
    ]


def _run(entry: Mapping[str, Any]) -> Run:
    day, start = entry["day"], entry["cold_start"]
    return Run(
        parts_us={str(part): _spread(one) for part, one in day["us_per_signal_s"].items()},
        detection_us=_spread(day["detection_us_per_signal_s"]),
        process=_process(entry["process"]),
        cold_start_s={name: _spread(start[f"{name}_s"]) for name in ("imported", "loaded", "processed")},
    )


def _process(values: Mapping[str, Any]) -> Process:
    spreads = (_spread(values[name]) for name in ("wall_s", "cpu_s", "peak_rss_bytes"))
    return Process(float(values["signal_s"]), *spreads)


def _spread(values: Mapping[str, Any]) -> Spread:
    return Spread(float(values["value"]), float(values["low"]), float(values["high"]))


def _model(entry: Mapping[str, Any]) -> ModelIdentity:
    model = read_model(entry["model"])
    if model is None:
        raise ValueError("it names no model")
    return model

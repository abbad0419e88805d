"""What a model takes: on disk, in memory, and the environment that it needs."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from edgequake.benchmarks.cost.baseline_process import baseline_names
from edgequake.benchmarks.cost.environments import Device, find_devices, output_of
from edgequake.benchmarks.cost.latency_tasks import PROCESS, WINDOWED_RUN_S, measure_process
from edgequake.benchmarks.cost.measured import Measured
from edgequake.benchmarks.cost.workload import SignalDay, SignalDays, Subject, find_subjects
from edgequake.benchmarks.text_tables import align
from edgequake.edge.formats.waveforms import NS_PER_S, format_time
from edgequake.results.provenance import ModelIdentity, Provenance, provenance
from edgequake.synthetic.synthetic_dataset import DAY_S

Progress = Callable[[float, str], None]

N_ROUNDS = 3
ARENA_METHOD = "extent of the addresses that the runtime gives to the tensors it computes; it does not tell more"


@dataclass(frozen=True)
class ModelFootprint:
    """One graph in one environment; sizes in bytes."""

    model: ModelIdentity  # its size is that of the graph
    body: str
    shipped: bool
    runtime: str
    versions: dict[str, str]
    manifest_bytes: int
    state_bytes: int  # carried on from step to step
    arena_bytes: int
    arena_method: str
    planned_arena_bytes: int | None  # as `edgequake inspect` packs the tensors; None: not asked for
    resident_bytes: dict[str, int]  # of a process, by stage: bare interpreter, everything imported, model loaded
    peak_rss_bytes: Measured  # of the device's process over `signal_s` of signal
    signal_s: float


@dataclass(frozen=True)
class EnvironmentFootprint:
    """What is installed, by distribution, in bytes on disk."""

    runtime: str
    versions: dict[str, str]
    imported_bytes: dict[str, int]  # distributions that the device's process imports from
    beside_bytes: dict[str, int]  # what else is installed there, pip and setuptools left out

    @property
    def total_bytes(self) -> int:
        """Size of the distributions that are used."""
        return sum(self.imported_bytes.values())


@dataclass(frozen=True)
class FootprintReport:
    """What models and environments take."""

    provenance: Provenance
    models: tuple[ModelFootprint, ...]
    environments: tuple[EnvironmentFootprint, ...]
    baselines: EnvironmentFootprint | None  # of those that use obspy; None where it is not installed

    def table(self) -> str:
        """Return the report as text for people."""
        rows = [["", "graph", "manifest", "state", "arena", "imported", "loaded", "peak memory of a run"]]
        for model in self.models:
            resident = model.resident_bytes
            rows.append(
                [f"{model.model.name} {model.model.variant}, {model.runtime}",
                 *(f"{size / 1e3:.1f} kB" for size in (model.model.size_bytes, model.manifest_bytes)),
                 f"{model.state_bytes} B", f"{model.arena_bytes} B",
                 *(_mb(resident[stage]) for stage in ("imported", "loaded")),
                 model.peak_rss_bytes.scaled(1e-6).text(lambda value: f"{value:.1f}") + " MB"]
            )  # fmt: skip
        parts = [align(rows) + f"\n(arena: {ARENA_METHOD})"]
        for environment in (*self.environments, *((self.baselines,) if self.baselines else ())):
            sizes = [[f"installed, {environment.runtime}", _mb(environment.total_bytes)]]
            sizes += [[f"  {name}", _mb(size)] for name, size in environment.imported_bytes.items()]
            beside = environment.beside_bytes
            sizes.append([f"beside them, never imported ({len(beside)} distributions)", _mb(sum(beside.values()))])
            parts.append(align(sizes))
        return "\n\n".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Return the report as values that JSON can hold."""
        return {"benchmark": "footprint", **dataclasses.asdict(self)}


def bench_footprint(
    models: Sequence[str] = (),
    variant: str | None = None,
    *,
    also: Sequence[str] = (),
    pythons: Sequence[str] = (),
    n_rounds: int = N_ROUNDS,
    planned_arena: Callable[[str, str], int] | None = None,
    progress: Progress | None = None,
) -> FootprintReport:
    """Measure what models take, and how large the environments are that run them.

    Parameters
    ----------
    models, variant, also, pythons : as `edgequake.benchmarks.cost.latency_runs.bench_latency`.
    planned_arena : returns the size of the arena that a planner finds for a model and a variant.

    Raises
    ------
    ConfigError, ManifestError, ModelError
        An environment or a model that cannot be used, or a process that fails.
    """
    devices, subjects = find_devices(pythons), find_subjects(models, variant, also)
    found: list[ModelFootprint] = []
    environments: dict[tuple[str, str], EnvironmentFootprint] = {}
    with tempfile.TemporaryDirectory(prefix="edgequake-bench-") as name:
        days = SignalDays(Path(name))
        for subject in subjects:
            planned = planned_arena(*subject.arguments) if planned_arena else None
            for device in devices:
                if progress is not None:
                    progress(len(found) / (len(subjects) * len(devices)), f"{subject.title}, {device.runtime}")
                raw = device.measure(PROCESS.format("footprint"), *subject.arguments)
                environments.setdefault((device.python, device.runtime), _environment(device, raw))
                peak = _peak(subject, device, days.of(subject.manifest), Path(name) / "out", n_rounds)
                found.append(_entry(subject, device, raw, peak, planned))
        baselines = _baselines(days)
    return FootprintReport(provenance(), tuple(found), tuple(environments.values()), baselines)


def _peak(subject: Subject, device: Device, day: SignalDay, out: Path, n_rounds: int) -> Measured:
    """Return the most memory that the device's process held over a day, or over a part of it that shows as much."""
    model, variant = subject.arguments
    stop = format_time(day.start_ns + round(_run_s(subject) * NS_PER_S))
    options = ["--model", model, "--variant", variant, "--out", str(out), "--force", "--stop", stop]
    command = device.command("edgequake.edge", "run", str(day.record), *options)
    return Measured.of(measure_process(command)["peak_rss_bytes"] for _ in range(n_rounds))


def _run_s(subject: Subject) -> float:
    return WINDOWED_RUN_S if subject.manifest.network.mode == "windowed" else DAY_S


def _entry(
    subject: Subject, device: Device, raw: Mapping[str, Any], peak: Measured, planned: int | None
) -> ModelFootprint:
    return ModelFootprint(
        model=subject.named.identity,
        body=subject.named.body,
        shipped=subject.shipped,
        runtime=device.runtime,
        versions=device.versions,
        manifest_bytes=len(subject.manifest.to_json().encode()),
        state_bytes=raw["state_bytes"],
        arena_bytes=raw["arena_bytes"],
        arena_method=ARENA_METHOD,
        planned_arena_bytes=planned,
        resident_bytes=raw["resident_bytes"],
        peak_rss_bytes=peak,
        signal_s=_run_s(subject),
    )


def _baselines(days: SignalDays) -> EnvironmentFootprint | None:
    """Return what a baseline imports from, edgequake itself left out; None where obspy is not installed."""
    if importlib.util.find_spec("obspy") is None:
        return None
    body, day = next(iter(days.by_body().items()))
    command = [
        sys.executable,
        "-m",
        PROCESS.format("baseline"),
        str(day.folder),
        body,
        baseline_names(body)[-1],
        "installed",
    ]
    sizes = json.loads(output_of(command))["imported_bytes"]
    versions = {"python": platform.python_version(), "obspy": metadata.version("obspy")}
    return EnvironmentFootprint("none: obspy", versions, sizes, {})


def _environment(device: Device, raw: Mapping[str, Any]) -> EnvironmentFootprint:
    sizes = raw["distributions_bytes"]
    return EnvironmentFootprint(device.runtime, device.versions, sizes["imported"], sizes["beside"])


def _mb(size_bytes: float) -> str:
    return f"{size_bytes / 1e6:.1f} MB"

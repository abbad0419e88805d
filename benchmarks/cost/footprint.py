"""The benchmark `footprint`: size on disk, memory, and the installed environment that a model needs."""

from __future__ import annotations

import importlib.util
import json
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from edgequake.benchmarks.cost.baseline_process import baseline_names
from edgequake.benchmarks.cost.environments import (
    PythonEnvironment,
    find_environments,
    measure_process,
    output_of,
    process_module,
)
from edgequake.benchmarks.cost.workload import MeasuredGraph, SignalDay, SignalDays, find_graphs
from edgequake.edge.formats.waveforms import NS_PER_S, format_time
from edgequake.results.cost import EnvironmentFootprint, FootprintReport, Measured, ModelFootprint
from edgequake.results.progress import Progress, silent
from edgequake.results.provenance import provenance

N_ROUNDS = 3
ARENA_METHOD = "extent of the addresses that the runtime gives to the tensors it computes; it does not tell more"


def bench_footprint(
    models: Sequence[str] = (),
    variant: str | None = None,
    *,
    also: Sequence[str] = (),
    pythons: Sequence[str] = (),
    n_rounds: int = N_ROUNDS,
    planned_arena: Callable[[str, str], int | None] | None = None,
    progress: Progress = silent,
) -> FootprintReport:
    """Measure the sizes and the memory of models, and the sizes of the environments that run them.

    Parameters
    ----------
    models, variant, also, pythons : as `edgequake.benchmarks.cost.latency_runs.bench_latency`.
    planned_arena : returns the size of the arena that `edgequake inspect` plans for a model and a variant.

    Raises
    ------
    ConfigError, ManifestError, ModelError
        An unusable environment or model, or a process that fails.
    """
    environments, graphs = find_environments(pythons), find_graphs(models, variant, also)
    models_found: list[ModelFootprint] = []
    installed: dict[tuple[str, str], EnvironmentFootprint] = {}
    with tempfile.TemporaryDirectory(prefix="edgequake-bench-") as name:
        days = SignalDays(Path(name))
        for graph in graphs:
            planned = planned_arena(*graph.arguments) if planned_arena else None
            for environment in environments:
                share = len(models_found) / (len(graphs) * len(environments))
                progress(share, f"{graph.title}, {environment.runtime}")
                raw = environment.measure("footprint", *graph.arguments)
                installed.setdefault((environment.python, environment.runtime), _installed(environment, raw))
                peak = _peak(graph, environment, days.of(graph.manifest), Path(name) / "out", n_rounds)
                models_found.append(_model(graph, environment, raw, peak, planned))
        baselines = _baselines(days)
    return FootprintReport(provenance(), tuple(models_found), tuple(installed.values()), baselines)


def _peak(graph: MeasuredGraph, environment: PythonEnvironment, day: SignalDay, out: Path, n_rounds: int) -> Measured:
    """Return the peak memory of the device's process over a day, or over a part of it that needs as much."""
    model, variant = graph.arguments
    stop = format_time(day.start_ns + round(graph.run_s * NS_PER_S))
    options = ["--model", model, "--variant", variant, "--out", str(out), "--force", "--stop", stop]
    command = environment.command("edgequake.edge", "run", str(day.record), *options)
    return Measured.of(measure_process(command)["peak_rss_bytes"] for _ in range(n_rounds))


def _model(
    graph: MeasuredGraph, environment: PythonEnvironment, raw: Mapping[str, Any], peak: Measured, planned: int | None
) -> ModelFootprint:
    return ModelFootprint(
        model=graph.named.identity,
        body=graph.named.body,
        shipped=graph.shipped,
        runtime=environment.runtime,
        versions=environment.versions,
        manifest_bytes=len(graph.manifest.to_json().encode()),
        state_bytes=raw["state_bytes"],
        arena_bytes=raw["arena_bytes"],
        arena_method=ARENA_METHOD,
        planned_arena_bytes=planned,
        resident_bytes=raw["resident_bytes"],
        peak_rss_bytes=peak,
        signal_s=graph.run_s,
    )


def _installed(environment: PythonEnvironment, raw: Mapping[str, Any]) -> EnvironmentFootprint:
    sizes = raw["distributions_bytes"]
    return EnvironmentFootprint(environment.runtime, environment.versions, sizes["imported"], sizes["beside"])


def _baselines(days: SignalDays) -> EnvironmentFootprint | None:
    """Return the distributions that a baseline imports from, without edgequake; None if obspy is not installed."""
    if importlib.util.find_spec("obspy") is None:
        return None
    body, day = next(iter(days.by_body().items()))
    arguments = [str(day.folder), body, baseline_names(body)[-1], "installed"]
    printed = json.loads(output_of([sys.executable, "-m", process_module("baseline"), *arguments]))
    versions = {"python": platform.python_version(), "obspy": metadata.version("obspy")}
    return EnvironmentFootprint("none: obspy", versions, printed["imported_bytes"], {})

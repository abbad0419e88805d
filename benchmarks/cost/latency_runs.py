"""The benchmark `latency`: steps of the graph, the parts of a day's run, whole processes, and their cold start.

Every figure is the median of several rounds, with their range. A round goes through all models, environments and
baselines in turn, so that a machine that slows down for a while slows all of them, which shows in the ranges. Nothing
is measured in this process: see the modules `*_process`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgequake.benchmarks.cost.baseline_process import baseline_names
from edgequake.benchmarks.cost.environments import (
    PythonEnvironment,
    find_environments,
    measure_process,
    process_module,
)
from edgequake.benchmarks.cost.workload import MeasuredGraph, SignalDay, SignalDays, find_graphs, steps_per_s
from edgequake.edge.formats.waveforms import NS_PER_S, format_time
from edgequake.edge.manifest.manifest import Manifest
from edgequake.results.cost import (
    PERCENTILES,
    BaselineLatency,
    ColdStart,
    DayLatency,
    LatencyReport,
    Measured,
    ModelLatency,
    ProcessCost,
    StepLatency,
)
from edgequake.results.progress import Progress, silent
from edgequake.results.provenance import provenance

N_STEPS = 2000
N_ROUNDS = 5
THREADS = (1, 2)
BUSY = 0.5  # load average, before anything is measured, above which the figures will be too large
LONGEST_GRAPH_S = 8.0  # of a run: if a graph needs more for a day, fewer hours are run
DETECTION = ("front_end", "graph", "trigger")  # the parts of a run that correspond to a baseline's detection
NO_PROFILE = (
    "the interpreter of {runtime} offers no profiler in Python: no times by operator; `edgequake inspect` counts them"
)


def bench_latency(
    models: Sequence[str] = (),
    variant: str | None = None,
    *,
    also: Sequence[str] = (),
    pythons: Sequence[str] = (),
    threads: Sequence[int] = THREADS,
    n_steps: int = N_STEPS,
    n_rounds: int = N_ROUNDS,
    whole_days: bool = True,
    baselines: bool = True,
    progress: Progress = silent,
) -> LatencyReport:
    """Measure the time that models take, and that the baselines of their bodies take on the same signal.

    Parameters
    ----------
    models, variant, also : as `edgequake.benchmarks.cost.workload.find_graphs`.
    pythons : interpreters of the environments to measure in, by default this one; with each installed runtime in turn.
    whole_days : also run days of signal as processes, and time their parts and their start.
    baselines : run the baselines over the same days.

    Raises
    ------
    ConfigError, ManifestError, ModelError
        An unusable environment or model, or a process that fails.
    """
    load_before = os.getloadavg()[0]
    environments = find_environments(pythons)
    graphs = find_graphs(models, variant, also)
    with tempfile.TemporaryDirectory(prefix="edgequake-bench-") as name:
        folder = Path(name)
        out = folder / "out" if whole_days else None
        days = SignalDays(folder)
        tasks = [
            ModelTask(graph, environment, days.of(graph.manifest), threads, n_steps, out)
            for graph in graphs
            for environment in environments
        ]
        baseline_tasks = _baseline_tasks(days.by_body()) if baselines and whole_days else []
        _measure_rounds([*tasks, *baseline_tasks], n_rounds, progress)
    return LatencyReport(
        provenance=provenance(),
        load_before=load_before,
        n_rounds=n_rounds,
        kernel_us=Measured.of(raw["kernel_us"] for task in tasks for raw in task.steps),
        models=tuple(task.summarise() for task in tasks),
        baselines=tuple(task.summarise() for task in baseline_tasks),
        notes=_notes(load_before, lacking=baselines and whole_days and not baseline_tasks),
    )


def _baseline_tasks(days: Mapping[str, SignalDay]) -> list[BaselineTask]:
    if importlib.util.find_spec("obspy") is None:
        return []
    return [BaselineTask(name, day) for body, day in days.items() for name in baseline_names(body)]


def _measure_rounds(tasks: Sequence[ModelTask | BaselineTask], n_rounds: int, progress: Progress) -> None:
    for i in range(n_rounds):
        for j, task in enumerate(tasks):
            progress((i + j / len(tasks)) / n_rounds, f"round {i + 1}: {task.title}")
            task.measure()


def _notes(load_before: float, lacking: bool) -> tuple[str, ...]:
    notes = []
    if load_before > BUSY:
        notes.append(
            f"the machine was busy before anything was measured (load {load_before:.1f}): figures are too large"
        )
    if lacking:
        notes.append("obspy is not installed here: no baselines were measured")
    return tuple(notes)


@dataclass
class ModelTask:
    """One graph in one environment, and the output of its rounds."""

    graph: MeasuredGraph
    environment: PythonEnvironment
    day: SignalDay
    threads: Sequence[int]
    n_steps: int
    out: Path | None  # folder of the runs; None: steps alone are measured
    signal_s: float = 0.0  # length of the runs; known after the first round's steps
    steps: list[Any] = field(default_factory=list)
    days: list[Any] = field(default_factory=list)
    processes: list[Any] = field(default_factory=list)
    starts: list[Any] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Model, variant and runtime."""
        return f"{self.graph.title}, {self.environment.runtime}"

    def measure(self) -> None:
        """Run one round.

        Raises
        ------
        ModelError
            A process fails.
        """
        model, variant = self.graph.arguments
        threads = ",".join(map(str, self.threads))
        self.steps.append(self.environment.measure("step", model, variant, str(self.n_steps), threads))
        if self.out is None:
            return
        self.signal_s = self.signal_s or self.bearable_s()
        stop_ns = self.day.start_ns + round(self.signal_s * NS_PER_S)
        record = str(self.day.record)
        self.days.append(self.environment.measure("day", model, variant, record, str(stop_ns)))
        options = ["--model", model, "--variant", variant, "--out", str(self.out), "--force"]
        run = self.environment.command("edgequake.edge", "run", record, *options, "--stop", format_time(stop_ns))
        self.processes.append(measure_process(run))
        begun_s = time.monotonic()
        stamps = self.environment.measure("start", "run", str(self.day.first), *options)
        self.starts.append({name: at_s - begun_s for name, at_s in stamps.items()})

    def bearable_s(self) -> float:
        """Return how much of the day to run: as many whole hours as the graph processes in bearable time."""
        step = summarise_steps(self.steps, self.threads[0], self.n_steps, self.graph.manifest)
        day_s = step.us_per_signal_s["p50"].value * self.day.signal_s / 1e6
        return self.day.signal_s * min(24, max(1, int(24 * LONGEST_GRAPH_S / day_s))) / 24

    def summarise(self) -> ModelLatency:
        """Return the figures of all rounds."""
        manifest = self.graph.manifest
        return ModelLatency(
            model=self.graph.named.identity,
            body=manifest.body,
            mode=manifest.network.mode,
            shipped=self.graph.shipped,
            runtime=self.environment.runtime,
            versions=self.environment.versions,
            steps=tuple(summarise_steps(self.steps, n, self.n_steps, manifest) for n in self.threads),
            day=summarise_day(self.days, self.signal_s) if self.days else None,
            process=summarise_processes(self.processes, self.signal_s) if self.processes else None,
            cold_start=summarise_starts(self.starts) if self.starts else None,
            operators=NO_PROFILE.format(runtime=self.environment.runtime),
        )


@dataclass
class BaselineTask:
    """A baseline on one day of signal, and the output of its rounds."""

    name: str
    day: SignalDay
    detections: list[Any] = field(default_factory=list)
    processes: list[Any] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Baseline and body."""
        return f"{self.name}, {self.day.body}"

    def measure(self) -> None:
        """Run one round.

        Raises
        ------
        ModelError
            A process fails.
        """
        module = process_module("baseline")
        cost = measure_process([sys.executable, "-m", module, str(self.day.folder), self.day.body, self.name])
        self.detections.append(json.loads(cost["output"]))
        self.processes.append(cost)

    def summarise(self) -> BaselineLatency:
        """Return the figures of all rounds."""
        us = [raw["detect_s"] * 1e6 / self.day.signal_s for raw in self.detections]
        per_kernel = (one / raw["kernel_us"] for one, raw in zip(us, self.detections, strict=True))
        return BaselineLatency(
            name=self.name,
            settings=self.detections[0]["settings"],
            body=self.day.body,
            signal_s=self.day.signal_s,
            detection_us_per_signal_s=Measured.of(us),
            detection_per_kernel=Measured.of(per_kernel),
            n_onsets=self.detections[0]["n_onsets"],
            process=summarise_processes(self.processes, self.day.signal_s),
        )


def summarise_steps(raws: list[Any], n_threads: int, n_steps: int, manifest: Manifest) -> StepLatency:
    """Return the figures of several rounds of `step_process`."""
    network, front_end = manifest.network, manifest.front_end
    samples_per_row = front_end.hop_samples / front_end.rows_per_block
    us_per_step = {name: Measured.of(raw["steps"][str(n_threads)][name] for raw in raws) for name in PERCENTILES}
    return StepLatency(
        n_threads=n_threads,
        n_steps=n_steps,
        signal_s=network.rows_per_step * samples_per_row / manifest.sampling_rate_hz,
        us_per_step=us_per_step,
        us_per_signal_s={name: us.scaled(steps_per_s(manifest)) for name, us in us_per_step.items()},
        p50_per_kernel=Measured.of(raw["steps"][str(n_threads)]["p50"] / raw["kernel_us"] for raw in raws),
    )


def summarise_day(raws: list[Any], signal_s: float) -> DayLatency:
    """Return the figures of several rounds of `day_process`."""
    to_us = 1e6 / signal_s
    detection_s = [sum(raw["parts_s"][part] for part in DETECTION) for raw in raws]
    return DayLatency(
        signal_s=signal_s,
        us_per_signal_s={
            part: Measured.of(raw["parts_s"][part] * to_us for raw in raws) for part in raws[0]["parts_s"]
        },
        detection_us_per_signal_s=Measured.of(seconds * to_us for seconds in detection_s),
        detection_per_kernel=Measured.of(
            seconds * to_us / raw["kernel_us"] for seconds, raw in zip(detection_s, raws, strict=True)
        ),
        graph_per_front_end=Measured.of(raw["parts_s"]["graph"] / raw["parts_s"]["front_end"] for raw in raws),
        n_events=raws[-1]["n_events"],
        kept_bytes=raws[-1]["kept_bytes"],
    )


def summarise_processes(raws: list[Any], signal_s: float) -> ProcessCost:
    """Return the figures of several rounds of `process_cost`."""
    return ProcessCost(
        signal_s, *(Measured.of(raw[name] for raw in raws) for name in ("wall_s", "cpu_s", "peak_rss_bytes"))
    )


def summarise_starts(raws: list[Any]) -> ColdStart:
    """Return the figures of several rounds of `start_process`, each with the times since the start of the process."""
    return ColdStart(*(Measured.of(raw[name] for raw in raws) for name in ("imported", "loaded", "processed")))

"""What `bench latency` measures, one thing at a time: a graph in an environment, or a baseline."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgequake.benchmarks.cost import latency_figures as figures
from edgequake.benchmarks.cost.environments import Device, output_of
from edgequake.benchmarks.cost.latency import BaselineLatency, ModelLatency
from edgequake.benchmarks.cost.workload import SignalDay, SignalDays, Subject
from edgequake.edge.formats.waveforms import NS_PER_S, format_time

LONGEST_GRAPH_S = 8.0  # of a run: where a graph needs more for a day, hours are left out
WINDOWED_RUN_S = 3 * 3600.0  # where a whole day says no more: of memory, and of processor time per second
PROCESS = "edgequake.benchmarks.cost.{}_process"
NO_PROFILE = (
    "the interpreter of {runtime} offers no profiler in Python: no times by operator; `edgequake inspect` counts them"
)


@dataclass
class ModelTask:
    """One graph in one environment, and what its rounds brought."""

    subject: Subject
    device: Device
    day: SignalDay
    threads: Sequence[int]
    n_steps: int
    out: Path | None  # where runs write; None: steps alone are wanted
    signal_s: float = 0.0  # of the day that is run; known after the first round's steps
    steps: list[Any] = field(default_factory=list)
    days: list[Any] = field(default_factory=list)
    processes: list[Any] = field(default_factory=list)
    starts: list[Any] = field(default_factory=list)

    @property
    def title(self) -> str:
        """What is being measured."""
        return f"{self.subject.title}, {self.device.runtime}"

    def measure(self) -> None:
        """Run one round.

        Raises
        ------
        ModelError
            A process fails.
        """
        model, variant = self.subject.arguments
        threads = ",".join(map(str, self.threads))
        self.steps.append(self.device.measure(PROCESS.format("step"), model, variant, str(self.n_steps), threads))
        if self.out is None:
            return
        self.signal_s = self.signal_s or self._bearable_s()
        stop_ns = self.day.start_ns + round(self.signal_s * NS_PER_S)
        record, options = (
            str(self.day.record),
            ["--model", model, "--variant", variant, "--out", str(self.out), "--force"],
        )
        self.days.append(self.device.measure(PROCESS.format("day"), model, variant, record, str(stop_ns)))
        command = self.device.command("edgequake.edge", "run", record, *options, "--stop", format_time(stop_ns))
        self.processes.append(measure_process(command))
        begun_s = time.monotonic()
        stamps = self.device.measure(PROCESS.format("start"), "run", str(self.day.first), *options)
        self.starts.append({name: at_s - begun_s for name, at_s in stamps.items()})

    def summarise(self) -> ModelLatency:
        """Return the figures of all rounds."""
        manifest = self.subject.manifest
        return ModelLatency(
            model=self.subject.named.identity,
            body=manifest.body,
            mode=manifest.network.mode,
            shipped=self.subject.shipped,
            runtime=self.device.runtime,
            versions=self.device.versions,
            steps=tuple(figures.summarise_steps(self.steps, n, self.n_steps, manifest) for n in self.threads),
            day=figures.summarise_day(self.days, self.signal_s) if self.days else None,
            process=figures.summarise_processes(self.processes, self.signal_s) if self.processes else None,
            cold_start=figures.summarise_starts(self.starts) if self.starts else None,
            operators=NO_PROFILE.format(runtime=self.device.runtime),
        )

    def _bearable_s(self) -> float:
        """Return how much of the day to run: whole hours, as many as a slow graph does in bearable time."""
        step = figures.summarise_steps(self.steps, self.threads[0], self.n_steps, self.subject.manifest)
        day_s = step.us_per_signal_s["p50"].value * self.day.signal_s / 1e6
        return self.day.signal_s * min(24, max(1, int(24 * LONGEST_GRAPH_S / day_s))) / 24


@dataclass
class BaselineTask:
    """A baseline on one day of signal, and what its rounds brought."""

    name: str
    day: SignalDay
    detections: list[Any] = field(default_factory=list)
    processes: list[Any] = field(default_factory=list)

    @property
    def title(self) -> str:
        """What is being measured."""
        return f"{self.name}, {self.day.body}"

    def measure(self) -> None:
        """Run one round.

        Raises
        ------
        ModelError
            A process fails.
        """
        command = [sys.executable, "-m", PROCESS.format("baseline"), str(self.day.folder), self.day.body, self.name]
        cost = measure_process(command)
        self.detections.append(json.loads(cost["output"]))
        self.processes.append(cost)

    def summarise(self) -> BaselineLatency:
        """Return the figures of all rounds."""
        process = figures.summarise_processes(self.processes, self.day.signal_s)
        return figures.summarise_baseline(self.name, self.day.body, self.day.signal_s, self.detections, process)


def processor_time(subject: Subject) -> float:
    """Return the processor time in s that the runner takes here for a second of signal, its start not counted.

    Raises
    ------
    ModelError
        A process fails.
    """
    model, variant = subject.arguments
    with tempfile.TemporaryDirectory(prefix="edgequake-bench-") as name:
        day = SignalDays(Path(name)).of(subject.manifest)
        signal_s = WINDOWED_RUN_S if subject.manifest.network.mode == "windowed" else day.signal_s
        stop = format_time(day.start_ns + round(signal_s * NS_PER_S))
        options = ["--model", model, "--variant", variant, "--out", f"{name}/out", "--force", "--stop", stop]
        start, whole = (
            measure_process([sys.executable, "-m", "edgequake.edge", "run", str(record), *options])["cpu_s"]
            for record in (day.first, day.record)
        )
    return float(max(whole - start, 0.0) / signal_s)


def measure_process(command: Sequence[str]) -> Any:
    """Run a command and return its wall and CPU time in s, the most memory it held, and what it printed.

    Raises
    ------
    ModelError
        It fails; the message ends with what it said last.
    """
    return json.loads(output_of([sys.executable, "-m", "edgequake.benchmarks.cost.process_cost", *command]))

"""The measuring of `bench latency`: round after round through every model, environment and baseline."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edgequake.benchmarks.cost.baseline_process import baseline_names
from edgequake.benchmarks.cost.environments import find_devices
from edgequake.benchmarks.cost.latency import LatencyReport
from edgequake.benchmarks.cost.latency_tasks import BaselineTask, ModelTask
from edgequake.benchmarks.cost.measured import Measured
from edgequake.benchmarks.cost.workload import SignalDay, SignalDays, find_subjects
from edgequake.results.provenance import provenance

Progress = Callable[[float, str], None]  # takes the share done, 0..1, and what is being done

N_STEPS = 2000
N_ROUNDS = 5
THREADS = (1, 2)
BUSY = 0.5  # more processes than this that want to run, before anything is measured: figures will be too large


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
    progress: Progress | None = None,
) -> LatencyReport:
    """Measure what models cost in time, and the baselines of their bodies on the same signal.

    Parameters
    ----------
    models, variant, also : as `edgequake.benchmarks.cost.workload.find_subjects`.
    pythons : interpreters of the environments to measure in; by default this one. Each installed runtime in turn.
    whole_days : also run days of signal as processes, time their parts and their start.
    baselines : of those days, too.

    Raises
    ------
    ConfigError, ManifestError, ModelError
        An environment or a model that cannot be used, or a process that fails.
    """
    load_before = os.getloadavg()[0]
    devices = find_devices(pythons)
    subjects = find_subjects(models, variant, also)
    with tempfile.TemporaryDirectory(prefix="edgequake-bench-") as name:
        folder = Path(name)
        out = folder / "out" if whole_days else None
        days = SignalDays(folder)
        tasks = [
            ModelTask(subject, device, days.of(subject.manifest), threads, n_steps, out)
            for subject in subjects
            for device in devices
        ]
        of_baselines = _baseline_tasks(days.by_body()) if baselines and whole_days else []
        _go_round([*tasks, *of_baselines], n_rounds, progress)
    return LatencyReport(
        provenance=provenance(),
        load_before=load_before,
        n_rounds=n_rounds,
        kernel_us=Measured.of(raw["kernel_us"] for task in tasks for raw in task.steps),
        models=tuple(task.summarise() for task in tasks),
        baselines=tuple(task.summarise() for task in of_baselines),
        notes=_notes(load_before, lacking=baselines and whole_days and not of_baselines),
    )


def _baseline_tasks(days: Mapping[str, SignalDay]) -> list[BaselineTask]:
    if importlib.util.find_spec("obspy") is None:
        return []
    return [BaselineTask(name, day) for body, day in days.items() for name in baseline_names(body)]


def _go_round(tasks: Sequence[ModelTask | BaselineTask], n_rounds: int, progress: Progress | None) -> None:
    n_done = 0
    for i in range(n_rounds):
        for task in tasks:
            if progress is not None:
                progress(n_done / (n_rounds * len(tasks)), f"round {i + 1}: {task.title}")
            task.measure()
            n_done += 1


def _notes(load_before: float, lacking: bool) -> tuple[str, ...]:
    notes = []
    if load_before > BUSY:
        notes.append(
            f"the machine was busy before anything was measured (load {load_before:.1f}): figures are too large"
        )
    if lacking:
        notes.append("obspy is not installed here: no baselines were measured")
    return tuple(notes)

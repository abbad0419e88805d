"""A first measurement of what detection costs: one step of the graph, and one synthesised day as a whole process."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.benchmarks.provenance import ModelIdentity, Provenance, identify, provenance
from edgequake.benchmarks.tables import align
from edgequake.edge.errors import ModelError
from edgequake.edge.manifest import Manifest, load_manifest, read_graph

Progress = Callable[[float, str], None]

N_STEPS = 5000
N_WARMUP_STEPS = 500  # caches, the processor's clock and the runtime's lazy set-up settle well before


@dataclass(frozen=True)
class StepLatency:
    """Wall time of single steps of the graph, its states included, in microseconds."""

    n_steps: int
    p50_us: float
    p95_us: float
    p99_us: float
    max_us: float
    mean_us: float
    signal_s: float  # of one channel's signal that a step consumes
    us_per_signal_s: float  # mean step time for one second of signal; windowed graphs step every window anew


@dataclass(frozen=True)
class DayLatency:
    """A synthesised lunar day of three components as one process of `python -m edgequake.edge run`."""

    wall_s: float  # start of the interpreter and imports included
    cpu_s: float
    peak_rss_bytes: int
    n_runs: int  # the figures are those of the fastest run


@dataclass(frozen=True)
class LatencyReport:
    """What a model costs on this machine."""

    model: ModelIdentity
    provenance: Provenance
    runtime: str
    step: StepLatency
    day: DayLatency | None  # None: not asked for, or a model of another body than the Moon

    def table(self) -> str:
        """Return the report as text for people."""
        step, day, where = self.step, self.day, self.provenance
        rows = [
            ["", "p50", "p95", "p99", "max", "per second of signal"],
            ["step of the graph", *(f"{us:.1f} us" for us in (step.p50_us, step.p95_us, step.p99_us, step.max_us)),
             f"{step.us_per_signal_s:.2f} us"],
        ]  # fmt: skip
        lines = [
            f"{self.model.name}, {self.model.variant}, {self.model.size_bytes} bytes, sha256 {self.model.sha256[:12]}; "
            f"{where.processor}, one thread; Python {where.python}, numpy {where.versions.get('numpy')}, "
            f"{self.runtime}",
            align(rows)
            + f"\n({step.n_steps} steps after {N_WARMUP_STEPS} to warm up, {step.signal_s:g} s of signal each)",
        ]
        if day is not None:
            lines.append(
                f"a synthesised day, three channels, as one process: {day.wall_s:.2f} s, CPU {day.cpu_s:.2f} s, peak "
                f"{day.peak_rss_bytes / 1e6:.0f} MB resident (fastest of {day.n_runs})"
            )
        return "\n\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the report as values that JSON can hold."""
        return {"benchmark": "latency", **dataclasses.asdict(self)}


def bench_latency(
    model: str,
    variant: str | None = None,
    *,
    n_steps: int = N_STEPS,
    n_day_runs: int = 3,
    progress: Progress | None = None,
) -> LatencyReport:
    """Measure a model's steps and, for the Moon, a synthesised day as a whole process.

    Parameters
    ----------
    model : shipped name or path of a manifest.
    n_day_runs : processes to run over the day; 0 leaves the day out.
    progress : called with the share done and what is being done.

    Raises
    ------
    ManifestError, ModelError
        A model that cannot be used, or whose run fails.
    """
    from edgequake.edge.network import StepNetwork

    identity, _ = identify(model, variant)
    manifest, folder = load_manifest(model)
    described, graph = read_graph(manifest, folder, variant)
    network = StepNetwork(manifest, graph, described)
    n_parts = 1 + n_day_runs
    _tell(progress, 0.0, "steps of the graph")
    step = summarise_steps(time_steps(network.step, manifest, n_steps), manifest)
    day = None
    if manifest.body == "moon" and n_day_runs > 0:
        day = _day(model, variant, n_day_runs, lambda done: _tell(progress, (1 + done) / n_parts, "a day as a process"))
    _tell(progress, 1.0, "done")
    return LatencyReport(identity, provenance(), network.runtime, step, day)


def time_steps(
    step: Callable[[npt.NDArray[np.float32]], object], manifest: Manifest, n_steps: int
) -> npt.NDArray[np.float64]:
    """Return the wall time in s of each of `n_steps` steps, shape (n_steps,), after a warm-up.

    Rows are seeded noise of the size that features have; a quantized graph's time does not depend on its values.
    """
    rng = np.random.default_rng(0)
    shape = (n_steps + N_WARMUP_STEPS, manifest.network.rows_per_step, manifest.network.n_features)
    rows = rng.standard_normal(shape, np.float32)
    times = np.empty(len(rows), np.float64)
    for i, row in enumerate(rows):
        begun = time.perf_counter()
        step(row)
        times[i] = time.perf_counter() - begun
    return times[N_WARMUP_STEPS:]


def summarise_steps(times_s: npt.NDArray[np.float64], manifest: Manifest) -> StepLatency:
    """Return the percentiles of step times, and their cost by the second of signal."""
    p50, p95, p99 = np.percentile(times_s, [50, 95, 99]) * 1e6
    network, front_end = manifest.network, manifest.front_end
    samples_per_row = front_end.hop_samples / front_end.rows_per_block
    signal_s = network.rows_per_step * samples_per_row / manifest.sampling_rate_hz
    mean_us = float(times_s.mean()) * 1e6
    # Overlapping windows feed each row to the graph this many times.
    overlap = network.window_rows / network.window_hop_rows if network.window_rows and network.window_hop_rows else 1.0
    return StepLatency(
        n_steps=len(times_s),
        p50_us=float(p50),
        p95_us=float(p95),
        p99_us=float(p99),
        max_us=float(times_s.max()) * 1e6,
        mean_us=mean_us,
        signal_s=signal_s,
        us_per_signal_s=mean_us * overlap / signal_s,
    )


def _day(model: str, variant: str | None, n_runs: int, tell: Callable[[int], None]) -> DayLatency:
    from edgequake.synthetic import write_day

    with tempfile.TemporaryDirectory(prefix="edgequake-bench-") as folder:
        day = write_day(Path(folder) / "day", seed=1)
        runs = []
        for i in range(n_runs):
            tell(i)
            command = [sys.executable, "-m", "edgequake.edge", "run", "--model", model, str(day)]
            command += ["--out", str(Path(folder) / f"run-{i}"), *(["--variant", variant] if variant else [])]
            runs.append(_measure(command))
    return dataclasses.replace(min(runs, key=lambda run: run.wall_s), n_runs=n_runs)


def _measure(command: list[str]) -> DayLatency:
    """Run a command and return its wall and CPU time and the most memory it held."""
    measured = [sys.executable, "-m", "edgequake.benchmarks.process_cost", *command]
    done = subprocess.run(measured, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = " / ".join(done.stderr.strip().splitlines()[-3:])
        raise ModelError(f"'{' '.join(command[1:5])} ...' gave exit code {done.returncode}: {said}")
    return DayLatency(**json.loads(done.stdout), n_runs=1)


def _tell(progress: Progress | None, share: float, words: str) -> None:
    if progress is not None:
        progress(share, words)

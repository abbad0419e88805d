"""What detection costs in time: steps of the graph, the parts of a day's run, whole processes, and their start.

Every figure is the median of several rounds, with the range of all of them. A round goes through all models,
environments and baselines in turn, so that a machine that slows down for a while slows all of them, and shows in the
ranges. Nothing is measured in this process: see the modules `*_process`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from edgequake.benchmarks.cost.measured import Measured
from edgequake.results.provenance import ModelIdentity, Provenance

PERCENTILES = ("p50", "p95", "p99", "max", "mean")
DETECTION = ("front_end", "graph", "trigger")  # the parts of a run that a baseline's detection is compared with


@dataclass(frozen=True)
class StepLatency:
    """Wall time of single steps of the graph, its states included."""

    n_threads: int
    n_steps: int  # in each round, after the warm-up
    signal_s: float  # of a channel's signal that a step consumes
    us_per_step: dict[str, Measured]  # by name of percentile
    us_per_signal_s: dict[str, Measured]  # the same for a second of signal; overlapping windows step rows again
    p50_per_kernel: Measured  # over the time of `edgequake.benchmarks.cost.kernel`, round by round


@dataclass(frozen=True)
class DayLatency:
    """Where the time of a run over made-up signal goes, after the imports."""

    signal_s: float
    us_per_signal_s: dict[str, Measured]  # by part, `edgequake.benchmarks.cost.day_process.PARTS`
    detection_us_per_signal_s: Measured  # front end, graph and trigger
    detection_per_kernel: Measured
    graph_per_front_end: Measured
    n_events: int
    kept_bytes: int


@dataclass(frozen=True)
class ProcessCost:
    """A whole process over made-up signal, the start of the interpreter and the imports included."""

    signal_s: float
    wall_s: Measured
    cpu_s: Measured
    peak_rss_bytes: Measured


@dataclass(frozen=True)
class ColdStart:
    """Seconds from the start of the process until something was done."""

    imported_s: Measured
    loaded_s: Measured  # the model, its graph checked
    processed_s: Measured  # the first samples of three channels


@dataclass(frozen=True)
class ModelLatency:
    """One graph in one environment."""

    model: ModelIdentity
    body: str
    mode: str  # of stepping: "continuous" or "windowed"
    shipped: bool
    runtime: str
    versions: dict[str, str]  # of the environment
    steps: tuple[StepLatency, ...]  # by number of threads
    day: DayLatency | None  # None: not asked for
    process: ProcessCost | None
    cold_start: ColdStart | None
    operators: str  # times by operator, or why there are none


@dataclass(frozen=True)
class BaselineLatency:
    """A baseline on the same signal, in this environment."""

    name: str
    settings: str
    body: str
    signal_s: float
    detection_us_per_signal_s: Measured  # reading included, imports not
    detection_per_kernel: Measured
    n_onsets: int
    process: ProcessCost


@dataclass(frozen=True)
class LatencyReport:
    """What models and baselines cost on this machine."""

    provenance: Provenance
    load_before: float  # processes that wanted to run, mean of the minute before
    n_rounds: int
    kernel_us: Measured  # the fixed work that figures of different machines are compared by
    models: tuple[ModelLatency, ...]
    baselines: tuple[BaselineLatency, ...]
    notes: tuple[str, ...]

    def table(self) -> str:
        """Return the report as text for people."""
        from edgequake.benchmarks.latency_tables import latency_text

        return latency_text(self)

    def to_json(self) -> dict[str, Any]:
        """Return the report as values that JSON can hold."""
        return {"benchmark": "latency", **dataclasses.asdict(self)}

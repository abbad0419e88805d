"""What detection costs in time, size and energy: the reports of `bench latency`, `footprint` and `energy`."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from edgequake.results.provenance import ModelIdentity, Provenance, Report

PERCENTILES = ("p50", "p95", "p99", "max", "mean")


@dataclass(frozen=True)
class Measured:
    """The median of several measurements, and their range."""

    value: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Measured:
        """Summarise measurements of one quantity."""
        found = list(values)
        return cls(statistics.median(found), min(found), max(found), len(found))

    def scaled(self, factor: float) -> Measured:
        """Return the same in another unit."""
        return Measured(self.value * factor, self.low * factor, self.high * factor, self.n)


@dataclass(frozen=True)
class StepLatency:
    """Wall time of single steps of the graph, its states included."""

    n_threads: int
    n_steps: int  # in each round, after the warm-up
    signal_s: float  # of one channel, consumed by a step
    us_per_step: dict[str, Measured]  # by name of percentile
    us_per_signal_s: dict[str, Measured]  # the same per second of signal; overlapping windows step rows again
    p50_per_kernel: Measured  # relative to the time of `edgequake.benchmarks.cost.kernel`, round by round


@dataclass(frozen=True)
class DayLatency:
    """How the time of a run over synthetic signal is spent, imports excluded."""

    signal_s: float
    us_per_signal_s: dict[str, Measured]  # by part, `edgequake.benchmarks.cost.day_process.PARTS`
    detection_us_per_signal_s: Measured  # front end, graph and trigger
    detection_per_kernel: Measured
    graph_per_front_end: Measured
    n_events: int
    kept_bytes: int


@dataclass(frozen=True)
class ProcessCost:
    """A whole process over synthetic signal, the start of the interpreter and the imports included."""

    signal_s: float
    wall_s: Measured
    cpu_s: Measured
    peak_rss_bytes: Measured


@dataclass(frozen=True)
class ColdStart:
    """Seconds from the start of the process until a stage was reached."""

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

    @property
    def title(self) -> str:
        """Name, variant, and whether it is stepped window by window."""
        return f"{self.model.title}{', by windows' if self.mode == 'windowed' else ''}"

    @property
    def stack(self) -> str:
        """Runtime, Python and numpy."""
        versions = (f"{name} {self.versions[name]}" for name in ("python", "numpy") if name in self.versions)
        return ", ".join([self.runtime, *versions])


@dataclass(frozen=True)
class BaselineLatency:
    """A baseline on the same signal, in this environment."""

    name: str
    settings: str
    body: str
    signal_s: float
    detection_us_per_signal_s: Measured  # reading included, imports excluded
    detection_per_kernel: Measured
    n_onsets: int
    process: ProcessCost


@dataclass(frozen=True)
class LatencyReport(Report):
    """What models and baselines cost on this machine."""

    kind = "latency"

    provenance: Provenance
    load_before: float  # processes that wanted to run, mean of the minute before
    n_rounds: int
    kernel_us: Measured  # the fixed work by which figures of different machines are compared
    models: tuple[ModelLatency, ...]
    baselines: tuple[BaselineLatency, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ModelFootprint:
    """One graph in one environment; sizes in bytes."""

    model: ModelIdentity  # its size is that of the graph
    body: str
    shipped: bool
    runtime: str
    versions: dict[str, str]
    manifest_bytes: int
    state_bytes: int  # carried from step to step
    arena_bytes: int
    arena_method: str
    planned_arena_bytes: int | None  # as `edgequake inspect` packs the tensors; None: not asked for
    resident_bytes: dict[str, int]  # of a process, by stage: bare interpreter, everything imported, model loaded
    peak_rss_bytes: Measured  # of the device's process over `signal_s` of signal
    signal_s: float


@dataclass(frozen=True)
class EnvironmentFootprint:
    """What is installed, by distribution, in bytes on disk."""

    runtime: str  # "none: obspy" in the environment of the baselines
    versions: dict[str, str]
    imported_bytes: dict[str, int]  # distributions that the device's process imports from
    beside_bytes: dict[str, int]  # what else is installed there, without pip and setuptools

    @property
    def total_bytes(self) -> int:
        """Size of the distributions that are used."""
        return sum(self.imported_bytes.values())


@dataclass(frozen=True)
class FootprintReport(Report):
    """The size and memory of models and environments."""

    kind = "footprint"

    provenance: Provenance
    models: tuple[ModelFootprint, ...]
    environments: tuple[EnvironmentFootprint, ...]
    baselines: EnvironmentFootprint | None  # of those that use obspy; None where it is not installed

    @property
    def all_environments(self) -> tuple[EnvironmentFootprint, ...]:
        """Environments of the models, then that of the baselines."""
        return (*self.environments, *((self.baselines,) if self.baselines else ()))


@dataclass(frozen=True)
class Constant:
    """A number and its source."""

    value: float
    source: str
    read: bool = False  # False: recalled or guessed, not looked up


@dataclass(frozen=True)
class DeviceProfile:
    """What the work of a processor costs; powers in watts."""

    name: str
    clock_hz: Constant
    awake_w: Constant  # while it computes, above what it takes asleep or idle
    asleep_w: Constant  # between blocks, all day long
    cycles_per_int8_mac: Constant
    cycles_per_float_mac: Constant
    cycles_per_elementwise: Constant  # requantized, or looked up in a table
    cycles_per_flop: Constant  # of the front end, in single precision, loads and stores included
    pj_per_byte: Constant  # weights, state and samples moved from memory; 0 where the power awake includes it
    # How many times as long the runner in Python takes as on the x86 profile; None: no CPython there.
    python_slowdown: Constant | None


@dataclass(frozen=True)
class Work:
    """The arithmetic of detection for a second of signal of three channels."""

    macs_per_s: float
    integer_macs: bool
    elementwise_per_s: float
    front_end_operations_per_s: float
    bytes_per_s: float


@dataclass(frozen=True)
class Estimate:
    """The energy that a device takes for this work, estimated."""

    device: str
    cycles_per_s: float  # for a second of signal
    front_end_share: float  # of the cycles
    duty_cycle: float  # share of the time that the processor is awake; above 1: it does not keep up
    awake_j_per_day: float  # computing
    memory_j_per_day: float  # bytes moved
    asleep_j_per_day: float
    mean_mw: float  # of all
    python_j_per_day: float | None  # computing, as the Python process; None: no CPython there, or not measured


@dataclass(frozen=True)
class Consumer:
    """A detector and its estimate on each device."""

    name: str
    model: ModelIdentity | None  # None: a baseline
    body: str
    work: Work
    estimates: tuple[Estimate, ...]

    @property
    def title(self) -> str:
        """Name and body."""
        return f"{self.name}, {self.body}"


@dataclass(frozen=True)
class EnergyReport(Report):
    """Estimates for all detectors, and the constants they are based on."""

    kind = "energy"

    provenance: Provenance
    label: str
    consumers: tuple[Consumer, ...]
    profiles: tuple[DeviceProfile, ...]

"""How much arithmetic detection takes for a second of signal, counted from the manifest.

An addition, a multiplication or a comparison of real numbers is one operation. What a network does is not counted here:
`edgequake inspect` counts that in the graph.

An estimate of the energy that detection takes, from counted arithmetic: nothing here was measured with a meter.

For each device: cycles = multiply-accumulates, elementwise values and front-end operations, each times its constant;
time awake = cycles / clock; energy = time awake * power awake + bytes moved * energy per byte + power asleep all day.
That is for detection written in C. The runner is in Python, where a processor spends most of its time on the
interpreter: for devices that can run it, a second figure takes the processor time that its process was measured to
take here, times the device's slowdown.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edgequake.benchmarks.cost.device_profiles import PROFILES, DeviceProfile
from edgequake.benchmarks.cost.workload import Subject, find_subjects, steps_per_s
from edgequake.edge.manifest.front_end_config import FrontEndConfig
from edgequake.edge.manifest.manifest import Manifest
from edgequake.results.provenance import ModelIdentity, Provenance, provenance

N_CHANNELS = 3  # a seismometer's
LOGARITHM = 20.0  # a polynomial of single precision
GAPS = 4.0  # a sample: compared with its neighbour, the fill values and the clock
DESPIKE = 45.0  # a sample: two medians of five (seven compare-and-swaps each), five deviations, one comparison
BACKGROUND = 8.0  # a value: difference, comparison, the share above, the step
CLIP_AND_ROUND = 6.0  # a value
SAMPLE_BYTES = 4


@dataclass(frozen=True)
class Operations:
    """Arithmetic for a second of signal."""

    operations_per_s: float
    bytes_per_s: float  # moved, if nothing stays in registers: every sample and value once in, once out


def front_end_operations(manifest: Manifest, n_channels: int = N_CHANNELS) -> Operations:
    """Count the front end of all channels at the model's own sampling rate, as `edge` computes it."""
    config, rate_hz = manifest.front_end, manifest.sampling_rate_hz
    blocks_per_s = rate_hz / config.hop_samples
    of_sample = GAPS + (DESPIKE if config.despike_threshold > 0 else 0.0)
    of_block = _block_operations(config)
    mean = (config.n_features - 1) * config.rows_per_block * (1 + 1 / n_channels)  # over the channels
    window_bytes = SAMPLE_BYTES * (2 * config.window_samples + config.n_features * config.rows_per_block)
    return Operations(
        n_channels * (rate_hz * of_sample + blocks_per_s * (of_block + mean)),
        n_channels * (rate_hz * 2 * SAMPLE_BYTES + blocks_per_s * window_bytes),
    )


def sta_lta_operations(rate_hz: float, band_passed: bool, despiked: bool, n_channels: int = N_CHANNELS) -> Operations:
    """Count a classic STA/LTA with running sums, as a lander would write it: no array is kept."""
    band_pass = 4 * 9.0 if band_passed else 0.0  # four second-order sections
    of_sample = GAPS + (DESPIKE if despiked else 0.0) + band_pass + 1 + 4 + 1 + 2  # square, two sums, ratio, mean
    return Operations(n_channels * rate_hz * of_sample, n_channels * rate_hz * 5 * SAMPLE_BYTES)


def _block_operations(config: FrontEndConfig) -> float:
    n, n_values = config.window_samples, config.n_features - 1
    of_value = LOGARITHM + 2 + BACKGROUND + CLIP_AND_ROUND
    if config.kind == "spectrogram":  # mean, slope and line taken off, tapered; spectrum; bands
        return 9 * n + 2.5 * n * math.log2(n) + 2 * n + n_values * of_value
    if config.kind == "scalogram":  # one spectrum there, one back for each wavelet; the newest outputs squared
        transform = 5 * n * math.log2(n)
        return 2 * n + transform + n_values * (2 * n + transform + 4 * config.hop_samples + of_value)
    return config.hop_samples * (BACKGROUND + CLIP_AND_ROUND + 4)  # waveform: mean and scale, one value a sample


DAY_S = 86_400.0
LABEL = "AN ESTIMATE, not a measurement: counted arithmetic times each device's constants"


@dataclass(frozen=True)
class GraphWork:
    """What one step of a graph does."""

    macs: int
    elementwise: int  # values made by operators that are no matrix products
    moved_bytes: int  # weights, states and intermediate values


@dataclass(frozen=True)
class Work:
    """What detection does for a second of signal of three channels."""

    macs_per_s: float
    integer_macs: bool
    elementwise_per_s: float
    front_end_operations_per_s: float
    bytes_per_s: float


@dataclass(frozen=True)
class Estimate:
    """What a device takes for it, estimated."""

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
    """A detector and what each device takes for it."""

    name: str
    model: ModelIdentity | None  # None: a baseline
    body: str
    work: Work
    estimates: tuple[Estimate, ...]


@dataclass(frozen=True)
class EnergyReport:
    """Estimates for all detectors, and the constants that they rest on."""

    provenance: Provenance
    label: str
    consumers: tuple[Consumer, ...]
    profiles: tuple[DeviceProfile, ...]

    def table(self) -> str:
        """Return the report as text for people."""
        from edgequake.benchmarks.energy_tables import energy_text

        return energy_text(self)

    def to_json(self) -> dict[str, Any]:
        """Return the report as values that JSON can hold."""
        return {"benchmark": "energy", **dataclasses.asdict(self)}


def bench_energy(
    graph_work: Callable[[str, str], GraphWork],
    models: Sequence[str] = (),
    variant: str | None = None,
    *,
    also: Sequence[str] = (),
    cpu_s_per_s: Callable[[Subject], float] | None = None,
) -> EnergyReport:
    """Estimate the energy that models and an STA/LTA of their bodies take.

    Parameters
    ----------
    graph_work : counts a step of a model's variant.
    models, variant, also : as `edgequake.benchmarks.cost.workload.find_subjects`.
    cpu_s_per_s : measures the processor time that the runner takes here for a second of signal.

    Raises
    ------
    ManifestError
        A model that cannot be used.
    """
    consumers: list[Consumer] = []
    rates_hz: dict[str, float] = {}
    for subject in find_subjects(models, variant, also):
        manifest = subject.manifest
        rates_hz.setdefault(manifest.body, manifest.sampling_rate_hz)
        work = detection_work(manifest, graph_work(*subject.arguments), is_integer(subject))
        python_s = cpu_s_per_s(subject) if cpu_s_per_s else None
        estimates = tuple(estimate(work, profile, python_s) for profile in PROFILES)
        consumers.append(Consumer(subject.title, subject.named.identity, manifest.body, work, estimates))
    for body, rate_hz in rates_hz.items():
        operations = sta_lta_operations(rate_hz, band_passed=True, despiked=True)
        work = Work(0.0, False, 0.0, operations.operations_per_s, operations.bytes_per_s)
        estimates = tuple(estimate(work, profile) for profile in PROFILES)
        consumers.append(Consumer("STA/LTA, band-passed and despiked", None, body, work, estimates))
    return EnergyReport(provenance(), LABEL, tuple(consumers), PROFILES)


def detection_work(manifest: Manifest, step: GraphWork, integer: bool) -> Work:
    """Return what a model does for a second of signal."""
    front_end: Operations = front_end_operations(manifest)
    per_s = steps_per_s(manifest)
    return Work(
        macs_per_s=step.macs * per_s,
        integer_macs=integer,
        elementwise_per_s=step.elementwise * per_s,
        front_end_operations_per_s=front_end.operations_per_s,
        bytes_per_s=step.moved_bytes * per_s + front_end.bytes_per_s,
    )


def estimate(work: Work, device: DeviceProfile, python_s_per_s: float | None = None) -> Estimate:
    """Return what a device takes; `python_s_per_s` is the processor time of the runner on the x86 profile."""
    of_mac = device.cycles_per_int8_mac if work.integer_macs else device.cycles_per_float_mac
    front_end = work.front_end_operations_per_s * device.cycles_per_flop.value
    cycles = work.macs_per_s * of_mac.value + work.elementwise_per_s * device.cycles_per_elementwise.value + front_end
    duty = cycles / device.clock_hz.value
    awake_w, memory_w = duty * device.awake_w.value, work.bytes_per_s * device.pj_per_byte.value * 1e-12
    python_w = None
    if python_s_per_s is not None and device.python_slowdown is not None:
        python_w = python_s_per_s * device.python_slowdown.value * device.awake_w.value
    return Estimate(
        device=device.name,
        cycles_per_s=cycles,
        front_end_share=front_end / cycles,
        duty_cycle=duty,
        awake_j_per_day=awake_w * DAY_S,
        memory_j_per_day=memory_w * DAY_S,
        asleep_j_per_day=device.asleep_w.value * DAY_S,
        mean_mw=(awake_w + memory_w + device.asleep_w.value) * 1e3,
        python_j_per_day=None if python_w is None else python_w * DAY_S,
    )


def is_integer(subject: Subject) -> bool:
    """Whether a graph multiplies integers: its rows then have a scale."""
    described = subject.manifest.variants[subject.named.identity.variant]
    return described.quantization[described.frame_tensor].scale > 0

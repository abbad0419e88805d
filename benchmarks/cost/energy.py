"""The benchmark `energy`: an estimate from counted arithmetic; nothing here was measured with a meter.

For each device: cycles = multiply-accumulates, elementwise values and front-end operations, each times its constant;
time awake = cycles / clock; energy = time awake * power awake + bytes moved * energy per byte + power asleep all day.
That is for detection written in C. The runner is in Python, where a processor spends most of its time on the
interpreter: for devices that can run it, a second figure takes the processor time that its process was measured to
take here, times the device's slowdown.

Every constant of a device comes with its source. A constant marked `read` was seen in the source, or in a stored copy
or a quotation of it; the others are from memory or are stated guesses, and need a data sheet before they are relied on.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgequake.benchmarks.cost.environments import measure_process
from edgequake.benchmarks.cost.workload import MeasuredGraph, SignalDays, find_graphs, steps_per_s
from edgequake.edge.formats.waveforms import NS_PER_S, format_time
from edgequake.edge.manifest.manifest import Manifest
from edgequake.edge.manifest.tables import FrontEndConfig
from edgequake.results.cost import Constant, Consumer, DeviceProfile, EnergyReport, Estimate, Work
from edgequake.results.provenance import provenance

DAY_S = 86_400.0
LABEL = "AN ESTIMATE, not a measurement: counted arithmetic times each device's constants"

N_CHANNELS = 3  # of a seismometer
# Operations of the front end: an addition, a multiplication or a comparison of real numbers counts as one.
LOGARITHM = 20.0  # a polynomial in single precision
GAPS = 4.0  # per sample: comparisons with its neighbour, the fill values and the clock
DESPIKE = 45.0  # per sample: two medians of five (seven compare-and-swaps each), five deviations, one comparison
BACKGROUND = 8.0  # per value: difference, comparison, the share above, the step
CLIP_AND_ROUND = 6.0  # per value
SAMPLE_BYTES = 4

_LIGHTEQ = "Zainab et al. (2023), LightEQ, IoTDI '23, doi:10.1145/3576842.3582387: 5.86 mJ in 932 ms at 64 MHz"
_NRF_SLEEP = "nRF52840, System ON with RAM kept: 1.5 uA at 3 V (embedwise.pages.dev/calculators/nrf52-power-profiler)"
_CMSIS_NN = "Lai et al. (2018), arXiv:1801.06601: 24.7 MOps of a CNN in 99.1 ms at 216 MHz"
_STM32F746 = "STM32F746 data sheet (DocID027590): about 100 mA at 216 MHz and 3.3 V, peripherals off"
_PI_IDLE = "cnx-software.com/2021/12/09/raspberry-pi-zero-2-w-power-consumption: 120 mA at 5 V, idle"
_PI_BUSY = (
    "andrejacobs.org/electronics/raspberry-pi-zero-2-w-temperature-and-power-consumption: four busy cores take 1.4 W"
)
_RAD750 = "petervis.com, RAD750 single board computer: 133 MHz, 10 W awake, 1.9 W asleep"
_EPYC = "AMD EPYC 7763: 64 cores, 2.45 GHz, 280 W (techgage.com/article/amd-epyc-milan-launch-performance)"
_HOROWITZ = "Horowitz (2014), ISSCC, doi:10.1109/ISSCC.2014.6757323: 1.3 to 2.6 nJ for 64 bits from DRAM"
_INSTRUCTIONS = "loads, multiply-add and loop counted by hand for this instruction set"
_GUESS = "a guess"

PROFILES = (
    DeviceProfile(
        "Cortex-M4 (nRF52840)",
        clock_hz=Constant(64e6, _LIGHTEQ, read=True),
        awake_w=Constant(5.86e-3 / 0.932, _LIGHTEQ, read=True),
        asleep_w=Constant(1.5e-6 * 3.0, _NRF_SLEEP, read=True),
        cycles_per_int8_mac=Constant(3.0, f"twice the Cortex-M7's, which issues two instructions a cycle; {_CMSIS_NN}"),
        cycles_per_float_mac=Constant(6.0, _INSTRUCTIONS),
        cycles_per_elementwise=Constant(20.0, _INSTRUCTIONS),
        cycles_per_flop=Constant(4.0, _INSTRUCTIONS),
        pj_per_byte=Constant(0.0, "flash and RAM are on the chip, and in its power"),
        python_slowdown=None,
    ),
    DeviceProfile(
        "Cortex-M7 (STM32F746)",
        clock_hz=Constant(216e6, _CMSIS_NN),
        awake_w=Constant(0.33, _STM32F746),
        asleep_w=Constant(0.5e-3, f"Stop mode; {_GUESS}"),
        cycles_per_int8_mac=Constant(99.1e-3 * 216e6 / (24.7e6 / 2), _CMSIS_NN),
        cycles_per_float_mac=Constant(3.0, _INSTRUCTIONS),
        cycles_per_elementwise=Constant(12.0, _INSTRUCTIONS),
        cycles_per_flop=Constant(2.5, _INSTRUCTIONS),
        pj_per_byte=Constant(0.0, "flash and RAM are on the chip, and in its power"),
        python_slowdown=None,
    ),
    DeviceProfile(
        "Cortex-A53 (Raspberry Pi Zero 2 W)",
        clock_hz=Constant(1e9, "Raspberry Pi Zero 2 W product brief: 1 GHz"),
        awake_w=Constant(1.4 / 4, _PI_BUSY, read=True),
        asleep_w=Constant(0.6, f"the whole board, which does not sleep; {_PI_IDLE}", read=True),
        cycles_per_int8_mac=Constant(0.5, "eight products an instruction, half of the time on loads"),
        cycles_per_float_mac=Constant(1.0, "four products an instruction, most of the time on loads"),
        cycles_per_elementwise=Constant(4.0, _INSTRUCTIONS),
        cycles_per_flop=Constant(1.0, _INSTRUCTIONS),
        pj_per_byte=Constant(1.95e3 / 8, f"as if nothing stayed in its caches; {_HOROWITZ}"),
        python_slowdown=Constant(8.0, _GUESS),
    ),
    DeviceProfile(
        "RAD750 board (PowerPC)",
        clock_hz=Constant(133e6, _RAD750, read=True),
        awake_w=Constant(10.0 - 1.9, _RAD750, read=True),
        asleep_w=Constant(1.9, _RAD750, read=True),
        cycles_per_int8_mac=Constant(4.0, f"no vector unit; {_INSTRUCTIONS}"),
        cycles_per_float_mac=Constant(3.0, _INSTRUCTIONS),
        cycles_per_elementwise=Constant(15.0, _INSTRUCTIONS),
        cycles_per_flop=Constant(3.0, _INSTRUCTIONS),
        pj_per_byte=Constant(0.0, "memory is on the board, and in its power"),
        python_slowdown=None,
    ),
    DeviceProfile(
        "x86 (one core of a server)",
        clock_hz=Constant(2.45e9, _EPYC, read=True),
        awake_w=Constant(280.0 / 64, f"a 64th of the processor's power; {_EPYC}", read=True),
        asleep_w=Constant(0.0, "others use the core meanwhile"),
        cycles_per_int8_mac=Constant(0.1, "32 products an instruction, most of the time on loads"),
        cycles_per_float_mac=Constant(0.25, "eight products an instruction, half of the time on loads"),
        cycles_per_elementwise=Constant(2.0, _INSTRUCTIONS),
        cycles_per_flop=Constant(0.5, _INSTRUCTIONS),
        pj_per_byte=Constant(1.95e3 / 8, f"as if nothing stayed in its caches; {_HOROWITZ}"),
        python_slowdown=Constant(1.0, "measured on this machine, whatever it is"),
    ),
)


@dataclass(frozen=True)
class GraphWork:
    """The work of one step of a graph."""

    macs: int
    elementwise: int  # values computed by operators other than matrix products
    moved_bytes: int  # weights, states and intermediate values


def bench_energy(
    graph_work: Callable[[str, str], GraphWork],
    models: Sequence[str] = (),
    variant: str | None = None,
    *,
    also: Sequence[str] = (),
    cpu_s_per_s: Callable[[MeasuredGraph], float] | None = None,
) -> EnergyReport:
    """Estimate the energy that models take, and an STA/LTA at the sampling rates of their bodies.

    Parameters
    ----------
    graph_work : returns the work of a step of a model's variant.
    models, variant, also : as `edgequake.benchmarks.cost.workload.find_graphs`.
    cpu_s_per_s : returns the processor time that the runner takes here for a second of signal.

    Raises
    ------
    ManifestError
        An unusable model.
    """
    consumers: list[Consumer] = []
    rates_hz: dict[str, float] = {}
    for graph in find_graphs(models, variant, also):
        manifest = graph.manifest
        rates_hz.setdefault(manifest.body, manifest.sampling_rate_hz)
        work = detection_work(manifest, graph_work(*graph.arguments), is_integer(graph))
        python_s = cpu_s_per_s(graph) if cpu_s_per_s else None
        estimates = tuple(estimate(work, profile, python_s) for profile in PROFILES)
        consumers.append(Consumer(graph.title, graph.named.identity, manifest.body, work, estimates))
    for body, rate_hz in rates_hz.items():
        operations = sta_lta_operations(rate_hz, band_passed=True, despiked=True)
        work = Work(0.0, False, 0.0, operations.operations_per_s, operations.bytes_per_s)
        estimates = tuple(estimate(work, profile) for profile in PROFILES)
        consumers.append(Consumer("STA/LTA, band-passed and despiked", None, body, work, estimates))
    return EnergyReport(provenance(), LABEL, tuple(consumers), PROFILES)


def detection_work(manifest: Manifest, step: GraphWork, integer: bool) -> Work:
    """Return the work of a model for a second of signal."""
    front_end = front_end_operations(manifest)
    per_s = steps_per_s(manifest)
    return Work(
        macs_per_s=step.macs * per_s,
        integer_macs=integer,
        elementwise_per_s=step.elementwise * per_s,
        front_end_operations_per_s=front_end.operations_per_s,
        bytes_per_s=step.moved_bytes * per_s + front_end.bytes_per_s,
    )


def estimate(work: Work, device: DeviceProfile, python_s_per_s: float | None = None) -> Estimate:
    """Return a device's estimate; `python_s_per_s` is the processor time of the runner on the x86 profile."""
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


def is_integer(graph: MeasuredGraph) -> bool:
    """Return whether a graph multiplies integers: its input rows then have a scale."""
    described = graph.manifest.variants[graph.named.identity.variant]
    return described.quantization[described.frame_tensor].scale > 0


@dataclass(frozen=True)
class Operations:
    """Arithmetic for a second of signal, networks excluded: `edgequake inspect` counts these in the graph."""

    operations_per_s: float
    bytes_per_s: float  # moved, if nothing stays in registers: every sample and value is read once and written once


def front_end_operations(manifest: Manifest, n_channels: int = N_CHANNELS) -> Operations:
    """Count the front end of all channels at the model's own sampling rate, as `edgequake.edge` computes it."""
    config, rate_hz = manifest.front_end, manifest.sampling_rate_hz
    blocks_per_s = rate_hz / config.hop_samples
    of_sample = GAPS + (DESPIKE if config.despike_threshold > 0 else 0.0)
    of_block = _block_operations(config)
    mean = config.n_own_features * config.rows_per_block * (1 + 1 / n_channels)  # over the channels
    window_bytes = SAMPLE_BYTES * (2 * config.window_samples + config.n_features * config.rows_per_block)
    return Operations(
        n_channels * (rate_hz * of_sample + blocks_per_s * (of_block + mean)),
        n_channels * (rate_hz * 2 * SAMPLE_BYTES + blocks_per_s * window_bytes),
    )


def sta_lta_operations(rate_hz: float, band_passed: bool, despiked: bool, n_channels: int = N_CHANNELS) -> Operations:
    """Count a classic STA/LTA with running sums, as written for a lander: no array is stored."""
    band_pass = 4 * 9.0 if band_passed else 0.0  # four second-order sections
    of_sample = GAPS + (DESPIKE if despiked else 0.0) + band_pass + 1 + 4 + 1 + 2  # square, two sums, ratio, mean
    return Operations(n_channels * rate_hz * of_sample, n_channels * rate_hz * 5 * SAMPLE_BYTES)


def _block_operations(config: FrontEndConfig) -> float:
    n, n_values = config.window_samples, config.n_own_features
    of_value = LOGARITHM + 2 + BACKGROUND + CLIP_AND_ROUND
    if config.kind == "spectrogram":  # mean and line removed, taper; spectrum; bands
        return 9 * n + 2.5 * n * math.log2(n) + 2 * n + n_values * of_value
    if config.kind == "mel" and config.mel is not None:  # taper, spectrum, each line in two triangles, logarithms
        n_fft = config.mel.fft_samples
        return n + 2.5 * n_fft * math.log2(n_fft) + 3 * n_fft + n_values * (LOGARITHM + 2 + CLIP_AND_ROUND)
    if config.kind == "scalogram":  # one transform, one inverse for each wavelet; newest outputs squared
        transform = 5 * n * math.log2(n)
        return 2 * n + transform + n_values * (2 * n + transform + 4 * config.hop_samples + of_value)
    return config.hop_samples * (BACKGROUND + CLIP_AND_ROUND + 4)  # waveform: mean and scale, one value a sample


def processor_time(graph: MeasuredGraph) -> float:
    """Return the processor time in s that the runner takes here for a second of signal, without its start.

    Raises
    ------
    ModelError
        A process fails.
    """
    model, variant = graph.arguments
    with tempfile.TemporaryDirectory(prefix="edgequake-bench-") as name:
        day = SignalDays(Path(name)).of(graph.manifest)
        stop = format_time(day.start_ns + round(graph.run_s * NS_PER_S))
        options = ["--model", model, "--variant", variant, "--out", f"{name}/out", "--force", "--stop", stop]
        start, whole = (
            measure_process([sys.executable, "-m", "edgequake.edge", "run", str(record), *options])["cpu_s"]
            for record in (day.first, day.record)
        )
    return float(max(whole - start, 0.0) / graph.run_s)

"""From what the processes of `bench latency` print to its figures."""

from __future__ import annotations

from typing import Any

from edgequake.benchmarks.cost.latency import (
    DETECTION,
    PERCENTILES,
    BaselineLatency,
    ColdStart,
    DayLatency,
    ProcessCost,
    StepLatency,
)
from edgequake.benchmarks.cost.measured import Measured
from edgequake.benchmarks.cost.workload import steps_per_s
from edgequake.edge.manifest.manifest import Manifest


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


def summarise_baseline(name: str, body: str, signal_s: float, raws: list[Any], process: ProcessCost) -> BaselineLatency:
    """Return the figures of several rounds of `baseline_process`."""
    us = [raw["detect_s"] * 1e6 / signal_s for raw in raws]
    return BaselineLatency(
        name=name,
        settings=raws[0]["settings"],
        body=body,
        signal_s=signal_s,
        detection_us_per_signal_s=Measured.of(us),
        detection_per_kernel=Measured.of(one / raw["kernel_us"] for one, raw in zip(us, raws, strict=True)),
        n_onsets=raws[0]["n_onsets"],
        process=process,
    )

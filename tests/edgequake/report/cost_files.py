"""Results of `bench latency`, `footprint` and `energy`, made by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from edgequake.results.provenance import Report
from edgequake.results.reader import read_results

Kind = TypeVar("Kind", bound=Report)

WHERE = {
    "measured_at": "2030-01-01T00:00:00+00:00", "processor": "Toy 1", "machine": "toy64", "python": "3.11.7",
    "n_processors": 2, "system": "Toy", "versions": {"numpy": "1.26.4", "obspy": "1.5.1"},
}  # fmt: skip
TFLITE, LITERT = "tflite-runtime 2.14.0", "ai-edge-litert 2.3.0"
LABEL = "AN ESTIMATE, not a measurement"
WORK = {
    "macs_per_s": 100.0, "integer_macs": True, "elementwise_per_s": 10.0, "front_end_operations_per_s": 50.0,
    "bytes_per_s": 5.0,
}  # fmt: skip


def read(kind: type[Kind], *paths: Path) -> list[Kind]:
    """Return the reports of one kind in files of results."""
    return [file.report for file in read_results(paths) if isinstance(file.report, kind)]


def read_all(*paths: Path) -> list[Report]:
    return [file.report for file in read_results(paths)]


def spread(value: float) -> dict[str, float]:
    """Return a figure with a spread of a tenth on either side."""
    return {"value": value, "low": 0.9 * value, "high": 1.1 * value, "n": 5}


def identity(sha256: str = "ab" * 32, variant: str = "int8") -> dict[str, Any]:
    return {"name": "moon", "variant": variant, "sha256": sha256, "size_bytes": 22_160, "parameters": 7858}


def process(wall_s: float) -> dict[str, Any]:
    return {"signal_s": 86_400.0, "wall_s": spread(wall_s), "cpu_s": spread(0.9 * wall_s),
            "peak_rss_bytes": spread(50e6)}  # fmt: skip


def model_entry(
    p50_us: float = 20.0, runtime: str = TFLITE, threads: Sequence[int] = (1, 2), **changes: Any
) -> dict[str, Any]:
    """Return one graph in one environment: p95 is 2, p99 3 and the largest 9 times p50; the mean 1.2."""
    factors = {"p50": 1.0, "p95": 2.0, "p99": 3.0, "max": 9.0, "mean": 1.2}
    steps = [
        {"n_threads": n, "n_steps": 100, "signal_s": 10.0, "p50_per_kernel": spread(0.02),
         "us_per_step": {name: spread(n * p50_us * factor) for name, factor in factors.items()},
         "us_per_signal_s": {name: spread(n * p50_us * factor / 10) for name, factor in factors.items()}}
        for n in threads
    ]  # fmt: skip
    parts = ("loading", "reading", "front_end", "graph", "trigger", "onset", "writing", "rest")
    day = {
        "signal_s": 86_400.0, "us_per_signal_s": {part: spread(i + 1.0) for i, part in enumerate(parts)},
        "detection_us_per_signal_s": spread(12.0), "detection_per_kernel": spread(0.01),
        "graph_per_front_end": spread(0.5), "n_events": 4, "kept_bytes": 512,
    }  # fmt: skip
    start = {"imported_s": spread(0.2), "loaded_s": spread(0.25), "processed_s": spread(0.3)}
    entry = {
        "model": identity(), "body": "moon", "mode": "continuous", "shipped": True, "runtime": runtime,
        "versions": {"python": "3.11.7", "numpy": "1.26.4"}, "steps": steps, "day": day, "process": process(1.0),
        "cold_start": start, "operators": "none",
    }  # fmt: skip
    return entry | changes


def baseline_entry(name: str = "STA/LTA, tuned on val", body: str = "moon") -> dict[str, Any]:
    return {"name": name, "settings": "x", "body": body, "signal_s": 86_400.0, "n_onsets": 3,
            "detection_us_per_signal_s": spread(7.0), "detection_per_kernel": spread(0.005),
            "process": process(2.5)}  # fmt: skip


def write_latency(path: Path, models: Sequence[Any], baselines: Sequence[Any] = ()) -> Path:
    values = {"benchmark": "latency", "provenance": WHERE, "load_before": 0.0, "n_rounds": 5,
              "kernel_us": spread(1000.0), "models": list(models), "baselines": list(baselines),
              "notes": []}  # fmt: skip
    path.write_text(json.dumps(values))
    return path


def write_footprint(path: Path, sha256: str = "ab" * 32) -> Path:
    model = {
        "model": identity(sha256), "body": "moon", "shipped": True, "runtime": TFLITE, "versions": {},
        "manifest_bytes": 16_800, "state_bytes": 164, "arena_bytes": 1056, "arena_method": "told by addresses",
        "planned_arena_bytes": 1152, "peak_rss_bytes": spread(51e6), "signal_s": 86_400.0,
        "resident_bytes": {"interpreter": 12_000_000, "imported": 43_000_000, "loaded": 46_000_000},
    }  # fmt: skip
    environment = {"runtime": TFLITE, "versions": {}, "imported_bytes": {"numpy": 78_000_000, "pymseed": 4_000_000},
                   "beside_bytes": {}}  # fmt: skip
    obspy = {"runtime": "none: obspy", "versions": {}, "imported_bytes": {"scipy": 143_000_000}, "beside_bytes": {}}
    values = {"benchmark": "footprint", "provenance": WHERE, "models": [model], "environments": [environment],
              "baselines": obspy}  # fmt: skip
    path.write_text(json.dumps(values))
    return path


def write_energy(path: Path) -> Path:
    estimate = {
        "device": "Toy M4", "cycles_per_s": 1000.0, "front_end_share": 0.25, "duty_cycle": 0.0123,
        "awake_j_per_day": 1.5, "memory_j_per_day": 0.0, "asleep_j_per_day": 0.39, "mean_mw": 0.0219,
        "python_j_per_day": None,
    }  # fmt: skip
    consumer = {"name": "moon int8", "model": identity(), "body": "moon", "work": WORK, "estimates": [estimate]}
    values = {"benchmark": "energy", "provenance": WHERE, "label": LABEL, "consumers": [consumer], "profiles": []}
    path.write_text(json.dumps(values))
    return path

"""Time single steps of a graph and print JSON: `python -m edgequake.benchmarks.cost.step_process MODEL VARIANT ...`.

The fixed work of `edgequake.benchmarks.cost.kernel` is timed before and after, so that the ratio of the two is valid
while the speed of the machine drifts.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.benchmarks.cost.kernel import kernel_s
from edgequake.edge.detection.network import StepNetwork
from edgequake.edge.manifest.manifest import Manifest, load_manifest, read_graph

N_WARMUP_STEPS = 500  # enough for caches, the processor's clock and the runtime's lazy set-up


def main() -> int:
    """Time the model, variant, number of steps and numbers of threads of the arguments; print JSON."""
    model, variant, n_steps, threads = sys.argv[1:5]
    print(json.dumps(measure(model, variant, int(n_steps), [int(n) for n in threads.split(",")])))
    return 0


def measure(model: str, variant: str, n_steps: int, threads: list[int]) -> dict[str, Any]:
    """Return the runtime, the time of the fixed work, and the percentiles of a step for each number of threads."""
    manifest, folder = load_manifest(model)
    described, graph = read_graph(manifest, folder, variant)
    kernels, steps = [kernel_s()], {}
    for n_threads in threads:
        network = StepNetwork(manifest, graph, described, n_threads)
        steps[n_threads] = percentiles_us(time_steps(network.step, manifest, n_steps))
        kernels.append(kernel_s())
    return {"runtime": network.runtime, "kernel_us": statistics.median(kernels) * 1e6, "steps": steps}


def time_steps(
    step: Callable[[npt.NDArray[np.float32]], object], manifest: Manifest, n_steps: int
) -> npt.NDArray[np.float64]:
    """Return the wall time in s of each of `n_steps` steps, shape (n_steps,), after a warm-up.

    Rows are seeded noise with the range of features; the time of a quantized graph does not depend on its values.
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


def percentiles_us(times_s: npt.NDArray[np.float64]) -> dict[str, float]:
    """Return the percentiles, the largest and the mean of step times, in microseconds."""
    p50, p95, p99 = (np.percentile(times_s, [50, 95, 99]) * 1e6).tolist()
    return {"p50": p50, "p95": p95, "p99": p99, "max": float(times_s.max()) * 1e6, "mean": float(times_s.mean()) * 1e6}


if __name__ == "__main__":
    sys.exit(main())

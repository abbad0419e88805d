"""What share of a run's processor time does the resampler take? Writes docs/resampling-cost.md.

    python studies/resampling_cost.py --out docs/resampling-cost.md

Each figure is the smallest of several runs, each a process of its own, over three channels of synthetic noise: user and
system time of the process, and within it the time of the stage that puts the samples on the model's grid.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgequake.edge.features.resampling import ToModelGrid
from edgequake.edge.formats.miniseed import encode
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns
from edgequake.edge.runner import RunConfig, run

DRIFT = 5e-5  # by which a clock without discipline is fast
CASES = {  # model: its own sampling rate and others, Hz; how fast the clock is
    "moon": ((6.625, 0.0), (6.625, DRIFT), (6.7, 0.0), (6.7, DRIFT)),
    "mars": ((20.0, 0.0), (20.0, DRIFT), (20.2, 0.0), (20.2, DRIFT), (19.8, 0.0), (19.8, DRIFT)),
    "earth": ((20.0, 0.0), (20.2, 0.0), (20.2, DRIFT), (50.0, 0.0), (100.0, 0.0), (125.0, 0.0), (125.0, DRIFT)),
}
RECORD_SAMPLES = 400
START_NS = 1_893_456_000 * NS_PER_S  # 2030-01-01T00:00:00Z
NOISE_COUNTS = 60.0  # standard deviation of the samples

HEAD = """# Cost of the resampler

What share of a run's processor time does resampling take? Three channels of synthetic noise, one process
for each run, the smallest of {repeats} runs; {machine}.
`python studies/resampling_cost.py --out docs/resampling-cost.md` writes this page.

- *run*: user and system time of the process, imports and the loading of the model included; *system*: of that, the
  system's. A higher rate costs more to read, decode and despike.
- *clock*: by how much the times of the records run faster than their headers' rate. Where the ratio of
  the rates is one of small integers, and without a drift, the fractions of a sample at which outputs lie recur, and
  the taps are computed once; otherwise (6.7 Hz is 268/265 of the model's rate) each output has taps of its own.
- *stage*: time in the stage that puts the samples on the model's grid; at the model's own rate it copies them, at
  100 Hz it is the decimator of `earth`.

| model | rate (Hz) | clock (ppm) | hours | BLAS threads | run (s) | system (s) | stage (s) | stage / run |
|---|---|---|---|---|---|---|---|---|
"""


def write_noise(path: Path, model: str, rate_hz: float, drift: float, hours: float) -> None:
    """Write three channels of white noise, in records whose times run faster than their rate says, by `drift`."""
    rng = np.random.default_rng(1)
    n_samples, band = int(hours * 3600 * rate_hz), "M" if model == "moon" else "B"
    rows = np.rint(NOISE_COUNTS * rng.standard_normal((3, n_samples))).astype(np.int32)
    names = [f"FDSN:XX_SIG_00_{band}_H_{code}" for code in "12Z"]
    traces = (
        Trace(
            name,
            START_NS + duration_ns(first, rate_hz * (1.0 + drift)),
            rate_hz,
            row[first : first + RECORD_SAMPLES],
        )
        for name, row in zip(names, rows, strict=True)
        for first in range(0, n_samples, RECORD_SAMPLES)
    )
    path.write_bytes(encode(traces))


def measure(model: str, record: str) -> dict[str, float]:
    """Run a model over a file in this process; return the time of the stage in seconds."""
    stage_s, push = 0.0, ToModelGrid.push

    def timed(self: ToModelGrid, *arguments: Any) -> Any:
        nonlocal stage_s
        begun_s = time.process_time()
        outputs = push(self, *arguments)
        stage_s += time.process_time() - begun_s
        return outputs

    ToModelGrid.push = timed  # type: ignore[assignment, method-assign]
    with tempfile.TemporaryDirectory() as out:
        run(RunConfig(inputs=(record,), out=Path(out) / "run", model=model))
    return {"stage_s": stage_s}


def cost_of(model: str, record: Path, n_threads: int) -> tuple[float, float, float]:
    """Run a model over a file in a process of its own; return the seconds of the run, of the system, of the stage."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": str(n_threads)}
    command = [sys.executable, __file__, "--measure", model, str(record)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)  # of this process alone
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the run of {model} over {record.name} failed with exit code {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_stime, float(json.loads(output)["stage_s"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all cases, print each, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", nargs=2, metavar=("MODEL", "FILE"), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="page to write")
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="threads of OpenBLAS")
    parser.add_argument("--models", nargs="+", default=list(CASES), choices=list(CASES))
    options = parser.parse_args(arguments)
    if options.measure:
        print(json.dumps(measure(*options.measure)))
        return 0
    if options.out is None:
        parser.error("--out is needed")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for model in options.models:
            for rate_hz, drift in CASES[model]:
                record = Path(folder) / "noise.mseed"
                write_noise(record, model, rate_hz, drift, options.hours)
                for n_threads in options.threads:
                    costs = [cost_of(model, record, n_threads) for _ in range(options.repeats)]
                    run_s, system_s, stage_s = min(costs)
                    cells = [
                        model,
                        f"{rate_hz:g}",
                        f"{1e6 * drift:g}",
                        f"{options.hours:g}",
                        n_threads,
                        f"{run_s:.2f}",
                        f"{system_s:.2f}",
                        f"{stage_s:.2f}",
                    ]
                    rows.append("| " + " | ".join(map(str, [*cells, f"{100 * stage_s / run_s:.1f} %"])) + " |")
                    print(rows[-1], flush=True)
    machine = f"Python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}"
    head = HEAD.format(repeats=options.repeats, machine=machine)
    options.out.write_text(head + "\n".join(rows) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

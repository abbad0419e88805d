"""Convert every architecture of tests/convert/conformance.py, measure the graphs, and write docs/conformance.md.

    EDGEQUAKE_LANDER_PYTHONS="tflite-runtime=PYTHON;ai-edge-litert=PYTHON" \\
        python studies/conversion/conformance.py [NAME ...]

`make conformance` sets the variable. Each measured row is stored in WORK/measured.jsonl, so that an interrupted run can
be continued; delete the file to start again. With names, only these are measured again; for a short run, give --work
and --page too.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="0", CUDA_VISIBLE_DEVICES="-1")

ROOT = Path(__file__).resolve().parents[2]
HEAD = """# Conformance

{n} small networks with seeded random weights, which together contain every kind of layer that the converter supports
(`tests/convert/conformance.py`), and the result of converting each. `make conformance` runs
`studies/conversion/conformance.py`, which writes this page.

- *float error*: largest difference between the float32 graph, stepped, and Keras on the whole sequence. It must stay
  below 1e-5. Continuous networks run over {frames} consecutive rows, windowed ones over as many rows in windows.
- *int8*, *int16x8*: largest and root-mean-square error of the probability, as `edgequake convert` quantizes, calibrated
  on other rows of the same kind; "-" where tflite-runtime 2.14 has no 16-bit kernel (RSQRT). *std* is the standard
  deviation of Keras' own probabilities. The errors should be compared with it, because the probabilities of random
  weights vary less than those of trained ones.
- *bytes*: size of the int8 file. *from*: oldest runtime that has every operator of the three graphs.
- *same bits*: "yes" where the int8 graph gives the same bits in both runtimes
  ({runtimes}), with kernels without delegates; otherwise the largest difference of the
  probabilities. *int16x8 differs*: that difference for the int16x8 graph.
- A network whose *rows a step* are its whole window contains layers that cannot be stepped, and no recurrence.

{versions}

| network | mode | parameters | rows a step | states | float error | std | int8 max | int8 rms \
| int16x8 max | int16x8 rms | bytes | from | same bits | int16x8 differs |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
"""


def load(name: str) -> ModuleType:
    """Return a module of tests/convert, which is not a package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tests" / "convert" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def main() -> int:
    """Measure the networks that have not been measured, write the page, and return 1 where one failed."""
    from edgequake.edge.detection.network import import_runtime

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="architectures to measure again; by default all that are not yet measured",
    )
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "conformance", help="folder for graphs and results")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "conformance.md", help="page to write")
    options = parser.parse_args()
    import_runtime()  # before TensorFlow
    conformance, run = load("conformance"), load("conformance_run")
    landers = run.interpreters()
    if not landers:
        sys.exit("EDGEQUAKE_LANDER_PYTHONS names no interpreter with a runtime; use `make conformance`")
    stored = options.work / "measured.jsonl"
    stored.parent.mkdir(parents=True, exist_ok=True)
    rows = {row["name"]: row for row in map(json.loads, stored.read_text().splitlines() if stored.exists() else [])}
    failures = {}
    for name in options.names or conformance.ARCHITECTURES:
        if name in rows and not options.names:
            continue
        try:
            rows[name] = dataclasses.asdict(run.measure(name, conformance, options.work / "graphs", landers))
        except Exception as problem:  # the other networks are still measured; the exit code reports the failure
            failures[name] = f"{type(problem).__name__}: {problem}"
            print(f"FAILED {name}: {failures[name]}", flush=True)
            continue
        print(line(rows[name]), flush=True)
        with stored.open("a") as file:
            file.write(json.dumps(rows[name]) + "\n")
    measured = [rows[name] for name in conformance.ARCHITECTURES if name in rows]
    options.page.write_text(page(measured, run.N_FRAMES), encoding="utf-8")
    return 1 if failures else 0


def page(rows: list[dict[str, Any]], n_frames: int) -> str:
    """Return the text of the page."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("tensorflow", "keras", "numpy"))
    machine = f"Python {platform.python_version()}, {versions}, {platform.machine()}, one thread."
    runtimes = sorted({runtime for row in rows for runtime in row["runtimes"]}, reverse=True)
    head = HEAD.format(n=len(rows), frames=n_frames, runtimes=", ".join(runtimes), versions=machine)
    return head + "\n".join(map(line, rows)) + "\n"


def line(row: dict[str, Any]) -> str:
    """Return a network's row of the table."""
    errors = row["errors"]
    cells = [
        row["name"],
        row["mode"],
        row["parameters"],
        row["rows_per_step"],
        row["n_states"],
        f"{errors['float32'][0]:.1e}",
        f"{row['deviation']:.3f}",
        *(_number(value) for variant in ("int8", "int16x8") for value in errors.get(variant, (None, None))),
        row["size_bytes"]["int8"],
        row["minimum_runtime"],
        "yes" if row["int8_difference"] == 0 else _number(row["int8_difference"]),
        _number(row["int16x8_difference"]),
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


if __name__ == "__main__":
    sys.exit(main())

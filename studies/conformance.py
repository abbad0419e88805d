"""Convert every architecture of tests/convert/conformance.py, measure the graphs, and write docs/conformance.md.

    EDGEQUAKE_LANDER_PYTHONS="tflite-runtime=PYTHON;ai-edge-litert=PYTHON" python studies/conformance.py [NAME ...]

`make conformance` sets the variable. Rows are kept as they are made in out/conformance/measured.jsonl, so that a run
that was stopped goes on where it was; delete the file to begin anew.
"""

from __future__ import annotations

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

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "out" / "conformance"
PAGE = ROOT / "docs" / "conformance.md"
HEAD = """# Conformance

{n} small networks of seeded random weights, in every kind of layer that the converter takes
(`tests/convert/conformance.py`), and what became of each. Written by `studies/conformance.py`; `make conformance`
writes it anew.

- *float error*: largest difference between the float32 graph, stepped, and Keras on the whole sequence. It must stay
  under 1e-5. Continuous networks run over {frames} consecutive rows, windowed ones over the windows in as many.
- *int8*, *int16x8*: largest and root-mean-square error of the probability, as `edgequake convert` quantizes, calibrated
  on other rows of the same kind; "-" where tflite-runtime 2.14 has no 16-bit kernel (RSQRT). *std* is the standard
  deviation of Keras' own probabilities: random weights answer less clearly than trained ones, so errors are to be seen
  against it.
- *bytes*: of the int8 file. *from*: oldest runtime that has every operator of the three graphs.
- *same bits*: the int8 graph gives the same bits in both runtimes ({runtimes}), with kernels without delegates, or
  by how much the probabilities differ at most; *int16x8 differs* by so much.
- A network whose *rows a step* are its whole window holds layers that cannot be stepped through and no recurrence.

{versions}

| network | mode | parameters | rows a step | states | float error | std | int8 max | int8 rms \
| int16x8 max | int16x8 rms | bytes | from | same bits | int16x8 differs |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
"""


def load(name: str) -> ModuleType:
    """Return a module of tests/convert, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tests" / "convert" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def main(wanted: list[str]) -> int:
    """Measure what has not been measured, write the page, and return 1 where something failed."""
    from edgequake.edge.detection.network import import_runtime

    import_runtime()  # before TensorFlow
    conformance, run = load("conformance"), load("conformance_run")
    landers = run.interpreters()
    if not landers:
        sys.exit("EDGEQUAKE_LANDER_PYTHONS names no interpreter with a runtime; use `make conformance`")
    kept = WORK / "measured.jsonl"
    kept.parent.mkdir(parents=True, exist_ok=True)
    rows = {row["name"]: row for row in map(json.loads, kept.read_text().splitlines() if kept.exists() else [])}
    failures = {}
    for name in wanted or conformance.ARCHITECTURES:
        if name in rows and not wanted:
            continue
        try:
            rows[name] = dataclasses.asdict(run.measure(name, conformance, WORK / "graphs", landers))
        except Exception as problem:  # the table goes on; the page and the exit code say what failed
            failures[name] = f"{type(problem).__name__}: {problem}"
            print(f"FAILED {name}: {failures[name]}", flush=True)
            continue
        print(line(rows[name]), flush=True)
        with kept.open("a") as file:
            file.write(json.dumps(rows[name]) + "\n")
    made = [rows[name] for name in conformance.ARCHITECTURES if name in rows]
    PAGE.write_text(page(made, run.N_FRAMES), encoding="utf-8")
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
    sys.exit(main(sys.argv[1:]))

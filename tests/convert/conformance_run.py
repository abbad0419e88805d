"""Convert one architecture and measure it: the float step graph against Keras, the graphs in both runtimes.

The network is saved and the file converted in a process of its own, as a user's is; each runtime runs in one, as on a
lander.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

LANDERS = ("tflite-runtime", "ai-edge-litert")
N_FRAMES = 2_000
CALIBRATION_ROWS = 6_000
STEPPER = Path(__file__).with_name("lander_probabilities.py")


@dataclass(frozen=True)
class Measured:
    """One row of the conformance table."""

    name: str
    mode: str
    parameters: int
    rows_per_step: int
    n_states: int
    n_compared: int  # rows
    deviation: float  # standard deviation of Keras' probabilities, with which the errors are compared
    errors: dict[str, tuple[float, float]]  # variant -> largest and rms error of the probability, on tflite-runtime
    size_bytes: dict[str, int]
    minimum_runtime: str
    runtimes: tuple[str, ...]  # in which all graphs were run
    int8_difference: float | None  # largest, between the runtimes: 0 for the same bits; None where there is only one
    int16x8_difference: float | None


def interpreters() -> dict[str, str]:
    """Return the existing interpreters that EDGEQUAKE_LANDER_PYTHONS names, by runtime."""
    listed = dict(item.partition("=")[::2] for item in os.environ.get("EDGEQUAKE_LANDER_PYTHONS", "").split(";"))
    return {name: listed[name] for name in LANDERS if Path(listed.get(name, "-")).is_file()}


def measure(name: str, conformance: Any, folder: Path, landers: dict[str, str]) -> Measured:
    """Convert an architecture and compare its graphs with Keras.

    Parameters
    ----------
    conformance : the module conformance.py.
    folder : for the graphs; created if needed.
    landers : runtime -> interpreter that has it; at least one.
    """
    from edgequake.convert.streaming import stepping
    from edgequake.convert.streaming.step_model import build_step_graph

    architecture = conformance.ARCHITECTURES[name]
    model = conformance.build(name)
    graph = build_step_graph(model, architecture.mode, architecture.n_rows)
    calibration, rows = calibration_and_rows(conformance, architecture)
    manifest = convert(model, architecture, calibration, folder)
    expected = stepping.sequence_probabilities(model, graph, rows)
    np.save(folder / "rows.npy", rows)
    made = {lander: run(python, lander, folder) for lander, python in landers.items()}
    first = next(iter(made.values()))
    both = list(made.values()) if len(made) == 2 else None
    return Measured(
        name=name,
        mode=architecture.mode,
        parameters=graph.parameters,
        rows_per_step=graph.rows_per_step,
        n_states=len(graph.states),
        n_compared=rows.shape[0] * rows.shape[1],
        deviation=float(np.std(expected)),
        errors={variant: _error(first[variant], expected) for variant in architecture.variants},
        size_bytes={name: variant.size_bytes for name, variant in manifest.variants.items()},
        minimum_runtime=max((manifest.variants[name].minimum_runtime for name in architecture.variants), key=_release),
        runtimes=tuple(str(arrays["runtime"]) for arrays in made.values()),
        int8_difference=_difference(both, "int8") if both else None,
        int16x8_difference=_difference(both, "int16x8") if both and "int16x8" in architecture.variants else None,
    )


def calibration_and_rows(conformance: Any, architecture: Any) -> tuple[Any, Any]:
    """Return rows to calibrate on and others to compare on, each (n_sequences, n_rows, n_features)."""
    n_features, n_window = architecture.n_features, architecture.n_rows
    if architecture.mode == "continuous":
        made = [
            conformance.rows_like_a_spectrogram(n, n_features, seed)[np.newaxis]
            for seed, n in ((1, CALIBRATION_ROWS), (2, N_FRAMES))
        ]
        return made[0], made[1]
    sequences = []
    for seed, n_rows in ((1, CALIBRATION_ROWS), (2, N_FRAMES + n_window)):
        long = conformance.rows_like_a_spectrogram(n_rows, n_features, seed)
        sequences.append(long[: n_rows // n_window * n_window].reshape(-1, n_window, n_features))
    return sequences[0], sequences[1]


def convert(model: Any, architecture: Any, calibration: Any, folder: Path) -> Any:
    """Save the network, convert the file in a process of its own, and return the manifest, also as manifest.json."""
    from edgequake.convert.converter import convert_model
    from edgequake.edge.manifest.manifest import load_manifest

    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / "conformance.keras")
    np.savez(folder / "calibration.npz", rows=calibration)
    changes = _description(architecture)
    report = convert_model(folder / "conformance.keras", folder, verify=False, changes=changes)
    (folder / "manifest.json").write_bytes(report.manifest.read_bytes())
    return load_manifest(report.manifest)[0]


def _description(architecture: Any) -> dict[str, Any]:
    return {
        "name": "conformance",
        "body": "moon",
        "sampling_rate_hz": 6.625,
        "front_end.kind": "spectrogram",
        "front_end.hop_samples": 64,
        "front_end.spectrogram.window_samples": 128,
        "front_end.spectrogram.band_edges_hz": np.linspace(0.2, 3.2, architecture.n_features).tolist(),
        "network.mode": architecture.mode,
        "network.outputs": ["onset", "event"] if architecture.n_outputs == 2 else ["event"],
    }


def run(python: str, lander: str, folder: Path) -> dict[str, Any]:
    """Return the probabilities of the graphs in a lander's interpreter, by variant."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [python, str(STEPPER), str(folder), lander], capture_output=True, text=True, cwd="/", env=environment
    )
    if done.returncode:
        raise RuntimeError(f"{lander}: {done.stderr.strip().splitlines()[-1]}")
    with np.load(folder / f"{lander}.npz") as arrays:
        return {name: arrays[name] for name in arrays}


def _difference(both: list[dict[str, Any]], variant: str) -> float:
    return float(np.abs(both[0][variant] - both[1][variant]).max())


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _error(got: Any, expected: Any) -> tuple[float, float]:
    error = got.astype(np.float64) - expected
    return float(np.abs(error).max()), float(np.sqrt(np.mean(error**2)))

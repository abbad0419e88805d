"""What does the detector in C cost beside the runner's, STA/LTA and PhaseNet? Writes a table into docs/c99.md.

    python studies/c_cost.py --page docs/c99.md --peers ../shared/peers

Processor time for a second of signal of one channel, user and system, on one thread: all programs take turns in one
process, and the smallest of their turns counts, so that other work on the machine adds little.
"""

from __future__ import annotations

import os

if __name__ == "__main__":  # before numpy is imported
    os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1"))

import argparse
import dataclasses
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from obspy.signal.filter import bandpass
from obspy.signal.trigger import recursive_sta_lta, trigger_onset

from edgequake.benchmarks.detectors.baselines import TUNED_RECURSIVE
from edgequake.benchmarks.detectors.phasenet import HOP, RATE_HZ, WINDOW, PhaseNet, normalised
from edgequake.benchmarks.detectors.sta_lta import FILTER_CORNERS
from edgequake.benchmarks.detectors.station_arrays import despike
from edgequake.edge.detection.c_core import CDetector
from edgequake.edge.detection.c_library import CLibrary
from edgequake.edge.detection.detector import Detector
from edgequake.edge.formats.waveforms import Trace, duration_ns
from edgequake.edge.manifest.manifest import load_manifest, read_graph
from edgequake.export_c.exporter import export_model
from edgequake.export_c.options import ExportOptions

CASES = (("moon", 6.625, 24.0), ("mars", 20.0, 8.0), ("earth", 20.0, 1.0), ("earth", 100.0, 1.0))  # Hz, hours
PIECE_S = 600.0
NOISE_COUNTS = 60.0  # standard deviation of the samples
PHASENET = "phasenet_190703_weights.npz"
PHASENET_WINDOWS = 8
BEGIN, STOP = "<!-- studies/c_cost.py writes from here -->", "<!-- to here -->"
PROGRAMS = ("C", "Python", "STA/LTA", "STA/LTA detector")

Work = Callable[[], object]


def pieces_of(rate_hz: float, hours: float) -> list[Trace]:
    """Return one channel of white noise, in pieces of ten minutes."""
    samples = np.rint(NOISE_COUNTS * np.random.default_rng(1).standard_normal(int(hours * 3600 * rate_hz)))
    n = int(PIECE_S * rate_hz)
    return [
        Trace("FDSN:XX_ABC_00_M_H_Z", duration_ns(first, rate_hz), rate_hz, samples[first : first + n].astype(np.int32))
        for first in range(0, len(samples), n)
    ]


def sta_lta_detector(body: str, samples: npt.NDArray[np.float64], rate_hz: float) -> object:
    """Find events with the baseline of the tables of results: despiked, band-passed, with its tuned settings."""
    tuned = TUNED_RECURSIVE[body]
    assert tuned.band_hz is not None
    whole = despike(samples)
    filtered = bandpass(whole - np.mean(whole), *tuned.band_hz, rate_hz, corners=FILTER_CORNERS)
    ratio = recursive_sta_lta(filtered, round(tuned.sta_s * rate_hz), round(tuned.lta_s * rate_hz))
    return trigger_onset(ratio, tuned.on, tuned.off)


def programs(model: str, rate_hz: float, hours: float, folder: Path) -> dict[str, Work]:
    """Return what is measured over the same samples, by the names in `PROGRAMS`."""
    manifest, source = load_manifest(model)
    variant, graph = read_graph(manifest, source, "int8")
    plain = dataclasses.replace(manifest, classes=None)
    threshold = manifest.trigger.onset_thresholds["normal"]
    # As `run --core c` has it: the runner refines onsets with both cores, outside of what is measured here.
    exported = export_model(model, folder, ExportOptions(1, (rate_hz,), refinement=False), build=True)
    assert exported.library is not None
    library = CLibrary(Path(exported.library))
    pieces = pieces_of(rate_hz, hours)
    samples = np.concatenate([piece.samples for piece in pieces]).astype(np.float64)
    tuned = TUNED_RECURSIVE[model]
    n_sta, n_lta = round(tuned.sta_s * rate_hz), round(tuned.lta_s * rate_hz)

    def c() -> object:
        return CDetector(library, threshold).push(*pieces)

    def python() -> object:
        return Detector(plain, graph, variant, threshold).push(*pieces)

    works: tuple[Work, ...] = (
        c,
        python,
        lambda: recursive_sta_lta(samples, n_sta, n_lta),
        lambda: sta_lta_detector(model, samples, rate_hz),
    )
    return dict(zip(PROGRAMS, works, strict=True))


def smallest(works: dict[str, Work], repeats: int) -> dict[str, float]:
    """Return the smallest processor time in s of each of the works, which take turns."""
    found = dict.fromkeys(works, float("inf"))
    for _ in range(repeats):
        for name, work in works.items():
            begun_s = time.process_time()
            work()
            found[name] = min(found[name], time.process_time() - begun_s)
    return found


def phasenet_us(peers: Path, repeats: int) -> float:
    """Return PhaseNet's microseconds for a second of signal of three components: windows overlap by half."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    network = PhaseNet.load(peers / PHASENET)
    noise = np.random.default_rng(1).standard_normal((PHASENET_WINDOWS, WINDOW, 3)).astype(np.float32)
    network.probabilities(normalised(noise))  # traced once
    found = smallest({"PhaseNet": lambda: network.probabilities(normalised(noise))}, repeats)
    return 1e6 * found["PhaseNet"] / (PHASENET_WINDOWS * HOP / RATE_HZ)


def row_of(model: str, rate_hz: float, us: dict[str, float]) -> str:
    """Return a row of the table."""
    cells = [model, f"{rate_hz:g} Hz", *(f"{us[name]:.3g}" for name in PROGRAMS), f"{us['Python'] / us['C']:.1f}"]
    return "| " + " | ".join(cells) + " |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all cases, print each, and write the table into a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path, help="page whose table to replace")
    parser.add_argument("--peers", type=Path, help=f"folder of {PHASENET}; without it PhaseNet is left out")
    parser.add_argument("--hours", type=float, default=1.0, help="factor of the length of the records")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--models", nargs="+", default=["moon", "mars", "earth"])
    options = parser.parse_args(arguments)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for model, rate_hz, hours in CASES:
            if model in options.models:
                signal_s = 3600.0 * hours * options.hours
                works = programs(model, rate_hz, hours * options.hours, Path(folder) / f"{model}{rate_hz:g}")
                found = smallest(works, options.repeats)
                rows.append(row_of(model, rate_hz, {name: 1e6 * spent / signal_s for name, spent in found.items()}))
                print(rows[-1], flush=True)
    text = f"| model | rate | {' | '.join(f'{name} (us)' for name in PROGRAMS)} | Python / C |\n"
    text += "|---|---|" + "---|" * (len(PROGRAMS) + 1) + "\n" + "\n".join(rows) + "\n"
    if options.peers is not None:
        text += f"\nPhaseNet, three components at 100 Hz: {phasenet_us(options.peers, options.repeats):.3g} us.\n"
    where = f"{platform.machine()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.0f}, Python"
    text += f"\nMeasured on {where} {platform.python_version()}; the smallest of {options.repeats} turns.\n"
    print(text)
    if options.page is not None:
        page = options.page.read_text(encoding="utf-8")
        head, rest = page.split(BEGIN)
        options.page.write_text(f"{head}{BEGIN}\n{text}{STOP}{rest.split(STOP, 1)[1]}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

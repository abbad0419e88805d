"""The loop from reviews to a better detector: run, review, fine-tune, convert, and run on days that nobody reviewed.

    python studies/review_loop.py machine --out WORK                 synthetic station beside a machine
    python studies/review_loop.py record --data DATA --out WORK      CI.CCA: hours 0-12 reviewed, 12-24 judged

The reviewer is the truth of the synthetic day, or the labels at hand: an event within `TRUE_S` of a true arrival is
accepted, any other rejected, at most as many as a person reviews in an hour, in random order.

The machine thumps near 6 Hz and five seconds later, longer and louder, near 4 Hz: to a network that has never met it,
P and S of a quake near by. It is always the same two bands and the same five seconds, which quakes are not.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgequake.benchmarks.scoring.pooling import Counts
from edgequake.convert.converter import convert_model
from edgequake.data.dataset import load
from edgequake.data.tables import Arrival, LabelledRecord
from edgequake.edge.formats.miniseed import encode
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, format_time, parse_time
from edgequake.edge.manifest.manifest import shipped_models
from edgequake.edge.results.catalog import read_catalog
from edgequake.edge.runner import RunConfig, run
from edgequake.serve.reviews.labelled_folder import export_reviews
from edgequake.serve.reviews.learning import HeldOutFigures, count_records, learn
from edgequake.serve.reviews.review_log import ACCEPT, REJECT
from edgequake.serve.reviews.review_store import ReviewStore
from edgequake.synthetic.lunar_signals import coloured, log_uniform
from edgequake.train.configuration.recipe import load_recipe
from edgequake.train.fine_tuning import STEPS
from edgequake.train.signals.earth import earthquake
from edgequake.train.signals.noise import Float, add_at, bump, in_band, rise_and_decay, robust_rms

SECONDS_A_REVIEW = 10.0  # trace, spectrogram and one key
HOUR_OF_REVIEWS = int(3600 / SECONDS_A_REVIEW)
TRUE_S = 8.0  # the tolerance of scoring on Earth, and the delay of onsets that are not refined
DAY_NS = 86_400 * NS_PER_S
FIRST_DAY_NS = parse_time("2030-01-01T00:00:00")
RECORD, THRESHOLD = "cont_CI.CCA", 0.4  # at the model's own threshold the record has three events, too few to review
ARCHIVE_BYTES = 1 << 30
RATE_HZ = 20.0
SOURCE_ID = "FDSN:XX_MACH_00_B_H_Z"
COUNTS = 100.0  # of the noise in the band of quakes
GAP_S, THUMPS = 5.0, ((6.0, 0.1, 2.0, 1.0), (4.0, 0.5, 5.0, 2.0))  # peak (Hz), rise and decay (s), amplitude
MACHINE_PER_HOUR, QUAKES_PER_HOUR = 10.0, 3.0
OVER_NOISE = (15.0, 150.0)  # largest amplitude of quakes and machine, over the noise
SPACING_S = 60.0  # between any two


@dataclass(frozen=True)
class MachineDay:
    """A record, and the true arrivals of its quakes."""

    file: Path
    start_ns: int
    stop_ns: int
    quakes_ns: tuple[int, ...]
    machine_ns: tuple[int, ...]


def write_machine_day(folder: Path, seed: int, hours: float, start_ns: int) -> MachineDay:
    """Write a record of one channel at 20 Hz; the same seed gives the same samples."""
    rng = np.random.default_rng(seed)
    n = int(hours * 3600 * RATE_HZ)
    x = coloured(rng, n, RATE_HZ, _background)
    x = x / robust_rms(in_band(x[np.newaxis], (1.0, 9.0), RATE_HZ))[0]
    times_s = _times(rng, hours)
    is_quake = rng.random(len(times_s)) < QUAKES_PER_HOUR / (QUAKES_PER_HOUR + MACHINE_PER_HOUR)
    scales = load_recipe("earth").examples.scales
    for time_s, quake in zip(times_s, is_quake, strict=True):
        wave = earthquake(rng, scales, "V", RATE_HZ)[0] if quake else _start_of_machine(rng)
        add_at(x, int(time_s * RATE_HZ), wave / np.max(np.abs(wave)), log_uniform(rng, *OVER_NOISE))
    samples = np.rint(COUNTS * x).astype(np.int32)
    trace = Trace(SOURCE_ID, start_ns, RATE_HZ, samples, "")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"machine_{format_time(start_ns)[:10]}.mseed"
    file.write_bytes(encode([trace]))
    at_ns = [start_ns + int(time_s * RATE_HZ) * round(NS_PER_S / RATE_HZ) for time_s in times_s]
    quakes = tuple(t for t, quake in zip(at_ns, is_quake, strict=True) if quake)
    machine = tuple(t for t, quake in zip(at_ns, is_quake, strict=True) if not quake)
    return MachineDay(file, start_ns, trace.stop_ns, quakes, machine)


def _times(rng: np.random.Generator, hours: float) -> Float:
    """Draw when quakes come and the machine starts, seconds, far enough apart to be told from one another."""
    n = int(rng.poisson(hours * (MACHINE_PER_HOUR + QUAKES_PER_HOUR)))
    drawn = np.sort(rng.uniform(120.0, hours * 3600 - 120.0, n))
    kept: list[float] = []
    for time_s in drawn:
        if not kept or time_s - kept[-1] > SPACING_S:
            kept.append(float(time_s))
    return np.array(kept)


def _background(frequency_hz: Float) -> Float:
    """Return the amplitude spectrum of the station's noise: microseisms, and a floor above 1 Hz; each day the same."""
    return np.asarray(1.0 / (1.0 + (frequency_hz / 0.3) ** 2) + 0.1, np.float64)


def _start_of_machine(rng: np.random.Generator) -> Float:
    wave = np.zeros(int((GAP_S + 30.0) * RATE_HZ))
    for i, (peak_hz, rise_s, decay_s, gain) in enumerate(THUMPS):
        own_hz, n = peak_hz * float(np.exp(rng.normal(0.0, 0.04))), int(5 * decay_s * RATE_HZ)
        thump = coloured(rng, n, RATE_HZ, partial(bump, peak_hz=own_hz, width=0.25))
        start_s = i * GAP_S * float(np.exp(rng.normal(0.0, 0.05)))
        add_at(wave, int(start_s * RATE_HZ), thump * rise_and_decay(n, RATE_HZ, rise_s, decay_s), gain)
    return wave


def review(run_folder: Path, arrivals_ns: Sequence[int], most: int = HOUR_OF_REVIEWS) -> ReviewStore:
    """Review the events of a run by true arrivals, in random order, as many as an hour allows."""
    store = ReviewStore.beside(run_folder)
    rows = read_catalog(run_folder / "catalog.csv")
    order = np.random.default_rng(1).permutation(len(rows))[:most]
    true_ns = np.array(sorted(arrivals_ns), np.int64)
    for i in order:
        near = len(true_ns) > 0 and int(np.min(np.abs(true_ns - rows[i].onset_ns))) <= TRUE_S * NS_PER_S
        store.review(ACCEPT if near else REJECT, [rows[i].evid], "study")
    return store


def as_records(day: MachineDay) -> list[LabelledRecord]:
    """Return a synthetic day as one labelled record: it is judged whole."""
    arrivals = tuple(Arrival(t, 1.0, True, f"quake_{t}", "quake", "day") for t in day.quakes_ns)
    return [
        LabelledRecord(
            day.file, "earth", "test", day.file.stem, "XX_MACH", ("BHZ",), day.start_ns, day.stop_ns, 20.0, arrivals, ""
        )
    ]


def figures_text(name: str, before: HeldOutFigures, after: HeldOutFigures) -> str:
    """Return the comparison as lines."""
    lines = [f"{name}:"]
    for when, one in (("before", before), ("after", after)):
        lines.append(
            f"  {when:7s} {one.n_recalled} of {one.n_arrivals} quakes found ({(one.recall or 0):.3f}), "
            f"{one.n_false} false alarms in {one.quiet_days:.2f} quiet days"
        )
    return "\n".join(lines)


def loop(run_folder: Path, arrivals_ns: Sequence[int], work: Path, folds: int, steps: int) -> tuple[Path, str]:
    """Review, learn and convert; return the new manifest and what learning says. Without steps nothing is learned."""
    store = review(run_folder, arrivals_ns)
    if not steps:
        return shipped_models()["earth"], export_reviews(store, work / "reviewed", "earth").text()
    learned = learn("earth", store.folder, work / "learned", folds, steps, "earth", _print_progress)
    convert_model(learned.keras_file, work / "learned" / "model", "int8", verify=False)
    return work / "learned" / "model" / "earth.json", learned.text()


def machine_study(
    out: Path, hours: float = 24.0, n_judged: int = 2, folds: int = 3, steps: int = STEPS
) -> dict[str, Any]:
    """Learn from the reviews of one day beside the machine, and judge on other days."""
    days = [write_machine_day(out / "days", seed, hours, FIRST_DAY_NS + seed * DAY_NS) for seed in range(1 + n_judged)]
    reviewed, judged = days[0], days[1:]
    if not (out / "run" / "summary.json").exists():
        run(RunConfig((str(reviewed.file),), out / "run", "earth", archive_bytes=ARCHIVE_BYTES, force=True))
    manifest, said = loop(out / "run", reviewed.quakes_ns, out, folds, steps)
    records = [record for day in judged for record in as_records(day)]
    return _compare("days beside the machine that nobody reviewed", manifest, records, None, said)


def record_study(out: Path, data: Path, folds: int = 3, steps: int = STEPS) -> dict[str, Any]:
    """Learn from hours 0 to 12 of a day of CI.CCA, and judge on hours 12 to 24."""
    (record,) = [one for one in load(data, "earth") if RECORD in one.file.name]
    noon_ns = record.start_ns - record.start_ns % DAY_NS + DAY_NS // 2
    if not (out / "run" / "summary.json").exists():
        config = RunConfig((str(record.file),), out / "run", "earth", archive_bytes=ARCHIVE_BYTES, force=True)
        run(replace(config, threshold=THRESHOLD, stop_ns=noon_ns))
    arrivals = [a.time_ns for a in record.arrivals if a.time_ns < noon_ns]
    manifest, said = loop(out / "run", arrivals, out, folds, steps)
    later = replace(record, start_ns=noon_ns, arrivals=tuple(a for a in record.arrivals if a.time_ns >= noon_ns))
    return _compare(f"{record.file.name}, hours 12 to 24", manifest, [later], THRESHOLD, said)


def _compare(
    name: str, manifest: Path, records: Sequence[LabelledRecord], threshold: float | None, said: str
) -> dict[str, Any]:
    counts: list[list[Counts]] = [
        count_records(str(model), records, threshold) for model in (shipped_models()["earth"], manifest)
    ]
    before, after = map(HeldOutFigures.of, counts)
    text = f"{said}\n{figures_text(name, before, after)}"
    return {"text": text, "before": asdict(before), "after": asdict(after)}


def _print_progress(share: float | None, doing: str) -> None:
    if share is not None and int(200 * share) != _print_progress.last:  # type: ignore[attr-defined]
        _print_progress.last = int(200 * share)  # type: ignore[attr-defined]
        print(f"{100 * share:5.1f} %  {doing}", flush=True)


_print_progress.last = -1  # type: ignore[attr-defined]


def main() -> None:
    """Run one of the two studies and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", choices=("machine", "record"))
    parser.add_argument("--data", type=Path, help="data folder with the record")
    parser.add_argument("--out", type=Path, required=True, help="folder for everything that is made")
    parser.add_argument("--hours", type=float, default=24.0, help="of each synthetic day")
    parser.add_argument("--judged", type=int, default=2, help="synthetic days that nobody reviews")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=STEPS, help="of each fine-tuning; 0: none")
    options = parser.parse_args()
    if options.study == "machine":
        found = machine_study(options.out, options.hours, options.judged, folds=options.folds, steps=options.steps)
    else:
        found = record_study(options.out, options.data, options.folds, options.steps)
    (options.out / "study.json").write_text(json.dumps(found, indent=1))
    print(found["text"])


if __name__ == "__main__":
    main()

"""The loop from reviews to a better detector: run, review, fine-tune, convert, and run on days that nobody reviewed.

    python studies/reviews/review_loop.py machine --out WORK                 synthetic station beside a machine
    python studies/reviews/review_loop.py record --data DATA --out WORK      CI.CCA: hours 0-12 reviewed, 12-24 judged

The reviewer is the truth of the synthetic day, or the labels at hand: an event within `TRUE_S` of a true arrival is
accepted, any other rejected, at most as many as a person reviews in an hour, in random order.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from machine_days import MachineDay, write_machine_day

from edgequake.benchmarks.scoring.pooling import Counts
from edgequake.convert.converter import convert_model
from edgequake.data.dataset import load
from edgequake.data.tables import Arrival, LabelledRecord
from edgequake.edge.formats.waveforms import NS_PER_S, parse_time
from edgequake.edge.manifest.manifest import shipped_models
from edgequake.edge.results.catalog import read_catalog
from edgequake.edge.runner import RunConfig, run
from edgequake.serve.reviews.learning import HeldOutFigures, count_records, learn
from edgequake.serve.reviews.review_log import ACCEPT, REJECT
from edgequake.serve.reviews.review_store import ReviewStore

SECONDS_A_REVIEW = 10.0  # trace, spectrogram and one key
HOUR_OF_REVIEWS = int(3600 / SECONDS_A_REVIEW)
TRUE_S = 8.0  # the tolerance of scoring on Earth, and the delay of onsets that are not refined
DAY_NS = 86_400 * NS_PER_S
FIRST_DAY_NS = parse_time("2030-01-01T00:00:00")
RECORD, THRESHOLD = "cont_CI.CCA", 0.4  # at the model's own threshold the record has three events, too few to review
ARCHIVE_BYTES = 1 << 30


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
    """Review, learn and convert; return the new manifest and what learning says."""
    store = review(run_folder, arrivals_ns)
    learned = learn("earth", store.folder, work / "learned", folds, steps, "earth", _print_progress)
    convert_model(learned.keras_file, work / "learned" / "model", "int8", verify=False)
    return work / "learned" / "model" / "earth.json", learned.text()


def machine_study(
    out: Path, hours: float = 24.0, n_judged: int = 2, folds: int = 3, steps: int = 300
) -> dict[str, Any]:
    """Learn from the reviews of one day beside the machine, and judge on other days."""
    days = [write_machine_day(out / "days", seed, hours, FIRST_DAY_NS + seed * DAY_NS) for seed in range(1 + n_judged)]
    reviewed, judged = days[0], days[1:]
    if not (out / "run" / "summary.json").exists():
        run(RunConfig((str(reviewed.file),), out / "run", "earth", archive_bytes=ARCHIVE_BYTES, force=True))
    manifest, said = loop(out / "run", reviewed.quakes_ns, out, folds, steps)
    records = [record for day in judged for record in as_records(day)]
    return _compare("days beside the machine that nobody reviewed", manifest, records, None, said)


def record_study(out: Path, data: Path, folds: int = 3, steps: int = 300) -> dict[str, Any]:
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
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300, help="of each fine-tuning")
    options = parser.parse_args()
    if options.study == "machine":
        found = machine_study(options.out, options.hours, folds=options.folds, steps=options.steps)
    else:
        found = record_study(options.out, options.data, options.folds, options.steps)
    (options.out / "study.json").write_text(json.dumps(found, indent=1))
    print(found["text"])


if __name__ == "__main__":
    main()

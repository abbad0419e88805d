"""Which labelled arrivals a model finds, one by one: python studies/arrivals_found.py MANIFEST... DATA [--split ...].

Every record is run from five random starts. Prints, for each primary arrival, from how many of them it was recalled and
captured, with the median error of the onset, and the false events of each record. With `MANIFEST=K/N` a model (of a
cross-validation) is run on the records of its fold only, so that none of them was in its training. `--files` takes
patterns of the records' names: the part-days of the NASA packet are `--files 'xa.s12*'`.
"""

from __future__ import annotations

import argparse
import fnmatch
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from edgequake.benchmarks.detectors.model_detector import ModelDetector
from edgequake.benchmarks.scoring.random_starts import random_start_ns
from edgequake.benchmarks.scoring.scoring import RecordScore, score_record
from edgequake.data.dataset import load
from edgequake.data.selection import Fold, split_fold
from edgequake.data.tables import LabelledRecord
from edgequake.edge.manifest.manifest import load_manifest


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the arrivals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MANIFEST[=K/N]")
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", nargs="+", default=["val"])
    parser.add_argument("--files", nargs="+", default=["*"], metavar="PATTERN")
    parser.add_argument("--seeds", type=int, default=5, help="random starts of each record")
    options = parser.parse_args(arguments)
    print("| record | arrival | recalled | captured | median error (s) |\n|---|---|---|---|---|")
    n_arrivals = n_sure = n_false = 0
    for name in options.models:
        path, _, fold = name.partition("=")
        detector = ModelDetector(path)
        for record in records_of(path, fold, options.data, options.split, options.files):
            scores = [passed(detector, record, seed) for seed in range(options.seeds)]
            n_false += sum(len(score.false_ns) for score in scores)
            for row in rows_of(scores):
                n_arrivals += 1
                n_sure += row[1] >= 0.8 * options.seeds
                shares = f"{row[1]}/{options.seeds} | {row[2]}/{options.seeds}"
                print(f"| `{record.file.name}` | {row[0]} | {shares} | {row[3]} |")
            false = [len(score.false_ns) for score in scores]
            if any(false):
                print(f"| `{record.file.name}` | false events: {', '.join(map(str, false))} | | | |")
    print(
        f"\n{n_sure} of {n_arrivals} primary arrivals recalled from at least four starts in five; "
        f"{n_false / options.seeds:.1f} false events in a pass"
    )
    return 0


def records_of(
    manifest: str, fold: str, data: Path, splits: Sequence[str], patterns: Sequence[str]
) -> list[LabelledRecord]:
    """Return the records of the splits, or those of them that a fold holds out, whose names match a pattern."""
    body = load_manifest(manifest)[0].body
    if fold:
        records = split_fold(data, body, Fold.parse(fold))[1]
    else:
        records = [record for split in splits for record in load(data, body, split)]
    return [one for one in records if any(fnmatch.fnmatch(one.file.name, pattern) for pattern in patterns)]


def passed(detector: ModelDetector, record: LabelledRecord, seed: int) -> RecordScore:
    """Run a record from one random start."""
    start_ns = random_start_ns(record, seed)
    return score_record(record, start_ns, detector(record, start_ns))


def rows_of(scores: Sequence[RecordScore]) -> list[tuple[str, int, int, str]]:
    """Return for each primary arrival its event, time, how many starts found and kept it, its error."""
    rows = []
    for found in zip(*(score.primary for score in scores), strict=True):
        arrival = found[0].arrival
        errors = [one.onset_error_s for one in found if one.onset_error_s is not None]
        error = f"{statistics.median(errors):+.1f}" if errors else ""
        n_captured = sum(one.captured for one in found)
        rows.append((f"{arrival.event} at {arrival.time_ns / 1e9:.0f}", len(errors), n_captured, error))
    return rows


if __name__ == "__main__":
    sys.exit(main())

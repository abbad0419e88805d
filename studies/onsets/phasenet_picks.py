"""Errors of the `earth` model against analysts' P picks: python studies/onsets/phasenet_picks.py DATA [SPLIT] [MODEL].

DATA/earth/phasenet holds records of 90 s with manual picks (Zhu & Beroza 2018); SPLIT is `val` (the default), `test` or
`train`. Each record begins at five random instants at least 10 s before P, and the runner's catalogue is scored. Prints
recall within the tolerance and the errors of the onsets against the manual pick.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgequake.benchmarks.detectors.model_detector import ModelDetector
from edgequake.benchmarks.scoring.pooling import pool
from edgequake.benchmarks.scoring.random_starts import random_start_ns
from edgequake.benchmarks.scoring.scoring import score_record
from edgequake.data.phasenet import convert_phasenet

SEEDS = range(5)
SENSITIVITIES = ("low", "normal", "high")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line for each sensitivity."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("split", nargs="?", choices=("train", "val", "test"), default="val")
    parser.add_argument("model", nargs="?", default="earth")
    parser.add_argument("--quick", action="store_true", help="one random start of each record")
    options = parser.parse_args(arguments)
    print("| sensitivity | records | recall | false before P | median error, s | 67 % | 90 % | bias |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="edgequake-picks-") as folder:
        records = convert_phasenet(options.data / "earth" / "phasenet", Path(folder), options.split)
        for sensitivity in SENSITIVITIES:
            detector = ModelDetector(options.model, sensitivity=sensitivity)
            passes = []
            for seed in SEEDS[:1] if options.quick else SEEDS:
                starts = [(record, random_start_ns(record, seed)) for record in records]
                passes.append(pool([score_record(record, start, detector(record, start)) for record, start in starts]))
            errors = np.concatenate([np.asarray(score.onset_errors_s) for score in passes])
            recall = np.mean([score.n_recalled / score.n_arrivals for score in passes])
            n_false = np.mean([score.n_false for score in passes])
            print(f"| {sensitivity} | {len(records)} | {recall:.2f} | {n_false:.1f} | {_figures(errors)} |")
    return 0


def _figures(errors_s: npt.NDArray[np.float64]) -> str:
    """Return the median size, two quantiles of the size and the median error; dashes if nothing was recalled."""
    if not len(errors_s):
        return "- | - | - | -"
    median, two_thirds, nine_tenths = np.quantile(np.abs(errors_s), [0.5, 0.67, 0.9])
    return f"{median:.2f} | {two_thirds:.2f} | {nine_tenths:.2f} | {np.median(errors_s):+.2f}"


if __name__ == "__main__":
    sys.exit(main())

"""How near the shipped `earth` model picks P to analysts: python studies/phasenet_picks.py DATA [SPLIT].

DATA/earth/phasenet holds 90 s records with manual picks (Zhu & Beroza 2018); SPLIT is `val` (the default), `test` or
`train`. Each record is begun at five random instants at least 10 s before P, and what counts is what the runner writes.
Prints recall within the tolerance and the errors of the onsets against the manual pick.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from edgequake.benchmarks.detectors.model_detector import ModelDetector
from edgequake.benchmarks.scoring.pooling import pool
from edgequake.benchmarks.scoring.random_starts import random_start_ns
from edgequake.benchmarks.scoring.scoring import score_record
from edgequake.data.phasenet import convert_phasenet

SEEDS = range(5)
SENSITIVITIES = ("low", "normal", "high")


def main(data: str, split: str = "val", model: str = "earth") -> int:
    """Print one line a sensitivity."""
    print("| sensitivity | records | recall | false before P | median error, s | 67 % | 90 % | bias |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="edgequake-picks-") as folder:
        records = convert_phasenet(Path(data) / "earth" / "phasenet", Path(folder), split)
        for sensitivity in SENSITIVITIES:
            detector = ModelDetector(model, sensitivity=sensitivity)
            passes = []
            for seed in SEEDS:
                starts = [(record, random_start_ns(record, seed)) for record in records]
                passes.append(pool([score_record(record, start, detector(record, start)) for record, start in starts]))
            errors = np.concatenate([np.asarray(score.onset_errors_s) for score in passes])
            recall = np.mean([score.n_recalled / score.n_arrivals for score in passes])
            n_false = np.mean([score.n_false for score in passes])
            third, tenth = np.quantile(np.abs(errors), [0.67, 0.9])
            print(
                f"| {sensitivity} | {len(records)} | {recall:.2f} | {n_false:.1f} | {np.median(np.abs(errors)):.2f} | "
                f"{third:.2f} | {tenth:.2f} | {np.median(errors):+.2f} |"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

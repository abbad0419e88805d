"""Find the settings of the baselines on `val`: python studies/tune_baselines.py DATA [BODY...] [DETECTOR...].

BODY is moon, mars or earth, DETECTOR classic, recursive, z or clock; without them all are tuned. Prints one line each:
the detector as `benchmarks/detectors/baselines.py` holds it, and what it reaches on the records that it was tuned on.
"""

from __future__ import annotations

import sys
from pathlib import Path

from edgequake.benchmarks.tuning.baseline_grid import GRIDS, choose_clock, tune
from edgequake.data.dataset import load
from edgequake.data.tables import BODIES

SEEDS = range(5)


def main(data: str, *chosen: str) -> int:
    """Print what the grids find."""
    detectors = [name for name in (*GRIDS, "clock") if name in chosen] or [*GRIDS, "clock"]
    for body in [name for name in BODIES if name in chosen] or BODIES:
        records = load(Path(data), body, "val")
        for name in detectors:
            if name == "clock":
                print(f"{body} clock: {choose_clock(records)!r}", flush=True)
                continue
            found, summary = tune(records, SEEDS, GRIDS[name][body])
            means = {field: spread.mean for field, spread in summary.spreads.items()}
            print(
                f"{body} {name}: {found!r}: recall {means['recall']:.2f}, F1 {means['f1']:.2f}, "
                f"{means['false_per_quiet_day']:.1f} false alarms per quiet day, kept {100 * means['kept']:.1f} %",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

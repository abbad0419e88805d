"""Find the settings of the baselines on `val`: python studies/tune_baselines.py DATA [BODY...] [DETECTOR...].

BODY is moon, mars or earth, DETECTOR classic, recursive, z or clock; without them all are tuned. Prints one line each:
the detector as `benchmarks/detectors/baselines.py` holds it, and its performance on the records that it was tuned on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgequake.benchmarks.tuning.baseline_grid import GRIDS, choose_clock, tune
from edgequake.data.dataset import load
from edgequake.data.tables import BODIES

SEEDS = range(5)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the best detector of each grid."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("chosen", nargs="*", metavar="BODY|DETECTOR")
    parser.add_argument("--quick", action="store_true", help="one random start, one band and one pair of windows")
    options = parser.parse_args(arguments)
    if unknown := set(options.chosen) - {*BODIES, *GRIDS, "clock"}:
        parser.error(f"neither a body nor a detector: {', '.join(sorted(unknown))}")
    seeds = SEEDS[:1] if options.quick else SEEDS
    detectors = [name for name in (*GRIDS, "clock") if name in options.chosen] or [*GRIDS, "clock"]
    for body in [name for name in BODIES if name in options.chosen] or BODIES:
        records = load(options.data, body, "val")
        for name in detectors:
            if name == "clock":
                print(f"{body} clock: {choose_clock(records)!r}", flush=True)
                continue
            grid = GRIDS[name][body]
            if options.quick:
                grid = replace(grid, bands_hz=grid.bands_hz[:1], windows_s=grid.windows_s[:1])
            found, summary = tune(records, seeds, grid)
            means = {field: spread.mean for field, spread in summary.spreads.items()}
            print(
                f"{body} {name}: {found!r}: recall {means['recall']:.2f}, F1 {means['f1']:.2f}, "
                f"{means['false_per_quiet_day']:.1f} false alarms per quiet day, kept {100 * means['kept']:.1f} %",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())

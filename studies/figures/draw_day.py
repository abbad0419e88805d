"""Draw docs/day.png: a synthesised lunar day, run through the shipped model, with the kept parts shaded.

python studies/figures/draw_day.py [--out PNG]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgequake.edge.runner import RunConfig, run
from edgequake.report.charts.picture import draw_run
from edgequake.synthetic.synthetic_dataset import write_day

DOCS = Path(__file__).resolve().parents[2] / "docs"
SEED = 1  # that of `make demo`


def main(arguments: Sequence[str] | None = None) -> int:
    """Synthesise, run, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DOCS / "day.png")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        day = write_day(Path(folder) / "day", SEED)
        run(RunConfig(inputs=(str(day),), out=Path(folder) / "run"))
        print(draw_run(Path(folder) / "run", options.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())

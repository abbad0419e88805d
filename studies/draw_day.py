"""Draw docs/day.png: a synthesised lunar day, run through the shipped model, with the kept parts shaded."""

from __future__ import annotations

import tempfile
from pathlib import Path

from edgequake.edge.runner import RunConfig, run
from edgequake.report.charts.picture import draw_run
from edgequake.synthetic.synthetic_dataset import write_day

SEED = 1  # that of `make demo`


def main() -> None:
    """Synthesise, run, draw."""
    with tempfile.TemporaryDirectory() as folder:
        day = write_day(Path(folder) / "day", SEED)
        run(RunConfig(inputs=(str(day),), out=Path(folder) / "run"))
        print(draw_run(Path(folder) / "run", Path(__file__).with_name("day.png")))


if __name__ == "__main__":
    main()

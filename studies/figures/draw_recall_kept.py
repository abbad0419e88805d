"""Draw docs/recall_kept.png: recall against the fraction kept, models and tuned baselines, from docs/results/*.json.

python studies/figures/draw_recall_kept.py [--results DIR] [--out PNG]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

DOCS = Path(__file__).resolve().parents[2] / "docs"
BODIES = ("moon", "mars", "earth")
SPLITS = ("val", "test")
STYLES: dict[str, dict[str, Any]] = {  # Okabe & Ito's colours, which every eye can distinguish
    "model": {"color": "#0072B2", "marker": "o"},
    "STA/LTA, tuned on val": {"color": "#D55E00", "marker": "s"},
    "recursive STA/LTA, tuned on val": {"color": "#009E73", "marker": "^"},
    "z-detector, tuned on val": {"color": "#CC79A7", "marker": "D"},
}
OTHERS: dict[str, Any] = {"color": "#56B4E9", "marker": "v"}  # a further model


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw one panel for each body and split."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=DOCS / "results", help="folder with moon-val.json and so on")
    parser.add_argument("--out", type=Path, default=DOCS / "recall_kept.png")
    options = parser.parse_args(arguments)
    figure, grid = plt.subplots(len(BODIES), len(SPLITS), figsize=(9.0, 8.6), sharey=True, layout="constrained")
    for row, body in zip(grid, BODIES, strict=True):
        for axes, split in zip(row, SPLITS, strict=True):
            _draw(axes, body, json.loads((options.results / f"{body}-{split}.json").read_text(encoding="utf-8")))
        row[0].set_ylabel("recall")
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=9)
    figure.savefig(options.out, dpi=110)
    plt.close(figure)
    print(options.out)
    return 0


def _draw(axes: Axes, body: str, report: dict[str, Any]) -> None:
    # Only records of ten hours or more show how much a lander would keep; Mars and Earth have none.
    kept, what = ("kept_long", "records of 10 h or more") if body == "moon" else ("kept", "all records")
    for name, points in report["curves"].items():
        x, y = [100 * point[kept] for point in points], [point["recall"] for point in points]
        axes.plot(x, y, ms=4, label=name, **STYLES.get(name, OTHERS))
    axes.set(xlabel=f"kept of {what} [%]", ylim=(-0.02, 1.05), xlim=(-0.5, 45 if body == "moon" else 60))
    title = f"{body.capitalize()} {report['split']}: {report['n_arrivals']} arrivals of {report['n_groups']} events"
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)


if __name__ == "__main__":
    sys.exit(main())

"""Draw docs/recall_kept.png: recall against the fraction kept, models and tuned baselines, from docs/results/*.json."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

HERE = Path(__file__).parent
BODIES = ("moon", "mars", "earth")
SPLITS = ("val", "test")
STYLES = {  # Okabe & Ito's colours: told apart by every eye
    "model": {"color": "#0072B2", "marker": "o"},
    "STA/LTA, tuned on val": {"color": "#D55E00", "marker": "s"},
    "recursive STA/LTA, tuned on val": {"color": "#009E73", "marker": "^"},
    "z-detector, tuned on val": {"color": "#CC79A7", "marker": "D"},
}
OTHERS = {"color": "#56B4E9", "marker": "v"}  # a further model


def main() -> None:
    """Draw one panel for each body and split."""
    figure, grid = plt.subplots(len(BODIES), len(SPLITS), figsize=(9.0, 8.6), sharey=True, layout="constrained")
    for row, body in zip(grid, BODIES, strict=True):
        for axes, split in zip(row, SPLITS, strict=True):
            _draw(axes, body, split)
        row[0].set_ylabel("recall")
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=9)
    path = HERE / "recall_kept.png"
    figure.savefig(path, dpi=110)
    print(path)


def _draw(axes: Axes, body: str, split: str) -> None:
    report = json.loads((HERE / "results" / f"{body}-{split}.json").read_text())
    # Records of ten hours and more alone say what a lander would keep; Mars and Earth have none.
    kept, what = ("kept_long", "records of 10 h or more") if body == "moon" else ("kept", "all records")
    for name, points in report["curves"].items():
        x, y = [100 * p[kept] for p in points], [p["recall"] for p in points]
        axes.plot(x, y, ms=4, label=name, **STYLES.get(name, OTHERS))
    axes.set(xlabel=f"kept of {what} [%]", ylim=(-0.02, 1.05), xlim=(-0.5, 45 if body == "moon" else 60))
    title = f"{body.capitalize()} {split}: {report['n_arrivals']} arrivals of {report['n_groups']} events"
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)


if __name__ == "__main__":
    main()

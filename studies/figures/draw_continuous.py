"""Draw docs/continuous.png: recall on local quakes against events a day, from `bench accuracy --continuous --out`.

python studies/figures/draw_continuous.py [REPORT.json ...] [--out PNG]
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
REPORTS = [DOCS / "results" / f"earth-continuous-{split}.json" for split in ("val", "test")]
HOURS = ("natural hours", "urban hours", "soft-ground hours")
QUAKES = ("local quakes, analysts' picks", "all arrivals")  # the first of them that was measured
LEAST_PER_DAY = 0.5  # where the axis begins: a day without any event lies there
STYLES = (
    {"color": "#0072B2", "marker": "o"},
    {"color": "#D55E00", "marker": "s"},
    {"color": "#56B4E9", "marker": "x"},
    {"color": "#009E73", "marker": "^"},
    {"color": "#CC79A7", "marker": "D"},
    {"color": "#E69F00", "marker": "v"},
    {"color": "#000000", "marker": "P"},
)  # Okabe & Ito's colours, which every eye can distinguish


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw one panel for each report and kind of hours."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", type=Path, nargs="*", default=REPORTS)
    parser.add_argument("--out", type=Path, default=DOCS / "continuous.png")
    options = parser.parse_args(arguments)
    panels: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for path in options.reports:
        report = json.loads(path.read_text(encoding="utf-8"))
        drawn = {line["name"] for _, line in panels}
        lines = [line for line in report["strata"] if line["kind"] == "hours"]
        # Hours of `train` that stand in for those of a split are the same ones in every report.
        panels += [(report, line) for line in lines if line["asked"] or line["name"] not in drawn]
    n_columns = min(2, len(panels))
    n_rows = -(-len(panels) // n_columns)
    figure, grid = plt.subplots(
        n_rows, n_columns, figsize=(4.8 * n_columns, 3.6 * n_rows), squeeze=False, layout="constrained"
    )
    for axes, panel in zip(grid.ravel(), panels, strict=False):
        _draw(axes, *panel)
    for axes in grid.ravel()[len(panels) :]:
        axes.set_axis_off()
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=8)
    figure.savefig(options.out, dpi=110)
    plt.close(figure)
    print(options.out)
    return 0


def _draw(axes: Axes, report: dict[str, Any], hours: dict[str, Any]) -> None:
    names = {line["name"] for line in report["strata"]}
    quakes = next(name for name in QUAKES if name in names)
    for result, style in zip(report["results"], STYLES, strict=False):
        points = [
            (max(at[hours["name"]]["events_per_day"], LEAST_PER_DAY), at[quakes]["found"])
            for at in result["points"].values()
            if hours["name"] in at and at.get(quakes, {}).get("found")  # a threshold above every ratio finds nothing
        ]
        marked: dict[str, Any] = {"ms": 4, "label": result["name"], **style}
        axes.plot([x for x, _ in points], [y for _, y in points], **marked)
    axes.set(xscale="log", ylim=(-0.02, 1.05), xlabel="events a day without a row", ylabel="recall")
    part = hours["part"] + ("" if hours["asked"] else ", not held out")
    where = f"{hours['hours']:.0f} {hours['name']} ({part})"
    axes.set_title(f"{report['body']} {report['split']}: {quakes}\nbeside {where}", fontsize=9)
    axes.grid(alpha=0.3)


if __name__ == "__main__":
    sys.exit(main())

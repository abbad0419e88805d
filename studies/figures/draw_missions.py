"""Draw docs/missions.png: when events come home by alerts, by the routine look and by the backfill after it.

The figures are those of

    edgequake bench budget --mission lems --data RECORDS --split val --out docs/results/lems-val.json

and of the same for insight; other files of results may be named:

    python studies/figures/draw_missions.py FILE... [--out PNG]

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
from matplotlib.ticker import LogLocator, NullLocator

DOCS = Path(__file__).resolve().parents[2] / "docs"
FILES = tuple(DOCS / "results" / f"{name}-val.json" for name in ("lems", "insight"))
ALERT, ROUTINE = "#0072B2", "#999999"  # Okabe & Ito's blue, which every eye can distinguish, and grey
QUARTERS = (0.25, 0.5, 0.75)
Bar = tuple[str, Sequence[float] | None, str]  # label, quartiles in days, and colour


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw one panel for each file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, default=FILES)
    parser.add_argument("--out", type=Path, default=DOCS / "missions.png")
    options = parser.parse_args(arguments)
    files = options.files
    figure, rows = plt.subplots(len(files), 1, figsize=(8, 2.4 * len(files)), squeeze=False, layout="constrained")
    for (axes,), file in zip(rows, files, strict=True):
        _draw(axes, json.loads(file.read_text(encoding="utf-8")))
    rows[-1][0].set_xlabel("days after the onset: median and quartiles")
    figure.savefig(options.out, dpi=110)
    plt.close(figure)
    print(options.out)
    return 0


def _draw(axes: Axes, report: dict[str, Any]) -> None:
    bars = _bars(report)
    for i, (_, days, colour) in enumerate(bars):
        if days is None:
            axes.text(0.01, i, "not within two looks", transform=axes.get_yaxis_transform(), va="center", fontsize=8)
            continue
        low, middle, high = days
        axes.plot([low, high], [i, i], color=colour, lw=5, solid_capstyle="butt")
        axes.plot([middle], [i], "o", color=colour, mec="black", ms=7)
    axes.set(xscale="log", ylim=(len(bars) - 0.5, -0.5))
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yticks(range(len(bars)), [label for label, _, _ in bars], fontsize=8)
    curve = report["curves"][0]
    title = f"{report['mission']['title']}: {report['body'].capitalize()} {report['split']}, {report['n_arrivals']} "
    axes.set_title(f"{title}arrivals, {curve['points'][0]['reported']['mean']:.0%} of them reported", fontsize=10)
    axes.grid(alpha=0.3, axis="x")


def _bars(report: dict[str, Any]) -> list[Bar]:
    points = report["curves"][0]["points"]
    look_days = report["mission"]["look_every_s"]["value"] / 86_400
    reports: Bar = ("event report", _days(points[0]["report_delay_h"]), ALERT)
    onsets: list[Bar] = [
        (f"onset, {point['budget_bytes'] / 1000:.0f} kB a day", _days(point["whole_delay_h"]), ALERT)
        for point in points
    ]
    # An onset lies anywhere between two looks.
    look: Bar = ("routine look", [share * look_days for share in QUARTERS], ROUTINE)
    return [reports, look, *onsets, ("backfill after it", [(1 + share) * look_days for share in QUARTERS], ROUTINE)]


def _days(quartiles_h: dict[str, float] | None) -> list[float] | None:
    return None if quartiles_h is None else [quartiles_h[name] / 24 for name in ("lower", "median", "upper")]


if __name__ == "__main__":
    sys.exit(main())

"""Draw docs/budget.png: recall against the daily downlink budget, the model and STA/LTA, Moon val and test.

The figures are those of

    edgequake bench budget --data RECORDS --split val --out docs/results/moon-val-budget.json

and of the same for test; other files of results may be named:

    python studies/figures/draw_budget.py FILE... [--out PNG]
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
from matplotlib.ticker import FuncFormatter, NullLocator

DOCS = Path(__file__).resolve().parents[2] / "docs"
FILES = (DOCS / "results" / "moon-val-budget.json", DOCS / "results" / "moon-test-budget.json")
STYLES: dict[str, dict[str, Any]] = {  # Okabe & Ito's colours, which every eye can distinguish
    "model": {"color": "#0072B2", "marker": "o"},
    "STA/LTA, tuned on val": {"color": "#D55E00", "marker": "s"},
}
LINES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("delivered", "delivered", {"ls": "-"}),
    ("whole", "with all of its onset", {"ls": "--", "markerfacecolor": "white"}),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw one panel for each file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, default=FILES)
    parser.add_argument("--out", type=Path, default=DOCS / "budget.png")
    options = parser.parse_args(arguments)
    files = options.files
    figure, row = plt.subplots(
        1, len(files), figsize=(4.6 * len(files), 4.2), sharey=True, squeeze=False, layout="constrained"
    )
    for axes, file in zip(row[0], files, strict=True):
        _draw(axes, json.loads(file.read_text(encoding="utf-8")))
    row[0][0].set_ylabel("share of the arrivals")
    figure.legend(*row[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=9)
    figure.savefig(options.out, dpi=110)
    plt.close(figure)
    print(options.out)
    return 0


def _draw(axes: Axes, report: dict[str, Any]) -> None:
    for curve in report["curves"]:
        name, points = curve["name"], curve["points"]
        budgets = [point["budget_bytes"] for point in points]
        style = STYLES[name]
        for field, words, look in LINES:
            shares = [point[field]["mean"] for point in points]
            deviations = [point[field]["deviation"] for point in points]
            axes.errorbar(budgets, shares, deviations, ms=5, capsize=2, label=f"{name}: {words}", **style, **look)
        axes.axhline(curve["recalled"]["mean"], color=style["color"], lw=0.8, ls=":")
    axes.set_xscale("log")
    axes.set(xlabel="budget [bytes a day]; dotted: recalled, whatever the budget", ylim=(-0.02, 1.05))
    axes.set_xticks([point["budget_bytes"] for point in report["curves"][-1]["points"]])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}".replace(",", " ")))
    axes.xaxis.set_minor_locator(NullLocator())
    title = f"{report['body'].capitalize()} {report['split']}: {report['n_arrivals']} arrivals of "
    axes.set_title(f"{title}{report['n_groups']} events", fontsize=10)
    axes.grid(alpha=0.3)


if __name__ == "__main__":
    sys.exit(main())

"""Draw docs/recall_kept.png: recall against the fraction kept, model and tuned STA/LTA, from docs/results/*.json."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent


def main() -> None:
    """Draw one panel for each split."""
    figure, panels = plt.subplots(1, 2, figsize=(9.0, 3.4), sharey=True, layout="constrained")
    for axes, split in zip(panels, ("val", "test"), strict=True):
        report = json.loads((HERE / "results" / f"moon-{split}.json").read_text())
        for (name, points), marker in zip(report["curves"].items(), "os", strict=True):
            # Records of ten hours and more alone say what a lander would keep.
            axes.plot(
                [100 * p["kept_long"] for p in points], [p["recall"] for p in points], marker=marker, ms=4, label=name
            )
        axes.set(xlabel="kept of records of 10 h or more [%]", ylim=(-0.02, 1.05), xlim=(-0.5, 45))
        axes.set_title(f"Moon {split}: {report['n_arrivals']} arrivals of {report['n_groups']} events", fontsize=10)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("recall")
    panels[1].legend(loc="upper right", bbox_to_anchor=(1.0, 0.8), fontsize=9)
    path = HERE / "recall_kept.png"
    figure.savefig(path, dpi=110)
    print(path)


if __name__ == "__main__":
    main()

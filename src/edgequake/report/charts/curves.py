"""Charts of measurements: recall against what is kept, and the latency of a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgequake.report.charts import images
from edgequake.report.costs import Latency
from edgequake.report.results import Accuracy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Told apart by colour, marker and dashes at once: in grey, in print, and by those who see few colours.
STYLES = (
    (images.BLUE, "o", "-"),
    (images.VERMILLION, "s", (0, (5, 2))),
    (images.GREEN, "^", (0, (1, 1.5))),
    (images.PURPLE, "D", (0, (5, 2, 1, 2))),
    (images.ORANGE, "v", "-"),
    (images.SKY, "P", (0, (5, 2))),
    (images.BLACK, "X", (0, (1, 1.5))),
)
FURTHER_MARKERS = "<>hpd*8"  # of more detectors than there are colours
MAX_COLUMNS = 2
ROW_HEIGHT_IN = 0.42
WIDE_RANGE = 300.0  # of times in one chart: beyond it the ticks in between would touch


def same_records(results: Sequence[Accuracy]) -> list[list[Accuracy]]:
    """Group results that were measured on the same records from the same starts: they share one pair of axes."""
    groups: dict[tuple[str, str, str, int, bool], list[Accuracy]] = {}
    for result in results:
        key = (result.body, result.split, result.data_sha256, result.n_seeds, result.long_records)
        groups.setdefault(key, []).append(result)
    return list(groups.values())


def curves_figure(groups: Sequence[Sequence[Accuracy]]) -> Figure:
    """Draw recall against the share kept, a pair of axes for each set of records.

    Detectors whose threshold was swept are lines; the others are single marks at their settings.
    """
    from matplotlib.figure import Figure  # no pyplot: it would look for a display

    n_columns = min(MAX_COLUMNS, len(groups))
    n_rows = -(-len(groups) // n_columns)
    figure = Figure(figsize=(5.0 * n_columns, 4.6 * n_rows), layout="constrained")
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    styles = _Styles()
    for axes, group in zip(panels, groups, strict=False):
        _draw_curves(axes, group, styles)
    for axes in panels[len(groups) :]:
        axes.set_axis_off()
    return figure


def _draw_curves(axes: Axes, group: Sequence[Accuracy], styles: _Styles) -> None:
    styles.begin()
    drawn: set[str] = set()
    for result in group:
        for name, points in result.curves.items():
            title = result.detector_title(name)
            if title in drawn:
                continue
            drawn |= {title}
            colour, marker, dashes = styles.of(result, name)
            axes.plot(
                [100 * point.kept for point in points], [point.recall for point in points], marker=marker, ls=dashes,
                color=colour, ms=5, lw=1.6, label=title, zorder=3,
            )  # fmt: skip
        kept = "kept_long" if result.long_records else "kept"
        swept = {result.detector_title(name) for name in result.curves}
        for figures in result.detectors:
            title = result.detector_title(figures.name)
            if title in drawn | swept or not {"recall", kept} <= set(figures.mean):
                continue
            drawn |= {title}
            colour, marker, _ = styles.of(result, figures.name)
            axes.plot(
                [100 * figures.mean[kept]], [figures.mean["recall"]], marker=marker, ls="none", color=colour, ms=8,
                mec="white", label=title, zorder=4, clip_on=False,
            )  # fmt: skip
    first = group[0]
    axes.set_title(first.title, fontsize=10, loc="left")
    axes.set_xlabel("kept of records of 10 h or more [%]" if first.long_records else "kept of the record time [%]")
    axes.set_ylabel("recall: share of arrivals found")
    axes.set_ylim(-0.03, 1.05)
    axes.set_xlim(left=-0.5)
    axes.grid(color=images.GRID, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    # Under the axes: curves may run anywhere inside.
    axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.16), frameon=False, fontsize=9, ncols=1)


def latency_figure(results: Sequence[Latency]) -> Figure:
    """Draw p50, p95 and p99 of a step, a row for each model, variant and runtime."""
    from matplotlib.figure import Figure  # no pyplot: it would look for a display
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    figure = Figure(figsize=(images.PICTURE_WIDTH_IN, 1.5 + ROW_HEIGHT_IN * len(results)), layout="constrained")
    axes = figure.subplots()
    for i, result in enumerate(results):
        values = result.percentiles_us
        axes.plot([values["p50"], values["p99"]], [i, i], color=images.GREY, lw=1.5, zorder=2)
        for (name, label), (colour, marker, _) in zip(_PERCENTILES.items(), STYLES, strict=False):
            shown = label if i == 0 else None
            axes.plot([values[name]], [i], marker=marker, ls="none", color=colour, ms=8, label=shown, zorder=3)
    axes.set_yticks(range(len(results)), [_row_name(result, results) for result in results])
    axes.set_ylim(len(results) - 0.5, -0.5)
    axes.set_xscale("log")
    values_us = [result.percentiles_us[name] for result in results for name in _PERCENTILES]
    axes.set_xlim(min(values_us) / 1.3, max(values_us) * 1.3)
    wide = max(values_us) > WIDE_RANGE * min(values_us)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("wall time of one step of the graph [us], logarithmic")
    axes.grid(axis="x", color=images.GRID, lw=0.6)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, frameon=False, fontsize=9)
    return figure


_PERCENTILES = {"p50": "p50 (median)", "p95": "p95", "p99": "p99"}


def _row_name(result: Latency, results: Sequence[Latency]) -> str:
    """Name a row by no more than tells it from the others."""
    told = [(one.provenance.computer, one.threads, one.runtime) for one in results]
    several = [len(set(values)) > 1 for values in zip(*told, strict=True)]
    mine = (result.provenance.computer, result.threads, result.runtime)
    differing = ", ".join(words for words, differs in zip(mine, several, strict=True) if differs)
    return f"{result.title}\n{differing}" if differing else result.title


class _Styles:
    """The same detector looks the same on all axes; so does the first model of each, and the second."""

    def __init__(self) -> None:
        self._given: dict[str, tuple[str, str, Any]] = {}
        self._models: list[str] = []

    def begin(self) -> None:
        """Begin new axes."""
        self._models = []

    def of(self, result: Accuracy, name: str) -> tuple[str, str, Any]:
        """Return colour, marker and dashes."""
        key = title = result.detector_title(name)
        if result.model_of(name) is not None:
            self._models += [] if title in self._models else [title]
            key = f"model {self._models.index(title)}"
        return self._given.setdefault(key, _style(len(self._given)))


def _style(i: int) -> tuple[str, str, Any]:
    """Return the i-th style; the first fourteen are all different."""
    turn, place = divmod(i, len(STYLES))
    colour, marker, dashes = STYLES[place]
    return colour, FURTHER_MARKERS[place] if turn % 2 else marker, dashes

"""Charts of measurements: recall against the share kept, and the latency of a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgequake.report.charts import images
from edgequake.results.accuracy import AccuracyReport
from edgequake.results.cost import LatencyReport, ModelLatency, StepLatency
from edgequake.results.words import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Distinct in colour, marker and dashes at once: also in grey, in print, and for colour-blind readers.
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


def same_records(reports: Sequence[AccuracyReport]) -> list[list[AccuracyReport]]:
    """Group reports that were measured on the same records from the same starts: they share one pair of axes."""
    groups: dict[tuple[object, ...], list[AccuracyReport]] = {}
    for report in reports:
        key = (report.body, report.split, report.data_sha256, len(report.seeds), report.kept_field)
        groups.setdefault(key, []).append(report)
    return list(groups.values())


def curves_figure(groups: Sequence[Sequence[AccuracyReport]]) -> Figure:
    """Draw recall against the share kept, a pair of axes for each set of records.

    Detectors with several thresholds are lines; the others are single marks at their settings.
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


def _draw_curves(axes: Axes, group: Sequence[AccuracyReport], styles: _Styles) -> None:
    styles.begin()
    drawn: set[str] = set()
    kept = group[0].kept_field
    for report in group:
        for name, points in report.curves.items():
            title = report.detector_title(name)
            if title in drawn:
                continue
            drawn |= {title}
            colour, marker, dashes = styles.of(report, name)
            axes.plot(
                [100 * getattr(point, kept) for point in points], [point.recall for point in points], marker=marker,
                ls=dashes, color=colour, ms=5, lw=1.6, label=title, zorder=3,
            )  # fmt: skip
        swept = {report.detector_title(name) for name in report.curves}
        for result in report.results:
            title, share, recall = (
                report.detector_title(result.name), result.summary.mean(kept), result.summary.mean("recall"),
            )  # fmt: skip
            if title in drawn | swept or share is None or recall is None:
                continue
            drawn |= {title}
            colour, marker, _ = styles.of(report, result.name)
            axes.plot(
                [100 * share], [recall], marker=marker, ls="none", color=colour, ms=8, mec="white", label=title,
                zorder=4, clip_on=False,
            )  # fmt: skip
    axes.set_title(group[0].title, fontsize=10, loc="left")
    long = kept == "kept_long"
    axes.set_xlabel("kept of records of 10 h or more [%]" if long else "kept of the record time [%]")
    axes.set_ylabel("recall: share of arrivals found")
    axes.set_ylim(-0.03, 1.05)
    axes.set_xlim(left=-0.5)
    axes.grid(color=images.GRID, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    # Under the axes: curves may run anywhere inside.
    axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.16), frameon=False, fontsize=9, ncols=1)


def latency_figure(reports: Sequence[LatencyReport]) -> Figure:
    """Draw p50, p95 and p99 of a step, a row for each model, variant, runtime and number of threads."""
    from matplotlib.figure import Figure  # no pyplot: it would look for a display
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    rows = [(report, model, step) for report in reports for model in report.models for step in model.steps]
    figure = Figure(figsize=(images.PICTURE_WIDTH_IN, 1.5 + ROW_HEIGHT_IN * len(rows)), layout="constrained")
    axes = figure.subplots()
    of_rows = [{name: step.us_per_step[name].value for name in _PERCENTILES} for _, _, step in rows]
    for i, values in enumerate(of_rows):
        axes.plot([values["p50"], values["p99"]], [i, i], color=images.GREY, lw=1.5, zorder=2)
        for (name, label), (colour, marker, _) in zip(_PERCENTILES.items(), STYLES, strict=False):
            shown = label if i == 0 else None
            axes.plot([values[name]], [i], marker=marker, ls="none", color=colour, ms=8, label=shown, zorder=3)
    axes.set_yticks(range(len(rows)), _row_names(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xscale("log")
    values_us = [us for values in of_rows for us in values.values()]
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


def _row_names(rows: Sequence[tuple[LatencyReport, ModelLatency, StepLatency]]) -> list[str]:
    """Name each row by its model and by what distinguishes it from the others."""
    words = [
        (report.provenance.computer, plural(step.n_threads, "thread"), model.runtime) for report, model, step in rows
    ]
    several = [len(set(column)) > 1 for column in zip(*words, strict=True)]
    names = []
    for (_, model, _), own in zip(rows, words, strict=True):
        differing = ", ".join(word for word, differs in zip(own, several, strict=True) if differs)
        names.append(f"{model.title}\n{differing}" if differing else model.title)
    return names


class _Styles:
    """Styles by detector: the same on all axes; the first model of all axes shares a style, and so does the second."""

    def __init__(self) -> None:
        self._given: dict[str, tuple[str, str, Any]] = {}
        self._models: list[str] = []

    def begin(self) -> None:
        """Begin new axes."""
        self._models = []

    def of(self, report: AccuracyReport, name: str) -> tuple[str, str, Any]:
        """Return colour, marker and dashes."""
        key = title = report.detector_title(name)
        if report.model_of(name) is not None:
            self._models += [] if title in self._models else [title]
            key = f"model {self._models.index(title)}"
        return self._given.setdefault(key, _style(len(self._given)))


def _style(i: int) -> tuple[str, str, Any]:
    """Return the i-th style; the first fourteen are all different."""
    turn, place = divmod(i, len(STYLES))
    colour, marker, dashes = STYLES[place]
    return colour, FURTHER_MARKERS[place] if turn % 2 else marker, dashes

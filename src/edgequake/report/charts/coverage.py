"""Charts of a scan: when each station has a record, and how many events there are on each day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgequake.report.charts import images

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DAY_S = 86_400.0
_ROW_IN = 0.22
_MOST_ROWS = 120  # stations in one picture
_FULL, _SOME = 0.9, 0.1  # share of a day that is recorded


def coverage_figure(days: Mapping[str, Mapping[np.datetime64, float]]) -> Figure:
    """Draw a line for each station, dark on days that are recorded, paler on days that are recorded in part.

    days : seconds recorded, by station and day.
    """
    from matplotlib.figure import Figure

    names = sorted(days)[:_MOST_ROWS]
    figure = Figure(figsize=(images.PICTURE_WIDTH_IN, 0.9 + _ROW_IN * len(names)), layout="constrained")
    axes = figure.subplots()
    for row, name in enumerate(names):
        for low, high, shade in ((_FULL, 2.0, 1.0), (_SOME, _FULL, 0.5), (0.0, _SOME, 0.2)):
            own = sorted(day for day, seconds in days[name].items() if low < seconds / _DAY_S <= high)
            spans = [(day, np.timedelta64(1, "D")) for day in own]
            if spans:
                axes.broken_barh(spans, (row - 0.4, 0.8), color=images.BLUE, alpha=shade, linewidth=0)  # type: ignore[arg-type]
    axes.xaxis_date()
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x", color=images.GRID)
    axes.set_axisbelow(True)
    return figure


def events_figure(days: Sequence[np.datetime64], n_events: Sequence[float], n_stations: Sequence[float]) -> Figure:
    """Draw the number of events for each station that is recorded, day by day."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(images.PICTURE_WIDTH_IN, 2.6), layout="constrained")
    axes = figure.subplots()
    share = np.asarray(n_events, np.float64) / np.maximum(1.0, np.asarray(n_stations, np.float64))
    axes.bar(np.asarray(days), share, width=np.timedelta64(1, "D"), color=images.VERMILLION)
    axes.set_ylabel("events a day and station")
    axes.grid(axis="y", color=images.GRID)
    axes.set_axisbelow(True)
    return figure

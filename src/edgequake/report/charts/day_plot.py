"""A day as seismologists draw it: one line for every hour, kept segments shaded, onsets marked and numbered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgequake.edge.formats.source_ids import channel_of
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.report.charts import images
from edgequake.report.recording.bands import Band, band_of, band_passed, band_text
from edgequake.report.recording.samples import Floats, by_channel, channel_order, unit_of
from edgequake.results.words import station_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NS_PER_MINUTE = 60 * NS_PER_S
NS_PER_HOUR = 60 * NS_PER_MINUTE
NS_PER_DAY = 24 * NS_PER_HOUR

N_COLUMNS = 1800  # of an hour: about two for each pixel
WHOLE_DAY_HOURS = 6  # records that cover fewer hours are drawn without the empty lines of the day
USUAL_SHARE = 97.0  # percentile of the motion that fills half the space between two lines
EVENT_SHARE = 98.0  # percentile of the kept motion that is not clipped
MOST_USUAL = 6.0  # times the space that usual motion needs: quiet hours are still seen beside a large quake
MOST_SPACINGS = 0.95  # larger motion is clipped at this distance from its line
MARK_MINUTES, LETTER_MINUTES = 0.9, 0.7  # width of a mark and of each letter of its label, on a line
LINE_HEIGHT_IN = 0.33


@dataclass(frozen=True)
class Mark:
    """An onset and the number of its event in the table."""

    time_ns: int
    number: int


@dataclass(frozen=True)
class HourLines:
    """The motion of each hour about its own median, in spaces between two lines, clipped; NaN where there is none.

    below, above : shape (24, n_columns).
    spacing : what the space between two lines represents, in the unit of the samples.
    """

    below: Floats
    above: Floats
    spacing: float


@dataclass(frozen=True)
class StationDay:
    """The data of one station on one day, [start_ns, start_ns + 24 h) in UTC."""

    station_id: str
    start_ns: int
    traces: tuple[Trace, ...]  # of all its channels
    kept_ns: tuple[tuple[int, int], ...]
    marks: tuple[Mark, ...]
    model: str = ""  # its name, which says whose quakes they are

    @property
    def date(self) -> str:
        """The date, for example 1973-06-30."""
        return f"{datetime.fromtimestamp(self.start_ns // NS_PER_S, timezone.utc):%Y-%m-%d}"

    @property
    def hours(self) -> range:
        """The hours to draw: all 24, or only those with data where they are few."""
        spans = [(trace.start_ns, trace.stop_ns) for trace in self.traces]
        spans += [*self.kept_ns, *((mark.time_ns, mark.time_ns + 1) for mark in self.marks)]
        first = max(0, (min(start for start, _ in spans) - self.start_ns) // NS_PER_HOUR)
        last = min(23, (max(stop for _, stop in spans) - 1 - self.start_ns) // NS_PER_HOUR)
        return range(24) if last - first >= WHOLE_DAY_HOURS else range(first, last + 1)


def station_days(
    station_id: str, traces: Sequence[Trace], kept_ns: Sequence[tuple[int, int]], marks: Sequence[Mark]
) -> Iterator[StationDay]:
    """Yield the days on which a station has data or kept intervals, oldest first; all arguments are of that station."""
    spans = [(trace.start_ns, trace.stop_ns) for trace in traces if len(trace.samples)] + list(kept_ns)
    for day in sorted({day for start, stop in spans for day in range(start // NS_PER_DAY, -(-stop // NS_PER_DAY))}):
        start_ns, stop_ns = day * NS_PER_DAY, (day + 1) * NS_PER_DAY
        cut = (trace.between(start_ns, stop_ns) for trace in traces if _meets(trace.start_ns, trace.stop_ns, start_ns))
        own = tuple(trace for trace in cut if len(trace.samples))
        kept = tuple((max(a, start_ns), min(b, stop_ns)) for a, b in kept_ns if _meets(a, b, start_ns))
        marked = tuple(mark for mark in marks if start_ns <= mark.time_ns < stop_ns)
        if own or kept or marked:
            yield StationDay(station_id, start_ns, own, kept, marked)


def day_figure(day: StationDay) -> Figure:
    """Draw one channel of a station's day: the vertical one, if it is live."""
    from matplotlib.figure import Figure  # no pyplot: it would look for a display

    hours = day.hours
    height_in = 1.3 + LINE_HEIGHT_IN * len(hours)
    figure = Figure(figsize=(images.PICTURE_WIDTH_IN, height_in), layout="constrained")
    axes = figure.subplots()
    for start_ns, stop_ns in day.kept_ns:
        _shade(axes, day, start_ns, stop_ns)
    channel, spacing, band = _draw_lines(axes, day)
    _draw_marks(axes, day)
    axes.set_xlim(0, 60)
    axes.set_ylim(hours[-1] + 1.0, hours[0] - 1.0)
    axes.set_xticks(range(0, 61, 5))
    axes.set_yticks(list(hours), [f"{hour:02d}:00" for hour in hours])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=images.GRID, lw=0.5)
    axes.set_axisbelow(True)
    axes.set_xlabel("minutes after the hour")
    axes.set_ylabel("hour (UTC)")
    axes.spines[["top", "right", "left"]].set_visible(False)
    unit = unit_of(day.traces) if day.traces else ""
    scale = f", {band_text(band)}; lines {spacing:.3g} {unit} apart, more is clipped" if spacing else ""
    axes.set_title(f"{station_name(day.station_id)} {channel}, {day.date} UTC{scale}", loc="left", fontsize=9)
    _add_legend(axes, day)
    return figure


def _draw_lines(axes: Axes, day: StationDay) -> tuple[str, float, Band | None]:
    """Draw each hour of one channel about its own median.

    Returns its code, the motion that the space between two lines represents, 0 where there is nothing to draw, and the
    band of the filter.
    """
    samples = by_channel(day.traces)
    if not samples:
        return "", 0.0, None
    source_id = channel_order(samples, samples)[0]
    rate_hz = next(trace.sampling_rate_hz for trace in day.traces if trace.source_id == source_id)
    band = band_of(day.station_id, rate_hz, day.model) if samples[source_id].live else None
    passed = band_passed(samples[source_id], rate_hz, band)
    extremes = passed.extremes(day.start_ns, day.start_ns + NS_PER_DAY, 24 * N_COLUMNS)
    lines = hour_lines(*extremes, _kept_columns(day))
    if lines is None:
        return channel_of(source_id), 0.0, band
    minutes = (np.arange(N_COLUMNS) + 0.5) / N_COLUMNS * 60.0
    for hour in day.hours:
        below, above = lines.below[hour], lines.above[hour]
        # The axis points downwards, from earlier to later hours: upward motion is subtracted.
        axes.fill_between(minutes, hour - below, hour - above, color=images.TRACE, lw=0.45)
    return channel_of(source_id), lines.spacing, band


def hour_lines(low: Floats, high: Floats, kept: npt.NDArray[np.bool_] | None = None) -> HourLines | None:
    """Return the lines of a day from its extremes, shape (24 * n_columns,), NaN where there are no samples.

    None where there are none on the whole day. What `kept` marks, of the shape (24, n_columns), fits between the lines
    unless it is huge.
    """
    lows, highs = _centred(low.reshape(24, -1), high.reshape(24, -1))
    sizes = np.maximum(np.abs(lows), np.abs(highs))
    if not np.isfinite(sizes).any():
        return None
    spacing = _spacing(sizes, np.zeros(sizes.shape, np.bool_) if kept is None else kept)
    below, above = (np.clip(part / spacing, -MOST_SPACINGS, MOST_SPACINGS) for part in (lows, highs))
    return HourLines(below, above, spacing)


def _spacing(sizes: Floats, kept: npt.NDArray[np.bool_]) -> float:
    """Return the motion between two lines: the usual one fills half of it, and what is kept fits, unless it is huge."""
    usual = 2.0 * float(np.nanpercentile(sizes, USUAL_SHARE)) or 1.0
    events = sizes[kept & np.isfinite(sizes)]
    largest = float(np.percentile(events, EVENT_SHARE)) / MOST_SPACINGS if len(events) else 0.0
    return min(max(usual, largest), MOST_USUAL * usual)


def _kept_columns(day: StationDay) -> npt.NDArray[np.bool_]:
    """Return which columns of the 24 lines are kept, (24, N_COLUMNS)."""
    kept = np.zeros(24 * N_COLUMNS, np.bool_)
    for start_ns, stop_ns in day.kept_ns:
        first, last = ((time_ns - day.start_ns) * N_COLUMNS // NS_PER_HOUR for time_ns in (start_ns, stop_ns))
        kept[first:last] = True
    return kept.reshape(24, N_COLUMNS)


def _centred(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Subtract the median of each line; empty lines stay empty."""
    middle = np.full((len(low), 1), np.nan)
    for i, line in enumerate((low + high) / 2.0):
        if np.isfinite(line).any():
            middle[i] = np.nanmedian(line)
    return low - middle, high - middle


def _shade(axes: Axes, day: StationDay, start_ns: int, stop_ns: int) -> None:
    for hour in day.hours:
        hour_ns = day.start_ns + hour * NS_PER_HOUR
        first, last = max(start_ns, hour_ns), min(stop_ns, hour_ns + NS_PER_HOUR)
        if first < last:
            minute, width = (first - hour_ns) / NS_PER_MINUTE, (last - first) / NS_PER_MINUTE
            axes.fill_between(
                [minute, minute + width], hour - 0.5, hour + 0.5, color=images.KEPT, alpha=images.KEPT_ALPHA, lw=0
            )


def _draw_marks(axes: Axes, day: StationDay) -> None:
    from matplotlib.patheffects import withStroke

    for minute, hour, label in labelled(day):
        axes.plot([minute], [hour - 0.42], "v", color=images.ONSET, ms=7, mec="white", mew=0.6, clip_on=False, zorder=5)
        axes.annotate(
            label, (minute, hour - 0.42), xytext=(6, 1), textcoords="offset points", zorder=6, va="center", fontsize=9,
            fontweight="bold", color=images.BLACK, path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )  # fmt: skip


def labelled(day: StationDay) -> list[tuple[float, int, str]]:
    """Return (minute, hour, label) of every mark; of marks too close together only the first has a label: "3…7"."""
    placed: list[tuple[float, int, str]] = []
    crowd: tuple[int, Mark] | None = None  # place of the latest label in `placed`, and its first mark
    for mark in sorted(day.marks, key=lambda mark: mark.time_ns):
        hour, rest_ns = divmod(mark.time_ns - day.start_ns, NS_PER_HOUR)
        minute = rest_ns / NS_PER_MINUTE
        if crowd is not None and _has_no_room(placed[crowd[0]], minute, hour):
            place, first = crowd
            placed[place] = (*placed[place][:2], f"{first.number}…{mark.number}")
            placed.append((minute, hour, ""))
        else:
            crowd = len(placed), mark
            placed.append((minute, hour, str(mark.number)))
    return placed


def _has_no_room(labelled_mark: tuple[float, int, str], minute: float, hour: int) -> bool:
    label_minute, label_hour, label = labelled_mark
    return hour == label_hour and minute - label_minute < MARK_MINUTES + LETTER_MINUTES * len(label)


def _add_legend(axes: Axes, day: StationDay) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Patch(color=images.KEPT, alpha=images.KEPT_ALPHA, lw=0, label="kept"),
        Line2D([], [], marker="v", color="none", mfc=images.ONSET, mec="white", ms=8, label="onset, event's number"),
    ]
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False, fontsize=9)


def _meets(start_ns: int, stop_ns: int, day_ns: int) -> bool:
    return start_ns < day_ns + NS_PER_DAY and stop_ns > day_ns

"""One event: the kept samples, their spectrogram and the network's probabilities on one time axis."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgequake.edge.formats.source_ids import channel_of
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.results.catalog import CatalogRow, Segment
from edgequake.report.charts import images
from edgequake.report.charts.day_plot import Mark
from edgequake.report.charts.spectrogram import DEFAULT_BRIDGE_S, DEFAULT_WINDOW_SAMPLES, spectrogram_of
from edgequake.report.recording.bands import Band, band_of, band_passed, band_text, shown_limit
from edgequake.report.recording.probabilities import ProbabilityTrace
from edgequake.report.recording.samples import Floats, Samples, by_channel, channel_order, unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

N_COLUMNS = 1800  # about two for each pixel
MAX_CHANNELS = 3
DECIBEL_RANGE = (5.0, 99.7)  # percentiles of the spectrogram that the colours span


@dataclass(frozen=True)
class EventPanel:
    """The data of one event."""

    row: CatalogRow
    segment: Segment
    traces: tuple[Trace, ...]  # the kept samples, every channel
    probabilities: ProbabilityTrace | None
    marks: tuple[Mark, ...]  # of all events in the segment
    onset_threshold: float
    event_threshold: float | None  # None without a model
    window_samples: int = DEFAULT_WINDOW_SAMPLES  # of a spectrum
    bridge_s: float = DEFAULT_BRIDGE_S  # longer gaps stay empty in the spectrogram
    model: str = ""  # its name, which says whose quakes they are

    def band_of(self, rate_hz: float) -> Band | None:
        """Return the band in which the waveforms are drawn."""
        return band_of(self.row.station_id, rate_hz, self.model)


def event_figure(panel: EventPanel) -> Figure:
    """Draw an event's panel: a line for each channel, the spectrogram of the first, the probabilities."""
    from matplotlib.figure import Figure  # no pyplot: it would look for a display

    samples = by_channel(panel.traces)
    channels = channel_order(samples, samples)[:MAX_CHANNELS]
    heights = [1.0] * len(channels) + [1.5] + ([1.3] if panel.probabilities is not None else [])
    figure = Figure(figsize=(images.PICTURE_WIDTH_IN, 0.9 + 1.15 * sum(heights)), layout="constrained")
    rows = list(figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0])
    for axes, source_id in zip(rows, channels, strict=False):
        _draw_waveform(axes, panel, source_id, samples[source_id])
    _draw_spectrogram(figure, rows[len(channels)], panel, channels[0], samples[channels[0]])
    if panel.probabilities is not None:
        _draw_probabilities(rows[-1], panel, panel.probabilities)
    for i, axes in enumerate(rows):
        _draw_onsets(axes, panel, with_numbers=i == 0)
        axes.spines[["top", "right"]].set_visible(False)
    _set_time_axis(rows[-1], panel.segment)
    figure.align_ylabels(rows)
    return figure


def draw_segment(row: CatalogRow, segment: Path, out: Path) -> Path:
    """Draw an event from its segment alone, as PNG, and return the picture's path.

    Raises
    ------
    DataError
        The segment cannot be read.
    """
    from edgequake.report.recording.samples import read_record

    traces = tuple(read_record(segment))
    start_ns, stop_ns = min(one.start_ns for one in traces), max(one.stop_ns for one in traces)
    described = Segment(row.segment, row.station_id, start_ns, stop_ns, row.n_samples, row.size_bytes)
    figure = event_figure(EventPanel(row, described, traces, None, (Mark(row.onset_ns, 1),), 0.0, None))
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=images.PNG_DPI)
    return out


def _draw_waveform(axes: Axes, panel: EventPanel, source_id: str, samples: Samples) -> None:
    start_ns, stop_ns = panel.segment.start_ns, panel.segment.stop_ns
    own = [trace for trace in panel.traces if trace.source_id == source_id]
    is_live, band = samples.live, panel.band_of(own[0].sampling_rate_hz)
    if is_live:
        samples = band_passed(samples, own[0].sampling_rate_hz, band)
    n_columns = min(N_COLUMNS, max(1, len(samples.values)))
    low, high = samples.extremes(start_ns, stop_ns, n_columns)
    middle = float(np.median(samples.values)) if len(samples.values) else 0.0
    days = _days(start_ns, (np.arange(n_columns) + 0.5) / n_columns * (stop_ns - start_ns))
    length_ns = np.array([0, panel.row.stop_ns - panel.row.onset_ns])
    axes.axvspan(*_days(panel.row.onset_ns, length_ns), color=images.KEPT, alpha=images.KEPT_ALPHA, lw=0)
    if len(samples.values) > N_COLUMNS:
        axes.fill_between(days, low - middle, high - middle, color=images.TRACE, lw=0.5)
    else:
        axes.plot(_days(0, samples.times_ns), samples.values - middle, color=images.TRACE, lw=0.8)
    axes.set_ylabel(f"{channel_of(source_id)}\n[{unit_of(own)}]" if is_live else f"{channel_of(source_id)}\ndead")
    if not is_live:
        axes.set_yticks([])
        return
    limit = shown_limit(low - middle, high - middle, np.ones(n_columns, np.bool_))
    axes.set_ylim(-limit, limit)
    axes.annotate(band_text(band), (0.003, 0.04), xycoords="axes fraction", fontsize=8, color=images.GREY)
    axes.locator_params(axis="y", nbins=4)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 4), useOffset=False)


def _draw_spectrogram(figure: Figure, axes: Axes, panel: EventPanel, source_id: str, samples: Samples) -> None:
    from matplotlib.ticker import MaxNLocator

    rate_hz = next(trace.sampling_rate_hz for trace in panel.traces if trace.source_id == source_id)
    spectrogram = spectrogram_of(samples, rate_hz, panel.window_samples, panel.bridge_s)
    axes.set_ylabel(f"{channel_of(source_id)}\nfrequency [Hz]")
    if spectrogram is None:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "too few samples for a spectrogram", ha="center", va="center", transform=axes.transAxes)
        return
    low, high = np.nanpercentile(spectrogram.decibels, DECIBEL_RANGE)
    mesh = axes.pcolormesh(
        _days(0, spectrogram.edges_ns), spectrogram.edges_hz, spectrogram.decibels, cmap="cividis", vmin=low, vmax=high,
        rasterized=True,
    )  # fmt: skip
    axes.set_ylim(0, spectrogram.edges_hz[-1])
    unit = unit_of([trace for trace in panel.traces if trace.source_id == source_id])
    bar = figure.colorbar(mesh, ax=axes, pad=0.01, aspect=12)
    bar.set_label(f"dB of 1 {unit}²/Hz", fontsize=8)
    bar.locator = MaxNLocator(nbins=4)
    bar.update_ticks()


def _draw_probabilities(axes: Axes, panel: EventPanel, computed: ProbabilityTrace) -> None:
    cut = computed.between(panel.segment.start_ns, panel.segment.stop_ns)
    lines = [("onset", cut.onset, images.ONSET_PROBABILITY, "-"), ("event", cut.event, images.EVENT_PROBABILITY, "--")]
    if np.array_equal(cut.onset, cut.event):
        lines = [("event, which is also the onset's", cut.event, images.EVENT_PROBABILITY, "-")]
    for name, values, colour, style in lines:
        times_ns, steps = _as_steps(cut, values)
        axes.plot(_days(0, times_ns), steps, style, color=colour, lw=1.5, label=name)
    axes.axhline(
        panel.onset_threshold, color=images.ONSET_PROBABILITY, lw=1.2, ls=":",
        label=f"onset threshold {panel.onset_threshold:g}",
    )  # fmt: skip
    if panel.event_threshold is not None:
        label = f"event threshold {panel.event_threshold:g}"
        axes.axhline(panel.event_threshold, color=images.EVENT_PROBABILITY, lw=1.2, ls=(0, (1, 3)), label=label)
    axes.set_ylim(-0.04, 1.04)
    axes.set_yticks([0, 0.5, 1])
    axes.set_ylabel("network\nprobability")
    axes.legend(
        loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4, frameon=False, fontsize=9, borderaxespad=0.1,
        handlelength=2.6,
    )  # fmt: skip


def _as_steps(computed: ProbabilityTrace, values: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return decisions as the corners of steps, with a break where a decision does not follow the previous one."""
    start_ns, stop_ns = computed.start_ns, computed.stop_ns
    gaps = 1 + np.flatnonzero(start_ns[1:] - stop_ns[:-1] > (stop_ns - start_ns)[1:])
    corners = np.column_stack([start_ns, stop_ns]).ravel()
    return np.insert(corners, 2 * gaps, start_ns[gaps]), np.insert(np.repeat(values, 2), 2 * gaps, np.nan)


def _draw_onsets(axes: Axes, panel: EventPanel, with_numbers: bool) -> None:
    for mark in panel.marks:
        own = mark.time_ns == panel.row.onset_ns
        (when,) = _days(mark.time_ns, np.zeros(1))
        axes.axvline(when, color=images.ONSET if own else images.GREY, lw=1.6 if own else 1.0, ls="-" if own else "--")
        if with_numbers:
            axes.annotate(
                f"onset {mark.number}" if own else str(mark.number), (when, 1.0), xycoords=axes.get_xaxis_transform(),
                xytext=(0, 3), textcoords="offset points", ha="center", fontsize=9,
                fontweight="bold" if own else "normal", color=images.ONSET if own else images.GREY,
            )  # fmt: skip


def _set_time_axis(axes: Axes, segment: Segment) -> None:
    from matplotlib import dates

    axes.set_xlim(*_days(segment.start_ns, np.array([0, segment.stop_ns - segment.start_ns])))
    locator = dates.AutoDateLocator(minticks=5, maxticks=11)
    axes.xaxis.set_major_locator(locator)
    length_s = (segment.stop_ns - segment.start_ns) / NS_PER_S
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M" if length_s > 360 else "%H:%M:%S"))
    date = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=segment.start_ns // NS_PER_S)
    axes.set_xlabel(f"UTC, {date:%Y-%m-%d}")


def _days(start_ns: int, offsets_ns: npt.NDArray[np.generic] | npt.NDArray[np.int64]) -> Floats:
    """Return matplotlib's dates, days since 1970 UTC, of times after `start_ns`."""
    days: Floats = (start_ns + offsets_ns.astype(np.float64)) / (86_400 * NS_PER_S)
    return days

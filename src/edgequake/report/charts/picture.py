"""A run in one picture: the channels of one record, or a panel for each of several; kept time shaded, onsets marked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgequake.edge.base.errors import DataError
from edgequake.edge.base.layout import CATALOG, SEGMENTS, STATUS, SUMMARY
from edgequake.edge.formats.source_ids import channel_of
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.results.catalog import CatalogRow, read_catalog
from edgequake.edge.results.summary import Summary
from edgequake.report.charts import images
from edgequake.report.recording.bands import band_of, band_passed, band_text, shown_limit
from edgequake.report.recording.record_index import RecordIndex, Span, files_of, live_files
from edgequake.report.recording.samples import by_channel, channel_order
from edgequake.results.finished_run import read_run
from edgequake.results.progress import Progress, silent
from edgequake.results.words import plural, station_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

N_COLUMNS = 2400  # about two per pixel: a day is drawn as the smallest and largest sample of each column
MOST_PANELS = 8
MOST_CHANNELS = 6
NS_PER_HOUR = 3600 * NS_PER_S
NS_PER_DAY = 24 * NS_PER_HOUR
LONGEST_RECORD_NS = 2 * NS_PER_DAY  # a longer one is drawn day by day
JOIN_NS = 6 * NS_PER_HOUR  # files of one record may have gaps between them
# The unit of the axis of time, by the longest record from which it is used on.
TIME_UNITS = (
    (3 * NS_PER_HOUR, NS_PER_HOUR, "hours"),
    (180 * NS_PER_S, 60 * NS_PER_S, "minutes"),
    (0, NS_PER_S, "seconds"),
)


@dataclass(frozen=True)
class _Panel:
    """One channel of a record."""

    channel: str
    traces: tuple[Trace, ...]
    start_ns: int
    stop_ns: int
    title: str


def draw_run(
    run_dir: Path,
    out: Path,
    inputs: Sequence[Path] = (),
    station_id: str | None = None,
    progress: Progress = silent,
) -> Path:
    """Draw one station of a run as PNG and return the picture's path.

    One record is drawn with all its channels, several with a panel each: of more than eight those with most events. A
    record longer than two days is drawn day by day.

    Parameters
    ----------
    run_dir : the folder that `edgequake run` wrote. With `inputs` the run need not be finished.
    inputs : miniSEED files, folders of them or Space Apps CSV files that were run; by default those in summary.json, of
        a live run its archive, and without one its segments.
    station_id : NET_STA; by default the station with most events, of several the one with most samples.

    Raises
    ------
    DataError
        No run there, no record among the inputs, or no such station in them.
    """
    files, from_folder = _files(run_dir, inputs)
    events = read_catalog(run_dir / CATALOG)
    index = RecordIndex(files, skip_others=from_folder, progress=progress)
    named = ", ".join(map(str, inputs)) or str(run_dir)
    if not index.n_samples:
        raise DataError(f"no miniSEED file in {named}: name the records that were run with --input")
    n_events = Counter(event.station_id for event in events)
    best = max(index.n_samples, key=lambda name: (n_events[name], index.n_samples[name]))
    chosen = station_id or best
    if chosen not in index.n_samples:
        raise DataError(f"no station {chosen} in {named}: name one as NET_STA")
    own = [event for event in events if event.station_id == chosen]
    segments = RecordIndex(sorted((run_dir / SEGMENTS).glob("*.mseed")), skip_others=True)
    kept_ns = segments.spans(chosen, 0)
    records = _records(index.spans(chosen, JOIN_NS))
    shown = _busiest(records, own)
    panels = _panels(index, chosen, shown)
    _draw(panels, kept_ns, own, _title(chosen, shown, records, own, kept_ns, index), out, _model(run_dir, chosen))
    return out


def _files(run_dir: Path, inputs: Sequence[Path]) -> tuple[list[Path], bool]:
    """Return the files to draw, and whether some of them may be no records."""
    if inputs:
        return files_of(inputs, run_dir), any(path.is_dir() for path in inputs)
    live = live_files(run_dir)
    if not (run_dir / SUMMARY).is_file():
        if (run_dir / STATUS).is_file() and live:  # a live run that goes on
            return live, True
        read_run(run_dir)  # raises
    named = [Path(name) for name in Summary.read(run_dir / SUMMARY).inputs]
    if not all(path.exists() for path in named) and live and not any(path.suffix for path in named):
        return live, True  # of standard input, or addresses
    return files_of(named, run_dir), any(path.is_dir() for path in named)


def _records(spans: Sequence[Span]) -> list[Span]:
    """Cut records that are longer than two days at midnight."""
    cut: list[Span] = []
    for start_ns, stop_ns in spans:
        if stop_ns - start_ns <= LONGEST_RECORD_NS:
            cut.append((start_ns, stop_ns))
            continue
        midnights = range((start_ns // NS_PER_DAY + 1) * NS_PER_DAY, stop_ns, NS_PER_DAY)
        ends = [start_ns, *midnights, stop_ns]
        cut += pairwise(ends)
    return cut


def _busiest(records: Sequence[Span], events: Sequence[CatalogRow]) -> list[Span]:
    """Return the records with most events, of as many the later ones, in the order of time."""

    def n_events(record: Span) -> int:
        return sum(record[0] <= event.onset_ns < record[1] for event in events)

    return sorted(sorted(records, key=lambda record: (n_events(record), record))[-MOST_PANELS:])


def _panels(index: RecordIndex, station_id: str, records: Sequence[Span]) -> list[_Panel]:
    panels = []
    for start_ns, stop_ns in records:
        traces = index.traces(station_id, start_ns, stop_ns)
        samples = by_channel(traces)
        names = channel_order(samples, samples)
        begun = datetime.fromtimestamp(start_ns // NS_PER_S, timezone.utc)
        title = f"{begun:%Y-%m-%d %H:%M}" if records[1:] else ""
        for name in names[: 1 if records[1:] else MOST_CHANNELS]:
            own = tuple(trace for trace in traces if trace.source_id == name)
            panels.append(_Panel(name, own, start_ns, stop_ns, title))
    return panels if records[1:] else sorted(panels, key=lambda panel: panel.channel)


def _model(run_dir: Path, station_id: str) -> str:
    """Return the model that was run for a station; blank where that is not known."""
    try:
        return Summary.read(run_dir / SUMMARY).model_of(station_id).name
    except DataError:
        return ""


def _title(
    station_id: str,
    shown: Sequence[Span],
    records: Sequence[Span],
    events: Sequence[CatalogRow],
    kept_ns: Sequence[Span],
    index: RecordIndex,
) -> str:
    covered_ns = sum(stop - start for start, stop in index.spans(station_id, 60 * NS_PER_S))
    share = sum(stop - start for start, stop in kept_ns) / max(1, covered_ns)
    begun = datetime.fromtimestamp(records[0][0] // NS_PER_S, timezone.utc)
    of = f"\n{len(shown)} of {plural(len(records), 'record')}, those with most events" if shown != list(records) else ""
    return (
        f"{station_name(station_id)}, from {begun:%Y-%m-%d %H:%M} UTC: {plural(len(events), 'event')} (marked), "
        f"{share:.1%} of the time kept (shaded){of}"
    )


def _draw(
    panels: Sequence[_Panel], kept_ns: Sequence[Span], events: Sequence[CatalogRow], title: str, out: Path, model: str
) -> None:
    from matplotlib.figure import Figure  # no pyplot: it would look for a display

    several = len({(panel.start_ns, panel.stop_ns) for panel in panels}) > 1
    figure = Figure(figsize=(11, 1.2 + (1.75 if several else 1.5) * len(panels)), dpi=130, layout="constrained")
    rows = figure.subplots(len(panels), 1, sharex=not several, squeeze=False)[:, 0]
    longest_ns = max(panel.stop_ns - panel.start_ns for panel in panels)
    unit_ns, unit = next((unit_ns, unit) for from_ns, unit_ns, unit in TIME_UNITS if longest_ns >= from_ns)
    for axes, panel in zip(rows, panels, strict=True):
        _draw_panel(axes, panel, kept_ns, [event.onset_ns for event in events], model, unit_ns)
    figure.suptitle(title, x=0.01, ha="left", fontsize="large")
    rows[-1].set_xlabel(
        f"{unit} since the start{' of each record' if several else ''}; motion beyond the axes is cut off"
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)


def _draw_panel(
    axes: Axes, panel: _Panel, kept_ns: Sequence[Span], onsets_ns: Sequence[int], model: str, unit_ns: int
) -> None:
    start_ns, stop_ns = panel.start_ns, panel.stop_ns
    rate_hz = panel.traces[0].sampling_rate_hz
    band = band_of(panel.traces[0].station_id, rate_hz, model)
    (samples,) = by_channel(panel.traces).values()
    is_live = samples.live
    samples = band_passed(samples, rate_hz, band) if is_live else samples
    low, high = samples.extremes(start_ns, stop_ns, N_COLUMNS)
    middle = float(np.median(samples.values)) if len(samples.values) else 0.0
    low, high = low - middle, high - middle
    times = (np.arange(N_COLUMNS) + 0.5) / N_COLUMNS * (stop_ns - start_ns) / unit_ns
    kept = np.zeros(N_COLUMNS, np.bool_)
    for kept_start_ns, kept_stop_ns in kept_ns:
        first, last = max(kept_start_ns, start_ns), min(kept_stop_ns, stop_ns)
        if first < last:
            ends = ((first - start_ns) / unit_ns, (last - start_ns) / unit_ns)
            axes.axvspan(*ends, color=images.KEPT, alpha=images.KEPT_ALPHA, lw=0)
            kept |= (times >= ends[0]) & (times < ends[1])
    limit = shown_limit(low, high, kept)
    axes.fill_between(times, np.clip(low, -limit, limit), np.clip(high, -limit, limit), color=images.TRACE, lw=0.4)
    axes.set_ylim(-1.02 * limit, 1.02 * limit)
    onsets = [(onset - start_ns) / unit_ns for onset in onsets_ns if start_ns <= onset < stop_ns]
    tops = [1.0] * len(onsets)  # of the axes: above the trace, not across it
    axes.plot(onsets, tops, "v", color=images.ONSET, ms=6, clip_on=False, transform=axes.get_xaxis_transform())
    axes.set_xlim(0, (stop_ns - start_ns) / unit_ns)
    axes.set_ylabel(channel_of(panel.channel) + ("" if is_live else "\ndead"))
    text = f"{panel.title}  {band_text(band)}" if is_live else f"{panel.title}"
    axes.annotate(text.strip(), (0.003, 0.03), xycoords="axes fraction", fontsize=8, color=images.GREY)
    axes.spines[["top", "right"]].set_visible(False)

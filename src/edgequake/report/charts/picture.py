"""A run in one picture: the channels of one station, kept intervals shaded, onsets marked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.source_ids import channel_of
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.results.catalog import read_catalog
from edgequake.report.charts import images
from edgequake.report.recording.samples import join_intervals, joined, read_record, record_files
from edgequake.results.finished_run import read_run
from edgequake.results.words import station_name

N_COLUMNS = 2400  # about two per pixel: a day is drawn as the smallest and largest sample of each column
NS_PER_HOUR = 3600 * NS_PER_S


def draw_run(run_dir: Path, out: Path, inputs: Sequence[Path] = (), station_id: str | None = None) -> Path:
    """Draw one station of a run as PNG and return the picture's path.

    Parameters
    ----------
    run_dir : the folder that `edgequake run` wrote. With `inputs` the run need not be finished.
    inputs : miniSEED files, folders of them or Space Apps CSV files that were run; by default those in summary.json.
    station_id : NET_STA; by default the station with most samples.

    Raises
    ------
    DataError
        No run there, no record among the inputs, or no such station in them.
    """
    named = inputs or [Path(name) for name in read_run(run_dir).summary.inputs]
    events = read_catalog(run_dir / "catalog.csv")
    traces = _read(named)
    if not traces:
        raise DataError(
            f"no miniSEED file in {', '.join(map(str, named))}: name the records that were run with --input"
        )
    n_samples: Counter[str] = Counter()
    for trace in traces:
        n_samples[trace.station_id] += len(trace.samples)
    chosen = station_id or n_samples.most_common(1)[0][0]
    own = [trace for trace in traces if trace.station_id == chosen]
    if not own:
        raise DataError(f"no station {chosen} in {', '.join(map(str, named))}: name one as NET_STA")
    segments = [trace for trace in _read([run_dir / "segments"]) if trace.station_id == chosen]
    kept_ns = join_intervals((trace.start_ns, trace.stop_ns) for trace in segments)
    _draw(own, kept_ns, [event.onset_ns for event in events if event.station_id == chosen], out)
    return out


def _read(paths: Sequence[Path]) -> list[Trace]:
    return [trace for path in record_files(paths) for trace in read_record(path)]


def _draw(traces: list[Trace], kept_ns: list[tuple[int, int]], onsets_ns: list[int], out: Path) -> None:
    """Draw the traces of one station."""
    from matplotlib.figure import Figure  # no pyplot: it would look for a display

    start_ns, stop_ns = min(trace.start_ns for trace in traces), max(trace.stop_ns for trace in traces)
    channels = sorted({channel_of(trace.source_id) for trace in traces})
    figure = Figure(figsize=(11, 1.2 + 1.5 * len(channels)), dpi=130, layout="constrained")
    rows = figure.subplots(len(channels), 1, sharex=True, squeeze=False)[:, 0]
    column_hours = (np.arange(N_COLUMNS) + 0.5) / N_COLUMNS * (stop_ns - start_ns) / NS_PER_HOUR
    onset_hours = [(onset_ns - start_ns) / NS_PER_HOUR for onset_ns in onsets_ns]
    for axes, channel in zip(rows, channels, strict=True):
        samples = joined(trace for trace in traces if channel_of(trace.source_id) == channel)
        low, high = samples.extremes(start_ns, stop_ns, N_COLUMNS)
        middle = float(np.median(samples.values)) if len(samples.values) else 0.0
        for kept_start_ns, kept_stop_ns in kept_ns:
            hours = ((kept_start_ns - start_ns) / NS_PER_HOUR, (kept_stop_ns - start_ns) / NS_PER_HOUR)
            axes.axvspan(*hours, color=images.KEPT, alpha=images.KEPT_ALPHA, lw=0)
        axes.fill_between(column_hours, low - middle, high - middle, color=images.TRACE, lw=0.4)
        tops = [1.0] * len(onset_hours)  # of the axes: above the trace, not across it
        axes.plot(onset_hours, tops, "v", color=images.ONSET, ms=6, clip_on=False, transform=axes.get_xaxis_transform())
        axes.set_ylabel(channel)
        axes.margins(x=0)
        axes.spines[["top", "right"]].set_visible(False)
    share = sum(stop - start for start, stop in kept_ns) / (stop_ns - start_ns)
    begun = datetime.fromtimestamp(start_ns // NS_PER_S, timezone.utc)
    rows[0].set_title(
        f"{station_name(traces[0].station_id)}, {begun:%Y-%m-%d %H:%M} UTC: {len(onsets_ns)} events (marked), "
        f"{share:.1%} of the time kept (shaded)",
        loc="left",
    )
    rows[-1].set_xlabel("hours since the start; ground motion in the record's units about its median")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)

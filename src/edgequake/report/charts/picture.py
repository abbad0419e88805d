"""Draw what a run heard and what it kept: the channels of one station, kept parts shaded, onsets marked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pymseed

from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.space_apps_csv import read_packet_csv
from edgequake.edge.formats.waveforms import Trace, channel_of
from edgequake.edge.results.catalog import read_catalog

Floats = npt.NDArray[np.float64]

N_COLUMNS = 2400  # about two per pixel: a day is drawn as the smallest and largest sample of each column
GAP_COUNTS = -1  # marks lost samples in archived integer records
SUFFIXES = (".mseed", ".miniseed", ".ms")
TRACE_COLOUR, KEPT_COLOUR, ONSET_COLOUR = "#3b4252", "#f2b134", "#c8372d"
NS_PER_HOUR = 3.6e12


def draw_run(run_dir: Path, out: Path, inputs: Sequence[Path] = (), station_id: str | None = None) -> Path:
    """Draw one station of a run as PNG and return the picture's path.

    Parameters
    ----------
    run_dir : what `edgequake run` wrote: catalog.csv, summary.json and segments/.
    inputs : the miniSEED files, folders of them or packet CSVs that were run; by default those that summary.json names.
    station_id : NET_STA; where not given, the station with most samples.

    Raises
    ------
    DataError
        No finished run there, no record among the inputs, or no such station in them.
    """
    events = read_catalog(run_dir / "catalog.csv")
    named = inputs or _inputs_of(run_dir)
    traces = [trace for path in record_files(named) for trace in read_record(path)]
    chosen = station_id or _largest_station(traces, named)
    kept = [trace for path in record_files([run_dir / "segments"]) for trace in read_record(path)]
    kept_ns = join_intervals((trace.start_ns, trace.stop_ns) for trace in kept if trace.station_id == chosen)
    heard = [trace for trace in traces if trace.station_id == chosen]
    if not heard:
        raise DataError(f"no station {chosen} in {', '.join(map(str, named))}: name one as NET_STA")
    _draw(heard, kept_ns, [event.onset_ns for event in events if event.station_id == chosen], chosen, out)
    return out


def read_record(path: Path) -> list[Trace]:
    """Return the stretches of a miniSEED file or packet CSV, joined where nothing is missing between them.

    Raises
    ------
    DataError
        The file cannot be read.
    """
    if path.suffix.lower() == ".csv":
        return list(read_packet_csv(path))
    try:
        listed = pymseed.MS3TraceList.from_file(str(path), unpack_data=True)
        return [
            Trace(trace.sourceid, segment.starttime, segment.samprate, np.array(segment.np_datasamples), path.name)
            for trace in listed
            for segment in trace
            if segment.samprate > 0
        ]
    except (pymseed.MiniSEEDError, OSError, ValueError) as problem:
        raise DataError(f"{path} cannot be read as miniSEED: {problem}") from problem


def join_intervals(intervals: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the union of half-open intervals as disjoint ones, rising."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(intervals):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return joined


def column_extremes(
    traces: Iterable[Trace], start_ns: int, stop_ns: int, n_columns: int = N_COLUMNS
) -> tuple[Floats, Floats]:
    """Return the smallest and the largest sample in each of `n_columns` equal parts of time; NaN where there is none.

    Spikes of one or two samples are left out, as the runner leaves them out, and so are samples that mark a gap.
    """
    low, high = np.full(n_columns, np.inf), np.full(n_columns, -np.inf)
    for trace in traces:
        values = trace.samples.astype(np.float64)
        times_ns = np.linspace(trace.start_ns, trace.stop_ns, values.size, endpoint=False)
        columns = ((times_ns - start_ns) / (stop_ns - start_ns) * n_columns).astype(np.int64)
        good = np.isfinite(values) & (values != GAP_COUNTS) & (columns >= 0) & (columns < n_columns)
        values = _median_of_five(values[good])
        np.minimum.at(low, columns[good], values)
        np.maximum.at(high, columns[good], values)
    empty = low > high
    low[empty] = high[empty] = np.nan
    return low, high


def _median_of_five(values: Floats) -> Floats:
    if values.size < 5:
        return values
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, 2, mode="edge"), 5)
    medians: Floats = np.median(windows, axis=1)
    return medians


def _draw(traces: list[Trace], kept: list[tuple[int, int]], onsets_ns: list[int], station_id: str, out: Path) -> None:
    from matplotlib.figure import Figure  # no pyplot: it would look for a display

    start_ns, stop_ns = min(trace.start_ns for trace in traces), max(trace.stop_ns for trace in traces)
    channels = sorted({channel_of(trace.source_id) for trace in traces})
    figure = Figure(figsize=(11, 1.2 + 1.5 * len(channels)), dpi=130, layout="constrained")
    rows = figure.subplots(len(channels), 1, sharex=True, squeeze=False)[:, 0]
    column_hours = (np.arange(N_COLUMNS) + 0.5) / N_COLUMNS * (stop_ns - start_ns) / NS_PER_HOUR
    onset_hours = [(onset_ns - start_ns) / NS_PER_HOUR for onset_ns in onsets_ns]
    kept_hours = [((start - start_ns) / NS_PER_HOUR, (stop - start_ns) / NS_PER_HOUR) for start, stop in kept]
    for axes, channel in zip(rows, channels, strict=True):
        own = [trace for trace in traces if channel_of(trace.source_id) == channel]
        low, high = column_extremes(own, start_ns, stop_ns)
        centre = np.nanmedian(np.concatenate([low, high])) if np.isfinite(low).any() else 0.0
        for start_h, stop_h in kept_hours:
            axes.axvspan(start_h, stop_h, color=KEPT_COLOUR, alpha=0.45, lw=0)
        axes.fill_between(column_hours, low - centre, high - centre, color=TRACE_COLOUR, lw=0.4)
        tops = [1.0] * len(onset_hours)  # of the axes: over the trace, not across it
        axes.plot(onset_hours, tops, "v", color=ONSET_COLOUR, ms=6, clip_on=False, transform=axes.get_xaxis_transform())
        axes.set_ylabel(channel)
        axes.margins(x=0)
        axes.spines[["top", "right"]].set_visible(False)
    kept_ns = sum(stop - start for start, stop in kept)
    begun = datetime.fromtimestamp(start_ns // 1_000_000_000, timezone.utc)
    rows[0].set_title(
        f"{station_id.replace('_', ' ')}, {begun:%Y-%m-%d %H:%M} UTC: {len(onsets_ns)} events (marked), "
        f"{kept_ns / (stop_ns - start_ns):.1%} of the time kept (shaded)",
        loc="left",
    )
    rows[-1].set_xlabel("hours since the start; ground motion in the record's units about its median")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)


def _inputs_of(run_dir: Path) -> list[Path]:
    """Return the inputs that a finished run names."""
    path = run_dir / "summary.json"
    try:
        return [Path(name) for name in json.loads(path.read_text(encoding="utf-8"))["inputs"]]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise DataError(
            f"{path} does not say what was run ({problem}): give the --out of a finished run, or name its records with "
            "--input"
        ) from problem


def record_files(paths: Iterable[Path]) -> list[Path]:
    """Return the files among `paths`, and the miniSEED files in the folders among them."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += [file for file in sorted(path.rglob("*")) if file.is_file() and file.suffix.lower() in SUFFIXES]
        elif path.is_file():
            files.append(path)
        else:
            raise DataError(f"{path} does not exist: name what was run with --input")
    return files


def _largest_station(traces: Sequence[Trace], named: Sequence[Path]) -> str:
    counts: dict[str, int] = {}
    for trace in traces:
        counts[trace.station_id] = counts.get(trace.station_id, 0) + trace.samples.size
    if not counts:
        raise DataError(
            f"no miniSEED file in {', '.join(map(str, named))}: name the records that were run with --input"
        )
    return max(counts, key=lambda station: counts[station])

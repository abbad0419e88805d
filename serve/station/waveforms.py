"""Samples of a run folder for drawing: archive, segments and monitor, one channel and at most a day at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.edge.archive.extract import Span, StoredDay, day_waveforms, file_records
from edgequake.edge.archive.monitor_files import (
    SAMPLES,
    SAMPLES_SUFFIX,
    hour_of,
    monitor_samples,
    monitored_channels,
    monitored_name,
    monitored_stations,
)
from edgequake.edge.archive.sds import DAY_NS, DayName, day_files, name_of
from edgequake.edge.base.errors import DataError
from edgequake.edge.base.layout import ARCHIVE, MONITOR, SEGMENTS
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns, merge_contiguous
from edgequake.edge.results.catalog import CatalogRow
from edgequake.report.charts.day_plot import NS_PER_DAY, HourLines, hour_lines
from edgequake.report.recording.samples import GAP_COUNTS, Floats, Samples, join_intervals, joined

_LISTED_S = 10.0  # for so long a listing of the archive is right enough
_COLUMNS = 900  # of an hour in a day's picture
_MOST_SEGMENTS = 500  # of a day: more cannot be told apart in its picture
_PART_NS = 900 * NS_PER_S  # of a day that is in memory at a time
_PIECE_SAMPLES, _MARGIN_SAMPLES = 1 << 15, 2
_MOST_TRACES = 4096  # records or pieces held at once before they are reduced to extremes
_MOST_SPAN_NS = DAY_NS
_MOST_CHANNELS = 6  # of an event that has no segment
# Drawn before and after it: a minute at 100 Hz, a quarter of an hour at most.
_AROUND_SAMPLES, _AROUND_NS, _LONGEST_ADDED_NS = 6000, 900 * NS_PER_S, 6 * 3600 * NS_PER_S
_JOINED_NS = NS_PER_S  # a shorter gap does not count as one


@dataclass(frozen=True)
class DayOfChannel:
    """One channel on one day, ready to be drawn; arrays as in `HourLines`."""

    channel: str
    lines: HourLines | None  # None: no samples
    unit: str
    covered: tuple[tuple[int, int], ...]  # intervals with samples, ns since 1970, disjoint and rising


@dataclass
class _Listing:
    at_s: float = float("-inf")
    files: dict[tuple[str, int], list[tuple[DayName, Path]]] = field(default_factory=dict)  # by station and day


class RunWaveforms:
    """The samples that a run folder holds; safe for several threads."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._listing = _Listing()

    def stations(self) -> list[str]:
        """Return the stations of the archive and of the monitor."""
        listed = {station_id for station_id, _ in self._listed()}
        return sorted(listed | set(monitored_stations(self._out)) | set(self._monitored()))

    def days(self, station_id: str) -> set[int]:
        """Return the days of a station in the archive and in the monitor, in days since 1970."""
        folders = (self._out / MONITOR / SAMPLES / name for name in self._monitored().get(station_id, {}).values())
        hours = (hour_of(path.name) for folder in folders for path in folder.glob(f"*{SAMPLES_SUFFIX}"))
        live = {hour_ns // DAY_NS for hour_ns in hours if hour_ns is not None}
        return live | {day for name, day in self._listed() if name == station_id}

    def channels(self, station_id: str, day: int | None = None) -> list[str]:
        """Return the channels of a station in the archive, on a day or on its last, and in the monitor; vertical first.

        Returns
        -------
        Codes as `code_of`.
        """
        listed = self._listed()
        if day is None:
            day = max((other for name, other in listed if name == station_id), default=0)
        names = {_code(name) for name, _ in listed.get((station_id, day), ())}
        return in_drawing_order(names | {_code(name) for name in self._monitored().get(station_id, {})})

    def monitored(self, station_id: str) -> dict[str, str]:
        """Return the channels of a station in the monitor, vertical ones first, each with its name there."""
        names = {_code(name): folder for name, folder in self._monitored().get(station_id, {}).items()}
        return {code: names[code] for code in in_drawing_order(names)}

    def traces(
        self, station_id: str, channel: str, start_ns: int, stop_ns: int, rows: Sequence[CatalogRow] = ()
    ) -> list[Trace]:
        """Return a channel's samples (`code_of`) in a span of at most a day: of monitor, archive, or segments of rows.

        Raises
        ------
        DataError
            The span is longer than a day, or a file is damaged.
        """
        if stop_ns - start_ns > _MOST_SPAN_NS:
            raise DataError("a span of more than a day: choose a shorter one")
        live = self._in_monitor(station_id, channel, start_ns, stop_ns)
        if len(live) == 1 and live[0].start_ns - start_ns < _JOINED_NS:
            return live
        found: list[Trace] = []
        for day in range(start_ns // DAY_NS, (stop_ns - 1) // DAY_NS + 1):
            first, last = max(start_ns, day * DAY_NS), min(stop_ns, (day + 1) * DAY_NS)
            span = Span(first, last, station_id, (channel.rpartition(".")[2],))
            files = [path for name, path in self._listed().get((station_id, day), ()) if _code(name) == channel]
            stored = StoredDay(span, tuple(files), tuple(self._segments(rows)))
            of_day = day_waveforms(stored, [part for part in live if part.start_ns < last and part.stop_ns > first])
            found += [part for part in of_day if code_of(part.source_id) == channel]
        return merge_contiguous(sorted(found, key=lambda part: part.start_ns))

    def segment(self, row: CatalogRow) -> list[Trace]:
        """Return the samples of an event's segment, all channels; none where it was sent and deleted."""
        return merge_contiguous(
            sorted(
                (part for path in self._segments([row]) for part in file_records(path, Span(*_EVER, row.station_id))),
                key=lambda part: (part.source_id, part.start_ns),
            )
        )

    def of_event(self, row: CatalogRow) -> list[Trace]:
        """Return the samples of an event: its segment, or what is stored around one that has none, being added."""
        if row.segment:
            return self.segment(row)
        found: list[Trace] = []
        start_ns, stop_ns = row.onset_ns - _AROUND_NS, min(row.stop_ns, row.onset_ns + _LONGEST_ADDED_NS) + _AROUND_NS
        for channel in self.channels(row.station_id, row.onset_ns // DAY_NS)[:_MOST_CHANNELS]:
            found += self.traces(row.station_id, channel, start_ns, stop_ns)
        if not found:
            return []
        margin_ns = duration_ns(_AROUND_SAMPLES, max(trace.sampling_rate_hz for trace in found))
        first_ns, last_ns = max(start_ns, row.onset_ns - margin_ns), min(stop_ns, row.stop_ns + margin_ns)
        parts = [trace.between(first_ns, last_ns) for trace in found if trace.stop_ns > first_ns]
        return [part for part in parts if len(part.samples)]

    def day_of_channel(self, station_id: str, channel: str, day: int, rows: Sequence[CatalogRow] = ()) -> DayOfChannel:
        """Return a day of a channel as hour lines; a quarter of an hour is in memory at a time.

        rows : events of the day, whose segments stand in where the archive has nothing.
        """
        low, high = np.full(24 * _COLUMNS, np.nan), np.full(24 * _COLUMNS, np.nan)
        files = [path for name, path in self._listed().get((station_id, day), ()) if _code(name) == channel]
        span = Span(day * DAY_NS, (day + 1) * DAY_NS, station_id, (channel.rpartition(".")[2],))
        unit, covered = "", list[tuple[int, int]]()
        sources: list[Iterable[Trace]] = [file_records(path, span) for path in files]
        if not files:
            sources = [file_records(path, span) for path in self._segments(rows)]
            sources += [self._in_monitor(station_id, channel, span.start_ns, span.stop_ns)]
        for source in sources:
            own = (part for part in source if _code(name_of(part.source_id)) == channel)
            for group in _by_parts(own):
                unit = unit or ("counts" if np.issubdtype(group[0].samples.dtype, np.integer) else "record's units")
                covered += [(part.start_ns, part.stop_ns) for part in group]
                below, above = column_extremes(group, span.start_ns, span.start_ns + NS_PER_DAY, len(low))
                low, high = np.fmin(low, below), np.fmax(high, above)
        return DayOfChannel(channel, hour_lines(low, high), unit, tuple(join_intervals(covered, _JOINED_NS)))

    def _segments(self, rows: Iterable[CatalogRow]) -> Iterator[Path]:
        """Yield the segments of rows: plain files in the folder of segments, whatever the catalogue names."""
        folder = self._out / SEGMENTS
        for name in sorted({row.segment for row in rows})[:_MOST_SEGMENTS]:
            path = self._out / name
            if path.parent == folder and path.suffix == ".mseed" and path.is_file() and not path.is_symlink():
                yield path

    def _in_monitor(self, station_id: str, channel: str, start_ns: int, stop_ns: int) -> list[Trace]:
        folder = self.monitored(station_id).get(channel)
        return [] if folder is None else monitor_samples(self._out, folder, start_ns, stop_ns)

    def _monitored(self) -> dict[str, dict[DayName, str]]:
        """Return the channels of the monitor with their names there, by station."""
        found: dict[str, dict[DayName, str]] = {}
        for folder in monitored_channels(self._out):
            name = monitored_name(folder)
            if name is not None:
                found.setdefault(name.station_id, {})[name] = folder
        return found

    def _listed(self) -> dict[tuple[str, int], list[tuple[DayName, Path]]]:
        with self._lock:
            now_s = time.monotonic()
            if now_s - self._listing.at_s > _LISTED_S:
                files: dict[tuple[str, int], list[tuple[DayName, Path]]] = {}
                for _, name, path in day_files(self._out / ARCHIVE):
                    files.setdefault((name.station_id, name.day), []).append((name, path))
                self._listing = _Listing(now_s, files)
            return self._listing.files


_EVER = (-(1 << 62), 1 << 62)


def in_drawing_order(channels: Iterable[str]) -> list[str]:
    """Return channel codes with vertical ones first."""
    return sorted(channels, key=lambda code: (not code.endswith("Z"), code))


def _code(name: DayName) -> str:
    return f"{name.location}.{name.channel}" if name.location else name.channel


def code_of(source_id: str) -> str:
    """Return LOC.CHA of a source identifier, or CHA where it has no location."""
    return _code(name_of(source_id))


def _by_parts(parts: Iterable[Trace]) -> Iterator[list[Trace]]:
    """Yield the pieces of one channel in groups of a quarter of an hour at most."""
    group: list[Trace] = []
    for part in parts:
        is_full = group and (part.start_ns // _PART_NS != group[0].start_ns // _PART_NS)
        if is_full or len(group) >= _MOST_TRACES:
            yield merge_contiguous(sorted(group, key=lambda one: one.start_ns))
            group = []
        group.append(part)
    if group:
        yield merge_contiguous(sorted(group, key=lambda one: one.start_ns))


def extremes(
    traces: Sequence[Trace], start_ns: int, stop_ns: int, n_columns: int
) -> tuple[list[float], Floats, Floats] | None:
    """Return the middle of each column (s since 1970) and its extremes about the median; None without samples.

    Traces with fewer samples than columns come back sample by sample.
    """
    n_samples = sum(len(trace.samples) for trace in traces)
    if not n_samples:
        return None
    if n_samples <= n_columns:
        samples = joined(traces)
        values = samples.values - float(np.median(samples.values)) if len(samples.values) else samples.values
        return ((samples.times_ns / 1e9).tolist(), values, values) if len(values) else None
    low, high = column_extremes(traces, start_ns, stop_ns, n_columns)
    if not np.isfinite(low).any():
        return None
    middle = float(np.median(np.concatenate([_measured(trace) for trace in traces])))
    times = (start_ns + (np.arange(n_columns) + 0.5) / n_columns * (stop_ns - start_ns)) / 1e9
    return times.tolist(), low - middle, high - middle


def _measured(trace: Trace) -> npt.NDArray[Any]:
    """Return a trace's samples without those that mark a gap, in its dtype."""
    is_integer = np.issubdtype(trace.samples.dtype, np.integer)
    values: npt.NDArray[Any] = trace.samples[trace.samples != GAP_COUNTS if is_integer else np.isfinite(trace.samples)]
    return values


def column_extremes(traces: Iterable[Trace], start_ns: int, stop_ns: int, n_columns: int) -> tuple[Floats, Floats]:
    """Return the extremes of a channel's samples as `Samples.extremes`, NaN where there are none.

    A few minutes are in memory as float64 at a time: half an hour at 100 Hz would take ten times what its samples do.
    """
    low, high = np.full(n_columns, np.nan), np.full(n_columns, np.nan)
    for piece in pieces(traces):
        below, above = piece.extremes(start_ns, stop_ns, n_columns)
        low, high = np.fmin(low, below), np.fmax(high, above)
    return low, high


def pieces(traces: Iterable[Trace]) -> Iterator[Samples]:
    """Yield the samples of a channel's traces as `joined`, not many at once."""
    for trace in traces:
        for first in range(0, len(trace.samples), _PIECE_SAMPLES):
            last = min(first + _PIECE_SAMPLES, len(trace.samples))
            # With the samples around it, by which a spike at its end is told.
            at = max(0, first - _MARGIN_SAMPLES)
            from_ns, at_ns, to_ns = (trace.start_ns + duration_ns(n, trace.sampling_rate_hz) for n in (first, at, last))
            piece = joined([replace(trace, start_ns=at_ns, samples=trace.samples[at : last + _MARGIN_SAMPLES])])
            own = (piece.times_ns >= from_ns) & (piece.times_ns < to_ns)
            yield Samples(piece.times_ns[own], piece.values[own])

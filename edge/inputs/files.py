"""Files of one station that follow one another, as one stream of traces in the order of their start times.

What a run reads: files and folders sorted into streams, each stream's traces in the order of their start times.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeAlias

from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.miniseed import FileIndex, RecordFile, RecordHeader, index_file
from edgequake.edge.formats.space_apps_csv import packet_span, read_packet_csv
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, channel_of, station_of
from edgequake.edge.manifest.front_end_config import decimation_factor
from edgequake.edge.manifest.manifest import Manifest

SAME_RATE = 1e-3  # relative: rates in headers are rounded
Span: TypeAlias = tuple[int, int, float]  # start_ns, stop_ns, sampling_rate_hz
_OVERLAP_NS = 1_000_000_000  # files of one stream may overlap by this much: archives cut days inside a record


@dataclass(frozen=True)
class FileSpan:
    """One station's share of one file."""

    station_id: str
    spans: dict[str, Span]  # by source id
    path: Path
    size_bytes: int
    file_start_ns: int | None  # None: a packet CSV
    headers: tuple[RecordHeader, ...] | None  # in the order of their starts; None: not held, the file is indexed anew

    @property
    def start_ns(self) -> int:
        """Time of the first sample."""
        return min(start for start, _, _ in self.spans.values())

    def entries(self) -> Iterator[_RecordReference]:
        """Yield the records in the order of their starts, not decoded yet."""
        if self.file_start_ns is None:
            for trace in read_packet_csv(self.path):
                yield _RecordReference(trace.start_ns, trace, None, None)
            return
        file = RecordFile(self.path, self.file_start_ns)
        try:
            for header in self._headers() if self.headers is None else self.headers:
                yield _RecordReference(header.start_ns, None, header, file)
        finally:
            file.close()

    def _headers(self) -> tuple[RecordHeader, ...]:
        headers = index_file(self.path).headers
        mine = tuple(
            header
            for header in headers
            if header.source_id in self.spans
            and abs(header.sampling_rate_hz / self.spans[header.source_id][2] - 1.0) <= SAME_RATE
        )
        if headers[0].start_ns != self.file_start_ns:
            raise DataError(f"{self.path} has changed since this run began to read it; run it again")
        return mine


@dataclass(frozen=True, slots=True)
class _RecordReference:
    """A trace, or the record that it can be decoded from."""

    start_ns: int
    trace: Trace | None
    header: RecordHeader | None
    file: RecordFile | None

    def load(self, diagnostics: Diagnostics) -> Trace | None:
        if self.header is None or self.file is None:
            return self.trace
        return self.file.trace(self.header, diagnostics)


@dataclass
class FileStream:
    """Records of one station that follow one another; files that overlap in time are in streams of their own."""

    station_id: str
    parts: list[FileSpan] = field(default_factory=list)
    _stops: dict[str, tuple[int, float]] = field(default_factory=dict)

    def takes(self, part: FileSpan) -> bool:
        """Whether a part, no older than those before it, goes on where this stream's channels stop."""
        for source_id, (start_ns, _, rate_hz) in part.spans.items():
            stop_ns, my_rate_hz = self._stops.get(source_id, (start_ns, rate_hz))
            if start_ns < stop_ns - _OVERLAP_NS or abs(rate_hz / my_rate_hz - 1.0) > SAME_RATE:
                return False
        return part.station_id == self.station_id

    def add(self, part: FileSpan) -> None:
        """Append a part that this stream takes."""
        self.parts.append(part)
        for source_id, (_, stop_ns, rate_hz) in part.spans.items():
            self._stops[source_id] = (max(stop_ns, self._stops.get(source_id, (stop_ns, rate_hz))[0]), rate_hz)

    def traces(self, diagnostics: Diagnostics) -> Iterator[Trace]:
        """Yield every trace in the order of its start time; a file is open only while it is being read.

        Raises
        ------
        DataError
            A file has gone or changed since the plan was made.
        """
        return (trace for _, trace in self.traces_from(0, diagnostics))

    def traces_from(self, n_read: int, diagnostics: Diagnostics) -> Iterator[tuple[int, Trace]]:
        """Yield, after the first `n_read` records, (number of records read so far, trace).

        Raises
        ------
        DataError
            As `traces`.
        """
        for n, entry in enumerate(self._entries(), 1):
            trace = entry.load(diagnostics) if n > n_read else None
            if trace is not None:
                yield n, trace

    def _entries(self) -> Iterator[_RecordReference]:
        waiting: list[
            tuple[int, int, _RecordReference, Iterator[_RecordReference]]
        ] = []  # next record of each open file
        for i, part in enumerate(self.parts):  # in the order of their starts
            yield from _until(part.start_ns, waiting)
            _wait(waiting, i, part.entries())
        yield from _until(None, waiting)


def _until(
    time_ns: int | None, waiting: list[tuple[int, int, _RecordReference, Iterator[_RecordReference]]]
) -> Iterator[_RecordReference]:
    """Yield the waiting records that start before a time (None: all), oldest first."""
    while waiting and (time_ns is None or waiting[0][0] < time_ns):
        _, i, entry, rest = heapq.heappop(waiting)
        yield entry
        _wait(waiting, i, rest)


def _wait(
    waiting: list[tuple[int, int, _RecordReference, Iterator[_RecordReference]]],
    i: int,
    entries: Iterator[_RecordReference],
) -> None:
    entry = next(entries, None)
    if entry is not None:
        heapq.heappush(waiting, (entry.start_ns, i, entry, entries))  # i is there once: entries are never compared


_HELD_HEADERS = 20_000  # records of a week of three channels; of more, each file is indexed anew when it is read
_DAMAGED_SHARE = 0.02


@dataclass
class InputPlan:
    """The streams of a run, and what was left out of them and why."""

    streams: list[FileStream] = field(default_factory=list)
    size_bytes: int = 0
    n_samples: int = 0  # about: gaps within packet CSVs count as samples
    ignored_channels: set[str] = field(default_factory=set)
    note: Diagnostics = field(default_factory=Diagnostics)  # called with a warning, takes it down
    n_headers: int = 0  # held by the parts

    @property
    def warnings(self) -> list[str]:
        """What to tell people."""
        return self.note.texts()

    def fingerprint(self) -> list[list[object]]:
        """Return what tells these inputs from others: each file's path, size and first sample, stream by stream."""
        parts = ((i, part) for i, stream in enumerate(self.streams) for part in stream.parts)
        return [[i, str(part.path), part.size_bytes, part.start_ns] for i, part in parts]


def plan_inputs(
    inputs: tuple[str, ...],
    manifest: Manifest,
    channels: tuple[str, ...] | None = None,
    out: Path | None = None,
) -> InputPlan:
    """Sort files and folders into streams.

    A station's files form one stream as long as they follow one another; a file that overlaps what is there already
    (two versions of the same hours) starts a stream of its own, with a detector of its own. Only channels whose code
    matches `channels` (by default the manifest's) are read. In a folder, what lies under `out` is passed over: that is
    what runs write.

    Raises
    ------
    DataError
        A named file that is missing, not miniSEED or packet CSV, without a matching channel, or of a sampling rate
        the model does not take; a folder with nothing usable. In a folder, such files are left out with a warning.
    """
    plan = InputPlan()
    patterns = channels or manifest.channels
    parts: list[FileSpan] = []
    for name in inputs:
        path = Path(name)
        if path.is_dir():
            parts += _folder_parts(path, manifest, patterns, plan, out)
        elif path.is_file():
            parts += _file_parts(path, manifest, patterns, plan)
        else:
            raise DataError(
                f"input {name} is no file or folder; expected miniSEED files, packet CSVs, folders, or - alone"
            )
    for part in sorted(parts, key=lambda part: (part.start_ns, part.path.name)):
        stream = next((stream for stream in plan.streams if stream.takes(part)), None)
        if stream is None:
            stream = FileStream(part.station_id)
            plan.streams.append(stream)
        stream.add(part)
    return plan


def files_in(folder: Path, out: Path | None) -> list[Path]:
    """Return the files of a folder and its subfolders in the order of their names, without hidden ones and `out`'s."""
    mine = None if out is None else out.resolve()
    names = (path for path in sorted(folder.rglob("*")) if not path.name.startswith(".") and path.is_file())
    return [path for path in names if mine is None or mine not in path.resolve().parents]


def _folder_parts(
    folder: Path, manifest: Manifest, patterns: tuple[str, ...], plan: InputPlan, out: Path | None
) -> list[FileSpan]:
    parts: list[FileSpan] = []
    for path in files_in(folder, out):
        try:
            parts += _file_parts(path, manifest, patterns, plan)
        except DataError as problem:
            plan.note(f"left out: {problem}", 0)
    if not parts:
        reason = f"; the first was {plan.warnings[0]}" if plan.warnings else ""
        raise DataError(f"folder {folder} holds no usable record{reason}")
    return parts


def _file_parts(path: Path, manifest: Manifest, patterns: tuple[str, ...], plan: InputPlan) -> list[FileSpan]:
    """Return a part per station of one file."""
    is_csv = path.suffix.lower() == ".csv"
    index = None if is_csv else index_file(path)
    spans = _csv_spans(path) if index is None else _record_spans(index, patterns, plan.note)
    found = {channel_of(source_id) or source_id for source_id in spans}
    mine = {source_id: span for source_id, span in spans.items() if matches(source_id, patterns)}
    if not mine:
        raise DataError(
            f"{path} has no channel that matches {', '.join(patterns)}: it has {', '.join(sorted(found))}; "
            f"name the channels with --channels"
        )
    mine = _of_a_rate_that_fits(path, mine, manifest, plan.note)
    plan.size_bytes += path.stat().st_size
    plan.ignored_channels |= {source_id for source_id in spans if not matches(source_id, patterns)}
    if index is not None and index.problem:
        plan.note.junk(str(path), index.problem, index.unreadable_bytes)
    stations = sorted({station_of(source_id) for source_id in mine})
    return [_part(path, station_id, mine, index, plan) for station_id in stations]


def _part(path: Path, station_id: str, spans: dict[str, Span], index: FileIndex | None, plan: InputPlan) -> FileSpan:
    mine = {source_id: span for source_id, span in spans.items() if station_of(source_id) == station_id}
    size_bytes = path.stat().st_size
    if index is None:
        plan.n_samples += sum(round((b - a) / NS_PER_S * rate_hz) for a, b, rate_hz in mine.values())
        return FileSpan(station_id, mine, path, size_bytes, None, None)
    headers = tuple(
        header
        for header in index.headers
        if header.source_id in mine and _same_rate(header.sampling_rate_hz, mine[header.source_id][2])
    )
    plan.n_samples += sum(header.n_samples for header in headers)
    plan.n_headers += len(headers)
    held = headers if plan.n_headers <= _HELD_HEADERS else None
    return FileSpan(station_id, mine, path, size_bytes, index.start_ns, held)


def _csv_spans(path: Path) -> dict[str, Span]:
    source_id, start_ns, stop_ns, rate_hz = packet_span(path)
    return {source_id: (start_ns, stop_ns, rate_hz)}


def _record_spans(index: FileIndex, patterns: tuple[str, ...], diagnostics: Diagnostics) -> dict[str, Span]:
    """Return each channel's start, stop and rate.

    A few records of another rate than all others of their channel have a damaged header; many are a change of rate.
    """
    by_channel: dict[str, list[RecordHeader]] = {}
    for header in index.headers:
        by_channel.setdefault(header.source_id, []).append(header)
    spans: dict[str, Span] = {}
    for source_id, headers in by_channel.items():
        rate_hz = _usual_rate_hz(headers)
        usual = [header for header in headers if _same_rate(header.sampling_rate_hz, rate_hz)]
        others = [header for header in headers if not _same_rate(header.sampling_rate_hz, rate_hz)]
        if len(others) > _DAMAGED_SHARE * len(headers) and matches(source_id, patterns):
            raise DataError(
                f"{index.path}: {channel_of(source_id)} changes its sampling rate from {rate_hz:g} to "
                f"{others[0].sampling_rate_hz:g} Hz; expected one rate a channel: split the file"
            )
        for header in others:
            diagnostics.leave_out(str(index.path), f"its rate is {header.sampling_rate_hz:g} Hz", header.size_bytes)
        stop_ns = max(header.stop_ns for header in usual)
        spans[source_id] = (usual[0].start_ns, stop_ns, rate_hz)
    return spans


def _usual_rate_hz(headers: list[RecordHeader]) -> float:
    counts = Counter(header.sampling_rate_hz for header in headers)
    return counts.most_common(1)[0][0]


def _same_rate(rate_hz: float, other_hz: float) -> bool:
    return abs(rate_hz / other_hz - 1.0) <= SAME_RATE


def _of_a_rate_that_fits(
    path: Path, spans: dict[str, Span], manifest: Manifest, diagnostics: Diagnostics
) -> dict[str, Span]:
    """Leave out channels of a rate that the model does not take; a file with no other is refused."""
    fitting: dict[str, Span] = {}
    problem: DataError | None = None
    for source_id, span in spans.items():
        try:
            decimation_factor(manifest.front_end, manifest.sampling_rate_hz, span[2])
            fitting[source_id] = span
        except DataError as error:
            problem = error
            diagnostics(f"{path}: {channel_of(source_id)} left out: {error}", 0) if len(spans) > 1 else None
    if not fitting:
        raise DataError(f"{path}: {problem}") from problem
    return fitting


def matches(source_id: str, patterns: tuple[str, ...]) -> bool:
    """Whether a channel's code matches one of the patterns."""
    return any(fnmatchcase(channel_of(source_id), pattern) for pattern in patterns)

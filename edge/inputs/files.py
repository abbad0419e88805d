"""Recorded data: files and folders sorted into streams, each one station's traces in order of start time."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.base.layout import LABEL_TABLES
from edgequake.edge.formats.miniseed import FileIndex, RecordFile, index_file
from edgequake.edge.formats.record_scanner import RecordHeader
from edgequake.edge.formats.source_ids import channel_of, station_of
from edgequake.edge.formats.space_apps_csv import packet_span, read_packet_csv
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns, same_rate
from edgequake.edge.inputs.model_choice import ModelChoice
from edgequake.edge.manifest.manifest import Manifest
from edgequake.edge.manifest.tables import require_rate

ChannelSpan: TypeAlias = tuple[int, int, float]  # start_ns, stop_ns, sampling_rate_hz
_MOST_HEADERS = 20_000  # kept in memory, a week of three channels; beyond, each file is indexed again when it is read
_MOST_ADVICE = 3  # channels that the message of a refused file describes
_DAMAGED_SHARE = 0.02  # of a channel's records may have a damaged sampling rate


@dataclass(frozen=True, slots=True)
class _RecordReference:
    """A trace, or the record that it can be decoded from."""

    start_ns: int
    trace: Trace | None = None
    header: RecordHeader | None = None
    file: RecordFile | None = None

    def load(self, diagnostics: Diagnostics) -> Trace | None:
        if self.header is None or self.file is None:
            return self.trace
        return self.file.trace(self.header, diagnostics)


_OpenFiles: TypeAlias = list[tuple[int, int, _RecordReference, Iterator[_RecordReference]]]  # a heap, by start time


@dataclass(frozen=True)
class FileSpan:
    """The channels of one station in one file."""

    station_id: str
    spans: dict[str, ChannelSpan]  # by source identifier
    path: Path
    size_bytes: int
    file_start_ns: int | None  # None: a packet CSV
    headers: tuple[RecordHeader, ...] | None  # in order of start time; None: the file is indexed again when it is read

    @property
    def start_ns(self) -> int:
        """Time of the first sample."""
        return min(start for start, _, _ in self.spans.values())

    def records(self) -> Iterator[_RecordReference]:
        """Yield the records in order of start time, not decoded yet."""
        if self.file_start_ns is None:
            for trace in read_packet_csv(self.path):
                yield _RecordReference(trace.start_ns, trace)
            return
        file = RecordFile(self.path, self.file_start_ns)
        try:
            for header in self._index_again() if self.headers is None else self.headers:
                yield _RecordReference(header.start_ns, None, header, file)
        finally:
            file.close()

    def _index_again(self) -> tuple[RecordHeader, ...]:
        headers = index_file(self.path).headers
        if headers[0].start_ns != self.file_start_ns:
            raise DataError(f"{self.path} has changed since this run began to read it; run it again")
        return _usable(headers, self.spans)


@dataclass
class FileStream:
    """The files of one station in order of time; where they overlap, samples that come again are used once."""

    station_id: str
    parts: list[FileSpan] = field(default_factory=list)
    _rates_hz: dict[str, float] = field(default_factory=dict)  # by channel

    def takes(self, part: FileSpan) -> bool:
        """Return whether a part is of this station, and its channels have the sampling rates of this stream."""
        return part.station_id == self.station_id and all(
            same_rate(rate_hz, self._rates_hz.get(source_id, rate_hz))
            for source_id, (_, _, rate_hz) in part.spans.items()
        )

    def add(self, part: FileSpan) -> None:
        """Append a part that this stream takes and that is no older than those before it."""
        self.parts.append(part)
        for source_id, (_, _, rate_hz) in part.spans.items():
            self._rates_hz.setdefault(source_id, rate_hz)

    def traces(self, diagnostics: Diagnostics) -> Iterator[Trace]:
        """Yield every trace in order of start time; a file is open only while it is being read.

        Raises
        ------
        DataError
            A file is missing or has changed since the plan was made.
        """
        return (trace for _, trace in self.traces_from(0, diagnostics))

    def traces_from(self, n_read: int, diagnostics: Diagnostics) -> Iterator[tuple[int, Trace]]:
        """Skip `n_read` records; yield (number of records read so far, trace) for the rest; raises as `traces`."""
        for n, record in enumerate(self._records(), 1):
            trace = record.load(diagnostics) if n > n_read else None
            if trace is not None:
                yield n, trace

    def traces_between(self, start_ns: int | None, stop_ns: int | None, diagnostics: Diagnostics) -> Iterator[Trace]:
        """Yield, whole, the traces that start in [start, stop), None: without end; raises as `traces`.

        Consecutive intervals yield, one after the other, what `traces` yields.
        """
        for record in self._records():
            if stop_ns is not None and record.start_ns >= stop_ns:
                return
            trace = record.load(diagnostics) if start_ns is None or record.start_ns >= start_ns else None
            if trace is not None:
                yield trace

    def _records(self) -> Iterator[_RecordReference]:
        open_files: _OpenFiles = []  # with the next record of each
        for i, part in enumerate(self.parts):  # in order of start time
            yield from _until(part.start_ns, open_files)
            _advance(open_files, i, part.records())
        yield from _until(None, open_files)


def _until(time_ns: int | None, open_files: _OpenFiles) -> Iterator[_RecordReference]:
    """Yield the records that start before a time (None: all), oldest first."""
    while open_files and (time_ns is None or open_files[0][0] < time_ns):
        _, i, record, rest = heapq.heappop(open_files)
        yield record
        _advance(open_files, i, rest)


def _advance(open_files: _OpenFiles, i: int, records: Iterator[_RecordReference]) -> None:
    record = next(records, None)
    if record is not None:
        heapq.heappush(open_files, (record.start_ns, i, record, records))  # i is unique: records are never compared


@dataclass
class InputPlan:
    """The streams of a run, and what was left out of them and why."""

    streams: list[FileStream] = field(default_factory=list)
    size_bytes: int = 0
    n_samples: int = 0  # approximate: gaps within packet CSVs count as samples
    ignored_channels: set[str] = field(default_factory=set)
    diagnostics: Diagnostics = field(default_factory=Diagnostics)
    n_headers: int = 0  # kept by the parts

    def fingerprint(self) -> list[list[object]]:
        """Return what identifies these inputs: path, size and first sample of each file, stream by stream."""
        parts = ((i, part) for i, stream in enumerate(self.streams) for part in stream.parts)
        return [[i, str(part.path), part.size_bytes, part.start_ns] for i, part in parts]


def plan_inputs(
    inputs: tuple[str, ...],
    manifest: Manifest,
    channels: tuple[str, ...] | None = None,
    out: Path | None = None,
) -> InputPlan:
    """Sort files and folders into streams for one model, as `plan_streams`; `channels`: by default the manifest's."""
    return plan_streams(inputs, ModelChoice(manifest, channels), out)


def plan_streams(inputs: tuple[str, ...], choice: ModelChoice, out: Path | None = None) -> InputPlan:
    """Sort files and folders into streams.

    The files of a station form one stream, with one detector, unless a channel's sampling rate changes. A packet CSV
    beside a miniSEED file of the same channel and time is left out. Only the channels that `choice` takes are read; it
    chooses the models of the stations. In a folder, files below `out` are ignored: runs write there.

    Raises
    ------
    DataError
        A named file is missing, is neither miniSEED nor packet CSV, or has no matching channel at a sampling rate that
        the model takes; a folder has no usable file. Unusable files of a folder are left out with a warning.
    """
    plan = InputPlan()
    parts: list[FileSpan] = []
    for name in inputs:
        path = Path(name)
        if path.is_dir():
            parts += _folder_parts(path, choice, plan, out)
        elif path.is_file():
            parts += _file_parts(path, choice, plan)
        else:
            raise DataError(
                f"input {name} is no file or folder; expected miniSEED files, packet CSVs, folders, or - alone"
            )
    plan.streams = streams_of(parts, plan.diagnostics)
    return plan


def streams_of(parts: Iterable[FileSpan], diagnostics: Diagnostics) -> list[FileStream]:
    """Sort parts into streams: one for each station, a further one where a channel's sampling rate changes."""
    streams: dict[str, list[FileStream]] = {}
    ordered: list[FileStream] = []
    for part in _without_copies(sorted(parts, key=lambda part: (part.start_ns, part.path.name)), diagnostics):
        own = streams.setdefault(part.station_id, [])
        stream = next((stream for stream in own if stream.takes(part)), None)
        if stream is None:
            stream = FileStream(part.station_id)
            own.append(stream)
            ordered.append(stream)
        stream.add(part)
    return ordered


def _without_copies(parts: list[FileSpan], diagnostics: Diagnostics) -> Iterator[FileSpan]:
    """Yield the parts, but not the packet CSVs of which a miniSEED file has the channel and the time."""
    spans: dict[str, list[tuple[ChannelSpan, Path]]] = {}
    for part in parts:
        if part.file_start_ns is not None:
            for source_id, span in part.spans.items():
                spans.setdefault(source_id, []).append((span, part.path))
    for part in parts:
        (source_id, span), *_ = part.spans.items()
        covering = () if part.file_start_ns is not None else spans.get(source_id, ())
        path = next((path for other, path in covering if _covers(other, span)), None)
        if path is None:
            yield part
        else:
            diagnostics.warn(f"{part.path} left out: {path.name} holds the same channel and time")


def _covers(span: ChannelSpan, other: ChannelSpan) -> bool:
    slack_ns = duration_ns(1, other[2])  # times in a CSV are rounded
    return span[0] - slack_ns <= other[0] and other[1] <= span[1] + slack_ns and same_rate(span[2], other[2])


def files_in(folder: Path, out: Path | None) -> list[Path]:
    """Return the files of a folder and its subfolders in order of name, without hidden ones and those below `out`."""
    mine = None if out is None else out.resolve()
    names = (path for path in sorted(folder.rglob("*")) if not path.name.startswith(".") and path.is_file())
    return [path for path in names if mine is None or mine not in path.resolve().parents]


def _folder_parts(folder: Path, choice: ModelChoice, plan: InputPlan, out: Path | None) -> list[FileSpan]:
    parts: list[FileSpan] = []
    for path in files_in(folder, out):
        if path.name in LABEL_TABLES:
            continue
        try:
            parts += _file_parts(path, choice, plan)
        except DataError as problem:
            plan.diagnostics.warn(f"left out: {problem}")
    if not parts:
        warnings = plan.diagnostics.texts()
        reason = f"; the first was {warnings[0]}" if warnings else ""
        raise DataError(f"folder {folder} holds no usable record{reason}")
    return parts


def _file_parts(path: Path, choice: ModelChoice, plan: InputPlan) -> list[FileSpan]:
    """Return one part per station of a file."""
    index = None if path.suffix.lower() == ".csv" else index_file(path)
    if index is None:
        name, start_ns, stop_ns, rate_hz = packet_span(path)
        spans = {name: (start_ns, stop_ns, rate_hz)}
    else:
        spans = channel_spans(index, choice.matches, plan.diagnostics)
    spans = _of_named_stations(path, spans, choice, plan.diagnostics)
    choice.decide((source_id, span[2]) for source_id, span in spans.items())
    mine = {source_id: span for source_id, span in spans.items() if choice.matches(source_id, span[2])}
    if not mine:
        raise DataError(f"{path} has no {_mismatch(spans, choice)}")
    ignored = spans.keys() - mine.keys()  # those at a rate that the model does not take are reported one by one
    mine = _with_usable_rate(path, mine, choice, plan.diagnostics)
    plan.size_bytes += path.stat().st_size
    plan.ignored_channels |= ignored
    if index is not None:
        plan.diagnostics.add(index.diagnostics)
    stations = sorted({station_of(source_id) for source_id in mine})
    return [_part(path, station_id, mine, index, plan) for station_id in stations]


def _of_named_stations(
    path: Path, spans: dict[str, ChannelSpan], choice: ModelChoice, diagnostics: Diagnostics
) -> dict[str, ChannelSpan]:
    """Return the channels of the stations that the run uses; raise DataError if there is none."""
    named = {source_id: span for source_id, span in spans.items() if choice.names(source_id)}
    if not named:
        found = sorted({station_of(source_id) for source_id in spans})
        raise DataError(
            f"{path} has no station that matches --station {', '.join(choice.station_names or ())}: it has "
            f"{', '.join(found[:_MOST_ADVICE])}" + (f", {len(found) - _MOST_ADVICE} more" * (len(found) > _MOST_ADVICE))
        )
    if len(named) < len(spans):
        diagnostics.count("channel(s) of stations left out that --station does not name", len(spans) - len(named))
    return named


def _mismatch(spans: dict[str, ChannelSpan], choice: ModelChoice) -> str:
    """Return which channels were expected, which there are, and how to have them processed."""
    expected = choice.expected((source_id, span[2]) for source_id, span in spans.items())
    found = sorted({channel_of(source_id) or source_id for source_id in spans})
    # Naming channels is no help to a network with one column for each component.
    by_component = any(choice.manifest(source_id, span[2]).front_end.components for source_id, span in spans.items())
    way_out = "name another model" if by_component else "name the channels with --channels, or another model"
    return f"channel that matches {expected}: it has {', '.join(found)}; {way_out}: {_advice(spans, choice)}"


def _advice(spans: dict[str, ChannelSpan], choice: ModelChoice) -> str:
    advice = [choice.advice(source_id, span[2]) for source_id, span in sorted(spans.items())]
    return ", ".join(advice[:_MOST_ADVICE]) + (
        f", {len(advice) - _MOST_ADVICE} more" if len(advice) > _MOST_ADVICE else ""
    )


def _part(
    path: Path, station_id: str, spans: dict[str, ChannelSpan], index: FileIndex | None, plan: InputPlan
) -> FileSpan:
    mine = {source_id: span for source_id, span in spans.items() if station_of(source_id) == station_id}
    size_bytes = path.stat().st_size
    if index is None:
        plan.n_samples += sum(round((b - a) / NS_PER_S * rate_hz) for a, b, rate_hz in mine.values())
        return FileSpan(station_id, mine, path, size_bytes, None, None)
    headers = _usable(index.headers, mine)
    plan.n_samples += sum(header.n_samples for header in headers)
    plan.n_headers += len(headers)
    kept = headers if plan.n_headers <= _MOST_HEADERS else None
    return FileSpan(station_id, mine, path, size_bytes, index.start_ns, kept)


def channel_spans(
    index: FileIndex, is_wanted: Callable[[str, float], bool], diagnostics: Diagnostics
) -> dict[str, ChannelSpan]:
    """Return start, stop and sampling rate of each channel of a file.

    A few records with a different rate than the rest of their channel have a damaged header; many are a change of rate.

    Raises
    ------
    DataError
        Such a change, in a channel that is wanted (source identifier, sampling rate in Hz).
    """
    by_channel: dict[str, list[RecordHeader]] = {}
    for header in index.headers:
        by_channel.setdefault(header.source_id, []).append(header)
    spans: dict[str, ChannelSpan] = {}
    for source_id, headers in by_channel.items():
        rate_hz = Counter(header.sampling_rate_hz for header in headers).most_common(1)[0][0]
        usual = [header for header in headers if same_rate(header.sampling_rate_hz, rate_hz)]
        others = [header for header in headers if not same_rate(header.sampling_rate_hz, rate_hz)]
        if len(others) > _DAMAGED_SHARE * len(headers) and is_wanted(source_id, rate_hz):
            raise DataError(
                f"{index.path}: {channel_of(source_id)} changes its sampling rate from {rate_hz:g} to "
                f"{others[0].sampling_rate_hz:g} Hz; expected one rate per channel: split the file"
            )
        for header in others:
            diagnostics.skip_record(str(index.path), f"its rate is {header.sampling_rate_hz:g} Hz", header.size_bytes)
        stop_ns = max(header.stop_ns for header in usual)
        spans[source_id] = (usual[0].start_ns, stop_ns, rate_hz)
    return spans


def _usable(headers: Iterable[RecordHeader], spans: dict[str, ChannelSpan]) -> tuple[RecordHeader, ...]:
    """Return the records of the channels in `spans` at these channels' sampling rates."""
    return tuple(
        header
        for header in headers
        if header.source_id in spans and same_rate(header.sampling_rate_hz, spans[header.source_id][2])
    )


def _with_usable_rate(
    path: Path, spans: dict[str, ChannelSpan], choice: ModelChoice, diagnostics: Diagnostics
) -> dict[str, ChannelSpan]:
    """Leave out channels at a sampling rate that the model does not take; raise DataError if none is left."""
    fitting: dict[str, ChannelSpan] = {}
    problem: DataError | None = None
    for source_id, span in spans.items():
        manifest = choice.manifest(source_id, span[2])
        try:
            require_rate(manifest.front_end, manifest.sampling_rate_hz, span[2])
            fitting[source_id] = span
        except DataError as error:
            problem = DataError(f"model {manifest.name}: {error}")
            diagnostics.warn(f"{path}: {channel_of(source_id)} left out: {problem}") if len(spans) > 1 else None
    if not fitting:
        raise DataError(f"{path}: {problem}: {_advice(spans, choice)}") from problem
    return fitting

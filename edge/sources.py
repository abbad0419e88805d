"""What a run reads: files and folders sorted into streams, each stream's pieces in the order of their start times."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from edgequake.edge.errors import DataError
from edgequake.edge.manifest import Manifest
from edgequake.edge.miniseed import FileIndex, RecordHeader, index_file, read_indexed
from edgequake.edge.packet import packet_span, read_packet_csv
from edgequake.edge.piece import NS_PER_S, Piece, channel_of, station_of
from edgequake.edge.station import decimation_factor

_OVERLAP_NS = 1_000_000_000  # files of one stream may overlap by this much: archives cut days inside a record


@dataclass(frozen=True)
class _Part:
    """One station's share of one file."""

    station_id: str
    spans: dict[str, tuple[int, int, float]]  # source id -> start_ns, stop_ns, sampling_rate_hz
    index: FileIndex | None  # None: a packet CSV
    headers: tuple[RecordHeader, ...]
    path: Path

    @property
    def start_ns(self) -> int:
        return min(start for start, _, _ in self.spans.values())

    def pieces(self) -> Iterator[Piece]:
        return read_packet_csv(self.path) if self.index is None else read_indexed(self.index, self.headers)


@dataclass
class Stream:
    """Records of one station that follow one another; files that overlap in time are in streams of their own."""

    station_id: str
    parts: list[_Part] = field(default_factory=list)
    _stops: dict[str, tuple[int, float]] = field(default_factory=dict)

    def takes(self, part: _Part) -> bool:
        """Whether a part, no older than those before it, goes on where this stream's channels stop."""
        for source_id, (start_ns, _, rate_hz) in part.spans.items():
            stop_ns, my_rate_hz = self._stops.get(source_id, (start_ns, rate_hz))
            if start_ns < stop_ns - _OVERLAP_NS or abs(rate_hz / my_rate_hz - 1.0) > 1e-3:
                return False
        return part.station_id == self.station_id

    def add(self, part: _Part) -> None:
        """Append a part that this stream takes."""
        self.parts.append(part)
        for source_id, (_, stop_ns, rate_hz) in part.spans.items():
            self._stops[source_id] = (max(stop_ns, self._stops.get(source_id, (stop_ns, rate_hz))[0]), rate_hz)

    def pieces(self) -> Iterator[Piece]:
        """Yield every piece in the order of its start time."""
        return heapq.merge(*(part.pieces() for part in self.parts), key=lambda piece: piece.start_ns)


@dataclass
class Plan:
    """The streams of a run, and what was left out of them and why."""

    streams: list[Stream] = field(default_factory=list)
    size_bytes: int = 0
    n_samples: int = 0  # about: gaps within files count as samples
    unreadable_bytes: int = 0
    warnings: list[str] = field(default_factory=list)
    ignored_channels: set[str] = field(default_factory=set)


def plan_inputs(inputs: tuple[str, ...], manifest: Manifest, channels: tuple[str, ...] | None = None) -> Plan:
    """Sort files and folders into streams.

    A station's files form one stream as long as they follow one another; a file that overlaps what is there already
    (two versions of the same hours) starts a stream of its own, with a detector of its own. Only channels whose code
    matches `channels` (by default the manifest's) are read.

    Raises
    ------
    DataError
        A named file that is missing, not miniSEED or packet CSV, without a matching channel, or of a sampling rate
        the model does not take; a folder with nothing usable. In a folder, such files are left out with a warning.
    """
    plan = Plan()
    patterns = channels or manifest.channels
    parts: list[_Part] = []
    for name in inputs:
        path = Path(name)
        if path.is_dir():
            parts += _folder_parts(path, manifest, patterns, plan)
        elif path.is_file():
            parts += _file_parts(path, manifest, patterns, plan)
        else:
            raise DataError(f"input {name} does not exist; expected a miniSEED file, a packet CSV, a folder, or -")
    for part in sorted(parts, key=lambda part: (part.start_ns, part.path.name)):
        stream = next((stream for stream in plan.streams if stream.takes(part)), None)
        if stream is None:
            stream = Stream(part.station_id)
            plan.streams.append(stream)
        stream.add(part)
    return plan


def _folder_parts(folder: Path, manifest: Manifest, patterns: tuple[str, ...], plan: Plan) -> list[_Part]:
    parts: list[_Part] = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name.startswith("."):
            continue
        try:
            parts += _file_parts(path, manifest, patterns, plan)
        except DataError as problem:
            plan.warnings.append(f"left out: {problem}")
    if not parts:
        reason = f"; the first was {plan.warnings[0]}" if plan.warnings else ""
        raise DataError(f"folder {folder} holds no usable record{reason}")
    return parts


def _file_parts(path: Path, manifest: Manifest, patterns: tuple[str, ...], plan: Plan) -> list[_Part]:
    """Return a part per station of one file."""
    if path.suffix.lower() == ".csv":
        parts = [_csv_part(path)]
    else:
        index = index_file(path)
        parts = [_mseed_part(index, station_id) for station_id in _stations(index)]
    kept = []
    found = {channel_of(source_id) for part in parts for source_id in part.spans}
    for part in parts:
        spans = {name: span for name, span in part.spans.items() if matches(name, patterns)}
        for _, _, rate_hz in spans.values():
            _require_rate(path, manifest, rate_hz)
        headers = tuple(header for header in part.headers if header.source_id in spans)
        plan.n_samples += sum(round((b - a) / NS_PER_S * rate_hz) for a, b, rate_hz in spans.values())
        kept += [_Part(part.station_id, spans, part.index, headers, path)] if spans else []
    if not kept:
        raise DataError(
            f"{path} has no channel that matches {', '.join(patterns)}: it has {', '.join(sorted(found))}; "
            f"name the channels with --channels"
        )
    plan.size_bytes += path.stat().st_size
    for part in parts:
        plan.ignored_channels |= {name for name in part.spans if not matches(name, patterns)}
        if part.index is not None and part.index.problem and part is parts[0]:
            plan.unreadable_bytes += part.index.unreadable_bytes
            plan.warnings.append(f"{path}: last {part.index.unreadable_bytes} bytes unreadable: {part.index.problem}")
    return kept


def _csv_part(path: Path) -> _Part:
    source_id, start_ns, stop_ns, rate_hz = packet_span(path)
    return _Part(station_of(source_id), {source_id: (start_ns, stop_ns, rate_hz)}, None, (), path)


def _mseed_part(index: FileIndex, station_id: str) -> _Part:
    headers = tuple(header for header in index.headers if station_of(header.source_id) == station_id)
    spans: dict[str, tuple[int, int, float]] = {}
    for header in headers:
        start_ns, stop_ns, _ = spans.get(header.source_id, (header.start_ns, header.stop_ns, 0.0))
        span = (min(start_ns, header.start_ns), max(stop_ns, header.stop_ns), header.sampling_rate_hz)
        spans[header.source_id] = span
    return _Part(station_id, spans, index, headers, index.path)


def _stations(index: FileIndex) -> list[str]:
    return sorted({station_of(header.source_id) for header in index.headers})


def matches(source_id: str, patterns: tuple[str, ...]) -> bool:
    """Whether a channel's code matches one of the patterns."""
    return any(fnmatchcase(channel_of(source_id), pattern) for pattern in patterns)


def _require_rate(path: Path, manifest: Manifest, rate_hz: float) -> None:
    try:
        decimation_factor(manifest.front_end, manifest.sampling_rate_hz, rate_hz)
    except DataError as problem:
        raise DataError(f"{path}: {problem}") from problem

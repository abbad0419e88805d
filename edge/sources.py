"""What a run reads: files and folders sorted into streams, each stream's pieces in the order of their start times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO

from edgequake.edge.errors import DataError
from edgequake.edge.manifest import Manifest
from edgequake.edge.miniseed import FileIndex, RecordHeader, index_file, read_stream
from edgequake.edge.packet import packet_span
from edgequake.edge.piece import NS_PER_S, Piece, channel_of, station_of
from edgequake.edge.station import decimation_factor
from edgequake.edge.stream import SAME_RATE, Part, Stream

_LATE_NS = 300 * NS_PER_S  # in a live stream no channel lags behind another by more


@dataclass
class Plan:
    """The streams of a run, and what was left out of them and why."""

    streams: list[Stream] = field(default_factory=list)
    size_bytes: int = 0
    n_samples: int = 0  # about: gaps within packet CSVs count as samples
    unreadable_bytes: int = 0
    warnings: list[str] = field(default_factory=list)
    ignored_channels: set[str] = field(default_factory=set)

    def note(self, warning: str, unreadable_bytes: int) -> None:
        """Take down what a reader had to leave out."""
        self.warnings.append(warning)
        self.unreadable_bytes += unreadable_bytes


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
    parts: list[Part] = []
    for name in inputs:
        path = Path(name)
        if path.is_dir():
            parts += _folder_parts(path, manifest, patterns, plan)
        elif path.is_file():
            parts += _file_parts(path, manifest, patterns, plan)
        else:
            raise DataError(
                f"input {name} is no file or folder; expected miniSEED files, packet CSVs, folders, or - alone"
            )
    for part in sorted(parts, key=lambda part: (part.start_ns, part.path.name)):
        stream = next((stream for stream in plan.streams if stream.takes(part)), None)
        if stream is None:
            stream = Stream(part.station_id)
            plan.streams.append(stream)
        stream.add(part)
    return plan


def live_pieces(stream: BinaryIO | None, patterns: tuple[str, ...], plan: Plan) -> Iterator[Piece]:
    """Yield the pieces of matching channels as they come in; `plan` takes down bytes, warnings and other channels.

    Raises
    ------
    DataError
        As `read_stream`.
    """
    if stream is None:
        raise DataError("standard input is closed; pipe miniSEED records into it, or name files")
    newest_ns, in_order = None, True
    for piece in read_stream(_Counted(stream, plan), plan.note):
        newest_ns = piece.start_ns if newest_ns is None else max(newest_ns, piece.start_ns)
        if in_order and newest_ns - piece.start_ns > _LATE_NS:
            in_order = False
            plan.note(f"input stream: {channel_of(piece.source_id)} comes late; expected records in time order", 0)
        if matches(piece.source_id, patterns):
            yield piece
        else:
            plan.ignored_channels.add(piece.source_id)


class _Counted:
    """A stream that counts its bytes, and gives what has come without waiting for more."""

    def __init__(self, stream: BinaryIO, plan: Plan) -> None:
        self._read, self._plan = getattr(stream, "read1", stream.read), plan

    def read(self, n_bytes: int) -> bytes:
        data: bytes = self._read(n_bytes)
        self._plan.size_bytes += len(data)
        return data


def _folder_parts(folder: Path, manifest: Manifest, patterns: tuple[str, ...], plan: Plan) -> list[Part]:
    parts: list[Part] = []
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


def _file_parts(path: Path, manifest: Manifest, patterns: tuple[str, ...], plan: Plan) -> list[Part]:
    """Return a part per station of one file."""
    if path.suffix.lower() == ".csv":
        parts = [_csv_part(path)]
    else:
        index = index_file(path)
        parts = [_mseed_part(index, station_id) for station_id in _stations(index)]
    kept = []
    found = {channel_of(source_id) or source_id for part in parts for source_id in part.spans}
    for part in parts:
        spans = {name: span for name, span in part.spans.items() if matches(name, patterns)}
        for _, _, rate_hz in spans.values():
            _require_rate(path, manifest, rate_hz)
        headers = tuple(header for header in part.headers if header.source_id in spans)
        _require_one_rate(path, headers, spans)
        n_spanned = sum(round((b - a) / NS_PER_S * rate_hz) for a, b, rate_hz in spans.values())
        plan.n_samples += n_spanned if part.index is None else sum(header.n_samples for header in headers)
        kept += [Part(part.station_id, spans, part.index, headers, path)] if spans else []
    if not kept:
        raise DataError(
            f"{path} has no channel that matches {', '.join(patterns)}: it has {', '.join(sorted(found))}; "
            f"name the channels with --channels"
        )
    plan.size_bytes += path.stat().st_size
    for part in parts:
        plan.ignored_channels |= {name for name in part.spans if not matches(name, patterns)}
        if part.index is not None and part.index.problem and part is parts[0]:
            n_bytes = part.index.unreadable_bytes
            plan.note(f"{path}: {n_bytes} bytes belong to no readable record: {part.index.problem}", n_bytes)
    return kept


def _csv_part(path: Path) -> Part:
    source_id, start_ns, stop_ns, rate_hz = packet_span(path)
    return Part(station_of(source_id), {source_id: (start_ns, stop_ns, rate_hz)}, None, (), path)


def _mseed_part(index: FileIndex, station_id: str) -> Part:
    headers = tuple(header for header in index.headers if station_of(header.source_id) == station_id)
    spans: dict[str, tuple[int, int, float]] = {}
    for header in headers:
        start_ns, stop_ns, _ = spans.get(header.source_id, (header.start_ns, header.stop_ns, 0.0))
        span = (min(start_ns, header.start_ns), max(stop_ns, header.stop_ns), header.sampling_rate_hz)
        spans[header.source_id] = span
    return Part(station_id, spans, index, headers, index.path)


def _stations(index: FileIndex) -> list[str]:
    return sorted({station_of(header.source_id) for header in index.headers})


def matches(source_id: str, patterns: tuple[str, ...]) -> bool:
    """Whether a channel's code matches one of the patterns."""
    return any(fnmatchcase(channel_of(source_id), pattern) for pattern in patterns)


def _require_one_rate(path: Path, headers: tuple[RecordHeader, ...], spans: dict[str, tuple[int, int, float]]) -> None:
    for header in headers:
        rate_hz = spans[header.source_id][2]
        if abs(header.sampling_rate_hz / rate_hz - 1.0) > SAME_RATE:
            raise DataError(
                f"{path}: {channel_of(header.source_id)} changes its sampling rate from {header.sampling_rate_hz:g} to "
                f"{rate_hz:g} Hz; expected one rate a channel: split the file"
            )


def _require_rate(path: Path, manifest: Manifest, rate_hz: float) -> None:
    try:
        decimation_factor(manifest.front_end, manifest.sampling_rate_hz, rate_hz)
    except DataError as problem:
        raise DataError(f"{path}: {problem}") from problem

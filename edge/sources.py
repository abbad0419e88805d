"""What a run reads: files and folders sorted into streams, each stream's pieces in the order of their start times."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from edgequake.edge.channel_front_end import decimation_factor
from edgequake.edge.errors import DataError
from edgequake.edge.manifest import Manifest
from edgequake.edge.miniseed import FileIndex, RecordHeader, index_file
from edgequake.edge.notes import Notes
from edgequake.edge.packet import packet_span
from edgequake.edge.piece import NS_PER_S, channel_of, station_of
from edgequake.edge.stream import SAME_RATE, Part, Span, Stream

_HELD_HEADERS = 20_000  # records of a week of three channels; of more, each file is indexed anew when it is read
_DAMAGED_SHARE = 0.02


@dataclass
class Plan:
    """The streams of a run, and what was left out of them and why."""

    streams: list[Stream] = field(default_factory=list)
    size_bytes: int = 0
    n_samples: int = 0  # about: gaps within packet CSVs count as samples
    ignored_channels: set[str] = field(default_factory=set)
    note: Notes = field(default_factory=Notes)  # called with a warning, takes it down
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
) -> Plan:
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
    plan = Plan()
    patterns = channels or manifest.channels
    parts: list[Part] = []
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
            stream = Stream(part.station_id)
            plan.streams.append(stream)
        stream.add(part)
    return plan


def files_in(folder: Path, out: Path | None) -> list[Path]:
    """Return the files of a folder and its subfolders in the order of their names, without hidden ones and `out`'s."""
    mine = None if out is None else out.resolve()
    names = (path for path in sorted(folder.rglob("*")) if not path.name.startswith(".") and path.is_file())
    return [path for path in names if mine is None or mine not in path.resolve().parents]


def _folder_parts(
    folder: Path, manifest: Manifest, patterns: tuple[str, ...], plan: Plan, out: Path | None
) -> list[Part]:
    parts: list[Part] = []
    for path in files_in(folder, out):
        try:
            parts += _file_parts(path, manifest, patterns, plan)
        except DataError as problem:
            plan.note(f"left out: {problem}", 0)
    if not parts:
        reason = f"; the first was {plan.warnings[0]}" if plan.warnings else ""
        raise DataError(f"folder {folder} holds no usable record{reason}")
    return parts


def _file_parts(path: Path, manifest: Manifest, patterns: tuple[str, ...], plan: Plan) -> list[Part]:
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


def _part(path: Path, station_id: str, spans: dict[str, Span], index: FileIndex | None, plan: Plan) -> Part:
    mine = {source_id: span for source_id, span in spans.items() if station_of(source_id) == station_id}
    size_bytes = path.stat().st_size
    if index is None:
        plan.n_samples += sum(round((b - a) / NS_PER_S * rate_hz) for a, b, rate_hz in mine.values())
        return Part(station_id, mine, path, size_bytes, None, None)
    headers = tuple(
        header
        for header in index.headers
        if header.source_id in mine and _same_rate(header.sampling_rate_hz, mine[header.source_id][2])
    )
    plan.n_samples += sum(header.n_samples for header in headers)
    plan.n_headers += len(headers)
    held = headers if plan.n_headers <= _HELD_HEADERS else None
    return Part(station_id, mine, path, size_bytes, index.start_ns, held)


def _csv_spans(path: Path) -> dict[str, Span]:
    source_id, start_ns, stop_ns, rate_hz = packet_span(path)
    return {source_id: (start_ns, stop_ns, rate_hz)}


def _record_spans(index: FileIndex, patterns: tuple[str, ...], notes: Notes) -> dict[str, Span]:
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
            notes.leave_out(str(index.path), f"its rate is {header.sampling_rate_hz:g} Hz", header.size_bytes)
        stop_ns = max(header.stop_ns for header in usual)
        spans[source_id] = (usual[0].start_ns, stop_ns, rate_hz)
    return spans


def _usual_rate_hz(headers: list[RecordHeader]) -> float:
    counts = Counter(header.sampling_rate_hz for header in headers)
    return counts.most_common(1)[0][0]


def _same_rate(rate_hz: float, other_hz: float) -> bool:
    return abs(rate_hz / other_hz - 1.0) <= SAME_RATE


def _of_a_rate_that_fits(path: Path, spans: dict[str, Span], manifest: Manifest, notes: Notes) -> dict[str, Span]:
    """Leave out channels of a rate that the model does not take; a file with no other is refused."""
    fitting: dict[str, Span] = {}
    problem: DataError | None = None
    for source_id, span in spans.items():
        try:
            decimation_factor(manifest.front_end, manifest.sampling_rate_hz, span[2])
            fitting[source_id] = span
        except DataError as error:
            problem = error
            notes(f"{path}: {channel_of(source_id)} left out: {error}", 0) if len(spans) > 1 else None
    if not fitting:
        raise DataError(f"{path}: {problem}") from problem
    return fitting


def matches(source_id: str, patterns: tuple[str, ...]) -> bool:
    """Whether a channel's code matches one of the patterns."""
    return any(fnmatchcase(channel_of(source_id), pattern) for pattern in patterns)

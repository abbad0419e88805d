"""Waveforms of a time span from the files of a run: archive, SSAM channels and segments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from edgequake.edge.archive.sds import DAY_NS, DayName, day_files, name_of
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.base.layout import ARCHIVE, CONTINUOUS, SEGMENTS
from edgequake.edge.formats.miniseed import index_file
from edgequake.edge.formats.record_scanner import RecordScanner
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, merge_contiguous, parse_time

_READ_BYTES = 1 << 18
_SEGMENT_TIME = re.compile(r"_(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)\.\d{3}(?:_\d+)?\.mseed\Z", re.ASCII)
_LONGEST_NS = 7 * DAY_NS  # of a segment: an event lasts hours at most
_VERSIONS = 4  # of the same hours that may be interleaved; each is merged by itself


@dataclass(frozen=True, slots=True)
class Span:
    """A selection: the samples with start <= time < stop of the channels that match."""

    start_ns: int
    stop_ns: int
    station: str | None = None  # S12 or XA_S12, patterns allowed; None: any
    channels: tuple[str, ...] | None = None  # patterns of channel codes; None: any

    def matches(self, name: DayName) -> bool:
        """Whether a channel matches."""
        return name.matches(self.station, self.channels)


def get_waveforms(
    folder: Path,
    start_ns: int,
    stop_ns: int,
    station: str | None = None,
    channels: tuple[str, ...] | None = None,
) -> list[Trace]:
    """Return the samples with start <= time < stop in an SDS folder, by channel and then by time.

    Only the records that overlap the span are decoded. Contiguous samples are one trace; of two versions of the same
    time both are returned.
    """
    return _merged(_in_archive(folder, Span(start_ns, stop_ns, station, channels)))


@dataclass(frozen=True, slots=True)
class StoredDay:
    """The part of a span within one UTC day, and the files that may contain samples of it."""

    span: Span
    files: tuple[Path, ...]  # of the archive, then of the SSAM channels
    segments: tuple[Path, ...]


def traces_of_files(paths: Iterable[Path], span: Span) -> list[Trace]:
    """Return the samples of a span in miniSEED files, by channel and then by time; of those that come twice, the first.

    A file that is missing is left out.
    """
    traces: list[Trace] = []
    for path in paths:
        for trace in _in_file(path, span):
            traces += _without(trace, traces)
    return _merged(traces)


def get_run_waveforms(out: Path, span: Span, unwritten: Sequence[Trace] = ()) -> list[Trace]:
    """Return what a run folder contains of a span, as `get_waveforms` does.

    The archive comes first, then samples that are not written to it yet (`Archive.unwritten`), then the segments, for
    what the archive has evicted. SSAM channels are searched only where channels are named.
    """
    files = [path for folder in _folders(out, span) for _, path in _matching(folder, span)]
    segments = sorted((out / SEGMENTS).glob("*.mseed"))
    return day_waveforms(StoredDay(span, tuple(files), tuple(segments)), unwritten)


def day_waveforms(day: StoredDay, unwritten: Sequence[Trace] = ()) -> list[Trace]:
    """Return what a run folder contains of a day, as `get_run_waveforms` does."""
    span = day.span
    traces = [trace for path in day.files for trace in _in_file(path, span)]
    matching = (trace for trace in unwritten if span.matches(name_of(trace.source_id)))
    others = [trace.between(span.start_ns, span.stop_ns) for trace in matching]
    for path in day.segments:
        others += _in_file(path, span)
    for trace in others:
        if len(trace.samples):
            traces += _without(trace, traces)
    return _merged(traces)


def stored_days(out: Path, span: Span, unwritten: Sequence[Trace] = ()) -> Iterator[StoredDay | None]:
    """Cut a span at UTC midnights and yield the days of which a run folder may contain samples.

    So no more than a day need be in memory, and a span of centuries costs no more than what is stored: each segment is
    looked at once. None is yielded after each, so that a run may do something else in between.
    """
    files: dict[int, list[Path]] = {}
    for folder in _folders(out, span):
        for day, path in _matching(folder, span):
            files.setdefault(day, []).append(path)
    for trace in unwritten:
        for day in range(trace.start_ns // DAY_NS, trace.stop_ns // DAY_NS + 1):
            files.setdefault(day, [])
    segments: dict[int, list[Path]] = {}
    for path in sorted((out / SEGMENTS).glob("*.mseed")):
        if not _may_overlap(path.name, span):
            continue
        with suppress(DataError):  # it has been sent and deleted meanwhile, or is damaged
            headers = index_file(path).headers
            days = {day for one in headers for day in range(one.start_ns // DAY_NS, one.stop_ns // DAY_NS + 1)}
            for day in days:
                segments.setdefault(day, []).append(path)
        yield None
    for day in sorted({*files, *segments}):
        start_ns, stop_ns = max(span.start_ns, day * DAY_NS), min(span.stop_ns, (day + 1) * DAY_NS)
        if start_ns < stop_ns:
            part = replace(span, start_ns=start_ns, stop_ns=stop_ns)
            yield StoredDay(part, tuple(files.get(day, ())), tuple(segments.get(day, ())))


def _folders(out: Path, span: Span) -> list[Path]:
    return [out / ARCHIVE] if span.channels is None else [out / ARCHIVE, out / CONTINUOUS]


def _may_overlap(name: str, span: Span) -> bool:
    """Whether a segment may contain samples of a span, by the time in its name; True where that says nothing."""
    found = _SEGMENT_TIME.search(name)
    if found is None:
        return True
    try:
        start_ns = parse_time("{}-{}-{}T{}:{}:{}".format(*found.groups()))
    except DataError:
        return True
    return span.start_ns - _LONGEST_NS < start_ns < span.stop_ns + NS_PER_S


def _matching(folder: Path, span: Span) -> list[tuple[int, Path]]:
    """Return day and path of the files of an SDS folder that may contain samples of a span, by channel and day."""
    days = range(span.start_ns // DAY_NS, -(-span.stop_ns // DAY_NS))
    names = ((name, path) for _, name, path in day_files(folder) if name.day in days and span.matches(name))
    return [(name.day, path) for name, path in sorted(names)]


def _in_archive(folder: Path, span: Span) -> Iterator[Trace]:
    """Yield the traces of a span from an SDS folder, by channel and then by time, one day in memory at a time."""
    for _, path in _matching(folder, span):
        yield from _in_file(path, span)


def file_records(path: Path, span: Span) -> Iterator[Trace]:
    """Yield what each record of a miniSEED file has of a span, in the file's order; nothing where the file is missing.

    Archives evict files at any time; a file that is replaced meanwhile is read to its end as it was.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        yield from _decoded(file, path.name, span)


def _in_file(path: Path, span: Span) -> list[Trace]:
    """Return the traces of a span from a miniSEED file."""
    return _merged(file_records(path, span))


def _merged(traces: Iterable[Trace]) -> list[Trace]:
    ordered = sorted(traces, key=lambda trace: (trace.source_id, trace.start_ns))
    return merge_contiguous(ordered, n_open=_VERSIONS)


def _without(trace: Trace, others: Iterable[Trace]) -> list[Trace]:
    """Return the parts of a trace at times that no other trace of its channel covers."""
    parts = [trace]
    for other in others:
        if other.source_id == trace.source_id:
            halves = [(part.between(None, other.start_ns), part.between(other.stop_ns, None)) for part in parts]
            parts = [part for pair in halves for part in pair if len(part.samples)]
    return parts


def _decoded(file: BinaryIO, name: str, span: Span) -> Iterator[Trace]:
    """Decode the records that overlap a span, and cut them to it."""
    for first_byte, stop_byte in _ranges(file, span):
        file.seek(first_byte)
        scanner = RecordScanner(name, Diagnostics(), decode=True, offset=first_byte)
        while first_byte < stop_byte:
            data = file.read(min(_READ_BYTES, stop_byte - first_byte))
            first_byte += len(data)
            for record in scanner.feed(data, at_end=first_byte == stop_byte):
                header = record.header
                assert record.samples is not None
                trace = Trace(header.source_id, header.start_ns, header.sampling_rate_hz, record.samples, name)
                part = trace.between(span.start_ns, span.stop_ns)
                if len(part.samples):
                    yield part
            if not data:
                break


def _ranges(file: BinaryIO, span: Span) -> list[tuple[int, int]]:
    """Return the bytes [first, stop) of matching records; adjacent records are one range."""
    ranges: list[tuple[int, int]] = []
    scanner = RecordScanner("", Diagnostics(), decode=False)
    at_end = False
    while not at_end:
        data = file.read(_READ_BYTES)
        at_end = not data
        for record in scanner.feed(data, at_end):
            header = record.header
            overlaps = header.start_ns < span.stop_ns and header.stop_ns > span.start_ns
            if overlaps and span.matches(name_of(header.source_id)):
                stop_byte = header.offset + header.size_bytes
                if ranges and ranges[-1][1] == header.offset:
                    ranges[-1] = (ranges[-1][0], stop_byte)
                else:
                    ranges.append((header.offset, stop_byte))
    return ranges

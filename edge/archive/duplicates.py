"""The duplicate filter of an archive: compares the samples of a trace with those stored for the same times."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace

from edgequake.edge.archive.day_files import DayFiles
from edgequake.edge.archive.sds import day_name, day_of, name_of, parse_day_name
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.miniseed import RecordFile, index_file
from edgequake.edge.formats.record_scanner import RecordHeader
from edgequake.edge.formats.waveforms import SampleBuffer, Trace, duration_ns, new_parts

_BEFORE_ALL_NS = -(1 << 63)
_MOST_INDEXES = 12  # the channels of one station


@dataclass
class _DayIndex:
    """The records of one day file by time, as far as it has been indexed."""

    file: RecordFile
    n_evictions: int  # of the archive when this was made
    size_bytes: int
    headers: list[RecordHeader]
    starts_ns: list[int]
    longest_ns: int


class DuplicateFilter:
    """Finds the new samples of a trace; reads the disk only for times that have been archived already."""

    def __init__(self, files: DayFiles) -> None:
        self._files = files
        self._indexes: dict[str, _DayIndex] = {}

    def stop_ns(self, source_id: str) -> int:
        """Return the time after a channel's last sample on disk; before all time where there is none."""
        own = name_of(source_id)
        names = (parse_day_name(name) for name in self._files.names())
        days = [name.day for name in names if name is not None and replace(name, day=0) == own]
        for day in sorted(days, reverse=True):
            # After a power loss the newest file may be empty, or hold zeros: the one before it counts then.
            index = self._index(day_name(source_id, day))
            if index is not None:
                return max(header.stop_ns for header in index.headers)
        return _BEFORE_ALL_NS

    def new_parts(self, trace: Trace, buffered: SampleBuffer | None) -> list[Trace]:
        """Return the parts of a trace, within one day, that are neither on disk nor among the buffered samples.

        What counts as the same is said in `edge.formats.overlaps.new_parts`.
        """
        return new_parts(trace, self._overlapping(trace, buffered))

    def _overlapping(self, trace: Trace, buffered: SampleBuffer | None) -> Iterator[Trace]:
        if buffered is not None and trace.start_ns < buffered.stop_ns:
            waiting = buffered.trace()
            if waiting.start_ns < trace.stop_ns:
                yield waiting
        # Rounding of its time decides to which day a sample at midnight belongs.
        rate_hz = trace.sampling_rate_hz
        first_day = day_of(trace.start_ns - duration_ns(1, rate_hz), rate_hz)
        for day in range(first_day, day_of(trace.stop_ns, rate_hz) + 1):
            yield from self._on_disk(trace, self._index(day_name(trace.source_id, day)))

    def _on_disk(self, trace: Trace, index: _DayIndex | None) -> Iterator[Trace]:
        if index is None:
            return
        first = bisect_left(index.starts_ns, trace.start_ns - index.longest_ns)
        for header in index.headers[first : bisect_right(index.starts_ns, trace.stop_ns)]:
            if header.stop_ns > trace.start_ns and header.source_id == trace.source_id:
                other = index.file.trace(header, Diagnostics())
                if other is not None:
                    yield other

    def _index(self, name: str) -> _DayIndex | None:
        """Return the up-to-date index of a file; None where it is missing or damaged."""
        index = self._indexes.pop(name, None)
        size_bytes = self._files.size_bytes(name)
        if index is not None and index.n_evictions != self._files.n_evictions:
            index.file.close()
            index = None
        if size_bytes == 0:
            return None
        path = self._files.folder / name
        if index is None:
            index = _DayIndex(RecordFile(path, 0), self._files.n_evictions, 0, [], [], 0)
        if index.size_bytes < size_bytes:
            try:
                new = index_file(path, index.size_bytes, size_bytes).headers
            except DataError:
                if not index.headers:
                    return None  # damaged: its contents are unknown
                new = ()  # what it held before still counts
            index.headers = sorted([*index.headers, *new], key=lambda header: header.start_ns)
            index.starts_ns = [header.start_ns for header in index.headers]
            index.longest_ns = max([index.longest_ns, *(header.stop_ns - header.start_ns for header in new)])
            index.size_bytes = size_bytes
        self._indexes[name] = index
        if len(self._indexes) > _MOST_INDEXES:
            self._indexes.pop(next(iter(self._indexes))).file.close()
        return index

"""What of a trace an archive does not hold yet: samples at times that it has are compared with those on disk."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.edge.archive.day_files import DayFiles
from edgequake.edge.archive.sds import day_name, day_of, name_of, parse_day_name
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.miniseed import RecordFile, index_file
from edgequake.edge.formats.record_scanner import RecordHeader
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns

_BEFORE_ALL_NS = -(1 << 63)
_MOST_INDEXES = 12  # the channels of one station
_SAME_TIME = 0.05  # of a sampling interval: times in records are rounded, and drift until a record follows them


@dataclass
class _Index:
    """The records of one day file by time, as far as it has been looked at."""

    file: RecordFile
    n_let_go: int
    size_bytes: int
    headers: list[RecordHeader]
    starts_ns: list[int]
    longest_ns: int


class DuplicateFilter:
    """Compares with what is held; looks at the disk only when something comes for a time that was archived already."""

    def __init__(self, files: DayFiles) -> None:
        self._files = files
        self._indexes: dict[str, _Index] = {}

    def until_ns(self, source_id: str) -> int:
        """Return the time after a channel's last sample on disk, before all time where there is none."""
        own = name_of(source_id)
        names = (parse_day_name(name) for name in self._files.names())
        days = [name.day for name in names if name is not None and replace(name, day=0) == own]
        index = self._index(day_name(source_id, max(days))) if days else None
        return _BEFORE_ALL_NS if index is None else max(header.stop_ns for header in index.headers)

    def left_out(self, trace: Trace, waiting: Trace | None) -> list[Trace]:
        """Return the parts of a trace, within one day, that are neither on disk nor among the samples that wait.

        A record's share of the trace is held if all its samples there are the same; single values may be equal by
        chance.
        """
        held = np.zeros(len(trace.samples), np.bool_)
        for other in self._overlapping(trace, waiting):
            _mark_same(held, trace, other)
        if not held.any():
            return [trace]
        edges = np.flatnonzero(np.diff(np.concatenate([[True], held, [True]])))
        return [_part(trace, int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]

    def _overlapping(self, trace: Trace, waiting: Trace | None) -> Iterator[Trace]:
        if waiting is not None and waiting.start_ns < trace.stop_ns and trace.start_ns < waiting.stop_ns:
            yield waiting
        # A sample at midnight is of one day or the other by how its time was rounded.
        rate_hz = trace.sampling_rate_hz
        first_day = day_of(trace.start_ns - duration_ns(1, rate_hz), rate_hz)
        for day in range(first_day, day_of(trace.stop_ns, rate_hz) + 1):
            yield from self._on_disk(trace, self._index(day_name(trace.source_id, day)))

    def _on_disk(self, trace: Trace, index: _Index | None) -> Iterator[Trace]:
        if index is None:
            return
        first = bisect_left(index.starts_ns, trace.start_ns - index.longest_ns)
        for header in index.headers[first : bisect_right(index.starts_ns, trace.stop_ns)]:
            if header.stop_ns > trace.start_ns and header.source_id == trace.source_id:
                other = index.file.trace(header, Diagnostics())
                if other is not None:
                    yield other

    def _index(self, name: str) -> _Index | None:
        """Return the index of a file as it is now."""
        index = self._indexes.pop(name, None)
        size_bytes = self._files.size_bytes(name)
        if index is not None and index.n_let_go != self._files.n_let_go:
            index.file.close()
            index = None
        if size_bytes == 0:
            return None
        path = self._files.folder / name
        if index is None:
            index = _Index(RecordFile(path, 0), self._files.n_let_go, 0, [], [], 0)
        if index.size_bytes < size_bytes:
            try:
                new = index_file(path, index.size_bytes, size_bytes).headers
            except DataError:
                return None  # damaged: nothing can be said of what it holds
            index.headers = sorted([*index.headers, *new], key=lambda header: header.start_ns)
            index.starts_ns = [header.start_ns for header in index.headers]
            index.longest_ns = max(index.longest_ns, *(header.stop_ns - header.start_ns for header in new))
            index.size_bytes = size_bytes
        self._indexes[name] = index
        if len(self._indexes) > _MOST_INDEXES:
            self._indexes.pop(next(iter(self._indexes))).file.close()
        return index


def _mark_same(held: npt.NDArray[np.bool_], trace: Trace, other: Trace) -> None:
    """Mark the samples of a trace that another has at the same times, if all of those are the same."""
    if abs(other.sampling_rate_hz / trace.sampling_rate_hz - 1.0) > 1e-6:
        return
    exact = (other.start_ns - trace.start_ns) * trace.sampling_rate_hz / NS_PER_S
    offset = round(exact)
    first, stop = max(0, offset), min(len(trace.samples), offset + len(other.samples))
    if abs(exact - offset) <= _SAME_TIME and first < stop:
        mine, theirs = trace.samples[first:stop], other.samples[first - offset : stop - offset]
        if _same(mine, theirs):
            held[first:stop] = True


def _same(mine: npt.NDArray[Any], theirs: npt.NDArray[Any]) -> bool:
    return bool(np.all((mine == theirs) | ((mine != mine) & (theirs != theirs))))  # a NaN is as good as another


def _part(trace: Trace, first: int, stop: int) -> Trace:
    start_ns = trace.start_ns + duration_ns(first, trace.sampling_rate_hz)
    return replace(trace, start_ns=start_ns, samples=trace.samples[first:stop])

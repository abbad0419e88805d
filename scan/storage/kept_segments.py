"""The kept samples of a scan as an SDS archive: one file per channel and UTC day, with the segments of all events.

A day's file is the sorted set of its records: records of a segment that is written again, after a crash, are the same
bytes, and are there once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pymseed

from edgequake.edge.archive.sds import DAY_NS, day_name, day_of
from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.miniseed import index_file, records_of
from edgequake.edge.formats.record_scanner import RecordScanner
from edgequake.edge.formats.waveforms import Trace, merge_contiguous
from edgequake.scan.storage.file_lock import locked


def keep_segments(root: Path, segments: Iterable[list[Trace]]) -> int:
    """Add segments to an SDS archive; return the bytes of their records.

    Raises
    ------
    DataError
        A file cannot be written, or an earlier one cannot be read.
    """
    by_file: dict[str, list[bytes]] = {}
    for trace in (trace for segment in segments for trace in segment):
        for part, day in _by_day(trace):
            by_file.setdefault(day_name(part.source_id, day), []).extend(records_of(part))
    for name, records in by_file.items():
        root.mkdir(parents=True, exist_ok=True)
        with locked(root / ".lock"):  # without chaining, two shards of a station may write the same day
            _add(root / name, records)
    return sum(len(record) for records in by_file.values() for record in records)


def decoded_segment(data: bytes) -> list[Trace]:
    """Return the traces in the bytes of a segment."""
    scanner = RecordScanner("a segment", Diagnostics(), decode=True)
    return merge_contiguous(record.trace() for record in scanner.feed(data, at_end=True))


def _by_day(trace: Trace) -> Iterator[tuple[Trace, int]]:
    day = day_of(trace.start_ns, trace.sampling_rate_hz)
    while len(trace.samples):
        part = trace.between(None, (day + 1) * DAY_NS)
        if len(part.samples):
            yield part, day
        trace, day = trace.between((day + 1) * DAY_NS, None), day + 1


def _add(path: Path, records: list[bytes]) -> None:
    known = _records(path) if path.exists() else []
    everything = {record: _start_ns(record) for record in (*known, *records)}
    if len(everything) > len(known):
        path.parent.mkdir(parents=True, exist_ok=True)
        in_order = sorted((start_ns, record) for record, start_ns in everything.items())
        write_bytes_atomically(path, b"".join(record for _, record in in_order))


def _records(path: Path) -> list[bytes]:
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise DataError(f"{path} cannot be read: {problem.strerror or problem}") from problem
    headers = sorted(index_file(path).headers, key=lambda header: header.offset)
    return [data[header.offset : header.offset + header.size_bytes] for header in headers]


def _start_ns(record: bytes) -> int:
    return int(pymseed.MS3Record.parse(record).starttime)

"""Files of one station that follow one another, as one stream of pieces in the order of their start times."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from edgequake.edge.errors import DataError
from edgequake.edge.miniseed import RecordFile, RecordHeader, index_file
from edgequake.edge.notes import Notes
from edgequake.edge.packet import read_packet_csv
from edgequake.edge.piece import Piece

SAME_RATE = 1e-3  # relative: rates in headers are rounded
Span: TypeAlias = tuple[int, int, float]  # start_ns, stop_ns, sampling_rate_hz
_OVERLAP_NS = 1_000_000_000  # files of one stream may overlap by this much: archives cut days inside a record


@dataclass(frozen=True)
class Part:
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

    def entries(self) -> Iterator[_Entry]:
        """Yield the records in the order of their starts, not decoded yet."""
        if self.file_start_ns is None:
            for piece in read_packet_csv(self.path):
                yield _Entry(piece.start_ns, piece, None, None)
            return
        file = RecordFile(self.path, self.file_start_ns)
        try:
            for header in self._headers() if self.headers is None else self.headers:
                yield _Entry(header.start_ns, None, header, file)
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
class _Entry:
    """A piece, or the record that it can be decoded from."""

    start_ns: int
    piece: Piece | None
    header: RecordHeader | None
    file: RecordFile | None

    def load(self, notes: Notes) -> Piece | None:
        if self.header is None or self.file is None:
            return self.piece
        return self.file.piece(self.header, notes)


@dataclass
class Stream:
    """Records of one station that follow one another; files that overlap in time are in streams of their own."""

    station_id: str
    parts: list[Part] = field(default_factory=list)
    _stops: dict[str, tuple[int, float]] = field(default_factory=dict)

    def takes(self, part: Part) -> bool:
        """Whether a part, no older than those before it, goes on where this stream's channels stop."""
        for source_id, (start_ns, _, rate_hz) in part.spans.items():
            stop_ns, my_rate_hz = self._stops.get(source_id, (start_ns, rate_hz))
            if start_ns < stop_ns - _OVERLAP_NS or abs(rate_hz / my_rate_hz - 1.0) > SAME_RATE:
                return False
        return part.station_id == self.station_id

    def add(self, part: Part) -> None:
        """Append a part that this stream takes."""
        self.parts.append(part)
        for source_id, (_, stop_ns, rate_hz) in part.spans.items():
            self._stops[source_id] = (max(stop_ns, self._stops.get(source_id, (stop_ns, rate_hz))[0]), rate_hz)

    def pieces(self, notes: Notes) -> Iterator[Piece]:
        """Yield every piece in the order of its start time; a file is open only while it is being read.

        Raises
        ------
        DataError
            A file has gone or changed since the plan was made.
        """
        return (piece for _, piece in self.pieces_from(0, notes))

    def pieces_from(self, n_read: int, notes: Notes) -> Iterator[tuple[int, Piece]]:
        """Yield, after the first `n_read` records, (number of records read so far, piece).

        Raises
        ------
        DataError
            As `pieces`.
        """
        for n, entry in enumerate(self._entries(), 1):
            piece = entry.load(notes) if n > n_read else None
            if piece is not None:
                yield n, piece

    def _entries(self) -> Iterator[_Entry]:
        waiting: list[tuple[int, int, _Entry, Iterator[_Entry]]] = []  # next record of each open file
        for i, part in enumerate(self.parts):  # in the order of their starts
            yield from _until(part.start_ns, waiting)
            _wait(waiting, i, part.entries())
        yield from _until(None, waiting)


def _until(time_ns: int | None, waiting: list[tuple[int, int, _Entry, Iterator[_Entry]]]) -> Iterator[_Entry]:
    """Yield the waiting records that start before a time (None: all), oldest first."""
    while waiting and (time_ns is None or waiting[0][0] < time_ns):
        _, i, entry, rest = heapq.heappop(waiting)
        yield entry
        _wait(waiting, i, rest)


def _wait(waiting: list[tuple[int, int, _Entry, Iterator[_Entry]]], i: int, entries: Iterator[_Entry]) -> None:
    entry = next(entries, None)
    if entry is not None:
        heapq.heappush(waiting, (entry.start_ns, i, entry, entries))  # i is there once: entries are never compared

"""Files of one station that follow one another, as one stream of pieces in the order of their start times."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edgequake.edge.miniseed import FileIndex, Note, RecordHeader, read_indexed
from edgequake.edge.packet import read_packet_csv
from edgequake.edge.piece import Piece

SAME_RATE = 1e-3  # relative: rates in headers are rounded
_OVERLAP_NS = 1_000_000_000  # files of one stream may overlap by this much: archives cut days inside a record


@dataclass(frozen=True)
class Part:
    """One station's share of one file."""

    station_id: str
    spans: dict[str, tuple[int, int, float]]  # source id -> start_ns, stop_ns, sampling_rate_hz
    index: FileIndex | None  # None: a packet CSV
    headers: tuple[RecordHeader, ...]
    path: Path

    @property
    def start_ns(self) -> int:
        return min(start for start, _, _ in self.spans.values())

    def pieces(self, note: Note) -> Iterator[Piece]:
        return read_packet_csv(self.path) if self.index is None else read_indexed(self.index, self.headers, note)


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

    def pieces(self, note: Note) -> Iterator[Piece]:
        """Yield every piece in the order of its start time; a file is open only while it is being read.

        Raises
        ------
        DataError
            A file has gone or changed since the plan was made.
        """
        waiting: list[tuple[int, int, Piece, Iterator[Piece]]] = []  # next piece of each open file
        for i, part in enumerate(self.parts):  # in the order of their starts
            yield from _until(part.start_ns, waiting)
            _wait(waiting, i, part.pieces(note))
        yield from _until(None, waiting)


def _until(time_ns: int | None, waiting: list[tuple[int, int, Piece, Iterator[Piece]]]) -> Iterator[Piece]:
    """Yield the waiting pieces that start before a time (None: all), oldest first."""
    while waiting and (time_ns is None or waiting[0][0] < time_ns):
        _, i, piece, rest = heapq.heappop(waiting)
        yield piece
        _wait(waiting, i, rest)


def _wait(waiting: list[tuple[int, int, Piece, Iterator[Piece]]], i: int, pieces: Iterator[Piece]) -> None:
    piece = next(pieces, None)
    if piece is not None:
        heapq.heappush(waiting, (piece.start_ns, i, piece, pieces))  # i is there once: pieces are never compared

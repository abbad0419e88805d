"""Keep the raw samples around events, and write them out bit for bit."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

import numpy as np

from edgequake.edge.atomic import write_bytes_atomically
from edgequake.edge.catalog import CatalogRow, event_id
from edgequake.edge.manifest import TriggerConfig
from edgequake.edge.miniseed_writer import encode
from edgequake.edge.piece import NS_PER_S, Piece, channel_of, duration_ns
from edgequake.edge.trigger import Event


@dataclass(frozen=True)
class Segment:
    """One kept file."""

    file: str  # under the run's folder
    station_id: str
    start_ns: int
    stop_ns: int
    n_samples: int  # all channels
    size_bytes: int


@dataclass
class _Pending:
    start_ns: int
    stop_ns: int
    events: list[Event]


class SegmentKeeper:
    """Ring of a station's raw pieces, and the segments cut from it.

    A segment is [onset - pre-roll, stop + post-roll) of an event; overlapping ones are merged, up to twice the longest
    event, after which a new segment goes on where the last one stops. No sample is kept twice.
    """

    def __init__(self, folder: Path, station_id: str, config: TriggerConfig) -> None:
        self._folder = folder
        self._station_id = station_id
        self._pre_ns = round(config.pre_roll_s * NS_PER_S)
        self._post_ns = round(config.post_roll_s * NS_PER_S)
        self._longest_ns = round(2 * config.max_event_s * NS_PER_S) + self._pre_ns + self._post_ns
        self._pieces: dict[str, deque[Piece]] = {}
        self._pending: deque[_Pending] = deque()
        self._written_until_ns: int | None = None

    def add_piece(self, piece: Piece) -> None:
        """Hold a piece's raw samples until it is certain that no event wants them."""
        self._pieces.setdefault(piece.source_id, deque()).append(piece)

    def add_event(self, event: Event) -> None:
        """Claim the samples around an event; events come in the order of their onsets."""
        start_ns, stop_ns = event.onset_ns - self._pre_ns, event.stop_ns + self._post_ns
        last = self._pending[-1] if self._pending else None
        if last is not None and start_ns <= last.stop_ns and stop_ns - last.start_ns <= self._longest_ns:
            last.stop_ns = max(last.stop_ns, stop_ns)
            last.events.append(event)
            return
        taken_until_ns = last.stop_ns if last is not None else self._written_until_ns
        if taken_until_ns is not None:
            start_ns = max(start_ns, taken_until_ns)
        self._pending.append(_Pending(start_ns, max(stop_ns, start_ns), [event]))

    def flush(self, horizon_ns: int | None) -> list[tuple[Segment, list[CatalogRow]]]:
        """Write the segments that no later event can reach, drop the samples nobody can want.

        `horizon_ns` is the detector's: no later event begins before it. None: nothing more will come.

        Raises
        ------
        DataError
            A segment cannot be written.
        """
        reach_ns = None if horizon_ns is None else horizon_ns - self._pre_ns
        written = []
        while self._pending and (reach_ns is None or self._pending[0].stop_ns < reach_ns):
            written.append(self._write(self._pending[0]))
            self._written_until_ns = self._pending.popleft().stop_ns
        if reach_ns is not None:
            self._drop_before(min([reach_ns, *(p.start_ns for p in self._pending)]))
        return written

    def _write(self, pending: _Pending) -> tuple[Segment, list[CatalogRow]]:
        cut = {name: self._cut(pieces, pending) for name, pieces in sorted(self._pieces.items())}
        kept = [piece for pieces in cut.values() for piece in _joined(pieces)]
        data = encode(kept)
        start_ns, stop_ns = _within_record(pending, kept)
        name = self._free_name(event_id(self._station_id, start_ns))
        write_bytes_atomically(self._folder / name, data)
        n_samples = sum(len(piece.samples) for piece in kept)
        segment = Segment(name, self._station_id, start_ns, stop_ns, n_samples, len(data))
        channels = tuple(dict.fromkeys(channel_of(piece.source_id) for piece in kept))
        return segment, [self._row(event, segment, channels) for event in pending.events]

    def _free_name(self, stem: str) -> str:
        """Name of a segment; two versions of the same hours, each a stream of its own, may find the same event."""
        names = chain([f"segments/{stem}.mseed"], (f"segments/{stem}_{i}.mseed" for i in count(2)))
        return next(name for name in names if not (self._folder / name).exists())

    @staticmethod
    def _cut(pieces: deque[Piece], pending: _Pending) -> list[Piece]:
        parts = (piece.between(pending.start_ns, pending.stop_ns) for piece in pieces)
        return [part for part in parts if len(part.samples)]

    def _row(self, event: Event, segment: Segment, channels: tuple[str, ...]) -> CatalogRow:
        source = self._piece_at(event.onset_ns)
        file_start_ns = source.start_ns if source.file_start_ns is None else source.file_start_ns
        return CatalogRow(
            filename=_bare_name(source.file),
            onset_ns=event.onset_ns,
            time_rel_s=(event.onset_ns - file_start_ns) / NS_PER_S,
            evid=event_id(self._station_id, event.onset_ns),
            mq_type="",
            station_id=self._station_id,
            channels=channels,
            stop_ns=event.stop_ns,
            peak_probability=event.peak_probability,
            priority=event.peak_probability,
            segment=segment.file,
            n_samples=segment.n_samples,
            size_bytes=segment.size_bytes,
            sent=False,
        )

    def _piece_at(self, time_ns: int) -> Piece:
        """Return the held piece that covers a time, or the one nearest to it."""
        held = [piece for name in sorted(self._pieces) for piece in self._pieces[name]]
        return min(held, key=lambda piece: max(piece.start_ns - time_ns, time_ns - piece.stop_ns, 0))

    def _drop_before(self, time_ns: int) -> None:
        for pieces in self._pieces.values():
            while pieces and pieces[0].stop_ns <= time_ns:
                pieces.popleft()


def _within_record(pending: _Pending, kept: list[Piece]) -> tuple[int, int]:
    """Clip an interval where the record starts later or stops earlier by a sample or more."""
    if not kept:
        return pending.start_ns, pending.stop_ns
    interval_ns = duration_ns(1, min(piece.sampling_rate_hz for piece in kept))
    start_ns, stop_ns = min(piece.start_ns for piece in kept), max(piece.stop_ns for piece in kept)
    return (
        start_ns if start_ns - pending.start_ns >= interval_ns else pending.start_ns,
        stop_ns if pending.stop_ns - stop_ns >= interval_ns else pending.stop_ns,
    )


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Join pieces that follow one another to within a hundredth of a sample, so that fewer records are written."""
    joined: list[Piece] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        tolerance_ns = duration_ns(1, piece.sampling_rate_hz) // 100
        if (
            last is not None
            and last.samples.dtype == piece.samples.dtype
            and abs(piece.start_ns - last.stop_ns) <= tolerance_ns
        ):
            samples = np.concatenate([last.samples, piece.samples])
            joined[-1] = Piece(
                last.source_id, last.start_ns, last.sampling_rate_hz, samples, last.file, last.file_start_ns
            )
        else:
            joined.append(piece)
    return joined


def _bare_name(file: str) -> str:
    """Return a file's name without .mseed, .miniseed or .csv, as the packet's lunar catalogue does."""
    stem, dot, extension = file.rpartition(".")
    return stem if dot and extension.lower() in ("mseed", "miniseed", "csv") else file

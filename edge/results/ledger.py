"""The ledger of a run: its segments and events, entered one by one; what must be remembered does not grow with them."""

from __future__ import annotations

import zlib
from bisect import bisect_left
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

from edgequake.edge.base.atomic_files import may_pass, write_bytes_atomically
from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.waveforms import format_time
from edgequake.edge.results.catalog import CatalogRow, Segment
from edgequake.edge.results.catalog_files import Block, CatalogFiles

_MOST_PENDING = 1000  # of a live run: more have not been detected again for so long that they never will be
_MOST_SERIES = 1000
_MOST_FAILURES = 3  # of a segment, for a reason that may pass, before its own name is to blame
# Segments of a live run that wait in memory for a disk that cannot be written: hours of events.
MOST_WAITING, MOST_WAITING_BYTES = 64, 32 << 20


def event_id(station_id: str, onset_ns: int) -> str:
    """Return the name of an event, for example ``XA_S12_19710413T125512.300``."""
    clock = format_time(onset_ns // 1_000_000 * 1_000_000)[:-3]
    return f"{_station_part(station_id)}_{clock.replace('-', '').replace(':', '')}"


def _station_part(station_id: str) -> str:
    # miniSEED 3 allows any character in a station code; the name is also a file name and must not leave its folder.
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "-" for c in station_id)


class UniqueNames:
    """Assigns the names of `event_id`; where a station's times do not increase, with a number.

    A station's times form series, in each of which they increase. A time that is not after the newest one, because a
    clock was set back or because two streams of a station overlap, goes into the first series that ends before it; the
    names of series 2, 3 ... end in _2, _3 ... So no name is given twice, and what must be remembered is one time for
    each series. Beyond `_MOST_SERIES` series each name has a number of its own.
    """

    def __init__(self) -> None:
        # By station, in small letters: stations that differ in their case alone would be one file on some file systems.
        # Milliseconds, negated: the newest times of the series decrease from one to the next.
        self._newest: dict[str, list[int]] = {}
        self._n_beyond = 0

    def assign(self, station_id: str, time_ns: int) -> tuple[str, str | None]:
        """Return the name for a station's time; where it ends in a number, the name without it too."""
        stem, time_ms = event_id(station_id, time_ns), time_ns // 1_000_000
        newest = self._newest.setdefault(_station_part(station_id).lower(), [])
        series = bisect_left(newest, -time_ms + 1)
        if series == len(newest) == _MOST_SERIES:
            self._n_beyond += 1
            return f"{stem}_{_MOST_SERIES + self._n_beyond}", stem
        newest[series : series + 1] = [-time_ms]
        return (stem, None) if series == 0 else (f"{stem}_{series + 1}", stem)

    def state(self) -> State:
        return {"newest": self._newest, "n_beyond": self._n_beyond}

    def restore(self, state: State) -> None:
        self._newest = {station: list(times) for station, times in state["newest"].items()}
        self._n_beyond = state["n_beyond"]


@dataclass(slots=True)
class LedgerEntry:
    """A segment that is complete on disk, and the rows of its events."""

    segment: Segment
    rows: tuple[CatalogRow, ...]
    is_new: bool = True  # not in the catalogue of an earlier process
    offset: int | None = None  # of its line in catalog.check; None: not written


class Ledger:
    """Rows and segments of a run, including those that an earlier process of the same run has catalogued.

    A row reaches the catalogue on disk only after its segment is complete. Where the run `may_wait`, which is so of a
    live one, segments are written with their rows, in the order in which they were completed, and both wait in memory
    while that fails: `MOST_WAITING` segments or `MOST_WAITING_BYTES`, of more those with the best events.

    A resumed run may detect the latest catalogued events again, because its checkpoint is older than they are; until
    then they are *pending*. Their rows and segments are final: they are neither rewritten nor removed.
    """

    def __init__(self, files: CatalogFiles | None = None) -> None:
        """Begin an empty ledger, which writes to `files`; None: to nowhere."""
        self.files = files
        self.may_wait = False
        self.make_room_for_segment: Callable[[int], bool] | None = None  # called when the disk is full
        self._segment_names, self._evids = UniqueNames(), UniqueNames()
        self._pending: dict[str, LedgerEntry] = {}  # by segment
        self._pending_evids: set[str] = set()
        self._unwritten: list[LedgerEntry] = []
        self._waiting: dict[str, tuple[Path, bytes]] = {}  # by segment: its file, which is not written, and its bytes
        self._n_failures: dict[str, int] = {}  # by segment that waits: how often it could not be written
        self.n_dropped = 0  # events that could not wait any longer
        self.n_renamed = 0  # segments that could not be written under their own names
        self._new: list[LedgerEntry] = []
        self.n_rows = 0  # of the catalogue
        self.n_segments = self.samples_kept = self.bytes_kept = 0  # of the segments that are not pending

    @property
    def make_room(self) -> Callable[[int], bool] | None:
        """Called when the disk is full."""
        return None if self.files is None else self.files.make_room

    @make_room.setter
    def make_room(self, make_room: Callable[[int], bool] | None) -> None:
        if self.files is not None:
            self.files.make_room = make_room

    def segment_name(self, station_id: str, start_ns: int) -> tuple[str, str | None]:
        """Assign a segment's file name; the same run always assigns the same names.

        Where a clock was set back an event may begin when an earlier one did: its name gets a number, and the name
        without it is returned too.
        """
        name, plain = self._segment_names.assign(station_id, start_ns)
        return f"segments/{name}.mseed", None if plain is None else f"segments/{plain}.mseed"

    def assign_evid(self, station_id: str, onset_ns: int) -> str:
        """Return an event's identifier, with a number where an earlier event may have it."""
        evid, _ = self._evids.assign(station_id, onset_ns)
        return evid if evid not in self._pending_evids else self.assign_evid(station_id, onset_ns)

    def pending_rows(self, name: str) -> tuple[CatalogRow, ...] | None:
        """Return the rows of a pending segment; None for any other."""
        if name not in self._pending:
            return None
        rows = self._pending[name].rows
        for row in rows:  # as when they were detected first
            self._evids.assign(row.station_id, row.onset_ns)
        return rows

    def write_segment(self, folder: Path, name: str, data: bytes) -> None:
        """Write a segment's file, or have it wait for `write`; `add` follows.

        Raises
        ------
        DataError
            It cannot be written, and the run may not wait.
        """
        if self.may_wait:
            self._waiting[name] = folder / name, data
        else:
            write_bytes_atomically(folder / name, data, self.make_room_for_segment)

    def is_segment(self, folder: Path, name: str, data: bytes) -> bool:
        """Whether a segment consists of these very bytes."""
        if name in self._waiting:
            return self._waiting[name][1] == data
        path = folder / name
        try:
            return path.stat().st_size == len(data) and path.read_bytes() == data
        except OSError:
            return False

    def add(self, segment: Segment, rows: tuple[CatalogRow, ...]) -> None:
        """Record a segment whose file is complete on disk, or waits."""
        entry = self._pending.pop(segment.file, None)
        if entry is None:
            entry = LedgerEntry(segment, rows)
            self._unwritten.append(entry)
            self.n_rows += len(rows)
        else:
            self._pending_evids.difference_update(row.evid for row in rows)
        self._new.append(entry)
        self.n_segments += 1
        self.samples_kept += segment.n_samples
        self.bytes_kept += segment.size_bytes
        while self._has_too_many_waiting() and self._drop_worst():
            pass

    @property
    def is_behind(self) -> bool:
        """Whether there are events whose rows are not in the catalogue on disk."""
        return bool(self._unwritten) or (self.files is not None and not self.files.is_complete)

    @property
    def n_unwritten(self) -> int:
        """Number of events without a line in catalog.check."""
        return sum(len(entry.rows) for entry in self._unwritten)

    def take_new(self) -> list[LedgerEntry]:
        """Return what was added since the last call and, if there is a catalogue on disk, is in it."""
        n_new = len(self._new)
        if self.files is not None and self.is_behind:
            n_new = next((i for i, entry in enumerate(self._new) if entry.offset is None), n_new)
            n_new = n_new if self.files.is_complete else 0
        new, self._new = self._new[:n_new], self._new[n_new:]
        return new

    def pending(self) -> list[LedgerEntry]:
        """Return the pending segments, in the order in which they were completed."""
        return list(self._pending.values())

    def last_entries(self) -> list[LedgerEntry]:
        """Return the segments that were completed last, in that order, as far as they are looked at at a start.

        Those that are pending are left out.
        """
        if self.files is None:
            return []
        pending = {entry.offset for entry in self._pending.values()}
        blocks = self.files.blocks(self.files.last_offset())
        return [_entry(block) for block in blocks if block.offset not in pending]

    def entry(self, offset: int) -> LedgerEntry | None:
        """Return the segment whose line in catalog.check begins at an offset; None where it cannot be read."""
        block = None if self.files is None else self.files.block(offset)
        return None if block is None else _entry(block)

    def finalize(self) -> None:
        """Record the segments that are still pending at the end of a run: their stream does not come again."""
        for entry in self.pending():
            self.add(entry.segment, entry.rows)

    def write(self) -> None:
        """Write the segments that wait, and append to the catalogue on disk what was added since the last call.

        Raises
        ------
        DataError
            A file cannot be written; the next call continues there.
        """
        if self.files is None:
            return
        try:
            self._write_segments()
        finally:  # the rows of those that are written go on
            self._write_rows(self.files)

    def _write_rows(self, files: CatalogFiles) -> None:
        ready = list(takewhile(lambda entry: entry.segment.file not in self._waiting, self._unwritten))
        if ready:
            offsets = files.append([(entry.segment, entry.rows) for entry in ready])
            for entry, offset in zip(ready, offsets, strict=True):
                entry.offset = offset
            self._unwritten = self._unwritten[len(ready) :]
        files.complete()

    def state(self) -> State:
        return {
            "check_bytes": 0 if self.files is None else self.files.check_bytes,
            "pending": [entry.offset for entry in self._pending.values()],
            "names": self._segment_names.state(),
            "evids": self._evids.state(),
            **{name: getattr(self, name) for name in _COUNTERS},
        }

    def restore(self, state: State | None, comes_again: bool) -> None:
        """Continue from what `state` returned (None: from nothing) and from the catalogue on disk.

        comes_again : the input comes again from the beginning where there is no state.

        Raises
        ------
        DataError
            The catalogue cannot be read.
        """
        assert self.files is not None
        if state is None:
            first = 0 if comes_again else self.files.last_offset()
            blocks, self.n_rows = self.files.blocks(first), self.files.count_rows()
        else:
            blocks = self.files.blocks(state["check_bytes"])
            self._segment_names.restore(state["names"])
            self._evids.restore(state["evids"])
            for name in _COUNTERS:
                setattr(self, name, state[name])
            self.n_rows += sum(block.n_rows for block in blocks)
            earlier = [self.files.block(offset) for offset in state["pending"]]
            blocks = [*(block for block in earlier if block is not None), *blocks]
        entries = map(_entry, blocks if comes_again else blocks[-_MOST_PENDING:])
        self._pending = {entry.segment.file: entry for entry in entries}
        self._pending_evids = {row.evid for entry in self._pending.values() for row in entry.rows}

    def _write_segments(self) -> None:
        """Write the segments that wait, in order."""
        for name, (path, data) in list(self._waiting.items()):
            _make_folder(path.parent)
            try:
                write_bytes_atomically(path, data, self.make_room_for_segment)
            except DataError as problem:
                self._n_failures[name] = self._n_failures.get(name, 0) + 1
                if may_pass(problem) and self._n_failures[name] < _MOST_FAILURES:
                    raise
                self._write_under_another_name(name, path, data, problem)
            del self._waiting[name]
            self._n_failures.pop(name, None)

    def _write_under_another_name(self, name: str, path: Path, data: bytes, problem: DataError) -> None:
        """Write a segment whose own path cannot be written, and enter it under that name.

        A name too long for the file system, a folder of that name or a bad block must not hold up all later events.

        Raises
        ------
        DataError
            `problem`: this name cannot be written either, so the disk is to blame.
        """
        other = f"{zlib.crc32(name.encode()):08x}"
        try:
            write_bytes_atomically(path.with_name(f"{other}{path.suffix}"), data, self.make_room_for_segment)
        except DataError:
            self._n_failures[name] = 0
            raise problem from problem.__cause__
        file = f"{name.rpartition('/')[0]}/{other}{path.suffix}"
        for entry in [entry for entry in self._unwritten if entry.segment.file == name]:
            entry.segment = replace(entry.segment, file=file)
            entry.rows = tuple(replace(row, segment=file) for row in entry.rows)
        self.n_renamed += 1

    def _has_too_many_waiting(self) -> bool:
        n_bytes = sum(len(data) for _, data in self._waiting.values())
        return len(self._waiting) > MOST_WAITING or n_bytes > MOST_WAITING_BYTES

    def _drop_worst(self) -> bool:
        """Give up the waiting segment whose best event has the lowest priority, of several the latest; False: none."""
        waiting = [entry for entry in reversed(self._unwritten) if entry.segment.file in self._waiting]
        if not waiting:
            return False
        worst = min(waiting, key=lambda entry: max(row.priority for row in entry.rows))
        del self._waiting[worst.segment.file]
        self._n_failures.pop(worst.segment.file, None)
        self._unwritten = [entry for entry in self._unwritten if entry is not worst]
        self._new = [entry for entry in self._new if entry is not worst]
        self.n_rows -= len(worst.rows)
        self.n_dropped += len(worst.rows)
        self.n_segments -= 1
        self.samples_kept -= worst.segment.n_samples
        self.bytes_kept -= worst.segment.size_bytes
        return True


_COUNTERS = ("n_rows", "n_segments", "samples_kept", "bytes_kept")


def _make_folder(folder: Path) -> None:
    """Make the folder of the segments anew where somebody has deleted it."""
    with suppress(OSError):  # the write that follows says why
        folder.mkdir(parents=True, exist_ok=True)


def _entry(block: Block) -> LedgerEntry:
    rows = block.rows
    return LedgerEntry(block.segment(rows), rows, is_new=False, offset=block.offset)

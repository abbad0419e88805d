"""An index of catalog.csv in memory: 26 bytes an event, so that a list of a million is filtered, ordered and cut fast.

The file itself is read once, from its end on when it grows, and otherwise only where a page shows a row.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.atomic_files import open_regular
from edgequake.edge.base.errors import DataError
from edgequake.edge.base.layout import CATALOG
from edgequake.edge.formats.waveforms import parse_time
from edgequake.edge.results.catalog import TIME_COLUMN, CatalogRow, columns_of, parse_row

NEWEST, DOUBTFUL, RANDOM = "newest", "doubtful", "random"
ORDERS = (NEWEST, DOUBTFUL, RANDOM)
_READ_BYTES = 1 << 19
_LONGEST_ROW_BYTES = 1 << 16
_MOST_NAMES = 255  # of stations or classes that can be told apart; further ones count as the last
_NS_PER_US = 1_000
_US_A_DAY = 86_400 * 1_000_000
_SCALE = 10_000  # peak probabilities have four decimals
# Knuth's multiplicative hash: a fixed permutation of row numbers that stays the same as rows are added.
_MIX = np.uint64(0x9E3779B97F4A7C15)

_ARRAYS = ("_offsets", "_onsets_us", "_peaks", "_stations", "_classes", "_hashes")  # in the order of `_index`

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class EventFilter:
    """Which events are listed; None: any.

    start_ns, stop_ns : of onsets, [start, stop), ns since 1970.
    state : number of the review's state, see `CatalogIndex.set_state`.
    """

    station_id: str | None = None
    mq_type: str | None = None
    start_ns: int | None = None
    stop_ns: int | None = None
    least_peak: float | None = None
    state: int | None = None


class _Names:
    """Names as numbers of one byte, in the order in which they came."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, name: str) -> int:
        if name not in self._numbers:
            if len(self.names) >= _MOST_NAMES:
                return _MOST_NAMES - 1
            self._numbers[name] = len(self.names)
            self.names.append(name)
        return self._numbers[name]

    def find(self, name: str) -> int:
        return self._numbers.get(name, _MOST_NAMES)


class CatalogIndex:
    """The events of a run folder by row number, from 0 on in the order of catalog.csv; safe for several threads."""

    def __init__(self, out: Path) -> None:
        self._path = out / CATALOG
        self._lock = threading.RLock()
        self._clear()

    def _clear(self) -> None:
        self._identity: tuple[int, int] | None = None  # device and inode of the file that is indexed
        self._columns: tuple[str, ...] = ()
        self._stop = 0  # byte after the last whole row that is indexed
        self._offsets = np.zeros(0, np.uint64)
        self._onsets_us = np.zeros(0, np.int64)
        self._peaks = np.zeros(0, np.uint16)
        self._stations = np.zeros(0, np.uint8)
        self._classes = np.zeros(0, np.uint8)
        self._states = np.zeros(0, np.uint8)
        self._hashes = np.zeros(0, np.uint32)
        self._station_names, self._class_names = _Names(), _Names()
        self._orders: dict[str, npt.NDArray[np.uint32]] = {}
        self.n_unreadable = 0
        self.is_complete = False
        self.generation = getattr(self, "generation", 0) + 1  # grows when the catalogue is another one than before

    def __len__(self) -> int:
        return len(self._offsets)

    @property
    def stations(self) -> list[str]:
        """Stations that events come from."""
        return sorted(self._station_names.names)

    @property
    def classes(self) -> list[str]:
        """Classes that events have; blank: none."""
        return sorted(self._class_names.names)

    def refresh(self, most_bytes: int | None = None) -> int:
        """Read what has been appended, `most_bytes` at most; return the number of new rows.

        A catalogue that has become shorter, or another file, is read anew. No catalogue is one without events.

        Raises
        ------
        DataError
            It cannot be read, or has other columns.
        """
        with self._lock:
            try:
                status = self._path.stat()
            except FileNotFoundError:
                if self._identity is not None:
                    self._clear()
                self.is_complete = True
                return 0
            except OSError as problem:
                raise self._unreadable(problem) from problem
            identity = (status.st_dev, status.st_ino)
            if self._identity is not None and (identity != self._identity or status.st_size < self._stop):
                self._clear()
            self._identity = identity
            if status.st_size == self._stop:
                self.is_complete = True
                return 0
            return self._read(status.st_size, most_bytes)

    def _read(self, size_bytes: int, most_bytes: int | None) -> int:
        n_before = len(self)
        until = size_bytes if most_bytes is None else min(size_bytes, self._stop + most_bytes)
        parts: list[list[npt.NDArray[Any]]] = []
        try:
            with open_regular(self._path) as file:
                if not self._stop:
                    self._stop = self._read_header(file.readline(_LONGEST_ROW_BYTES))
                file.seek(self._stop)
                while self._stop < until:
                    data = file.read(_READ_BYTES)
                    end = data.rfind(b"\n") + 1
                    if not end:
                        break
                    parts.append(self._index(data[:end], self._stop))
                    self._stop += end
                    file.seek(self._stop)
        except OSError as problem:
            raise self._unreadable(problem) from problem
        if parts:
            for name, new in zip(_ARRAYS, zip(*parts, strict=True), strict=True):  # one at a time: half the memory
                setattr(self, name, np.concatenate([getattr(self, name), *new]))
            grown = np.zeros(len(self._offsets), np.uint8)
            grown[:n_before] = self._states
            self._states = grown
            self._orders = {}
        self.is_complete = self._stop >= size_bytes or not parts
        return len(self) - n_before

    def _read_header(self, line: bytes) -> int:
        columns = columns_of(line.decode(errors="replace"))
        if columns is None:
            raise DataError(f"{self._path} is no edgequake catalogue: its first line names other columns")
        self._columns = columns
        return len(line)

    def _index(self, data: bytes, at: int) -> list[npt.NDArray[Any]]:
        """Return offset, onset, peak, station, class and hash of the name of each row in whole lines."""
        place = {name: self._columns.index(name) for name in ("evid", "mq_type", "station_id", "peak_probability")}
        time_at, n_columns = self._columns.index(TIME_COLUMN), len(self._columns)
        evid_at, class_at, station_at, peak_at = place.values()
        offsets, times, peaks, stations, classes, hashes = [], [], [], [], [], []
        for line in data.split(b"\n")[:-1]:
            cells = line.decode(errors="replace").split(",")
            if len(cells) != n_columns or '"' in line.decode(errors="replace") or "'" in cells[evid_at][:1]:
                cells = self._quoted_cells(line)
            try:
                peak = round(float(cells[peak_at]) * _SCALE)
                times.append(np.datetime64(cells[time_at], "us"))
            except (ValueError, IndexError):
                self.n_unreadable += 1
                at += len(line) + 1
                continue
            peaks.append(min(_SCALE, max(0, peak)))
            offsets.append(at)
            stations.append(self._station_names.number(cells[station_at]))
            classes.append(self._class_names.number(cells[class_at]))
            hashes.append(zlib.crc32(cells[evid_at].encode()))
            at += len(line) + 1
        return [
            np.array(offsets, np.uint64), np.array(times, "datetime64[us]").astype(np.int64),
            np.array(peaks, np.uint16), np.array(stations, np.uint8),
            np.array(classes, np.uint8), np.array(hashes, np.uint32),
        ]  # fmt: skip

    def _quoted_cells(self, line: bytes) -> list[str]:
        """Return the cells of a row that has quotes, as texts of the columns; empty where it is none."""
        try:
            row = parse_row(line.decode(errors="replace"), self._columns)
        except ValueError:
            return []
        cells = [""] * len(self._columns)
        for name, value in (
            ("evid", row.evid), ("mq_type", row.mq_type), ("station_id", row.station_id),
            ("peak_probability", str(row.peak_probability)),
        ):  # fmt: skip
            cells[self._columns.index(name)] = value
        cells[self._columns.index(TIME_COLUMN)] = str(np.datetime64(row.onset_ns // _NS_PER_US, "us"))
        return cells

    def row(self, number: int) -> CatalogRow:
        """Return a row.

        Raises
        ------
        DataError
            There is no such row any more, or it is damaged.
        """
        return self.rows([number])[0]

    def rows(self, numbers: Iterable[int]) -> list[CatalogRow]:
        """Return rows, as `row`."""
        found = []
        with self._lock:
            columns = self._columns
            try:
                offsets = [int(self._offsets[number]) for number in numbers]
                with open_regular(self._path) as file:
                    for offset in offsets:
                        file.seek(offset)
                        line = file.readline(_LONGEST_ROW_BYTES).decode(errors="replace")
                        found.append(parse_row(line, columns))
            except IndexError:
                raise DataError(f"{self._path} has {len(self)} events; the one asked for is not among them") from None
            except (OSError, ValueError) as problem:
                raise self._unreadable(problem) from problem
        return found

    def find(self, evids: Iterable[str]) -> dict[str, int]:
        """Return the row numbers of events by name; those that are not in the catalogue are left out."""
        with self._lock:
            hashes = {zlib.crc32(evid.encode()): evid for evid in evids}
            wanted = np.array(sorted(hashes), np.uint32)
            places: Rows = np.flatnonzero(np.isin(self._hashes, wanted))
            names = {evid: number for number, evid in ((int(i), hashes[int(self._hashes[i])]) for i in places)}
            if len(places) > len(wanted):  # two names with one check value: read the rows
                rows = zip(places, self.rows(map(int, places)), strict=True)
                names = {row.evid: int(i) for i, row in rows if row.evid in set(hashes.values())}
            return names

    def number_of(self, evid: str) -> int | None:
        """Return the row number of an event; None where there is none of that name."""
        number = self.find([evid]).get(evid)
        return number if number is not None and self.row(number).evid == evid else None

    def set_state(self, numbers: Iterable[int], state: int) -> None:
        """Set the state of reviews of rows, a small number; 0 at first."""
        with self._lock:
            self._states[np.fromiter(numbers, np.int64)] = state

    def clear_states(self) -> None:
        """Set all states to 0."""
        with self._lock:
            self._states[:] = 0

    def select(self, wanted: EventFilter, order: str = NEWEST) -> Rows:
        """Return the numbers of the rows that a filter lets through, in an order."""
        with self._lock:
            if not len(self):
                return np.zeros(0, np.int64)
            ordered = self._order(order)
            mask = self._mask(wanted)
            return ordered.astype(np.int64) if mask is None else ordered[mask[ordered]].astype(np.int64)

    def page(self, wanted: EventFilter, order: str, first: int, n: int) -> tuple[int, Rows]:
        """Return how many rows a filter lets through, and the numbers of `n` of them from `first` on."""
        with self._lock:
            if not len(self):
                return 0, np.zeros(0, np.int64)
            mask, ordered = self._mask(wanted), self._order(order)
            if mask is None:
                return len(self), ordered[first : first + n].astype(np.int64)
            chosen = ordered[mask[ordered]]
            return len(chosen), chosen[first : first + n].astype(np.int64)

    def around(self, number: int, wanted: EventFilter, order: str) -> tuple[int | None, int | None, int, int]:
        """Return the rows before and after a row among those that a filter lets through, in an order.

        The row itself need not be among them: an event that has just been reviewed no longer is.

        Returns
        -------
        The row before, the row after (None: there is none), the place of the row from 1 on, and how many there are.
        """
        with self._lock:
            ordered, mask = self._order(order), self._mask(wanted)
            at = int(np.flatnonzero(ordered == number)[0])
            passing = np.ones(len(ordered), np.bool_) if mask is None else mask[ordered]
            before, after = np.flatnonzero(passing[:at]), np.flatnonzero(passing[at + 1 :])
            return (
                int(ordered[before[-1]]) if len(before) else None,
                int(ordered[at + 1 + after[0]]) if len(after) else None,
                len(before) + 1,
                len(before) + int(passing[at]) + len(after),
            )

    def days(self, station_id: str) -> set[int]:
        """Return the days on which a station has an event, in days since 1970."""
        with self._lock:
            own = self._onsets_us[self._stations == self._station_names.find(station_id)]
            return set(np.unique(own // _US_A_DAY).tolist())

    def _order(self, order: str) -> npt.NDArray[np.uint32]:
        if order not in self._orders:
            numbers = np.arange(len(self), dtype=np.uint32)
            self._orders = {}
            if order == NEWEST:
                key = -self._onsets_us
            elif order == DOUBTFUL:  # those of one peak newest first
                key = self._peaks.astype(np.int64) * (1 << 46) - (self._onsets_us >> 18)
            else:
                key = ((numbers.astype(np.uint64) * _MIX) >> np.uint64(1)).astype(np.int64)
            self._orders = {order: np.argsort(key, kind="stable").astype(np.uint32)}
        return self._orders[order]

    def _mask(self, wanted: EventFilter) -> npt.NDArray[np.bool_] | None:
        parts = []
        if wanted.station_id is not None:
            parts.append(self._stations == self._station_names.find(wanted.station_id))
        if wanted.mq_type is not None:
            parts.append(self._classes == self._class_names.find(wanted.mq_type))
        if wanted.start_ns is not None:
            parts.append(self._onsets_us >= -(-wanted.start_ns // _NS_PER_US))
        if wanted.stop_ns is not None:
            parts.append(self._onsets_us < -(-wanted.stop_ns // _NS_PER_US))
        if wanted.least_peak is not None:
            parts.append(self._peaks >= round(wanted.least_peak * _SCALE))
        if wanted.state is not None:
            parts.append(self._states == wanted.state)
        if not parts:
            return None
        mask: npt.NDArray[np.bool_] = np.logical_and.reduce(parts)
        return mask

    def _unreadable(self, problem: Exception) -> DataError:
        return DataError(f"{self._path} cannot be read: {problem}")


def time_of(text: str) -> int | None:
    """Return a time that somebody has typed, ns since 1970 UTC; None for a blank.

    Raises
    ------
    DataError
        It is no time.
    """
    return parse_time(text.strip().rstrip("Z").replace(" ", "T")) if text.strip() else None

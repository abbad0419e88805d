"""An index of catalog.csv in memory: 19 bytes an event, so that a list of a million is filtered, ordered and cut fast.

The file itself is read once, from its end on when it grows, and otherwise only where a page shows a row.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgequake.edge.base.atomic_files import open_regular
from edgequake.edge.base.errors import DataError
from edgequake.edge.base.layout import CATALOG
from edgequake.edge.formats.waveforms import parse_time
from edgequake.edge.results.catalog import TIME_COLUMN, CatalogRow, columns_of, parse_row
from edgequake.serve.station.row_blocks import FIRST_DAY, ROW, Mask, Numbers, RowBlocks, Rows, onsets_us, time_fields

NEWEST, DOUBTFUL, RANDOM = "newest", "doubtful", "random"
ORDERS = (NEWEST, DOUBTFUL, RANDOM)
OLDEST = "oldest"  # the opposite of newest: of a day
_READ_BYTES = 1 << 17
_LONGEST_ROW_BYTES = 1 << 16
_MOST_NAMES = 255  # of stations or classes that can be told apart; further ones count as the last
_NS_PER_US = 1_000
_SCALE = 10_000  # peak probabilities have four decimals
# Knuth's multiplicative hash: a fixed permutation of row numbers that stays the same as rows are added.
_MIX = np.uint64(0x9E3779B97F4A7C15)
_PEAK_STEP = 1 << 46  # of keys, more than onsets differ by in units of 128 us


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
        self._rows = RowBlocks()
        self._station_names, self._class_names = _Names(), _Names()
        self.n_unreadable = 0
        self.is_complete = False
        self.generation = getattr(self, "generation", 0) + 1  # grows when the catalogue is another one than before

    def __len__(self) -> int:
        return len(self._rows)

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
        is_read = False
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
                    is_read = True
                    self._index(data[:end], self._stop)
                    self._stop += end
                    file.seek(self._stop)
        except OSError as problem:
            raise self._unreadable(problem) from problem
        self.is_complete = self._stop >= size_bytes or not is_read
        return len(self) - n_before

    def _read_header(self, line: bytes) -> int:
        columns = columns_of(line.decode(errors="replace"))
        if columns is None:
            raise DataError(f"{self._path} is no edgequake catalogue: its first line names other columns")
        self._columns = columns
        return len(line)

    def _index(self, data: bytes, at: int) -> None:
        """Add the rows in whole lines, the first of which begins at byte `at`."""
        place = {name: self._columns.index(name) for name in ("evid", "mq_type", "station_id", "peak_probability")}
        time_at, n_columns = self._columns.index(TIME_COLUMN), len(self._columns)
        evid_at, class_at, station_at, peak_at = place.values()
        offsets, times, fields = [], [], []
        for line in data.split(b"\n")[:-1]:
            cells = line.decode(errors="replace").split(",")
            if len(cells) != n_columns or b'"' in line or "'" in cells[evid_at][:1]:
                cells = self._quoted_cells(line)
            try:
                peak = round(float(cells[peak_at]) * _SCALE)
                times.append(np.datetime64(cells[time_at], "us"))
            except (ValueError, IndexError, OverflowError):
                self.n_unreadable += 1
                at += len(line) + 1
                continue
            station, mq_type = self._station_names.number(cells[station_at]), self._class_names.number(cells[class_at])
            hashed = zlib.crc32(cells[evid_at].encode())
            fields.append((0, 0, 0, min(_SCALE, max(0, peak)), station, mq_type, 0, hashed))
            offsets.append(at)
            at += len(line) + 1
        rows = np.array(fields, ROW)
        rows["day"], rows["time"] = time_fields(np.array(times, "datetime64[us]").astype(np.int64))
        self._rows.append(rows, np.array(offsets, np.int64))

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
                offsets = [self._rows.first_byte(number) for number in numbers]
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
            places = self._rows.with_hashes(list(hashes))
            own = ((int(i), int(self._rows.row(int(i))["hash"][0])) for i in places)
            names = {hashes[hashed]: number for number, hashed in own}
            if len(places) > len(names):  # two names with one check value: read the rows
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
            for number in numbers:
                self._rows.row(number)["state"] = state

    def clear_states(self) -> None:
        """Set all states to 0."""
        with self._lock:
            for _, rows in self._rows:
                rows["state"] = 0

    def page(self, wanted: EventFilter, order: str, first: int, n: int) -> tuple[int, Numbers]:
        """Return how many rows a filter lets through, and the numbers of `n` of them from `first` on, in an order."""
        with self._lock:
            return self._rows.page(self._mask(wanted), _KEYS[order], first, n)

    def around(self, number: int, wanted: EventFilter, order: str) -> tuple[int | None, int | None, int, int]:
        """Return the rows before and after a row among those that a filter lets through, in an order.

        The row itself need not be among them: an event that has just been reviewed no longer is.

        Returns
        -------
        The row before, the row after (None: there is none), the place of the row from 1 on, and how many there are.
        """
        with self._lock:
            before, after, n_before, n = self._rows.around(number, self._mask(wanted), _KEYS[order])
            return before, after, n_before + 1, n

    def days(self, station_id: str) -> set[int]:
        """Return the days on which a station has an event, in days since 1970."""
        with self._lock:
            number = self._station_names.find(station_id)
            own = (np.unique(rows["day"][rows["station"] == number]) for _, rows in self._rows)
            return {day + FIRST_DAY for days in own for day in days.tolist()}

    def _mask(self, wanted: EventFilter) -> Mask:
        station = None if wanted.station_id is None else self._station_names.find(wanted.station_id)
        mq_type = None if wanted.mq_type is None else self._class_names.find(wanted.mq_type)
        exact = {"station": station, "class": mq_type, "state": wanted.state}
        chosen = {name: value for name, value in exact.items() if value is not None}
        start_us, stop_us = (None if t is None else -(-t // _NS_PER_US) for t in (wanted.start_ns, wanted.stop_ns))

        def mask(rows: Rows) -> npt.NDArray[np.bool_]:
            passing = np.ones(len(rows), np.bool_)
            for name, value in chosen.items():
                passing &= rows[name] == value
            if start_us is not None:
                passing &= onsets_us(rows) >= start_us
            if stop_us is not None:
                passing &= onsets_us(rows) < stop_us
            if wanted.least_peak is not None:
                passing &= rows["peak"] >= round(wanted.least_peak * _SCALE)
            return passing

        return mask

    def _unreadable(self, problem: Exception) -> DataError:
        return DataError(f"{self._path} cannot be read: {problem}")


def _newest(rows: Rows, first: int) -> Numbers:
    return -onsets_us(rows)


def _oldest(rows: Rows, first: int) -> Numbers:
    return onsets_us(rows)


def _doubtful(rows: Rows, first: int) -> Numbers:
    """Those of one peak newest first."""
    keys: Numbers = rows["peak"].astype(np.int64) * _PEAK_STEP - (onsets_us(rows) >> 7)
    return keys


def _random(rows: Rows, first: int) -> Numbers:
    numbers = np.arange(first, first + len(rows), dtype=np.uint64)
    return ((numbers * _MIX) >> np.uint64(1)).astype(np.int64)


_KEYS = {NEWEST: _newest, OLDEST: _oldest, DOUBTFUL: _doubtful, RANDOM: _random}


def time_of(text: str) -> int | None:
    """Return a time that somebody has typed, ns since 1970 UTC; None for a blank.

    Raises
    ------
    DataError
        It is no time.
    """
    return parse_time(text.strip().rstrip("Z").replace(" ", "T")) if text.strip() else None

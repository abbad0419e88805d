"""What waits for the downlink: segments, spans that the ground has asked for, and the summary channel."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgequake.edge.catalog import CatalogRow
from edgequake.edge.errors import DataError
from edgequake.edge.store.record_file import RECORD_BYTES
from edgequake.edge.store.units import Unit, notice_of, units_by_time, units_from, units_of_segment


class Level(enum.IntEnum):
    """What goes before what, whatever the priorities."""

    SUMMARY = 0  # what the budget has left over
    RECORD = 1
    NOTICE = 2  # a line for each event; all events are told of before the samples of any
    REQUEST = 3


@dataclass
class Waiting:
    """A source of records of which something is still to be sent, the oldest first where nothing else counts."""

    source: str  # below the run's folder
    path: Path
    level: Level
    ready_ns: int  # mission time from which on it can be sent
    n_sent: int = 0  # units; of the summary channel bytes
    _units: list[Unit] | None = field(default=None, repr=False)
    _n_units: int | None = None  # known from when they were first read

    @property
    def key(self) -> tuple[int, float, int, str]:
        """Sorts what is to be sent first to the front."""
        return (-self.next_level, -self.next_rank, self.ready_ns, self.source)

    @property
    def next_level(self) -> Level:
        """Level of the next unit."""
        return self.level

    @property
    def next_rank(self) -> float:
        """Rank of the next unit within its level."""
        return 0.0

    @property
    def is_done(self) -> bool:
        """Whether all has been sent."""
        return self.n_sent >= self.n_units

    @property
    def n_units(self) -> int:
        """How many records it has, whether they are at hand or not.

        Raises
        ------
        DataError
            The file cannot be read.
        """
        if self._n_units is None:
            self._n_units = len(self.units)
        return self._n_units

    @property
    def units(self) -> list[Unit]:
        """Its records in the order of sending; read from the file when they are first needed.

        Raises
        ------
        DataError
            The file cannot be read.
        """
        if self._units is None:
            self._units = self._read()
        return self._units

    def next_bytes(self) -> bytes | None:
        """Return the next unit; None where there is none after all."""
        return self._record(self.units[self.n_sent])

    def took(self) -> None:
        """The next unit is on its way."""
        self.n_sent += 1

    def forget_units(self) -> None:
        """Free what can be read again: of many sources only a few are being sent at a time."""
        self._units = None

    @property
    def bytes_left(self) -> int:
        """About how much is still to be sent."""
        return sum(unit.size_bytes for unit in self.units[self.n_sent :])

    def _read(self) -> list[Unit]:
        return units_by_time(self.path)

    def _record(self, unit: Unit) -> bytes:
        with self.path.open("rb") as file:
            file.seek(unit.offset)
            return file.read(unit.size_bytes)


@dataclass
class WaitingSegment(Waiting):
    """A segment: unit 0 is its notice, the others are its records."""

    rows: Sequence[CatalogRow] = ()
    window_ns: int = 0
    _next_weight: float | None = None  # of the next record, from when the list of records was last at hand

    @property
    def priority(self) -> float:
        """Of its best event."""
        return max(row.priority for row in self.rows)

    @property
    def next_level(self) -> Level:
        """Level of the next unit."""
        return Level.NOTICE if self.n_sent == 0 else Level.RECORD

    @property
    def next_rank(self) -> float:
        """Priority times the weight of the next record."""
        return self.priority * (1.0 if self.n_sent <= 1 else self._weight())

    @property
    def is_done(self) -> bool:
        """Whether all has been sent."""
        return self.n_sent > 1 and self.n_sent > self.n_units

    def next_bytes(self) -> bytes:
        """Return the next unit."""
        return notice_of(self.rows) if self.n_sent == 0 else self._record(self.units[self.n_sent - 1])

    def forget_units(self) -> None:
        """Free what can be read again."""
        if self._units is not None:
            self._next_weight = self._weight()
            self._units = None

    @property
    def bytes_left(self) -> int:
        """About how much is still to be sent."""
        return max(0, self.rows[0].size_bytes - max(0, self.n_sent - 1) * RECORD_BYTES)

    @property
    def records_left(self) -> int:
        """About how many records are still to be sent; those of version 3 are shorter and more."""
        return -(-self.bytes_left // RECORD_BYTES)

    def _weight(self) -> float:
        if self._units is None and self._next_weight is not None:
            return self._next_weight
        return self.units[self.n_sent - 1].weight if 0 < self.n_sent <= len(self.units) else 1.0

    def _read(self) -> list[Unit]:
        return units_of_segment(self.path, [round(row.onset_ns / 1000) * 1000 for row in self.rows], self.window_ns)


@dataclass
class WaitingSummary(Waiting):
    """Records of one file of the summary channel, bytes [n_sent, stop_byte)."""

    stop_byte: int = 0

    @property
    def is_done(self) -> bool:
        """Whether all that is there has been sent."""
        return self.n_sent >= self.stop_byte  # told without a look into the file, of which there are many

    def next_bytes(self) -> bytes | None:
        """Return the next record; None where what is left is no whole one: a write that a power loss has torn.

        Raises
        ------
        DataError
            The file cannot be read.
        """
        try:
            unit = self._next()
        except DataError:
            if self.bytes_left < RECORD_BYTES:
                return None
            raise
        return None if unit is None else self._record(unit)

    def took(self) -> None:
        """The next record is on its way."""
        unit = self._next()
        assert unit is not None  # `next_bytes` has returned it
        self.n_sent = unit.offset + unit.size_bytes

    @property
    def bytes_left(self) -> int:
        """What is still to be sent."""
        return max(0, self.stop_byte - self.n_sent)

    def _next(self) -> Unit | None:
        return next((unit for unit in self.units if unit.offset >= self.n_sent), None)

    def _read(self) -> list[Unit]:
        return units_from(self.path, self.n_sent)

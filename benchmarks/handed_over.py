"""What the ground has in hand at a mission's end, under a budget: the runner's own downlink, and what it left behind.

Bytes and times are those of the files that the radio would have taken, not what the downlink says of them.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from edgequake.benchmarks.missions import Mission
from edgequake.benchmarks.scoring import Detections, Interval
from edgequake.edge.catalog import CatalogRow
from edgequake.edge.errors import DataError
from edgequake.edge.feed import Batch
from edgequake.edge.inputs import RunConfig
from edgequake.edge.ledger import Found, Ledger
from edgequake.edge.miniseed import RecordHeader, index_file
from edgequake.edge.notes import Notes
from edgequake.edge.piece import NS_PER_S, Piece
from edgequake.edge.store.folders import JOURNAL, OUTBOX
from edgequake.edge.store.journal import read_journal
from edgequake.edge.store.outbox import waiting_files
from edgequake.edge.store.store import Store
from edgequake.edge.store.units import record_weight


@dataclass(frozen=True)
class HandedOver:
    """What was handed over of a mission."""

    bytes_by_day: dict[int, int]  # UTC day, counted from 1970; a day on which nothing was sent is not there
    kept: tuple[Interval, ...]  # time that each record covers
    told_ns: frozenset[int]  # onsets of which a notice was sent
    whole_ns: frozenset[int]  # onsets of which all records around the onset were sent

    def detections(self, rows: Iterable[CatalogRow]) -> Detections:
        """Return all that was found, and what was handed over in the place of what was kept."""
        return Detections(tuple(row.onset_ns for row in rows), self.kept)


def hand_over(mission: Mission, budget_bytes: int) -> HandedOver:
    """Fly a mission under a budget of bytes a UTC day, to its end.

    Raises
    ------
    ConfigError
        A budget that the runner does not take.
    DataError
        Something found cannot be sent.
    """
    for leftover in (mission.folder / JOURNAL, mission.folder / OUTBOX):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
    config = RunConfig((), mission.folder, budget_bytes=budget_bytes)
    notes, ledger = Notes(), Ledger()
    store = Store(config, mission.model, ledger, notes, replayed=True)
    store.open(None)
    for step in mission.steps:
        store.take(step.batch)
        _take_down(step.found, ledger)
        store.tick()
    _take_down(mission.found_last, ledger)
    store.tick()
    for batch in _rest_of_day(mission):
        store.take(batch)
        store.tick()
    store.finish()
    empty = any(not found.segment.n_samples for found in mission.found)
    if notes.texts() and not empty:  # an event in a gap has nothing but its notice
        raise DataError(f"not all of {mission.folder} could be handed over: {notes.texts()[0]}")
    return _taken_by_the_radio(mission)


def _take_down(found: Iterable[Found], ledger: Ledger) -> None:
    for one in found:
        ledger.add(one.segment, list(one.rows))


def _rest_of_day(mission: Mission) -> Iterator[Batch]:
    """Yield the time from a record's last sample to midnight, which passes without anything being found."""
    rest_ns = mission.stop_ns - mission.clock_ns
    if rest_ns:
        last = mission.steps[-1].batch
        silence = Piece(f"FDSN:{last.station_id}__S_I_L", mission.clock_ns, NS_PER_S / rest_ns, np.zeros(1, np.int32))
        yield Batch(last.key, last.station_id, (silence,), over=True)


def _taken_by_the_radio(mission: Mission) -> HandedOver:
    bytes_by_day: dict[int, int] = {}
    for done in read_journal(mission.folder / JOURNAL):
        for file in done.files:
            size_bytes = (mission.folder / OUTBOX / file.name).stat().st_size
            bytes_by_day[done.day] = bytes_by_day.get(done.day, 0) + size_bytes
    headers: list[RecordHeader] = []
    evids: set[str] = set()
    for path in waiting_files(mission.folder):
        if path.suffix == ".csv":
            with path.open(newline="", encoding="utf-8") as lines:
                evids |= {cells[0] for cells in csv.reader(lines)}
        else:
            headers += index_file(path).headers
    rows = mission.rows
    return HandedOver(
        bytes_by_day=bytes_by_day,
        kept=tuple((header.start_ns, header.stop_ns) for header in headers),
        told_ns=frozenset(row.onset_ns for row in rows if row.evid in evids),
        whole_ns=frozenset(_whole(mission, {_identity(header) for header in headers})),
    )


def _whole(mission: Mission, handed: set[tuple[str, int, int]]) -> list[int]:
    """Return the onsets of which all records were sent that the downlink counts in full."""
    window_ns = round(mission.window_s * NS_PER_S)
    whole = []
    for found in (found for found in mission.found if found.segment.n_samples):
        headers = index_file(mission.folder / found.segment.file).headers
        for row in found.rows:
            first = [header for header in headers if record_weight(header, [row.onset_ns], window_ns) == 1.0]
            if first and all(_identity(header) in handed for header in first):
                whole.append(row.onset_ns)
    return whole


def _identity(header: RecordHeader) -> tuple[str, int, int]:
    return header.source_id, header.start_ns, header.n_samples

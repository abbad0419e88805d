"""A record as a little mission of its own: what is found on it, and when, by the very code of the runner.

The detector goes over a record once; what it found can then be handed over under any budget
(`edgequake.benchmarks.downlink.simulation`). A trigger on the samples' power takes part on equal terms: the same samples are
kept around its events, and the same formula says how urgent they are.

What the ground has in hand at a mission's end, under a budget: the runner's own downlink, and what it left behind.

Bytes and times are those of the files that the radio would have taken, not what the downlink says of them.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from edgequake.benchmarks.detectors.sta_lta import ROLLS_S, StaLta
from edgequake.benchmarks.scoring.scoring import Detections, Interval
from edgequake.data.tables import LabelledRecord
from edgequake.edge.archive.sds import DAY_NS
from edgequake.edge.base.control import Control
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.base.layout import JOURNAL, OUTBOX
from edgequake.edge.detection.trigger import Event
from edgequake.edge.downlink.journal import read_journal
from edgequake.edge.downlink.outbox import waiting_files
from edgequake.edge.downlink.send_queue import record_weight
from edgequake.edge.formats.miniseed import RecordHeader, index_file
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.inputs.source import Batch
from edgequake.edge.manifest.manifest import TriggerConfig
from edgequake.edge.operation.config import RunConfig, open_source
from edgequake.edge.operation.model import LoadedModel
from edgequake.edge.operation.run_folder import SEGMENTS
from edgequake.edge.operation.services import OnboardServices
from edgequake.edge.operation.station_run import StationRuns
from edgequake.edge.results.catalog import CatalogRow, Found, Ledger
from edgequake.edge.results.priority import Priorities
from edgequake.edge.results.segments import SegmentWriter

_ROUNDING_NS = 1_000  # the curve's times and the onsets are rounded apart from each other


@dataclass(frozen=True)
class MissionStep:
    """Samples that were heard at once, and what has been found when they had been."""

    batch: Batch
    found: tuple[Found, ...]


@dataclass(frozen=True)
class SimulatedMission:
    """A record that was listened to; it ends at the midnight after the record, so that its last day has a budget too.

    The budget does not know when a record begins: at a share x of its first UTC day that share of the budget is there.
    """

    folder: Path  # of the run: its segments are there
    model: LoadedModel  # whose settings the downlink goes by
    start_ns: int
    steps: tuple[MissionStep, ...]  # as the runner takes them
    found_last: tuple[Found, ...]  # when the record was over

    @property
    def clock_ns(self) -> int:
        """The newest sample's time."""
        return max(trace.stop_ns for step in self.steps for trace in step.batch.traces)

    @property
    def stop_ns(self) -> int:
        """The UTC midnight at or after the newest sample."""
        return -(-self.clock_ns // DAY_NS) * DAY_NS

    @property
    def n_days(self) -> int:
        """UTC days that it touches."""
        return (self.stop_ns - self.start_ns // DAY_NS * DAY_NS) // DAY_NS

    @property
    def found(self) -> list[Found]:
        """All segments, in the order in which they were found."""
        return [*(found for step in self.steps for found in step.found), *self.found_last]

    @property
    def rows(self) -> list[CatalogRow]:
        """All events, in the order of their onsets."""
        return sorted((row for found in self.found for row in found.rows), key=lambda row: row.onset_ns)

    @property
    def window_s(self) -> float:
        """Length of an onset's window, whose records the downlink counts in full."""
        return self.model.manifest.trigger.pre_roll_s


class Crew(Protocol):
    """Finds the events of a mission."""

    def fly(self, record: LabelledRecord, start_ns: int, folder: Path) -> SimulatedMission:
        """Listen to a record from `start_ns` on; `folder` is empty and becomes the run's."""


class Listening(Protocol):
    """Takes samples, and writes down in a ledger what it finds."""

    def take(self, batch: Batch) -> object:
        """Take the next samples."""

    def finish(self) -> object:
        """Nothing more will come."""


@dataclass(frozen=True)
class ModelCrew:
    """A model, as it flies."""

    model: LoadedModel

    def fly(self, record: LabelledRecord, start_ns: int, folder: Path) -> SimulatedMission:
        """Run the model.

        Raises
        ------
        EdgequakeError
            Whatever the runner raises.
        """
        ledger = Ledger()
        return listen(record, start_ns, folder, self.model, StationRuns(self.model, folder, ledger), ledger)


@dataclass(frozen=True)
class StaLtaCrew:
    """STA/LTA in a model's place: what it keeps and how it ranks follows the same rules and settings."""

    detector: StaLta
    model: LoadedModel

    def fly(self, record: LabelledRecord, start_ns: int, folder: Path) -> SimulatedMission:
        """Run the detector over the record, and go through the record once more with its events.

        Raises
        ------
        EdgequakeError
            Whatever the runner raises on reading.
        """
        ledger = Ledger()
        events = events_of(self.detector(record, start_ns), record.body)
        watchers = Watchers(folder, self.model.manifest.trigger, events, ledger)
        return listen(record, start_ns, folder, self.model, watchers, ledger)


class Watchers:
    """Claims the samples around events that are known beforehand, each as soon as it is over."""

    def __init__(self, folder: Path, config: TriggerConfig, events: list[Event], ledger: Ledger) -> None:
        """Look out for `events`, in the order of their onsets."""
        self._folder, self._config, self._ledger = folder, config, ledger
        self._events = list(events)
        self._keeper: SegmentWriter | None = None
        self._clock_ns = 0

    def take(self, batch: Batch) -> None:
        """Hold samples and claim those of events that are over."""
        if self._keeper is None:
            priorities = Priorities(self._config.max_event_s)
            station_id = batch.station_id
            self._keeper = SegmentWriter(self._folder, station_id, self._config, self._ledger, priorities=priorities)
        for trace in batch.traces:
            self._clock_ns = max(self._clock_ns, trace.stop_ns)
            self._keeper.add_trace(trace)
        while self._events and self._events[0].stop_ns <= self._clock_ns:
            self._keeper.add_event(self._events.pop(0))
        open_ns = self._events[0].onset_ns if self._events else self._clock_ns
        self._write(self._keeper, min(open_ns, self._clock_ns))

    def finish(self) -> None:
        """Claim the samples of events that are still going on."""
        if self._keeper is not None:
            for event in self._events:
                self._keeper.add_event(event)
            self._write(self._keeper, None)

    def _write(self, keeper: SegmentWriter, horizon_ns: int | None) -> None:
        for segment, rows in keeper.flush(horizon_ns):
            self._ledger.add(segment, rows)


def listen(
    record: LabelledRecord, start_ns: int, folder: Path, model: LoadedModel, listening: Listening, ledger: Ledger
) -> SimulatedMission:
    """Go through a record from `start_ns` on in the runner's own batches.

    Raises
    ------
    DataError
        It cannot be read, or has no sample from there on.
    """
    (folder / SEGMENTS).mkdir(parents=True)
    config = RunConfig((str(record.file),), folder, start_ns=start_ns, channels=record.channels)
    steps: list[MissionStep] = []
    for batch in open_source(config, model.manifest, Control(), None).batches():
        if batch is not None:
            listening.take(batch)
            steps.append(MissionStep(batch, tuple(ledger.take_fresh())))
    if not any(step.batch.traces for step in steps):
        raise DataError(f"{record.file} has no sample from {start_ns} ns since 1970 on; start earlier")
    listening.finish()
    return SimulatedMission(folder, model, start_ns, tuple(steps), tuple(ledger.take_fresh()))


def events_of(detections: Detections, body: str) -> list[Event]:
    """Return what STA/LTA found as events.

    The peak of its curve becomes a number of the kind that the priority's formula takes: peak / (peak + threshold), one
    half for an event that just reaches the threshold and nearly 1 for one far above it.

    Parameters
    ----------
    detections : with the curve in `levels`; `kept` as `edgequake.benchmarks.detectors.sta_lta.kept_around` has it.
    """
    levels = detections.levels
    assert levels is not None, "a detector that reads the samples says what it made of them"
    post_ns = round(ROLLS_S[body][1] * NS_PER_S)
    events = []
    for onset_ns, (_, kept_stop_ns) in zip(detections.onsets_ns, detections.kept, strict=True):
        stop_ns = kept_stop_ns - post_ns
        first_ns, last_ns = onset_ns - _ROUNDING_NS, stop_ns - _ROUNDING_NS
        during = levels.values[(levels.time_ns >= first_ns) & (levels.time_ns < last_ns)]
        peak = float(np.nanmax(during))
        events.append(Event(onset_ns, stop_ns, peak / (peak + levels.threshold)))
    return events


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


def hand_over(mission: SimulatedMission, budget_bytes: int) -> HandedOver:
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
    diagnostics, ledger = Diagnostics(), Ledger()
    store = OnboardServices(config, mission.model, ledger, diagnostics, replayed=True)
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
    if diagnostics.texts() and not empty:  # an event in a gap has nothing but its notice
        raise DataError(f"not all of {mission.folder} could be handed over: {diagnostics.texts()[0]}")
    return _taken_by_the_radio(mission)


def _take_down(found: Iterable[Found], ledger: Ledger) -> None:
    for one in found:
        ledger.add(one.segment, list(one.rows))


def _rest_of_day(mission: SimulatedMission) -> Iterator[Batch]:
    """Yield the time from a record's last sample to midnight, which passes without anything being found."""
    rest_ns = mission.stop_ns - mission.clock_ns
    if rest_ns:
        last = mission.steps[-1].batch
        silence = Trace(f"FDSN:{last.station_id}__S_I_L", mission.clock_ns, NS_PER_S / rest_ns, np.zeros(1, np.int32))
        yield Batch(last.key, last.station_id, (silence,), over=True)


def _taken_by_the_radio(mission: SimulatedMission) -> HandedOver:
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


def _whole(mission: SimulatedMission, handed: set[tuple[str, int, int]]) -> list[int]:
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

"""Simulate the downlink of a record: a short mission with the runner's own segments, priorities and passes.

A detector runs over a record once. Its events can then be sent under any budget by the runner's own downlink, which
leaves an outbox and a journal as on a lander. STA/LTA takes part on equal terms: the same samples are kept around its
events, and the same formula gives their priority. Bytes and times are those of the files in the outbox, not figures
that the downlink reports of itself.
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
from edgequake.edge.base.layout import JOURNAL, OUTBOX, SEGMENTS
from edgequake.edge.detection.trigger import Event
from edgequake.edge.downlink.journal import read_journal
from edgequake.edge.downlink.send_queue import record_weight
from edgequake.edge.formats.miniseed import index_file
from edgequake.edge.formats.record_scanner import RecordHeader
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.inputs.model_choice import ModelChoice
from edgequake.edge.inputs.source import Batch
from edgequake.edge.manifest.manifest import TriggerConfig
from edgequake.edge.operation.config import RunConfig, open_source
from edgequake.edge.operation.run_models import LoadedModel
from edgequake.edge.operation.services import OnboardServices
from edgequake.edge.operation.station_run import StationRuns
from edgequake.edge.results.catalog import CatalogRow
from edgequake.edge.results.ledger import Ledger, LedgerEntry
from edgequake.edge.results.priority import Priorities
from edgequake.edge.results.segments import SegmentWriter

_RecordId = tuple[str, int, int]  # source identifier, start and number of samples

_ROUNDING_NS = 1_000  # the times of the curve and the onsets are rounded separately


@dataclass(frozen=True)
class MissionStep:
    """A batch of samples, and the segments found once it had been processed."""

    batch: Batch
    found: tuple[LedgerEntry, ...]


@dataclass(frozen=True)
class SimulatedMission:
    """A record, processed by a detector; it ends at the midnight after the record, so that its last day has a budget.

    The budget does not depend on when the record begins: at a share x of its first UTC day, that share of the day's
    budget is available.
    """

    folder: Path  # of the run, with its segments
    model: LoadedModel  # whose settings the downlink uses
    start_ns: int
    steps: tuple[MissionStep, ...]  # in the runner's batches
    found_last: tuple[LedgerEntry, ...]  # at the end of the record

    @property
    def clock_ns(self) -> int:
        """Time of the newest sample."""
        return max(trace.stop_ns for step in self.steps for trace in step.batch.traces)

    @property
    def stop_ns(self) -> int:
        """The UTC midnight at or after the newest sample."""
        return -(-self.clock_ns // DAY_NS) * DAY_NS

    @property
    def n_days(self) -> int:
        """Number of UTC days that the mission touches."""
        return (self.stop_ns - self.start_ns // DAY_NS * DAY_NS) // DAY_NS

    @property
    def found(self) -> list[LedgerEntry]:
        """All segments, in the order in which they were found."""
        return [*(found for step in self.steps for found in step.found), *self.found_last]

    @property
    def rows(self) -> list[CatalogRow]:
        """All events, in the order of their onsets."""
        return sorted((row for found in self.found for row in found.rows), key=lambda row: row.onset_ns)


class MissionSimulator(Protocol):
    """Runs a detector over a record."""

    def simulate(self, record: LabelledRecord, start_ns: int, folder: Path) -> SimulatedMission:
        """Process a record from `start_ns` on; `folder` is empty and becomes the run's folder.

        Raises
        ------
        EdgequakeError
            Whatever the runner raises.
        """


@dataclass(frozen=True)
class ModelSimulator:
    """A model, run as on a lander."""

    model: LoadedModel

    def simulate(self, record: LabelledRecord, start_ns: int, folder: Path) -> SimulatedMission:
        """Run the model."""
        ledger = Ledger()
        return _process(record, start_ns, folder, self.model, StationRuns(lambda _: self.model, folder, ledger), ledger)


@dataclass(frozen=True)
class StaLtaSimulator:
    """STA/LTA in a model's place, with the model's rules and settings for segments and priorities."""

    detector: StaLta
    model: LoadedModel

    def simulate(self, record: LabelledRecord, start_ns: int, folder: Path) -> SimulatedMission:
        """Run the detector over the record, then process the record once more with the events that it found."""
        ledger = Ledger()
        events = events_of(self.detector(record, start_ns), record.body)
        segmenter = EventSegmenter(folder, self.model.manifest.trigger, events, ledger)
        return _process(record, start_ns, folder, self.model, segmenter, ledger)


class BatchConsumer(Protocol):
    """Processes batches of samples, and enters in a ledger what it finds."""

    def push(self, batch: Batch) -> object:
        """Process the next samples."""

    def finish(self) -> object:
        """End the record."""


class EventSegmenter:
    """Writes the segments around events that are known beforehand, each as soon as its event is over."""

    def __init__(self, folder: Path, config: TriggerConfig, events: list[Event], ledger: Ledger) -> None:
        """Prepare for `events`, in the order of their onsets."""
        self._folder, self._config, self._ledger = folder, config, ledger
        self._events = list(events)
        self._writer: SegmentWriter | None = None
        self._clock_ns = 0

    def push(self, batch: Batch) -> None:
        """Buffer samples, and write the segments of events that are over."""
        if self._writer is None:
            priorities = Priorities(self._config.max_event_s)
            station_id = batch.station_id
            self._writer = SegmentWriter(self._folder, station_id, self._config, self._ledger, priorities=priorities)
        for trace in batch.traces:
            self._clock_ns = max(self._clock_ns, trace.stop_ns)
            self._writer.add_trace(trace)
        while self._events and self._events[0].stop_ns <= self._clock_ns:
            self._writer.add_event(self._events.pop(0))
        open_ns = self._events[0].onset_ns if self._events else self._clock_ns
        self._write(self._writer, min(open_ns, self._clock_ns))

    def finish(self) -> None:
        """Write the segments of events that are still in progress."""
        if self._writer is not None:
            for event in self._events:
                self._writer.add_event(event)
            self._write(self._writer, None)

    def _write(self, writer: SegmentWriter, horizon_ns: int | None) -> None:
        for segment, rows in writer.flush(horizon_ns):
            self._ledger.add(segment, rows)


def _process(
    record: LabelledRecord, start_ns: int, folder: Path, model: LoadedModel, consumer: BatchConsumer, ledger: Ledger
) -> SimulatedMission:
    """Process a record from `start_ns` on in the runner's own batches.

    Raises
    ------
    DataError
        It cannot be read, or has no sample from there on.
    """
    (folder / SEGMENTS).mkdir(parents=True)
    config = RunConfig((str(record.file),), folder, start_ns=start_ns, channels=record.channels)
    steps: list[MissionStep] = []
    for batch in open_source(config, ModelChoice(model.manifest, record.channels), Control(), None).batches():
        if batch is not None:
            consumer.push(batch)
            steps.append(MissionStep(batch, tuple(ledger.take_new())))
    if not any(step.batch.traces for step in steps):
        raise DataError(f"{record.file} has no sample from {start_ns} ns since 1970 on; start earlier")
    consumer.finish()
    return SimulatedMission(folder, model, start_ns, tuple(steps), tuple(ledger.take_new()))


def events_of(detections: Detections, body: str) -> list[Event]:
    """Return the detections of STA/LTA as events.

    In place of a probability, the priority's formula gets peak / (peak + threshold) of the curve: one half for an event
    that just reaches the threshold, nearly 1 for one far above it.

    Parameters
    ----------
    detections : with their characteristic function; `kept` as by `edgequake.benchmarks.detectors.sta_lta.kept_around`.
    """
    curve = detections.characteristic
    assert curve is not None, "a detector that reads the samples has a characteristic function"
    post_ns = round(ROLLS_S[body][1] * NS_PER_S)
    events = []
    for onset_ns, (_, kept_stop_ns) in zip(detections.onsets_ns, detections.kept, strict=True):
        stop_ns = kept_stop_ns - post_ns
        first_ns, last_ns = onset_ns - _ROUNDING_NS, stop_ns - _ROUNDING_NS
        peak = float(np.nanmax(curve.values[(curve.time_ns >= first_ns) & (curve.time_ns < last_ns)]))
        events.append(Event(onset_ns, stop_ns, peak / (peak + curve.threshold)))
    return events


@dataclass(frozen=True)
class Delivered:
    """What of a mission was sent."""

    bytes_by_day: dict[int, int]  # by UTC day, counted from 1970; without days on which nothing was sent
    record_bytes: int  # of all records; the rest are event reports
    kept: tuple[Interval, ...]  # time span of each record
    reported_at_ns: dict[int, int]  # onset -> mission time of the pass that sent its event report
    whole_at_ns: dict[int, int]  # onset -> that of the pass that sent the last of the records around it

    @property
    def reported_ns(self) -> frozenset[int]:
        """Onsets whose event report was sent."""
        return frozenset(self.reported_at_ns)

    @property
    def whole_ns(self) -> frozenset[int]:
        """Onsets with all records around them sent."""
        return frozenset(self.whole_at_ns)

    def detections(self, rows: Iterable[CatalogRow]) -> Detections:
        """Return all events, with the sent records in place of the kept segments."""
        return Detections(tuple(row.onset_ns for row in rows), self.kept)


def deliver(
    mission: SimulatedMission, budget_bytes: int, pass_s: float = RunConfig.pass_s, until_ns: int | None = None
) -> Delivered:
    """Run the downlink of a mission under a budget of bytes a UTC day.

    Parameters
    ----------
    pass_s : time between two passes in seconds; they take place at its multiples since 1970, and at the end.
    until_ns : the end, at or after the newest sample; by default that of the mission.

    Raises
    ------
    ConfigError
        A budget, or a time between passes, that the runner does not accept.
    DataError
        A segment cannot be sent.
    """
    for leftover in (mission.folder / JOURNAL, mission.folder / OUTBOX):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
    config = RunConfig((), mission.folder, budget_bytes=budget_bytes, pass_s=pass_s)
    diagnostics, ledger = Diagnostics(), Ledger()
    pre_roll_s = mission.model.manifest.trigger.pre_roll_s
    services = OnboardServices(config, lambda _: pre_roll_s, ledger, diagnostics, replayed=True)
    services.open(None)
    for step in mission.steps:
        services.push(step.batch)
        _enter(step.found, ledger)
        services.run_due()
    _enter(mission.found_last, ledger)
    services.run_due()
    for batch in _silence(mission, mission.stop_ns if until_ns is None else until_ns):
        services.push(batch)
        services.run_due()
    services.finish()
    has_empty = any(not found.segment.n_samples for found in mission.found)
    if diagnostics.texts() and not has_empty:  # an event in a gap has an event report and no samples
        raise DataError(f"not all of {mission.folder} could be sent: {diagnostics.texts()[0]}")
    return _read_outbox(mission)


def _enter(found: Iterable[LedgerEntry], ledger: Ledger) -> None:
    for one in found:
        ledger.add(one.segment, one.rows)


def _silence(mission: SimulatedMission, until_ns: int) -> Iterator[Batch]:
    """Yield the time from the record's last sample until `until_ns`, in which nothing is found."""
    rest_ns = until_ns - mission.clock_ns
    if rest_ns:
        last = mission.steps[-1].batch
        starts_ns = (mission.clock_ns, mission.clock_ns + rest_ns // 2)  # one trace alone would not advance the clock
        lengths_ns = (rest_ns // 2, rest_ns - rest_ns // 2)
        silence = tuple(
            Trace(f"FDSN:{last.station_id}__S_I_L", start_ns, NS_PER_S / length_ns, np.zeros(1, np.int32))
            for start_ns, length_ns in zip(starts_ns, lengths_ns, strict=True)
        )
        yield Batch(last.key, last.station_id, silence, over=True)


def _read_outbox(mission: SimulatedMission) -> Delivered:
    bytes_by_day: dict[int, int] = {}
    record_bytes = 0
    headers: list[RecordHeader] = []
    evid_at_ns: dict[str, int] = {}
    record_at_ns: dict[_RecordId, int] = {}
    for done in read_journal(mission.folder / JOURNAL):
        for path in (mission.folder / OUTBOX / file.name for file in done.files):
            size_bytes = path.stat().st_size
            bytes_by_day[done.day] = bytes_by_day.get(done.day, 0) + size_bytes
            if path.suffix == ".csv":
                with path.open(newline="", encoding="utf-8") as lines:
                    evid_at_ns |= {cells[0]: done.clock_ns for cells in csv.reader(lines)}
            else:
                sent = index_file(path).headers
                record_bytes += size_bytes
                headers += sent
                record_at_ns |= {_identity(header): done.clock_ns for header in sent}
    return Delivered(
        bytes_by_day=bytes_by_day,
        record_bytes=record_bytes,
        kept=tuple((header.start_ns, header.stop_ns) for header in headers),
        reported_at_ns={row.onset_ns: evid_at_ns[row.evid] for row in mission.rows if row.evid in evid_at_ns},
        whole_at_ns=_whole_at_ns(mission, record_at_ns),
    )


def _whole_at_ns(mission: SimulatedMission, record_at_ns: dict[_RecordId, int]) -> dict[int, int]:
    """Return the onsets of which all records with full weight in the send queue were sent, and when the last was."""
    window_ns = round(mission.model.manifest.trigger.pre_roll_s * NS_PER_S)
    whole_at_ns = {}
    for found in (found for found in mission.found if found.segment.n_samples):
        headers = index_file(mission.folder / found.segment.file).headers
        for row in found.rows:
            first = [_identity(one) for one in headers if record_weight(one, [row.onset_ns], window_ns) == 1.0]
            if first and all(record in record_at_ns for record in first):
                whole_at_ns[row.onset_ns] = max(record_at_ns[record] for record in first)
    return whole_at_ns


def _identity(header: RecordHeader) -> _RecordId:
    return header.source_id, header.start_ns, header.n_samples

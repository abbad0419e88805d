"""One shard: from the state of the shard before it, over its records, to events, figures and the next state.

The detector, its segments and its ledger are those of `edgequake run`, built from the same parts. A shard takes the
records that start in its interval, whole, in the order in which a run over all files takes them: so the shards of a
place, one after the other, are that run. In the mode with a lead-in a shard begins cold, earlier, and keeps the events
with onsets in its interval.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from edgequake.edge.base.checkpoint import Checkpoint, State, read_checkpoint, write_checkpoint
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError, EdgequakeError, ModelError, unforeseen
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.inputs.files import FileStream
from edgequake.edge.inputs.source import Batch
from edgequake.edge.operation.config import RunConfig
from edgequake.edge.operation.run_models import LoadedModel
from edgequake.edge.operation.station_run import RunCounters, StationRuns
from edgequake.edge.results.catalog import CatalogRow
from edgequake.edge.results.ledger import Ledger
from edgequake.scan.day_figures import DayTally
from edgequake.scan.planning import Shard
from edgequake.scan.storage.archives import RecordArchive, open_archive, scratch_folder
from edgequake.scan.storage.kept_segments import decoded_segment, keep_segments
from edgequake.scan.storage.parquet_catalog import ScanRow, write_rows
from edgequake.scan.storage.scan_folder import ScanFolder

_BATCH_SAMPLES = 1 << 15  # as a run over files: each batch has a fixed cost
_SEGMENTS_REMEMBERED = 64  # their bytes are compared where a segment's name comes again


@dataclass(frozen=True)
class ScanTask:
    """What all shards of a scan share: the same for every worker."""

    out: str
    archive: str
    run_id: str
    models: Mapping[str, Mapping[str, str]]  # by name: graph and manifest hashes that were planned with
    core: str = "python"
    core_library: str | None = None
    threshold: float | None = None
    sensitivity: str = "normal"
    start_ns: int | None = None
    stop_ns: int | None = None
    keeps_segments: bool = False
    keep_states: tuple[str, ...] = ()  # shards whose states a look at a seam needs


class ScanLedger(Ledger):
    """A ledger without files: segments stay in memory until the shard has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.data: dict[str, bytes] = {}  # of segments, by name

    def write_segment(self, folder: Path, name: str, data: bytes) -> None:
        self.data[name] = data

    def is_segment(self, folder: Path, name: str, data: bytes) -> bool:
        return self.data.get(name) == data

    def names(self) -> State:
        """Return what later names of events and segments depend on."""
        return {"names": self._segment_names.state(), "evids": self._evids.state()}

    def restore_names(self, state: State) -> None:
        """Continue with the names of an earlier shard."""
        self._segment_names.restore(state["names"])
        self._evids.restore(state["evids"])


class ShardRun:
    """The detector of a place while it runs over records."""

    def __init__(self, task: ScanTask, model_name: str) -> None:
        """Begin cold; raise EdgequakeError if the model cannot be used, or is not the one of the plan."""
        model = _loaded_model(model_name, task.core, task.core_library, task.threshold, task.sensitivity)
        self._identity = {**task.models[model_name], "run": task.run_id}
        if (found := {"graph": model.variant.sha256, "manifest": model.sha256}) != dict(task.models[model_name]):
            raise ModelError(f"model {model_name} is not the one that the scan was planned with: {found}")
        self.diagnostics, self.ledger, self.tally = Diagnostics(), ScanLedger(), DayTally()
        self._stations = StationRuns(lambda _: model, Path(), self.ledger, diagnostics=self.diagnostics)
        self._stream = 0
        self.before = self.totals()

    def restore(self, path: Path, stream: int) -> None:
        """Continue from the state after another shard, in that stream or with the next one.

        Raises
        ------
        DataError
            The state is missing, damaged, or another run's.
        """
        checkpoint = read_checkpoint(path)
        if checkpoint.identity != self._identity:
            raise DataError(f"{path} is the state of another run: {checkpoint.identity}")
        state = checkpoint.state
        self._stations.restore(state["stations"])
        self.ledger.restore_names(state["ledger"])
        self.tally.restore(state["tally"])
        if stream != state["stream"]:
            self.tally.new_stream()
        self._stream = stream
        self.before = self.totals()

    def save(self, path: Path) -> int:
        """Write the state for the next shard, durably; return its size in bytes."""
        state = {
            "stations": self._stations.state(),
            "ledger": self.ledger.names(),
            "tally": self.tally.state(),
            "stream": self._stream,
        }
        return write_checkpoint(path, Checkpoint(self._identity, state))

    def push(self, station_id: str, traces: Iterator[Trace], is_last: bool, counted: tuple[int, int]) -> None:
        """Take records in the order of time.

        Parameters
        ----------
        is_last : none of this stream follow.
        counted : [start, stop) in ns: the records that start there count for the figures of days.
        """
        key, waiting, n_samples = str(self._stream), [], 0
        for trace in traces:
            self.tally.add_trace(trace, counted[0] <= trace.start_ns < counted[1])
            waiting.append(trace)
            n_samples += len(trace.samples)
            if n_samples >= _BATCH_SAMPLES:
                self._stations.push(Batch(key, station_id, tuple(waiting), over=False))
                waiting, n_samples = [], 0
        self._stations.push(Batch(key, station_id, tuple(waiting), over=is_last))

    def totals(self) -> RunCounters:
        """Return the counters of all streams so far."""
        total = RunCounters()
        total.restore(self._stations.counters.state())
        for stream in self._stations.streams:
            total.add(stream)
        return total


@lru_cache(maxsize=8)
def _loaded_model(name: str, core: str, library: str | None, threshold: float | None, sensitivity: str) -> LoadedModel:
    """Return a model, loaded once in this process."""
    config = RunConfig(
        inputs=(),
        out=Path(),
        model=name,
        core=core,
        core_library=None if library is None else Path(library),
        threshold=threshold,
        sensitivity=sensitivity,
    )
    return LoadedModel.load(config, lambda line: None)


@dataclass
class _Clock:
    """Processor time spent on reading records, beside that of all."""

    read_s: float = 0.0

    def of_reading(self, traces: Iterator[Trace]) -> Iterator[Trace]:
        while True:
            begun_s = time.thread_time()
            trace = next(traces, None)
            self.read_s += time.thread_time() - begun_s
            if trace is None:
                return
            yield trace


def run_shard(task: ScanTask, shard: Shard) -> dict[str, Any]:
    """Run a shard, and mark it as done or as failed; return its id, whether it is done, and its events and seconds.

    What raises, is raised for a reason that is not the shard's: a full disk, a folder that is gone.
    """
    folder, begun_s = ScanFolder(Path(task.out)), time.thread_time()
    try:
        figures = _run(task, shard, folder)
    except Exception as problem:
        why = str(problem) if isinstance(problem, EdgequakeError) else unforeseen(problem)
        folder.mark_failed(shard.id, {"id": shard.id, "title": shard.title, "why": why})
        return {"id": shard.id, "is_done": False, "why": why, "cpu_s": time.thread_time() - begun_s}
    return {"id": shard.id, "is_done": True, "n_events": figures["n_events"], "cpu_s": figures["cpu_s"]}


def _run(task: ScanTask, shard: Shard, folder: ScanFolder) -> dict[str, Any]:
    wall_s, cpu_s, clock = time.monotonic(), time.thread_time(), _Clock()
    run = ShardRun(task, shard.model)
    if shard.previous is not None:
        run.restore(folder.state(shard.previous), shard.stream)
    archive = open_archive(task.archive, folder.path)
    with scratch_folder(folder.scratch, f"{shard.id}-{os.getpid()}") as scratch:
        traces = clock.of_reading(records_of_shard(task, shard, archive, scratch, run.diagnostics))
        run.push(shard.station_id, traces, shard.is_last or _has_lead(shard), (shard.start_ns, shard.stop_ns))
    rows = found_rows(run, shard)
    if task.keeps_segments:
        kept = {row.segment for row in rows}
        keep_segments(
            folder.segments, (decoded_segment(data) for name, data in run.ledger.data.items() if name in kept)
        )
    files = write_rows(folder, shard.id, rows)
    state_bytes = 0 if _has_lead(shard) else run.save(folder.state(shard.id))
    for row in rows:
        run.tally.add_event(row.onset_ns)
    for start_ns, stop_ns in sorted({(row.segment_start_ns, row.segment_stop_ns) for row in rows}):
        run.tally.add_segment(start_ns, stop_ns)
    figures = {
        "id": shard.id,
        "title": shard.title,
        "station_id": shard.station_id,
        "location": shard.location,
        "previous": shard.previous,
        "start_ns": shard.start_ns,
        "stop_ns": shard.stop_ns,
        "model": dict(task.models[shard.model], name=shard.model),
        "n_events": len(rows),
        "catalog": [path.relative_to(folder.path).as_posix() for path in files],
        **_counted(run),
        "days": run.tally.figures(),
        "warnings": run.diagnostics.texts(),
        "state_bytes": state_bytes,
        "read_cpu_s": clock.read_s,
        "cpu_s": time.thread_time() - cpu_s,
        "wall_s": time.monotonic() - wall_s,
    }
    folder.mark_done(shard.id, figures)
    if shard.previous is not None:
        _forget_states_before(folder, shard.previous, task.keep_states)
    return figures


def _forget_states_before(folder: ScanFolder, shard_id: str, kept: tuple[str, ...]) -> None:
    """Remove the state that a shard began with: its successor is done too, and only the last two may be run again."""
    previous = folder.figures(shard_id).get("previous")
    if previous is not None and previous not in kept:
        folder.state(previous).unlink(missing_ok=True)


def records_of_shard(
    task: ScanTask, shard: Shard, archive: RecordArchive, scratch: Path, diagnostics: Diagnostics
) -> Iterator[Trace]:
    """Yield a shard's records, cut to the samples that the scan is to use; raises DataError as `FileStream.traces`."""
    stream = FileStream(shard.station_id)
    for file in shard.files:
        path = archive.local_path(file.name, scratch)
        _require_unchanged(path, file.size_bytes)
        stream.add(file.part(shard.station_id, path))
    for trace in stream.traces_between(shard.read_start_ns, shard.read_stop_ns, diagnostics):
        part = trace.between(task.start_ns, task.stop_ns)
        if len(part.samples):
            yield part


def _require_unchanged(path: Path, size_bytes: int) -> None:
    try:
        found = path.stat().st_size
    except OSError as problem:
        raise DataError(f"{path} cannot be read: {problem.strerror or problem}") from problem
    if found != size_bytes:
        raise DataError(f"{path} has changed since the scan was planned: {found} bytes, expected {size_bytes}")


def found_rows(run: ShardRun, shard: Shard) -> list[ScanRow]:
    """Return the events that a run has found in its shard, in the order in which they were found."""
    rows = []
    for entry in run.ledger.take_new():
        for row in entry.rows:
            if _has_lead(shard) and not shard.start_ns <= row.onset_ns < shard.stop_ns:
                continue
            values = {field.name: getattr(row, field.name) for field in fields(CatalogRow)}
            found = ScanRow(
                **values,
                location=shard.location,
                segment_start_ns=entry.segment.start_ns,
                segment_stop_ns=entry.segment.stop_ns,
                model=shard.model,
                run_id=shard.run_id,
                shard_id=shard.id,
            )
            rows.append(replace(found, evid=_with_location(row, shard)) if shard.names_location else found)
    return rows


def _has_lead(shard: Shard) -> bool:
    return (shard.read_start_ns, shard.read_stop_ns) != (shard.start_ns, shard.stop_ns)


def _with_location(row: CatalogRow, shard: Shard) -> str:
    """Return an event's name with the location, so that two sensors of a station never share one."""
    return row.evid.replace(f"{row.station_id}_", f"{row.station_id}_{shard.location or '--'}_", 1)


def _counted(run: ShardRun) -> dict[str, Any]:
    """Return what a shard has added to the counters."""
    before, after = run.before, run.totals()
    gaps = {name: value - getattr(before.gaps, name) for name, value in vars(after.gaps).items()}
    return {
        "samples": after.samples_in - before.samples_in,
        "record_s": (after.record_ns - before.record_ns) / NS_PER_S,
        "kept_s": (after.kept_ns - before.kept_ns) / NS_PER_S,
        "gaps": gaps,
        "unreadable_bytes": run.diagnostics.unreadable_bytes,
    }

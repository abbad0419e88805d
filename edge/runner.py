"""The run: records in, catalogue, kept segments and summary out; `run` reads top to bottom."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from edgequake import __version__
from edgequake.edge.base.control import Control
from edgequake.edge.base.errors import DataError, Stopped
from edgequake.edge.base.memory import peak_memory_bytes
from edgequake.edge.formats.waveforms import NS_PER_S, channel_of
from edgequake.edge.inputs.source import Source
from edgequake.edge.operation.config import RunConfig, open_source
from edgequake.edge.operation.model import LoadedModel
from edgequake.edge.operation.run_folder import CATALOG, SEGMENTS, SUMMARY, RunFolder
from edgequake.edge.operation.services import OnboardServices
from edgequake.edge.operation.station_run import RunCounters, StationRuns
from edgequake.edge.results.catalog import Ledger
from edgequake.edge.results.priority import priority_function
from edgequake.edge.results.summary import Summary

__all__ = ["CATALOG", "SEGMENTS", "SUMMARY", "RunConfig", "run"]


@dataclass(frozen=True)
class _Start:
    """When this process began its run."""

    wall_s: float = field(default_factory=time.monotonic)
    cpu_s: float = field(default_factory=time.process_time)


def run(config: RunConfig, progress: Callable[[float], None] | None = None, control: Control | None = None) -> Summary:
    """Run a model over records and leave catalog.csv, segments/ and, last of all, summary.json in `config.out`.

    Parameters
    ----------
    config : what to run on what.
    progress : called with the share of the samples read, 0..1.
    control : what the world asks of the run while it runs: to stop, to read its thresholds again.

    Raises
    ------
    EdgequakeError
        Unusable options, inputs, manifest or graph; nothing is written then. An error half-way leaves the segments
        and the catalogue of the events found so far, and no summary.json.
    Stopped
        `control` asked to stop before the end of the files; a checkpoint says where to go on.
    """
    start, control = _Start(), control or Control()
    model = LoadedModel.load(config, control.tell)
    source = open_source(config, model.manifest, control, progress)
    folder = RunFolder(config, model, source, control.tell)
    if (summary := folder.finished()) is not None:
        return summary
    store = OnboardServices(config, model, folder.ledger, source.diagnostics, source.replayed)
    listeners = StationRuns(model, config.out, folder.ledger, priority_function(config.priority, source.diagnostics))
    folder.prepare()  # from here on things are written
    folder.resume(listeners, store)

    for batch in source.batches():
        if batch is not None:
            store.take(batch)
            if listeners.take(batch):
                folder.write_catalog(listeners, store)
            if store.tick():
                folder.write_catalog(listeners, store)
        if control.reload:
            control.reload = False
            model.reload_threshold(config, control.tell)
            listeners.heed_threshold()
        if control.stop:
            break
        folder.keep_checkpoint(listeners, store)

    if control.stop and source.replayed:  # the events that are open now belong to the process that goes on
        folder.write_checkpoint(listeners, store)
        store.stop()
        raise Stopped(f"stopped before the end of the input; results so far are in {config.out}, go on with --resume")
    for batch in source.flush():
        store.take(batch)
        listeners.take(batch)
    tally = listeners.finish()
    folder.ledger.settle()
    if not control.stop:
        _require_samples(tally, config, folder)
    folder.write_catalog(listeners, store)
    if store.finish():
        folder.write_catalog(listeners, store)
    summary = _summarise(start, config, model, source, tally, folder.ledger, folder.n_resumed)
    folder.close(summary, listeners, store)
    return summary


def _require_samples(tally: RunCounters, config: RunConfig, folder: RunFolder) -> None:
    names = ", ".join(config.inputs)
    if tally.samples_in == 0:
        folder.abandon()
        raise DataError(f"no sample to process in {names}: check --start, --stop and --channels")
    if tally.gaps.fill_samples + tally.gaps.not_finite_samples >= tally.samples_in:
        folder.abandon()
        raise DataError(
            f"all {tally.samples_in} samples of {names} are NaN, infinite or fill values; expected ground motion"
        )


def _summarise(
    start: _Start,
    config: RunConfig,
    model: LoadedModel,
    source: Source,
    tally: RunCounters,
    ledger: Ledger,
    n_resumed: int,
) -> Summary:
    """Return the figures of a run that is over."""
    return Summary(
        edgequake_version=__version__,
        model=model.manifest.name,
        variant=model.variant_name,
        graph_sha256=model.variant.sha256,
        runtime=model.runtime,
        onset_threshold=model.threshold,
        inputs=config.inputs,
        stations=tuple(sorted(tally.stations)),
        samples_in=tally.samples_in,
        bytes_in=source.size_bytes,
        samples_kept=sum(segment.n_samples for segment in ledger.segments),
        bytes_kept=sum(segment.size_bytes for segment in ledger.segments),
        record_s=tally.record_ns / NS_PER_S,
        kept_s=tally.kept_ns / NS_PER_S,
        kept_fraction=tally.kept_ns / max(1, tally.record_ns),
        tears_bridged=tally.gaps.bridged_tears,
        samples_bridged=tally.gaps.bridged_samples,
        restarts=tally.gaps.restarts,
        fill_samples=tally.gaps.fill_samples,
        not_finite_samples=tally.gaps.not_finite_samples,
        overlap_samples=tally.gaps.overlap_samples,
        unreadable_bytes=source.diagnostics.unreadable_bytes,
        ignored_channels=tuple(sorted({channel_of(name) for name in source.ignored_channels})),
        warnings=tuple(source.diagnostics.texts()),
        resumed=n_resumed,
        wall_s=time.monotonic() - start.wall_s,
        cpu_s=time.process_time() - start.cpu_s,
        peak_memory_bytes=peak_memory_bytes(),
        segments=tuple(ledger.segments),
        events=tuple(ledger.rows()),
    )

"""The run: records in, catalogue, event segments and summary out. `run` reads top to bottom."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from edgequake._version import __version__
from edgequake.edge.base.control import Control, beat, stopping
from edgequake.edge.base.errors import DataError, Stopped
from edgequake.edge.base.memory import peak_memory_bytes
from edgequake.edge.base.own_folder import OwnFolder
from edgequake.edge.formats.source_ids import channel_of
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.inputs.source import Source
from edgequake.edge.operation.config import RunConfig, open_source
from edgequake.edge.operation.degraded import Degraded, Incidents
from edgequake.edge.operation.earlier_results import finished_summary, require_new_folder
from edgequake.edge.operation.run_folder import RunFolder
from edgequake.edge.operation.run_models import RunModels
from edgequake.edge.operation.services import OnboardServices
from edgequake.edge.operation.station_run import RunCounters, StationRuns
from edgequake.edge.results.catalog_files import CatalogFiles
from edgequake.edge.results.ledger import Ledger
from edgequake.edge.results.priority import priority_function
from edgequake.edge.results.summary import Summary, model_fields

__all__ = ["RunConfig", "run"]


@dataclass(frozen=True)
class _RunStart:
    """When this process began its run."""

    wall_s: float = field(default_factory=time.monotonic)
    cpu_s: float = field(default_factory=time.process_time)


def run(config: RunConfig, progress: Callable[[float], None] | None = None, control: Control | None = None) -> Summary:
    """Run a model over records; write catalog.csv, segments/ and finally summary.json to `config.out`.

    Parameters
    ----------
    config : inputs, output folder and options.
    progress : called with the fraction of the samples read, 0..1.
    control : asks a running run to stop, or to reload its thresholds; takes its log.

    Raises
    ------
    EdgequakeError
        Unusable options, inputs, manifest or graph: nothing is written. An error on the way leaves the segments and the
        catalogue of the events found so far, and no summary.json.
    Stopped
        `control` asked to stop before the end of the files; a checkpoint, or the spool, says where to continue.
    """
    with OwnFolder(config.out) as own:
        return _run(config, progress, control or Control(), own)


def _run(config: RunConfig, progress: Callable[[float], None] | None, control: Control, own: OwnFolder) -> Summary:
    start = _RunStart()
    models = RunModels(config, control.log)
    require_new_folder(config)
    source = open_source(config, models.choice, control, progress)
    if (summary := finished_summary(config, models, source)) is not None:
        return summary
    models.load(models.choice.stations)  # of files; live stations are not known yet
    ledger = Ledger(CatalogFiles(config.out))
    degraded = Degraded(not source.replayed, source.diagnostics, control.log, own=own)
    incidents = Incidents(config.out, not source.replayed, source.diagnostics, control.log)
    services = OnboardServices(
        config, models.pre_roll_s, ledger, source.diagnostics, source.replayed, degraded, incidents
    )
    priority = priority_function(config.priority, source.diagnostics)
    stations = StationRuns(models.of, config.out, ledger, priority, source.diagnostics, incidents)
    folder = RunFolder(config, models, source, ledger, stations, services, degraded, control.log)
    folder.prepare()  # from here on files are written
    stations.on_frame = services.add_frame if config.monitor_h is not None else None
    folder.resume()
    folder.switch_models(is_start=True)

    for batch in incidents.batches(source):
        beat()
        if models.have_changed_in_memory(source.diagnostics):
            stations.rebuild()
        if batch is not None:
            models.choice.announce(batch.traces)
            services.push(batch)
            stations.push(batch)
        folder.announce_begun()
        folder.write_catalog_if_due()
        services.run_due()
        if control.reload:
            control.reload = False
            models.reload_thresholds()
            stations.apply_threshold()
        folder.switch_models()
        if control.stop:
            stopping()
            break
        folder.checkpoint_if_due()

    folder.end_switch()
    if control.stop and source.replayed:  # events that are open now belong to the process that resumes the run
        folder.write_checkpoint()
        services.close()
        raise Stopped(f"stopped before the end of the input; results so far are in {config.out}, go on with --resume")
    for batch in incidents.flush(source):
        beat()
        services.push(batch)
        stations.push(batch)
    counters = stations.finish()
    folder.announce_begun()
    ledger.finalize()
    degraded.is_ending = True
    if not control.stop:
        _require_samples(counters, config, source, folder)
    folder.write_catalog()
    services.finish()
    summary = _summarise(start, config, models, source, counters, ledger, folder.n_resumed)
    folder.close(summary)  # raises what a live run could not write even now
    return summary


def _require_samples(counters: RunCounters, config: RunConfig, source: Source, folder: RunFolder) -> None:
    names = ", ".join(config.inputs)
    if counters.samples_in == 0:
        folder.delete_checkpoint()
        unused = None if source.hearing is None else source.hearing.unused
        came = "" if unused is None else f"; what came cannot be used: {unused}"
        raise DataError(f"no sample to process in {names}: check --start, --stop and --channels{came}")
    if counters.gaps.fill_samples + counters.gaps.not_finite_samples >= counters.samples_in:
        folder.delete_checkpoint()
        raise DataError(
            f"all {counters.samples_in} samples of {names} are NaN, infinite or fill values; expected ground motion"
        )


def _summarise(
    start: _RunStart,
    config: RunConfig,
    models: RunModels,
    source: Source,
    counters: RunCounters,
    ledger: Ledger,
    n_resumed: int,
) -> Summary:
    gaps, diagnostics, used = counters.gaps, source.diagnostics, models.used()
    return Summary(
        edgequake_version=__version__,
        **model_fields(used),
        runtime=models.runtime,
        inputs=config.inputs,
        stations=tuple(sorted(counters.stations)),
        samples_in=counters.samples_in,
        bytes_in=source.size_bytes,
        samples_kept=ledger.samples_kept,
        bytes_kept=ledger.bytes_kept,
        record_s=counters.record_ns / NS_PER_S,
        kept_s=counters.kept_ns / NS_PER_S,
        kept_fraction=counters.kept_ns / max(1, counters.record_ns),
        tears_bridged=gaps.bridged_gaps,
        samples_bridged=gaps.bridged_samples,
        restarts=gaps.restarts,
        fill_samples=gaps.fill_samples,
        not_finite_samples=gaps.not_finite_samples,
        overlap_samples=gaps.overlap_samples,
        unreadable_bytes=diagnostics.unreadable_bytes,
        ignored_channels=tuple(sorted({channel_of(name) for name in source.ignored_channels})),
        warnings=tuple(diagnostics.texts()),
        resumed=n_resumed,
        wall_s=time.monotonic() - start.wall_s,
        cpu_s=time.process_time() - start.cpu_s,
        peak_memory_bytes=peak_memory_bytes(),
        n_events=ledger.n_rows,
        models=used if models.is_auto else (),
        out=config.out,
    )

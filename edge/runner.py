"""The run: records in, catalogue, kept segments and summary out; `run` reads top to bottom."""

from __future__ import annotations

from collections.abc import Callable

from edgequake.edge.control import Control
from edgequake.edge.errors import DataError, Stopped
from edgequake.edge.inputs import RunConfig, open_feed
from edgequake.edge.listener import Listeners, Tally
from edgequake.edge.loaded_model import LoadedModel
from edgequake.edge.run_folder import CATALOG, SEGMENTS, SUMMARY, RunFolder
from edgequake.edge.store.priority import priority_function
from edgequake.edge.store.store import Store
from edgequake.edge.summary import Begun, Summary, summarise

__all__ = ["CATALOG", "SEGMENTS", "SUMMARY", "RunConfig", "run"]


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
    begun, control = Begun(), control or Control()
    model = LoadedModel.load(config, control.tell)
    feed = open_feed(config, model.manifest, control, progress)
    folder = RunFolder(config, model, feed, control.tell)
    if (summary := folder.finished()) is not None:
        return summary
    store = Store(config, model, folder.ledger, feed.notes, feed.replayed)
    listeners = Listeners(model, config.out, folder.ledger, priority_function(config.priority, feed.notes))
    folder.prepare()  # from here on things are written
    folder.resume(listeners, store)

    for batch in feed.batches():
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

    if control.stop and feed.replayed:  # the events that are open now belong to the process that goes on
        folder.write_checkpoint(listeners, store)
        store.stop()
        raise Stopped(f"stopped before the end of the input; results so far are in {config.out}, go on with --resume")
    for batch in feed.flush():
        store.take(batch)
        listeners.take(batch)
    tally = listeners.finish()
    folder.ledger.settle()
    if not control.stop:
        _require_samples(tally, config, folder)
    folder.write_catalog(listeners, store)
    if store.finish():
        folder.write_catalog(listeners, store)
    summary = summarise(begun, config, model, feed, tally, folder.ledger, folder.n_resumed)
    folder.close(summary, listeners, store)
    return summary


def _require_samples(tally: Tally, config: RunConfig, folder: RunFolder) -> None:
    names = ", ".join(config.inputs)
    if tally.samples_in == 0:
        folder.abandon()
        raise DataError(f"no sample to process in {names}: check --start, --stop and --channels")
    if tally.gaps.fill_samples + tally.gaps.not_finite_samples >= tally.samples_in:
        folder.abandon()
        raise DataError(
            f"all {tally.samples_in} samples of {names} are NaN, infinite or fill values; expected ground motion"
        )

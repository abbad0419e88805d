"""A run's output folder: what is written when, and how an interrupted run goes on.

The order of writing makes power loss harmless: a segment is complete before its row is in the catalogue, and the
checkpoint is older than both. A resumed run comes upon the same events again and leaves what was acknowledged alone.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from typing import Any

from edgequake import __version__
from edgequake.edge.base.atomic_files import remove_leftovers, write_bytes_atomically
from edgequake.edge.base.checkpoint import Checkpoint, read_checkpoint, set_aside, write_checkpoint
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.base.layout import ARCHIVE, CONTINUOUS, JOURNAL, OUTBOX, STATUS
from edgequake.edge.base.memory import give_memory_back
from edgequake.edge.inputs.source import FileSource, Source
from edgequake.edge.operation.config import RunConfig
from edgequake.edge.operation.model import LoadedModel
from edgequake.edge.operation.services import OnboardServices
from edgequake.edge.operation.station_run import StationRuns
from edgequake.edge.results.catalog import Ledger, read_catalog
from edgequake.edge.results.priority import priority_name
from edgequake.edge.results.summary import Summary

CATALOG, SUMMARY, SEGMENTS, CHECKPOINT = "catalog.csv", "summary.json", "segments", "checkpoint.edgequake"

_LARGEST_SHARE = 0.04  # of the time may go into checkpoints, however slow the disk


class RunFolder:
    """Writes a run's results, and reads those of the process before it."""

    def __init__(self, config: RunConfig, model: LoadedModel, source: Source, tell: Callable[[str], None]) -> None:
        self._config, self._model, self._source, self._tell = config, model, source, tell
        self._out = config.out
        self._has_status = config.stores or not source.replayed
        self.ledger = Ledger()
        self.n_resumed = 0
        self._next_checkpoint_s = 0.0

    def finished(self) -> Summary | None:
        """Return the summary of a run that was over before it was resumed.

        Raises
        ------
        ConfigError
            The folder holds the results of another run.
        """
        summary = self._out / SUMMARY
        over = summary.exists() and not (self._out / CHECKPOINT).exists()
        if not (self._config.resume and self._source.replayed and over):
            return None
        found = Summary.read(summary, read_catalog(self._out / CATALOG))
        if (found.inputs, found.graph_sha256) != (self._config.inputs, self._model.variant.sha256):
            raise ConfigError(f"{self._out} holds the results of another run; choose another --out, or --force")
        return found

    def prepare(self) -> None:
        """Make the output folder; with `force`, clear an earlier run's results, summary first.

        Raises
        ------
        ConfigError
            It holds the results of an earlier run, and neither `force` nor `resume` is set.
        DataError
            It cannot be used.
        """
        out = self._out
        try:
            earlier = [out / SUMMARY, out / CHECKPOINT, out / CATALOG, *sorted((out / SEGMENTS).glob("*.mseed"))]
            earlier += [out / STATUS, out / JOURNAL, out / OUTBOX, out / ARCHIVE, out / CONTINUOUS]
            present = [path for path in earlier if path.exists()]
            if present and not self._config.force and not self._config.resume:
                unfinished = " (an unfinished one: --resume goes on with it)" if (out / CHECKPOINT).exists() else ""
                raise ConfigError(
                    f"{out} holds the results of an earlier run{unfinished}; choose another --out, or --force to "
                    f"replace them"
                )
            for path in present if self._config.force and not self._config.resume else ():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            (out / SEGMENTS).mkdir(parents=True, exist_ok=True)
            remove_leftovers(out)
            remove_leftovers(out / SEGMENTS)
        except OSError as problem:
            raise DataError(
                f"cannot use output folder {out}: {problem.strerror or problem}; choose another --out"
            ) from problem

    def resume(self, listeners: StationRuns, store: OnboardServices) -> None:
        """Go on from the checkpoint, if there is one that fits; from the catalogue in any case.

        Raises
        ------
        ConfigError
            The checkpoint is of another run over files.
        DataError
            The catalogue cannot be read, or the checkpoint cannot be written.
        """
        checkpoint = self._read_checkpoint() if self._config.resume else None
        state = None if checkpoint is None else checkpoint.state
        if self._config.resume:
            self.ledger.restore(None if state is None else state["ledger"], self._out / CATALOG)
        if state is not None:
            self.n_resumed = state["n_resumed"] + 1
            self._source.restore(state["feed"])
            listeners.restore(state["listeners"])
            (self._out / SUMMARY).unlink(missing_ok=True)  # it is not over yet
        store.open(None if state is None else state["store"])
        self.write_checkpoint(listeners, store)

    def keep_checkpoint(self, listeners: StationRuns, store: OnboardServices) -> None:
        """Write a checkpoint when it is time."""
        if time.monotonic() >= self._next_checkpoint_s:
            self.write_checkpoint(listeners, store)
            self._tidy_up()

    def write_checkpoint(self, listeners: StationRuns, store: OnboardServices) -> None:
        """Write a checkpoint, and how the run is doing.

        Raises
        ------
        DataError
            It cannot be written.
        """
        begun_s = time.monotonic()
        store.sync()
        state = {
            "n_resumed": self.n_resumed,
            "ledger": self.ledger.state(),
            "feed": self._source.state(),
            "listeners": listeners.state(),
            "store": store.state(),
        }
        write_checkpoint(self._out / CHECKPOINT, Checkpoint(self._identity(), state), self.ledger.make_room)
        self._write_status(listeners, store, ended=False)
        now_s = time.monotonic()
        pause_s = self._config.checkpoint_s
        if pause_s > 0:
            pause_s = max(pause_s, (now_s - begun_s) / _LARGEST_SHARE)
        self._next_checkpoint_s = now_s + pause_s

    def write_catalog(self, listeners: StationRuns, store: OnboardServices) -> None:
        """Acknowledge the events found so far. What comes live cannot be found again: its checkpoint follows at once.

        Raises
        ------
        DataError
            It cannot be written.
        """
        self.ledger.write(self._out / CATALOG)
        if not self._source.replayed:
            self.write_checkpoint(listeners, store)
            self._tidy_up()

    def close(self, summary: Summary, listeners: StationRuns, store: OnboardServices) -> None:
        """The run is over: write its summary. A live run may go on later, warm; one over files may not."""
        if not self._source.replayed:
            self.write_checkpoint(listeners, store)
        self._write_status(listeners, store, ended=True)
        write_bytes_atomically(self._out / SUMMARY, summary.to_json().encode(), self.ledger.make_room)
        if self._source.replayed:
            (self._out / CHECKPOINT).unlink(missing_ok=True)

    def abandon(self) -> None:
        """There was nothing to do: leave nothing to go on from."""
        (self._out / CHECKPOINT).unlink(missing_ok=True)

    def _write_status(self, listeners: StationRuns, store: OnboardServices, ended: bool) -> None:
        if self._has_status:
            from edgequake.edge.operation.status import status_of

            warnings, n_events = self._source.diagnostics.texts(), len(self.ledger.rows())
            status = status_of(self._config, self._model, store, listeners, n_events, warnings, ended)
            write_bytes_atomically(self._out / STATUS, json.dumps(status).encode() + b"\n", self.ledger.make_room)

    def _tidy_up(self) -> None:
        if not self._source.replayed:
            give_memory_back()  # this run may take months

    def _read_checkpoint(self) -> Checkpoint | None:
        path = self._out / CHECKPOINT
        if not path.exists():
            return None
        try:
            checkpoint = read_checkpoint(path)
        except DataError as problem:
            self._tell(f"{problem}; set aside as {set_aside(path).name}, the run starts over")
            return None
        identity = self._identity()
        differing = [name for name in identity if checkpoint.identity.get(name) != identity[name]]
        if not differing:
            return checkpoint
        if self._source.replayed:
            raise ConfigError(
                f"{path} is of another run: {', '.join(differing)} differ; resume it as it was begun, choose another "
                f"--out, or start over with --force"
            )
        self._tell(
            f"{path} is of another run: {', '.join(differing)} differ; set aside as {set_aside(path).name}, the "
            f"detector starts cold"
        )
        return None

    def _identity(self) -> dict[str, Any]:
        """What a state depends on."""
        config, model = self._config, self._model
        identity: dict[str, Any] = {
            "edgequake": __version__,
            "graph": model.variant.sha256,
            "manifest": model.sha256,
            "channels": list(config.channels or model.manifest.channels),
            "input": [config.follow, config.raw is not None, config.is_live and not config.follow],
        }
        if isinstance(self._source, FileSource):
            identity["inputs"] = self._source.fingerprint()
            identity["threshold"] = model.threshold
            identity["start and stop"] = [config.start_ns, config.stop_ns]
            identity["store"] = [config.archive_bytes, config.summary_channel, config.budget_bytes, config.pass_s]
            identity["priority"] = priority_name(config.priority)
        return identity

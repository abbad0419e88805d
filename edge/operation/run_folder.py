"""The output folder of a run: what is written when, and how an interrupted run continues.

The order of writing makes a power loss harmless: a segment is complete before its row is in the catalogue, and the
checkpoint is older than both. A resumed run detects the latest events again and leaves what is in the catalogue alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from edgequake._version import __version__
from edgequake.edge.base.atomic_files import remedy_for, sync, write_bytes_atomically
from edgequake.edge.base.checkpoint import (
    Checkpoint,
    State,
    read_checkpoint,
    restored_state,
    set_aside,
    write_checkpoint,
)
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.base.inert_text import one_line
from edgequake.edge.base.layout import CATALOG, CHECKPOINT, MODELS, STATUS, SUMMARY
from edgequake.edge.base.memory import give_memory_back
from edgequake.edge.inputs.source import FileSource, Source
from edgequake.edge.operation.config import RunConfig
from edgequake.edge.operation.degraded import STATUS_TASK, Degraded
from edgequake.edge.operation.earlier_results import prepare_folder
from edgequake.edge.operation.run_models import RunModels
from edgequake.edge.operation.services import OnboardServices
from edgequake.edge.operation.station_run import StationRuns
from edgequake.edge.results.catalog_repair import repair
from edgequake.edge.results.ledger import Ledger
from edgequake.edge.results.metrics import MetricsFile
from edgequake.edge.results.priority import priority_name
from edgequake.edge.results.summary import Summary

if TYPE_CHECKING:
    from edgequake.edge.operation.model_switch import ModelSwitch

_LARGEST_SHARE = 0.04  # of the time may go into checkpoints, however slow the disk


class RunFolder:
    """Writes the results and checkpoints of a run, and continues from those of an earlier process."""

    def __init__(
        self,
        config: RunConfig,
        models: RunModels,
        source: Source,
        ledger: Ledger,
        stations: StationRuns,
        services: OnboardServices,
        degraded: Degraded,
        log: Callable[[str], None],
    ) -> None:
        self._config, self._models, self._source, self._ledger = config, models, source, ledger
        self._stations, self._services, self._degraded, self._log = stations, services, degraded, log
        ledger.may_wait = not source.replayed
        self._out = config.out
        self._has_status = config.has_services or not source.replayed or config.metrics is not None
        self._metrics = None if config.metrics is None else MetricsFile(config.metrics, not source.replayed, log)
        self.n_resumed = 0
        self._next_checkpoint_s = 0.0
        self._alarms: tuple[str | None, ...] = (None, None, None)  # when the status was last written
        self._n_dropped = self._n_renamed = 0  # events and segments, when it was last said
        self._switch: ModelSwitch | None = None  # to a model that was installed
        self._offer = config.out / MODELS / "offer.json"

    def prepare(self) -> None:
        """Make the output folder; with `force`, delete an earlier run's results, summary first.

        Raises
        ------
        DataError
            It cannot be used.
        """
        prepare_folder(self._config, self._log)

    def resume(self) -> None:
        """Continue from the checkpoint where there is one that fits, and from the catalogue in any case.

        Raises
        ------
        ConfigError
            The checkpoint belongs to another run over files.
        DataError
            The catalogue cannot be read, or the checkpoint cannot be written.
        """
        state = None
        if self._config.resume:
            state = self._read_state()
            is_repaired = self._open_catalog()
            if state is not None:
                state = self._restore(state, is_repaired)
            if state is None:
                self._ledger.restore(None, self._comes_again)
        if state is None:
            self._services.open(None)
        if self._ledger.files is not None:
            self._ledger.files.start_is_over()
        self.write_checkpoint()

    def _restore(self, state: State, is_repaired: bool) -> State | None:
        """Continue from a state; live, set a checkpoint aside that nothing can continue from, and return None.

        Raises
        ------
        Exception
            Of whatever kind, in a run over files: the same options and inputs would raise it again.
        """
        if is_repaired and self._comes_again:
            aside = set_aside(self._out / CHECKPOINT)
            self._log(f"{aside.name} belongs to the catalogue as it was: the run starts over from its input")
            return None
        before = restored_state({"source": self._source.state(), "stations": self._stations.state()})
        try:
            if is_repaired:
                files = self._ledger.files
                assert files is not None
                state["ledger"] |= {"check_bytes": files.check_bytes, "pending": [], "n_rows": files.count_rows()}
                if state["services"]["downlink"] is not None:
                    state["services"]["downlink"]["queue"] = None
            self._ledger.restore(state["ledger"], self._comes_again)
            self._source.restore(state["source"])
            self._stations.restore(state["stations"])
            self._services.open(state["services"])
            self.n_resumed = state["n_resumed"] + 1
            (self._out / SUMMARY).unlink(missing_ok=True)  # the run is not complete yet
        except (KeyError, ValueError, TypeError, IndexError, AttributeError, ArithmeticError) as problem:
            if self._source.replayed:
                raise DataError(
                    f"{self._out / CHECKPOINT} cannot be continued from ({type(problem).__name__}: {problem}); start "
                    f"over with --force"
                ) from problem
            self._set_checkpoint_aside(f"{self._out / CHECKPOINT} cannot be continued from ({problem!r})")
            self._source.restore(before["source"])
            self._stations.restore(before["stations"])
            return None
        return state

    def checkpoint_if_due(self) -> None:
        """Write a checkpoint when it is time."""
        is_due = self._degraded.is_due("checkpoint") and not self._ledger.is_behind
        if is_due or time.monotonic() >= self._next_checkpoint_s:
            self.write_checkpoint()
            self._give_memory_back()
        elif self._has_status and self._present_alarms() != self._alarms:
            self._write_status(ended=False)  # people must not wait for the checkpoint to learn it

    def switch_models(self, is_start: bool = False) -> None:
        """Take up a model that was installed in the folder, and switch to it when it is time.

        is_start : no sample has been processed by this process yet.

        Raises
        ------
        DataError
            As `write_checkpoint`.
        """
        if self._switch is None:
            if not (self._models.is_on_trial or self._offer.exists()):
                return
            from edgequake.edge.operation.model_switch import ModelSwitch

            self._switch = ModelSwitch(
                self._config, self._models, self._stations, self._ledger, self._source, self.write_checkpoint, self._log
            )
        self._switch.step(is_start)

    def end_switch(self) -> None:
        """Give up a switch that is under way: the run ends, and the next start takes up the offer."""
        if self._switch is not None:
            self._degraded.attempt("models", self._switch.close)

    def write_checkpoint(self) -> bool:
        """Write a checkpoint and the status; live, what cannot be written is tried again later.

        Returns whether there is a checkpoint of now.

        Raises
        ------
        DataError
            They cannot be written, in a run over files.
        """
        begun_s, is_saved = time.monotonic(), False
        if not self._ledger.is_behind:  # else the events that wait would be lost with this process
            is_saved = self._degraded.attempt("checkpoint", self._save)
        self._write_status(ended=False)
        now_s = time.monotonic()
        pause_s = self._config.checkpoint_s
        if pause_s > 0:
            pause_s = max(pause_s, (now_s - begun_s) / _LARGEST_SHARE)
        self._next_checkpoint_s = now_s + pause_s
        return is_saved

    def _save(self) -> None:
        self._services.sync()
        state = {
            "n_resumed": self.n_resumed,
            "ledger": self._ledger.state(),
            "source": self._source.state(),
            "stations": self._stations.state(),
            "services": self._services.state(),
        }
        if self._models.is_auto:
            state["models"] = self._models.state()
        if installed := self._models.installed():
            state["installed"] = installed
        write_checkpoint(self._out / CHECKPOINT, Checkpoint(self._identity(), state), self._ledger.make_room)

    def announce_begun(self) -> None:
        """Say which events have begun, live, and have the event hook tell them; the checkpoint knows first.

        Raises
        ------
        DataError
            As `write_checkpoint`.
        """
        begun = self._stations.take_begun()
        if not self._source.replayed:
            for one in begun:
                self._log(f"{one_line(one.station_id)}: event from {one.onset[:19]} UTC on")
        if self._services.hold_begun(begun):
            if not self._source.replayed:
                self.write_checkpoint()
            self._services.tell_begun()

    def write_catalog_if_due(self) -> None:
        """Write the catalogue where there are events that are not in it.

        Raises
        ------
        DataError
            As `write_catalog`.
        """
        if self._ledger.is_behind:
            self.write_catalog()
            if self._ledger.n_renamed > self._n_renamed:
                n_new, self._n_renamed = self._ledger.n_renamed - self._n_renamed, self._ledger.n_renamed
                self._source.diagnostics.count("segment(s) could not be written under their own names", n_new)
                if n_new == self._n_renamed:
                    self._log("a segment could not be written under its own name; the catalogue names the one it has")
            if self._ledger.n_dropped > self._n_dropped:
                n_new, self._n_dropped = self._ledger.n_dropped - self._n_dropped, self._ledger.n_dropped
                self._source.diagnostics.count("event(s) lost: too many waited for the disk", n_new)
                self._log(f"{n_new} event(s) lost: more wait for the disk than memory may hold, the best ones are kept")

    def write_catalog(self) -> None:
        """Write the catalogue of the events so far; live, where they cannot be detected again, a checkpoint follows.

        Raises
        ------
        DataError
            It cannot be written, in a run over files.
        """
        if self._degraded.attempt("catalogue", self._ledger.write) and not self._source.replayed:
            self._services.handle_new_events()
            self.write_checkpoint()
            self._give_memory_back()

    def _sync_catalog(self) -> None:
        """Make the rows of catalog.csv durable: no later start of a run that is complete compares them."""
        try:
            sync(self._out / CATALOG)
        except OSError as problem:
            raise DataError(
                f"cannot write {self._out / CATALOG}: {problem.strerror}; {remedy_for(problem)}"
            ) from problem

    def close(self, summary: Summary) -> None:
        """Write the summary at the end. A live run leaves a checkpoint to continue from, one over files does not.

        Raises
        ------
        DataError
            It cannot be written, or something else could not be that a live run has tried until now.
        """
        if not self._source.replayed:
            self.write_checkpoint()
        self._write_status(ended=True)
        if (problem := self._degraded.problem) is not None:
            lost = f"; {self._ledger.n_unwritten} event(s) are lost" if self._ledger.is_behind else ""
            raise DataError(f"the run ends while its folder cannot be written: {problem}{lost}")
        self._sync_catalog()
        write_bytes_atomically(self._out / SUMMARY, summary.to_json().encode(), self._ledger.make_room)
        if self._source.replayed:
            self.delete_checkpoint()
        else:
            self._services.release_reserve()
        self._source.close()

    def delete_checkpoint(self) -> None:
        """Leave nothing to continue from."""
        (self._out / CHECKPOINT).unlink(missing_ok=True)

    def _present_alarms(self) -> tuple[str | None, ...]:
        hearing = self._source.hearing
        is_heard = bool(self._models.choice.stations)  # the first station: its model is news, too
        return (None if hearing is None else hearing.deaf, self._degraded.text, "heard" if is_heard else None)

    def _write_status(self, ended: bool) -> None:
        if self._has_status and self._degraded.attempt(STATUS_TASK, partial(self._save_status, ended)):
            self._alarms = self._present_alarms()

    def _save_status(self, ended: bool) -> None:
        from edgequake.edge.operation.status import run_status

        warnings, n_events = self._source.diagnostics.texts(), self._ledger.n_rows
        deaf, degraded, _ = self._present_alarms()
        status = run_status(
            self._config, self._models, self._services, self._stations, n_events, warnings, deaf, degraded, ended
        )
        write_bytes_atomically(self._out / STATUS, json.dumps(status).encode() + b"\n", self._ledger.make_room)
        if self._metrics is not None:
            self._metrics.write(status, self._ledger.make_room)

    def _give_memory_back(self) -> None:
        if not self._source.replayed:  # a live run may take months
            give_memory_back()

    @property
    def _comes_again(self) -> bool:
        """Whether the input comes again from the beginning where there is no checkpoint."""
        return self._source.replayed or self._config.follow

    def _open_catalog(self) -> bool:
        """Continue the catalogue; return whether it was damaged and has been repaired."""
        files = self._ledger.files
        assert files is not None
        agrees = files.open()
        if files.n_restored:
            self._log(f"{files.n_restored} row(s) of {files.catalog} were missing or damaged and have been restored")
        if agrees or not (repaired := repair(files, None if self._comes_again else self._models.pre_roll_s)):
            return False
        self._log(repaired)
        return True

    def _read_state(self) -> State | None:
        """Return the state of the checkpoint; None where there is none that can be used."""
        path = self._out / CHECKPOINT
        if not path.exists():
            return None
        replayed = self._source.replayed
        try:
            checkpoint = read_checkpoint(path)
        except DataError as problem:
            unusable = str(problem)
        else:
            if not replayed and "models" in checkpoint.state:  # over files the choice has been made again
                self._models.restore(checkpoint.state["models"])
            identity = self._identity()
            differing = [name for name in identity if checkpoint.identity.get(name) != identity[name]]
            if not differing:
                return checkpoint.state
            unusable = f"{path} belongs to another run: {', '.join(differing)} differ"
            if not replayed:
                self._models.restore({"stations": []})
            if replayed:
                raise ConfigError(
                    f"{unusable}; resume it with the options it was begun with, choose another --out, or start over "
                    f"with --force"
                )
        self._set_checkpoint_aside(unusable)
        return None

    def _set_checkpoint_aside(self, why: str) -> None:
        consequence = (
            "the run starts over from its input"
            if self._source.replayed
            else "the detector starts cold, and the run continues with what is in its folder"
        )
        name = set_aside(self._out / CHECKPOINT).name
        self._log(f"{why}; set aside as {name}: {consequence}, no action is needed")

    def _identity(self) -> dict[str, Any]:
        """Return what a state depends on."""
        config = self._config
        identity: dict[str, Any] = {
            "edgequake": __version__,
            **self._models.identity(),
            "input": [config.follow, config.raw is not None, not self._source.replayed and not config.follow],
        }
        if isinstance(self._source, FileSource):
            identity["inputs"] = self._source.fingerprint()
            thresholds = {one.name: one.onset_threshold for one in self._models.used()}
            identity["threshold"] = thresholds if self._models.is_auto else next(iter(thresholds.values()))
            if self._models.is_auto:
                identity["stations"] = self._models.state()["stations"]
            identity["start and stop"] = [config.start_ns, config.stop_ns]
            identity["services"] = [config.archive_bytes, config.summary_channel, config.budget_bytes, config.pass_s]
            identity["priority"] = priority_name(config.priority)
        return identity

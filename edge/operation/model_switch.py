"""The switch of a run to a model that was installed in its folder, while the run goes on.

An offer (`model_store`) is checked in a process of its own (`model_check`). Then the new model's detectors are fed the
same samples as the present ones until they have settled (`detection/follower.py`), and take over between two events.
What fails on the way leaves the present model at work, and says why in one line.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from edgequake.edge.base.atomic_files import Backoff
from edgequake.edge.base.control import beat
from edgequake.edge.base.errors import ConfigError, DataError, EdgequakeError
from edgequake.edge.detection.follower import Follower
from edgequake.edge.formats.waveforms import NS_PER_S, format_time
from edgequake.edge.inputs.model_choice import matches
from edgequake.edge.inputs.source import Source
from edgequake.edge.operation.config import RunConfig
from edgequake.edge.operation.model_check import Candidate, Check, key_of, read_candidate, require_authentic
from edgequake.edge.operation.model_store import MOST_STARTS, Installed, ModelStore, Slot, Trial, with_history
from edgequake.edge.operation.run_models import LoadedModel, RunModels
from edgequake.edge.operation.station_run import StationRun, StationRuns
from edgequake.edge.results.ledger import Ledger

PROBATION_S = 600.0  # after the switch; a process that goes on for so long was not ended by the model
_WAIT_S = 0.01  # between two looks at a self-test, in a run over files, which waits for it


class ModelSwitch:
    """Follows an offer from the check to the switch; `step` is called after each batch of samples."""

    def __init__(
        self,
        config: RunConfig,
        models: RunModels,
        stations: StationRuns,
        ledger: Ledger,
        source: Source,
        save: Callable[[], bool],
        log: Callable[[str], None],
    ) -> None:
        """Switch the models of a run.

        source : one of files waits while a model is checked.
        save : writes a checkpoint; returns whether it was written.
        """
        self._config, self._models, self._stations, self._ledger = config, models, stations, ledger
        self._diagnostics, self._replayed, self._save, self._log = source.diagnostics, source.replayed, save, log
        self._store = ModelStore(config.out, log)
        self._offer: Installed | None = None
        self._candidate: Candidate | None = None
        self._check: Check | None = None
        self._name = ""  # of the slot
        self._new: LoadedModel | None = None
        self._unsaved: Slot | None = None  # after the switch, until a checkpoint tells of it
        self._disk = Backoff()
        self._may_wait = False
        self._proven_s = time.monotonic() + PROBATION_S if models.is_on_trial else None

    def step(self, is_start: bool = False) -> None:
        """Do what is due; whatever fails is said, and leaves the present model at work.

        is_start : before the first batch, for which the check is waited for.
        """
        self._may_wait = self._replayed or is_start
        try:
            self._step()
        except DataError as problem:  # the disk: everything is tried again, in a run over files at the next start
            if self._replayed:
                raise
            if not self._disk.is_pausing:
                self._log(f"the switch to another model waits: {problem}")
            self._disk.failed()

    def close(self) -> None:
        """Give up what is under way at the end of the run: the next start takes up the offer."""
        self._drop()
        if self._unsaved is None and (self._offer is not None or self._proven_s is not None):
            self._store.end_trial()  # this process was not ended by the model

    def _step(self) -> None:
        if self._disk.is_pausing:
            return
        if self._unsaved is not None:
            self._commit()
            return
        if self._proven_s is not None and time.monotonic() >= self._proven_s:
            self._store.end_trial()
            self._proven_s = None
        try:
            offer = self._store.offer()
        except DataError as problem:
            self._offer = None
            self._refuse(str(problem))
            return
        if offer is None or offer != self._offer:
            self._drop()
            self._offer = offer
            if offer is not None:
                self._begin(offer)
        if self._check is not None:
            self._wait_for_check()
        if self._new is not None:
            self._follow()

    def _begin(self, offer: Installed) -> None:
        """Begin with an offer: read it, and start its self-test."""
        try:
            options = offer.options(self._config)
            candidate = read_candidate(options.model, options.variant)
            if candidate.sha256 != offer.sha256:
                raise ConfigError(f"{options.model} is not the manifest that was offered; install it again")
            self._name = self._models.slot_for(candidate.manifest)
            if self._is_current(offer):
                self._finish(offer, self._models.slots[self._name])
                return
            require_authentic(candidate, key_of(self._config.out, self._config.public_key))
            self._candidate = candidate
            if not candidate.is_shipped:
                self._check = Check(candidate, needs_golden=True)
            else:
                self._load()
        except DataError:
            raise
        except EdgequakeError as problem:
            self._refuse(str(problem))
            return
        self._tell("checking" if self._check is not None else "warming up")

    def _is_current(self, offer: Installed) -> bool:
        """Whether the offered model runs already: a power loss came before the offer was deleted."""
        slot = self._models.slots.get(self._name)
        return slot is not None and slot.current is not None and slot.current.id == offer.id

    def _wait_for_check(self) -> None:
        check = self._check
        assert check is not None
        while self._may_wait and not check.has_ended:
            beat()
            time.sleep(_WAIT_S)
        if not check.has_ended:
            return
        self._check = None
        try:
            check.require_passed()
            self._load()
        except DataError:
            raise
        except EdgequakeError as problem:
            self._refuse(str(problem))
        finally:
            check.close()

    def _load(self) -> None:
        """Load the new model in this process, and begin to feed it."""
        assert self._offer is not None
        trial = self._store.trial()
        n_starts = trial.n_starts if trial is not None and trial.id == self._offer.id else 0
        if n_starts >= MOST_STARTS:
            self._refuse(f"{n_starts} processes ended while they tried it")
            return
        self._store.write_trial(Trial(self._offer.id, n_starts + 1))
        old = self._models.of_slot(self._name)
        new = LoadedModel.load(self._models.options_of(self._name, self._offer), self._log)
        new.mark = self._offer.mark
        self._require_channels(old, new)
        self._new = new
        for stream in self._streams():
            self._feed(stream, old, is_begun=True)
        self._stations.on_new = self._on_new
        left_s = max((stream.follower.left_s for stream in self._streams() if stream.follower), default=0.0)
        self._log(
            f"model {new.mark} has passed its self-test and is fed beside the present one for {left_s:.0f} s of record"
        )
        self._tell("warming up")

    def _on_new(self, stream: StationRun) -> None:
        if self._new is not None and self._models.slot_of(stream.station_id) == self._name:
            self._feed(stream, self._models.of_slot(self._name), is_begun=False)

    def _feed(self, stream: StationRun, old: LoadedModel, is_begun: bool) -> None:
        """Have the new model fed beside the present one."""
        new = self._new
        assert new is not None
        has_same_graph = old.variant.sha256 == new.variant.sha256
        stream.follower = Follower(
            stream.detector, old.manifest, new.detector(), new.manifest, has_same_graph, is_begun
        )

    def _require_channels(self, old: LoadedModel, new: LoadedModel) -> None:
        """Refuse a model that takes other channels than those that are being processed."""
        if self._config.channels is not None:
            return
        for stream in self._streams():
            others = [name for name in stream.detector.front_end.channels if not matches(name, new.manifest.channels)]
            if others:
                raise ConfigError(f"it takes no channel {', '.join(others)}, which the run processes")

    def _streams(self) -> list[StationRun]:
        return [one for one in self._stations.streams if self._models.slot_of(one.station_id) == self._name]

    def _follow(self) -> None:
        """Switch, if every stream is between two events and its follower has settled."""
        streams = self._streams()
        problem = next((one.follower.problem for one in streams if one.follower and one.follower.problem), None)
        if problem is not None:
            self._refuse(problem)
            return
        if any(one.follower is None or one.follower.left_s > 0 for one in streams):
            return
        self._tell("waiting for a moment between two events")
        if all(map(self._may_switch, streams)) and not self._ledger.is_behind:
            self._switch(streams)

    def _may_switch(self, stream: StationRun) -> bool:
        follower, horizon_ns = stream.follower, stream.detector.horizon_ns
        assert follower is not None and self._new is not None
        if not (stream.is_between_events and follower.detector.is_between_events):
            return False
        if horizon_ns is None:
            return True
        # What follows an onset within `merge_s` belongs to its event, for either model.
        triggers = (self._models.of_slot(self._name).manifest.trigger, follower.manifest.trigger)
        merge_ns = round(max(one.merge_s for one in triggers) * NS_PER_S)
        onsets = [event.onset_ns for event in follower.events]
        onsets += [] if stream.last_onset_ns is None else [stream.last_onset_ns]
        if any(onset_ns <= horizon_ns < onset_ns + merge_ns for onset_ns in onsets):
            return False
        # A resumed run detects again what is in the catalogue already, with the model that has found it.
        pending = self._ledger.pending() if self._replayed or self._config.follow else ()
        return not any(
            entry.segment.station_id == stream.station_id and entry.segment.stop_ns > horizon_ns for entry in pending
        )

    def _switch(self, streams: Sequence[StationRun]) -> None:
        assert self._offer is not None and self._new is not None
        slot = self._models.slots.get(self._name, Slot())
        self._store.write_slot(self._name, Slot(slot.current, slot.previous, self._offer, slot.history))
        from_ns = {one.station_id: _text_of(one.detector.horizon_ns) for one in streams}
        old = self._models.of_slot(self._name)
        before = {"model": old.mark or f"{old.manifest.name} {old.variant_name}", **_described(old)}
        entry = {"from": from_ns, "model": self._offer.mark, **_described(self._new), "before": before}
        self._unsaved = with_history(Slot(self._offer, slot.current, None, slot.history), entry)
        self._models.use(self._name, self._unsaved, self._new)
        for stream in streams:
            self._stations.hand_over(stream, self._new)
        self._drop()
        self._commit()

    def _commit(self) -> None:
        """Make the switch durable: the checkpoint decides, what follows is completed by the next start."""
        if not self._save():
            self._disk.failed()
            return
        slot, self._unsaved = self._unsaved, None
        assert slot is not None and slot.current is not None
        try:
            self._finish(slot.current, slot)
        except DataError:
            self._unsaved = slot
            raise

    def _finish(self, offer: Installed, slot: Slot) -> None:
        self._store.write_slot(self._name, slot)
        was = "the run's own model" if slot.previous is None else slot.previous.mark
        outcome = self._store.write_outcome(offer, "switched", f"in place of {was}")
        if self._store.offer() == offer:
            self._store.withdraw_offer()
        self._models.installation, self._offer = outcome, None
        if self._replayed:
            self._store.end_trial()
        else:
            self._proven_s = time.monotonic() + PROBATION_S
        self._log(f"model {offer.mark} detects from now on, in place of {was}")

    def _refuse(self, why: str) -> None:
        """Give up an offer; the present model goes on."""
        offer, why = self._offer, " ".join(why.split())
        self._drop()
        self._models.installation = self._store.write_outcome(offer, "refused", why)
        self._store.withdraw_offer()
        self._store.end_trial()
        self._offer = None
        what = "an offered model" if offer is None else f"model {offer.mark}"
        self._diagnostics.count(f"model(s) offered to the run were refused: {why}")
        self._log(f"{what} is refused: {why}; the present model goes on")

    def _drop(self) -> None:
        """End a self-test, and feed no follower any more."""
        if self._check is not None:
            self._check.close()
        self._check = self._candidate = self._new = None
        self._stations.on_new = None
        for stream in self._stations.streams:
            stream.unfollow()

    def _tell(self, state: str) -> None:
        """Have the status tell how far the switch is."""
        if self._offer is not None:
            self._models.installation = {"id": self._offer.id, "model": self._offer.mark, "state": state, "why": ""}


def _described(model: LoadedModel) -> dict[str, object]:
    return {"graph_sha256": model.variant.sha256, "onset_threshold": model.threshold}


def _text_of(time_ns: int | None) -> str | None:
    return None if time_ns is None else f"{format_time(time_ns)}Z"

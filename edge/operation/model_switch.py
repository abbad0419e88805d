"""The switch of a run to a model that was installed in its folder, while the run goes on.

An offer (`model_store`) is checked in a process of its own (`model_check`). Then the new model's detectors, the
*followers*, are fed the same samples as the present ones until they have settled, and take over between two events. What
fails on the way leaves the present model at work, and says why in one line.

How long a follower is fed:

- Where only trigger, onset or classes differ, it takes over the whole state of the present detector: not at all.
- Where front end and sampling rate are the same, it takes over the state of the front end, and only its network has to
  forget that it began with zeros: `NETWORK_ROWS` rows of features, in windowed mode one window.
- Otherwise its background has to settle too: until the steps by which it moves have come down to those of the long run,
  `start_frames * step_start / step` frames, and for three times the memory of the rule that catches up.

`NETWORK_ROWS`: of 84 starts in twelve real records of all three bodies, the probabilities of the shipped networks came
within 1/256 of those of a network that had run from the record's beginning after 145 rows in the middle, and after 1420
at most. Moon: 4 h, Mars: 80 min, Earth: 10 min.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from edgequake.edge.base.atomic_files import Backoff
from edgequake.edge.base.checkpoint import restored_state
from edgequake.edge.base.control import beat
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import ConfigError, DataError, EdgequakeError
from edgequake.edge.detection.detector import Detector
from edgequake.edge.detection.trigger import Event
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, format_time
from edgequake.edge.inputs.model_choice import matches
from edgequake.edge.manifest.manifest import Manifest
from edgequake.edge.operation.config import RunConfig
from edgequake.edge.operation.model_check import Candidate, Check, key_of, read_candidate, require_authentic
from edgequake.edge.operation.model_store import MOST_STARTS, Installed, ModelStore, Slot, Trial, with_history
from edgequake.edge.operation.run_models import LoadedModel, RunModels
from edgequake.edge.operation.station_run import StationRun, StationRuns
from edgequake.edge.results.ledger import Ledger

NETWORK_ROWS = 1500
_CATCH_UP_MEMORIES = 3
PROBATION_S = 600.0  # after the switch; a process that goes on for so long was not ended by the model
_MOST_EVENTS = 16  # of a follower: at the switch, those count that the present detector has not reached
_WAIT_S = 0.01  # between two looks at a self-test, in a run over files, which waits for it


def settling_s(old: LoadedModel, new: LoadedModel) -> float:
    """Return for how many seconds of record a follower is fed before it may take over."""
    # An event right after the switch needs the new model's pre-roll, of which the buffer has only the old one's.
    longer_s = max(0.0, new.manifest.trigger.pre_roll_s - old.manifest.trigger.pre_roll_s)
    if _have_same_network(old, new):
        return longer_s
    front_end, network = new.manifest.front_end, new.manifest.network
    block_s = front_end.hop_samples / new.manifest.sampling_rate_hz
    n_rows = NETWORK_ROWS if network.mode == "continuous" else int(network.window_rows or 0)
    network_s = n_rows * block_s / front_end.rows_per_block
    if _have_same_front_end(old, new):
        return max(network_s, longer_s)
    background = front_end.background
    n_frames = background.start_frames * background.step_start / background.step
    if background.catch_up is not None:
        n_frames = max(n_frames, _CATCH_UP_MEMORIES * background.catch_up.memory_frames)
    window_s = front_end.window_samples / new.manifest.sampling_rate_hz
    return max(network_s, n_frames * block_s, longer_s) + window_s


def _have_same_front_end(old: LoadedModel, new: LoadedModel) -> bool:
    a, b = old.manifest, new.manifest
    return (a.front_end, a.sampling_rate_hz) == (b.front_end, b.sampling_rate_hz)


def _have_same_network(old: LoadedModel, new: LoadedModel) -> bool:
    is_same = (old.manifest.network, old.variant.sha256) == (new.manifest.network, new.variant.sha256)
    has_rows = (old.manifest.classes is None) == (new.manifest.classes is None)  # which events need for their class
    return is_same and has_rows and _have_same_front_end(old, new)


class Follower:
    """A detector that is fed the samples of a stream beside the present one."""

    def __init__(self, old: LoadedModel, new: LoadedModel, present: Detector, is_new_stream: bool) -> None:
        """Begin with as much of the present detector's state as both models share.

        is_new_stream : both begin with the stream's first sample; there is nothing to wait for.
        """
        self.manifest: Manifest = new.manifest
        self.detector = new.detector()
        self.events: list[Event] = []  # that it has found
        self.problem: str | None = None  # why it cannot follow
        self.last_onset_ns: int | None = None
        self._needed_ns = 0 if is_new_stream else round(settling_s(old, new) * NS_PER_S)
        if not is_new_stream and _have_same_network(old, new):
            self.detector.restore(restored_state(present.state()))
        elif not is_new_stream and _have_same_front_end(old, new):
            self.detector.front_end.restore(restored_state(present.front_end.state()))
        self._first_ns = self.detector.front_end.next_ns()
        self._pre_ns = round(new.manifest.trigger.pre_roll_s * NS_PER_S)

    def push(self, traces: Sequence[Trace]) -> None:
        """Take the traces that the present detector has taken; whatever fails is this model's alone."""
        if self.problem is not None:
            return
        try:
            found = self.detector.push(*traces)
        except Exception as problem:
            self.problem = f"it cannot process the samples: {' '.join(f'{type(problem).__name__}: {problem}'.split())}"
            return
        if found:
            self.last_onset_ns = found[-1].onset_ns
        self.events = [*self.events, *found][-_MOST_EVENTS:]
        if self._first_ns is None:
            self._first_ns = self.detector.front_end.next_ns()

    @property
    def keep_from_ns(self) -> int | None:
        """Time from which on an event of this model may need samples."""
        horizon_ns = self.detector.horizon_ns
        return None if horizon_ns is None else horizon_ns - self._pre_ns

    @property
    def left_s(self) -> float:
        """Seconds of record that it has still to be fed."""
        next_ns = self.detector.front_end.next_ns()
        fed_ns = 0 if next_ns is None or self._first_ns is None else next_ns - self._first_ns
        return max(0, self._needed_ns - fed_ns) / NS_PER_S


class ModelSwitch:
    """Follows an offer from the check to the switch; `step` is called after each batch of samples."""

    def __init__(
        self,
        config: RunConfig,
        models: RunModels,
        stations: StationRuns,
        ledger: Ledger,
        diagnostics: Diagnostics,
        replayed: bool,
        save: Callable[[], bool],
        log: Callable[[str], None],
    ) -> None:
        """Switch the models of a run.

        replayed : the run is over files, which wait while a model is checked.
        save : writes a checkpoint; returns whether it was written.
        """
        self._config, self._models, self._stations, self._ledger = config, models, stations, ledger
        self._diagnostics, self._replayed, self._save, self._log = diagnostics, replayed, save, log
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
            stream.follower = Follower(old, new, stream.detector, is_new_stream=False)
        self._stations.on_new = self._on_new
        left_s = max((stream.follower.left_s for stream in self._streams() if stream.follower), default=0.0)
        self._log(
            f"model {new.mark} has passed its self-test and is fed beside the present one for {left_s:.0f} s of record"
        )
        self._tell("warming up")

    def _on_new(self, stream: StationRun) -> None:
        if self._new is not None and self._models.slot_of(stream.station_id) == self._name:
            old = self._models.of_slot(self._name)
            stream.follower = Follower(old, self._new, stream.detector, is_new_stream=True)

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
        onsets = [onset_ns for onset_ns in (stream.last_onset_ns, follower.last_onset_ns) if onset_ns is not None]
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
        from_ns = {one.station_id: one.detector.horizon_ns for one in streams}
        old = self._models.of_slot(self._name)
        entry = _history_entry(old, self._new, self._offer, from_ns)
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


def _history_entry(
    old: LoadedModel, new: LoadedModel, offer: Installed, from_ns: dict[str, int | None]
) -> dict[str, Any]:
    """Return the entry of a switch in `active.json`."""
    return {
        "switched_at": f"{format_time(time.time_ns())}Z",
        "from": {name: None if time_ns is None else f"{format_time(time_ns)}Z" for name, time_ns in from_ns.items()},
        "model": offer.mark,
        "graph_sha256": new.variant.sha256,
        "onset_threshold": new.threshold,
        "before": {
            "model": old.mark or f"{old.manifest.name} {old.variant_name}",
            "graph_sha256": old.variant.sha256,
            "onset_threshold": old.threshold,
        },
    }

"""All that happens beside detection: archive, summary channel, downlink, hook, status; each only if it is asked for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgequake.edge.checkpoint import set_aside
from edgequake.edge.feed import Batch
from edgequake.edge.inputs import RunConfig
from edgequake.edge.ledger import Found, Ledger
from edgequake.edge.loaded_model import LoadedModel
from edgequake.edge.notes import Notes
from edgequake.edge.piece import Piece
from edgequake.edge.state import State
from edgequake.edge.store.folders import ARCHIVE, CONTINUOUS
from edgequake.edge.store.mission_clock import MissionClock

if TYPE_CHECKING:
    from edgequake.edge.store.archive import Archive
    from edgequake.edge.store.continuous import Continuous
    from edgequake.edge.store.downlink import Downlink
    from edgequake.edge.store.hook import Hook

_MOST_CHANNELS = 256


class Store:
    """What a run does with its samples and events beside keeping the segments."""

    def __init__(self, config: RunConfig, model: LoadedModel, ledger: Ledger, notes: Notes, replayed: bool) -> None:
        """Look at the options; nothing is written yet. `replayed`: a resumed run hears the same samples again.

        Raises
        ------
        ConfigError
            An option that makes no sense.
        """
        self._config, self._model, self._ledger, self._notes, self._replayed = config, model, ledger, notes, replayed
        self.archive: Archive | None = None
        self.continuous: Continuous | None = None
        self.downlink: Downlink | None = None
        self._hook: Hook | None = None
        self.clock = MissionClock(config.pass_s, replayed)
        self._newest: dict[str, Piece | int] = {}  # by channel: its newest piece, or where that stopped
        self.heard_at_ns: int | None = None  # the machine's time when samples last came
        if config.archive_bytes is not None:
            from edgequake.edge.store.archive import require_cap

            require_cap(config.archive_bytes)
        if config.on_event is not None:
            from edgequake.edge.store.hook import Hook

            self._hook = Hook(config.on_event, config.on_event_timeout_s, notes, config.out)

    def open(self, state: State | None) -> None:
        """Open what the options ask for, in the output folder, and go on from a state; None: from the folder alone.

        Raises
        ------
        DataError
            The folder cannot be used.
        """
        if state is None and self._replayed:  # the run starts over, and so must these
            for name in (ARCHIVE, CONTINUOUS):
                set_aside(self._config.out / name)
        self._open()
        if state is not None:
            self.clock.restore(state["clock"])
            self._newest = dict(state["heard_ns"])
            if self.archive is not None and state["archive"] is not None:
                self.archive.restore(state["archive"], self._replayed)
            if self.continuous is not None and state["continuous"] is not None:
                self.continuous.restore(state["continuous"], self._replayed)
        if self.downlink is not None:
            # Replayed, the run meets again what it has found since the checkpoint; a live stream does not come again.
            for found in self._ledger.found(with_unmet=not self._replayed):
                self.downlink.found(found.segment, found.rows)

    def take(self, batch: Batch) -> None:
        """Take samples that are on their way to a listener.

        Raises
        ------
        DataError
            They cannot be written.
        """
        self.clock.hear(batch)
        self.heard_at_ns = time.time_ns()
        pieces: Sequence[Piece] = batch.pieces
        if len(pieces) > 1 and (self.archive is not None or self.continuous is not None):
            from edgequake.edge.store.sample_buffer import joined

            pieces = joined(pieces)
        for piece in pieces:
            if piece.source_id in self._newest or len(self._newest) < _MOST_CHANNELS:
                self._newest[piece.source_id] = piece
            if self.archive is not None:
                self.archive.take(piece)
            if self.continuous is not None:
                self.continuous.take(piece)

    def tick(self) -> bool:
        """Deal with new events and hand over what is due; return whether the catalogue on disk has become old.

        Raises
        ------
        ConfigError, DataError
            Nothing can be handed over.
        """
        self._deal_with(self._ledger.take_fresh())
        self._hold_passes()
        if self._hook is not None:
            self._hook.settle()
        return self._ledger.is_changed

    def finish(self) -> bool:
        """The run is over: write what waits, hold a last pass; return whether the catalogue on disk has become old.

        Raises
        ------
        ConfigError, DataError
            As `tick`.
        """
        self._deal_with(self._ledger.take_fresh())
        for store in (self.archive, self.continuous):
            if store is not None:
                store.close()
        self._hold_passes()
        if self.downlink is not None and self.clock.now_ns is not None:
            self.downlink.hold_pass(self.clock.now_ns, is_last=True)
        self.stop()
        return self._ledger.is_changed

    def stop(self) -> None:
        """The process comes to its end: wait for the hook, for no longer than its time limit."""
        if self._hook is not None:
            self._hook.close()

    def sync(self) -> None:
        """Make durable what a checkpoint relies on.

        Raises
        ------
        DataError
            The disk fails.
        """
        for store in (self.archive, self.continuous):
            if store is not None:
                store.sync()

    def state(self) -> State:
        """Return what `restore` goes on from."""
        return {
            "clock": self.clock.state(),
            "heard_ns": self.heard_ns(),
            "archive": None if self.archive is None else self.archive.state(),
            "continuous": None if self.continuous is None else self.continuous.state(),
        }

    def waiting(self) -> Sequence[Piece]:
        """Return samples of the archive that are not on disk yet."""
        return [] if self.archive is None else self.archive.waiting()

    def _hold_passes(self) -> None:
        for now_ns in self.clock.take_due():
            if self.downlink is not None:
                self.downlink.hold_pass(now_ns)

    def heard_ns(self) -> dict[str, int]:
        """Return where the newest samples of each channel stop."""
        return {name: heard if isinstance(heard, int) else heard.stop_ns for name, heard in self._newest.items()}

    def _deal_with(self, fresh: list[Found]) -> None:
        for found in fresh:
            if self.downlink is not None:
                self.downlink.found(found.segment, found.rows)
            if self._hook is not None and found.is_new:
                for row in found.rows:
                    self._hook.fire(row)

    def _open(self) -> None:
        config, notes = self._config, self._notes
        if config.archive_bytes is not None:
            from edgequake.edge.store.archive import LIVE_BLOCK_SAMPLES, REPLAY_BLOCK_SAMPLES, Archive

            block_samples = REPLAY_BLOCK_SAMPLES if self._replayed else LIVE_BLOCK_SAMPLES
            self.archive = Archive(config.out / ARCHIVE, config.archive_bytes, notes, block_samples)
            self._ledger.make_room = self.archive.make_room
        if config.summary_channel:
            from edgequake.edge.store.continuous import Continuous

            self.continuous = Continuous(config.out / CONTINUOUS, notes, self._make_room, is_live=not self._replayed)
        if config.budget_bytes is not None:
            self.downlink = self._open_downlink(config.budget_bytes)

    def _open_downlink(self, budget_bytes: int) -> Downlink:
        from edgequake.edge.store.downlink import Downlink
        from edgequake.edge.store.outbox import Outbox
        from edgequake.edge.store.request_desk import RequestDesk
        from edgequake.edge.store.summary_desk import SummaryDesk

        out = self._config.out
        return Downlink(
            out,
            budget_bytes,
            self._model.manifest.trigger.pre_roll_s,
            self._replayed,
            self._ledger,
            self._notes,
            Outbox(out, self._make_room),
            RequestDesk(out, self._notes, self.waiting, self._make_room),
            SummaryDesk(out, self.continuous),
        )

    def _make_room(self, n_bytes: int) -> bool:
        """Let the archive go of its oldest: whatever else is written is worth more."""
        return self.archive is not None and self.archive.make_room(n_bytes)

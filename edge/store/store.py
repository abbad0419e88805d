"""All that happens beside detection: archive, summary channel, downlink, hook, status; each only if it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgequake.edge.feed import Batch
from edgequake.edge.inputs import RunConfig
from edgequake.edge.ledger import Found, Ledger
from edgequake.edge.loaded_model import LoadedModel
from edgequake.edge.notes import Notes
from edgequake.edge.piece import Piece
from edgequake.edge.state import State

if TYPE_CHECKING:
    from edgequake.edge.store.archive import Archive
    from edgequake.edge.store.continuous import Continuous
    from edgequake.edge.store.downlink import Downlink
    from edgequake.edge.store.hook import Hook

_MOST_CHANNELS = 256


class Store:
    """What a run does with its samples and events beside keeping the segments."""

    def __init__(self, config: RunConfig, model: LoadedModel, ledger: Ledger, notes: Notes) -> None:
        """Open what the options ask for; the output folder is there.

        Raises
        ------
        ConfigError, DataError
            An option that makes no sense, or a folder that cannot be used.
        """
        self._config, self._ledger, self._notes = config, ledger, notes
        self.archive: Archive | None = None
        self.continuous: Continuous | None = None
        self.downlink: Downlink | None = None
        self._hook: Hook | None = None
        self.clock_ns: int | None = None  # mission time: of the newest sample heard, never set back
        self.heard_ns: dict[str, int] = {}  # by channel, where its newest samples stop
        self._open(model)

    def take(self, batch: Batch) -> None:
        """Take samples that are on their way to a listener.

        Raises
        ------
        DataError
            They cannot be written.
        """
        for piece in batch.pieces:
            self._heard(piece)
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
        if self.downlink is not None and self.clock_ns is not None:
            self.downlink.advance(self.clock_ns)
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
        if self.downlink is not None and self.clock_ns is not None:
            self.downlink.close(self.clock_ns)
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
            "clock_ns": self.clock_ns,
            "heard_ns": self.heard_ns,
            "archive": None if self.archive is None else self.archive.state(),
            "continuous": None if self.continuous is None else self.continuous.state(),
            "passes_until_ns": None if self.downlink is None else self.downlink.done_ns,
        }

    def restore(self, state: State | None, replayed: bool) -> None:
        """Go on from what `state` returned, or from the folder alone; `replayed`: the same samples come again."""
        if state is not None:
            self.clock_ns, self.heard_ns = state["clock_ns"], dict(state["heard_ns"])
            if self.archive is not None and state["archive"] is not None:
                self.archive.restore(state["archive"], replayed)
            if self.continuous is not None and state["continuous"] is not None:
                self.continuous.restore(state["continuous"], replayed)
        if self.downlink is not None:
            self._restore_queue(self.downlink, state, replayed)

    def waiting(self) -> Sequence[Piece]:
        """Return samples of the archive that are not on disk yet."""
        return [] if self.archive is None else self.archive.waiting()

    def _restore_queue(self, downlink: Downlink, state: State | None, replayed: bool) -> None:
        passes_until_ns = None if state is None else state["passes_until_ns"]
        if not replayed and downlink.last_ns is not None:
            passes_until_ns = max(downlink.last_ns, passes_until_ns or downlink.last_ns)
            self.clock_ns = max(passes_until_ns, self.clock_ns or passes_until_ns)
        downlink.restore(passes_until_ns)
        # Replayed, the run meets again what it has found since the checkpoint; a live stream does not come again.
        for found in self._ledger.found(with_unmet=not replayed):
            downlink.found(found.segment, found.rows)

    def _heard(self, piece: Piece) -> None:
        stop_ns = piece.stop_ns
        if self.clock_ns is None or stop_ns > self.clock_ns:
            self.clock_ns = stop_ns
        if piece.source_id in self.heard_ns or len(self.heard_ns) < _MOST_CHANNELS:
            self.heard_ns[piece.source_id] = stop_ns

    def _deal_with(self, fresh: list[Found]) -> None:
        for found in fresh:
            if self.downlink is not None:
                self.downlink.found(found.segment, found.rows)
            if self._hook is not None and found.is_new:
                for row in found.rows:
                    self._hook.fire(row)

    def _open(self, model: LoadedModel) -> None:
        config, notes = self._config, self._notes
        if config.archive_bytes is not None:
            from edgequake.edge.store.archive import Archive
            from edgequake.edge.store.held import ARCHIVE

            self.archive = Archive(config.out / ARCHIVE, config.archive_bytes, notes)
            self._ledger.make_room = self.archive.make_room
        if config.summary_channel:
            from edgequake.edge.store.continuous import Continuous
            from edgequake.edge.store.held import CONTINUOUS

            self.continuous = Continuous(config.out / CONTINUOUS, notes, self._make_room)
        if config.budget_bytes is not None:
            self.downlink = self._open_downlink(config.budget_bytes, model)
        if config.on_event is not None:
            from edgequake.edge.store.hook import Hook

            self._hook = Hook(config.on_event, config.on_event_timeout_s, notes, config.out)

    def _open_downlink(self, budget_bytes: int, model: LoadedModel) -> Downlink:
        from edgequake.edge.store.downlink import Downlink
        from edgequake.edge.store.outbox import Outbox
        from edgequake.edge.store.request_desk import RequestDesk
        from edgequake.edge.store.summary_desk import SummaryDesk

        config = self._config
        return Downlink(
            config.out,
            budget_bytes,
            config.pass_s,
            model.manifest.trigger.pre_roll_s,
            self._ledger,
            self._notes,
            Outbox(config.out, self._make_room),
            RequestDesk(config.out, self._notes, self.waiting, self._make_room),
            SummaryDesk(config.out, self.continuous),
        )

    def _make_room(self, n_bytes: int) -> bool:
        """Let the archive go of its oldest: whatever else is written is worth more."""
        return self.archive is not None and self.archive.make_room(n_bytes)

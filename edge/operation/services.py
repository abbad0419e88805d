"""Mission time: that of the newest sample heard; and the passes of the downlink that fall due as it goes on.

All that happens beside detection: archive, summary channel, downlink, hook, status; each only if it is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgequake.edge.base.checkpoint import State, set_aside
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.layout import ARCHIVE, CONTINUOUS
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.inputs.source import Batch
from edgequake.edge.operation.config import RunConfig
from edgequake.edge.operation.model import LoadedModel
from edgequake.edge.results.catalog import Found, Ledger

if TYPE_CHECKING:
    from edgequake.edge.archive.archive import Archive
    from edgequake.edge.archive.ssam import SsamChannel
    from edgequake.edge.downlink.downlink import Downlink
    from edgequake.edge.operation.event_hook import EventHook


class MissionClock:
    """Follows the samples.

    It goes on only, but for a live station whose clock was set back: then it is that of the stations that are heard.
    One that was ahead by mistake must not keep the radio silent until the mistake has come true. Over files, where one
    stream comes after the other, time stands still until a stream goes beyond those before it.

    Passes are due at multiples of `pass_s`. The hours of a tear are gone, nothing could be handed over in them: none is
    due there.
    """

    def __init__(self, pass_s: float, replayed: bool) -> None:
        self._pass_s, self._replayed = pass_s, replayed
        self._newest_ns: dict[str, int] = {}  # by live listener
        self.now_ns: int | None = None
        self._due_ns: list[int] = []

    def hear(self, batch: Batch) -> None:
        """Take samples into account."""
        for trace in batch.traces:
            self._hear(batch.key, trace.start_ns, trace.stop_ns)
        if batch.over and self._newest_ns.pop(batch.key, None) is not None and self._newest_ns:
            self.now_ns = max(self._newest_ns.values())

    def take_due(self) -> list[int]:
        """Return the times of the passes that have fallen due since the last call."""
        due, self._due_ns = self._due_ns, []
        return due

    def state(self) -> State:
        """Return what `restore` goes on from."""
        return {"now_ns": self.now_ns, "newest_ns": dict(self._newest_ns)}

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        self.now_ns, self._newest_ns = state["now_ns"], dict(state["newest_ns"])

    def _hear(self, key: str, start_ns: int, stop_ns: int) -> None:
        before_ns = self.now_ns
        if self._replayed:
            self.now_ns = stop_ns if before_ns is None else max(before_ns, stop_ns)
        else:
            self._newest_ns[key] = max(stop_ns, self._newest_ns.get(key, stop_ns))
            self.now_ns = max(self._newest_ns.values())
        if before_ns is None or start_ns - before_ns > self._pass_s * NS_PER_S:
            before_ns = start_ns
        self._due_ns += pass_times(before_ns, self.now_ns, self._pass_s)


def pass_times(after_ns: int, until_ns: int, pass_s: float) -> list[int]:
    """Return the multiples of `pass_s` in (after, until]."""
    pass_ns = round(pass_s * NS_PER_S)
    return [i * pass_ns for i in range(after_ns // pass_ns + 1, until_ns // pass_ns + 1)]


_MOST_CHANNELS = 256


class OnboardServices:
    """What a run does with its samples and events beside keeping the segments."""

    def __init__(
        self, config: RunConfig, model: LoadedModel, ledger: Ledger, diagnostics: Diagnostics, replayed: bool
    ) -> None:
        """Look at the options; nothing is written yet. `replayed`: a resumed run hears the same samples again.

        Raises
        ------
        ConfigError
            An option that makes no sense.
        """
        self._config, self._model, self._ledger, self._diagnostics, self._replayed = (
            config,
            model,
            ledger,
            diagnostics,
            replayed,
        )
        self.archive: Archive | None = None
        self.continuous: SsamChannel | None = None
        self.downlink: Downlink | None = None
        self._hook: EventHook | None = None
        self.clock = MissionClock(config.pass_s, replayed)
        self._newest: dict[str, Trace | int] = {}  # by channel: its newest trace, or where that stopped
        self.heard_at_ns: int | None = None  # the machine's time when samples last came
        if config.archive_bytes is not None:
            from edgequake.edge.archive.archive import require_cap

            require_cap(config.archive_bytes)
        if config.on_event is not None:
            from edgequake.edge.operation.event_hook import EventHook

            self._hook = EventHook(config.on_event, config.on_event_timeout_s, diagnostics, config.out)

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
        traces: Sequence[Trace] = batch.traces
        if len(traces) > 1 and (self.archive is not None or self.continuous is not None):
            from edgequake.edge.archive.archive import joined

            traces = joined(traces)
        for trace in traces:
            if trace.source_id in self._newest or len(self._newest) < _MOST_CHANNELS:
                self._newest[trace.source_id] = trace
            if self.archive is not None:
                self.archive.take(trace)
            if self.continuous is not None:
                self.continuous.take(trace)

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

    def waiting(self) -> Sequence[Trace]:
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
        config, diagnostics = self._config, self._diagnostics
        if config.archive_bytes is not None:
            from edgequake.edge.archive.archive import LIVE_BLOCK_SAMPLES, REPLAY_BLOCK_SAMPLES, Archive

            block_samples = REPLAY_BLOCK_SAMPLES if self._replayed else LIVE_BLOCK_SAMPLES
            self.archive = Archive(config.out / ARCHIVE, config.archive_bytes, diagnostics, block_samples)
            self._ledger.make_room = self.archive.make_room
        if config.summary_channel:
            from edgequake.edge.archive.ssam import SsamChannel

            self.continuous = SsamChannel(
                config.out / CONTINUOUS, diagnostics, self._make_room, is_live=not self._replayed
            )
        if config.budget_bytes is not None:
            self.downlink = self._open_downlink(config.budget_bytes)

    def _open_downlink(self, budget_bytes: int) -> Downlink:
        from edgequake.edge.downlink.downlink import Downlink
        from edgequake.edge.downlink.outbox import Outbox
        from edgequake.edge.downlink.requests import RequestQueue
        from edgequake.edge.downlink.send_queue import SsamQueue

        out = self._config.out
        return Downlink(
            out,
            budget_bytes,
            self._model.manifest.trigger.pre_roll_s,
            self._replayed,
            self._ledger,
            self._diagnostics,
            Outbox(out, self._make_room),
            RequestQueue(out, self._diagnostics, self.waiting, self._make_room),
            SsamQueue(out, self.continuous),
        )

    def _make_room(self, n_bytes: int) -> bool:
        """Let the archive go of its oldest: whatever else is written is worth more."""
        return self.archive is not None and self.archive.make_room(n_bytes)

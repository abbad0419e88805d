"""The on-board services of a run beside detection: archive, SSAM channels, downlink and event hook, as configured.

They are imported only where a run asks for them: what is not imported takes no memory on a lander.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from edgequake.edge.base.atomic_files import LEFT_BY_SEGMENTS_BYTES, DiskReserve
from edgequake.edge.base.checkpoint import State, set_aside
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.base.layout import ARCHIVE, CONTINUOUS, MONITOR, OUTBOX, RESERVE
from edgequake.edge.formats.waveforms import Trace, merge_contiguous
from edgequake.edge.inputs.source import Batch
from edgequake.edge.operation.config import RunConfig
from edgequake.edge.operation.degraded import Degraded, Incidents
from edgequake.edge.operation.mission_clock import MissionClock
from edgequake.edge.results.catalog import CatalogRow
from edgequake.edge.results.ledger import Ledger

if TYPE_CHECKING:
    from edgequake.edge.archive.archive import Archive
    from edgequake.edge.archive.monitor import Monitor
    from edgequake.edge.archive.ssam import SsamWriter
    from edgequake.edge.detection.announcer import EventNotice
    from edgequake.edge.downlink.downlink import Downlink
    from edgequake.edge.operation.announcements import OpenAlarms
    from edgequake.edge.operation.event_hook import EventHook

_MOST_CHANNELS = 256


class OnboardServices:
    """Everything that a run does with its samples and events, except detecting events and writing segments."""

    def __init__(
        self,
        config: RunConfig,
        pre_roll_s: Callable[[str], float],
        ledger: Ledger,
        diagnostics: Diagnostics,
        replayed: bool,
        degraded: Degraded | None = None,
        incidents: Incidents | None = None,
    ) -> None:
        """Check the options; nothing is written yet.

        pre_roll_s : returns the pre-roll of a station's segments in seconds.
        replayed : a resumed run gets the same samples again.
        degraded, incidents : take the failures and faults of a live run; one over files, which can be resumed, ends.

        Raises
        ------
        ConfigError
            An unusable option.
        """
        self._config, self._pre_roll_s, self._ledger = config, pre_roll_s, ledger
        self._diagnostics, self._replayed = diagnostics, replayed
        self._degraded = degraded or Degraded(not replayed, diagnostics, lambda line: None)
        self._incidents = incidents or Incidents(config.out, not replayed, diagnostics, lambda line: None)
        self._reserve = DiskReserve(config.out / RESERVE)
        self._missed_ns: int | None = None  # mission time of the newest pass that could not be made
        self.archive: Archive | None = None
        self.ssam: SsamWriter | None = None
        self.monitor: Monitor | None = None
        self.downlink: Downlink | None = None
        self._hook: EventHook | None = None
        self._alarms: OpenAlarms | None = None
        self.clock = MissionClock(config.pass_s, replayed)
        self._newest: dict[str, Trace | int] = {}  # by channel: its newest trace, or the time where that stopped
        self.received_at_ns: int | None = None  # the machine's time when samples last came
        if config.archive_bytes is not None:
            from edgequake.edge.archive.archive import require_cap

            require_cap(config.archive_bytes)
        if config.on_event is not None:
            from edgequake.edge.operation.announcements import OpenAlarms
            from edgequake.edge.operation.event_hook import EventHook

            self._alarms = OpenAlarms()
            self._hook = EventHook(config.on_event, config.on_event_timeout_s, diagnostics, config.out)

    def open(self, state: State | None) -> None:
        """Open the services in the output folder and continue from a state; None: from the folder alone.

        Raises
        ------
        DataError
            The folder cannot be used.
        """
        if state is None and self._replayed:  # the run starts over, and so must these
            for name in (ARCHIVE, CONTINUOUS):
                set_aside(self._config.out / name)
        self._open(state)
        if state is not None:
            self.clock.restore(state["clock"])
            self._newest = dict(state["newest"])
            if self.archive is not None and state["archive"] is not None:
                self.archive.restore(state["archive"], self._replayed)
            if self.ssam is not None and state["ssam"] is not None:
                self.ssam.restore(state["ssam"], self._replayed)
        self._open_hook(None if state is None else state.get("hook"))  # older versions have none
        if self.downlink is not None:
            # A replayed run detects again what it had detected since the checkpoint; a live stream does not come again.
            for entry in [] if self._replayed else self._ledger.pending():
                self.downlink.enqueue(entry)

    def push(self, batch: Batch) -> None:
        """Take samples before they are processed by a detector.

        Live, what cannot be written is dropped and counted.

        Raises
        ------
        DataError
            They cannot be written, in a run over files.
        """
        self.received_at_ns = time.time_ns()
        if batch.late:  # mission time, and the frames of the SSAM channels, are past them
            for trace in batch.traces:
                self._write(self.archive, trace)
            return
        self.clock.update(batch)
        traces: Sequence[Trace] = batch.traces
        if len(traces) > 1 and (self.archive is not None or self.ssam is not None):
            traces = merge_contiguous(traces)
        for trace in traces:
            self._newest.pop(trace.source_id, None)
            self._newest[trace.source_id] = trace  # at the end: heard last
            if len(self._newest) > _MOST_CHANNELS:
                self._newest.pop(next(iter(self._newest)))
            self._write(self.archive, trace)
            self._write(self.ssam, trace)
            if self.monitor is not None:
                self._guard("trace(s) for the monitor", partial(self.monitor.push, trace))

    def add_frame(self, station_id: str, stop_ns: int, onset: float, event: float) -> None:
        """Take a decision of a station's network for the monitor."""
        if self.monitor is not None:
            self.monitor.add_frame(station_id, stop_ns, onset, event)

    def _write(self, writer: Archive | SsamWriter | None, trace: Trace) -> None:
        """Have the archive, or the SSAM channels, take a trace."""
        if writer is None:
            return
        try:
            writer.push(trace)
        except (DataError, OSError) as problem:
            if self._replayed:
                raise
            self._degraded.note(writer.folder.name, problem)
            self._diagnostics.count(f"trace(s) left out of {writer.folder.name}: it could not be read or written")
        except Exception as problem:
            if not self._incidents.may_go_on(problem):
                raise
            self._incidents.note(f"trace(s) for {writer.folder.name}", problem, Batch("", "", (trace,), over=False))
            writer.forget(trace.source_id)

    def run_due(self) -> None:
        """Handle new events, whose rows are in the catalogue, and make the passes that are due.

        Raises
        ------
        DataError
            Nothing can be delivered, in a run over files.
        """
        if self.monitor is not None:
            self._guard("what the monitor holds", self.monitor.flush_if_due)
        self._note_archives()
        self.handle_new_events()
        self._run_passes()
        if self._hook is not None:
            self._hook.report()

    def handle_new_events(self) -> None:
        """Hand the new events whose rows are in the catalogue to the downlink and the event hook.

        A checkpoint that counts them as catalogued is written after this: else no process would send them.
        """
        for entry in self._ledger.take_new():
            if self.downlink is not None:
                self._guard("segment(s) of the downlink", partial(self.downlink.enqueue, entry))
            if self._hook is not None and entry.is_new:
                for row in entry.rows:
                    self._guard("event(s) for --on-event", partial(self._tell_final, row))

    def hold_begun(self, begun: Iterable[EventNotice]) -> bool:
        """Note events that have begun, to be told by `tell_begun`; return whether there is any to tell.

        A checkpoint in between lets a restart know that they are open, and tell them if this process does not.
        """
        if self._hook is None or self._alarms is None:
            return False
        is_any = False
        for notice in begun:
            is_any = True
            self._guard("event(s) for --on-event", partial(self._hold_begun, notice))
        return is_any

    def tell_begun(self) -> None:
        """Tell what `hold_begun` has noted."""
        if self._hook is not None:
            self._hook.release()

    def _hold_begun(self, notice: EventNotice) -> None:
        assert self._hook is not None and self._alarms is not None
        self._hook.hold(self._alarms.begin(notice))

    def _tell_final(self, row: CatalogRow) -> None:
        assert self._hook is not None and self._alarms is not None
        self._hook.tell(self._alarms.end(row))

    def _open_hook(self, state: State | None) -> None:
        """Continue with the announcements; rows that were catalogued after the checkpoint may not have been told."""
        if self._hook is None or self._alarms is None:
            return
        self._hook.open(state)
        if state is not None:
            self._alarms.restore(state["alarms"])
            for entry in self._ledger.pending():
                if entry.offset is not None and entry.offset >= state["check_bytes"]:
                    for row in entry.rows:
                        self._tell_final(row)

    def finish(self) -> None:
        """Write what is buffered and make a last pass.

        Raises
        ------
        DataError
            As `run_due`.
        """
        self.handle_new_events()
        for writer in (self.archive, self.ssam):
            if writer is not None:
                self._close(writer)
        self._note_archives()
        self._run_passes()
        if self.clock.now_ns is not None:
            self._run_pass(self.clock.now_ns, is_last=True)
        self.close()

    def close(self) -> None:
        """Write what the monitor holds; wait for the event hook, no longer than its time limit: the process ends."""
        if self.monitor is not None:
            self._guard("the end of the monitor", self.monitor.flush)
        if self._hook is not None:
            self._hook.close()

    def release_reserve(self) -> None:
        """Give up the disk space that was kept for what the run had to write: everything is written."""
        self._reserve.release()

    def sync(self) -> None:
        """Make durable what a checkpoint relies on.

        Raises
        ------
        DataError
            The disk fails, in a run over files.
        """
        for writer in (self.archive, self.ssam):
            if writer is not None:
                writer.sync()
        if self.downlink is not None:
            self.downlink.uncover()
        if not self._replayed:
            self._reserve.fill()

    def _note_archives(self) -> None:
        """Say that the archive, the SSAM channels or the monitor cannot be written, or can be again."""
        for writer in (self.archive, self.ssam, self.monitor):
            if writer is not None:
                self._degraded.note(writer.folder.name, writer.problem)

    def last_sample_ns(self) -> dict[str, int]:
        """Return the time after the newest sample of each channel."""
        return {name: newest if isinstance(newest, int) else newest.stop_ns for name, newest in self._newest.items()}

    def state(self) -> State:
        return {
            "clock": self.clock.state(),
            "newest": self.last_sample_ns(),
            "archive": None if self.archive is None else self.archive.state(),
            "ssam": None if self.ssam is None else self.ssam.state(),
            "downlink": None if self.downlink is None else self.downlink.state(),
            **({} if self._hook is None else {"hook": self._hook_state()}),
        }

    def _hook_state(self) -> State:
        assert self._hook is not None and self._alarms is not None
        files = self._ledger.files
        check_bytes = 0 if files is None else files.check_bytes
        return {**self._hook.state(), "alarms": self._alarms.state(), "check_bytes": check_bytes}

    def _close(self, writer: Archive | SsamWriter) -> None:
        """Have the archive, or the SSAM channels, write what they hold."""
        self._degraded.attempt(
            writer.folder.name, partial(self._guard, f"the end of {writer.folder.name}", writer.close)
        )

    def _guard(self, what: str, action: Callable[[], None]) -> None:
        """Do something in which a fault that nobody has foreseen, live, costs just that.

        Raises
        ------
        Exception
            As `action`: where a file cannot be read or written, and in a run over files.
        """
        try:
            action()
        except (DataError, OSError):
            raise
        except Exception as problem:
            if not self._incidents.may_go_on(problem):
                raise
            self._incidents.note(what, problem)

    def _run_passes(self) -> None:
        """Make the passes that are due, and when it is time the last one again that could not be made."""
        for now_ns in self.clock.take_due():
            self._run_pass(now_ns)
        if self._missed_ns is not None and self._degraded.is_due(OUTBOX):
            self._run_pass(self._missed_ns)

    def _run_pass(self, now_ns: int, is_last: bool = False) -> None:
        if self.downlink is None:
            return
        make = partial(self._guard, "pass(es) of the downlink", partial(self.downlink.run_pass, now_ns, is_last))
        is_made = self._degraded.attempt(OUTBOX, make)
        self._missed_ns = None if is_made else now_ns

    def _open(self, state: State | None) -> None:
        config, diagnostics = self._config, self._diagnostics
        self._ledger.make_room, self._ledger.make_room_for_segment = (
            self._make_room_or_give,
            self._make_room_for_segment,
        )
        if config.archive_bytes is not None:
            from edgequake.edge.archive.archive import LIVE_BLOCK_SAMPLES, REPLAY_BLOCK_SAMPLES, Archive

            block_samples = REPLAY_BLOCK_SAMPLES if self._replayed else LIVE_BLOCK_SAMPLES
            self.archive = Archive(
                config.out / ARCHIVE, config.archive_bytes, diagnostics, block_samples, may_drop=not self._replayed
            )
        if config.summary_channel:
            from edgequake.edge.archive.ssam import SsamWriter

            is_live = not self._replayed
            self.ssam = SsamWriter(config.out / CONTINUOUS, diagnostics, self._make_room, is_live)
        if config.monitor_h is not None:
            from edgequake.edge.archive.monitor import Monitor

            self.monitor = Monitor(config.out / MONITOR, config.monitor_h, diagnostics)
            if state is None and self._replayed:
                self.monitor.clear()
        if config.budget_bytes is not None:
            self.downlink = self._open_downlink(config.budget_bytes, None if state is None else state["downlink"])

    def _open_downlink(self, budget_bytes: int, state: State | None) -> Downlink:
        from edgequake.edge.downlink.downlink import Downlink
        from edgequake.edge.downlink.outbox import Outbox
        from edgequake.edge.downlink.request_queue import RequestQueue
        from edgequake.edge.downlink.send_queue import SsamQueue

        out = self._config.out
        return Downlink(
            out,
            budget_bytes,
            self._pre_roll_s,
            self._replayed,
            self._ledger,
            self._diagnostics,
            Outbox(out, self._make_room),
            RequestQueue(out, self._diagnostics, self._unwritten, self._make_room),
            SsamQueue(out, self.ssam),
            state,
        )

    def _unwritten(self) -> Sequence[Trace]:
        """Return the samples of the archive that are not on disk yet."""
        return [] if self.archive is None else self.archive.unwritten()

    def _make_room(self, n_bytes: int) -> bool:
        """Have the monitor, then the archive drop their oldest files: everything else that is written is worth more."""
        if self.monitor is not None and self.monitor.make_room(n_bytes):
            return True
        return self.archive is not None and self.archive.make_room(n_bytes)

    def _make_room_or_give(self, n_bytes: int) -> bool:
        """Make room for the catalogue, a checkpoint or the status."""
        return self._make_room(n_bytes) or self._reserve.give(n_bytes)

    def _make_room_for_segment(self, n_bytes: int) -> bool:
        return self._make_room(n_bytes) or self._reserve.give(n_bytes, LEFT_BY_SEGMENTS_BYTES)

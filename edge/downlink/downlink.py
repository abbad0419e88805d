"""The downlink: which data are delivered to the radio, and when, within a budget of bytes a day.

Passes take place at times of the mission clock (`operation.mission_clock`) and at the end of a run. The budget
accrues evenly over each UTC day, so that some of it is left for an event in the evening: in a pass at a fraction x of
the day, no more than x times the budget has been delivered that day. What a day does not use is lost.

In a pass the best unit is sent first (`send_queue.SendLevel`, then rank), until the next one does not fit. A better
event therefore goes before the coda of a worse one, and what was interrupted continues at its next record.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgequake.edge.archive.sds import DAY_NS
from edgequake.edge.base.atomic_files import may_pass
from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.downlink.journal import DownlinkAccount, Pass, SentRange
from edgequake.edge.downlink.outbox import Outbox, pass_files
from edgequake.edge.downlink.request_queue import RequestQueue
from edgequake.edge.downlink.send_queue import SegmentItem, SendItem, SendLevel, SsamQueue
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.results.ledger import Ledger, LedgerEntry

_MOST_QUEUED = 4096  # segments; what is sent least may wait for ever
_MOST_RECENT = 256  # segments among which others with the same samples are looked for


@dataclass
class _PassContents:
    """The units chosen for a pass."""

    reports: list[bytes] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)
    size_bytes: int = 0
    first: dict[str, int] = field(default_factory=dict)  # units of each source that had been sent before
    is_delivered: bool = False

    def add(self, item: SendItem, data: bytes) -> None:
        self.first.setdefault(item.source, item.n_sent)
        (self.reports if item.next_level == SendLevel.EVENT_REPORT else self.records).append(data)
        self.size_bytes += len(data)


class Downlink:
    """Queues segments and delivers them, pass by pass, with requested spans and SSAM channels."""

    def __init__(
        self,
        out: Path,
        budget_bytes: int,
        window_s: Callable[[str], float],
        replayed: bool,
        ledger: Ledger,
        diagnostics: Diagnostics,
        outbox: Outbox,
        requests: RequestQueue,
        ssam: SsamQueue,
        state: State | None = None,
    ) -> None:
        """Deliver `budget_bytes` a UTC day; continue from what `state` returned, and from the passes since then.

        window_s : returns for a station how long after an onset its records have full weight, in seconds.
        replayed : after a resume the same samples come again, and with them the passes that have taken place.

        Raises
        ------
        DataError
            The journal or the outbox cannot be read.
        """
        self._out, self.budget_bytes, self._replayed = out, budget_bytes, replayed
        self._window_s = window_s
        self._ledger, self._diagnostics, self._outbox = ledger, diagnostics, outbox
        self._requests, self._ssam = requests, ssam
        self._queue: dict[str, SegmentItem] = {}
        self._recent: dict[str, tuple[str, int, int]] = {}  # station and interval of the latest segments, by file
        self.account = DownlinkAccount(self._accrued_bytes)
        journal_byte, hidden = 0, list[str]()
        if state is not None:
            self._restore(state)
            hidden = list(state.get("hidden", ()))  # an older checkpoint does not tell
            journal_byte = min(state["journal_bytes"], outbox.journal_bytes())
            if journal_byte < state["journal_bytes"]:
                diagnostics.warn("the downlink's journal is shorter than it was; the checkpoint remembers its passes")
        for done in outbox.recover(self.account.add_damaged, journal_byte, hidden):
            self._record(done)
        # Without a journal the files that are still in the outbox tell which numbers have been used.
        self.account.last_number = max(self.account.last_number, outbox.last_number())
        if self.account.n_damaged:
            diagnostics.count("line(s) of the downlink's journal cannot be read", self.account.n_damaged)
        self._enqueue_earlier(None if state is None else state["queue"])

    @property
    def queue(self) -> Iterable[SegmentItem]:
        """Segments that are not sent in full."""
        return self._queue.values()

    def enqueue(self, entry: LedgerEntry) -> None:
        """Queue a segment that is complete on disk and whose rows are in the catalogue."""
        segment = entry.segment
        self._recent[segment.file] = (segment.station_id, segment.start_ns, segment.stop_ns)
        item = SegmentItem(
            source=segment.file,
            path=self._out / segment.file,
            level=SendLevel.RECORD,
            ready_ns=segment.stop_ns,
            n_sent=self.account.n_sent(segment.file),
            rows=entry.rows,
            window_ns=round(self._window_s(segment.station_id) * NS_PER_S),
            entry=entry,
        )
        try:
            if not self._finalize(item):
                self._queue[segment.file] = item
        except DataError as problem:
            if may_pass(problem):
                self._queue[segment.file] = item
            else:
                self._discard(item)
        item.forget_records()
        if len(self._queue) > _MOST_QUEUED:
            worst = min(self._queue.values(), key=lambda one: (one.priority, one.ready_ns, one.source))
            del self._queue[worst.source]
            self._diagnostics.count(
                f"segment(s) were taken from the send queue, which holds the best {_MOST_QUEUED}; `request` sends them"
            )
        if len(self._recent) > 2 * _MOST_RECENT:
            self._recent = dict(list(self._recent.items())[-_MOST_RECENT:])
            if not self._replayed:  # a replay may find again what earlier passes have sent
                self.account.forget_all_but(self._queue.keys() | self._recent.keys())

    def uncover(self) -> None:
        """Give files of the last pass their names, if that has failed; where it fails again, it is tried later."""
        with suppress(DataError):
            self._outbox.uncover()

    def state(self) -> State:
        return {
            "journal_bytes": self._outbox.journal_bytes(),
            "hidden": self._outbox.hidden,
            "account": self.account.state(),
            "queue": np.array(
                [item.entry.offset for item in self.queue if item.entry and item.entry.offset is not None], np.int64
            ),
            "recent": [[name, *interval] for name, interval in self._recent.items()],
            "requests": self._requests.state(),
            "ssam": self._ssam.state(),
        }

    def run_pass(self, now_ns: int, is_last: bool = False) -> None:
        """Deliver what the budget allows at a time; `is_last`: no more samples will come.

        Raises
        ------
        DataError
            Nothing can be delivered; it is as if the pass had not been tried.
        """
        last_ns = self.account.last_ns
        if self._replayed and last_ns is not None and now_ns <= last_ns:  # an earlier process has made this pass
            return
        day = (now_ns - 1) // DAY_NS  # a pass at midnight belongs to the day that ends
        room_bytes = self._accrued_bytes(now_ns, day) - self.account.spent_bytes(day)
        if room_bytes <= 0:
            return
        self._outbox.uncover()
        items = {item.source: item for item in self._ready(now_ns, is_last)}
        contents = _PassContents()
        try:
            self._choose(items.values(), room_bytes, contents)
            if contents.size_bytes:
                self._deliver(contents, items, now_ns, day)
        except Exception:
            for name, first in contents.first.items() if not contents.is_delivered else ():
                items[name].n_sent = first
            raise
        for item in self.queue:
            if item.source not in contents.first:  # else it is likely to continue in the next pass
                item.forget_records()

    def _restore(self, state: State) -> None:
        self.account.restore(state["account"])
        self._recent = {
            name: (station_id, start_ns, stop_ns) for name, station_id, start_ns, stop_ns in state["recent"]
        }
        self._requests.restore(state["requests"])
        self._ssam.restore(state["ssam"])

    def _enqueue_earlier(self, queue: npt.NDArray[np.int64] | None) -> None:
        """Queue what was in the queue; None, live: what of the latest segments has not been sent."""
        if queue is not None:
            entries = [entry for offset in queue if (entry := self._ledger.entry(int(offset))) is not None]
        else:
            entries = [] if self._replayed else self._ledger.last_entries()  # the pending ones are queued later
        for entry in entries:
            self.enqueue(entry)

    def _accrued_bytes(self, now_ns: int, day: int) -> int:
        return self.budget_bytes * (now_ns - day * DAY_NS) // DAY_NS

    def _ready(self, now_ns: int, is_last: bool) -> Iterator[SendItem]:
        yield from self._requested(now_ns, is_last and self._replayed)
        # A replay reads many minutes at once, so a segment may lie ahead of the clock. Live, the clock may be wrong.
        yield from [item for item in self.queue if item.ready_ns <= now_ns or not self._replayed]
        yield from self._ssam.items(now_ns)

    def _requested(self, now_ns: int, is_last: bool) -> Iterator[SendItem]:
        """Yield the requests; live, a fault there does not keep the events from being sent."""
        try:
            yield from self._requests.items(now_ns, is_last, not self._replayed)
        except Exception as problem:
            if self._replayed:
                raise
            message = " ".join(str(problem).split())
            self._diagnostics.count(f"pass(es) without requests: {type(problem).__name__}: {message}")

    def _choose(self, items: Iterable[SendItem], room_bytes: int, contents: _PassContents) -> None:
        """Add the best units that fit."""
        heap: list[tuple[tuple[int, float, int, str], SendItem]] = []
        for item in items:
            self._offer(item, heap)
        while heap:
            _, item = heapq.heappop(heap)
            data = self._next_bytes(item)
            if data is None:
                continue
            if contents.size_bytes + len(data) > room_bytes:
                break
            contents.add(item, data)
            item.mark_sent()
            self._offer(item, heap)

    def _deliver(self, contents: _PassContents, items: dict[str, SendItem], now_ns: int, day: int) -> None:
        sent = tuple(
            SentRange(
                name,
                first,
                items[name].n_sent,
                self._may_repeat(items[name]),
                complete=isinstance(items[name], SegmentItem) and items[name].is_done,
            )
            for name, first in contents.first.items()
        )
        number = self.account.last_number + 1
        files, data = pass_files(number, b"".join(contents.reports), b"".join(contents.records))
        done = Pass(number, now_ns, day, tuple(files), sent)
        self._outbox.deliver(done, data)
        contents.is_delivered = True
        self._record(done)
        for part in sent:
            with suppress(DataError):  # that nothing of it is left is found in the next pass
                self._finalize(items[part.source])

    def _record(self, done: Pass) -> None:
        self.account.add(done)
        for part in done.sent:
            if self._requests.owns(part.source):
                self._requests.mark_sent(part)
            elif self._ssam.owns(part.source):
                self._ssam.mark_sent(part)

    def _may_repeat(self, item: SendItem) -> bool:
        """Whether samples of an item may have been sent before, from another source or in a pass that was lost.

        Errs on the side of yes: whole spans are compared, and for a request the answer is always yes.
        """
        if item.level != SendLevel.RECORD:
            return item.level == SendLevel.REQUEST
        assert isinstance(item, SegmentItem) and item.entry is not None
        mine = item.entry.segment
        doubtful_until_ns = self.account.doubtful_until_ns
        return (
            (doubtful_until_ns is not None and mine.stop_ns <= doubtful_until_ns)
            or self._requests.may_have_sent(mine.station_id, mine.start_ns, mine.stop_ns)
            or any(
                station_id == mine.station_id
                and start_ns < mine.stop_ns
                and mine.start_ns < stop_ns
                and name != mine.file
                and self.account.n_sent(name) > 1
                for name, (station_id, start_ns, stop_ns) in self._recent.items()
            )
        )

    def _finalize(self, item: SendItem) -> bool:
        """Remove an item that is sent in full from its queue and mark it as sent; return whether it was."""
        if not item.is_done:
            return False
        if isinstance(item, SegmentItem):
            self._queue.pop(item.source, None)
        elif item.level == SendLevel.REQUEST:
            self._requests.complete(item)
        return True

    def _offer(self, item: SendItem, heap: list[tuple[tuple[int, float, int, str], SendItem]]) -> None:
        try:
            if not item.is_done:
                heapq.heappush(heap, (item.key, item))
        except DataError as problem:
            self._leave_out(item, problem)

    def _next_bytes(self, item: SendItem) -> bytes | None:
        """Return an item's next unit; None where it cannot be sent."""
        try:
            data = item.next_bytes()
        except (DataError, OSError) as problem:
            self._leave_out(item, problem)
            return None
        if data is not None and len(data) > self.budget_bytes:
            self._discard(item)
            return None
        return data

    def _leave_out(self, item: SendItem, problem: Exception) -> None:
        """Leave an item that cannot be read out of this pass, or where it is missing or damaged out of all."""
        if not may_pass(problem):
            self._discard(item)

    def _discard(self, item: SendItem) -> None:
        """Give up an item that is missing or damaged, or has a unit larger than a whole day's budget."""
        self._diagnostics.count("source(s) of the downlink could not be read and were not sent")
        self._queue.pop(item.source, None)
        if item.level == SendLevel.REQUEST:
            self._requests.reject(item, "its records cannot be read")

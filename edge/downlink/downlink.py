"""The downlink: which data are delivered to the radio, and when, within a budget of bytes a day.

Passes take place at times of the mission clock (`operation.mission_clock`) and at the end of a run. The budget
accrues evenly over each UTC day, so that some of it is left for an event in the evening: in a pass at a fraction x of
the day, no more than x times the budget has been delivered that day. What a day does not use is lost.

In a pass the best unit is sent first (`send_queue.SendLevel`, then rank), until the next one does not fit. A better
event therefore goes before the coda of a worse one, and what was interrupted continues at its next record.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgequake.edge.archive.sds import DAY_NS
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.downlink.journal import DownlinkAccount, Pass, SentRange
from edgequake.edge.downlink.outbox import Outbox, pass_files
from edgequake.edge.downlink.request_queue import RequestQueue
from edgequake.edge.downlink.send_queue import SegmentItem, SendItem, SendLevel, SsamQueue
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.results.catalog import CatalogRow, Ledger, Segment


@dataclass
class _PassContents:
    """The units chosen for a pass."""

    reports: list[bytes] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)
    size_bytes: int = 0
    first: dict[str, int] = field(default_factory=dict)  # units of each source that had been sent before

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
    ) -> None:
        """Deliver `budget_bytes` a UTC day.

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
        self._segments: dict[str, Segment] = {}
        self.account = DownlinkAccount(self._accrued_bytes)
        for done in outbox.recover(self.account.add_damaged):
            self._record(done)
        # Without a journal the files that are still in the outbox tell which numbers have been used.
        self.account.last_number = max(self.account.last_number, outbox.last_number())
        if self.account.n_damaged:
            diagnostics.count("line(s) of the downlink's journal cannot be read", self.account.n_damaged)

    @property
    def queue(self) -> Iterable[SegmentItem]:
        """Segments that are not sent in full."""
        return self._queue.values()

    def enqueue(self, segment: Segment, rows: Sequence[CatalogRow]) -> None:
        """Queue a segment that is complete on disk and whose rows are in the catalogue."""
        self._segments[segment.file] = segment
        n_sent = self.account.n_sent(segment.file)
        if not self._replayed and n_sent == 0 and all(row.sent for row in rows):
            return  # sent, but the journal that recorded it has been removed
        item = SegmentItem(
            source=segment.file,
            path=self._out / segment.file,
            level=SendLevel.RECORD,
            ready_ns=segment.stop_ns,
            n_sent=n_sent,
            rows=tuple(rows),
            window_ns=round(self._window_s(segment.station_id) * NS_PER_S),
        )
        try:
            if not self._finalize(item):
                self._queue[segment.file] = item
        except DataError:
            self._discard(item)
        item.forget_records()

    def run_pass(self, now_ns: int, is_last: bool = False) -> None:
        """Deliver what the budget allows at a time; `is_last`: no more samples will come.

        Raises
        ------
        DataError
            Nothing can be delivered.
        """
        last_ns = self.account.last_ns
        if self._replayed and last_ns is not None and now_ns <= last_ns:  # an earlier process has made this pass
            return
        day = (now_ns - 1) // DAY_NS  # a pass at midnight belongs to the day that ends
        room_bytes = self._accrued_bytes(now_ns, day) - self.account.spent_bytes(day)
        if room_bytes <= 0:
            return
        items = {item.source: item for item in self._ready(now_ns, is_last)}
        contents = self._choose(items.values(), room_bytes)
        if contents.size_bytes:
            self._deliver(contents, items, now_ns, day)
        for item in self.queue:
            if item.source not in contents.first:  # else it is likely to continue in the next pass
                item.forget_records()

    def _accrued_bytes(self, now_ns: int, day: int) -> int:
        return self.budget_bytes * (now_ns - day * DAY_NS) // DAY_NS

    def _ready(self, now_ns: int, is_last: bool) -> Iterator[SendItem]:
        yield from self._requests.items(now_ns, is_last and self._replayed, not self._replayed)
        # A replay reads many minutes at once, so a segment may lie ahead of the clock. Live, the clock may be wrong.
        yield from [item for item in self.queue if item.ready_ns <= now_ns or not self._replayed]
        yield from self._ssam.items(now_ns)

    def _choose(self, items: Iterable[SendItem], room_bytes: int) -> _PassContents:
        """Return the best units that fit."""
        contents = _PassContents()
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
        return contents

    def _deliver(self, contents: _PassContents, items: dict[str, SendItem], now_ns: int, day: int) -> None:
        sent = tuple(
            SentRange(name, first, items[name].n_sent, self._may_repeat(items[name]))
            for name, first in contents.first.items()
        )
        number = self.account.last_number + 1
        files, data = pass_files(number, b"".join(contents.reports), b"".join(contents.records))
        done = Pass(number, now_ns, day, tuple(files), sent)
        self._outbox.deliver(done, data)
        self._record(done)
        for part in sent:
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
        mine = self._segments[item.source]
        doubtful_until_ns = self.account.doubtful_until_ns
        return (
            (doubtful_until_ns is not None and mine.stop_ns <= doubtful_until_ns)
            or self._requests.may_have_sent(mine.station_id, mine.start_ns, mine.stop_ns)
            or any(
                other.station_id == mine.station_id
                and other.start_ns < mine.stop_ns
                and mine.start_ns < other.stop_ns
                and other is not mine
                and self.account.n_sent(other.file) > 1
                for other in self._segments.values()
            )
        )

    def _finalize(self, item: SendItem) -> bool:
        """Remove an item that is sent in full from its queue and mark it as sent; return whether it was."""
        if not item.is_done:
            return False
        if isinstance(item, SegmentItem):
            self._queue.pop(item.source, None)
            self._ledger.mark_sent(item.source)
        elif item.level == SendLevel.REQUEST:
            self._requests.complete(item)
        return True

    def _offer(self, item: SendItem, heap: list[tuple[tuple[int, float, int, str], SendItem]]) -> None:
        try:
            if not item.is_done:
                heapq.heappush(heap, (item.key, item))
        except DataError:
            self._discard(item)

    def _next_bytes(self, item: SendItem) -> bytes | None:
        """Return an item's next unit; None where it cannot be sent."""
        try:
            data = item.next_bytes()
        except (DataError, OSError):
            self._discard(item)
            return None
        if data is not None and len(data) > self.budget_bytes:
            self._discard(item)
            return None
        return data

    def _discard(self, item: SendItem) -> None:
        """Give up an item that is missing or damaged, or has a unit larger than a whole day's budget."""
        self._diagnostics.count("source(s) of the downlink could not be read and were not sent")
        self._queue.pop(item.source, None)
        if item.level == SendLevel.REQUEST:
            self._requests.reject(item, "its records cannot be read")

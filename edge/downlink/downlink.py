"""The downlink: what is handed over to the radio, and when, under a budget of bytes a day.

Passes take place at times of the mission clock (`mission_clock.py`), and at the end of a run. The budget grows evenly
over each UTC day, so that an event of the evening finds some of it left: in a pass at a share x of the day no more than
x times the budget has been handed over that day. What a day leaves over is gone.

In a pass the best unit goes first (`waiting.SendLevel`, then rank), until the next one does not fit. A better event
therefore goes before the coda of a worse one, and what was broken off goes on at its next record.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgequake.edge.archive.sds import DAY_NS
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.downlink.journal import DownlinkAccount, Pass, Sent
from edgequake.edge.downlink.outbox import Outbox, described
from edgequake.edge.downlink.requests import RequestQueue
from edgequake.edge.downlink.send_queue import SegmentItem, SendItem, SendLevel, SsamQueue
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.results.catalog import CatalogRow, Ledger, Segment


@dataclass
class _Load:
    """What a pass takes along."""

    notices: list[bytes] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)
    size_bytes: int = 0
    first: dict[str, int] = field(default_factory=dict)  # units that each source had sent before

    def add(self, item: SendItem, data: bytes) -> None:
        self.first.setdefault(item.source, item.n_sent)
        (self.notices if item.next_level == SendLevel.NOTICE else self.records).append(data)
        self.size_bytes += len(data)


class Downlink:
    """Queues what is found and hands it over, pass by pass."""

    def __init__(
        self,
        out: Path,
        budget_bytes: int,
        window_s: float,
        replayed: bool,
        ledger: Ledger,
        diagnostics: Diagnostics,
        outbox: Outbox,
        requests: RequestQueue,
        summary: SsamQueue,
    ) -> None:
        """Prepare to hand over `budget_bytes` a UTC day; `window_s` after an onset count in full.

        replayed : the same samples come again after a resume, and with them the passes that were held already.

        Raises
        ------
        DataError
            The journal or the outbox cannot be read.
        """
        self._out, self.budget_bytes, self._replayed = out, budget_bytes, replayed
        self._window_ns = round(window_s * NS_PER_S)
        self._ledger, self._diagnostics, self._outbox = ledger, diagnostics, outbox
        self._requests, self._summary = requests, summary
        self._queue: dict[str, SegmentItem] = {}
        self._segments: dict[str, Segment] = {}
        self.books = DownlinkAccount(self._accrued_bytes)
        for done in outbox.recover(self.books.damaged):
            self._remember(done)
        self.books.at_least(outbox.last_number())
        if self.books.n_damaged:
            diagnostics.count("line(s) of the downlink's journal cannot be read", self.books.n_damaged)

    @property
    def queue(self) -> Iterable[SegmentItem]:
        """Segments of which something waits."""
        return self._queue.values()

    def found(self, segment: Segment, rows: Sequence[CatalogRow]) -> None:
        """A segment is complete on disk and its rows are in the catalogue: it may be sent."""
        self._segments[segment.file] = segment
        n_sent = self.books.n_sent(segment.file)
        if not self._replayed and n_sent == 0 and all(row.sent for row in rows):
            return  # the journal that knew of it has been set aside
        item = SegmentItem(
            source=segment.file,
            path=self._out / segment.file,
            level=SendLevel.RECORD,
            ready_ns=segment.stop_ns,
            n_sent=n_sent,
            rows=tuple(rows),
            window_ns=self._window_ns,
        )
        try:
            if not self._settle(item):
                self._queue[segment.file] = item
        except DataError:
            self._let_go(item)
        item.forget_units()

    def hold_pass(self, now_ns: int, is_last: bool = False) -> None:
        """Hand over what the budget allows at a time; `is_last`: no more samples will come.

        Raises
        ------
        DataError
            Nothing can be handed over.
        """
        last_ns = self.books.last_ns
        if self._replayed and last_ns is not None and now_ns <= last_ns:  # an earlier process has held it
            return
        day = (now_ns - 1) // DAY_NS  # a pass at midnight belongs to the day that is over
        room_bytes = self._accrued_bytes(now_ns, day) - self.books.spent_bytes(day)
        if room_bytes <= 0:
            return
        items = {item.source: item for item in self._ready(now_ns, is_last)}
        load = self._loaded(items.values(), room_bytes)
        if load.size_bytes:
            self._hand_over(load, items, now_ns, day)
        for item in self.queue:
            if item.source not in load.first:  # else it is likely to go on in the next pass
                item.forget_units()

    def _accrued_bytes(self, now_ns: int, day: int) -> int:
        return self.budget_bytes * (now_ns - day * DAY_NS) // DAY_NS

    def _ready(self, now_ns: int, is_last: bool) -> Iterator[SendItem]:
        yield from self._requests.waiting(now_ns, is_last and self._replayed)
        # A replay hears many minutes at once; a live station's clock may have been wrong when it heard this.
        yield from [item for item in self.queue if item.ready_ns <= now_ns or not self._replayed]
        yield from self._summary.waiting(now_ns)

    def _loaded(self, items: Iterable[SendItem], room_bytes: int) -> _Load:
        """Take the best units that fit."""
        load = _Load()
        heap: list[tuple[tuple[int, float, int, str], SendItem]] = []
        for item in items:
            self._offer(item, heap)
        while heap:
            _, item = heapq.heappop(heap)
            data = self._next_bytes(item)
            if data is None:
                continue
            if load.size_bytes + len(data) > room_bytes:
                break
            load.add(item, data)
            item.took()
            self._offer(item, heap)
        return load

    def _hand_over(self, load: _Load, items: dict[str, SendItem], now_ns: int, day: int) -> None:
        sent = tuple(
            Sent(name, first, items[name].n_sent, self._may_be_again(items[name])) for name, first in load.first.items()
        )
        number = self.books.number + 1
        files, contents = described(number, b"".join(load.notices), b"".join(load.records))
        done = Pass(number, now_ns, day, tuple(files), sent)
        self._outbox.hand_over(done, contents)
        self._remember(done)
        for part in sent:
            self._settle(items[part.source])

    def _remember(self, done: Pass) -> None:
        self.books.remember(done)
        for part in done.sent:
            if self._requests.owns(part.source):
                self._requests.took(part)
            elif self._summary.owns(part.source):
                self._summary.took(part)

    def _may_be_again(self, item: SendItem) -> bool:
        """Whether samples of an item may have been handed over before, from elsewhere or in a pass that is forgotten.

        Rather too often than not once: whole spans are compared, and what was asked for always may.
        """
        if item.level != SendLevel.RECORD:
            return item.level == SendLevel.REQUEST
        mine = self._segments[item.source]
        doubtful_until_ns = self.books.doubtful_until_ns
        return (
            (doubtful_until_ns is not None and mine.stop_ns <= doubtful_until_ns)
            or self._requests.has_sent(mine.station_id, mine.start_ns, mine.stop_ns)
            or any(
                other.station_id == mine.station_id
                and other.start_ns < mine.stop_ns
                and mine.start_ns < other.stop_ns
                and other is not mine
                and self.books.n_sent(other.file) > 1
                for other in self._segments.values()
            )
        )

    def _settle(self, item: SendItem) -> bool:
        """Take what has been sent whole off the queue, and say so in the catalogue; return whether it was."""
        if not item.is_done:
            return False
        if isinstance(item, SegmentItem):
            self._queue.pop(item.source, None)
            self._ledger.mark_sent(item.source)
        elif item.level == SendLevel.REQUEST:
            self._requests.done(item)
        return True

    def _offer(self, item: SendItem, heap: list[tuple[tuple[int, float, int, str], SendItem]]) -> None:
        try:
            if not item.is_done:
                heapq.heappush(heap, (item.key, item))
        except DataError:
            self._let_go(item)

    def _next_bytes(self, item: SendItem) -> bytes | None:
        """Return an item's next unit; None where it cannot be sent."""
        try:
            data = item.next_bytes()
        except (DataError, OSError):
            self._let_go(item)
            return None
        if data is not None and len(data) > self.budget_bytes:
            self._let_go(item)
            return None
        return data

    def _let_go(self, item: SendItem) -> None:
        """Give up what was taken away, is damaged, or would not fit into a whole day's budget."""
        self._diagnostics.count("source(s) of the downlink could not be read and were not sent")
        self._queue.pop(item.source, None)
        if item.level == SendLevel.REQUEST:
            self._requests.refuse(item, "its records cannot be read")

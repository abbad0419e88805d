"""The downlink: what is handed over to the radio, and when, under a budget of bytes a day.

Mission time is the time of the newest sample heard. A pass takes place at every multiple of `pass_s` of it, and at the
end of a run. The budget grows evenly over each UTC day, so that an event of the evening finds some of it left: in a
pass at a share x of the day no more than x times the budget has been handed over that day. What a day leaves over is
gone.

In a pass the best unit goes first (`waiting.Level`, then rank), until the next one does not fit. A better event
therefore goes before the coda of a worse one, and what was broken off goes on at its next record.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgequake.edge.catalog import CatalogRow
from edgequake.edge.errors import DataError
from edgequake.edge.ledger import Ledger, Segment
from edgequake.edge.notes import Notes
from edgequake.edge.piece import NS_PER_S
from edgequake.edge.store.journal import Pass, Sent
from edgequake.edge.store.outbox import Outbox, described
from edgequake.edge.store.request_desk import RequestDesk
from edgequake.edge.store.sds import DAY_NS
from edgequake.edge.store.summary_desk import SummaryDesk
from edgequake.edge.store.waiting import Level, Waiting, WaitingSegment

_MOST_UNITS_HELD = 64  # sources whose list of records stays in memory between passes


@dataclass
class _Load:
    """What a pass takes along."""

    notices: list[bytes] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)
    size_bytes: int = 0
    first: dict[str, int] = field(default_factory=dict)  # units that each source had sent before
    again: bool = False

    def add(self, item: Waiting, data: bytes) -> None:
        self.first.setdefault(item.source, item.n_sent)
        (self.notices if item.next_level == Level.NOTICE else self.records).append(data)
        self.again |= item.level == Level.REQUEST
        self.size_bytes += len(data)


class Downlink:
    """Queues what is found and hands it over, pass by pass."""

    def __init__(
        self,
        out: Path,
        budget_bytes: int,
        pass_s: float,
        window_s: float,
        ledger: Ledger,
        notes: Notes,
        outbox: Outbox,
        requests: RequestDesk,
        summary: SummaryDesk,
    ) -> None:
        """Prepare to hand over `budget_bytes` a UTC day; `window_s` after an onset count in full.

        Raises
        ------
        DataError
            The journal or the outbox cannot be read.
        """
        self._out, self._budget_bytes, self._pass_ns = out, budget_bytes, round(pass_s * NS_PER_S)
        self._window_ns = round(window_s * NS_PER_S)
        self._ledger, self._notes, self._outbox = ledger, notes, outbox
        self._requests, self._summary = requests, summary
        self._queue: dict[str, WaitingSegment] = {}
        self._n_sent: dict[str, int] = {}  # units of each segment, by the journal
        self.n_passes = self.handed_bytes = 0
        self.day, self.spent_bytes = 0, 0
        self._last_ns: int | None = None  # mission time of the newest pass in the journal
        self._done_ns: int | None = None  # mission time up to which passes have been held
        for done in outbox.recover():
            self._remember(done)

    @property
    def budget_bytes(self) -> int:
        """A UTC day's."""
        return self._budget_bytes

    @property
    def queue(self) -> Iterable[WaitingSegment]:
        """Segments of which something waits."""
        return self._queue.values()

    @property
    def last_ns(self) -> int | None:
        """Mission time of the newest pass that handed something over."""
        return self._last_ns

    def found(self, segment: Segment, rows: Sequence[CatalogRow]) -> None:
        """A segment is complete on disk and its rows are in the catalogue: it may be sent."""
        item = WaitingSegment(
            source=segment.file,
            path=self._out / segment.file,
            level=Level.RECORD,
            ready_ns=segment.stop_ns,
            n_sent=self._n_sent.get(segment.file, 0),
            rows=tuple(rows),
            window_ns=self._window_ns,
        )
        try:
            if not self._settle(item):
                self._queue[segment.file] = item
        except DataError:  # a segment of an earlier process that was taken away since
            self._notes.count("source(s) of the downlink could not be read and were not sent")

    def advance(self, clock_ns: int) -> None:
        """Hold the passes up to a mission time.

        Raises
        ------
        DataError
            Nothing can be handed over.
        """
        if self._done_ns is None:
            self._done_ns = clock_ns
        next_ns = (self._done_ns // self._pass_ns + 1) * self._pass_ns
        while next_ns <= clock_ns:
            is_empty = self._pass_at(next_ns)
            if is_empty:  # until something else is ready
                ready_ns = min((i.ready_ns for i in self.queue if i.ready_ns > next_ns), default=clock_ns + 1)
                next_ns = max(next_ns, -(-ready_ns // self._pass_ns) * self._pass_ns - self._pass_ns)
            next_ns += self._pass_ns
        self._done_ns = max(self._done_ns, clock_ns)

    def close(self, clock_ns: int) -> None:
        """Hold the passes up to a mission time, and one there.

        Raises
        ------
        DataError
            As `advance`.
        """
        self.advance(clock_ns)
        self._pass_at(clock_ns)

    def restore(self, done_ns: int | None) -> None:
        """Go on from the mission time up to which passes have been held."""
        self._done_ns = done_ns

    @property
    def done_ns(self) -> int | None:
        """What `restore` goes on from."""
        return self._done_ns

    def _pass_at(self, now_ns: int) -> bool:
        """Hold a pass; return whether all that is ready has been sent."""
        if self._last_ns is not None and now_ns <= self._last_ns:  # an earlier process has held it
            return False
        day = (now_ns - 1) // DAY_NS
        if day != self.day:
            self.day, self.spent_bytes = day, 0
        room_bytes = int(self._budget_bytes * (now_ns - day * DAY_NS) / DAY_NS) - self.spent_bytes
        if room_bytes <= 0:
            return False
        items = list(self._ready(now_ns))
        load, is_empty = self._loaded(items, room_bytes)
        if load.size_bytes:
            self._hand_over(load, items, now_ns)
        if len(self._queue) > _MOST_UNITS_HELD:
            for item in self.queue:
                item.forget_units()
        return is_empty

    def _ready(self, now_ns: int) -> Iterator[Waiting]:
        yield from self._requests.waiting(now_ns)
        yield from [item for item in self.queue if item.ready_ns <= now_ns]
        yield from self._summary.waiting(now_ns)

    def _loaded(self, items: list[Waiting], room_bytes: int) -> tuple[_Load, bool]:
        """Take the best units that fit; return them, and whether nothing is left."""
        load = _Load()
        heap = [(item.key, item) for item in items]
        heapq.heapify(heap)
        while heap:
            _, item = heapq.heappop(heap)
            data = self._next_bytes(item)
            if data is None:
                continue
            if load.size_bytes + len(data) > room_bytes:
                return load, False
            load.add(item, data)
            item.took()
            if not item.is_done:
                heapq.heappush(heap, (item.key, item))
        return load, True

    def _hand_over(self, load: _Load, items: Iterable[Waiting], now_ns: int) -> None:
        by_source = {item.source: item for item in items}
        sent = tuple(Sent(name, first, by_source[name].n_sent) for name, first in load.first.items())
        number = self.n_passes + 1
        files, contents = described(number, b"".join(load.notices), b"".join(load.records))
        done = Pass(number, now_ns, self.day, tuple(files), sent, load.again)
        self._outbox.hand_over(done, contents)
        self._remember(done)
        for part in sent:
            self._settle(by_source[part.source])

    def _remember(self, done: Pass) -> None:
        """Take a pass into the books."""
        if done.day != self.day:
            self.day, self.spent_bytes = done.day, 0
        self.spent_bytes += done.size_bytes
        self.handed_bytes += done.size_bytes
        self.n_passes, self._last_ns = done.number, done.clock_ns
        for part in done.sent:
            if self._requests.owns(part.source):
                self._requests.took(part)
            elif self._summary.owns(part.source):
                self._summary.took(part)
            else:
                self._n_sent[part.source] = part.stop

    def _settle(self, item: Waiting) -> bool:
        """Take what has been sent whole off the queue, and say so in the catalogue; return whether it was."""
        if not item.is_done:
            return False
        if isinstance(item, WaitingSegment):
            self._queue.pop(item.source, None)
            self._ledger.mark_sent(item.source)
        elif self._requests.owns(item.source):
            self._requests.done(item)
        return True

    def _next_bytes(self, item: Waiting) -> bytes | None:
        """Return an item's next unit; one whose file was taken away, or is damaged, cannot be sent and is let go."""
        try:
            return item.next_bytes()
        except (DataError, OSError):
            self._notes.count("source(s) of the downlink could not be read and were not sent")
            self._queue.pop(item.source, None)
            return None

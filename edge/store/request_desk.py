"""Honours what the ground asks for: a request becomes a file of records, which goes before all events."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from edgequake.edge.atomic import DISK_FULL
from edgequake.edge.errors import DataError
from edgequake.edge.miniseed_writer import encode
from edgequake.edge.notes import Notes
from edgequake.edge.piece import Piece, format_time
from edgequake.edge.store.folders import REQUESTS
from edgequake.edge.store.held import Span, held_pieces
from edgequake.edge.store.journal import Sent
from edgequake.edge.store.record_file import sync
from edgequake.edge.store.request import Request, days_of
from edgequake.edge.store.sds import DayName
from edgequake.edge.store.waiting import Level, Waiting

MOST_BYTES = 1 << 24  # of one request: the copy is not under the archive's cap, and takes a radio years
_SENT, _REFUSED, _EMPTY = ".sent", ".refused", ".empty"


class RequestDesk:
    """Looks for requests in DIR/requests. One that was sent, or that cannot be, is renamed so that it is seen.

    A request waits until mission time has passed its span. What is held of it then is cut out, and is what is sent,
    however long that takes and whatever the archive lets go of meanwhile.
    """

    def __init__(
        self, out: Path, notes: Notes, waiting: Callable[[], Sequence[Piece]], make_room: Callable[[int], bool]
    ) -> None:
        """`waiting` returns the archive's samples that are not on disk yet."""
        self._out, self._notes, self._not_on_disk, self._make_room = out, notes, waiting, make_room
        self._folder = out / REQUESTS
        self._n_sent: dict[str, int] = {}
        self._spans: dict[str, Span] = {}  # by name, of requests of which something has been sent
        for left in (*self._folder.glob(".*.part"), *self._folder.glob(f"*{_SENT}")):
            (left if left.suffix == ".part" else left.with_suffix(".mseed")).unlink(missing_ok=True)

    def owns(self, source: str) -> bool:
        """Whether a source is one of its files."""
        return source.startswith(f"{REQUESTS}/")

    def waiting(self, now_ns: int, is_last: bool) -> Iterator[Waiting]:
        """Yield the requests with records that have not been sent, in the order in which they were made.

        is_last : no more samples will come, so that no span need be waited for.
        """
        for path in sorted(self._folder.glob("*.json")):
            request = self._read(path)
            records = path.with_suffix(".mseed")
            if request is None or (request.span.stop_ns > now_ns and not is_last):
                continue
            if not records.exists() and not self._cut(request, path, records):
                continue
            source = f"{REQUESTS}/{records.name}"
            item = Waiting(source, records, Level.REQUEST, 0, self._n_sent.get(source, 0))
            try:
                is_done = item.is_done
            except DataError as problem:
                self.refuse(item, str(problem))
                continue
            if is_done:  # the lights went out before it was put away
                self.done(item)
            else:
                yield item

    def took(self, part: Sent) -> None:
        """Records of a request are on their way."""
        self._n_sent[part.source] = part.stop

    def done(self, item: Waiting) -> None:
        """All of a request has been sent: put it away."""
        _rename(item.path.with_suffix(".json"), _SENT)
        with suppress(OSError):
            item.path.unlink()

    def refuse(self, item: Waiting, problem: str) -> None:
        """A request that cannot be sent: put it away."""
        self._notes(f"request {item.path.stem}: {problem}; set aside")
        _rename(item.path.with_suffix(".json"), _REFUSED)

    def has_sent(self, station_id: str, start_ns: int, stop_ns: int) -> bool:
        """Whether samples of a station within a span may have been sent on request."""
        network, _, station = station_id.partition("_")
        name = DayName(network, station, "", "")
        spans = [span for source in self._n_sent if (span := self._span(Path(source).stem)) is not None]
        return any(
            span.start_ns < stop_ns and start_ns < span.stop_ns and name.matches(span.station, None) for span in spans
        )

    def _span(self, name: str) -> Span | None:
        """Return the span of a request of which something has been sent; None where it was taken away since."""
        if name not in self._spans:
            found = [path for path in (self._folder / f"{name}{end}" for end in (".json", _SENT)) if path.exists()]
            try:
                self._spans[name] = Request.read(found[0]).span
            except (IndexError, DataError):
                return None
        return self._spans[name]

    def _read(self, path: Path) -> Request | None:
        try:
            if path.with_suffix(_SENT).exists():
                raise DataError(f"a request of the name {path.stem} was sent before; give this one another")
            return Request.read(path)
        except DataError as problem:
            self._notes(f"{problem}; set aside")
            _rename(path, _REFUSED)
            return None

    def _cut(self, request: Request, path: Path, records: Path) -> bool:
        """Write what is held of a request; return whether anything is."""
        while True:
            try:
                n_bytes = self._write(request, records)
                break
            except OSError as problem:
                if problem.errno not in DISK_FULL or not self._make_room(MOST_BYTES):
                    reason = problem.strerror or problem
                    raise DataError(f"cannot write {records}: {reason}; free the disk") from problem
        if not n_bytes:
            self._notes(f"request {request.name}: nothing of it is held")
            _rename(path, _EMPTY)
        return n_bytes > 0

    def _write(self, request: Request, records: Path) -> int:
        """Write what is held of a request, a day at a time, and return how many bytes that are; nothing: no file."""
        part = records.with_name(f".{records.name}.part")
        n_bytes = 0
        try:
            with part.open("wb") as file:
                for day in days_of(request.span):
                    if n_bytes >= MOST_BYTES:
                        self._notes(f"request {request.name} is cut short at {format_time(day.start_ns)}: too long")
                        break
                    n_bytes += file.write(encode(held_pieces(self._out, day, self._not_on_disk())))
                file.flush()
                os.fsync(file.fileno())
            if n_bytes:
                part.replace(records)
                sync(records.parent)
        finally:
            part.unlink(missing_ok=True)
        return n_bytes


def _rename(path: Path, suffix: str) -> None:
    with suppress(OSError):
        path.replace(path.with_suffix(suffix))

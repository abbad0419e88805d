"""Honours what the ground asks for: a request becomes a file of records, which goes before all events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from edgequake.edge.atomic import write_bytes_atomically
from edgequake.edge.errors import DataError
from edgequake.edge.miniseed_writer import encode
from edgequake.edge.notes import Notes
from edgequake.edge.piece import Piece
from edgequake.edge.store.held import held_pieces
from edgequake.edge.store.journal import Sent
from edgequake.edge.store.request import REQUESTS, Request, days_of
from edgequake.edge.store.waiting import Level, Waiting


class RequestDesk:
    """Looks for requests in DIR/requests. One that was sent, or that cannot be, is renamed so that it is seen."""

    def __init__(
        self, out: Path, notes: Notes, waiting: Callable[[], Sequence[Piece]], make_room: Callable[[int], bool]
    ) -> None:
        """`waiting` returns the archive's samples that are not on disk yet."""
        self._out, self._notes, self._not_on_disk, self._make_room = out, notes, waiting, make_room
        self._n_sent: dict[str, int] = {}

    def owns(self, source: str) -> bool:
        """Whether a source is one of its files."""
        return source.startswith(f"{REQUESTS}/")

    def waiting(self, now_ns: int) -> Iterator[Waiting]:
        """Yield the requests with records that have not been sent, in the order in which they were made."""
        for path in sorted((self._out / REQUESTS).glob("*.json")):
            records = path.with_suffix(".mseed")
            if not records.exists() and not self._cut(path, records):
                continue
            source = f"{REQUESTS}/{records.name}"
            item = Waiting(source, records, Level.REQUEST, now_ns, self._n_sent.get(source, 0))
            if item.is_done:  # the lights went out before it was put away
                self.done(item)
            else:
                yield item

    def took(self, part: Sent) -> None:
        """Records of a request are on their way."""
        self._n_sent[part.source] = part.stop

    def done(self, item: Waiting) -> None:
        """All of a request has been sent: put it away."""
        _rename(item.path.with_suffix(".json"), ".sent")
        with suppress(OSError):
            item.path.unlink()
        self._n_sent.pop(item.source, None)

    def _cut(self, path: Path, records: Path) -> bool:
        """Write what is held of a request; return whether anything is."""
        try:
            span = Request.read(path).span
        except DataError as problem:
            self._notes(f"{problem}; set aside")
            _rename(path, ".refused")
            return False
        data = b"".join(encode(held_pieces(self._out, day, self._not_on_disk())) for day in days_of(span))
        if not data:
            self._notes(f"request {path.stem}: nothing of it is held")
            _rename(path, ".empty")
            return False
        write_bytes_atomically(records, data, self._make_room)
        return True


def _rename(path: Path, suffix: str) -> None:
    with suppress(OSError):
        path.replace(path.with_suffix(suffix))

"""The requests in DIR/requests, which a run turns into files of records that are sent before all events.

Anyone who may write into that folder can put anything there: pipes and links, files of gigabytes, thousands of requests
for decades. Whatever it is, a live run spends no more than `MOST_WORK_S` on it in a pass and never waits for it; what
is no request is set aside.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from heapq import nsmallest
from pathlib import Path
from typing import BinaryIO

from edgequake.edge.archive.extract import Span, day_waveforms, stored_days
from edgequake.edge.archive.sds import DayName
from edgequake.edge.base.atomic_files import is_disk_full, sync
from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.base.layout import REQUESTS
from edgequake.edge.downlink.journal import SentRange
from edgequake.edge.downlink.requests import Request, shown
from edgequake.edge.downlink.send_queue import SendItem, SendLevel
from edgequake.edge.formats.miniseed import encode
from edgequake.edge.formats.waveforms import Trace, format_time

MOST_BYTES = 1 << 24  # of one request: its file is not under the archive's limit, and takes a radio years to send
_MOST_FILE_BYTES = 1 << 28  # with the last day's samples, of which some are beyond that limit
MOST_WORK_S = 1.0  # of extraction in a pass of a live run
MOST_PENDING = 1000  # requests that are looked at in a pass, in the order of their names
_MOST_SENT = 2000  # requests of which it is remembered how much has been sent
_SENT, _REFUSED, _EMPTY = ".sent", ".refused", ".empty"
_NAME = re.compile(r"[ -~]{1,200}", re.ASCII)  # in the journal, and in lines of text


class _Extraction:
    """The records of a request, on their way into a file: a little at a time."""

    def __init__(self, records: Path, parts: Iterator[bytes]) -> None:
        self.records = records
        self._parts = parts
        self._part = records.with_name(f".{records.name}.{os.getpid()}.part")
        self._file: BinaryIO | None = None
        self._n_bytes = 0

    def advance(self, until_s: float | None) -> bool:
        """Write until the machine's monotonic time is `until_s`, None: to the end; return whether it is complete.

        Raises
        ------
        OSError
            It cannot be written.
        """
        self._file = self._file or self._part.open("wb")
        for data in self._parts:
            self._n_bytes += self._file.write(data)
            if until_s is not None and time.monotonic() >= until_s:
                return False
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if self._n_bytes:
            self._part.replace(self.records)
            sync(self.records.parent)
        self.discard()
        return True

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been written."""
        return self._n_bytes == 0

    def discard(self) -> None:
        """Delete what has been written and is not complete."""
        with suppress(OSError):
            if self._file is not None:
                self._file.close()
            self._part.unlink(missing_ok=True)


class RequestQueue:
    """Serves the requests in DIR/requests; one that was sent, or cannot be, is renamed so that its fate is visible.

    A request waits until mission time has passed its span. Its samples are extracted then, and that file is what is
    sent, however long it takes and whatever the archive evicts meanwhile.
    """

    def __init__(
        self,
        out: Path,
        diagnostics: Diagnostics,
        unwritten: Callable[[], Sequence[Trace]],
        make_room: Callable[[int], bool],
    ) -> None:
        """`unwritten` returns the archive's samples that are not on disk yet."""
        self._out, self._diagnostics, self._unwritten, self._make_room = out, diagnostics, unwritten, make_room
        self._folder = out / REQUESTS
        self._n_sent: dict[str, int] = {}
        self._spans: dict[str, Span] = {}  # by name, of requests of which records have been sent
        self._known: dict[str, tuple[tuple[int, ...], Request]] = {}  # by name of the file: its status, its content
        self._extraction: _Extraction | None = None
        for left in (*self._folder.glob(".*.part"), *self._folder.glob(f"*{_SENT}")):
            with suppress(OSError):
                (left if left.suffix == ".part" else left.with_suffix(".mseed")).unlink(missing_ok=True)

    def owns(self, source: str) -> bool:
        """Whether a source is one of its files."""
        return source.startswith(f"{REQUESTS}/")

    def items(self, now_ns: int, is_last: bool, is_live: bool = False) -> Iterator[SendItem]:
        """Yield the requests with records that have not been sent, in the order in which they were made.

        is_last : no more samples will come, so that no request need wait for the end of its span.
        is_live : samples come meanwhile: extraction is interrupted after `MOST_WORK_S` and continued in the next pass.
        """
        until_s = time.monotonic() + MOST_WORK_S if is_live else None
        paths = self._pending()
        self._forget_withdrawn(paths)
        n_bytes = 0  # that are extracted and not sent
        for path in paths:
            request = self._read(path)
            records = path.with_suffix(".mseed")
            if request is None or (request.span.stop_ns > now_ns and not is_last):
                continue
            size_bytes = self._size_bytes(path, records)
            if size_bytes is None:
                if n_bytes >= MOST_BYTES or not self._extract(request, path, records, until_s):
                    continue
                size_bytes = self._size_bytes(path, records) or 0
            n_bytes += size_bytes
            source = f"{REQUESTS}/{records.name}"
            item = SendItem(source, records, SendLevel.REQUEST, 0, self._n_sent.get(source, 0))
            try:
                is_done = item.is_done
            except DataError as problem:
                self.reject(item, str(problem))
                continue
            if is_done:  # a power loss came before it was renamed
                self.complete(item)
            else:
                yield item

    def mark_sent(self, part: SentRange) -> None:
        """Count records of a request as sent."""
        self._n_sent[part.source] = part.stop
        if len(self._n_sent) > _MOST_SENT:
            del self._n_sent[next(iter(self._n_sent))]

    def state(self) -> State:
        return {"n_sent": self._n_sent}

    def restore(self, state: State) -> None:
        self._n_sent = dict(state["n_sent"])

    def complete(self, item: SendItem) -> None:
        """Rename a request that is sent in full, and delete its records."""
        _rename(item.path.with_suffix(".json"), _SENT)
        with suppress(OSError):
            item.path.unlink()

    def reject(self, item: SendItem, problem: str) -> None:
        """Rename a request that cannot be sent."""
        self._refuse(item.path.with_suffix(".json"), f"request {shown(item.path.stem)}: {problem}")

    def may_have_sent(self, station_id: str, start_ns: int, stop_ns: int) -> bool:
        """Whether samples of a station within a span may have been sent on request."""
        network, _, station = station_id.partition("_")
        name = DayName(network, station, "", "")
        spans = [span for source in self._n_sent if (span := self._span_of(Path(source).stem)) is not None]
        return any(
            span.start_ns < stop_ns and start_ns < span.stop_ns and name.matches(span.station, None) for span in spans
        )

    def _span_of(self, name: str) -> Span | None:
        """Return the span of a request of which records have been sent; None where its file has been removed since."""
        if name not in self._spans:
            found = [path for path in (self._folder / f"{name}{end}" for end in (".json", _SENT)) if path.exists()]
            try:
                self._spans[name] = Request.read(found[0]).span
            except (IndexError, DataError):
                return None
        return self._spans[name]

    def _pending(self) -> list[Path]:
        """Return the first requests by name."""
        try:
            with os.scandir(self._folder) as entries:
                names = nsmallest(MOST_PENDING + 1, (entry.name for entry in entries if entry.name.endswith(".json")))
        except OSError:  # there is no such folder
            return []
        if len(names) > MOST_PENDING:
            self._diagnostics.warn(f"more than {MOST_PENDING} requests wait: those are served that come first by name")
        return [self._folder / name for name in names[:MOST_PENDING]]

    def _forget_withdrawn(self, paths: Sequence[Path]) -> None:
        names = {path.name for path in paths}
        for name in [name for name in self._known if name not in names]:
            del self._known[name]
        if self._extraction is not None and self._extraction.records.with_suffix(".json").name not in names:
            self._extraction.discard()
            self._extraction = None

    def _read(self, path: Path) -> Request | None:
        try:
            status = path.lstat()
            identity = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode)
            known = self._known.get(path.name)
            if known is not None and known[0] == identity:
                return known[1]
            if not _NAME.fullmatch(path.name):
                raise DataError(f"request {shown(path.name)}: expected a name of up to 200 letters of ASCII")
            if os.path.lexists(path.with_suffix(_SENT)):
                raise DataError(f"a request of the name {path.stem} was sent before; give this one another")
            request = Request.read(path)
        except FileNotFoundError:
            return None  # withdrawn just now
        except DataError as problem:
            self._refuse(path, str(problem))
            return None
        self._known[path.name] = identity, request
        return request

    def _refuse(self, path: Path, problem: str) -> None:
        self._diagnostics.warn(f"{problem}; set aside")
        _rename(path, _REFUSED)

    def _size_bytes(self, path: Path, records: Path) -> int | None:
        """Return the size of a request's file of records, None where there is none; what is no file is removed."""
        try:
            status = records.lstat()
        except OSError:
            return None
        if stat.S_ISREG(status.st_mode) and status.st_size <= _MOST_FILE_BYTES:
            return status.st_size
        self._diagnostics.warn(f"{shown(records.name)} holds no records of a request; set aside")
        _rename(records, _REFUSED)
        return None

    def _extract(self, request: Request, path: Path, records: Path, until_s: float | None) -> bool:
        """Write the stored samples of a request to a file; return whether they are there.

        Requests are extracted one after the other, and not while an earlier one is on its way.
        """
        if until_s is not None and time.monotonic() >= until_s:
            return False
        extraction = self._extraction
        if extraction is not None and extraction.records != records:
            return False
        while True:
            if extraction is None:
                extraction = self._extraction = _Extraction(records, self._encoded(request))
            try:
                if not extraction.advance(until_s):
                    return False
                break
            except OSError as problem:
                extraction.discard()
                extraction = self._extraction = None
                if not is_disk_full(problem) or not self._make_room(MOST_BYTES):
                    reason = problem.strerror or problem
                    raise DataError(f"cannot write {records}: {reason}; free the disk") from problem
        self._extraction = None
        if extraction.is_empty:
            self._diagnostics.warn(f"request {request.name}: nothing of it is stored")
            _rename(path, _EMPTY)
        return not extraction.is_empty

    def _encoded(self, request: Request) -> Iterator[bytes]:
        n_bytes = 0
        unwritten = self._unwritten()
        for day in stored_days(self._out, request.span, unwritten):
            if day is None:
                yield b""
                continue
            if n_bytes >= MOST_BYTES:
                cut_at = format_time(day.span.start_ns)
                self._diagnostics.warn(f"request {request.name} is truncated at {cut_at}: too long")
                return
            data = encode(day_waveforms(day, unwritten))
            n_bytes += len(data)
            yield data


def _rename(path: Path, suffix: str) -> None:
    with suppress(OSError):
        path.replace(path.with_suffix(suffix))

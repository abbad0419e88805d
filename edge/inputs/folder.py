"""Folders and files that other programs write: new, grown and rewritten files are read as they change."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.folder_listing import LABEL_TABLES
from edgequake.edge.formats.record_scanner import RecordHeader
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.inputs.file_memory import FileMemory
from edgequake.edge.inputs.folder_watch import FolderWatch
from edgequake.edge.inputs.followed_file import HOLE, INCOMPLETE, FollowedFile, first_header, read_trace
from edgequake.edge.inputs.followed_round import OpenFiles, RoundPart, found_again, in_time
from edgequake.edge.inputs.live import RoutedSource, StallMonitor
from edgequake.edge.inputs.ordering import ChannelRouter
from edgequake.edge.inputs.source import Batch

_MOST_HEADERS = 20_000  # per round; further records wait for the next round
_MOST_RETRIES = 200  # per round, of files that cannot be read
_MOST_COMPARED = 100  # per round, of files that have come to rest
_SLEEP_S = 0.25
# A file that is being rewritten is read when it has been the same at two looks, or at this look in any case.
_MOST_UNSETTLED = 3
# When a file has been the same for so long, all of it is compared with what was read. Rereading takes far less time.
_REST_S = 2.0
_REST_S_PER_BYTE = 1e-6
_RECENT_NS = 3600 * NS_PER_S  # before the newest file: one that is older was complete when it was read


_MOST_NAMED = 1000  # files; further ones wait unnamed

_LOG = {
    HOLE: "space that has been allocated and not written yet: it is read when it is written",
    INCOMPLETE: "an incomplete record: it is read when it is complete",
}
_COUNT = {
    HOLE: "file(s) hold space that has been allocated and not written",
    INCOMPLETE: "file(s) hold an incomplete record",
}


class WaitingLog:
    """Says once what is waited for, and counts it."""

    def __init__(self, log: Callable[[str], None], diagnostics: Diagnostics) -> None:
        self._log, self._diagnostics = log, diagnostics
        self._hidden: dict[str, None] = {}  # paths that cannot be read
        self._waiting: dict[str, str] = {}  # by path: what the file holds that cannot be read yet

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of files that hold something that cannot be read yet."""
        return tuple(self._waiting)

    def what(self, path: str) -> str | None:
        """Return what a file is known to hold that cannot be read yet."""
        return self._waiting.get(path)

    def note_access(self, path: str, problem: OSError | None) -> None:
        """Say once that a file or folder cannot be read, or that it can be read again."""
        if problem is None:
            if path in self._hidden:
                del self._hidden[path]
                self._log(f"{path} can be read again")
        elif path not in self._hidden and len(self._hidden) < _MOST_NAMED:
            self._hidden[path] = None
            self._log(f"{path} cannot be read ({problem.strerror or problem}): it is tried again")
            self._diagnostics.count("time(s) a followed file or folder could not be read and was tried again")

    def wait_for(self, path: str, what: str | None) -> None:
        """Say once what a file holds that cannot be read yet, and count such files; None: there is nothing more."""
        before = self._waiting.get(path)
        if what == before or (before is None and len(self._waiting) >= _MOST_NAMED):
            return
        if before is not None:
            del self._waiting[path]
            self._diagnostics.count(_COUNT[before], -1)
        if what is not None:
            self._waiting[path] = what
            self._log(f"{path} holds {_LOG[what]}")
            self._diagnostics.count(_COUNT[what])

    def forget(self, path: str) -> None:
        """Note that a file has been deleted."""
        self._hidden.pop(path, None)
        self.wait_for(path, None)

    def state(self) -> State:
        return dict(self._waiting)

    def restore(self, state: State) -> None:
        self._waiting = dict(state)


class FolderSource(RoutedSource):
    """Reads the miniSEED files of followed folders, and followed files, in rounds.

    A round sorts the new complete records of all files by time; an incomplete record waits for a later round. Other
    programs may do with the files what they like: what can be read is read, once.
    """

    def __init__(
        self,
        inputs: tuple[Path, ...],
        out: Path,
        router: ChannelRouter,
        diagnostics: Diagnostics,
        monitor: StallMonitor,
        poll_s: float = 1.0,
    ) -> None:
        super().__init__(router, diagnostics, monitor)
        self._waiting = WaitingLog(monitor.control.log, diagnostics)
        self._watch = FolderWatch(inputs, out, self._waiting.note_access)
        self._memory, self._poll_s = FileMemory(), poll_s
        self.size_bytes = 0
        self._parts: list[RoundPart] = []  # of the present round
        self._unread: dict[str, int] = {}  # start time by path: files to be read at the next look
        self._unreadable: dict[str, None] = {}  # paths of files that cannot be read at present
        self._unsettled: dict[str, tuple[int, int, int]] = {}  # by path: size, mtime_ns, looks
        self._resting: dict[str, float] = {}  # by path: when to compare the file with what was read, if it stays so
        self._newest_mtime_ns = 0  # of all files

    def batches(self) -> Iterator[Batch | None]:
        yield from self._traces()  # the rest of an interrupted round
        while True:
            self._find_round()
            if self._parts:
                self._monitor.data_arrived()
                yield from self._traces()
            elif self._monitor.is_over():
                return
            else:
                yield from self._wait()

    def flush(self) -> Iterator[Batch]:
        """Yield what waits to be ordered or completed, at the end of the run."""
        if not self._monitor.control.stop:  # a run that is stopped may be resumed, and read complete records
            for path in sorted({*self._unread, *self._waiting.paths, *self._resting}):
                self._read_on(path, is_last=True, is_rested=True)
            yield from self._traces()
        yield from super().flush()

    def state(self) -> State:
        return {
            **super().state(),
            "size_bytes": self.size_bytes,
            "memory": self._memory.state(),
            "round": [part.state() for part in self._parts],
            "waiting": self._waiting.state(),
        }

    def restore(self, state: State) -> None:
        super().restore(state)
        self.size_bytes = state["size_bytes"]
        if "memory" not in state:
            self._restore_paths(state)
            return
        self._memory.restore(state["memory"])
        self._waiting.restore(state["waiting"])
        for path, *numbers in state["round"]:
            if (file := self._memory.at(path)) is not None:
                self._parts.append(RoundPart(file, *numbers))

    def _restore_paths(self, state: State) -> None:
        """Continue from a checkpoint of edgequake before files were compared: it knows a position for each path."""
        # That program sorted the records of a round by time and counted them all together.
        self._monitor.control.log("the checkpoint knows followed files by name only: they are read on where it was")
        parts = {path: RoundPart(FollowedFile(path), start, start, stop, False) for path, start, stop in state["round"]}
        found = [(header, part) for part in parts.values() for header in found_again(part)]
        found.sort(key=lambda one: (one[0].start_ns, one[0].source_id, one[1].file.path, one[0].offset))
        for _, part in found[: state["n_done"]]:
            part.n_done += 1
        self._parts = list(parts.values())
        for path, until in state["read_until"].items():
            file = parts[path].file if path in parts else FollowedFile(path)
            file.until, file.start_ns = until, state["starts_ns"].get(path)
            with suppress(OSError), Path(path).open("rb") as content:
                if os.fstat(content.fileno()).st_size >= until:
                    file.trust(content)
                    self._memory.remember(file, os.fstat(content.fileno()))

    def _wait(self) -> Iterator[None]:
        until_s = time.monotonic() + self._poll_s
        while (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(left_s, _SLEEP_S))
            yield None

    # --- the records of a round ----------------------------------------------------------------------------------

    def _traces(self) -> Iterator[Batch]:
        """Decode the round's records in order of time, except those read before an interruption."""
        records = [(header, part) for part in self._parts for header in self._headers(part)[part.n_done :]]
        records.sort(key=lambda one: (one[0].start_ns, one[0].source_id, one[1].file.path, one[0].offset))
        open_files = OpenFiles()
        try:
            for header, part in records:
                if not part.has_changed:
                    yield from self._trace(open_files, part, header)
        finally:
            open_files.close()
        self._parts = []
        for path in self._memory.tidy({*self._unread, *self._unreadable}):
            self._resting.pop(path, None)

    def _headers(self, part: RoundPart) -> list[RecordHeader]:
        if part.headers is None:
            part.headers = found_again(part)
            if part.is_compared:
                part.n_done = 0  # what has been read is known, and left out
            if not part.is_as_scanned():
                self._begin_again(part)
        return part.headers

    def _trace(self, open_files: OpenFiles, part: RoundPart, header: RecordHeader) -> Iterator[Batch]:
        file = part.file
        try:
            trace = read_trace(open_files.get(file), file.path, header, self.diagnostics)
        except (OSError, LookupError):  # deleted, renamed or written again since it was scanned
            self._begin_again(part)
            return
        pieces: list[Trace] = []
        if trace is not None:
            pieces = file.unread(trace) if part.is_compared else [trace]
        if part.is_compared and pieces:
            self.size_bytes += header.size_bytes
        for i, piece in enumerate(pieces):
            file.add(piece)
            if i == len(pieces) - 1:
                part.n_done += 1
            yield from self._router.push(replace(piece, file=Path(file.path).name, file_start_ns=file.start_ns))
        if not pieces:
            part.n_done += 1

    def _begin_again(self, part: RoundPart) -> None:
        part.has_changed = True
        part.file.begin_again()
        self._unread[part.file.path] = part.file.start_ns or 0

    # --- the files of a round ------------------------------------------------------------------------------------

    def _find_round(self) -> None:
        """Find complete records that have not been read."""
        self._note_changes()
        now_s = time.monotonic()
        n_records = 0
        for path in sorted(self._unread, key=lambda path: (self._unread[path], path)):
            if n_records > _MOST_HEADERS:
                break
            n_records += self._read_on(path)
            self._rest(path, now_s)
        for path in list(self._unreadable)[:_MOST_RETRIES]:
            self._read_on(path)
        self._compare_rested(now_s)

    def _compare_rested(self, now_s: float) -> None:
        for path in [path for path, due_s in self._resting.items() if due_s <= now_s][:_MOST_COMPARED]:
            del self._resting[path]
            if path not in self._unread:
                self._read_on(path, is_rested=True)

    def _note_changes(self) -> None:
        changed = self._watch.look()
        self._newest_mtime_ns = max([self._newest_mtime_ns, *(sighting.mtime_ns for sighting in changed[-1:])])
        second_names = {sighting.path for sighting in changed if self._memory.note_rename(sighting)}
        for sighting in changed:
            if sighting.path in second_names:
                continue
            if self._memory.is_as_read(sighting):
                self._rest(sighting.path, time.monotonic())
            elif sighting.path.lower().endswith(".csv"):
                if Path(sighting.path).name not in LABEL_TABLES:
                    self.diagnostics.warn(f"{sighting.path} is no miniSEED file and is not followed")
            else:
                self._unread[sighting.path] = self._start_ns(sighting.path)

    def _rest(self, path: str, now_s: float) -> None:
        file = self._memory.at(path)
        if file is not None and file.mtime_ns > self._newest_mtime_ns - _RECENT_NS:
            self._resting[path] = now_s + _REST_S + _REST_S_PER_BYTE * file.size_bytes

    def _start_ns(self, path: str) -> int:
        """Return the time of a file's first record, 0 where it has none yet."""
        file = self._memory.at(path)
        if file is not None and file.start_ns is not None:
            return file.start_ns
        with suppress(OSError), Path(path).open("rb") as content:
            header = first_header(content, path)
            return 0 if header is None else header.start_ns
        return 0

    def _read_on(self, path: str, is_last: bool = False, is_rested: bool = False) -> int:
        """Add a file's new complete records to the round; return their number."""
        self._unread.pop(path, None)
        try:
            with Path(path).open("rb") as content:
                file = self._memory.find(content, path)
                n_records = 0 if file is None else self._scan(file, content, is_last, is_rested)
        except FileNotFoundError:
            self._drop(path)
            return 0
        except OSError as problem:
            self._unreadable.pop(path, None)
            self._unreadable[path] = None  # behind the others that are tried again
            self._waiting.note_access(path, problem)
            return 0
        if path in self._unreadable:
            del self._unreadable[path]
            self._waiting.note_access(path, None)
        return n_records

    def _drop(self, path: str) -> None:
        """Stop waiting for a file that has been deleted."""
        file = self._memory.at(path)
        if file is not None and file.is_earlier and file.until == 0:
            self.diagnostics.count("file(s) were deleted while they were being read")
        for paths in (self._unreadable, self._unsettled, self._resting):
            paths.pop(path, None)
        self._waiting.forget(path)

    def _scan(self, file: FollowedFile, content: BinaryIO, is_last: bool, is_rested: bool) -> int:
        status = os.fstat(content.fileno())
        if not self._find_place(file, content, status, is_rested):
            self._unread[file.path] = file.start_ns or 0
            return 0
        self._unsettled.pop(file.path, None)
        found = file.scan(content, _MOST_HEADERS, self.diagnostics, is_rested, is_last)
        self._memory.remember(file, status)
        if len(found.headers) >= _MOST_HEADERS:
            self._unread[file.path] = found.headers[-1].start_ns
        elif is_rested:
            self._waiting.wait_for(file.path, file.waits_for(content, status.st_size))
        else:
            self._waiting.wait_for(file.path, self._waiting.what(file.path) if file.until < status.st_size else None)
        is_compared = found.start < file.compared_until
        if not is_compared:
            self.size_bytes += found.stop - found.start
        if found.headers:
            headers = sorted(found.headers, key=in_time)
            self._parts.append(RoundPart(file, found.begin, found.start, found.stop, is_compared, headers=headers))
        return len(found.headers)

    def _find_place(self, file: FollowedFile, content: BinaryIO, status: os.stat_result, is_rested: bool) -> bool:
        """Find where to read on; return whether the file can be read now."""
        if file.is_in_comparison(content):
            return True
        if not is_rested and status.st_size > file.until and file.is_continued(content, status.st_size):
            if (status.st_dev, status.st_ino) == file.identity or file.holds_what_was_read(content):
                return True
        if file.is_unchanged(content):
            return True
        if not is_rested and not self._is_settled(file, status):
            return False
        file.compare(content)
        return True

    def _is_settled(self, file: FollowedFile, status: os.stat_result) -> bool:
        """Return whether a rewritten file is complete, as far as can be seen from outside."""
        if (status.st_dev, status.st_ino) != file.identity:
            return True  # renamed into place
        size_bytes, mtime_ns, n_looks = self._unsettled.get(file.path, (-1, -1, 0))
        if (size_bytes, mtime_ns) == (status.st_size, status.st_mtime_ns) or n_looks >= _MOST_UNSETTLED:
            return True
        self._unsettled[file.path] = (status.st_size, status.st_mtime_ns, n_looks + 1)
        return False

"""One file of records on disk: appended to, cut back to a record that is known, made durable.

The files of an SDS archive as bytes: appended to, let go of oldest first under a cap, and put back after a kill.
"""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edgequake.edge.archive.sds import day_files, day_of_name
from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.miniseed import index_file

RECORD_BYTES = 512  # of version 2, always; those of version 3 are shorter


def append(path: Path, data: bytes, at_byte: int) -> int:
    """Write `data` at `at_byte`, where the file should stop; return where it did.

    What a torn write has left behind is overwritten. A file that somebody has shortened is gone on with where it stops.

    Raises
    ------
    OSError
        It cannot be written, in full or at all; what was there is there.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
    try:
        size_bytes = os.fstat(descriptor).st_size
        at_byte = min(at_byte, size_bytes)
        if size_bytes > at_byte:
            os.ftruncate(descriptor, at_byte)
        os.lseek(descriptor, at_byte, os.SEEK_SET)
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, at_byte)
        raise
    finally:
        os.close(descriptor)
    return at_byte


def cut_back(path: Path, size_bytes: int, head: int, tail: int) -> int:
    """Cut a file back to the record that was its last one, and return the file's size then.

    It was `size_bytes` long, and the marks of its first and last record were `head` and `tail`. Since then records may
    have been appended, and the first part may have been let go of, or all of it and the file begun anew.
    """
    with path.open("rb") as file:
        found_bytes = os.fstat(file.fileno()).st_size
        if found_bytes < size_bytes or mark(file.read(RECORD_BYTES)) != head:
            file.seek(0)
            size_bytes = _stop_of(tail, file.read())
    if size_bytes < found_bytes:
        os.truncate(path, size_bytes)
    return size_bytes


def mark(record: bytes) -> int:
    """Return what tells a record from others: of version 3 its header, which holds a check value of the rest."""
    return zlib.crc32(record[: 40 if record.startswith(b"MS") else 128])


def marks(path: Path) -> tuple[int, int, int]:
    """Return a file's size and the marks of its first and last record; of version 3 the last one's is worth nothing."""
    with path.open("rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
        head = mark(file.read(RECORD_BYTES))
        file.seek(max(0, size_bytes - RECORD_BYTES))
        return size_bytes, head, mark(file.read(RECORD_BYTES))


def keep_last(path: Path, n_bytes: int) -> int:
    """Cut a file to its last bytes, as a copy that replaces it, and return the mark of its first record then.

    Raises
    ------
    OSError, DataError
        It cannot be read or written; or no record begins there: those of version 3 are of any length.
    """
    with path.open("rb") as file:
        file.seek(-n_bytes, os.SEEK_END)
        kept = file.read(n_bytes)
    if not kept[:6].isdigit():
        raise DataError(f"{path} cannot be cut: no record begins {n_bytes} bytes before its last")
    write_bytes_atomically(path, kept)
    return mark(kept[:RECORD_BYTES])


def n_samples_of(record: bytes) -> int:
    """Return how many samples a record holds."""
    if record.startswith(b"MS"):
        return int.from_bytes(record[24:28], "little")
    return int.from_bytes(record[30:32], "big")


def whole_bytes(path: Path) -> int:
    """Return how many bytes of a file reach to its last whole record."""
    try:
        headers = index_file(path).headers
    except DataError:
        return 0
    return max(header.offset + header.size_bytes for header in headers)


def sync(path: Path) -> None:
    """Make a file durable, or, where the system can, a folder's entries; one that has gone needs none.

    Raises
    ------
    OSError
        The disk fails.
    """
    if os.name != "posix" and path.is_dir():
        return
    with suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _stop_of(tail: int, data: bytes) -> int:
    """Return where the record with a mark stops, 0 where there is none."""
    stops = range(len(data) // RECORD_BYTES * RECORD_BYTES, 0, -RECORD_BYTES)
    return next((stop for stop in stops if mark(data[stop - RECORD_BYTES : stop]) == tail), 0)


_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(slots=True)
class _File:
    """One file as the books have it; bytes are counted from the first one ever written to it.

    What the books hold is [first, stop). After a resume less may be on disk, [held_from, stop): what an earlier process
    let go of after the checkpoint, and this one will let go of when it comes to the same place.
    """

    day: int
    first: int = 0
    stop: int = 0
    held_from: int = 0
    head: int = 0  # mark of the first record
    tail: int = 0  # ... and of the last one
    checked: bool = True  # its tail is known to be whole

    @property
    def size_bytes(self) -> int:
        return self.stop - self.first


class DayFiles:
    """Appends records to day files; knows them all, in the order in which they were last written to.

    With a cap, the files together never exceed it, copies included. What was written to longest ago goes first: by
    whole files, for only of the present day a part can be spared. A file of that day is cut to its later half.
    """

    def __init__(
        self,
        folder: Path,
        cap_bytes: int | None,
        diagnostics: Diagnostics,
        make_room: Callable[[int], bool] | None = None,
        remembered_days: int | None = None,
    ) -> None:
        """Know the files in `folder`; `make_room` is asked when the disk is full, by default that of this object.

        remembered_days : files of days that many before the newest one stay on disk and are forgotten here, so that
            years of them take no memory: only without a cap, and live, where `restore` needs to know of none.
        """
        self.folder, self._cap_bytes, self._diagnostics = folder, cap_bytes, diagnostics
        self._remembered_days = remembered_days
        self._ask_for_room = self.make_room if make_room is None else make_room
        self._files: dict[str, _File] = {}
        self.total_bytes = 0
        self.n_let_go = 0  # counts changes that make an index of a file worthless
        self._unsynced: dict[Path, None] = {}
        self._find()

    def names(self) -> Iterable[str]:
        """Return the names of all files, the one written to last at the back."""
        return self._files.keys()

    def size_bytes(self, name: str) -> int:
        """Return how many bytes of a file are on disk."""
        file = self._files.get(name)
        return 0 if file is None else file.stop - file.held_from

    def append(self, name: str, records: Sequence[bytes]) -> None:
        """Append records to a file, after room was made for them.

        Where the disk is full and nothing is left to let go of, they are lost and counted.

        Raises
        ------
        DataError
            The file cannot be written for another reason than a full disk.
        """
        # With a small cap a portion at a time, or there would be no room left to keep anything in.
        most = len(records) if self._cap_bytes is None else max(1, self._cap_bytes // (4 * RECORD_BYTES))
        for i in range(0, len(records), max(1, most)):
            part = records[i : i + most]
            self._keep_below_cap(sum(map(len, part)))
            if not self._write(name, part):
                self._diagnostics.count("record(s) not archived: the disk is full", len(part))

    def make_room(self, n_bytes: int) -> bool:
        """Let go of whole files, oldest first, until a full disk has so many bytes; return whether there were any."""
        freed_bytes = 0
        while freed_bytes < n_bytes and self._files:
            oldest = next(iter(self._files))
            freed_bytes += self.size_bytes(oldest)
            self._remove(oldest)
        if freed_bytes:
            self._diagnostics.count("time(s) the archive let go of its oldest because the disk was full")
        return freed_bytes > 0

    def sync(self) -> None:
        """Make all that was written durable.

        Raises
        ------
        DataError
            The disk fails.
        """
        for path in self._unsynced:
            self._sync(path)
        self._unsynced = {}

    def state(self) -> State:
        """Return what `restore` goes on from."""
        if self._remembered_days is not None:
            return {"files": []}
        return {"files": [[name, f.first, f.stop, f.head, f.tail] for name, f in self._files.items()]}

    def restore(self, state: State, replayed: bool) -> None:
        """Go on from what `state` returned.

        Replayed, what was written since comes again: the files are cut back to what they were. Live, they stay.
        """
        self.n_let_go += 1
        if not replayed:
            saved = [name for name, *_ in state["files"] if name in self._files]
            self._files = {name: self._files[name] for name in dict.fromkeys([*saved, *self._files])}
            return
        found, self._files, self.total_bytes = self._files, {}, 0
        for name, first, stop, head, tail in state["files"]:
            file = self._files[name] = _File(day_of_name(name), first, stop, stop, head, tail)
            self.total_bytes += file.size_bytes
            if found.pop(name, None) is not None:
                file.held_from = stop - cut_back(self.folder / name, file.size_bytes, head, tail)
        for name in found:  # begun after the checkpoint
            self._unlink(name)

    def _find(self) -> None:
        for path in self.folder.glob("[0-9]*/*/*/*.D/.*.part"):  # left by a process that was killed
            path.unlink()
        for day, name, path in sorted((parsed.day, name, path) for name, parsed, path in day_files(self.folder)):
            size_bytes, head, tail = marks(path)
            self._files[name] = _File(day, stop=size_bytes, head=head, tail=tail, checked=False)
            self.total_bytes += size_bytes
        if self._files:
            self._forget_old(next(reversed(self._files.values())).day)

    def _forget_old(self, day: int) -> None:
        """Forget the files of days that lie so far before one with samples that nothing is asked of them."""
        if self._remembered_days is not None:
            for name in [name for name, file in self._files.items() if file.day < day - self._remembered_days]:
                del self._files[name]

    def _keep_below_cap(self, n_bytes: int) -> None:
        while self._cap_bytes is not None and self._files and self._needed_bytes(n_bytes) > self._cap_bytes:
            oldest = next(iter(self._files))
            if self._files[oldest].day < self._present_day():
                self._remove(oldest)
            else:
                self._halve(oldest)

    def _needed_bytes(self, n_bytes: int) -> int:
        """Return the room that bytes to come take: in the files, or in those of the present day and a copy of half one.

        Twice then: the file to be copied will have grown by these bytes, and as many are to come.
        """
        present_bytes = largest_bytes = 0
        day = self._present_day()
        for file in reversed(self._files.values()):
            if file.day < day:
                break
            present_bytes += file.size_bytes
            largest_bytes = max(largest_bytes, file.size_bytes)
        return max(self.total_bytes + n_bytes, present_bytes + largest_bytes // 2 + 2 * n_bytes)

    def _present_day(self) -> int:
        return next(reversed(self._files.values())).day

    def _halve(self, name: str) -> None:
        """Cut a file to its later half; one that cannot be cut goes whole."""
        file, path = self._files[name], self.folder / name
        kept_bytes = file.size_bytes // 2 // RECORD_BYTES * RECORD_BYTES
        assert self._cap_bytes is not None
        if kept_bytes == 0 or self.total_bytes + kept_bytes > self._cap_bytes:
            self._remove(name)
            return
        first = file.stop - kept_bytes
        if first > file.held_from:  # else an earlier process has done it
            try:
                file.head = keep_last(path, kept_bytes)
            except (OSError, DataError):
                self._remove(name)
                return
            file.held_from = first
        self.total_bytes -= first - file.first
        file.first = first
        self.n_let_go += 1

    def _remove(self, name: str) -> None:
        self.total_bytes -= self._files.pop(name).size_bytes
        self._unlink(name)
        self.n_let_go += 1

    def _unlink(self, name: str) -> None:
        path = self.folder / name
        with suppress(OSError):  # it may have been taken away by hand; and a folder may still hold others
            path.unlink(missing_ok=True)
            for folder in list(path.parents)[:4]:
                folder.rmdir()

    def _write(self, name: str, records: Sequence[bytes]) -> bool:
        """Append to a file; return False where the disk is full and stays so."""
        data = b"".join(records)
        while True:
            file, path = self._opened(name), self.folder / name
            try:
                self._make_folder(path.parent)
                at_byte = append(path, data, file.stop - file.held_from)
            except OSError as problem:
                if problem.errno not in _FULL:
                    raise _unwritable(path, problem) from problem
                if not self._ask_for_room(len(data)):
                    return False
                continue
            file.held_from = file.stop - at_byte
            if at_byte == 0:
                file.head = mark(records[0])
                self._unsynced[path.parent] = None
            file.tail = mark(records[-1])
            file.stop += len(data)
            self.total_bytes += len(data)
            self._unsynced[path] = None
            return True

    def _sync(self, path: Path) -> None:
        """Make a file durable; some systems find room for what was written only then, or find none."""
        while True:
            try:
                sync(path)
                return
            except OSError as problem:
                if problem.errno not in _FULL or not self._ask_for_room(RECORD_BYTES):
                    raise _unwritable(path, problem) from problem

    def _opened(self, name: str) -> _File:
        """Return a file to append to, at the back of the order; what a torn write left at its tail is cut off."""
        file = self._files.pop(name, None)
        if file is None:
            file = self._new_or_forgotten(name)
            self._forget_old(file.day)
        self._files[name] = file
        if not file.checked:
            size_bytes = whole_bytes(self.folder / name)
            if size_bytes < file.stop:
                self._diagnostics.count("archive file(s) cut back to their last whole record")
                self.n_let_go += 1
            self.total_bytes += size_bytes - file.stop
            file.stop, file.checked = size_bytes, True
        return file

    def _new_or_forgotten(self, name: str) -> _File:
        file, path = _File(day_of_name(name)), self.folder / name
        if self._remembered_days is not None and path.exists():
            file.stop, file.head, file.tail = marks(path)
            file.checked = False
        return file

    def _make_folder(self, folder: Path) -> None:
        if not folder.is_dir():
            folder.mkdir(parents=True)
            for parent in list(folder.parents)[:4]:  # to that of the archive itself
                self._unsynced[parent] = None


def _unwritable(path: Path, problem: OSError) -> DataError:
    reason = problem.strerror or problem
    return DataError(f"cannot write {path}: {reason}; mount the disk writable or choose another --out")

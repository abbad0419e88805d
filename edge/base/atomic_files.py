"""Files that survive a power loss: written whole or not at all, appended to durably, on a disk that may be full."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from edgequake.edge.base.errors import DataError

_Result = TypeVar("_Result")
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_DAMAGE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG)
LONGEST_LINE_BYTES = 1 << 22  # of appended files: a line of catalog.check takes 400 bytes an event
_FREE_THE_DISK = "free the disk, then go on with --resume; nothing in the catalogue is lost"
_REMEDIES = {
    errno.ENOSPC: _FREE_THE_DISK,
    errno.EDQUOT: _FREE_THE_DISK,
    errno.ENOENT: "make its folder, or choose another",
    errno.EROFS: "mount the disk writable or choose another --out",
    errno.EACCES: "make the folder writable or choose another --out",
    errno.EIO: "the disk fails: choose another --out",
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.ENFILE: "allow more open files (sysctl fs.file-max)",
}


def is_disk_full(problem: OSError) -> bool:
    """Whether a write failed for want of space, or of quota."""
    return problem.errno in _DISK_FULL


def may_pass(problem: BaseException) -> bool:
    """Whether a file could not be read or written for a reason that may pass, rather than be missing or damaged.

    `problem` : an `OSError`, or an error of ours that an `OSError` has caused.
    """
    cause = problem if isinstance(problem, OSError) else problem.__cause__
    return isinstance(cause, OSError) and cause.errno not in _DAMAGE


def remedy_for(problem: OSError) -> str:
    """Return what to do where a file cannot be written."""
    return _REMEDIES.get(problem.errno or 0, "free the disk or choose another")


def retry_when_full(
    write: Callable[[], _Result], n_bytes: int, make_room: Callable[[int], bool] | None = None
) -> _Result:
    """Return what `write` returns; on a full disk, call it again each time that `make_room` has freed `n_bytes`.

    Raises
    ------
    OSError
        As `write`, for another reason than a full disk, or because no room can be made.
    """
    while True:
        try:
            return write()
        except OSError as problem:
            if not is_disk_full(problem) or make_room is None or not make_room(n_bytes):
                raise


def write_bytes_atomically(path: Path, data: bytes, make_room: Callable[[int], bool] | None = None) -> None:
    """Write `data` to `path` so that a reader, or a power loss, finds the old file or the new one, never a part.

    The data go to a temporary file, which is synced and then renamed. `make_room`: see `retry_when_full`.

    Raises
    ------
    DataError
        The file cannot be written (disk full, read-only, no such folder); the temporary file is removed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")

    def write() -> None:
        try:
            write_durably(temporary, (data,))
            temporary.replace(path)
            sync(path.parent)
        finally:
            with suppress(OSError):  # gone after a rename, or with its folder
                temporary.unlink()

    try:
        retry_when_full(write, len(data), make_room)
    except OSError as problem:
        raise DataError(f"cannot write {path}: {problem.strerror or problem}; {remedy_for(problem)}") from problem


def open_regular(path: Path) -> BinaryIO:
    """Open a file to be read. A pipe or a device in its place, which might be waited for without end, is refused.

    Raises
    ------
    OSError
        It cannot be opened, or is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise OSError(errno.EISDIR, "no regular file", str(path))


def read_whole(path: Path, most_bytes: int) -> bytes:
    """Return the bytes of a regular file; one that is larger than it can be is damaged, and must not fill the memory.

    Raises
    ------
    OSError
        It cannot be read, or is larger.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > most_bytes:
            raise OSError(errno.EFBIG, f"larger than {most_bytes} bytes", str(path))
        return file.read()


def read_at(path: Path, offset: int, n_bytes: int) -> bytes:
    """Return the bytes of a file from an offset on, fewer where it stops, at a third of the cost of a file object.

    Raises
    ------
    OSError
        It cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, n_bytes)
    finally:
        os.close(descriptor)


def is_wrong_kind(path: Path, is_folder: bool) -> bool:
    """Whether something else stands in the place of a folder, or of a regular file: a pipe, a link to itself."""
    try:
        mode = path.stat().st_mode
    except OSError as problem:
        return problem.errno == errno.ELOOP
    return not (stat.S_ISDIR(mode) if is_folder else stat.S_ISREG(mode))


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that a killed process has left."""
    for path in folder.glob(".*.part"):
        with suppress(OSError):
            path.unlink()


def write_durably(path: Path, parts: Iterable[bytes]) -> int:
    """Write `parts` to a new file one after the other, sync it, and return its size in bytes.

    Raises
    ------
    OSError
        The file cannot be written; a part of it may be there.
    """
    with path.open("wb") as file:
        n_bytes = sum(file.write(part) for part in parts)
        file.flush()
        os.fsync(file.fileno())
    return n_bytes


def append(path: Path, data: bytes, at_byte: int | None = None, durable: bool = False) -> int:
    """Write `data` at `at_byte`, where the file should stop (None: where it does); return where it was written.

    What an interrupted write has left beyond `at_byte` is overwritten; a file that is shorter is continued where it
    stops. `durable`: the data, and the name of a new file, are synced before this returns.

    Raises
    ------
    OSError
        The data cannot be written or synced; the file is as before.
    """
    is_new = durable and not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
    try:
        size_bytes = os.fstat(descriptor).st_size
        at_byte = size_bytes if at_byte is None else min(at_byte, size_bytes)
        try:
            if size_bytes > at_byte:
                os.ftruncate(descriptor, at_byte)
            os.lseek(descriptor, at_byte, os.SEEK_SET)
            n_written = os.write(descriptor, data)
            while n_written < len(data):  # no memoryview: one in a traceback may crash the interpreter at its end
                n_written += os.write(descriptor, data[n_written:])
            if durable:
                os.fsync(descriptor)
            if is_new:
                sync(path.parent)
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, at_byte)
            raise
    finally:
        os.close(descriptor)
    return at_byte


def lines_from(path: Path, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file that grows by appending, each with where it begins; none where there is no file.

    offset : where a line begins; what precedes it is not read.

    What is longer than `LONGEST_LINE_BYTES` is damage, and comes in pieces: it must not fill the memory.

    Raises
    ------
    DataError
        The file cannot be read.
    """
    try:
        with open_regular(path) as file:
            file.seek(offset)
            while line := file.readline(LONGEST_LINE_BYTES):
                yield offset, line
                offset += len(line)
    except FileNotFoundError:
        return
    except OSError as problem:
        raise DataError(f"{path} cannot be read: {problem.strerror or problem}") from problem


def sync(path: Path) -> None:
    """Make a file durable, or the entries of a folder where the system can (POSIX); a missing file needs no sync.

    Raises
    ------
    OSError
        The disk fails, or is full: some systems find room for written data only now.
    """
    if os.name != "posix" and path.is_dir():
        return
    with suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0  # a disk that hangs for seconds in each try must not hold up detection


class Backoff:
    """Says when to try again; on the machine's monotonic clock, which nobody sets."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._pause_s = 0.0
        self._next_s: float | None = None  # None: the last try succeeded

    @property
    def is_pausing(self) -> bool:
        """Whether it is too early for the next try."""
        return self._next_s is not None and self._now_s() < self._next_s

    def failed(self) -> None:
        """Note that a try has failed."""
        self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s) or FIRST_PAUSE_S
        self._next_s = self._now_s() + self._pause_s

    def succeeded(self) -> None:
        """Note that a try has succeeded."""
        self._pause_s, self._next_s = 0.0, None


_RESERVE_BYTES = 4 << 20  # some ten checkpoints of three channels at 125 Hz, or thousands of rows
LEFT_BY_SEGMENTS_BYTES = 1 << 20  # for catalogue, checkpoint and status
_BLOCK_BYTES = 1 << 16  # beside the data a file takes its last block and an entry of its folder
_MARGIN = 2  # it is taken back when the disk has so many times its size free


class DiskReserve:
    """A file that takes disk space, and gives it up piece by piece when the disk is full."""

    def __init__(self, path: Path) -> None:
        """Keep the space in `path`; nothing is taken before `fill`."""
        self._path = path

    def fill(self) -> None:
        """Take the space, or take it back, if the disk has plenty; where it cannot be taken nothing happens."""
        if not hasattr(os, "posix_fallocate"):
            return
        with suppress(OSError):
            if self._size_bytes() < _RESERVE_BYTES <= shutil.disk_usage(self._path.parent).free // _MARGIN:
                descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
                try:
                    os.posix_fallocate(descriptor, 0, _RESERVE_BYTES)
                finally:
                    os.close(descriptor)

    def give(self, n_bytes: int, left_bytes: int = 0) -> bool:
        """Free so many bytes, but leave `left_bytes`; return whether anything was freed."""
        with suppress(OSError):
            size_bytes = self._size_bytes()
            smaller_bytes = max(left_bytes, size_bytes - n_bytes - _BLOCK_BYTES, 0)
            if smaller_bytes < size_bytes:
                os.truncate(self._path, smaller_bytes)
                return True
        return False

    def release(self) -> None:
        """Give all of it up: the run ends."""
        with suppress(OSError):
            self._path.unlink()

    def _size_bytes(self) -> int:
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

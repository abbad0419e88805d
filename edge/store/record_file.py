"""One file of records on disk: appended to, cut back to a record that is known, made durable."""

from __future__ import annotations

import os
import zlib
from contextlib import suppress
from pathlib import Path

from edgequake.edge.atomic import write_bytes_atomically
from edgequake.edge.errors import DataError
from edgequake.edge.miniseed import index_file

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

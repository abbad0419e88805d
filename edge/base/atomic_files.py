"""Files appear whole or not at all: a temporary name, a sync, a rename."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from edgequake.edge.base.errors import DataError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

_REMEDIES = {
    errno.ENOSPC: "free the disk, then go on with --resume; nothing in the catalogue is lost",
    errno.EDQUOT: "free the disk, then go on with --resume; nothing in the catalogue is lost",
    errno.EROFS: "mount the disk writable or choose another --out",
    errno.EACCES: "make the folder writable or choose another --out",
    errno.EIO: "the disk fails: choose another --out",
}


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files that a process which was killed has left."""
    for path in folder.glob(".*.part"):
        with suppress(OSError):
            path.unlink()


def write_bytes_atomically(path: Path, data: bytes, make_room: Callable[[int], bool] | None = None) -> None:
    """Write `data` to `path` so that a reader, or a power loss, sees the old file or the new one, never a part.

    On a full disk `make_room` is asked to free so many bytes, and the write is tried again for as long as it does.

    Raises
    ------
    DataError
        The file cannot be written (disk full, read-only, no such folder); the temporary file is removed.
    """
    while True:
        try:
            _write(path, data)
            return
        except OSError as problem:
            if problem.errno in DISK_FULL and make_room is not None and make_room(len(data)):
                continue
            reason = problem.strerror or problem
            remedy = _REMEDIES.get(problem.errno or 0, "free the disk or choose another")
            raise DataError(f"cannot write {path}: {reason}; {remedy}") from problem


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        with suppress(OSError):  # gone after a rename; and a folder that has gone takes it along
            temporary.unlink()


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable; only POSIX systems can open a folder."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Disk space that a live run keeps for what must be written when others have filled the disk."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

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

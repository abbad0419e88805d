"""The kernel's lock on a file: who holds it keeps the other processes of this machine, and its threads, waiting."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # not POSIX
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for the lock on a file, which is made where it is missing, and hold it; nothing where there are no locks."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

"""Whose a run folder is: one runner's at a time, and nobody else's to read but its group's."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from edgequake.edge.base.atomic_files import is_wrong_kind, remedy_for, sync
from edgequake.edge.base.checkpoint import set_aside
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.base.layout import HEARTBEAT, LOCK

try:
    import fcntl
except ImportError:  # not POSIX
    fcntl = None  # type: ignore[assignment]

_UMASK = 0o027  # folders 0750, files 0640


class OwnFolder:
    """Holds a run folder for this process, as a context manager; makes the folder where there is none.

    The lock is the kernel's (flock), so that no killed process leaves one behind. Meanwhile all files of the process
    get the modes 0640 and 0750, whatever its umask was. At the end the lock's file is removed, and so is the folder
    where it was made here and nothing has been written to it.

    Raises
    ------
    ConfigError
        Another runner holds the folder.
    DataError
        The folder cannot be made or written.
    """

    def __init__(self, out: Path) -> None:
        self._out, self._lock = out, out / LOCK
        self._descriptor: int | None = None
        self._made: list[Path] = []  # folders, innermost first
        self._umask = 0

    def __enter__(self) -> OwnFolder:
        self._umask = os.umask(_UMASK)
        try:
            self._make()
            while self._descriptor is None:
                self._descriptor = self._hold()
        except BaseException as problem:
            self.__exit__(None, None, None)
            if isinstance(problem, OSError):
                reason = f"{problem.strerror or problem}; {remedy_for(problem)}"
                raise DataError(f"cannot use output folder {self._out}: {reason}") from problem
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.umask(self._umask)
        if self._descriptor is None:
            return
        with suppress(OSError):
            if self._is_still(self._descriptor):  # else it is another run's
                self._lock.unlink()
        os.close(self._descriptor)
        self._descriptor = None
        if self._made:
            self._remove_sole_heartbeat()
        for folder in self._made:
            with suppress(OSError):  # not empty: it has been used
                folder.rmdir()

    def hold_again(self) -> bool:
        """Hold what stands at the path now; return whether that is another folder, or has lost its lock.

        Somebody may have deleted the folder or the lock, or put a link or a disk in the folder's place.

        Raises
        ------
        DataError
            Another runner holds the folder that is there now.
        OSError
            It cannot be locked.
        """
        if fcntl is None or self._descriptor is None or not self._out.is_dir() or self._is_still(self._descriptor):
            return False  # where no folder is, writing says so
        held: int | None = None
        try:
            while held is None:
                held = self._hold()
        except ConfigError as problem:
            raise DataError(str(problem)) from problem
        os.close(self._descriptor)
        self._descriptor = held
        return True

    def _remove_sole_heartbeat(self) -> None:
        """Remove the heartbeat where nothing else has been written: the checks before a run may take some seconds."""
        with suppress(OSError):
            if [path.name for path in self._out.iterdir()] == [HEARTBEAT]:
                (self._out / HEARTBEAT).unlink()

    def _make(self) -> None:
        self._made = [path for path in (self._out, *self._out.parents) if not path.exists()]
        self._out.mkdir(parents=True, exist_ok=True)
        for path in self._made:  # else a power loss could take the folder with all that is durable in it
            sync(path.parent)

    def _hold(self) -> int | None:
        """Lock the lock's file and return its descriptor; None where the file was removed at that moment."""
        if is_wrong_kind(self._lock, is_folder=False):
            set_aside(self._lock)
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o640)
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not self._is_still(descriptor):
                    os.close(descriptor)
                    return None
            os.ftruncate(descriptor, 0)
            os.write(descriptor, b"%d\n" % os.getpid())
        except BlockingIOError as problem:
            process = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise ConfigError(
                f"{self._out} is in use by another run (process {process}); stop that one, or choose another --out"
            ) from problem
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _is_still(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(self._lock.stat(), os.fstat(descriptor))
        except FileNotFoundError:
            return False

"""Which files of followed folders have appeared or changed since the last look, at a cost that hardly grows with them.

A folder's own modification time shows files that are created, renamed or deleted, so only such folders are listed. It
does not show growth or rewriting of a file: the files that changed last are looked at each time, the others in turn.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

# Files looked at each time: those that changed last. A network of 300 channels writes so many files at once.
_N_HOT = 1000
_N_COLD = 2000  # further files looked at each time, in turn: 8 ms on a desktop
# A change within the clock tick of a folder's modification time does not show in it; FAT has the coarsest tick, 2 s.
_TICK_S = 2.0
_RELIST_S = 60.0  # network file systems may report a folder's modification time late
_RELIST_SHARE = 0.001  # of the time, at most, for folders whose modification time does not change


@dataclass(frozen=True, order=True, slots=True)
class Sighting:
    """A file as it was at one look."""

    mtime_ns: int
    path: str
    device: int
    inode: int
    size_bytes: int

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode: they stay the same when a file is renamed."""
        return self.device, self.inode


@dataclass
class _Directory:
    mtime_ns: int | None = None  # None: list it at the next look
    first_listed_s: float = 0.0  # with this modification time
    listed_s: float = 0.0
    pause_s: float = 0.0  # until it is listed again, whatever its modification time
    # By name: the inode as the listing shows it (some file systems show another one than the file has), and a hash of
    # the last sighting; a cold file needs no more.
    files: dict[str, tuple[int, int]] = field(default_factory=dict)


class FolderWatch:
    """Finds the files of folders that are new or have changed; files given by name are looked at each time."""

    def __init__(
        self, inputs: tuple[Path, ...], out: Path | None, unusable: Callable[[str, OSError | None], None]
    ) -> None:
        """Watch folders and files.

        Parameters
        ----------
        inputs : folders and files; they need not exist yet.
        out : folder whose files are left out.
        unusable : called with a path and the error that hides it; with None when it is readable again.
        """
        self._inputs = tuple(str(path) for path in inputs)
        self._out = None if out is None else os.path.realpath(out)
        self._unusable = unusable
        self._directories: dict[str, _Directory] = {}
        self._named: dict[str, int] = {}  # by path of an input that is a file: hash of the last sighting
        self._hot: dict[str, None] = {}  # paths, the one that changed last at the end
        self._cold: Iterator[str] = iter(())
        self._hidden: set[str] = set()  # paths that cannot be read at present

    def look(self) -> list[Sighting]:
        """Return the files that are new or have changed, the one that changed last at the end."""
        found: dict[str, Sighting] = {}
        for path in self._inputs:
            self._look_at_input(path, found)
        for path in list(self._directories):
            self._list_if_due(path, found)
        for path in [*self._hot, *self._next_cold()]:
            if path not in found:
                self._look_at(path, found)
        changed = sorted(found.values())
        for sighting in changed:
            self._hot.pop(sighting.path, None)
            self._hot[sighting.path] = None
        for path in list(self._hot)[: max(0, len(self._hot) - _N_HOT)]:
            del self._hot[path]
        return changed

    def _look_at_input(self, path: str, found: dict[str, Sighting]) -> None:
        if path in self._directories:
            return
        try:
            is_folder = stat.S_ISDIR(Path(path).stat().st_mode)
        except OSError as problem:
            self._hide(path, problem)
            return
        if is_folder:
            self._directories[path] = _Directory()
            return
        if (sighting := self._sight(path)) is not None and hash(sighting) != self._named.get(path):
            self._named[path] = hash(sighting)
            found[path] = sighting

    def _list_if_due(self, path: str, found: dict[str, Sighting]) -> None:
        directory = self._directories.get(path)
        if directory is None:  # removed with the folder above it
            return
        try:
            mtime_ns = Path(path).stat().st_mtime_ns
            now_s = time.monotonic()
            if mtime_ns != directory.mtime_ns:
                directory.mtime_ns, directory.first_listed_s = mtime_ns, now_s
            elif (
                directory.listed_s > directory.first_listed_s + _TICK_S
                and now_s < directory.listed_s + directory.pause_s
            ):
                return
            self._list(path, directory, found)
            directory.listed_s = now_s
            directory.pause_s = max(_RELIST_S, (time.monotonic() - now_s) / _RELIST_SHARE)
        except FileNotFoundError as problem:
            if path in self._inputs:
                self._hide(path, problem)  # it may come back
            else:
                self._forget(path)
        except OSError as problem:
            directory.mtime_ns = None
            self._hide(path, problem)
        else:
            self._show(path)

    def _list(self, path: str, directory: _Directory, found: dict[str, Sighting]) -> None:
        present: dict[str, tuple[int, int]] = {}
        with os.scandir(path) as entries:
            for entry in entries:
                name = entry.name
                known = directory.files.get(name)
                if known is not None and known[0] == entry.inode():
                    present[name] = known
                elif entry.is_dir(follow_symlinks=False):
                    self._enter(entry.path, found)
                elif not name.startswith(".") and not (entry.is_symlink() and self._is_own(entry.path)):
                    present[name] = (entry.inode(), known[1] if known else 0)
                    directory.files[name] = present[name]
                    if self._look_at(entry.path, found):
                        present[name] = directory.files[name]
                    else:
                        del present[name]
        directory.files = present

    def _enter(self, path: str, found: dict[str, Sighting]) -> None:
        if path not in self._directories and not self._is_own(path):
            self._directories[path] = _Directory()
            self._list_if_due(path, found)

    def _is_own(self, path: str) -> bool:
        """Return whether a path is below the folder that this run writes to."""
        if self._out is None:
            return False
        path = os.path.realpath(path)
        return path == self._out or path.startswith(self._out.rstrip(os.sep) + os.sep)

    def _forget(self, path: str) -> None:
        del self._directories[path]
        for below in [name for name in self._directories if name.startswith(path + os.sep)]:
            del self._directories[below]

    def _next_cold(self) -> list[str]:
        """Return the next files in turn."""
        cold: list[str] = []
        for path in self._cold:
            cold.append(path)
            if len(cold) == _N_COLD:
                return cold
        self._cold = self._all_files()
        return cold

    def _all_files(self) -> Iterator[str]:
        for path in list(self._directories):
            directory = self._directories.get(path)
            for name in list(directory.files) if directory else ():
                yield f"{path.rstrip(os.sep)}{os.sep}{name}"

    def _look_at(self, path: str, found: dict[str, Sighting]) -> bool:
        """Look at a file of a folder; return whether it is one."""
        folder, name = os.path.split(path)
        directory = self._directories.get(folder)
        known = directory.files.get(name) if directory else None
        if directory is None or known is None:  # deleted, or in a folder that was
            self._hot.pop(path, None)
            return False
        sighting = self._sight(path)
        if sighting is None:
            if path in self._hidden:
                return True
            del directory.files[name]
            self._hot.pop(path, None)
            return False
        if hash(sighting) != known[1]:
            directory.files[name] = (known[0], hash(sighting))
            found[path] = sighting
        return True

    def _sight(self, path: str) -> Sighting | None:
        """Return a file's sighting; None if it is no file, has been deleted or is hidden by an error."""
        try:
            status = os.stat(path)  # noqa: PTH116 (a Path takes several times as long)
        except FileNotFoundError:
            self._hidden.discard(path)
            return None
        except OSError as problem:
            self._hide(path, problem)
            return None
        self._show(path)
        if not stat.S_ISREG(status.st_mode):
            return None
        return Sighting(status.st_mtime_ns, path, status.st_dev, status.st_ino, status.st_size)

    def _hide(self, path: str, problem: OSError) -> None:
        if path not in self._hidden:
            self._hidden.add(path)
            self._unusable(path, problem)

    def _show(self, path: str) -> None:
        if path in self._hidden:
            self._hidden.discard(path)
            self._unusable(path, None)

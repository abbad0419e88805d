"""Archives that a scan reads: a local folder, or one at an address that fsspec opens, such as s3://BUCKET/PREFIX."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.base.folder_listing import files_in
from edgequake.edge.inputs.source import is_address


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """A file of an archive, as its listing describes it."""

    name: str  # below the archive's root, with slashes
    size_bytes: int
    stamp: str  # differs once the file has been written again: its time, or the store's tag


class RecordArchive(Protocol):
    """Where records are read from."""

    address: str
    is_remote: bool
    unreadable: dict[str, str]  # folders and files that the last listing could not look at, with the reasons

    def files(self) -> Iterator[ArchiveFile]:
        """Yield all files, without hidden ones; raise DataError where the archive cannot be listed."""

    def local_path(self, name: str, scratch: Path) -> Path:
        """Return a file of this machine with the contents of `name`, if need be a copy in `scratch`.

        Raises
        ------
        DataError
            It cannot be read.
        """


def open_archive(address: str, out: Path) -> RecordArchive:
    """Return the archive at a path or an address; below `out` a scan writes, so nothing there belongs to an archive.

    Raises
    ------
    ConfigError
        There is no such folder, or no fsspec to open the address with.
    """
    return RemoteArchive(address) if is_address(address) else LocalArchive(Path(address), out)


class LocalArchive:
    """A folder."""

    is_remote = False

    def __init__(self, root: Path, out: Path) -> None:
        if not root.is_dir():
            raise ConfigError(f"archive {root} is no folder; expected one with records, or an address such as s3://...")
        self._root, self._out = root.resolve(), out
        self.address = str(self._root)
        self.unreadable: dict[str, str] = {}

    def files(self) -> Iterator[ArchiveFile]:
        self.unreadable.clear()
        for path in files_in(self._root, self._out, self._leave_out):
            try:
                facts = path.stat()
            except OSError as problem:
                self._leave_out(problem)
                continue
            yield ArchiveFile(path.relative_to(self._root).as_posix(), facts.st_size, str(facts.st_mtime_ns))

    def _leave_out(self, problem: OSError) -> None:
        path = Path(problem.filename)
        if path == self._root:
            raise DataError(f"archive {self.address} cannot be listed: {problem.strerror}") from problem
        self.unreadable[path.relative_to(self._root).as_posix()] = f"{path} cannot be read: {problem.strerror}"

    def local_path(self, name: str, scratch: Path) -> Path:
        return self._root / name


class RemoteArchive:
    """A folder of an object store, or whatever else fsspec opens; its options come from fsspec's environment."""

    is_remote = True

    def __init__(self, address: str) -> None:
        try:
            from fsspec.core import url_to_fs
        except ModuleNotFoundError as problem:
            raise ConfigError(f"{address} needs fsspec: pip install 'edgequake[scan]'") from problem
        try:
            self._store, self._root = url_to_fs(address)
        except (ImportError, ValueError) as problem:
            raise ConfigError(f"archive {address}: {problem}") from problem
        self.address = address
        self.unreadable: dict[str, str] = {}  # it is listed as a whole, or not at all

    def files(self) -> Iterator[ArchiveFile]:
        try:
            found: dict[str, dict[str, Any]] = self._store.find(self._root, detail=True)
        except Exception as problem:  # of whatever library is behind the address
            raise DataError(f"archive {self.address} cannot be listed: {problem}") from problem
        for path, facts in sorted(found.items()):
            name = PurePosixPath(path).relative_to(PurePosixPath(self._root.rstrip("/") or "/")).as_posix()
            if not any(part.startswith(".") for part in PurePosixPath(name).parts):
                stamp = facts.get("ETag") or facts.get("LastModified") or facts.get("mtime") or facts.get("created")
                yield ArchiveFile(name, int(facts["size"]), str(stamp))

    def local_path(self, name: str, scratch: Path) -> Path:
        path = scratch / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{path.name}.part")
            try:
                self._store.get_file(f"{self._root.rstrip('/')}/{name}", str(part))
            except Exception as problem:  # of whatever library is behind the address
                raise DataError(f"{self.address}/{name} cannot be read: {problem}") from problem
            part.replace(path)
        return path


@contextmanager
def scratch_folder(parent: Path, name: str) -> Iterator[Path]:
    """Make a folder for copies of an archive's files, and remove it at the end."""
    folder = parent / name
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

"""The index of an archive: which channels each file holds, and when. It is kept, and only new files are read.

SQLite: a file is read once, and again when its size or its stamp differs; one that disappears is dropped.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgequake.edge.archive.sds import DAY_NS
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.miniseed import index_file
from edgequake.edge.formats.space_apps_csv import packet_span
from edgequake.edge.inputs.files import ChannelSpan, channel_spans
from edgequake.scan.storage.archives import ArchiveFile, RecordArchive, scratch_folder

BREAK_NS = DAY_NS  # a gap that ends an unbroken period
_VERSION = 1
_COMMIT_FILES = 500  # a stop during the first index loses no more than so many
_UNREAD = ""  # the stamp of a file that could not be read: no listing has it
_WAIT_S = 120.0  # for another scan that is updating the index

Piece = tuple[int, int]  # [start, stop) in ns, without a gap of BREAK_NS


@dataclass(frozen=True, slots=True)
class IndexedFile:
    """What is known of a file that holds records."""

    name: str
    size_bytes: int
    file_start_ns: int | None  # time of its first sample; None: a packet CSV
    spans: dict[str, ChannelSpan]  # by source identifier
    pieces: tuple[Piece, ...]
    unreadable_bytes: int

    @property
    def sort_key(self) -> tuple[str, ...]:
        """The order in which a run on the folder would look at the files."""
        return PurePosixPath(self.name).parts


@dataclass(frozen=True)
class IndexUpdate:
    """What an update of the index has done."""

    n_files: int
    n_read: int
    n_dropped: int
    unusable: tuple[str, ...]  # why files are left out that are no records
    unreadable: tuple[str, ...]  # why files and folders are left out that cannot be read, for now


class ArchiveIndex:
    """The index in a file, for one scan at a time."""

    def __init__(self, path: Path) -> None:
        """Open the index, which need not exist.

        Raises
        ------
        DataError
            It cannot be opened.
        """
        self._path = path
        try:
            self._database = sqlite3.connect(path, timeout=_WAIT_S)
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS files (name TEXT PRIMARY KEY, size_bytes INTEGER, stamp TEXT, "
                "content TEXT, problem TEXT)"
            )
            (version,) = self._database.execute("PRAGMA user_version").fetchone()
            if version not in (0, _VERSION):
                raise DataError(f"index {path} is of another version ({version}); delete it, it is made anew")
            self._database.execute(f"PRAGMA user_version = {_VERSION}")
        except sqlite3.Error as problem:
            raise DataError(f"index {path} cannot be used: {problem}; delete it, it is made anew") from problem

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def update(
        self, archive: RecordArchive, scratch: Path, progress: Callable[[int], None] | None = None
    ) -> IndexUpdate:
        """Read the files of an archive that are new or have changed, and drop those that are gone.

        What could not be read is tried again each time: permissions are mended, and disks and networks come back.

        progress : called with the number of files looked at.

        Raises
        ------
        DataError
            The archive cannot be listed, or the index cannot be written.
        """
        known = {
            name: (size, stamp)
            for name, size, stamp in self._database.execute("SELECT name, size_bytes, stamp FROM files")
        }
        n_files = n_read = 0
        try:
            for file in archive.files():
                n_files += 1
                if known.pop(file.name, None) != (file.size_bytes, file.stamp):
                    n_read += 1
                    self._read(archive, file, scratch)
                    if n_read % _COMMIT_FILES == 0:
                        self._database.commit()
                if progress is not None:
                    progress(n_files)
            gone = [name for name in known if not _is_below(name, archive.unreadable)]
            self._database.executemany("DELETE FROM files WHERE name = ?", [(name,) for name in gone])
            self._database.commit()
        except sqlite3.Error as problem:
            raise DataError(f"index {self._path} cannot be written: {problem}") from problem
        unreadable = (*archive.unreadable.values(), *self._problems("stamp = ?"))
        return IndexUpdate(n_files, n_read, len(gone), tuple(self._problems("stamp != ?")), unreadable)

    def files(self) -> Iterator[IndexedFile]:
        """Yield the files that hold records, in no order."""
        with closing(
            self._database.execute("SELECT name, size_bytes, content FROM files WHERE problem IS NULL")
        ) as rows:
            for name, size_bytes, content in rows:
                values = json.loads(content)
                spans = {source_id: (a, b, rate_hz) for source_id, (a, b, rate_hz) in values["spans"].items()}
                pieces = tuple((a, b) for a, b in values["pieces"])
                yield IndexedFile(name, size_bytes, values["start_ns"], spans, pieces, values["unreadable_bytes"])

    def _problems(self, which: str) -> Iterator[str]:
        query = f"SELECT problem FROM files WHERE problem IS NOT NULL AND {which} ORDER BY name"
        return (problem for (problem,) in self._database.execute(query, (_UNREAD,)))

    def _read(self, archive: RecordArchive, file: ArchiveFile, scratch: Path) -> None:
        content, problem, stamp, path = None, None, file.stamp, None
        with scratch_folder(scratch, f"index-{os.getpid()}") as folder:
            try:
                path = archive.local_path(file.name, folder)
                content = json.dumps(_content(path), separators=(",", ":"))
            except DataError as error:
                problem = str(error)
                if path is None or isinstance(error.__cause__, OSError):
                    stamp = _UNREAD
        row = (file.name, file.size_bytes, stamp, content, problem)
        self._database.execute("REPLACE INTO files VALUES (?, ?, ?, ?, ?)", row)


def _is_below(name: str, folders: Iterable[str]) -> bool:
    """Whether a file is one of these, or in one of them."""
    return any(name == folder or name.startswith(f"{folder}/") for folder in folders)


def _content(path: Path) -> dict[str, object]:
    if path.suffix.lower() == ".csv":
        source_id, start_ns, stop_ns, rate_hz = packet_span(path)
        spans, pieces = {source_id: (start_ns, stop_ns, rate_hz)}, [(start_ns, stop_ns)]
        return {"start_ns": None, "spans": spans, "pieces": pieces, "unreadable_bytes": 0}
    index = index_file(path)
    spans = channel_spans(index, lambda source_id, rate_hz: True, Diagnostics())
    pieces = merged((header.start_ns, header.stop_ns) for header in index.headers)
    return {"start_ns": index.start_ns, "spans": spans, "pieces": pieces, "unreadable_bytes": index.unreadable_bytes}


def merged(pieces: Iterable[Piece]) -> list[Piece]:
    """Join pieces, in the order of their starts, whose gaps are shorter than a period's break."""
    joined: list[Piece] = []
    for start_ns, stop_ns in pieces:
        if joined and start_ns - joined[-1][1] < BREAK_NS:
            joined[-1] = (joined[-1][0], max(joined[-1][1], stop_ns))
        else:
            joined.append((start_ns, stop_ns))
    return joined

"""What a run remembers of the files that it follows: much of those that changed last, eight bytes of the others."""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

import numpy as np

from edgequake.edge.base.checkpoint import State
from edgequake.edge.inputs.folder_watch import Sighting
from edgequake.edge.inputs.followed_file import FollowedFile, checksum_of, first_header, name_of

_MOST_FILES = 1000  # of which it is known how far they have been read, and what: about 250 bytes each in a checkpoint
_MOST_FINGERPRINTS = 1 << 17  # of further files: 1 MB in a checkpoint
_MOST_REPLACED = 64
_MOST_FINE_SPANS = 2000  # over all channels of all files, those that changed last first: 180 kB in a checkpoint
_END_BYTES = 512  # of a file's start and end, that its fingerprint depends on


class FileMemory:
    """Knows files again, whatever has been done to their names.

    A file is known by device and inode (it may have been renamed), by path (it may have been replaced), by the record
    that it begins with (it may be a copy), and, long after it has been read, by a fingerprint of its size and ends.
    """

    def __init__(self) -> None:
        self._files: dict[str, FollowedFile] = {}  # by path, the one that changed last at the end
        self._paths: dict[tuple[int, int], str] = {}  # by device and inode
        self._named: dict[str, str] = {}  # path by channel and time of the first record
        self._replaced: dict[tuple[int, int], FollowedFile] = {}  # the file may have been renamed at the same time
        self._fingerprints: dict[int, None] = {}
        # Once fingerprints had to be dropped: a file that is not known and whose status changed before this time has
        # been read. No program can set this time (st_ctime); renaming, copying and writing all renew it.
        self._read_before_ns = 0
        self._newest_ns = 0
        self.is_resumed = False

    def at(self, path: str) -> FollowedFile | None:
        """Return the file of a path."""
        return self._files.get(path)

    def is_as_read(self, sighting: Sighting) -> bool:
        """Return whether all of a file has been read, and it has the size and the time that it had then."""
        file = self._files.get(sighting.path)
        if file is None or file.until < file.size_bytes:
            return False
        return (file.identity, file.size_bytes, file.mtime_ns) == (
            sighting.identity,
            sighting.size_bytes,
            sighting.mtime_ns,
        )

    def note_rename(self, sighting: Sighting) -> bool:
        """Follow a file to a new name; return whether the sighting is of a second name of a file (a hard link)."""
        path = self._paths.get(sighting.identity)
        if path is None or path == sighting.path or path not in self._files:
            return False
        with suppress(OSError):
            status = Path(path).stat()
            if (status.st_dev, status.st_ino) == sighting.identity:
                return True
        file = self._files[path]
        with suppress(OSError), Path(sighting.path).open("rb") as content:
            replaced = self._files.get(sighting.path)
            # Otherwise the inode of a deleted file has been used again, perhaps for a longer copy of another.
            is_known = replaced is None or replaced.stop_ns <= file.stop_ns
            if file.until and is_known and file.begins_as(content):
                del self._files[path]
                file.path = sighting.path
                self._insert(file)
        return False

    def find(self, file: BinaryIO, path: str) -> FollowedFile | None:
        """Return what is known of an open file, which may be nothing yet; None if it has been read and forgotten."""
        status = os.fstat(file.fileno())
        identity = (status.st_dev, status.st_ino)
        known = self._files.get(path)
        if known is None:
            known = self._replaced.pop(identity, None)
            if known is not None and not known.begins_as(file):
                known = None
        elif known.identity != identity and known.identity != (0, 0):
            self._keep_replaced(known)
        if known is None and self._is_forgotten(file, status):
            return None
        if known is None or (known.until == 0 and not known.channels):
            known = self._copy_of(file, path) or known or FollowedFile(path)
        self._newest_ns = max(self._newest_ns, status.st_ctime_ns)
        known.path = path
        return known

    def remember(self, file: FollowedFile, status: os.stat_result) -> None:
        """Note that a file has been read as it was then."""
        file.identity = (status.st_dev, status.st_ino)
        file.size_bytes, file.mtime_ns = status.st_size, status.st_mtime_ns
        self._insert(file)

    def tidy(self, in_use: set[str]) -> list[str]:
        """Keep the memory bounded; return the paths of files forgotten.

        Parameters
        ----------
        in_use : paths of files that wait to be read.
        """
        n_spans = 0
        for file in reversed(self._files.values()):
            for samples in file.channels.values():
                if n_spans > _MOST_FINE_SPANS:
                    samples.condense(1)
                n_spans += samples.n_spans
        oldest = list(self._files)[: max(0, len(self._files) - _MOST_FILES)]
        forgotten = [path for path in oldest if path not in in_use and self._forget(path)]
        while not in_use and len(self._fingerprints) > _MOST_FINGERPRINTS:  # every file has been read
            del self._fingerprints[next(iter(self._fingerprints))]
            self._read_before_ns = self._newest_ns
        return forgotten

    def state(self) -> State:
        return {
            "files": [file.state() for file in self._files.values()],
            "fingerprints": np.array(list(self._fingerprints), np.uint64),
            "read_before_ns": self._read_before_ns,
        }

    def restore(self, state: State) -> None:
        for values in state["files"]:
            self._insert(FollowedFile.restored(values))
        self._fingerprints = dict.fromkeys(state["fingerprints"].tolist())
        self._read_before_ns = self._newest_ns = state["read_before_ns"]
        self.is_resumed = True

    def _insert(self, file: FollowedFile) -> None:
        self._files.pop(file.path, None)
        self._files[file.path] = file
        self._paths[file.identity] = file.path
        if file.name is not None:
            self._named[file.name] = file.path

    def _keep_replaced(self, file: FollowedFile) -> None:
        self._replaced[file.identity] = file.copy(file.path)
        if len(self._replaced) > _MOST_REPLACED:
            del self._replaced[next(iter(self._replaced))]

    def _copy_of(self, file: BinaryIO, path: str) -> FollowedFile | None:
        header = first_header(file, path)
        original = None if header is None else self._files.get(self._named.get(name_of(header), ""))
        return None if original is None else original.copy(path)

    def _is_forgotten(self, file: BinaryIO, status: os.stat_result) -> bool:
        if self.is_resumed and status.st_ctime_ns <= self._read_before_ns:
            return True
        return bool(self._fingerprints) and _fingerprint(file, status.st_size) in self._fingerprints

    def _forget(self, path: str) -> bool:
        """Keep no more than the fingerprint of a file, unless it is just being written; return whether this is done."""
        file = self._files[path]
        try:
            with Path(path).open("rb") as content:
                status = os.fstat(content.fileno())
                is_there = (status.st_dev, status.st_ino) == file.identity
                if is_there and (status.st_size, status.st_mtime_ns) != (file.size_bytes, file.mtime_ns):
                    return False
                if is_there:
                    self._fingerprints[_fingerprint(content, status.st_size)] = None
        except FileNotFoundError:
            pass
        except OSError:
            return False
        del self._files[path]
        if self._paths.get(file.identity) == path:
            del self._paths[file.identity]
        if file.name is not None and self._named.get(file.name) == path:
            del self._named[file.name]
        return True


def _fingerprint(file: BinaryIO, size_bytes: int) -> int:
    ends = (
        checksum_of(file, 0, min(_END_BYTES, size_bytes)),
        checksum_of(file, max(0, size_bytes - _END_BYTES), size_bytes),
    )
    packed = struct.pack("<qqq", size_bytes, *ends)
    return int.from_bytes(blake2b(packed, digest_size=8).digest(), "little")

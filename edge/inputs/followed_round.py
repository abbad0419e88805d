"""The records that one round reads from followed files."""

from __future__ import annotations

import os
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from edgequake.edge.formats.record_scanner import RecordHeader
from edgequake.edge.inputs.followed_file import FollowedFile, headers_between

_MOST_OPEN = 16  # files; a process may often open no more than 256


@dataclass
class RoundPart:
    """Records of one file that are being read in the present round."""

    file: FollowedFile
    begin: int  # byte where the scan began that found them
    start: int  # they lie within the bytes [start, stop)
    stop: int
    is_compared: bool  # what has been read already is left out
    n_done: int = 0  # records that have been read, in order of time
    headers: list[RecordHeader] | None = None  # in order of time; None: after an interruption, they are found again
    has_changed: bool = False  # the file is no longer the one that was scanned

    def state(self) -> list[Any]:
        """Return path and numbers: `RoundPart(file of the path, *numbers)` is this part."""
        return [self.file.path, self.begin, self.start, self.stop, self.is_compared, self.n_done]

    def is_as_scanned(self) -> bool:
        """Return whether the file still holds what the scan found."""
        with suppress(OSError), Path(self.file.path).open("rb") as content:
            return self.file.holds_what_was_read(content)
        return False


class OpenFiles:
    """The few files that a round is reading from."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, BinaryIO] = OrderedDict()

    def get(self, file: FollowedFile) -> BinaryIO:
        """Return a file, open.

        Raises
        ------
        LookupError
            The path is that of another file now.
        OSError
            It cannot be opened.
        """
        if file.path not in self._files:
            content = Path(file.path).open("rb")
            status = os.fstat(content.fileno())
            if (status.st_dev, status.st_ino) != file.identity:
                content.close()
                raise LookupError(f"{file.path} has been replaced")
            self._files[file.path] = content
            if len(self._files) > _MOST_OPEN:
                self._files.popitem(last=False)[1].close()
        self._files.move_to_end(file.path)
        return self._files[file.path]

    def close(self) -> None:
        """Close the files."""
        for content in self._files.values():
            content.close()


def in_time(header: RecordHeader) -> tuple[int, str, int]:
    """Return the key by which the records of a file are sorted."""
    return header.start_ns, header.source_id, header.offset


def found_again(part: RoundPart) -> list[RecordHeader]:
    """Return a part's records in order of time, none if the file cannot be read."""
    with suppress(OSError), Path(part.file.path).open("rb") as content:
        headers = headers_between(content, part.file.path, part.begin, part.stop)
        return sorted((header for header in headers if header.offset >= part.start), key=in_time)
    return []

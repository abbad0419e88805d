"""What has been handed over to the radio: one line a pass, appended and synced before the files appear.

The journal and the catalogue are all that the downlink remembers, so that whatever a power loss takes, nothing is sent
twice and the budget still holds.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from edgequake.edge.errors import DataError

JOURNAL = "downlink.log"  # below a run's folder


@dataclass(frozen=True)
class HandedFile:
    """One file of the outbox."""

    name: str
    size_bytes: int
    sha256: str

    @classmethod
    def of(cls, name: str, data: bytes) -> HandedFile:
        """Describe a file that is to hold `data`."""
        return cls(name, len(data), hashlib.sha256(data).hexdigest())


@dataclass(frozen=True)
class Sent:
    """Units [first, stop) of a source: of a segment its notice and then its records in their order of sending."""

    source: str  # segments/..., continuous/..., requests/...
    first: int
    stop: int


@dataclass(frozen=True)
class Pass:
    """One hand-over."""

    number: int
    clock_ns: int  # mission time
    day: int  # UTC day whose budget it counts against, days since 1970
    files: tuple[HandedFile, ...]
    sent: tuple[Sent, ...]
    again: bool = False  # holds samples that may have been sent before: what the ground has asked for

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size_bytes for file in self.files)

    def line(self) -> bytes:
        """Return the journal's line."""
        return json.dumps(asdict(self), separators=(",", ":")).encode() + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> Pass:
        """Read a line of the journal.

        Raises
        ------
        ValueError
            It is none.
        """
        try:
            values = json.loads(line)
            files = tuple(HandedFile(**file) for file in values.pop("files"))
            sent = tuple(Sent(**part) for part in values.pop("sent"))
            return cls(files=files, sent=sent, **values)
        except (KeyError, TypeError, AttributeError) as problem:
            raise ValueError(str(problem)) from problem


def read_journal(path: Path) -> Iterator[Pass]:
    """Yield the passes of a journal; a last line that a power loss has torn is not there yet.

    Raises
    ------
    DataError
        It cannot be read, or a line before the last is damaged.
    """
    if not path.exists():
        return
    try:
        with path.open("rb") as file:
            for i, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return
                yield _parsed(line, path, i)
    except OSError as problem:
        raise DataError(f"the journal {path} cannot be read: {problem.strerror or problem}") from problem


def append_pass(path: Path, done: Pass) -> None:
    """Append a pass and make it durable.

    Raises
    ------
    OSError
        It cannot be written; nothing of it is left.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        size_bytes = os.lseek(descriptor, 0, os.SEEK_END)
        try:
            view = memoryview(done.line())
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size_bytes)
            raise
    finally:
        os.close(descriptor)


def cut_torn_line(path: Path) -> None:
    """Cut off a last line that a power loss has torn."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        size_bytes = file.seek(0, os.SEEK_END)
        start = max(0, size_bytes - (1 << 20))
        file.seek(start)
        tail = file.read()
        whole = tail.rfind(b"\n") + 1
        if whole < len(tail):
            file.truncate(start + whole)


def _parsed(line: bytes, path: Path, number: int) -> Pass:
    try:
        return Pass.parse(line)
    except ValueError as problem:
        raise DataError(
            f"the journal {path} is damaged in line {number}: {problem}; set it aside to begin a new one, which sends "
            f"again what is still held"
        ) from problem

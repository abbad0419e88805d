"""miniSEED in, through pymseed (libmseed)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Protocol

import numpy as np
from pymseed import DataEncoding, MiniSEEDError, MS3Record, get_error_messages

from edgequake.edge.errors import DataError
from edgequake.edge.piece import Piece, duration_ns

_CHUNK_BYTES = 512  # the shortest common record: a longer wait would delay a live stream
_END_OF_FILE = 1  # libmseed's status for a source that stops within a record
# Where a record may begin, by the fields that libmseed itself goes by: sequence number and quality (version 2) or the
# letters MS and a 3 (version 3), then a time of day that exists.
_RECORD_START = re.compile(
    rb"[0-9 \0]{6}[DRQM][ \0][\x20-\x7e\0]{12}.{4}[\0-\x17][\0-\x3b][\0-\x3c]|MS\x03.{9}[\0-\x17][\0-\x3b][\0-\x3c]",
    re.DOTALL,
)
Note = Callable[[str, int], None]  # takes a warning and the number of bytes that could not be used


@dataclass(frozen=True)
class RecordHeader:
    """Where one miniSEED record lies and what it covers."""

    offset: int
    size_bytes: int
    source_id: str
    start_ns: int
    sampling_rate_hz: float
    n_samples: int

    @property
    def stop_ns(self) -> int:
        """Time one sampling interval after the last sample."""
        return self.start_ns + duration_ns(self.n_samples, self.sampling_rate_hz)


class ReadableBytes(Protocol):
    """What a live stream must offer."""

    def read(self, n_bytes: int, /) -> bytes:
        """Return up to `n_bytes`, none at the stream's end."""


@dataclass(frozen=True)
class FileIndex:
    """The records of one file, in the order of their start times."""

    path: Path
    headers: tuple[RecordHeader, ...]
    unreadable_bytes: int  # that belong to no readable record
    problem: str | None  # what the reader said of the first of them

    @property
    def start_ns(self) -> int:
        """Time of the file's first sample."""
        return self.headers[0].start_ns


@dataclass
class _Damage:
    """Records of one source that could not be used, or not be trusted."""

    n_left_out: int = 0
    n_suspect: int = 0
    size_bytes: int = 0
    first: str = ""

    def leave_out(self, problem: str, size_bytes: int) -> None:
        self.n_left_out += 1
        self.size_bytes += size_bytes
        self.first = self.first or problem

    def tell(self, note: Note, source: str) -> None:
        if self.n_left_out:
            note(f"{source}: {self.n_left_out} damaged record(s) left out; the first: {self.first}", self.size_bytes)
        if self.n_suspect:
            note(f"{source}: {self.n_suspect} record(s) fail their own check of the samples, used as they are", 0)


def index_file(path: Path) -> FileIndex:
    """Read the headers of a file's records that hold samples; nothing is decoded.

    Bytes that are no record are passed over and counted: one damaged header must not cost the rest of a day.

    Raises
    ------
    DataError
        The file cannot be opened, is empty, is not miniSEED, or holds no sample.
    """
    headers: list[RecordHeader] = []
    offset, unreadable_bytes, problem = 0, 0, None
    try:
        size = path.stat().st_size
        while offset < size:
            try:
                for record in MS3Record.from_file(path, start_byte_offset=offset):
                    try:
                        headers += [_header(record, offset)] if _holds_samples(record) else []
                    except UnicodeDecodeError:
                        problem = problem or "its channel codes are no text"
                        unreadable_bytes += record.reclen
                    offset += record.reclen
                break
            except MiniSEEDError as error:
                problem = problem or _first_reason(error)
                following = _next_record(path, offset + 1, size)
                unreadable_bytes += following - offset
                offset = following
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if not headers:
        reason = "is empty" if size == 0 else f"is not miniSEED ({problem})" if problem else "holds no sample"
        raise DataError(f"{path} {reason}; expected a miniSEED file with samples")
    headers.sort(key=lambda header: (header.start_ns, header.source_id, header.offset))
    return FileIndex(path, tuple(headers), unreadable_bytes, problem)


def read_indexed(index: FileIndex, headers: Iterable[RecordHeader], note: Note | None = None) -> Iterator[Piece]:
    """Decode the records of `headers`, one at a time, as pieces.

    With `note`, a record that cannot be decoded is left out and told to `note` at the file's end; so is one whose
    samples differ from its own check value, but those are given all the same.

    Raises
    ------
    DataError
        The file has gone, or, without `note`, a record's body cannot be decoded.
    """
    name, start_ns = index.path.name, index.start_ns
    damage = _Damage()
    try:
        with index.path.open("rb") as file:
            for header in headers:
                file.seek(header.offset)
                try:
                    piece = _decode(file.read(header.size_bytes), header, name, start_ns)
                except DataError as problem:
                    if note is None:
                        raise
                    damage.leave_out(str(problem), header.size_bytes)
                    continue
                damage.n_suspect += bool(get_error_messages())
                yield piece
    except OSError as error:
        raise DataError(f"{index.path} cannot be read: {error.strerror or error}") from error
    if note is not None:
        damage.tell(note, str(index.path))


def read_stream(stream: ReadableBytes, note: Note, name: str = "-") -> Iterator[Piece]:
    """Decode miniSEED records from a live stream, as they come.

    A record that cannot be decoded is left out; that, and a stream that stops within a record, is told to `note` at the
    stream's end.

    Raises
    ------
    DataError
        Something that is no miniSEED record, or nothing at all.
    """
    first_ns: dict[str, int] = {}
    damage = _Damage()
    try:
        for record in MS3Record.from_filelike(stream, chunk_size=_CHUNK_BYTES):
            if not _holds_samples(record):
                continue
            try:
                record.unpack_data()
                header = _header(record, 0)
            except (MiniSEEDError, ValueError) as error:
                damage.leave_out(_first_reason(error), record.reclen)
                continue
            damage.n_suspect += bool(get_error_messages())
            samples = np.array(record.np_datasamples)  # a copy: the record's own memory is used again
            start_ns = first_ns.setdefault(header.source_id, header.start_ns)
            yield Piece(header.source_id, header.start_ns, header.sampling_rate_hz, samples, name, start_ns)
    except MiniSEEDError as error:
        if error.status_code != _END_OF_FILE or not first_ns:
            raise DataError(f"input stream '{name}': {_first_reason(error)}; expected miniSEED records") from error
        note(f"input stream '{name}': {_first_reason(error)}", 0)
    damage.tell(note, f"input stream '{name}'")


def _decode(data: bytes, header: RecordHeader, name: str, file_start_ns: int) -> Piece:
    try:
        record = next(MS3Record.from_buffer(data, unpack_data=True))
        samples = np.array(record.np_datasamples)  # a copy: the record's own memory is used again
    except (MiniSEEDError, ValueError, StopIteration) as error:
        reason = _first_reason(error)
        raise DataError(f"{name}: the record at byte {header.offset} cannot be decoded: {reason}") from error
    return Piece(header.source_id, header.start_ns, header.sampling_rate_hz, samples, name, file_start_ns)


def _next_record(path: Path, offset: int, size: int) -> int:
    """Byte of the next thing that looks like a record's start, or the file's size."""
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        found = _RECORD_START.search(data, offset)
        return found.start() if found else size


def _first_reason(error: Exception) -> str:
    return str(error).split(" :: ")[0].split("; ")[0].removeprefix("Error: ")


def _holds_samples(record: MS3Record) -> bool:
    return bool(record.samplecnt > 0 and _rate_hz(record) > 0.0 and record.encoding != DataEncoding.TEXT)


def _header(record: MS3Record, offset: int) -> RecordHeader:
    return RecordHeader(offset, record.reclen, record.sourceid, record.starttime, _rate_hz(record), record.samplecnt)


def _rate_hz(record: MS3Record) -> float:
    rate = float(record.samprate)
    return rate if rate > 0 else 0.0

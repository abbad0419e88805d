"""miniSEED in and out, through pymseed (libmseed)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from pymseed import DataEncoding, MiniSEEDError, MS3Record

from edgequake.edge.errors import DataError
from edgequake.edge.piece import Piece, duration_ns

_RECORD_BYTES = 512



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


@dataclass(frozen=True)
class FileIndex:
    """The records of one file, in the order of their start times."""

    path: Path
    headers: tuple[RecordHeader, ...]
    unreadable_bytes: int  # behind the last record that could be read
    problem: str | None  # what stopped the reading there

    @property
    def start_ns(self) -> int:
        """Time of the file's first sample."""
        return self.headers[0].start_ns


def index_file(path: Path) -> FileIndex:
    """Read the headers of a file's records that hold samples; nothing is decoded.

    Raises
    ------
    DataError
        The file cannot be opened, is empty, is not miniSEED, or holds no sample.
    """
    headers, offset, problem = [], 0, None
    try:
        size = path.stat().st_size
        for record in MS3Record.from_file(path):
            headers += [_header(record, offset)] if _holds_samples(record) else []
            offset += record.reclen
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except MiniSEEDError as error:
        problem = str(error).split(" :: ")[0]
    if not headers:
        reason = "is empty" if size == 0 else f"is not miniSEED ({problem})" if problem else "holds no sample"
        raise DataError(f"{path} {reason}; expected a miniSEED file with samples")
    headers.sort(key=lambda header: (header.start_ns, header.source_id, header.offset))
    return FileIndex(path, tuple(headers), size - offset, problem)


def read_indexed(index: FileIndex, headers: Iterable[RecordHeader]) -> Iterator[Piece]:
    """Decode the records of `headers`, one at a time, as pieces.

    Raises
    ------
    DataError
        A record's body cannot be decoded, or the file has gone.
    """
    name, start_ns = index.path.name, index.start_ns
    try:
        with index.path.open("rb") as file:
            for header in headers:
                file.seek(header.offset)
                yield _decode(file.read(header.size_bytes), header, name, start_ns)
    except OSError as error:
        raise DataError(f"{index.path} cannot be read: {error.strerror or error}") from error


def read_stream(stream: BinaryIO, name: str = "-") -> Iterator[Piece]:
    """Decode miniSEED records from a live stream, as they come.

    Raises
    ------
    DataError
        Something that is no miniSEED record.
    """
    first_ns: dict[str, int] = {}
    try:
        for record in MS3Record.from_filelike(stream, chunk_size=_RECORD_BYTES, unpack_data=True):
            if _holds_samples(record):
                samples = np.array(record.np_datasamples)  # a copy: the record's own memory is used again
                start_ns = first_ns.setdefault(record.sourceid, record.starttime)
                yield Piece(record.sourceid, record.starttime, _rate_hz(record), samples, name, start_ns)
    except MiniSEEDError as error:
        raise DataError(f"input stream '{name}': {str(error).split(' :: ')[0]}; expected miniSEED records") from error


def encode(pieces: Iterable[Piece]) -> bytes:
    """Return pieces as miniSEED 2 records, sample for sample: Steim2 for integers, floats as they are.

    Integers whose differences do not fit Steim2's 30 bits are written as plain 32-bit integers.
    """
    return b"".join(_encode(piece) for piece in pieces)


def _encode(piece: Piece) -> bytes:
    encoding, sample_type, samples = _encoding(piece.samples)
    record = MS3Record(reclen=_RECORD_BYTES, encoding=encoding)
    record.formatversion = 2  # every seismological program reads it; times are kept to the microsecond
    record.pubversion = 1
    record.sourceid = piece.source_id
    record.samprate = piece.sampling_rate_hz
    record.starttime = piece.start_ns
    return b"".join(record.generate(samples, sample_type))


def _encoding(samples: npt.NDArray[Any]) -> tuple[DataEncoding, str, npt.NDArray[Any]]:
    if samples.dtype.kind in "iu":
        wide = samples.astype(np.int64)
        fits = len(wide) < 2 or int(np.max(np.abs(np.diff(wide)))) < 2**29
        return (DataEncoding.STEIM2 if fits else DataEncoding.INT32), "i", samples.astype(np.int32)
    if samples.dtype == np.float32:
        return DataEncoding.FLOAT32, "f", samples
    return DataEncoding.FLOAT64, "d", samples.astype(np.float64)


def _decode(data: bytes, header: RecordHeader, name: str, file_start_ns: int) -> Piece:
    try:
        record = MS3Record.parse(data, unpack_data=True)
        samples = np.array(record.np_datasamples)
    except MiniSEEDError as error:
        problem = str(error).split(" :: ")[0]
        raise DataError(f"{name}: the record at byte {header.offset} cannot be decoded: {problem}") from error
    return Piece(header.source_id, header.start_ns, header.sampling_rate_hz, samples, name, file_start_ns)


def _holds_samples(record: MS3Record) -> bool:
    return bool(record.samplecnt > 0 and _rate_hz(record) > 0.0 and record.encoding != DataEncoding.TEXT)


def _header(record: MS3Record, offset: int) -> RecordHeader:
    return RecordHeader(
        offset, record.reclen, record.sourceid, record.starttime, _rate_hz(record), record.samplecnt
    )


def _rate_hz(record: MS3Record) -> float:
    rate = float(record.samprate)
    return rate if rate > 0 else 0.0



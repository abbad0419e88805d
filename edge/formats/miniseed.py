"""Read and write miniSEED through pymseed (libmseed); written samples equal those that were read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from pymseed import DataEncoding, MiniSEEDError, MS3Record, get_error_messages

from edgequake.edge.base.atomic_files import open_regular
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.record_repair import with_own_length, with_right_time
from edgequake.edge.formats.record_scanner import (
    RecordHeader,
    RecordScanner,
    count_messages,
    first_reason,
    unpacked,
)
from edgequake.edge.formats.source_ids import split_source_id
from edgequake.edge.formats.waveforms import Trace, parse_time

_READ_BYTES = 1 << 18
_RECORD_BYTES = 512
_HEADER_BYTES, _STEIM_FRAME_BYTES = 48, 64  # the longest without an identifier; the least that holds samples
_VERSION_2_NS = (parse_time("1900-01-01T00:00:00"), parse_time("2100-01-01T00:00:00"))


@dataclass(frozen=True)
class FileIndex:
    """The records of one file, in order of start time."""

    path: Path
    headers: tuple[RecordHeader, ...]
    diagnostics: Diagnostics  # the bytes that belong to no readable record, and the records that were mended

    @property
    def start_ns(self) -> int:
        """Time of the file's first sample."""
        return self.headers[0].start_ns

    @property
    def unreadable_bytes(self) -> int:
        """Bytes that belong to no usable record."""
        return self.diagnostics.unreadable_bytes

    @property
    def problem(self) -> str | None:
        """Why the first of them cannot be read."""
        return self.diagnostics.first_problem(str(self.path))


def index_file(path: Path, start_byte: int = 0, stop_byte: int | None = None) -> FileIndex:
    """Read the headers of those records of a file that hold samples, without decoding any.

    Bytes that belong to no record are skipped and counted: one damaged header must not cost the rest of a day.

    Raises
    ------
    DataError
        The file cannot be read, is empty, is not miniSEED, or holds no sample.
    """
    diagnostics = Diagnostics()
    scanner = RecordScanner(str(path), diagnostics, decode=False, offset=start_byte)
    headers: list[RecordHeader] = []
    size = 0
    try:
        with open_regular(path) as file:
            file.seek(start_byte)
            while data := file.read(_READ_BYTES if stop_byte is None else min(_READ_BYTES, stop_byte - file.tell())):
                size += len(data)
                headers += [record.header for record in scanner.feed(data)]
            headers += [record.header for record in scanner.feed(b"", at_end=True)]
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    problem = diagnostics.first_problem(str(path))
    if not headers:
        reason = "is empty" if size == 0 else "holds no sample"
        if problem:
            reason = f"{'is not miniSEED' if diagnostics.has_junk else 'holds no usable record'} ({problem})"
        raise DataError(f"{path} {reason}; expected a miniSEED file with samples")
    headers.sort(key=lambda header: (header.start_ns, header.source_id, header.offset))
    return FileIndex(path, tuple(headers), diagnostics)


class RecordFile:
    """A miniSEED file whose records are decoded one at a time."""

    def __init__(self, path: Path, file_start_ns: int) -> None:
        self._path, self._file_start_ns = path, file_start_ns
        self._record = MS3Record()
        self._file: BinaryIO | None = None

    def trace(self, header: RecordHeader, diagnostics: Diagnostics | None) -> Trace | None:
        """Decode one record.

        With `diagnostics`, a record that cannot be decoded is None and counted there; a record whose samples differ
        from its own check value is used and counted.

        Raises
        ------
        DataError
            The file cannot be read, or, without `diagnostics`, the record cannot be decoded.
        """
        try:
            if self._file is None:
                self._file = self._path.open("rb")
            self._file.seek(header.offset)
            data = self._file.read(header.size_bytes)
        except OSError as error:
            raise DataError(f"{self._path} cannot be read: {error.strerror or error}") from error
        counted = Diagnostics() if diagnostics is None else diagnostics
        try:
            samples = self._samples(data, counted)
        except (MiniSEEDError, ValueError, StopIteration) as error:
            problem = f"the record at byte {header.offset} cannot be decoded: {first_reason(error)}"
            if diagnostics is None:
                raise DataError(f"{self._path.name}: {problem}") from error
            diagnostics.skip_record(str(self._path), problem, header.size_bytes)
            return None
        rate_hz = header.sampling_rate_hz
        return Trace(header.source_id, header.start_ns, rate_hz, samples, self._path.name, self._file_start_ns)

    def _samples(self, data: bytes, diagnostics: Diagnostics) -> npt.NDArray[Any]:
        try:
            record = self._record.parse_into(data, unpack_data=True)
        except MiniSEEDError:
            return self._mended_samples(data, diagnostics)
        samples = np.array(record.np_datasamples)  # a copy: libmseed reuses the record's memory
        messages = get_error_messages()
        if messages:
            if record.reclen != len(data):
                return self._mended_samples(data, diagnostics)
            count_messages(messages, str(self._path), diagnostics)
        return samples

    def _mended_samples(self, data: bytes, diagnostics: Diagnostics) -> npt.NDArray[Any]:
        """Decode a record of which libmseed rejects a field; one of its header was counted when that was read."""
        if len(data) >= _HEADER_BYTES:  # else the file has been cut since it was indexed
            data = with_right_time(data) or with_own_length(data) or data
        try:
            next(MS3Record.from_buffer(data, validate_crc=False))
        except (MiniSEEDError, StopIteration):
            diagnostics = Diagnostics()
        return unpacked(data, str(self._path), diagnostics)

    def close(self) -> None:
        """Close the file; the next `trace` opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None


def read_indexed(
    index: FileIndex, headers: Iterable[RecordHeader], diagnostics: Diagnostics | None = None
) -> Iterator[Trace]:
    """Decode the records of `headers` one at a time; `diagnostics` and errors as in `RecordFile.trace`."""
    file = RecordFile(index.path, index.start_ns)
    try:
        for header in headers:
            trace = file.trace(header, diagnostics)
            if trace is not None:
                yield trace
    finally:
        file.close()


def encode(traces: Iterable[Trace]) -> bytes:
    """Return traces as miniSEED records without any loss: integers as Steim2, floats as they are.

    Integers whose differences exceed Steim2's 30 bits are written as plain 32-bit integers. The format is version 2,
    which every seismological program reads and which keeps times to the microsecond; version 3 where the codes are too
    long for version 2 or the year is outside 1900 to 2100.
    """
    return b"".join(record for trace in traces for record in records_of(trace))


def records_of(trace: Trace, record_bytes: int = _RECORD_BYTES) -> list[bytes]:
    """Return a trace as miniSEED records, as `encode` does; `record_bytes` is a power of 2, at least 128.

    Where a header of version 3 with a long identifier leaves no room for samples in so few bytes, records are longer.
    """
    encoding, sample_type, samples = _encoding(trace.samples)
    while record_bytes < _HEADER_BYTES + len(trace.source_id) + _STEIM_FRAME_BYTES:
        record_bytes *= 2
    record = MS3Record(reclen=record_bytes, encoding=encoding)
    record.formatversion = 2 if _fits_version_2(trace) else 3
    record.pubversion = 1
    record.sourceid = trace.source_id
    record.samprate = trace.sampling_rate_hz
    record.starttime = trace.start_ns
    return list(record.generate(samples, sample_type))


def _fits_version_2(trace: Trace) -> bool:
    codes = split_source_id(trace.source_id)
    channel = (codes.band, codes.source, codes.subsource)
    fits = len(codes.network) <= 2 and len(codes.station) <= 5 and len(codes.location) <= 2
    # libmseed can take neither an underscore apart nor, from a damaged header, a colon.
    fits = fits and all(len(code) == 1 for code in channel)
    fits = fits and "_" not in codes.station and ":" not in trace.source_id.removeprefix("FDSN:")
    return fits and _VERSION_2_NS[0] <= trace.start_ns and trace.stop_ns < _VERSION_2_NS[1]


def _encoding(samples: npt.NDArray[Any]) -> tuple[DataEncoding, str, npt.NDArray[Any]]:
    if samples.dtype.kind in "iu":
        fits = len(samples) < 2 or int(np.max(samples)) - int(np.min(samples)) < 2**29  # saves the differences
        fits = fits or int(np.max(np.abs(np.diff(samples.astype(np.int64))))) < 2**29
        return (DataEncoding.STEIM2 if fits else DataEncoding.INT32), "i", np.ascontiguousarray(samples, np.int32)
    if samples.dtype == np.float32:
        return DataEncoding.FLOAT32, "f", samples
    return DataEncoding.FLOAT64, "d", samples.astype(np.float64)

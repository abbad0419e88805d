"""Find miniSEED records in a byte stream that may contain anything else; a damaged byte costs one record, not a day."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from pymseed import DataEncoding, MiniSEEDError, MS3Record, get_error_messages

from edgequake.edge.base.control import beat
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.record_repair import (
    LATE_FRACTION,
    OTHER_BLOCKETTES,
    OTHER_LENGTH,
    Mended,
    decoded,
    fails_check,
    repaired,
    with_own_length,
    with_right_time,
)
from edgequake.edge.formats.source_ids import require_source_id, usable_source_id
from edgequake.edge.formats.waveforms import LAST_NS, NS_PER_S, Trace, duration_ns

# Where a record may begin, by the fields that libmseed itself checks: sequence number and quality (version 2) or the
# letters MS and a 3 (version 3), then a valid time of day.
RECORD_START = re.compile(
    rb"[0-9 \0]{6}[DRQM][ \0][\x20-\x7e\0]{12}.{4}[\0-\x17][\0-\x3b][\0-\x3c]|MS\x03.{9}[\0-\x17][\0-\x3b][\0-\x3c]",
    re.DOTALL,
)
_START_BYTES = 48  # longer than that pattern, and the shortest header of version 2
_LONGEST_BYTES = 1 << 18  # a record that claims to be longer is damaged: it is not waited for
_LENGTHS = tuple(1 << power for power in range(7, 19))  # of records of version 2
_STATION, _CHANNEL_AND_NETWORK = slice(8, 13), slice(15, 20)  # in a header of version 2


@dataclass(frozen=True, slots=True)
class RecordHeader:
    """Position, channel and time span of one miniSEED record."""

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


@dataclass(frozen=True, slots=True)
class Record:
    """A record; `samples` is None where only headers were asked for."""

    header: RecordHeader
    samples: npt.NDArray[Any] | None

    def trace(self, file: str = "-") -> Trace:
        """Return the record's samples as a trace."""
        assert self.samples is not None
        header = self.header
        return Trace(header.source_id, header.start_ns, header.sampling_rate_hz, self.samples, file)


class RecordScanner:
    """Takes bytes as they arrive and yields the records in them that hold samples."""

    def __init__(self, source: str, diagnostics: Diagnostics, decode: bool, offset: int = 0) -> None:
        """Scan `source` from the byte at `offset`; `decode`: the samples too, not only the headers."""
        self._source, self._diagnostics, self._decode = source, diagnostics, decode
        self._data = b""
        self._base = offset  # offset of the first byte in `_data`
        self._at = 0  # position in `_data`: the bytes before it, from the last record on, are done
        self._record = MS3Record()
        self._usual_bytes = 0  # length of the last good record
        self._junk_from: int | None = None  # offset where the present junk begins
        self._last_left_out = False  # the previous record could not be decoded
        self._one_is_incomplete = False  # `_good_start` met a record that may yet be completed

    @property
    def offset(self) -> int:
        """Every byte before this one has been processed."""
        return self._base + self._at

    def feed(self, data: bytes, at_end: bool = False) -> Iterator[Record]:
        """Take the next bytes and yield the records that are now complete."""
        beat()
        self._data += data
        last = 0
        while self._at < len(self._data):
            at = self._at
            self._at, record = self._next(at, last, at_end)
            if self._at == at:
                break  # wait for more bytes
            last = at
            if record is not None:
                yield record
        self._data = self._data[last:]
        self._base += last
        self._at -= last
        if at_end:
            self._junk_stops()

    def _next(self, at: int, last: int, at_end: bool) -> tuple[int, Record | None]:
        """Return the next position (`at` itself: more bytes are needed) and the record at `at`, if it is usable.

        `last` is the position of the previous record, or of junk.
        """
        n_left = len(self._data) - at
        if n_left < _START_BYTES:
            return (self._skip(at, last, at_end, "too few bytes for a record"), None) if at_end else (at, None)
        try:
            record, mended = self._parse(at, at_end)
            size_bytes = int(record.reclen)
            header = _header(record, self._base + at) if _holds_samples(record) else None
        except MiniSEEDError as error:
            n_missing = max(0, error.status_code)
            if n_missing and not at_end and n_left + n_missing <= _LONGEST_BYTES:
                # A damaged header may ask for more than arrives in hours; a good record behind it reveals the damage.
                if self._good_start(at + _START_BYTES, len(self._data)) is None:
                    return at, None
            return self._skip(at, last, at_end, first_reason(error)), None
        except UnicodeDecodeError:
            return self._skip(at, last, at_end, "its channel codes are no text"), None
        self._junk_stops()
        self._last_left_out = False
        following = self._following(at, size_bytes)
        if following < at + min(size_bytes, self._usual_bytes):
            self._diagnostics.skip_record(
                self._source, f"the record at byte {self._base + at} is cut short", following - at
            )
            return following, None
        if header is not None and _stops_too_late(header):
            problem = (
                f"the record at byte {header.offset} at {header.sampling_rate_hz} Hz would stop after the year 2261"
            )
            self._diagnostics.skip_record(self._source, problem, following - at)
            return following, None
        header = None if header is None else self._with_usable_codes(at, header, following, mended is not None)
        if header is None:
            return following, None
        if mended is not None:
            self._diagnostics.count(mended.what)
        if not self._decode:
            return following, Record(header, None)
        return self._decoded(self._data[at : at + size_bytes] if mended is None else mended.data, header, following)

    def _parse(self, at: int, at_end: bool) -> tuple[MS3Record, Mended | None]:
        """Parse the header at a position; return it, and the mended record where one of its fields is wrong."""
        view = memoryview(self._data)[at:]
        try:
            record = self._record.parse_into(view)
            mended = self._at_true_length(at, int(record.reclen), at_end)
            if mended is None:
                return record, None
        except MiniSEEDError as error:
            mended = self._mended(at, error, at_end)
            if mended is None:
                if not (at_end and error.status_code > 0):
                    raise
                # A record of version 2 whose header does not say its length ends with the data.
                return next(MS3Record.from_buffer(bytes(view))), None
        return self._record.parse_into(mended.data, validate_crc=False), mended

    def _mended(self, at: int, error: MiniSEEDError, at_end: bool) -> Mended | None:
        """Return the record at a position, of which libmseed rejects a field, with the right value in that field."""
        if RECORD_START.match(self._data, at) is None:
            return None
        n_missing = max(0, error.status_code)
        if n_missing:
            return self._at_true_length(at, len(self._data) - at + n_missing, at_end)
        data = with_right_time(self._data[at : at + _LONGEST_BYTES])
        if data is not None:
            return Mended(data, LATE_FRACTION)
        return self._at_true_length(at, 0, at_end) or repaired(self._data[at : at + self._usual_bytes])

    def _at_true_length(self, at: int, claimed_bytes: int, at_end: bool) -> Mended | None:
        """Return a record of version 2 at the length that it has, where its header claims another one (0: none).

        A record stops where the next one begins, or the data stop. It must decode completely at that length, and one
        that is longer than it claims must not decode at the length that it claims.
        """
        stop = at + claimed_bytes
        is_usual = claimed_bytes > 0 and claimed_bytes == self._usual_bytes
        if (is_usual and RECORD_START.match(self._data, stop)) or self._data.startswith(b"MS", at):
            return None
        for n_bytes in _LENGTHS:
            stop = at + n_bytes
            is_last = stop == len(self._data)
            if stop > len(self._data) or (n_bytes == claimed_bytes and is_last):
                return None
            if not (RECORD_START.match(self._data, stop) or (is_last and (at_end or n_bytes > claimed_bytes))):
                continue
            if n_bytes == claimed_bytes or (data := with_own_length(self._data[at:stop])) is None:
                return None
            if n_bytes > claimed_bytes > 0 and decoded(self._data[at : at + claimed_bytes]) is not None:
                return None
            if decoded(data) is not None:
                return Mended(data, OTHER_LENGTH)
        return None

    def _with_usable_codes(self, at: int, header: RecordHeader, following: int, is_mended: bool) -> RecordHeader | None:
        """Return a header with codes that can be used in names of files and lines of text.

        Where the codes can not, None, and the record is counted as left out. Version 3 has a checksum, which proves
        them: they are used with their odd characters replaced, and that is counted.
        """
        try:
            raw = self._data[at : at + _START_BYTES]
            if raw.startswith(b"MS") and not is_mended:
                source_id = usable_source_id(header.source_id)
                if source_id == header.source_id:
                    return header
                self._diagnostics.count(f"record(s) of {header.source_id!a} are used as {source_id}")
                return replace(header, source_id=source_id)
            # libmseed leaves out what is not ASCII: in a location that is padding, elsewhere another station.
            codes = raw[_STATION] + raw[_CHANNEL_AND_NETWORK]
            if not raw.startswith(b"MS") and not codes.isascii():
                raise DataError(f"codes {codes!a}: expected ASCII")
            require_source_id(header.source_id)
        except DataError as problem:
            text = f"the record at byte {header.offset} has no usable codes: {problem}"
            self._diagnostics.skip_record(self._source, text, following - at)
            return None
        return header

    def _following(self, at: int, size_bytes: int) -> int:
        """Return where the next record begins: a truncated record, or a false length, must not swallow good records."""
        following = at + size_bytes
        if size_bytes != self._usual_bytes or not RECORD_START.match(self._data, following):
            inside = self._good_start(at + _START_BYTES, following)
            if inside is not None:
                return inside
        self._usual_bytes = size_bytes
        return following

    def _decoded(self, data: bytes, header: RecordHeader, following: int) -> tuple[int, Record | None]:
        try:
            samples = unpacked(data, self._source, self._diagnostics)
        except (MiniSEEDError, ValueError, StopIteration) as error:
            problem = f"the record at byte {header.offset} cannot be decoded: {first_reason(error)}"
            at = header.offset - self._base
            inside = self._good_start(at + 1, following)
            following = following if inside is None else inside
            self._diagnostics.skip_record(self._source, problem, following - at)
            self._last_left_out = True
            return following, None
        return following, Record(header, samples)

    def _good_start(self, start: int, stop: int) -> int | None:
        """Return where a complete record of the usual length begins within [start, stop), or None."""
        self._one_is_incomplete = False
        if self._usual_bytes == 0:
            return None
        for found in RECORD_START.finditer(self._data, start, min(stop + _START_BYTES, len(self._data))):
            if found.start() >= stop:
                return None
            try:
                if MS3Record.parse(memoryview(self._data)[found.start() :]).reclen == self._usual_bytes:
                    return found.start()
            except MiniSEEDError as error:
                self._one_is_incomplete |= error.status_code > 0
        return None

    def _skip(self, at: int, last: int, at_end: bool, problem: str) -> int:
        """Return the position of the next byte that may begin a record, and count the bytes before it as junk."""
        if self._junk_from is None:
            inside = self._good_start(last + 1, at) if last < at else None
            if inside is not None:  # the previous record is truncated and has swallowed the start of this one
                self._diagnostics.unreadable_bytes -= at - inside if self._last_left_out else 0
                return inside
            if last < at and self._one_is_incomplete and not at_end:
                return at
            self._junk_from = self._base + at
            self._diagnostics.junk(self._source, f"byte {self._base + at}: {problem}", 0)
        found = RECORD_START.search(self._data, at + 1)
        return found.start() if found else max(at + 1, len(self._data) - _START_BYTES + 1)

    def _junk_stops(self) -> None:
        if self._junk_from is not None:
            self._diagnostics.junk(self._source, "", self._base + self._at - self._junk_from, 0)
            self._junk_from = None


def unpacked(data: bytes, source: str, diagnostics: Diagnostics) -> npt.NDArray[Any]:
    """Return the samples of a record, mended if need be; count what was mended, or is suspect.

    Raises
    ------
    MiniSEEDError, ValueError, StopIteration
        The record cannot be decoded.
    """
    try:
        record = next(MS3Record.from_buffer(data, unpack_data=True, validate_crc=False))
        samples = np.array(record.np_datasamples)  # a copy: libmseed reuses the record's memory
    except (MiniSEEDError, ValueError, StopIteration):
        mended = repaired(data)
        proven = None if mended is None else decoded(mended.data)
        if mended is None or proven is None:
            raise
        diagnostics.count(mended.what)
        return proven
    count_messages(get_error_messages(), source, diagnostics)
    return samples


def count_messages(messages: list[str], source: str, diagnostics: Diagnostics) -> None:
    """Count a record on which libmseed has remarks although it has decoded it."""
    if fails_check(messages):
        diagnostics.suspect_record(source)
    elif messages:
        diagnostics.count(OTHER_BLOCKETTES)


def first_reason(error: Exception) -> str:
    """Return the first of the reasons that libmseed gives for an error, on one line: they quote the codes."""
    reason = str(error).split(" :: ")[0].split("; ")[0].removeprefix("Error: ")
    return "".join(c if c.isprintable() else "?" for c in reason)


def _holds_samples(record: MS3Record) -> bool:
    return bool(record.samplecnt > 0 and record.samprate > 0.0 and record.encoding != DataEncoding.TEXT)


def _stops_too_late(header: RecordHeader) -> bool:
    """Whether the time after the last sample does not fit 64-bit nanoseconds: no seismometer samples so slowly."""
    return (LAST_NS - header.start_ns) / NS_PER_S * header.sampling_rate_hz < header.n_samples


def _header(record: MS3Record, offset: int) -> RecordHeader:
    rate_hz = float(record.samprate)
    source_id = _shared(record.sourceid)
    return RecordHeader(offset, record.reclen, source_id, record.starttime, rate_hz, record.samplecnt)


@lru_cache(maxsize=1024)
def _shared(source_id: str) -> str:
    """Return one string object for all records of a channel; Python 3.12 never forgets an interned one."""
    return source_id

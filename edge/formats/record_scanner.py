"""Find miniSEED records in bytes that may hold anything else; a byte of damage must not cost the rest of a day."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pymseed import DataEncoding, MiniSEEDError, MS3Record, get_error_messages

from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.formats.waveforms import duration_ns

# Where a record may begin, by the fields that libmseed itself goes by: sequence number and quality (version 2) or the
# letters MS and a 3 (version 3), then a time of day that exists.
RECORD_START = re.compile(
    rb"[0-9 \0]{6}[DRQM][ \0][\x20-\x7e\0]{12}.{4}[\0-\x17][\0-\x3b][\0-\x3c]|MS\x03.{9}[\0-\x17][\0-\x3b][\0-\x3c]",
    re.DOTALL,
)
_START_BYTES = 48  # more than that pattern, and the shortest header of version 2
_LONGEST_BYTES = 1 << 18  # what says it is longer is taken for damage, not waited for


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Record:
    """A record that holds samples; they are None where only headers were asked for."""

    header: RecordHeader
    samples: npt.NDArray[Any] | None


class RecordScanner:
    """Takes bytes as they come and gives the records in them."""

    def __init__(self, source: str, diagnostics: Diagnostics, decode: bool, offset: int = 0) -> None:
        """Scan `source`, whose next byte is the one at `offset`; decode the samples, or read headers only."""
        self._source, self._diagnostics, self._decode = source, diagnostics, decode
        self._data = b""
        self._base = offset  # of the first byte held
        self._at = 0  # what comes before in the bytes held has been dealt with; it begins with the last record
        self._record = MS3Record()
        self._usual_bytes = 0  # length of the last good record
        self._junk_from: int | None = None  # within a stretch of junk
        self._last_left_out = False  # the record before could not be decoded
        self._one_is_incomplete = False  # what `_good_start` last looked at may yet be a record

    @property
    def offset(self) -> int:
        """Every byte before this one has been dealt with."""
        return self._base + self._at

    def feed(self, data: bytes, at_end: bool = False) -> Iterator[Record]:
        """Take the next bytes, yield the records that are complete now."""
        self._data += data
        last = 0
        while self._at < len(self._data):
            at = self._at
            self._at, record = self._next(at, last, at_end)
            if self._at == at:
                break  # wait for more
            last = at
            if record is not None:
                yield record
        self._data = self._data[last:]
        self._base += last
        self._at -= last
        if at_end:
            self._junk_stops()

    def _next(self, at: int, last: int, at_end: bool) -> tuple[int, Record | None]:
        """Return where to go on (`at` itself: more bytes are needed) and the record at `at`, if it can be used.

        What was last found to be a record, or not, begins at `last`.
        """
        n_left = len(self._data) - at
        if n_left < _START_BYTES:
            return (self._skip(at, last, at_end, "too few bytes for a record"), None) if at_end else (at, None)
        try:
            record = self._parse(at, at_end)
            size_bytes = int(record.reclen)
            header = _header(record, self._base + at) if _holds_samples(record) else None
        except MiniSEEDError as error:
            n_missing = max(0, error.status_code)
            if n_missing and not at_end and n_left + n_missing <= _LONGEST_BYTES:
                # A damaged header may ask for more than will come for hours: a good record behind it unmasks it.
                if self._good_start(at + _START_BYTES, len(self._data)) is None:
                    return at, None
            return self._skip(at, last, at_end, first_reason(error)), None
        except UnicodeDecodeError:
            return self._skip(at, last, at_end, "its channel codes are no text"), None
        self._junk_stops()
        self._last_left_out = False
        following = self._following(at, size_bytes)
        if following < at + min(size_bytes, self._usual_bytes):
            self._diagnostics.leave_out(
                self._source, f"the record at byte {self._base + at} is cut short", following - at
            )
            return following, None
        if header is None:
            return following, None
        if not self._decode:
            return following, Record(header, None)
        return self._decoded(at, header, following)

    def _parse(self, at: int, at_end: bool) -> MS3Record:
        view = memoryview(self._data)[at:]
        try:
            return self._record.parse_into(view)
        except MiniSEEDError as error:
            if not (at_end and error.status_code > 0):
                raise
        # At the end a record of version 2 that does not tell its length reaches to there.
        return next(MS3Record.from_buffer(bytes(view)))

    def _following(self, at: int, size_bytes: int) -> int:
        """Where the next record begins: one that is cut short, or claims to be long, must not swallow good ones."""
        following = at + size_bytes
        if size_bytes != self._usual_bytes or not RECORD_START.match(self._data, following):
            inside = self._good_start(at + _START_BYTES, following)
            if inside is not None:
                return inside
        self._usual_bytes = size_bytes
        return following

    def _decoded(self, at: int, header: RecordHeader, following: int) -> tuple[int, Record | None]:
        problem = f"the record at byte {header.offset} cannot be decoded"
        try:
            record = next(MS3Record.from_buffer(self._data[at : at + header.size_bytes], unpack_data=True))
            samples = np.array(record.np_datasamples)  # a copy: the record's own memory is used again
        except (MiniSEEDError, ValueError, StopIteration) as error:
            inside = self._good_start(at + 1, following)
            following = following if inside is None else inside
            self._diagnostics.leave_out(self._source, f"{problem}: {first_reason(error)}", following - at)
            self._last_left_out = True
            return following, None
        if get_error_messages():
            self._diagnostics.suspect(self._source)
        return following, Record(header, samples)

    def _good_start(self, start: int, stop: int) -> int | None:
        """Where a record of the usual length begins within [start, stop), if one does and is complete."""
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
        """Return the next byte that may begin a record; nothing more is expected where `at` is the data's last part."""
        if self._junk_from is None:
            inside = self._good_start(last + 1, at) if last < at else None
            if inside is not None:  # the record before was cut short and has swallowed this one's beginning
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


def first_reason(error: Exception) -> str:
    """Return the first reason that libmseed gives for an error."""
    return str(error).split(" :: ")[0].split("; ")[0].removeprefix("Error: ")


def _holds_samples(record: MS3Record) -> bool:
    return bool(record.samplecnt > 0 and record.samprate > 0.0 and record.encoding != DataEncoding.TEXT)


def _header(record: MS3Record, offset: int) -> RecordHeader:
    rate_hz = float(record.samprate)
    source_id = sys.intern(record.sourceid)  # one text for all records of a channel
    return RecordHeader(offset, record.reclen, source_id, record.starttime, rate_hz, record.samplecnt)

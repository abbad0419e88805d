"""A file that other programs write: how far it has been read, and where to go on after it has changed in any way."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, BinaryIO

from pymseed import DataEncoding, MiniSEEDError, MS3Record, get_error_messages

from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.formats.record_scanner import Record, RecordHeader, RecordScanner
from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.inputs.samples_read import SamplesRead

HOLE, INCOMPLETE = "hole", "incomplete record"  # what a file may end in
_READ_BYTES = 1 << 18
_FIRST_BLOCK_BYTES = 1 << 12  # enough for the first record of most files
_FIRST_BYTES = 512  # of a file, that tell it from others
_HOLE_BYTES = 48  # equal bytes where a record should begin: as many as the shortest header has
_FILL = (b"\0", b"\xff")  # what file systems, and erased flash memory, show where nothing has been written
_LONGEST_TAIL_BYTES = 1 << 20  # without a record; four times the longest record that is waited for
_MOST_CHANNELS = 64  # whose samples are known; those of further ones are read again when the file is written again
_TOO_SHORT = -1  # instead of a CRC-32
_STEIM = (DataEncoding.STEIM1, DataEncoding.STEIM2)


@dataclass(frozen=True)
class ScannedPart:
    """The records in the bytes [start, stop) of a file, found by a scan from the byte `begin` on."""

    begin: int
    start: int
    stop: int
    headers: list[RecordHeader]


@dataclass
class FollowedFile:
    """What is known of a file, in a few hundred bytes."""

    path: str
    identity: tuple[int, int] = (0, 0)  # device and inode
    size_bytes: int = 0  # when it was last read
    mtime_ns: int = 0
    start_ns: int | None = None  # of its first sample
    name: str | None = None  # channel and time of the record that it begins with
    until: int = 0  # bytes before this one have been read, or are in the present round
    checksum: int = 0  # CRC-32 of these bytes
    last_record: int = 0  # where the last record among them begins
    checksum_before_last: int = 0  # CRC-32 of the bytes before that
    first_bytes: int = 0  # how many bytes of the file's start are known by their checksum
    first_checksum: int = 0
    is_allocated: bool = False  # it had its size before its content
    has_hole: bool = False  # among the bytes that have been read are some that may still be written
    is_earlier: bool = False  # `channels` holds samples that are not, or not yet, in the file's present content
    compared_until: int = 0  # the records before this byte have been compared with `channels`
    channels: dict[str, SamplesRead] = field(default_factory=dict)  # by source identifier

    @property
    def stop_ns(self) -> int:
        """Time up to which samples have been read, 0 if none have."""
        return max((one.stop_ns for one in self.channels.values()), default=0)

    def state(self) -> list[Any]:
        """Return the values of the fields, in their order: names would take most of a checkpoint."""
        *values, _ = vars(self).values()
        return [*values, {name: [one.rate_hz, one.state()] for name, one in self.channels.items()}]

    @classmethod
    def restored(cls, state: list[Any]) -> FollowedFile:
        """Return the file that `state` described."""
        path, identity, *values, channels = state
        file = cls(path, tuple(identity), *values)
        file.channels = {name: SamplesRead(rate_hz, spans) for name, (rate_hz, spans) in channels.items()}
        return file

    def copy(self, path: str) -> FollowedFile:
        """Return the same knowledge about another file."""
        return FollowedFile.restored([path, *self.state()[1:]])

    def begin_again(self) -> None:
        """Have the file compared with what has been read of it."""
        self.until = self.checksum = self.last_record = self.checksum_before_last = self.compared_until = 0
        self.is_earlier, self.has_hole = bool(self.channels), False

    def is_continued(self, file: BinaryIO, size_bytes: int) -> bool:
        """Return whether what has been read still stands in the file, as far as its first and last record show."""
        if size_bytes < self.until or self.is_earlier or self.has_hole:
            return False
        return (
            self.begins_as(file)
            and checksum_of(file, self.last_record, self.until, self.checksum_before_last) == self.checksum
        )

    def is_in_comparison(self, file: BinaryIO) -> bool:
        """Return whether more of the content that has been compared is to be read."""
        return self.until < self.compared_until and self.holds_what_was_read(file)

    def begins_as(self, file: BinaryIO) -> bool:
        """Return whether a file begins with the bytes that this one begins with."""
        return checksum_of(file, 0, self.first_bytes) == self.first_checksum

    def is_unchanged(self, file: BinaryIO) -> bool:
        """Return whether every byte that has been read still stands in the file."""
        return not self.is_earlier and self.holds_what_was_read(file)

    def holds_what_was_read(self, file: BinaryIO) -> bool:
        """Return whether the bytes up to `until` are those of the last scan."""
        return self.checksum == checksum_of(file, 0, self.until) != _TOO_SHORT

    def trust(self, file: BinaryIO) -> None:
        """Take the present content for what has been read: the checkpoint was written before content was checked."""
        self.checksum, self.checksum_before_last = checksum_of(file, 0, self.until), 0
        self.first_bytes = min(_FIRST_BYTES, self.until)
        self.first_checksum = checksum_of(file, 0, self.first_bytes)

    def add(self, trace: Trace) -> None:
        """Note that a trace has been read."""
        if trace.source_id in self.channels or len(self.channels) < _MOST_CHANNELS:
            self.channels.setdefault(trace.source_id, SamplesRead(trace.sampling_rate_hz)).add(trace)

    def unread(self, trace: Trace) -> list[Trace]:
        """Return the parts of a trace that have not been read."""
        return self.channels[trace.source_id].unread(trace) if trace.source_id in self.channels else [trace]

    def compare(self, file: BinaryIO) -> None:
        """Compare a file's content with the samples that have been read, and forget those that differ."""
        self.begin_again()
        for one in self.channels.values():
            one.begin_comparison()
        first_ns: int | None = None
        last_ns = 0
        for record in _records(file, self.path, 0, None, Diagnostics(), decode=True):
            trace = record.trace()
            self.compared_until = max(self.compared_until, record.header.offset + record.header.size_bytes)
            first_ns = trace.start_ns if first_ns is None else min(first_ns, trace.start_ns)
            last_ns = max(last_ns, trace.stop_ns)
            if trace.source_id in self.channels:
                self.channels[trace.source_id].compare(trace)
        if first_ns is None:  # nothing yet: the file has been emptied to be written again
            return
        is_copy = any(one.are_found for one in self.channels.values())
        left = [one.end_comparison(first_ns, last_ns, is_copy) for one in self.channels.values()]
        self.is_earlier = any(left)
        self.start_ns = first_ns

    def scan(
        self, file: BinaryIO, most: int, diagnostics: Diagnostics, is_rested: bool = False, is_last: bool = False
    ) -> ScannedPart:
        """Find the complete records from `until` on, at most about `most`, and move `until` behind them.

        A hole (bytes that have been allocated and not written), and an incomplete record before one, are not passed
        unless another record follows. `is_rested`: the file has not changed for a while; `is_last`: nothing more will
        be written.
        """
        damage, start = Diagnostics(), self.until
        begin = min(self.last_record, start)  # the length of the last record helps to find damage in the next one
        headers: list[RecordHeader] = []
        done = start
        for position, record in _positions(file, self.path, begin, damage):
            done = position
            if record is not None and record.header.offset >= start:
                headers.append(record.header)
            if record is None and len(headers) >= most:
                break
        stop = _end_of_records(file, headers, start, done)
        is_before_hole = _is_fill(file, stop, stop + _HOLE_BYTES)
        is_at_end = self.is_allocated and not is_rested and not _is_longer(file, stop)
        self.is_allocated |= is_before_hole
        if headers and not is_last and (is_before_hole or is_at_end) and _may_be_incomplete(file, headers[-1], stop):
            stop = headers.pop().offset
        holes = _holes(file, headers, start, stop)
        self.has_hole |= bool(holes)
        if damage.texts():
            _count_damage(file, self.path, [(begin, begin), *holes, (stop, stop)], diagnostics)
        self._advance(file, headers, stop)
        return ScannedPart(begin, start, stop, headers)

    def waits_for(self, file: BinaryIO, size_bytes: int) -> str | None:
        """Return what the bytes are that cannot be read yet, if there are any."""
        if self.until >= size_bytes:
            return HOLE if self.has_hole else None
        return HOLE if _is_fill(file, size_bytes - 1, size_bytes) else INCOMPLETE

    def _advance(self, file: BinaryIO, headers: list[RecordHeader], stop: int) -> None:
        if headers:
            last = max(headers, key=lambda header: header.offset)
            # After junk that had to be passed there is no last record to look at again.
            self.last_record = last.offset if last.offset + last.size_bytes == stop else stop
            self.checksum_before_last = checksum_of(file, self.until, self.last_record, self.checksum)
            self.checksum = checksum_of(file, self.last_record, stop, self.checksum_before_last)
            if self.until == 0:
                self.start_ns = min(header.start_ns for header in headers)
                self.name = name_of(min(headers, key=lambda header: header.offset))
        else:
            self.checksum = checksum_of(file, self.until, stop, self.checksum)
            if stop > self.until:
                self.last_record, self.checksum_before_last = stop, self.checksum
        if self.until == 0:
            self.first_bytes = min(_FIRST_BYTES, stop)
            self.first_checksum = checksum_of(file, 0, self.first_bytes)
        self.until = stop


def name_of(header: RecordHeader) -> str:
    """Return what a file is known by that begins with a record: however it is packed, its copies begin alike."""
    return f"{header.source_id} {header.start_ns}"


def checksum_of(file: BinaryIO, start: int, stop: int, before: int = 0) -> int:
    """Return the CRC-32 of a file's bytes [start, stop), continued from `before`; `_TOO_SHORT` if it is shorter."""
    file.seek(start)
    while start < stop:
        data = file.read(min(_READ_BYTES, stop - start))
        if not data:
            return _TOO_SHORT
        before = zlib.crc32(data, before)
        start += len(data)
    return before


def first_header(file: BinaryIO, path: str) -> RecordHeader | None:
    """Return the first record of a file, None where it has none yet."""
    first = next(_records(file, path, 0, None, Diagnostics(), decode=False, block_bytes=_FIRST_BLOCK_BYTES), None)
    return None if first is None else first.header


def headers_between(file: BinaryIO, path: str, start: int, stop: int) -> list[RecordHeader]:
    """Return the records in the bytes [start, stop) of a file."""
    return [record.header for record in _records(file, path, start, stop, Diagnostics(), decode=False)]


def read_trace(file: BinaryIO, path: str, header: RecordHeader, diagnostics: Diagnostics) -> Trace | None:
    """Decode a record; None if it cannot be decoded, which is counted.

    Raises
    ------
    LookupError
        Another record, or none, stands there now.
    """
    file.seek(header.offset)
    data = file.read(header.size_bytes)
    damage = Diagnostics()
    scanner = RecordScanner(path, damage, decode=True, offset=header.offset)
    record = next(scanner.feed(data, at_end=True), None)
    if record is None or record.header != header:
        found = headers_between(file, path, header.offset, header.offset + header.size_bytes)
        if found[:1] != [header]:
            raise LookupError(f"{path} has been written again at byte {header.offset}")
        next(iter(RecordScanner(path, diagnostics, decode=True, offset=header.offset).feed(data, at_end=True)), None)
        return None
    if damage.texts():
        diagnostics.suspect_record(path)
    return record.trace()


def _positions(
    file: BinaryIO,
    path: str,
    start: int,
    diagnostics: Diagnostics,
    stop: int | None = None,
    decode: bool = False,
    block_bytes: int = _READ_BYTES,
) -> Iterator[tuple[int, Record | None]]:
    """Yield (byte up to which all is done, record) as the records of a file's bytes [start, stop) come.

    After each block that has been read, the record is None.
    """
    scanner = RecordScanner(path, diagnostics, decode, offset=start)
    file.seek(start)
    at = start
    while data := file.read(block_bytes if stop is None else min(block_bytes, stop - at)):
        at += len(data)
        for record in scanner.feed(data):
            yield scanner.offset, record
        yield scanner.offset, None


def _records(
    file: BinaryIO,
    path: str,
    start: int,
    stop: int | None,
    diagnostics: Diagnostics,
    decode: bool,
    block_bytes: int = _READ_BYTES,
) -> Iterator[Record]:
    for _, record in _positions(file, path, start, diagnostics, stop, decode, block_bytes):
        if record is not None:
            yield record


def _end_of_records(file: BinaryIO, headers: list[RecordHeader], start: int, done: int) -> int:
    """Return where reading is to continue: after the last record, or after junk that is longer than any record."""
    after = headers[-1].offset + headers[-1].size_bytes if headers else start
    if done - after > _LONGEST_TAIL_BYTES and not _is_fill(file, after, after + _HOLE_BYTES):
        return done
    return after


def _may_be_incomplete(file: BinaryIO, header: RecordHeader, stop: int) -> bool:
    """Return whether the last record ends like a hole, so that some of it may not have been written yet."""
    end = header.offset + header.size_bytes
    if stop != end or not _is_fill(file, end - 1, end):
        return False
    file.seek(header.offset)
    return not _proves_itself(file.read(header.size_bytes))


def _is_longer(file: BinaryIO, size_bytes: int) -> bool:
    file.seek(size_bytes)
    return bool(file.read(1))


def _is_fill(file: BinaryIO, start: int, stop: int) -> bool:
    """Return whether the bytes [start, stop) of a file are as if nothing had been written there."""
    file.seek(start)
    first = b""
    while start < stop and (data := file.read(min(_READ_BYTES, stop - start))):
        first = first or data[:1]
        if first not in _FILL or data.count(first) != len(data):
            return False
        start += len(data)
    return bool(first)


def _holes(file: BinaryIO, headers: list[RecordHeader], start: int, stop: int) -> list[tuple[int, int]]:
    """Return the holes between the records of a file's bytes [start, stop)."""
    holes: list[tuple[int, int]] = []
    ends = sorted((header.offset, header.offset + header.size_bytes) for header in headers)
    for offset, end in [*ends, (stop, stop)]:
        if offset - start >= _HOLE_BYTES and _is_fill(file, start, offset):
            holes.append((start, offset))
        start = max(start, end)
    return holes


def _count_damage(file: BinaryIO, path: str, holes: list[tuple[int, int]], diagnostics: Diagnostics) -> None:
    """Count the damage in the bytes between holes."""
    for (_, start), (stop, _) in pairwise(holes):
        scanner = RecordScanner(path, diagnostics, decode=False, offset=start)
        file.seek(start)
        while start < stop and (data := file.read(min(_READ_BYTES, stop - start))):
            start += len(data)
            for _ in scanner.feed(data):
                pass
        for _ in scanner.feed(b"", at_end=True):
            pass


def _proves_itself(data: bytes) -> bool:
    """Return whether a record is complete by its own check: Steim compression stores the value of the last sample."""
    try:
        record: Any = MS3Record.parse(data, unpack_data=True)
        return record.encoding in _STEIM and record.numsamples == record.samplecnt and not get_error_messages()
    except (MiniSEEDError, ValueError):
        return False

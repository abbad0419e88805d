"""Records of which libmseed rejects one field whose right value is certain: the same records with that field mended.

A start time is certain where the field's value has only one meaning. Any other field is certain where the record then
decodes to as many samples as its header names, and, compressed by Steim, to the last sample that it states itself.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
from pymseed import DataEncoding, MiniSEEDError, MS3Record, get_error_messages

# What `Diagnostics.count` says, after the number of records.
LATE_FRACTION = "record(s) with a start fraction of a second or more read as the next second"
OTHER_LENGTH = "record(s) whose headers name another length read at the length that they have"
OTHER_ORDER = "record(s) whose headers name another byte order read in the order that fits their own check"
OTHER_ENCODING = "record(s) whose headers name another encoding, or none, read with the one that fits their own check"
OTHER_PLACE = "record(s) with a wrong offset of data or blockettes read at the one that fits their own check"
OTHER_BLOCKETTES = "record(s) with a wrong number or chain of blockettes read all the same"

_STEIM = (DataEncoding.STEIM1, DataEncoding.STEIM2)
_TIME = "HHBBBBHH"  # of version 2: year, day, hour, minute, second, unused, ten-thousandths of a second, samples
_FRACTIONS, _NANOSECONDS = 10_000, 1_000_000_000  # of a second
_FIXED_HEADER_BYTES = 48
_FIRST_DATA_BYTE = 64  # in nearly every record of version 2
_MOST_BLOCKETTES = 16


@dataclass(frozen=True, slots=True)
class Mended:
    """A record with its one wrong field mended; other bytes may follow it."""

    data: bytes
    what: str  # is counted


def with_right_time(data: bytes) -> bytes | None:
    """Return a record whose fraction of a second is one second or more, less than two, with the next second instead.

    Such fractions come from recorders that round up; obspy reads them in this way too. None: the field is right, or so
    large that it is damaged.
    """
    return _with_right_time_3(data) if data.startswith(b"MS") else _with_right_time_2(data)


def _with_right_time_2(data: bytes) -> bytes | None:
    layout = _order(data) + _TIME
    year, day, hour, minute, second, unused, fraction, n_samples = struct.unpack_from(layout, data, 20)
    if not _FRACTIONS <= fraction < 2 * _FRACTIONS:
        return None
    moment = _next_second(year, day, hour, minute, second)
    if moment is None:
        return None
    fraction -= _FRACTIONS
    return data[:20] + struct.pack(layout, *moment, unused, fraction, n_samples) + data[20 + struct.calcsize(layout) :]


def _with_right_time_3(data: bytes) -> bytes | None:
    nanosecond, year, day, hour, minute, second = struct.unpack_from("<IHHBBB", data, 4)
    if not _NANOSECONDS <= nanosecond < 2 * _NANOSECONDS:
        return None
    moment = _next_second(year, day, hour, minute, second)
    return None if moment is None else data[:4] + struct.pack("<IHHBBB", nanosecond - _NANOSECONDS, *moment) + data[15:]


def _next_second(year: int, day: int, hour: int, minute: int, second: int) -> tuple[int, int, int, int, int] | None:
    try:
        moment = datetime(year, 1, 1) + timedelta(days=day - 1, hours=hour, minutes=minute, seconds=second + 1)
    except (ValueError, OverflowError):
        return None
    return moment.year, moment.timetuple().tm_yday, moment.hour, moment.minute, moment.second


def with_own_length(data: bytes) -> bytes | None:
    """Return a record of version 2 with its own length in blockette 1000; None where it has no such blockette."""
    at = None if data.startswith(b"MS") else _blockette_1000(data)
    n_bytes = len(data)
    if at is None or n_bytes & (n_bytes - 1):
        return None
    return data[: at + 6] + bytes([n_bytes.bit_length() - 1]) + data[at + 7 :]


def decoded(data: bytes) -> npt.NDArray[Any] | None:
    """Return the samples of a record, or None where they are fewer than it names or differ from its own check."""
    try:
        record = next(MS3Record.from_buffer(data, unpack_data=True, validate_crc=False))
        samples = np.array(record.np_datasamples)  # a copy: libmseed reuses the record's memory
    except (MiniSEEDError, ValueError, StopIteration):
        return None
    return None if fails_check(get_error_messages()) or len(samples) != record.samplecnt else samples


def fails_check(messages: list[str]) -> bool:
    """Whether libmseed's messages on a record say more than that its blockettes are out of order."""
    return any("lockette" not in message for message in messages)


def repaired(data: bytes) -> Mended | None:
    """Return a whole record with its one wrong field mended; None where nothing is certain.

    Only records compressed by Steim, which state their last sample, can prove that a mended field is right.
    """
    if data.startswith(b"MS") or len(data) < 2 * _FIRST_DATA_BYTE:
        return None
    for candidate, what in _candidates(data):
        try:
            encoding = next(MS3Record.from_buffer(candidate)).encoding
        except (MiniSEEDError, ValueError, StopIteration):
            continue
        samples = decoded(candidate) if encoding in _STEIM else None
        if samples is not None and len(samples) > 1:  # a single sample proves nothing
            return Mended(candidate, what)
    return None


def _candidates(data: bytes) -> Iterator[tuple[bytes, str]]:
    order, at = _order(data), _blockette_1000(data)
    if at is not None:
        yield data[: at + 5] + bytes([1 - min(1, data[at + 5])]) + data[at + 6 :], OTHER_ORDER
        for encoding in _STEIM:
            yield data[: at + 4] + bytes([int(encoding)]) + data[at + 5 :], OTHER_ENCODING
    elif data[_FIXED_HEADER_BYTES:_FIRST_DATA_BYTE] == bytes(_FIRST_DATA_BYTE - _FIXED_HEADER_BYTES):
        yield _with_blockette_1000(data, order), OTHER_ENCODING
    yield data[:44] + struct.pack(f"{order}H", _FIRST_DATA_BYTE) + data[46:], OTHER_PLACE
    yield data[:46] + struct.pack(f"{order}H", _FIXED_HEADER_BYTES) + data[48:], OTHER_PLACE


def _with_blockette_1000(data: bytes, order: str) -> bytes:
    """Return a record that has none, whose encoding is Steim 1 by convention, with a blockette that says Steim 2."""
    length = (len(data) - 1).bit_length()
    blockette = struct.pack(f"{order}HHBBBB", 1000, 0, int(DataEncoding.STEIM2), int(order == ">"), length, 0)
    head = data[:39] + b"\1" + data[40:46] + struct.pack(f"{order}H", _FIXED_HEADER_BYTES)
    return head + blockette + data[_FIXED_HEADER_BYTES + len(blockette) :]


def _blockette_1000(data: bytes) -> int | None:
    """Return where blockette 1000 begins in a record of version 2."""
    order = _order(data)
    at = int(struct.unpack_from(f"{order}H", data, 46)[0])
    for _ in range(_MOST_BLOCKETTES):
        if not _FIXED_HEADER_BYTES <= at <= len(data) - 8:
            return None
        kind, following = struct.unpack_from(f"{order}HH", data, at)
        if kind == 1000:
            return at
        if following <= at:
            return None
        at = following
    return None


def _order(data: bytes) -> str:
    """Return the byte order of a header of version 2: that in which its year and day can be a date."""
    year, day = struct.unpack_from(">HH", data, 20)
    return ">" if 1900 <= year <= 2100 and 1 <= day <= 366 else "<"

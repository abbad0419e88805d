"""Records of miniSEED 2 whose headers hold extreme values, each of them legal by its width.

Random damage hardly ever makes a chain of blockettes that loops, or a rate of 1e9 Hz. Offsets are those of the SEED
manual, version 2.4, chapter 8: the fixed section of the data header and blockettes 100, 1000 and 1001.
"""

from __future__ import annotations

import struct

import numpy as np
from pymseed import MS3Record

_HEADER_BYTES = 48
_WORDS = (0, 1, 2, 47, 48, 56, 63, 64, 127, 511, 512, 4096, 0x7FFF, 0x8000, 0xFFF0, 0xFFFF)
_BYTES = (0, 1, 2, 3, 7, 8, 10, 11, 18, 19, 20, 30, 31, 32, 63, 64, 127, 128, 255)
_FACTORS = (0, 1, -1, 2, 7, 6625, -6625, 32767, -32767, -32768)  # of the rate, and its multiplier
_YEARS = (0, 1, 1582, 1899, 1900, 1969, 2030, 2100, 2101, 2262, 2500, 9999, 65535)
_DAYS = (0, 1, 365, 366, 367, 65535)
_CORRECTIONS = (0, 1, -1, 2**31 - 1, -(2**31))  # of the start time, ten-thousandths of a second
_RATES_HZ = (0.0, -0.0, 1.0, -1.0, 6.625, 1e-38, 1e38, float("inf"), float("-inf"), float("nan"))
_CODES = (b"\0" * 5, b"     ", b"../..", b"=1+1 ", b"\xff" * 5, b"A\rB\n ", b"FDSN:", b"_____")


def with_extreme_headers(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a copy of a file of records in which one to six headers hold one to four extreme values.

    All records are as long as the first one.
    """
    changed, record_bytes = bytearray(data), next(MS3Record.from_buffer(data)).reclen
    n_records = max(1, len(data) // record_bytes)
    for at in rng.integers(0, n_records, int(rng.integers(1, 7))) * record_bytes:
        for _ in range(int(rng.integers(1, 5))):
            _change(changed, int(at), rng)
    return bytes(changed[: len(data)])


def _change(data: bytearray, at: int, rng: np.random.Generator) -> None:
    """Change one field, or the chain of blockettes, of the record at a position."""

    def one_of(values: tuple[object, ...]) -> object:
        return values[int(rng.integers(len(values)))]

    def put(layout: str, offset: int, *values: object) -> None:
        struct.pack_into(layout, data, at + offset, *values)

    kind = int(rng.integers(12))
    if kind == 0:
        put(">hh", 32, one_of(_FACTORS), one_of(_FACTORS))
    elif kind == 1:
        put(">H", 30, one_of(_WORDS))  # samples
    elif kind == 2:
        put(">HH", 20, one_of(_YEARS), one_of(_DAYS))
    elif kind == 3:
        put(">BBBBH", 24, *(one_of(_BYTES) for _ in range(4)), one_of(_WORDS))  # time of day
    elif kind == 4:
        put(">i", 40, one_of(_CORRECTIONS))
        data[at + 36] = int(rng.integers(256))  # bit 1: the correction has been applied
    elif kind == 5:
        data[at + 39] = int(str(one_of(_BYTES)))  # number of blockettes
        put(">HH", 44, one_of(_WORDS), one_of(_WORDS))  # where the data and the first blockette begin
    elif kind == 6:
        put(">BBB", 52, one_of(_BYTES), one_of(_BYTES), one_of(_BYTES))  # encoding, byte order, length of the record
    elif kind == 7:  # a chain that loops, or leaves the record
        data[at + 39] = int(rng.integers(1, 256))
        put(">HHBBBB", 48, 1000, one_of((48, 56, 47, 511, 0xFFFF)), 11, 1, 9, 0)
        put(">HHBBBB", 56, one_of((1000, 1001, 100, 2000, 0, 0xFFFF)), one_of((48, 56, 0, 510, 0xFFFF)), 255, 128, 1, 0)
    elif kind == 8:  # a rate beside the header's, which counts instead
        data[at + 39] = 2
        put(">HHBBBB", 48, 1000, 56, 11, 1, 9, 0)
        put(">HHf", 56, 100, 0, one_of(_RATES_HZ))
    elif kind == 9:
        data[at + 8 : at + 13] = bytes(one_of(_CODES))  # type: ignore[call-overload]
    elif kind == 10:
        data[at : at + _HEADER_BYTES] = rng.bytes(_HEADER_BYTES)
    else:  # the header in the other byte order, the data as they were
        for layout, offset in (("HH", 20), ("HHhh", 28), ("i", 40), ("HH", 44), ("HH", 48)):
            put(f"<{layout}", offset, *struct.unpack_from(f">{layout}", data, at + offset))

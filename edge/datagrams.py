"""Datagrams of samples: whole miniSEED records, or raw samples behind a small header.

The header, little-endian: 4 bytes EQS1; the samples' type in 1 byte (1 int16, 2 int32, 3 float32); the length of the
source identifier in 1 byte; the number of samples in 2; the time of the first one in 8, signed, nanoseconds since 1970
UTC; the sampling rate in 8, a double, Hz; the source identifier, as FDSN:XX_LUN_00_M_H_Z; then the samples, to the
datagram's last byte.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from sys import intern
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.edge.errors import DataError
from edgequake.edge.notes import Notes
from edgequake.edge.piece import LAST_NS, Piece, duration_ns
from edgequake.edge.record_scanner import RECORD_START, RecordScanner
from edgequake.edge.sample_grid import SampleGrid

MAGIC = b"EQS1"
_HEADER = struct.Struct("<4sBBHqd")
_DTYPES: dict[int, np.dtype[Any]] = {1: np.dtype("<i2"), 2: np.dtype("<i4"), 3: np.dtype("<f4")}
_SOURCE_ID = re.compile(r"FDSN:[A-Z0-9]{1,8}_[A-Z0-9-]{1,8}_[A-Z0-9-]{0,8}_[A-Z0-9]_[A-Z0-9]_[A-Z0-9]\Z", re.ASCII)
_RATES_HZ = (1e-3, 1e5)
_MOST_CHANNELS = 64  # whose grids are held


class DatagramForm:
    """Takes datagrams, gives the pieces in them; what is not of the form is dropped and counted."""

    def __init__(self, name: str, notes: Notes, tell: Callable[[str], None]) -> None:
        """Take the datagrams that come in at `name`; `tell` says a line to people the first time one is dropped."""
        self._name, self._notes, self._tell = name, notes, tell
        self._grids: dict[str, SampleGrid] = {}

    def pieces(self, datagram: bytes) -> list[Piece]:
        """Return what a datagram holds; nothing where it is not of the form."""
        try:
            return self._pieces(datagram)
        except DataError as problem:
            if not self._notes.dropped(self._name, str(problem), len(datagram)):
                self._tell(f"a datagram is dropped: {problem}; further ones are counted")
            return []

    def _pieces(self, datagram: bytes) -> list[Piece]:
        if datagram.startswith(MAGIC):
            return [self._placed(parse_raw(datagram))]
        if RECORD_START.match(datagram) is None:
            raise DataError(f"{len(datagram)} bytes that are neither a miniSEED record nor begin with {MAGIC.decode()}")
        return list(self._records(datagram))

    def _records(self, datagram: bytes) -> Iterator[Piece]:
        # A scanner of its own: nothing of one datagram goes on in the next.
        for record in RecordScanner(self._name, self._notes, decode=True).feed(datagram, at_end=True):
            header = record.header
            assert record.samples is not None
            yield Piece(header.source_id, header.start_ns, header.sampling_rate_hz, record.samples)

    def _placed(self, piece: Piece) -> Piece:
        """Return a piece on its channel's grid, and count it where it does not go on where the latest stopped."""
        grid = self._grids.get(piece.source_id)
        if grid is None or grid.sampling_rate_hz != piece.sampling_rate_hz:
            if grid is None and len(self._grids) >= _MOST_CHANNELS:
                self._grids.pop(next(iter(self._grids)))
            grid = self._grids[piece.source_id] = SampleGrid(piece.sampling_rate_hz)
        start_ns, ahead = grid.place(piece.start_ns, len(piece.samples))
        if ahead < 0:
            self._notes.count("datagram(s) came late or twice")
        elif ahead > 0:
            self._notes.count("datagram(s) came after a hole")
        return Piece(piece.source_id, start_ns, piece.sampling_rate_hz, piece.samples)


def parse_raw(datagram: bytes) -> Piece:
    """Read a datagram of raw samples.

    Raises
    ------
    DataError
        Not of the form.
    """
    if len(datagram) < _HEADER.size:
        raise DataError(f"{len(datagram)} bytes; expected a header of {_HEADER.size}")
    _, code, id_bytes, n_samples, start_ns, rate_hz = _HEADER.unpack_from(datagram)
    dtype = _DTYPES.get(code)
    if dtype is None:
        raise DataError(f"samples of type {code}; expected 1 (int16), 2 (int32) or 3 (float32)")
    expected = _HEADER.size + id_bytes + n_samples * dtype.itemsize
    if n_samples == 0 or len(datagram) != expected:
        raise DataError(
            f"{len(datagram)} bytes for {n_samples} samples; expected 1 sample or more, and {expected} bytes"
        )
    source_id = datagram[_HEADER.size : _HEADER.size + id_bytes].decode("ascii", "replace")
    if not _SOURCE_ID.match(source_id):
        raise DataError(f"source identifier '{source_id}'; expected one such as FDSN:XX_LUN_00_M_H_Z")
    if not _RATES_HZ[0] <= rate_hz <= _RATES_HZ[1] or abs(start_ns) > LAST_NS:
        raise DataError(f"start {start_ns} ns at {rate_hz:g} Hz; expected a year from 1678 to 2261, and a rate")
    if start_ns + duration_ns(n_samples, rate_hz) > LAST_NS:
        raise DataError(f"{n_samples} samples at {rate_hz:g} Hz reach beyond the year 2261")
    samples = np.frombuffer(datagram, dtype, n_samples, _HEADER.size + id_bytes).astype(dtype.newbyteorder("="))
    return Piece(intern(source_id), start_ns, rate_hz, samples)


def raw_datagram(source_id: str, start_ns: int, sampling_rate_hz: float, samples: npt.NDArray[Any]) -> bytes:
    """Return raw samples as a datagram.

    samples : int16, int32 or float32, shape (n_samples,), up to some 300 where a link carries 1400 bytes at once.

    Raises
    ------
    DataError
        Samples of another type, or more than a datagram holds.
    """
    codes = {dtype.newbyteorder("="): code for code, dtype in _DTYPES.items()}
    code, name = codes.get(samples.dtype), source_id.encode("ascii")
    if code is None or not 0 < len(samples) < 1 << 16 or len(name) > 255:
        raise DataError(
            f"{len(samples)} samples of type {samples.dtype}; expected 1 to 65535 of int16, int32 or float32"
        )
    header = _HEADER.pack(MAGIC, code, len(name), len(samples), start_ns, sampling_rate_hz)
    body: bytes = samples.astype(_DTYPES[code]).tobytes()
    return header + name + body

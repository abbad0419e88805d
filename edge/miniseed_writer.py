"""miniSEED out, through pymseed (libmseed): sample for sample what came in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from pymseed import DataEncoding, MS3Record

from edgequake.edge.piece import Piece, parse_time

_RECORD_BYTES = 512
_VERSION_2_NS = (parse_time("1900-01-01T00:00:00"), parse_time("2100-01-01T00:00:00"))


def encode(pieces: Iterable[Piece]) -> bytes:
    """Return pieces as miniSEED records, sample for sample: Steim2 for integers, floats as they are.

    Integers whose differences do not fit Steim2's 30 bits are written as plain 32-bit integers. The format is version
    2, which every seismological program reads and which keeps times to the microsecond; version 3 where the codes are
    too long for version 2 or the year is not within 1900 to 2100.
    """
    return b"".join(record for piece in pieces for record in records_of(piece))


def records_of(piece: Piece, record_bytes: int = _RECORD_BYTES) -> list[bytes]:
    """Return a piece as miniSEED records, as `encode` does: of so many bytes, a power of 2 from 128 on."""
    encoding, sample_type, samples = _encoding(piece.samples)
    record = MS3Record(reclen=record_bytes, encoding=encoding)
    record.formatversion = 2 if _fits_version_2(piece) else 3
    record.pubversion = 1
    record.sourceid = piece.source_id
    record.samprate = piece.sampling_rate_hz
    record.starttime = piece.start_ns
    return list(record.generate(samples, sample_type))


def _fits_version_2(piece: Piece) -> bool:
    codes = piece.source_id.removeprefix("FDSN:").split("_")
    limits = (2, 5, 2, 1, 1, 1)  # characters of network, station, location, band, source and subsource
    # A damaged header may hold a colon, which libmseed takes for the one after the prefix.
    fits = len(codes) == len(limits) and not any(":" in code for code in codes)
    fits = fits and all(len(code) <= limit for code, limit in zip(codes, limits, strict=True))
    return fits and _VERSION_2_NS[0] <= piece.start_ns and piece.stop_ns < _VERSION_2_NS[1]


def _encoding(samples: npt.NDArray[Any]) -> tuple[DataEncoding, str, npt.NDArray[Any]]:
    if samples.dtype.kind in "iu":
        fits = len(samples) < 2 or int(np.max(samples)) - int(np.min(samples)) < 2**29  # spares the differences
        fits = fits or int(np.max(np.abs(np.diff(samples.astype(np.int64))))) < 2**29
        return (DataEncoding.STEIM2 if fits else DataEncoding.INT32), "i", np.ascontiguousarray(samples, np.int32)
    if samples.dtype == np.float32:
        return DataEncoding.FLOAT32, "f", samples
    return DataEncoding.FLOAT64, "d", samples.astype(np.float64)

"""The records of one day file as bytes: which are whole, which were the first and the last ones, cut and copied."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

from pymseed import DataEncoding

from edgequake.edge.base.atomic_files import may_pass, open_regular, write_bytes_atomically
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.miniseed import RecordFile, index_file

RECORD_BYTES = 512  # of version 2, always; those of version 3 are shorter
# Encodings of version 2 that have no check value for the samples, with the bytes of a sample. Steim has one, and so has
# each record of version 3.
_UNCHECKED_BYTES: dict[int, int] = {
    DataEncoding.INT16: 2,
    DataEncoding.INT32: 4,
    DataEncoding.FLOAT32: 4,
    DataEncoding.FLOAT64: 8,
}
_ENCODING_AT = 52  # in a record of version 2 as this project writes it: blockette 1000 follows the fixed header


def cut_back(path: Path, size_bytes: int, head: int, tail: int) -> int:
    """Cut a file back to the record that was its last one, and return its size in bytes then.

    The file was `size_bytes` long, with `head` and `tail` as the fingerprints of its first and last record. Since then
    records may have been appended, and the first part, or all of it, may have been evicted and the file begun anew.
    """
    with open_regular(path) as file:
        found_bytes = os.fstat(file.fileno()).st_size
        if found_bytes < size_bytes or fingerprint(file.read(RECORD_BYTES)) != head:
            file.seek(0)
            data = file.read()
            stops = range(len(data) // RECORD_BYTES * RECORD_BYTES, 0, -RECORD_BYTES)
            size_bytes = next((stop for stop in stops if fingerprint(data[stop - RECORD_BYTES : stop]) == tail), 0)
    if size_bytes < found_bytes:
        os.truncate(path, size_bytes)
    return size_bytes


def fingerprint(record: bytes) -> int:
    """Return a checksum that tells a record from others; of version 3 the header's, which includes one of the rest."""
    return zlib.crc32(record[: 40 if record.startswith(b"MS") else 128])


def keep_tail(path: Path, n_bytes: int) -> int:
    """Replace a file by a copy of its last bytes, and return the fingerprint of its first record then.

    Raises
    ------
    OSError, DataError
        The file cannot be read or written; or no record begins there: those of version 3 are of any length.
    """
    with open_regular(path) as file:
        file.seek(-n_bytes, os.SEEK_END)
        kept = file.read(n_bytes)
    if not kept[:6].isdigit():
        raise DataError(f"{path} cannot be cut: no record begins {n_bytes} bytes before its end")
    write_bytes_atomically(path, kept)
    return fingerprint(kept[:RECORD_BYTES])


def n_samples_of(record: bytes) -> int:
    """Return how many samples a record contains."""
    if record.startswith(b"MS"):
        return int.from_bytes(record[24:28], "little")
    return int.from_bytes(record[30:32], "big")


def fingerprints(path: Path) -> tuple[int, int, int]:
    """Return a file's size and the fingerprints of its first and last record; the latter only of version 2."""
    with open_regular(path) as file:
        size_bytes = os.fstat(file.fileno()).st_size
        head = fingerprint(file.read(RECORD_BYTES))
        file.seek(max(0, size_bytes - RECORD_BYTES))
        return size_bytes, head, fingerprint(file.read(RECORD_BYTES))


def complete_bytes(path: Path) -> int:
    """Return how many bytes of a file reach to its last whole record: one whose samples agree with its check value."""
    reader = RecordFile(path, 0)
    try:
        for header in sorted(index_file(path).headers, key=lambda header: header.offset, reverse=True):
            found = Diagnostics()
            if reader.trace(header, found) is not None and not found.texts():
                return header.offset + header.size_bytes
    except DataError as problem:
        if may_pass(problem) and isinstance(problem.__cause__, OSError):  # what is there is not damaged
            raise problem.__cause__ from problem
    finally:
        reader.close()
    return 0


def ends_in_doubt(path: Path, size_bytes: int) -> bool:
    """Whether nobody can tell if the last record of a file of `size_bytes` is as it was written.

    That is where its samples have no check value, and the last byte of them is 0: a power loss may have left zeros from
    any byte on. The records before it are whole: drives write sectors of 512 bytes as a whole, and so long is a record.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    with open_regular(path) as file:
        file.seek(max(0, size_bytes - RECORD_BYTES))
        record = file.read(RECORD_BYTES)
    if len(record) < RECORD_BYTES or not record[:6].isdigit():
        return False
    sample_bytes = _UNCHECKED_BYTES.get(record[_ENCODING_AT])
    if sample_bytes is None:
        return False
    stop = int.from_bytes(record[44:46], "big") + n_samples_of(record) * sample_bytes
    return not any(record[stop - 1 : stop])

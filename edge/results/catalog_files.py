"""The files of a run's catalogue, which grow by appending: catalog.csv for people, catalog.check for recovery.

catalog.check has a line for each segment, in the order in which they were completed: the CRC-32 of the rest of the
line, where the rows of its events begin in catalog.csv, the segment's interval, those rows once more, and the model
that found the events where it was installed in flight (`model`). The line is
durable before the rows are appended to catalog.csv. At a start the two are compared from their ends: what is missing in
catalog.csv, or differs there, is restored; a last line that is torn is cut off. No cost grows with the history, unless
something older is found damaged: then both are written anew (`catalog_repair`).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgequake.edge.base.atomic_files import append, lines_from, remedy_for, retry_when_full
from edgequake.edge.base.errors import DataError
from edgequake.edge.base.layout import CATALOG, CATALOG_CHECK
from edgequake.edge.results.catalog import HEADER, CatalogRow, Segment, catalog_text, parse_row

CHECKED_BYTES = 1 << 20  # at the end of catalog.check, compared at each start: about 2500 events
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Block:
    """A line of catalog.check: a segment and the rows of its events, or rows that were found without such a line."""

    offset: int  # in catalog.check
    at: int  # where its rows begin in catalog.csv
    n_bytes: int  # of its rows there
    n_rows: int
    text: str | None = None  # its rows; None where only their checksum is known
    crc32: int = 0  # of its rows, where there is no text
    start_ns: int = 0  # of the segment
    stop_ns: int = 0
    found_by: str = ""  # see `Segment`

    @property
    def stop(self) -> int:
        """Where its rows stop in catalog.csv."""
        return self.at + self.n_bytes

    @property
    def rows(self) -> tuple[CatalogRow, ...]:
        """The rows of a segment."""
        return () if self.text is None else tuple(map(parse_row, self.text.splitlines()))

    def segment(self, rows: Sequence[CatalogRow]) -> Segment:
        """Return the segment of its rows."""
        first = rows[0]
        return Segment(
            first.segment,
            first.station_id,
            self.start_ns,
            self.stop_ns,
            first.n_samples,
            first.size_bytes,
            self.found_by,
        )

    def line(self) -> bytes:
        """Return the line of catalog.check."""
        fields: dict[str, Any] = {"at": self.at}
        if self.text is None:
            fields |= {"bytes": self.n_bytes, "rows": self.n_rows, "crc32": self.crc32}
        else:
            fields |= {"segment": [self.start_ns, self.stop_ns], "text": self.text}
            fields |= {"model": self.found_by} if self.found_by else {}
        body = json.dumps(fields, separators=(",", ":")).encode()
        return b"%08x %s\n" % (zlib.crc32(body), body)

    @classmethod
    def parse(cls, line: bytes, offset: int) -> Block | None:
        """Read a line of catalog.check; None where it is damaged."""
        checksum, _, body = line[:-1].partition(b" ")
        if line[-1:] != b"\n" or checksum != b"%08x" % zlib.crc32(body):
            return None
        try:
            fields = json.loads(body)
            if "text" in fields:
                text, (start_ns, stop_ns) = fields["text"], fields["segment"]
                return cls(
                    offset, fields["at"], len(text.encode()), text.count("\n"), text,
                    start_ns=start_ns, stop_ns=stop_ns, found_by=str(fields.get("model", "")),
                )  # fmt: skip
            return cls(offset, fields["at"], fields["bytes"], fields["rows"], crc32=fields["crc32"])
        except (ValueError, KeyError, TypeError):
            return None


def read_blocks(path: Path, offset: int = 0) -> Iterator[tuple[int, Block | None]]:
    """Yield the lines of catalog.check from an offset on, which begins a line, each with its offset; damaged: None.

    Raises
    ------
    DataError
        The file cannot be read.
    """
    for at_byte, line in lines_from(path, offset):
        yield at_byte, Block.parse(line, at_byte)


class CatalogFiles:
    """catalog.csv and catalog.check of a run folder."""

    def __init__(self, out: Path) -> None:
        self.catalog, self.check = out / CATALOG, out / CATALOG_CHECK
        self.make_room: Callable[[int], bool] | None = None  # called when the disk is full
        self._size_bytes: int | None = None  # of catalog.csv; None: not opened yet
        self._check_bytes = 0
        self._rows = b""  # that are in catalog.check, and not in catalog.csv yet
        self.n_restored = 0  # rows of catalog.csv that were missing or differed when it was opened

    @property
    def check_bytes(self) -> int:
        """Size of catalog.check."""
        return self._check_bytes

    def open(self) -> bool:
        """Compare the ends of the files, and complete what an interrupted append has left.

        Returns whether they agree. Where they do not, something has been damaged, removed or written by others.

        Raises
        ------
        DataError
            The files cannot be read or written.
        """
        self._size_bytes = self.catalog.stat().st_size if self.catalog.exists() else 0
        self._check_bytes = self.check.stat().st_size if self.check.exists() else 0
        if not self._check_bytes:
            return not self._size_bytes or (self._size_bytes == len(HEADER) and self._catalog_bytes(0) == HEADER)
        if self._size_bytes and self._catalog_bytes(0, len(HEADER)) != HEADER:
            return False
        blocks = self._last_blocks()
        if not blocks or any(block is None for _, block in blocks):
            return False
        return self._restore_end([block for _, block in blocks if block is not None])

    @property
    def is_complete(self) -> bool:
        """Whether catalog.csv has all rows of catalog.check."""
        return not self._rows

    def append(self, blocks: Sequence[tuple[Segment, Sequence[CatalogRow]]]) -> list[int]:
        """Append the rows of segments to catalog.check, durably; return the offset of each segment's line there.

        `complete` appends the rows to catalog.csv.

        Raises
        ------
        DataError
            They cannot be written; nothing was appended.
        """
        at = (self._size_bytes or len(HEADER)) + len(self._rows)
        offset = self._check_bytes
        lines, texts, offsets = [], [], []
        for segment, rows in blocks:
            text = catalog_text(rows)
            interval = (segment.start_ns, segment.stop_ns)
            block = Block(offset, at, len(text.encode()), len(rows), text, 0, *interval, segment.found_by)
            lines.append(block.line())
            texts.append(text.encode())
            offsets.append(offset)
            offset, at = offset + len(lines[-1]), block.stop
        self._write(self.check, b"".join(lines), self._check_bytes, durable=True)
        self._check_bytes = offset
        self._rows += b"".join(texts)
        return offsets

    def complete(self) -> None:
        """Append to catalog.csv the rows that catalog.check has; make a catalogue without rows where there is none.

        Raises
        ------
        DataError
            They cannot be written; they are appended at the next call.
        """
        if self._rows or not self._size_bytes:
            self._append_rows(self._rows)
            self._rows = b""

    def adopt(self, at: int, n_bytes: int, n_rows: int, crc32: int) -> None:
        """Take rows of catalog.csv from byte `at` on that have no line in catalog.check; what follows them is cut off.

        Raises
        ------
        DataError
            catalog.check cannot be written.
        """
        line = Block(self._check_bytes, at, n_bytes, n_rows, crc32=crc32).line()
        self._write(self.check, line, self._check_bytes, durable=True)
        self._check_bytes += len(line)
        self._size_bytes = at + n_bytes
        self._append_rows(b"")

    def block(self, offset: int) -> Block | None:
        """Return the line of catalog.check at an offset; None where there is none of a segment."""
        block = next((block for _, block in read_blocks(self.check, offset)), None)
        return block if block is not None and block.text is not None else None

    def blocks(self, offset: int) -> list[Block]:
        """Return the segments in catalog.check from an offset on."""
        return [block for _, block in read_blocks(self.check, offset) if block is not None and block.text is not None]

    def last_offset(self, n_bytes: int = CHECKED_BYTES) -> int:
        """Return where the first line begins that lies in the last `n_bytes` of catalog.check."""
        start = max(0, self._check_bytes - n_bytes)
        if start == 0:
            return 0
        with self.check.open("rb") as file:
            file.seek(start)
            return start + len(file.readline())

    def count_rows(self) -> int:
        """Return the number of rows of catalog.csv; reads it whole."""
        if not self._size_bytes:
            return 0
        with self.catalog.open("rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(_CHUNK_BYTES), b"")) - 1

    def _last_blocks(self) -> list[tuple[int, Block | None]]:
        """Return the last lines of catalog.check, without those at its end that are torn."""
        blocks = list(read_blocks(self.check, self.last_offset()))
        while blocks and blocks[-1][1] is None:
            self._check_bytes = blocks.pop()[0]
        return blocks

    def _restore_end(self, blocks: Sequence[Block]) -> bool:
        """Write what the last lines of catalog.check have and catalog.csv has not; return whether they agree then."""
        size_bytes, first = self._size_bytes or 0, blocks[0]
        if size_bytes < first.at and not (first.at == len(HEADER) and not size_bytes):
            return False
        found = self._catalog_bytes(first.at)
        for i, block in enumerate(blocks):
            part = found[block.at - first.at : block.stop - first.at]
            if block.text is None and zlib.crc32(part) != block.crc32:
                return False
            if block.text is not None and part != block.text.encode():
                texts = [other.text for other in blocks[i:]]
                if None in texts:
                    return False
                self._size_bytes = min(size_bytes, block.at)
                self._append_rows("".join(text or "" for text in texts).encode())
                self.n_restored = sum(other.n_rows for other in blocks[i:])
                return True
        return size_bytes <= blocks[-1].stop

    def _catalog_bytes(self, start: int, n_bytes: int = -1) -> bytes:
        if not self.catalog.exists():
            return b""
        with self.catalog.open("rb") as file:
            file.seek(start)
            return file.read(n_bytes)

    def _append_rows(self, data: bytes) -> None:
        """Append rows to catalog.csv. They need not be durable: catalog.check is."""
        at = self._size_bytes or 0
        data = data if at else HEADER + data
        self._write(self.catalog, data, at, durable=not at)
        self._size_bytes = at + len(data)

    def _write(self, path: Path, data: bytes, at_byte: int, durable: bool) -> None:
        try:
            retry_when_full(lambda: append(path, data, at_byte, durable), len(data), self.make_room)
        except OSError as problem:
            raise DataError(f"cannot write {path}: {problem.strerror or problem}; {remedy_for(problem)}") from problem

"""Writes a damaged catalogue anew, from what is left of catalog.csv, of catalog.check and of the segments."""

from __future__ import annotations

import codecs
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count, groupby
from typing import BinaryIO

from edgequake.edge.base.atomic_files import LONGEST_LINE_BYTES, remedy_for, sync
from edgequake.edge.base.checkpoint import set_aside
from edgequake.edge.base.errors import DataError
from edgequake.edge.base.layout import SEGMENTS
from edgequake.edge.formats.miniseed import index_file
from edgequake.edge.formats.record_scanner import RecordHeader
from edgequake.edge.formats.source_ids import channel_of, station_of
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.results.catalog import COLUMNS, HEADER, OLD_COLUMNS, CatalogRow, catalog_text, columns_of, parse_row
from edgequake.edge.results.catalog_files import Block, CatalogFiles, read_blocks
from edgequake.edge.results.ledger import event_id

_MOST_WITH_INTERVALS = 1000  # rows at the end of those without a line in catalog.check whose segments are looked at
_CHUNK_BYTES = 1 << 20
_ADOPT_BYTES = 1 << 16  # at the end of such rows, which must be rows


def repair(files: CatalogFiles, pre_roll_s: Callable[[str], float] | None) -> str:
    """Make catalog.csv and catalog.check agree; return what was found and done.

    pre_roll_s : of a station's segments, to write rows for segments that no row names; None: no such rows, because the
        run detects their events again.

    Raises
    ------
    DataError
        The files cannot be read or written.
    """
    try:
        if _adopt_end(files):
            return ""
        rewriting = _Rewriting(files)
        n_lost, n_from_segments = rewriting.run(pre_roll_s)
    except OSError as problem:
        raise DataError(
            f"cannot write {files.catalog}: {problem.strerror or problem}; {remedy_for(problem)}"
        ) from problem
    if not files.open():
        raise DataError(f"{files.catalog} was changed while it was repaired: another program writes there")
    if rewriting.columns == OLD_COLUMNS and not n_lost and not n_from_segments:
        return f"{files.catalog} was written by an earlier version; it has been converted and is complete"
    found = f"{n_lost} row(s) cannot be read" if n_lost else "its rows are complete"
    rebuilt = f", {n_from_segments} row(s) were written from segments, without probability" if n_from_segments else ""
    return f"{files.catalog} was damaged or incomplete and has been repaired: {found}{rebuilt}"


def _adopt_end(files: CatalogFiles) -> bool:
    """Take rows that follow those of catalog.check as they are; return whether that is all that was amiss."""
    blocks = list(read_blocks(files.check, files.last_offset())) if files.check.exists() else []
    if any(block is None for _, block in blocks) or not files.catalog.exists():
        return False
    start = blocks[-1][1].stop if blocks and blocks[-1][1] is not None else len(HEADER)
    with files.catalog.open("rb") as file:
        if file.read(len(HEADER)) != HEADER:
            return False
        for block in (block for _, block in blocks if block is not None):
            file.seek(block.at)
            part = file.read(block.n_bytes)
            if part != (block.text or "").encode() and (block.text is not None or zlib.crc32(part) != block.crc32):
                return False
        n_bytes, n_rows, crc32 = _measure(file, start)
    if not n_bytes:
        return False
    files.adopt(start, n_bytes, n_rows, crc32)
    return files.open()


def _measure(file: BinaryIO, start: int) -> tuple[int, int, int]:
    """Return bytes, rows and CRC-32 of a catalogue's whole lines from a byte on; nothing where they are no rows."""
    decoder, n_bytes, n_rows, crc32, last = codecs.getincrementaldecoder("utf-8")(), 0, 0, 0, b""
    file.seek(start)
    try:
        while chunk := file.read(_CHUNK_BYTES):
            whole = (last + chunk)[: (last + chunk).rfind(b"\n") + 1]
            last = (last + chunk)[len(whole) :]
            if len(last) > LONGEST_LINE_BYTES:
                return 0, 0, 0
            decoder.decode(whole)
            n_bytes, n_rows, crc32 = n_bytes + len(whole), n_rows + whole.count(b"\n"), zlib.crc32(whole, crc32)
        file.seek(max(start, start + n_bytes - _ADOPT_BYTES))
        lines = file.read(min(n_bytes, _ADOPT_BYTES)).decode(errors="replace").splitlines(keepends=True)
        for line in lines[0 if n_bytes <= _ADOPT_BYTES else 1 :]:
            parse_row(line)
    except ValueError:
        return 0, 0, 0
    return n_bytes, n_rows, crc32


class _Rewriting:
    """Writes both files anew; they replace the old ones when they are complete."""

    def __init__(self, files: CatalogFiles) -> None:
        self._files, self._out = files, files.catalog.parent
        self.columns: tuple[str, ...] = COLUMNS
        self._evids: set[str] = set()
        self._segments: set[str] = set()
        self._at = len(HEADER)
        self._n_expected = self._n_written = self._n_unreadable = 0  # rows

    def run(self, pre_roll_s: Callable[[str], float] | None) -> tuple[int, int]:
        """Return how many rows are lost, and how many were written from segments."""
        new = CatalogFiles(self._out)
        new.catalog, new.check = (path.with_name(f".{path.name}.part") for path in (new.catalog, new.check))
        n_from_segments = 0
        with new.catalog.open("wb") as catalog, new.check.open("wb") as check:
            catalog.write(HEADER)
            for block in self._blocks():
                self._write(block, catalog, check)
            for rows in self._from_segments(pre_roll_s) if pre_roll_s is not None else ():
                n_from_segments += len(rows)
                self._write(self._of_segment(rows), catalog, check)
        for part, path in ((new.check, self._files.check), (new.catalog, self._files.catalog)):
            sync(part)
            part.replace(path)
        sync(self._out)
        n_kept = self._n_written - n_from_segments
        return max(self._n_unreadable, self._n_expected - n_kept), n_from_segments

    def _write(self, block: Block, catalog: BinaryIO, check: BinaryIO) -> None:
        check.write(replace(block, at=self._at).line())
        if block.text is not None:
            catalog.write(block.text.encode())
        self._at += block.n_bytes
        self._n_written += block.n_rows

    def _blocks(self) -> Iterator[Block]:
        """Yield what is left: of catalog.check, and between its lines of catalog.csv."""
        path = self._files.catalog
        with suppress(FileNotFoundError), path.open("rb") as file:
            columns = columns_of(file.readline().decode(errors="replace"))
            if columns is None and path.stat().st_size:
                set_aside(path)  # of another version, or something else
            self.columns = columns or COLUMNS
            position = file.tell()
            for block in self._checked():
                yield from self._salvage(file, position, block.at)
                yield block
                position = max(position, block.stop)
            yield from self._salvage(file, position, None)
            return
        yield from self._checked()

    def _checked(self) -> Iterator[Block]:
        """Yield the segments of catalog.check."""
        for _, block in read_blocks(self._files.check):
            self._n_expected += 1 if block is None else block.n_rows
            if block is not None and block.text is not None:
                self._remember(block.rows)
                yield block

    def _salvage(self, file: BinaryIO, start: int, stop: int | None) -> Iterator[Block]:
        """Yield the rows of catalog.csv in [start, stop) that can be read and are not written yet."""
        file.seek(start)
        held: deque[CatalogRow] = deque()
        while stop is None or file.tell() < stop:
            line = file.readline(LONGEST_LINE_BYTES)
            if not line:
                break
            try:
                row = parse_row(line.decode(), self.columns)
            except ValueError:
                self._n_unreadable += 1
                continue
            if row.evid not in self._evids:
                self._remember([row])
                held.append(row)
            if len(held) > _MOST_WITH_INTERVALS:
                yield self._of_rows([held.popleft()])
        for _, rows in groupby(held, key=lambda row: row.segment):
            yield self._of_segment(list(rows))

    def _remember(self, rows: Iterable[CatalogRow]) -> None:
        for row in rows:
            self._evids.add(row.evid)
            self._segments.add(row.segment)

    def _of_rows(self, rows: list[CatalogRow]) -> Block:
        return self._block(rows, min(row.onset_ns for row in rows), max(row.stop_ns for row in rows))

    def _of_segment(self, rows: list[CatalogRow]) -> Block:
        """Return the block of rows whose segment's interval is to be read from the segment."""
        try:
            headers = index_file(self._out / rows[0].segment).headers
        except DataError:
            return self._of_rows(rows)
        return self._block(rows, min(header.start_ns for header in headers), max(header.stop_ns for header in headers))

    def _block(self, rows: list[CatalogRow], start_ns: int, stop_ns: int) -> Block:
        text = catalog_text(rows)
        return Block(0, 0, len(text.encode()), len(rows), text, start_ns=start_ns, stop_ns=stop_ns)

    def _from_segments(self, pre_roll_s: Callable[[str], float]) -> Iterator[list[CatalogRow]]:
        """Yield a row for each segment that no row names: when it was is known, how probable it was is not."""
        for path in sorted((self._out / SEGMENTS).glob("*.mseed")):
            name = f"{SEGMENTS}/{path.name}"
            if name in self._segments:
                continue
            try:
                headers = index_file(path).headers
            except DataError:
                continue
            if headers:
                row = _row_of(headers, name, path.stat().st_size, pre_roll_s)
                names = (f"{row.evid}_rebuilt{'' if i == 1 else i}" for i in count(1))
                row = replace(row, evid=next(evid for evid in names if evid not in self._evids))
                self._remember([row])
                yield [row]


def _row_of(
    headers: Sequence[RecordHeader], name: str, size_bytes: int, pre_roll_s: Callable[[str], float]
) -> CatalogRow:
    """Return a row for a segment, with what its records tell."""
    start_ns, stop_ns = min(header.start_ns for header in headers), max(header.stop_ns for header in headers)
    station_id = station_of(headers[0].source_id)
    onset_ns = min(start_ns + round(pre_roll_s(station_id) * NS_PER_S), stop_ns)
    return CatalogRow(
        filename="-",
        onset_ns=onset_ns,
        time_rel_s=0.0,
        evid=event_id(station_id, onset_ns),
        mq_type="",
        station_id=station_id,
        channels=tuple(sorted({channel_of(header.source_id) for header in headers})),
        stop_ns=stop_ns,
        peak_probability=0.0,
        priority=0.0,
        segment=name,
        n_samples=sum(header.n_samples for header in headers),
        size_bytes=size_bytes,
    )

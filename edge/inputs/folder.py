"""A folder that is still being written: new files and growing files are read as they appear."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.miniseed import RecordFile
from edgequake.edge.formats.record_scanner import RecordHeader, RecordScanner
from edgequake.edge.inputs.files import files_in
from edgequake.edge.inputs.live import RoutedSource, StallMonitor
from edgequake.edge.inputs.ordering import ChannelRouter
from edgequake.edge.inputs.source import Batch

_READ_BYTES = 1 << 18
_MOST_HEADERS = 20_000  # per round; further records wait for the next round
_SLEEP_S = 0.25


class FolderSource(RoutedSource):
    """Reads the miniSEED files of a folder in rounds, each as far as it has been written.

    A round sorts the new complete records of all files by time; an incomplete record waits for a later round.
    """

    def __init__(
        self,
        folder: Path,
        out: Path,
        router: ChannelRouter,
        diagnostics: Diagnostics,
        monitor: StallMonitor,
        poll_s: float = 1.0,
    ) -> None:
        super().__init__(router, diagnostics, monitor)
        self._folder, self._out, self._poll_s = folder, out, poll_s
        self.size_bytes = 0
        self._read_until: dict[str, int] = {}  # by path: bytes before this one have been read, or are in this round
        self._round: list[tuple[str, int, int]] = []  # path and bytes [start, stop) that are being read now
        self._n_done = 0  # records of the round that have been read
        self._starts_ns: dict[str, int] = {}  # by path, of its first record

    def batches(self) -> Iterator[Batch | None]:
        yield from self._traces()  # the rest of an interrupted round
        while True:
            self._find_round()
            if self._round:
                self._monitor.data_arrived()
                yield from self._traces()
            elif self._monitor.is_over():
                return
            else:
                yield from self._wait()

    def state(self) -> State:
        return {
            **super().state(),
            "size_bytes": self.size_bytes,
            "read_until": self._read_until,
            "round": self._round,
            "n_done": self._n_done,
            "starts_ns": self._starts_ns,
        }

    def restore(self, state: State) -> None:
        super().restore(state)
        self.size_bytes = state["size_bytes"]
        self._read_until, self._starts_ns = state["read_until"], state["starts_ns"]
        self._round, self._n_done = [tuple(part) for part in state["round"]], state["n_done"]

    def _wait(self) -> Iterator[None]:
        until_s = time.monotonic() + self._poll_s
        while (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(left_s, _SLEEP_S))
            yield None

    def _traces(self) -> Iterator[Batch]:
        """Decode the round's records in order of time, except those read before an interruption."""
        records = [(header, Path(path)) for path, start, stop in self._round for header in _headers(path, start, stop)]
        records.sort(key=lambda record: (record[0].start_ns, record[0].source_id, str(record[1]), record[0].offset))
        n_left = Counter(path for _, path in records)
        files: dict[Path, RecordFile] = {}
        for i, (header, path) in enumerate(records):
            n_left[path] -= 1
            if i >= self._n_done:
                file = files.setdefault(path, RecordFile(path, self._starts_ns.get(str(path), header.start_ns)))
                self._n_done = i + 1
                yield from self._trace(file, header)
            if n_left[path] == 0 and path in files:
                files.pop(path).close()
        self._round, self._n_done = [], 0

    def _trace(self, file: RecordFile, header: RecordHeader) -> Iterator[Batch]:
        try:
            trace = file.trace(header, self.diagnostics)
        except DataError as problem:
            self.diagnostics.warn(str(problem))
            return
        if trace is not None:
            yield from self._router.push(trace)

    def _find_round(self) -> None:
        """Find complete records that have not been read."""
        n_records = 0
        for path in self._grown():
            if n_records > _MOST_HEADERS:
                break
            try:
                n_records += self._scan(path)
            except OSError as problem:
                self.diagnostics.warn(f"{path} cannot be read: {problem.strerror or problem}")

    def _grown(self) -> list[Path]:
        """Return the files with unread bytes, those with the oldest records first."""
        grown: list[tuple[int, Path]] = []
        for path in files_in(self._folder, self._out):
            if path.suffix.lower() == ".csv":
                self.diagnostics.warn(f"{path} is no miniSEED file and is not followed")
                continue
            try:
                size = path.stat().st_size
                if size < self._read_until.get(str(path), 0):
                    self.diagnostics.warn(f"{path} has become shorter and is read again")
                    del self._read_until[str(path)]
                if size > self._read_until.get(str(path), 0):
                    grown.append((self._start_ns(path), path))
            except OSError:
                continue  # it has been deleted
        return [path for _, path in sorted(grown)]

    def _start_ns(self, path: Path) -> int:
        """Return the time of a file's first record, 0 where it has none yet."""
        if str(path) not in self._starts_ns:
            with path.open("rb") as file:
                first = next(
                    iter(RecordScanner(str(path), Diagnostics(), decode=False).feed(file.read(_READ_BYTES))), None
                )
            if first is None:
                return 0
            self._starts_ns[str(path)] = first.header.start_ns
        return self._starts_ns[str(path)]

    def _scan(self, path: Path) -> int:
        """Add a file's new complete records to the round; return their number."""
        start_byte, n_records = self._read_until.get(str(path), 0), 0
        scanner = RecordScanner(str(path), self.diagnostics, decode=False, offset=start_byte)
        with path.open("rb") as file:
            file.seek(start_byte)
            while n_records <= _MOST_HEADERS and (data := file.read(_READ_BYTES)):
                for record in scanner.feed(data):
                    n_records += 1
                    start_ns = self._starts_ns.get(str(path), record.header.start_ns)
                    self._starts_ns[str(path)] = min(start_ns, record.header.start_ns) if start_byte == 0 else start_ns
        self.size_bytes += scanner.offset - start_byte
        self._read_until[str(path)] = scanner.offset
        if n_records:
            self._round.append((str(path), start_byte, scanner.offset))
        return n_records


def _headers(path: str, start_byte: int, stop_byte: int) -> list[RecordHeader]:
    scanner = RecordScanner(path, Diagnostics(), decode=False, offset=start_byte)
    headers: list[RecordHeader] = []
    with suppress(OSError), Path(path).open("rb") as file:  # a deleted file has nothing to read
        file.seek(start_byte)
        while data := file.read(min(_READ_BYTES, stop_byte - file.tell())):
            headers += [record.header for record in scanner.feed(data)]
    return headers

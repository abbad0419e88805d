"""The spool: recorded data from a pipe, kept on disk until they can be processed in order of time.

A file sent down a pipe may hold its channels one after another, a day of each. So data that are older than an hour and
arrive faster than real time are written to the run folder as they come. When the pipe ends, they are a file like any
other. When they turn out to arrive in real time, or exceed the bound, they are a backlog, which the live input follows.

The spool is one file, whose name tells a later process what it is:

- `receiving.mseed`: the pipe has not ended. Nothing has been processed; a resumed run adds what it receives.
- `input.mseed`: the pipe has ended. The run is one over this file.
- `backlog.mseed`: the run is live, and begins with these records.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from enum import Enum
from pathlib import Path

from edgequake.edge.base.atomic_files import is_disk_full, sync
from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.control import beat
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError, Stopped
from edgequake.edge.formats.miniseed import RecordFile
from edgequake.edge.formats.record_scanner import RecordHeader, RecordScanner
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.inputs.live import StallMonitor
from edgequake.edge.inputs.stdin import NAME, ByteStream

_OLD_NS = 3600 * NS_PER_S  # data behind the wall clock by more are recorded data, or from a clock that is not set
# Over so long a time the pace is measured: a sender of recorded data may pause, a live channel fills a record in a
# minute or two.
_PACE_S = 30.0
_LIVE_PACE = 2.0  # seconds of signal a second: in real time it is 1, but a record comes all at once
_HEAD_BYTES = 1 << 20  # with no record in them, these are no recorded data
_SYNC_BYTES = 1 << 22  # that a power loss may take
_READ_BYTES = 1 << 18
_MOST_CHANNELS = 256
_RECEIVING, _INPUT, _BACKLOG = "receiving.mseed", "input.mseed", "backlog.mseed"


class Outcome(Enum):
    """How a run reads a pipe."""

    LIVE = "live"  # as it comes
    FILE = "file"  # the spool, and nothing else
    BACKLOG = "backlog"  # the spool, and then what comes


class Pace:
    """Measures whether data arrive in real time: how much signal comes of the channel of which most comes."""

    def __init__(self, now_s: float) -> None:
        self._since_s = now_s
        self._signal_s: dict[str, float] = {}
        self.n_measured = 0

    def add(self, header: RecordHeader) -> None:
        """Note that a record has arrived."""
        if header.source_id in self._signal_s or len(self._signal_s) < _MOST_CHANNELS:
            signal_s = header.n_samples / header.sampling_rate_hz
            self._signal_s[header.source_id] = self._signal_s.get(header.source_id, 0.0) + signal_s

    def is_live(self, now_s: float) -> bool:
        """Return whether data arrive in real time, or not at all; False until that has been measured."""
        elapsed_s = now_s - self._since_s
        if elapsed_s < _PACE_S:
            return False
        most_s = max(self._signal_s.values(), default=0.0)
        self._since_s, self._signal_s = now_s, {}
        self.n_measured += 1
        return most_s <= _LIVE_PACE * elapsed_s


class Spool:
    """The file in the run folder that holds the bytes of a pipe, as they were received."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder, self.most_bytes = folder, most_bytes
        self.size_bytes = 0
        self._n_unsynced = 0
        self._n_repeated: int | None = None  # bytes received that repeat the first ones of the spool; None: no more

    def outcome(self) -> Outcome | None:
        """Return how an earlier process decided to read the pipe; None: it had not decided."""
        if (self._folder / _INPUT).is_file():
            return Outcome.FILE
        return Outcome.BACKLOG if (self._folder / _BACKLOG).is_file() else None

    @property
    def is_begun(self) -> bool:
        """Whether an earlier process had begun to receive."""
        return (self._folder / _RECEIVING).is_file()

    def open(self) -> None:
        """Begin to receive, or continue.

        A sender that is started again usually sends the same data again: they are compared, and stored once.

        Raises
        ------
        DataError
            The folder cannot be used.
        """
        path = self._folder / _RECEIVING
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b", buffering=0)
            self.size_bytes = path.stat().st_size
        except OSError as problem:
            raise self._error(problem) from problem
        self._n_repeated = 0 if self.size_bytes else None

    def append(self, data: bytes, n_scanned: int) -> bytes:
        """Store the next bytes; return those that exceed the bound or what the disk holds, all or none of the new ones.

        `n_scanned` is the number of bytes received before the last incomplete record.

        Raises
        ------
        DataError
            The disk fails.
        """
        if self._n_repeated is not None:
            data = self._without_repeated(data, n_scanned, self._n_repeated)
        if self.size_bytes + len(data) > self.most_bytes:
            return data
        try:
            if self._file.write(data) < len(data):
                self._file.truncate(self.size_bytes)  # the disk is full
                return data
        except OSError as problem:
            if is_disk_full(problem):
                return data
            raise self._error(problem) from problem
        self.size_bytes += len(data)
        self._n_unsynced += len(data)
        if self._n_unsynced >= _SYNC_BYTES:
            self.sync()
        return b""

    def sync(self) -> None:
        """Make durable what was stored.

        Raises
        ------
        DataError
            The disk fails.
        """
        try:
            os.fsync(self._file.fileno())
        except OSError as problem:
            raise self._error(problem) from problem
        self._n_unsynced = 0

    def close(self, outcome: Outcome) -> None:
        """Note how the run reads what was received.

        Raises
        ------
        DataError
            The disk fails.
        """
        self.sync()
        self._file.close()
        try:
            (self._folder / _RECEIVING).replace(self.path(outcome))
            sync(self._folder)
        except OSError as problem:
            raise self._error(problem) from problem

    def make_backlog(self) -> Outcome:
        """Have the input that was to be read as a file read as a backlog; return that outcome.

        Raises
        ------
        DataError
            The disk fails.
        """
        try:
            self.path(Outcome.FILE).replace(self.path(Outcome.BACKLOG))
            sync(self._folder)
        except OSError as problem:
            raise self._error(problem) from problem
        return Outcome.BACKLOG

    def path(self, outcome: Outcome) -> Path:
        """Return the path of the file that is read in this way."""
        return self._folder / (_INPUT if outcome is Outcome.FILE else _BACKLOG)

    def _without_repeated(self, data: bytes, n_scanned: int, n_repeated: int) -> bytes:
        """Return the part of the bytes received that is not stored yet."""
        self._file.seek(n_repeated)
        stored = self._file.read(len(data))
        if data == stored:
            self._n_repeated = n_repeated + len(data)
            return b""
        self._n_repeated = None
        if data.startswith(stored):  # what follows is new
            return data[len(stored) :]
        self._file.seek(n_scanned)  # another record, which may have begun like a stored one
        return self._file.read(n_repeated - n_scanned) + data

    def _error(self, problem: OSError) -> DataError:
        return DataError(
            f"cannot store the input in {self._folder}: {problem.strerror or problem}; choose another --out, or "
            f"process it as it comes with --spool-bytes 0"
        )


class SpooledPipe:
    """Receives what may be recorded data from a pipe, and decides how the run reads them."""

    def __init__(self, stream: ByteStream, spool: Spool, monitor: StallMonitor) -> None:
        self._stream, self._spool, self._monitor, self._control = stream, spool, monitor, monitor.control
        self._scanner = RecordScanner(NAME, Diagnostics(), decode=False)

    def receive(self, is_live: bool, may_be_file: bool) -> Outcome:
        """Receive until it is clear how the run reads the input.

        Parameters
        ----------
        is_live : an earlier process has read this pipe live.
        may_be_file : at its end the pipe may be read as a file; otherwise, because the folder has results, as a
            backlog.

        Raises
        ------
        DataError
            The spool cannot be written.
        Stopped
            The run was asked to stop; what was received is in the spool.
        """
        spool = self._spool
        earlier = spool.outcome()
        if earlier is not None:
            if earlier is Outcome.FILE:
                self._control.log("all of the input had been received already: standard input is not read")
            return earlier
        if not spool.is_begun and (is_live or spool.most_bytes == 0 or not self._begins_with_old_data()):
            return Outcome.LIVE
        spool.open()
        has_ended = spool.most_bytes > 0 and self._fill()
        outcome = Outcome.FILE if has_ended and may_be_file else Outcome.BACKLOG
        spool.close(outcome)
        return outcome

    def _begins_with_old_data(self) -> bool:
        """Wait for the first records and return whether they are old; they are still to be read."""
        scanner, head = RecordScanner(NAME, Diagnostics(), decode=False), b""
        headers: list[RecordHeader] = []
        while not headers and len(head) < _HEAD_BYTES:
            data = self._stream.read()
            beat()
            if data is None:
                if self._control.stop or self._monitor.is_over():
                    break
                continue
            self._monitor.data_arrived()
            head += data
            headers = [record.header for record in scanner.feed(data, at_end=not data)]
            if not data:
                break
        if head:
            self._stream.put_back(head)
        return any(header.start_ns < time.time_ns() - _OLD_NS for header in headers)

    def _fill(self) -> bool:
        """Store what arrives; return whether the input has ended, rather than gone live or become too long."""
        pace = Pace(time.monotonic())
        while (data := self._stream.read()) != b"":
            beat()
            self._stop_if_asked()
            if data:
                self._monitor.data_arrived()
                if exceeding := self._spool.append(data, self._scanner.offset):
                    self._stream.put_back(exceeding)
                    self._control.log(
                        f"the spool is full with {self._spool.size_bytes} bytes: what follows is read live, and what "
                        f"is late then is only archived; give the file by name, or a larger --spool-bytes"
                    )
                    return False
                for record in self._scanner.feed(data):
                    pace.add(record.header)
            elif self._monitor.is_over():
                return True
            if pace.is_live(time.monotonic()):
                self._control.log(f"the input arrives in real time: {self._spool.size_bytes} bytes go first, in order")
                return False
            if pace.n_measured == 1:
                pace.n_measured += 1
                self._control.log(
                    f"recorded data: processed when the input ends, or after {self._spool.most_bytes} bytes"
                )
        return True

    def _stop_if_asked(self) -> None:
        if self._control.stop:
            self._spool.sync()
            raise Stopped(
                f"stopped before the end of the input, with {self._spool.size_bytes} bytes of it stored and none "
                f"processed; go on with --resume, and send the rest or all of it again"
            )


class SpooledBacklog:
    """The records of a spool in order of time, and how many of them the run has read."""

    def __init__(self, path: Path, diagnostics: Diagnostics) -> None:
        """Find the records.

        Raises
        ------
        DataError
            The file cannot be read.
        """
        self._path, self._diagnostics = path, diagnostics
        scanner = RecordScanner(NAME, diagnostics, decode=False)
        headers: list[RecordHeader] = []
        try:
            with path.open("rb") as file:
                while data := file.read(_READ_BYTES):
                    headers += [record.header for record in scanner.feed(data)]
                file.seek(scanner.offset)
                self.incomplete = file.read()  # the first bytes of the record that follows on the pipe
        except OSError as problem:
            raise DataError(f"{path} cannot be read: {problem.strerror or problem}") from problem
        self.size_bytes = scanner.offset
        self._headers = sorted(headers, key=lambda header: (header.start_ns, header.source_id, header.offset))
        self._n_done = 0
        self._is_over_on_disk = False  # a checkpoint says that all records have been read

    def traces(self) -> Iterator[Trace]:
        """Yield the traces that have not been read, in order of time.

        Raises
        ------
        DataError
            The file cannot be read.
        """
        file = RecordFile(self._path, 0)
        for i in range(self._n_done, len(self._headers)):
            trace = file.trace(self._headers[i], self._diagnostics)
            self._n_done = i + 1
            if trace is not None:
                yield replace(trace, file="-")
        file.close()

    def end(self) -> None:
        """Delete the file when nobody needs it any more."""
        if self._is_over_on_disk:
            self._is_over_on_disk = False
            with suppress(OSError):
                self._path.unlink()
                self._path.parent.rmdir()

    def state(self) -> State:
        self._is_over_on_disk = self._n_done == len(self._headers)
        return {"n_done": self._n_done}

    def restore(self, state: State) -> None:
        self._n_done = state["n_done"]

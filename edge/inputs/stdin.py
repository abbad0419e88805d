"""Standard input: miniSEED records with anything else between them, raw samples of one channel, or a file."""

from __future__ import annotations

import os
import select
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.formats.record_scanner import RecordScanner
from edgequake.edge.formats.source_ids import require_source_id
from edgequake.edge.formats.waveforms import Trace, duration_ns, parse_time
from edgequake.edge.inputs.files import plan_streams
from edgequake.edge.inputs.live import POLL_S
from edgequake.edge.inputs.model_choice import ModelChoice
from edgequake.edge.inputs.source import Batch, FileSource

_READ_BYTES = 1 << 16
NAME = "input stream '-'"


class RecordDecoder:
    """Decodes miniSEED records from a stream."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        self._scanner = RecordScanner(NAME, diagnostics, decode=True)

    def traces(self, data: bytes, at_end: bool) -> Iterator[Trace]:
        """Take the next bytes; yield the records that they complete."""
        for record in self._scanner.feed(data, at_end):
            yield record.trace()


@dataclass(frozen=True)
class RawFormat:
    """Description of the raw samples on a stream, RATE,DTYPE,SOURCE_ID,START."""

    sampling_rate_hz: float
    dtype: str  # int16, int32 or float32, little-endian
    source_id: str
    start_ns: int

    @classmethod
    def parse(cls, text: str) -> RawFormat:
        """Read the text of `--raw`; START is an ISO time, or `now`.

        Raises
        ------
        ConfigError
            The text does not have that form.
        """
        parts = [part.strip() for part in text.split(",")]
        expected = "expected RATE,DTYPE,SOURCE_ID,START, as 6.625,int32,FDSN:XX_LUN_00_M_H_Z,2030-01-01T00:00:00"
        if len(parts) != 4 or parts[1] not in ("int16", "int32", "float32"):
            raise ConfigError(f"--raw '{text}': {expected}; DTYPE is int16, int32 or float32")
        try:
            rate_hz = float(parts[0])
            start_ns = time.time_ns() if parts[3] == "now" else parse_time(parts[3])
            source_id = require_source_id(parts[2])
        except (ValueError, DataError) as problem:
            raise ConfigError(f"--raw '{text}': {problem}; {expected}") from problem
        if not 0 < rate_hz < 1e6:
            raise ConfigError(f"--raw '{text}': {expected}")
        return cls(rate_hz, parts[1], source_id, start_ns)


class RawDecoder:
    """Decodes raw samples of one channel without gaps."""

    def __init__(self, diagnostics: Diagnostics, raw: RawFormat) -> None:
        self._diagnostics, self._raw = diagnostics, raw
        self._dtype = np.dtype(raw.dtype).newbyteorder("<")
        self._rest = b""
        self._n_samples = 0

    def traces(self, data: bytes, at_end: bool) -> Iterator[Trace]:
        """Take the next bytes; yield the samples that they complete."""
        data = self._rest + data
        n_samples = len(data) // self._dtype.itemsize
        self._rest = data[n_samples * self._dtype.itemsize :]
        if at_end and self._rest:
            self._diagnostics.junk(NAME, "half a sample at its end", len(self._rest))
        if n_samples:
            raw = self._raw
            samples = np.frombuffer(data, self._dtype, n_samples).astype(self._dtype.newbyteorder("="))
            start_ns = raw.start_ns + duration_ns(self._n_samples, raw.sampling_rate_hz)
            self._n_samples += n_samples
            yield Trace(raw.source_id, start_ns, raw.sampling_rate_hz, samples)


class ByteStream:
    """Reads what has arrived on a stream, such as a pipe, without waiting for long."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._returned = b""

    def read(self) -> bytes | None:
        """Return the bytes received, None when nothing comes for a while, and no bytes at the end of the stream."""
        if self._returned:
            data, self._returned = self._returned, b""
            return data
        try:
            ready, _, _ = select.select([self._stream], [], [], POLL_S)
        except (OSError, ValueError):  # a stream that cannot be waited for
            ready = [self._stream]
        return getattr(self._stream, "read1", self._stream.read)(_READ_BYTES) if ready else None

    def put_back(self, data: bytes) -> None:
        """Have the next `read` return these bytes first."""
        self._returned = data + self._returned


class StdinReceiver:
    """Receives from a stream of bytes, such as standard input."""

    def __init__(self, stream: ByteStream, decoder: RecordDecoder | RawDecoder) -> None:
        self._stream, self._decoder = stream, decoder
        self.size_bytes = 0

    def arrivals(self) -> Iterator[Iterable[Trace] | None]:
        """Yield the traces received, None where nothing has come for a while, until the stream ends."""
        while (data := self._stream.read()) != b"":
            if data is None:
                yield None
            else:
                self.size_bytes += len(data)
                yield self._decoder.traces(data, at_end=False)

    def rest(self) -> Iterable[Trace]:
        return self._decoder.traces(b"", at_end=True)


def open_stdin() -> ByteStream:
    """Return the stream of standard input.

    Raises
    ------
    DataError
        Standard input is closed.
    """
    if sys.stdin is None:
        raise DataError("standard input is closed; pipe miniSEED records into it, or name files")
    return ByteStream(sys.stdin.buffer)


def receiver(stream: ByteStream, raw: str | None, diagnostics: Diagnostics) -> StdinReceiver:
    """Return the receiver of a stream; `raw` describes raw samples (see `RawFormat`), None: miniSEED records.

    Raises
    ------
    ConfigError
        As `RawFormat.parse`.
    """
    decoder: RecordDecoder | RawDecoder
    decoder = RecordDecoder(diagnostics) if raw is None else RawDecoder(diagnostics, RawFormat.parse(raw))
    return StdinReceiver(stream, decoder)


class StdinFileSource(FileSource):
    """Standard input that is a file, or has been stored as one. In all results its name is "-"."""

    def __init__(
        self,
        path: Path,
        choice: ModelChoice,
        start_ns: int | None,
        stop_ns: int | None,
        progress: Callable[[float], None] | None = None,
        is_spooled: bool = False,
    ) -> None:
        """Read the file at `path`; `is_spooled`: delete it, and its folder, when the run is complete.

        Raises
        ------
        DataError
            As `plan_streams`.
        """
        try:
            plan = plan_streams((str(path),), choice)
        except DataError as problem:
            raise DataError(str(problem).replace(str(path), NAME)) from problem
        plan.diagnostics = _StdinDiagnostics(str(path), plan.diagnostics)
        super().__init__(plan, start_ns, stop_ns, progress)
        self._path, self._is_spooled = path, is_spooled

    def batches(self) -> Iterator[Batch]:
        for batch in super().batches():
            yield replace(batch, traces=tuple(replace(trace, file="-") for trace in batch.traces))

    def fingerprint(self) -> list[list[object]]:
        """Return what identifies the data, wherever they are stored."""
        return [[i, "-", *rest] for i, _, *rest in super().fingerprint()]

    def close(self) -> None:
        if self._is_spooled:
            shutil.rmtree(self._path.parent, ignore_errors=True)


class _StdinDiagnostics(Diagnostics):
    """Diagnostics that name standard input where they mean the file at a path."""

    def __init__(self, path: str, earlier: Diagnostics) -> None:
        super().__init__()
        self.restore(earlier.state())
        self._path = path

    def texts(self) -> list[str]:
        return [text.replace(self._path, NAME) for text in super().texts()]


def stdin_path() -> Path | None:
    """Return a path of the file that standard input reads from its start, as `run - < FILE`; None: there is none."""
    if sys.stdin is None:
        return None
    try:
        number = sys.stdin.fileno()
        path = Path(f"/dev/fd/{number}")
        is_whole_file = stat.S_ISREG(os.fstat(number).st_mode) and os.lseek(number, 0, os.SEEK_CUR) == 0
        return path if is_whole_file and path.is_file() and os.access(path, os.R_OK) else None
    except (OSError, ValueError):  # it has no file descriptor
        return None

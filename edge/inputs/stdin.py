"""Bytes on a stream: miniSEED records with whatever else comes between them, or raw samples of one channel."""

from __future__ import annotations

import select
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import numpy as np

from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.formats.record_scanner import RecordScanner
from edgequake.edge.formats.waveforms import Trace, duration_ns, parse_time
from edgequake.edge.inputs.live import POLL_S

_READ_BYTES = 1 << 16
_NAME = "input stream '-'"


class StreamDecoder(Protocol):
    """What bytes on a stream mean."""

    def traces(self, data: bytes, at_end: bool) -> Iterable[Trace]:
        """Take the next bytes, return the traces that are complete with them."""


class StdinReceiver:
    """A stream of bytes, as standard input is one."""

    def __init__(self, stream: BinaryIO | None, form: StreamDecoder) -> None:
        """Read `stream`.

        Raises
        ------
        DataError
            There is none.
        """
        if stream is None:
            raise DataError("standard input is closed; pipe miniSEED records into it, or name files")
        self._stream, self._form = stream, form
        self.size_bytes = 0

    def arrivals(self) -> Iterator[Iterable[Trace] | None]:
        """Yield the pieces of what has come, None where nothing has come for a while; until the stream's end."""
        while (data := self._read()) != b"":
            if data is None:
                yield None
            else:
                self.size_bytes += len(data)
                yield self._form.traces(data, at_end=False)

    def rest(self) -> Iterable[Trace]:
        """Return the pieces of what was still waiting for more."""
        return self._form.traces(b"", at_end=True)

    def _read(self) -> bytes | None:
        """Return what has come, None when nothing comes for a while, and nothing at the stream's end."""
        try:
            ready, _, _ = select.select([self._stream], [], [], POLL_S)
        except (OSError, ValueError):  # not something that can be waited for
            ready = [self._stream]
        return getattr(self._stream, "read1", self._stream.read)(_READ_BYTES) if ready else None


class RecordDecoder:
    """miniSEED records."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        self._scanner = RecordScanner(_NAME, diagnostics, decode=True)

    def traces(self, data: bytes, at_end: bool) -> Iterator[Trace]:
        """Take the next bytes, yield the records that are complete with them."""
        for record in self._scanner.feed(data, at_end):
            header = record.header
            assert record.samples is not None
            yield Trace(header.source_id, header.start_ns, header.sampling_rate_hz, record.samples)


@dataclass(frozen=True)
class RawFormat:
    """What raw samples on a stream are: RATE,DTYPE,SOURCE_ID,START."""

    sampling_rate_hz: float
    dtype: str  # int16, int32 or float32, little-endian
    source_id: str
    start_ns: int

    @classmethod
    def parse(cls, text: str) -> RawFormat:
        """Read the option's text; START is an ISO time, or `now`.

        Raises
        ------
        ConfigError
            Not of that form.
        """
        parts = [part.strip() for part in text.split(",")]
        expected = "expected RATE,DTYPE,SOURCE_ID,START, as 6.625,int32,FDSN:XX_LUN_00_M_H_Z,2030-01-01T00:00:00"
        if len(parts) != 4 or parts[1] not in ("int16", "int32", "float32"):
            raise ConfigError(f"--raw '{text}': {expected}; DTYPE is int16, int32 or float32")
        try:
            rate_hz = float(parts[0])
            start_ns = time.time_ns() if parts[3] == "now" else parse_time(parts[3])
        except (ValueError, DataError) as problem:
            raise ConfigError(f"--raw '{text}': {problem}; {expected}") from problem
        if not 0 < rate_hz < 1e6 or parts[2].count("_") < 5:
            raise ConfigError(f"--raw '{text}': {expected}")
        return cls(rate_hz, parts[1], parts[2], start_ns)


class RawDecoder:
    """Raw samples of one channel, without a break."""

    def __init__(self, diagnostics: Diagnostics, raw: RawFormat) -> None:
        self._diagnostics, self._raw = diagnostics, raw
        self._dtype = np.dtype(raw.dtype).newbyteorder("<")
        self._rest = b""
        self._n_samples = 0

    def traces(self, data: bytes, at_end: bool) -> Iterator[Trace]:
        """Take the next bytes, yield the samples that are complete with them."""
        data = self._rest + data
        n_samples = len(data) // self._dtype.itemsize
        self._rest = data[n_samples * self._dtype.itemsize :]
        if at_end and self._rest:
            self._diagnostics.junk(_NAME, "half a sample at its end", len(self._rest))
        if n_samples:
            raw = self._raw
            samples = np.frombuffer(data, self._dtype, n_samples).astype(self._dtype.newbyteorder("="))
            start_ns = raw.start_ns + duration_ns(self._n_samples, raw.sampling_rate_hz)
            self._n_samples += n_samples
            yield Trace(raw.source_id, start_ns, raw.sampling_rate_hz, samples)

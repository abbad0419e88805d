"""Records or raw samples that come in on a live stream, with whatever else comes between them."""

from __future__ import annotations

import select
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

from edgequake.edge.control import Control
from edgequake.edge.errors import ConfigError, DataError
from edgequake.edge.feed import Batch
from edgequake.edge.notes import Notes
from edgequake.edge.piece import Piece, duration_ns, parse_time
from edgequake.edge.record_scanner import RecordScanner
from edgequake.edge.router import Router
from edgequake.edge.state import State

_POLL_S = 0.25  # how long a signal, or a stalled stream, may wait until it is noticed
_READ_BYTES = 1 << 16
_MOST_NAMES = 256


@dataclass
class Watch:
    """Notices that nothing comes any more."""

    stall_after_s: float | None  # say so after so long
    idle_stop_s: float | None  # come to an end after so long
    control: Control
    notes: Notes
    _heard_s: float = field(default_factory=time.monotonic)
    _stalled: bool = False

    def heard(self) -> None:
        """Something has come."""
        self._heard_s = time.monotonic()
        if self._stalled:
            self._stalled = False
            self.control.tell("the input goes on")

    def is_over(self) -> bool:
        """Nothing has come: say so when it is time; return whether to stop waiting."""
        silent_s = time.monotonic() - self._heard_s
        if self.stall_after_s is not None and silent_s >= self.stall_after_s and not self._stalled:
            self._stalled = True
            self.notes.count("time(s) the input stalled")
            self.control.tell(f"no input for {silent_s:.0f} s: look after what feeds it")
        return self.idle_stop_s is not None and silent_s >= self.idle_stop_s


class LiveFeed:
    """miniSEED records on a stream."""

    replayed = False

    def __init__(self, stream: BinaryIO | None, router: Router, notes: Notes, watch: Watch) -> None:
        """Listen to `stream`.

        Raises
        ------
        DataError
            There is none.
        """
        if stream is None:
            raise DataError("standard input is closed; pipe miniSEED records into it, or name files")
        self._stream, self._router, self._watch = stream, router, watch
        self.notes = notes
        self.size_bytes = 0
        self._scanner = RecordScanner("input stream '-'", notes, decode=True)
        self._first_ns: dict[str, int] = {}

    @property
    def ignored_channels(self) -> set[str]:
        """Source ids that came and were not wanted."""
        return self._router.ignored_channels

    def batches(self) -> Iterator[Batch | None]:
        """Yield the wanted pieces as they come, None where none has come for a while."""
        while (data := self._read()) != b"":
            if data is None:
                if self._watch.is_over():
                    break
                yield None
                continue
            self._watch.heard()
            self.size_bytes += len(data)
            for piece in self._pieces(data, at_end=False):
                yield from self._router.push(piece)
        for piece in self._pieces(b"", at_end=True):
            yield from self._router.push(piece)

    def flush(self) -> Iterator[Batch]:
        """Yield what is still waiting for order."""
        yield from self._router.flush()

    def state(self) -> State:
        """Return what `restore` goes on from; what comes next on the stream is another matter."""
        return {
            "notes": self.notes.state(),
            "router": self._router.state(),
            "size_bytes": self.size_bytes,
            "first_ns": self._first_ns,
        }

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        self.notes.restore(state["notes"])
        self._router.restore(state["router"])
        self.size_bytes, self._first_ns = state["size_bytes"], state["first_ns"]

    def _pieces(self, data: bytes, at_end: bool) -> Iterable[Piece]:
        for record in self._scanner.feed(data, at_end):
            header = record.header
            assert record.samples is not None
            first_ns = self._first(header.source_id, header.start_ns)
            yield Piece(header.source_id, header.start_ns, header.sampling_rate_hz, record.samples, "-", first_ns)

    def _first(self, source_id: str, start_ns: int) -> int:
        """Time of a channel's first sample."""
        if len(self._first_ns) >= _MOST_NAMES and source_id not in self._first_ns:
            self._first_ns.pop(next(iter(self._first_ns)))
        return self._first_ns.setdefault(source_id, start_ns)

    def _read(self) -> bytes | None:
        """Return what has come, None when nothing comes for a while, and nothing at the stream's end."""
        try:
            ready, _, _ = select.select([self._stream], [], [], _POLL_S)
        except (OSError, ValueError):  # not something that can be waited for
            ready = [self._stream]
        return getattr(self._stream, "read1", self._stream.read)(_READ_BYTES) if ready else None


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


class RawFeed(LiveFeed):
    """Raw samples of one channel on a stream, without a break."""

    def __init__(self, stream: BinaryIO | None, router: Router, notes: Notes, watch: Watch, raw: RawFormat) -> None:
        super().__init__(stream, router, notes, watch)
        self._raw = raw
        self._dtype = np.dtype(raw.dtype).newbyteorder("<")
        self._rest = b""
        self._n_samples = 0

    def _pieces(self, data: bytes, at_end: bool) -> Iterable[Piece]:
        data = self._rest + data
        n_samples = len(data) // self._dtype.itemsize
        self._rest = data[n_samples * self._dtype.itemsize :]
        if at_end and self._rest:
            self.notes.junk("input stream '-'", "half a sample at its end", len(self._rest))
        if n_samples:
            raw = self._raw
            samples = np.frombuffer(data, self._dtype, n_samples).astype(self._dtype.newbyteorder("="))
            start_ns = raw.start_ns + duration_ns(self._n_samples, raw.sampling_rate_hz)
            self._n_samples += n_samples
            yield Piece(raw.source_id, start_ns, raw.sampling_rate_hz, samples, "-", raw.start_ns)

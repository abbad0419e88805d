"""The monitor: a ring of the last hours of a run, samples and probabilities, for the page of the station.

It is no result: nothing is sent to the ground from it, nothing is synced, it is in no checkpoint, and what cannot be
written is dropped. A kill costs the seconds that are buffered. The files are described in `monitor_files`.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from edgequake.edge.archive.monitor_files import (
    FRAME,
    FRAMES,
    FRAMES_SUFFIX,
    HOUR_NS,
    MOST_FILE_BYTES,
    SAMPLES,
    SAMPLES_SUFFIX,
    hour_name,
)
from edgequake.edge.archive.sds import channel_name, station_name
from edgequake.edge.base.atomic_files import Backoff
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.formats.miniseed import records_of
from edgequake.edge.formats.waveforms import Trace, duration_ns, merge_contiguous

_FLUSH_S = 2.0  # of the machine's time between two writes: what a page shows is no older
_MOST_BUFFERED = 1 << 15  # samples, or frames, as in a batch of a run over files
_MOST_FOLDERS = 256  # channels, and stations: 16 stations of 12 channels, and some that were there before
_SHORT_RECORD_SAMPLES = 44  # that Steim2 surely fits into 256 bytes, at one sample a word


class _RingFolder:
    """The files of one channel, or of one station's probabilities."""

    def __init__(self, folder: Path, suffix: str, n_files: int) -> None:
        self._folder, self._suffix, self._n_files = folder, suffix, n_files
        self._hour = ""  # that was written last

    def append(self, hour: str, data: bytes) -> None:
        """Append to an hour's file; drop the oldest one where an hour begins.

        Raises
        ------
        OSError
            It cannot be written.
        """
        if hour != self._hour:
            self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / (hour + self._suffix)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o644)
        try:
            n_torn = os.fstat(descriptor).st_size
            if n_torn + len(data) > MOST_FILE_BYTES:  # a clock that is set back again and again
                return
            if self._suffix == FRAMES_SUFFIX and hour != self._hour and n_torn % FRAME.itemsize:
                os.ftruncate(descriptor, n_torn - n_torn % FRAME.itemsize)
            n_written = os.write(descriptor, data)
            while n_written < len(data):
                n_written += os.write(descriptor, data[n_written:])
        finally:
            os.close(descriptor)
        if hour != self._hour:
            self._hour = hour
            for old in self.files()[: -self._n_files]:
                old.unlink(missing_ok=True)

    def files(self) -> list[Path]:
        """Return the files, those first that were written longest ago: a name may be of a clock that was not set."""
        found = []
        for path in self._folder.glob(f"*{self._suffix}"):
            with suppress(OSError):
                found.append((path.stat().st_mtime_ns, path.name, path))
        return [path for *_, path in sorted(found)]


class Monitor:
    """Keeps the samples and probabilities of the last hours in DIR/monitor."""

    def __init__(
        self,
        folder: Path,
        hours: float,
        diagnostics: Diagnostics,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Write to `folder`; go on with what is there.

        hours : of each channel that are kept; the hour that is being written comes on top.
        """
        self.folder = folder
        self._n_files = int(np.ceil(hours)) + 1
        self._diagnostics, self._now_s = diagnostics, now_s
        self._backoff = Backoff(now_s)
        self.problem: OSError | None = None  # why nothing can be written at present
        self._rings: dict[Path, _RingFolder] = {}
        self._samples: dict[str, list[Trace]] = {}  # by source id, not written yet
        self._frames: dict[str, list[tuple[int, float, float]]] = {}  # by station
        self._n_buffered = 0
        self._next_s = now_s() + _FLUSH_S

    def clear(self) -> None:
        """Remove what an earlier run has left, whose samples come again."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def push(self, trace: Trace) -> None:
        """Take samples of a channel, in order of time."""
        self._samples.setdefault(trace.source_id, []).append(trace)
        self._n_buffered += len(trace.samples)

    def add_frame(self, station_id: str, stop_ns: int, onset: float, event: float) -> None:
        """Take a decision of a station's network, on the interval that ends at `stop_ns`."""
        self._frames.setdefault(station_id, []).append((stop_ns, onset, event))
        self._n_buffered += 1

    def flush_if_due(self) -> None:
        """Write what is buffered when it is time, or much."""
        if self._n_buffered >= _MOST_BUFFERED or (self._n_buffered and self._now_s() >= self._next_s):
            self.flush()

    def flush(self) -> None:
        """Write what is buffered; what cannot be written is dropped and counted."""
        samples, frames = self._samples, self._frames
        self._samples, self._frames, self._n_buffered = {}, {}, 0
        self._next_s = self._now_s() + _FLUSH_S
        if self._backoff.is_pausing:
            self._diagnostics.count("write(s) left out of monitor: it cannot be written")
            return
        try:
            for source_id, traces in samples.items():
                self._write_samples(source_id, traces)
            for station_id, decided in frames.items():
                self._write_frames(station_id, decided)
        except OSError as problem:
            self.problem = problem
            self._backoff.failed()
            self._diagnostics.count("write(s) left out of monitor: it cannot be written")
            return
        self.problem = None
        self._backoff.succeeded()

    def make_room(self, n_bytes: int) -> bool:
        """Drop the files written longest ago, for whoever needs the disk; return whether anything was freed."""
        freed_bytes = 0
        found = []
        for path in self.folder.glob("*/*/*"):
            with suppress(OSError):
                status = path.stat()
                found.append((status.st_mtime_ns, str(path), status.st_size, path))
        for _, _, size_bytes, path in sorted(found):
            if freed_bytes >= n_bytes:
                break
            with suppress(OSError):
                path.unlink()
                freed_bytes += size_bytes
        if freed_bytes:
            self._backoff.failed()  # the room is not for the monitor
        return freed_bytes > 0

    def _write_samples(self, source_id: str, traces: list[Trace]) -> None:
        ring = self._ring(self.folder / SAMPLES / channel_name(source_id), SAMPLES_SUFFIX)
        if ring is None:
            return
        for trace in merge_contiguous(traces):
            for part in _by_hour(trace):
                ring.append(hour_name(part.start_ns), b"".join(records_of(part, _record_bytes(len(part.samples)))))

    def _write_frames(self, station_id: str, decided: list[tuple[int, float, float]]) -> None:
        ring = self._ring(self.folder / FRAMES / station_name(station_id), FRAMES_SUFFIX)
        if ring is None:
            return
        frames = np.array(decided, FRAME)
        hours = frames["stop_ns"] // HOUR_NS
        cuts = [0, *(np.flatnonzero(np.diff(hours)) + 1).tolist(), len(frames)]
        for first, stop in pairwise(cuts):
            ring.append(hour_name(int(frames["stop_ns"][first])), frames[first:stop].tobytes())

    def _ring(self, folder: Path, suffix: str) -> _RingFolder | None:
        """Return the files of a channel, or of a station; None where there are too many."""
        ring = self._rings.get(folder)
        if ring is None:
            if not folder.is_dir() and len(list(folder.parent.glob("*"))) >= _MOST_FOLDERS:
                self._diagnostics.count("write(s) left out of monitor: too many channels")
                return None
            ring = self._rings[folder] = _RingFolder(folder, suffix, self._n_files)
        return ring


def _record_bytes(n_samples: int) -> int:
    return 256 if n_samples <= _SHORT_RECORD_SAMPLES else 512


def _by_hour(trace: Trace) -> Iterator[Trace]:
    """Cut a trace where an hour begins."""
    while len(trace.samples):
        n = max(1, len(trace.between(None, (trace.start_ns // HOUR_NS + 1) * HOUR_NS).samples))
        yield replace(trace, samples=trace.samples[:n])
        start_ns = trace.start_ns + duration_ns(n, trace.sampling_rate_hz)
        trace = replace(trace, start_ns=start_ns, samples=trace.samples[n:])

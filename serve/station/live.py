"""The newest samples and probabilities of a run that keeps a monitor, at little cost however often they are asked for.

Of the last half hour the samples are kept and only what a file has grown by is read. Of hours before that extremes are
kept, computed once an hour.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgequake.edge.archive.monitor_files import (
    HOUR_NS,
    SAMPLES,
    SAMPLES_SUFFIX,
    hour_of,
    monitor_frames,
    monitor_samples,
)
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.layout import MONITOR
from edgequake.edge.formats.record_scanner import RecordScanner
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, merge_contiguous
from edgequake.report.recording.samples import Floats
from edgequake.serve.station.waveforms import column_extremes

RECENT_NS = 1800 * NS_PER_S
_READ_BYTES = 1 << 20
_HOUR_COLUMNS = 300  # of extremes: a day has more than a screen has pixels
_MOST_CHANNELS = 48  # that are remembered


@dataclass
class _Tail:
    """The end of one channel's files."""

    hour: str = ""  # name of the file that is read
    scanner: RecordScanner | None = None
    n_read: int = 0
    traces: list[Trace] = field(default_factory=list)


class LiveSamples:
    """The newest samples of the channels in a run's monitor; safe for several threads."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._tails: dict[str, _Tail] = {}  # by the channel's name in the monitor
        self._hours: dict[tuple[str, str], tuple[int, Floats, Floats]] = {}  # by channel and hour: size, extremes

    def recent(self, channel: str) -> list[Trace]:
        """Return the traces of the last half hour of a channel that has samples there; `channel`: its name there."""
        with self._lock:
            tail = self._tails.setdefault(channel, _Tail())
            if len(self._tails) > _MOST_CHANNELS:
                del self._tails[next(iter(self._tails))]
            files = self._files(channel)
            if not files:
                return []
            for path in files[-2:] if tail.scanner is None else [path for path in files if path.name >= tail.hour]:
                self._read(path, tail)
            if tail.traces:
                first_ns = max(trace.stop_ns for trace in tail.traces) - RECENT_NS
                kept = [trace.between(first_ns, None) for trace in tail.traces if trace.stop_ns > first_ns]
                ordered = sorted(kept, key=lambda one: one.start_ns)
                tail.traces = merge_contiguous(ordered)
            return list(tail.traces)

    def extremes(self, channel: str, start_ns: int, stop_ns: int) -> tuple[Floats, Floats, Floats]:
        """Return times (s since 1970) and extremes of a longer span, 12 s a column; NaN where there is no sample."""
        first, last = start_ns // HOUR_NS, (stop_ns - 1) // HOUR_NS
        parts = [self._hour(channel, hour * HOUR_NS) for hour in range(first, last + 1)]
        times = (np.arange(len(parts) * _HOUR_COLUMNS) + 0.5) * (HOUR_NS / _HOUR_COLUMNS) + first * HOUR_NS
        inside = (times >= start_ns) & (times < stop_ns)
        low, high = (np.concatenate([part[i] for part in parts])[inside] for i in (0, 1))
        return times[inside] / NS_PER_S, low, high

    def frames(self, station_id: str, start_ns: int, stop_ns: int) -> npt.NDArray[Any]:
        """Return the probabilities of a station, as `monitor_frames`."""
        return monitor_frames(self._out, station_id, start_ns, stop_ns)

    def _files(self, channel: str) -> list[Path]:
        folder = self._out / MONITOR / SAMPLES / channel
        return sorted(path for path in folder.glob(f"*{SAMPLES_SUFFIX}") if hour_of(path.name) is not None)

    def _read(self, path: Path, tail: _Tail) -> None:
        """Read what a file has grown by."""
        if tail.scanner is None or path.name != tail.hour:
            tail.hour, tail.n_read = path.name, 0
            tail.scanner = RecordScanner(path.name, Diagnostics(), decode=True)
        try:
            with path.open("rb") as file:
                file.seek(tail.n_read)
                while data := file.read(_READ_BYTES):
                    tail.n_read += len(data)
                    tail.traces += [record.trace(path.name) for record in tail.scanner.feed(data)]
        except OSError:  # the ring has just dropped it
            return

    def _hour(self, channel: str, start_ns: int) -> tuple[Floats, Floats]:
        """Return the extremes of an hour; computed again only where its file has grown."""
        path = next((path for path in self._files(channel) if hour_of(path.name) == start_ns), None)
        size_bytes = path.stat().st_size if path is not None and path.exists() else 0
        key = (channel, str(start_ns))
        with self._lock:
            known = self._hours.get(key)
            if known is not None and known[0] == size_bytes:
                return known[1], known[2]
        traces = monitor_samples(self._out, channel, start_ns, start_ns + HOUR_NS) if size_bytes else []
        low, high = column_extremes(traces, start_ns, start_ns + HOUR_NS, _HOUR_COLUMNS)
        with self._lock:
            while len(self._hours) >= _MOST_CHANNELS * 25:
                del self._hours[next(iter(self._hours))]
            self._hours[key] = size_bytes, low, high
        return low, high

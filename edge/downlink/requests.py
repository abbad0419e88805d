"""Requests from the ground for a time span, and the `request` command.

The command extracts what a run folder contains of a span, or puts a request for it into DIR/requests, where the run
takes it up (`request_queue`).
"""

from __future__ import annotations

import argparse
import json
import os
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from edgequake.edge.archive.extract import Span, day_waveforms, stored_days
from edgequake.edge.archive.sds import DAY_NS, DayName, day_files, name_of
from edgequake.edge.base.atomic_files import sync, write_bytes_atomically, write_durably
from edgequake.edge.base.control import Control
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.base.layout import ARCHIVE, CONTINUOUS, REQUESTS
from edgequake.edge.formats.miniseed import encode
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns, format_time, parse_time

_MOST_REQUEST_BYTES = 1 << 14
_MOST_SHOWN = 200  # letters of a name or a content, in a line of text
_NO_REQUEST = (ValueError, KeyError, AttributeError, OverflowError, RecursionError, DataError, ConfigError)
_MOST_GAPS = 5  # named of one channel


@dataclass(frozen=True)
class Request:
    """A request as it lies in a run's folder of requests."""

    name: str  # the file's, without .json; names sort in the order in which the requests were made
    span: Span

    @classmethod
    def new(cls, span: Span) -> Request:
        """Return a request with a name of its own."""
        return cls(f"{time.time_ns():020d}-{os.getpid()}", span)

    @classmethod
    def read(cls, path: Path) -> Request:
        """Read a request.

        Raises
        ------
        DataError
            The file cannot be read or is not a request.
        """
        expected = 'expected {"start": TIME, "stop": TIME, "station": NAME or null, "channels": [CODE, ...] or null}'
        try:
            fields = json.loads(_read_plain_file(path))
            station, channels = fields.get("station"), fields.get("channels")
            if not isinstance(station, str | None) or not isinstance(channels, list | None):
                raise DataError("station or channels of another type")
            codes = None if channels is None else tuple(str(code) for code in channels)
            span = _span(str(fields["start"]), str(fields["stop"]), station, codes)
        except OSError as problem:
            raise DataError(f"request {shown(path)} cannot be read: {problem.strerror or problem}") from problem
        except _NO_REQUEST as problem:
            raise DataError(f"{shown(path)} is no request: {expected}, got {shown(problem)}") from problem
        return cls(path.stem, span)

    def write(self, folder: Path) -> Path:
        """Write the request to a run's folder of requests and return its file.

        Raises
        ------
        DataError
            The file cannot be written.
        """
        span = self.span
        fields = {
            "start": format_time(span.start_ns),
            "stop": format_time(span.stop_ns),
            "station": span.station,
            "channels": None if span.channels is None else list(span.channels),
        }
        path = folder / f"{self.name}.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise DataError(f"cannot make {folder}: {problem.strerror or problem}") from problem
        write_bytes_atomically(path, json.dumps(fields).encode() + b"\n")
        return path


def shown(thing: object) -> str:
    """Return a thing as a short line of ASCII: names and contents of requests come from outside."""
    text = ascii(str(thing))[1:-1]
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def _read_plain_file(path: Path) -> bytes:
    """Return what a file contains; never wait for it, as for a pipe, and follow no link.

    Raises
    ------
    OSError
        It cannot be read.
    DataError
        It is no regular file, or larger than a request is.
    """
    if not stat.S_ISREG(path.lstat().st_mode):  # before it is opened: to open a device may do something
        raise DataError("no regular file")
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise DataError("no regular file")
        if status.st_size > _MOST_REQUEST_BYTES:
            raise DataError(f"a file of {status.st_size} bytes")
        return os.read(descriptor, _MOST_REQUEST_BYTES + 1)
    finally:
        os.close(descriptor)


def add_request_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `request`."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="the run's --out")
    parser.add_argument("start", metavar="START", help="UTC time of the first sample, as 1971-04-13T12:00:00")
    parser.add_argument("stop", metavar="STOP", help="UTC time of the first sample after the span")
    parser.add_argument("--station", metavar="NAME", help="as S12 or XA_S12 (default: all)")
    parser.add_argument("--channels", metavar="CODES", help="codes or patterns, as 'MH?,BHZ' (default: all recorded)")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", metavar="FILE", help="write the samples to a miniSEED file, - for standard output")
    where.add_argument("--send", action="store_true", help="have the run in DIR send them, before all events")


def request_command(arguments: argparse.Namespace, control: Control) -> int:
    """Extract a span from a run folder, or request it from the run.

    Raises
    ------
    ConfigError
        Times in the wrong order.
    DataError
        No such folder; the folder contains nothing of the span; the file cannot be written.
    """
    channels = None if arguments.channels is None else tuple(code.strip() for code in arguments.channels.split(","))
    span = _span(arguments.start, arguments.stop, arguments.station, channels)
    out: Path = arguments.folder
    if not out.is_dir():
        raise DataError(f"{out} is no folder; expected the --out of a run")
    if arguments.send:
        control.log(send_request(out, span))
        return 0
    coverage = Coverage(out, span)
    n_bytes = _write_span(out, span, arguments.out, coverage)
    if n_bytes == 0:
        raise DataError(f"nothing of the request is stored in {out}: {coverage.text()}")
    control.log(f"{coverage.n_samples} samples of {coverage.n_channels} channel(s), {n_bytes} bytes")
    for line in coverage.missing():
        control.log(line)
    return 0


def send_request(out: Path, span: Span) -> str:
    """Put a request for a span into a run folder; return a line that says so.

    Raises
    ------
    DataError
        It cannot be written.
    """
    path = Request.new(span).write(out / REQUESTS)
    return f"request {path} is queued; the run that goes on there, or that is resumed, sends what it has stored"


class Coverage:
    """Which part of a span was found."""

    def __init__(self, out: Path, span: Span) -> None:
        self._span = span
        self._covered: dict[DayName, list[tuple[int, int, int]]] = {}  # start, stop and sampling interval
        self._days: list[int] = []
        for folder in (ARCHIVE, CONTINUOUS)[: 1 if span.channels is None else 2]:
            for _, name, _ in day_files(out / folder):
                self._days.append(name.day)
                if span.matches(name):
                    self._covered[replace(name, day=0)] = []
        self.n_samples = 0

    @property
    def n_channels(self) -> int:
        """Channels of which something was found."""
        return sum(1 for covered in self._covered.values() if covered)

    def add(self, traces: Iterable[Trace]) -> None:
        """Add what was found."""
        for trace in traces:
            interval_ns = duration_ns(1, trace.sampling_rate_hz)
            covered = self._covered.setdefault(name_of(trace.source_id), [])
            covered.append((trace.start_ns, trace.stop_ns, interval_ns))
            self.n_samples += len(trace.samples)

    def missing(self) -> list[str]:
        """Return a line for each channel of which a part is missing."""
        lines = []
        for name, covered in sorted(self._covered.items()):
            gaps = _gaps(covered, self._span.start_ns, self._span.stop_ns)
            if gaps:
                named = ", ".join(f"{format_time(a)} to {format_time(b)}" for a, b in gaps[:_MOST_GAPS])
                more = f" and {len(gaps) - _MOST_GAPS} more" if len(gaps) > _MOST_GAPS else ""
                missing_s = sum(b - a for a, b in gaps) / NS_PER_S
                title = "_".join((name.station_id, name.location, name.channel))
                lines.append(f"{title}: {missing_s:.3f} s are not stored: {named}{more}")
        return lines

    def text(self) -> str:
        """Describe what the archive contains instead."""
        if not self._days:
            return "there is no archive; a run writes one with --archive-bytes"
        first, last = (format_time(day * DAY_NS)[:10] for day in (min(self._days), max(self._days)))
        channels = "" if self._covered else ", and none of its channels matches"
        return f"the archive reaches from {first} to {last}{channels}"


def _gaps(covered: list[tuple[int, int, int]], start_ns: int, stop_ns: int) -> list[tuple[int, int]]:
    """Return the gaps in [start, stop) of a sampling interval or more."""
    gaps: list[tuple[int, int]] = []
    until_ns, least_ns = start_ns, 1
    for first_ns, last_ns, interval_ns in sorted(covered):
        least_ns = interval_ns * 99 // 100  # times in records are rounded
        if first_ns - until_ns >= least_ns:
            gaps.append((until_ns, first_ns))
        until_ns = max(until_ns, last_ns)
    return [*gaps, (until_ns, stop_ns)] if stop_ns - until_ns >= least_ns else gaps


def _write_span(out: Path, span: Span, target: str, coverage: Coverage) -> int:
    """Write the stored samples of a span to a file or standard output, and return the number of bytes."""

    def encoded() -> Iterator[bytes]:
        for day in stored_days(out, span):
            if day is None:
                continue
            traces = day_waveforms(day)
            coverage.add(traces)
            yield encode(traces)

    try:
        if target != "-":
            return _write_file(Path(target), encoded())
        n_bytes = sum(sys.stdout.buffer.write(data) for data in encoded())
        sys.stdout.buffer.flush()
        return n_bytes
    except OSError as problem:
        raise DataError(f"cannot write {target}: {problem.strerror or problem}") from problem


def _write_file(path: Path, parts: Iterable[bytes]) -> int:
    """Write a file whole or not at all, and return its size in bytes; without any bytes no file is written."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        n_bytes = write_durably(part, parts)
        if n_bytes:
            part.replace(path)
            sync(path.parent)
    finally:
        part.unlink(missing_ok=True)
    return n_bytes


def _span(start: str, stop: str, station: str | None, channels: tuple[str, ...] | None) -> Span:
    span = Span(parse_time(start), parse_time(stop), station, channels)
    if span.start_ns >= span.stop_ns:
        raise ConfigError(f"START {start} is not before STOP {stop}")
    return span
